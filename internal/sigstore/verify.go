package sigstore

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
)

// Evidence is a signature with what it covers and what vouches for it.
type Evidence struct {
	// Message is what the signature covers, or what is known of it.
	Message *sigkey.Message
	// Claimed is what a bundle says of the message, which must be so. Nil: nothing.
	Claimed *MessageSignature
	// Signature covers Message.
	Signature []byte
	// Envelope is the one whose encoding Message is, and EnvelopeText its text. Nil: the
	// signature covers an artifact's bytes.
	Envelope     *dsse.Envelope
	EnvelopeText []byte
	Entries      []Entry
	Timestamps   [][]byte
}

// Demands say what evidence needs. Keys count, not entries or names.
type Demands struct {
	// Logs, CTLogs and Times are how many logs must have recorded the signature, how
	// many must have seen the certificate, and how many times must be known.
	Logs, CTLogs, Times int
	// Timestamps demands times of timestamp authorities: those of logs do not count.
	Timestamps bool
}

// Verified is what is known of evidence once it is verified.
type Verified struct {
	// SignedAt is the earliest time, of those that count, at which the signature existed;
	// zero: none is known.
	SignedAt time.Time
	// LogIndex is where a log has the signature; -1: no log has.
	LogIndex int64
}

// clockSkew is how far clocks may be apart.
const clockSkew = 5 * time.Minute

// Errors of Verify.
var (
	// ErrTime says that no verified time fits, or that too few are known.
	ErrTime = errors.New("signing time")
	// ErrLog says that too few logs have the signature.
	ErrLog = errors.New("transparency log")
	// ErrChain says that no trusted authority has issued the certificate in time.
	ErrChain = errors.New("certificate chain")
)

// VerifyLeaf verifies evidence that the key of a certificate has signed. It checks all
// but who that is. now bounds what is in the future; zero: nothing does.
func (r *Root) VerifyLeaf(leaf *Leaf, e *Evidence, d Demands, now time.Time) (*Verified, error) {
	found, times, err := vouched(r, e, leaf.certificate.Raw, d, now)
	if err != nil {
		return nil, err
	}
	if err := r.issued(leaf, times, d); err != nil {
		return nil, err
	}
	if err := leaf.Key.Verify(e.Message, e.Signature); err != nil {
		return nil, err
	}
	return found, nil
}

// VerifyKey verifies evidence that a key has signed.
func (r *Root) VerifyKey(key *sigkey.Key, e *Evidence, d Demands, now time.Time) (*Verified, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	found, _, err := vouched(r, e, der, d, now)
	if err != nil {
		return nil, err
	}
	if err := key.Verify(e.Message, e.Signature); err != nil {
		return nil, err
	}
	return found, nil
}

// VerifyTimes verifies when a signature existed and who has recorded it, with its signer:
// the DER of a certificate or of a public key. It does not check the signature.
func (r *Root) VerifyTimes(e *Evidence, signer []byte, d Demands, now time.Time) (*Verified, error) {
	found, _, err := vouched(r, e, signer, d, now)
	return found, err
}

// vouched verifies what logs and timestamp authorities say of a signature, and returns
// all times at which it existed.
func vouched(r *Root, e *Evidence, signer []byte, d Demands, now time.Time) (*Verified, []time.Time, error) {
	if len(e.Entries) > MaxEntries || len(e.Timestamps) > MaxTimestamps {
		return nil, nil, fmt.Errorf("%w: %d log entries and %d timestamps, the limits are %d and %d", ErrMalformed, len(e.Entries), len(e.Timestamps), MaxEntries, MaxTimestamps)
	}
	if c := e.Claimed; c != nil {
		if sum := e.Message.Sum(c.Hash); sum == nil || !bytes.Equal(sum, c.Digest) {
			return nil, nil, fmt.Errorf("%w: the digest that the bundle claims differs", ErrMismatch)
		}
	}
	entries, err := recordedBy(r, e, signer, d)
	if err != nil {
		return nil, nil, err
	}
	found, all := &Verified{LogIndex: -1}, &knownTimes{sources: make(map[string]bool)}
	for _, entry := range entries {
		found.LogIndex = entry.index
		if !entry.at.IsZero() {
			all.add(entry.at, entry.logs[0].key, !d.Timestamps)
		}
	}
	why := error(nil)
	for i, text := range e.Timestamps {
		if slices.ContainsFunc(e.Timestamps[:i], func(other []byte) bool { return bytes.Equal(other, text) }) {
			return nil, nil, fmt.Errorf("%w: one timestamp is there twice", ErrMalformed)
		}
		s, err := r.verifyTimestamp(text, e.Signature)
		if err != nil {
			why = err
			continue
		}
		all.add(s.at, s.key, true)
	}
	if len(all.sources) < d.Times {
		return nil, nil, tooFewTimes(len(all.sources), d, entries, why)
	}
	for _, t := range all.all {
		if !now.IsZero() && t.After(now.Add(clockSkew)) {
			return nil, nil, fmt.Errorf("%w: %s is in the future", ErrTime, t.UTC().Format(time.RFC3339))
		}
	}
	found.SignedAt = all.earliest
	return found, all.all, withinLogs(entries, all.all)
}

// knownTimes are those at which a signature existed.
type knownTimes struct {
	all []time.Time
	// sources are the IDs of the keys that have said those that count, earliest is the first
	// of them.
	sources  map[string]bool
	earliest time.Time
}

func (s *knownTimes) add(t time.Time, by *sigkey.Key, counts bool) {
	s.all = append(s.all, t)
	if !counts {
		return
	}
	s.sources[by.ID()] = true
	if s.earliest.IsZero() || t.Before(s.earliest) {
		s.earliest = t
	}
}

func tooFewTimes(have int, d Demands, entries []recorded, why error) error {
	kind := "times"
	if d.Timestamps {
		kind = "timestamps of authorities"
	}
	hint := ""
	if len(entries) > 0 && why == nil && !d.Timestamps {
		hint = "; a log entry without signed entry timestamp, as of Rekor v2, says no time: a timestamp by RFC 3161 is needed"
	}
	err := fmt.Errorf("%w: %d verified %s, want %d%s", ErrTime, have, kind, d.Times, hint)
	if why != nil {
		err = fmt.Errorf("%w: %w", err, why)
	}
	return err
}

// withinLogs checks entries that say no time by the earliest that is known otherwise.
func withinLogs(entries []recorded, known []time.Time) error {
	if len(known) == 0 {
		return nil
	}
	t := slices.MinFunc(known, time.Time.Compare)
	for _, entry := range entries {
		if entry.at.IsZero() && !entry.fits(t) {
			return fmt.Errorf("%w: the log is not trusted at %s", ErrLog, t.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// recordedBy verifies the log entries. Those of logs that the root does not have say
// nothing; any other that does not verify is an error.
func recordedBy(r *Root, e *Evidence, signer []byte, d Demands) (all []recorded, err error) {
	logs := make(map[string]bool)
	for i := range e.Entries {
		if slices.ContainsFunc(e.Entries[:i], e.Entries[i].isSame) {
			return nil, fmt.Errorf("%w: one log entry is there twice", ErrMalformed)
		}
		entry, err := r.verifyEntry(&e.Entries[i], e, signer)
		switch {
		case errors.Is(err, errUnknownLog):
			continue
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrLog, err)
		}
		logs[entry.logs[0].key.ID()] = true
		all = append(all, entry)
	}
	if len(logs) < d.Logs {
		return nil, fmt.Errorf("%w: %d logs of the trust root have recorded the signature, want %d", ErrLog, len(logs), d.Logs)
	}
	return all, nil
}

// issued verifies that an authority of the root has issued the certificate, and that
// enough logs have seen it. The chain and the root's trust must hold at all of the times.
func (r *Root) issued(leaf *Leaf, times []time.Time, d Demands) error {
	c := leaf.certificate
	if len(times) == 0 {
		return fmt.Errorf("%w: none is known, and a certificate counts only at times", ErrTime)
	}
	for _, t := range times {
		if !(window{c.NotBefore, c.NotAfter}).holds(t) {
			return fmt.Errorf("%w: %s is not within the certificate's validity, %s to %s", ErrTime,
				t.UTC().Format(time.RFC3339), c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	issuers, err := r.issuers(leaf)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChain, err)
	}
	why := fmt.Errorf("%w: no authority is trusted and valid at the signing time", ErrChain)
	for _, i := range issuers {
		if !i.by.fitsAll(times) {
			continue
		}
		if i.logs >= d.CTLogs {
			return nil
		}
		why = fmt.Errorf("%w: %d certificate transparency logs of the trust root have seen it, want %d", ErrChain, i.logs, d.CTLogs)
	}
	return why
}

func (i issuer) fitsAll(times []time.Time) bool {
	for _, t := range times {
		if !i.fits(t) {
			return false
		}
	}
	return true
}

// issuers verifies who has issued a certificate and which logs have seen it, once: what
// has been verified is kept.
func (r *Root) issuers(leaf *Leaf) ([]issued, error) {
	if known, ok := r.leaves.Get(leaf.sum); ok {
		return known, nil
	}
	by, err := issuersOf(r.authorities, leaf.certificate)
	if err != nil {
		return nil, err
	}
	var found []issued
	logs := make(map[[sha256.Size]byte]int)
	for _, i := range by {
		key := sha256.Sum256(i.certificate().RawSubjectPublicKeyInfo)
		n, known := logs[key]
		if !known {
			seen, err := seenBy(r, leaf.certificate, i.certificate())
			if err != nil {
				return nil, err
			}
			n = len(seen)
			logs[key] = n
		}
		found = append(found, issued{i, n})
	}
	r.leaves.Put(leaf.sum, found)
	return found, nil
}

// sum is the digest that a log entry must hold; nil: it cannot be known.
func (e *Evidence) sum(d logged) []byte {
	switch {
	case d.ofPayload && e.Envelope == nil:
		return nil
	case d.ofPayload:
		h := d.hash.New()
		h.Write(e.Envelope.Payload)
		return h.Sum(nil)
	}
	return e.Message.Sum(d.hash)
}
