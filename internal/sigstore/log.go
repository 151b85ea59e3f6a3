package sigstore

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
)

// log is a transparency log of a root: Rekor, or a log of certificates.
type log struct {
	host    string // of its URL, with and without the port
	name    string
	key     *sigkey.Key
	keyID   []byte // begins the signatures of its checkpoints
	trusted window
}

// verifies reports whether the log has signed a message.
func (l *log) verifies(message, signature []byte) bool {
	m := &sigkey.Message{Bytes: message}
	if _, pure := l.key.Public().(ed25519.PublicKey); pure {
		return l.key.VerifyAs(m, signature, crypto.Hash(0)) == nil
	}
	return l.key.Verify(m, signature) == nil
}

// Errors of log entries.
var (
	errUnknownLog = errors.New("the trust root does not have the log")
	errPromise    = errors.New("the signed entry timestamp does not verify")
	errProof      = errors.New("the inclusion proof does not verify")
	errCheckpoint = errors.New("the checkpoint does not verify")
)

// recorded is an entry of a log that has been verified.
type recorded struct {
	logs  []*log    // of the root's, by the same key
	at    time.Time // by the signed entry timestamp; zero: none
	index int64
}

// fits reports whether the root trusted the log then.
func (r recorded) fits(t time.Time) bool {
	for _, l := range r.logs {
		if l.trusted.holds(t) {
			return true
		}
	}
	return false
}

// isSame reports whether another entry is this one of the same log.
func (e *Entry) isSame(other Entry) bool {
	return e.LogIndex == other.LogIndex && bytes.Equal(e.LogID, other.LogID)
}

// verifyEntry verifies that a log of the root has recorded the signature.
func (r *Root) verifyEntry(e *Entry, evidence *Evidence, signer []byte) (recorded, error) {
	logs := r.logs[string(e.LogID)]
	if len(logs) == 0 {
		return recorded{}, errUnknownLog
	}
	b, err := parseBody(e)
	if err != nil {
		return recorded{}, err
	}
	if err := b.matches(evidence, signer); err != nil {
		return recorded{}, err
	}
	l, found := logs[0], recorded{logs: logs, index: e.LogIndex}
	switch {
	case len(e.Promise) == 0 && e.Proof == nil:
		return recorded{}, fmt.Errorf("%w: a log entry with neither signed entry timestamp nor inclusion proof", ErrMalformed)
	case b.v2 && len(e.Promise) > 0:
		return recorded{}, fmt.Errorf("%w: a log entry of Rekor v2 with a signed entry timestamp, which it does not make", ErrMalformed)
	case b.v2 && e.Proof != nil && e.Proof.LogIndex != e.LogIndex:
		return recorded{}, fmt.Errorf("%w: logIndex %d beside an inclusion proof of %d", ErrMalformed, e.LogIndex, e.Proof.LogIndex)
	}
	if len(e.Promise) > 0 {
		if !l.verifies(promised(e), e.Promise) {
			return recorded{}, errPromise
		}
		found.at = time.Unix(e.IntegratedTime, 0)
		if !found.fits(found.at) {
			return recorded{}, fmt.Errorf("the log is not trusted at the time of the entry, %s", found.at.UTC().Format(time.RFC3339))
		}
	}
	if e.Proof != nil {
		if err := e.Proof.verify(l, e.Body, b.v2); err != nil {
			return recorded{}, err
		}
	}
	return found, nil
}

// promised is what a signed entry timestamp covers: canonical JSON.
func promised(e *Entry) []byte {
	out := make([]byte, 0, len(e.Body)*4/3+256)
	out = append(out, `{"body":"`...)
	out = b64.AppendEncode(out, e.Body)
	out = append(out, `","integratedTime":`...)
	out = strconv.AppendInt(out, e.IntegratedTime, 10)
	out = append(out, `,"logID":"`...)
	out = hex.AppendEncode(out, e.LogID)
	out = append(out, `","logIndex":`...)
	out = strconv.AppendInt(out, e.LogIndex, 10)
	return append(out, '}')
}

// verify verifies that the log has an entry, by its checkpoint.
func (p *Proof) verify(l *log, body []byte, v2 bool) error {
	c, err := parseCheckpoint(p.Checkpoint)
	if err != nil {
		return err
	}
	switch {
	case c.size != p.TreeSize || !bytes.Equal(c.root, p.RootHash):
		return fmt.Errorf("%w: it is of another tree than the inclusion proof", errCheckpoint)
	case !c.signedBy(l, v2):
		return errCheckpoint
	}
	leaf := sha256.Sum256(append([]byte{0}, body...))
	root, ok := merkleRoot(leaf[:], p.LogIndex, p.TreeSize, p.Hashes)
	if !ok || !bytes.Equal(root, p.RootHash) {
		return errProof
	}
	return nil
}

// merkleRoot computes the root of a tree of size leaves from one of them (RFC 6962,
// section 2.1.1). The proof must have exactly the hashes that are needed.
func merkleRoot(leaf []byte, index, size int64, hashes [][]byte) ([]byte, bool) {
	if index < 0 || index >= size {
		return nil, false
	}
	inner := bits.Len64(uint64(index) ^ uint64(size-1))
	border := bits.OnesCount64(uint64(index) >> inner)
	if len(hashes) != inner+border {
		return nil, false
	}
	at, pair := leaf, make([]byte, 0, 1+2*sha256.Size)
	for i, h := range hashes {
		if len(h) != sha256.Size {
			return nil, false
		}
		pair = append(pair[:0], 1)
		if i < inner && index>>i&1 == 0 {
			pair = append(append(pair, at...), h...)
		} else {
			pair = append(append(pair, h...), at...)
		}
		sum := sha256.Sum256(pair)
		at = sum[:]
	}
	return at, true
}

// Bounds of checkpoints.
const (
	maxCheckpointSize       = 16 << 10
	maxCheckpointSignatures = 64
)

// checkpoint is a signed statement of the head of a log (C2SP tlog-checkpoint).
type checkpoint struct {
	text       string // what is signed
	origin     string
	size       int64
	root       []byte
	signatures []noteSignature
}

type noteSignature struct {
	name      string
	hint      [4]byte
	signature []byte
}

// parseCheckpoint reads a signed note whose text begins with origin, size and root.
func parseCheckpoint(note string) (*checkpoint, error) {
	text, signed, ok := strings.Cut(note, "\n\n")
	lines := strings.SplitN(text, "\n", 4)
	if !ok || len(note) > maxCheckpointSize || len(lines) < 3 || lines[0] == "" || !strings.HasSuffix(signed, "\n") {
		return nil, fmt.Errorf("%w: checkpoint", ErrMalformed)
	}
	c := &checkpoint{text: text + "\n", origin: lines[0]}
	var err error
	if c.size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.size < 1 || strconv.FormatInt(c.size, 10) != lines[1] {
		return nil, fmt.Errorf("%w: size of a checkpoint", ErrMalformed)
	}
	if c.root, err = base64.StdEncoding.Strict().DecodeString(lines[2]); err != nil || len(c.root) != sha256.Size {
		return nil, fmt.Errorf("%w: root hash of a checkpoint", ErrMalformed)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(signed, "\n"), "\n") {
		s, ok := parseNoteSignature(line)
		if !ok || len(c.signatures) == maxCheckpointSignatures {
			return nil, fmt.Errorf("%w: signatures of a checkpoint", ErrMalformed)
		}
		c.signatures = append(c.signatures, s)
	}
	return c, nil
}

func parseNoteSignature(line string) (s noteSignature, ok bool) {
	rest, ok := strings.CutPrefix(line, "\u2014 ")
	if !ok {
		return s, false
	}
	name, text, ok := strings.Cut(rest, " ")
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || name == "" || err != nil || len(data) <= len(s.hint) {
		return s, false
	}
	return noteSignature{name, [4]byte(data), data[len(s.hint):]}, true
}

// signedBy reports whether one of the signatures is the log's, under its name. Others,
// as of witnesses, say nothing. The first that is said to be the log's decides. The origin
// of a tree of Rekor v1 is the name and a number; that of v2 is the host of the log.
func (c *checkpoint) signedBy(l *log, v2 bool) bool {
	for _, s := range c.signatures {
		if !bytes.HasPrefix(l.keyID, s.hint[:]) {
			continue
		}
		named := c.origin == s.name && (s.name == l.host || s.name == l.name)
		if !v2 {
			tree, of := strings.CutPrefix(c.origin, s.name+" - ")
			named = of && tree != ""
		}
		if named { // a later one under the same name says nothing (C2SP signed-note)
			return l.verifies([]byte(c.text), s.signature)
		}
	}
	return false
}
