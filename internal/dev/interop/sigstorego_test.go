package interop_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

const suite = "../conformance/testdata/"

// explained are the reasons for which ours refuses what sigstore-go accepts.
var explained = map[string]string{
	"unknown member":         "one text has one meaning",
	"malformed JSON":         "one text has one meaning",
	"kindVersion":            "what is stated beside the log entry must not contradict it",
	"of another tree":        "the proof's root and size must be those of the checkpoint",
	"beside an inclusion":    "Rekor v2 has one index",
	"is not a number from 0": "one number has one spelling",
	"wants":                  "each version says what it wants of each entry",
	"rawBytes":               "base64 has one spelling",
	"is not base64":          "base64 has one spelling",
	"is empty":               "a certificate that is there must be one",
	"is not an object":       "what is there must be of its form",
	"is not a list":          "what is there must be of its form",
	"is not a string":        "what is there must be of its form",
	"is not a digest":        "a claimed digest must be one",
	"bundle claims differs":  "a claimed digest must be the artifact's",
	"without a":              "what is there must be complete",
	"is not PEM":             "a log entry must hold a key",
	"bundle holds exactly":   "an envelope in a bundle has one signature",
	"checkpoint does not":    "the signature of a checkpoint must be under the log's name",
	"there twice":            "one entry counts once",
	"about something else":   "the body of an entry must be the one that was logged",
}

// laxer are the reasons for which sigstore-go may refuse what ours accepts.
var laxer = map[string]string{
	"accepted signatures do not match threshold": "the keyid of an envelope is a hint, and nothing rests on it",
}

// mutated are the cases whose mutants are judged: one of each format.
var mutated = []string{
	"happy-path-v0.1", "happy-path-v0.2", "happy-path-v0.3", "happy-path-intoto-in-dsse-v3", "intoto-with-custom-trust-root",
	"rekor2-happy-path", "rekor2-dsse-happy-path", "rekor2-timestamp-with-embedded-cert", "rekor2-checkpoint-cosigned",
}

// suiteCase is a bundle of the conformance suite that is valid.
type suiteCase struct {
	name                 string
	text, artifact, root []byte
}

func suiteCases(t *testing.T) (all []suiteCase) {
	t.Helper()
	read := func(paths ...string) []byte {
		for _, path := range paths {
			if text, err := os.ReadFile(path); err == nil {
				return text
			}
		}
		return nil
	}
	for _, name := range mutated {
		dir := suite + "bundle-verify/" + name
		all = append(all, suiteCase{
			name: name, text: read(filepath.Join(dir, "bundle.sigstore.json")), artifact: read(filepath.Join(dir, "artifact"), suite+"bundle-verify/a.txt"),
			root: read(filepath.Join(dir, "trusted_root.json"), suite+"roots/public-good.json"),
		})
	}
	return all
}

// theirs judges a bundle by sigstore-go.
func (c suiteCase) theirs(text []byte) error {
	trusted, err := root.NewTrustedRootFromJSON(c.root)
	if err != nil {
		return err
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(text); err != nil {
		return err
	}
	v, err := verify.NewVerifier(trusted, verify.WithTransparencyLog(1), verify.WithSignedCertificateTimestamps(1), verify.WithObserverTimestamps(1))
	if err != nil {
		return err
	}
	_, err = v.Verify(&b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(c.artifact)), verify.WithoutIdentitiesUnsafe()))
	return err
}

// ours judges it by ours.
func (c suiteCase) ours(text []byte) error {
	trusted, err := sigstore.ParseRoot(c.root)
	if err != nil {
		return err
	}
	b, err := sigstore.ParseBundle(text)
	if err != nil {
		return err
	}
	leaf, err := sigstore.ParseLeaf(b.Certificate)
	if err != nil {
		return err
	}
	e := &sigstore.Evidence{Entries: b.Entries, Timestamps: b.Timestamps, Envelope: b.Envelope, EnvelopeText: b.EnvelopeText}
	m := &sigkey.Message{Bytes: c.artifact}
	if b.Envelope == nil {
		e.Message, e.Signature, e.Claimed = m, b.Message.Signature, b.Message
	} else {
		e.Message, e.Signature = &sigkey.Message{Bytes: b.Envelope.PAE()}, b.Envelope.Signatures[0]
		if err := about(b.Envelope.Payload, m.Sum(crypto.SHA256)); err != nil {
			return err
		}
	}
	_, err = trusted.VerifyLeaf(leaf, e, sigstore.Demands{Logs: 1, CTLogs: 1, Times: 1}, time.Now())
	return err
}

func about(payload, digest []byte) error {
	s, err := intoto.Parse(payload)
	if err != nil {
		return err
	}
	subject, err := s.Match(func(name string) (string, bool, error) { return fmt.Sprintf("%x", digest), name == "sha256", nil })
	if err == nil && subject == nil {
		err = errors.New("it is about another artifact")
	}
	return err
}

// mutants yields a document with one change, for each place and kind of change.
func mutants(t *testing.T, text []byte, yield func(what string, text []byte)) {
	t.Helper()
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	write := func(what string) {
		changed, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		yield(what, changed)
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		for what, other := range changes(v) {
			set(other)
			write(path + " " + what)
		}
		set(v)
		switch x := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(x)) {
				member := x[name]
				walk(path+"."+name, member, func(o any) { x[name] = o })
				delete(x, name)
				write(path + "." + name + " is left out")
				x[strings.ToUpper(name[:1])+name[1:]] = member
				write(path + "." + name + " in another case")
				delete(x, strings.ToUpper(name[:1])+name[1:])
				x[name] = member
			}
			x["more"] = 1
			write(path + " has more")
			delete(x, "more")
		case []any:
			for i, element := range x {
				walk(fmt.Sprintf("%s[%d]", path, i), element, func(o any) { x[i] = o })
			}
		}
	}
	walk("", doc, func(o any) { doc = o })
}

// changes are other values in place of one.
func changes(v any) map[string]any {
	out := map[string]any{"null": nil}
	switch x := v.(type) {
	case string:
		out["is empty"], out["has more"], out["is a number"] = "", x+"A", 7
		if len(x) > 2 {
			middle := []byte(x)
			middle[len(x)/2] ^= 1
			out["differs in the middle"] = string(middle)
			first := []byte(x)
			first[1] ^= 2
			out["differs at the start"] = string(first)
		}
		if data, err := base64.StdEncoding.DecodeString(x); err == nil && len(data) > 4 {
			flipped := bytes.Clone(data)
			flipped[len(data)-2] ^= 4
			out["differs in a bit at the end"] = base64.StdEncoding.EncodeToString(flipped)
			out["is shorter"] = base64.StdEncoding.EncodeToString(data[:len(data)-1])
			sum := sha256.Sum256(data)
			out["is something else"] = base64.StdEncoding.EncodeToString(sum[:])
		}
	case []any:
		out["is empty"] = []any{}
		if len(x) > 0 {
			out["has the first twice"] = append([]any{x[0]}, x...)
			out["lacks the first"] = x[1:]
		}
	case map[string]any:
		out["is empty"] = map[string]any{}
	}
	return out
}

func TestMutantsAreJudgedNoLaxerThanBySigstoreGo(t *testing.T) {
	judged, stricter := 0, make(map[string]int)
	for _, c := range suiteCases(t) {
		if ours, theirs := c.ours(c.text), c.theirs(c.text); ours != nil || theirs != nil {
			t.Errorf("%s: ours %v, sigstore-go %v", c.name, ours, theirs)
			continue
		}
		mutants(t, c.text, func(what string, text []byte) {
			judged++
			ours := c.ours(text)
			theirs := c.theirs(text)
			switch {
			case ours == nil && theirs != nil && explain(laxer, theirs) == "":
				t.Errorf("%s: %s: accepted, and sigstore-go says %v", c.name, what, theirs)
			case ours != nil && theirs == nil:
				why := explain(explained, ours)
				stricter[why]++
				if why == "" {
					t.Errorf("%s: %s: accepted by sigstore-go, and ours says %v", c.name, what, ours)
				}
			}
		})
	}
	t.Logf("%d mutants; stricter by: %v", judged, stricter)
}

// explain finds why ours and theirs may differ; empty: they may not.
func explain(reasons map[string]string, err error) string {
	for text, why := range reasons {
		if strings.Contains(err.Error(), text) {
			return why
		}
	}
	return ""
}
