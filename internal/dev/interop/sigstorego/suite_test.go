package sigstorego

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

const suite = "../../conformance/testdata/"

// mutated are the cases whose mutants are judged: one of each format.
var mutated = []string{
	"happy-path-v0.1", "happy-path-v0.2", "happy-path-v0.3", "happy-path-intoto-in-dsse-v3", "intoto-with-custom-trust-root",
	"rekor2-happy-path", "rekor2-dsse-happy-path", "rekor2-timestamp-with-embedded-cert", "rekor2-checkpoint-cosigned",
}

// suiteTrials are mutants of the suite's valid bundles. The statements are of any predicate
// type, and who has signed them does not matter here.
func suiteTrials(t *testing.T) (all []trial) {
	t.Helper()
	for _, name := range mutated {
		dir := suite + "bundle-verify/" + name
		good := trial{
			what: name, bundle: read(t, filepath.Join(dir, "bundle.sigstore.json")), artifact: read(t, filepath.Join(dir, "artifact"), suite+"bundle-verify/a.txt"),
			root: read(t, filepath.Join(dir, "trusted_root.json"), suite+"roots/public-good.json"),
			ours: judgedOfAnyone, theirs: []verify.PolicyOption{verify.WithoutIdentitiesUnsafe()},
		}
		all = append(all, good.valid())
		mutants(t, good.bundle, func(what string, text []byte) { all = append(all, good.of(what, text)) })
	}
	return all
}

// read reads the first of the files that is there.
func read(t *testing.T, paths ...string) []byte {
	t.Helper()
	for _, path := range paths {
		if text, err := os.ReadFile(path); err == nil {
			return text
		}
	}
	t.Fatalf("none of %q is there", paths)
	return nil
}

// judgedOfAnyone verifies all but who has signed, and of what type a statement is.
func judgedOfAnyone(_ *testing.T, tr trial) error {
	trusted, err := sigstore.ParseRoot(tr.root)
	if err != nil {
		return err
	}
	b, err := sigstore.ParseBundle(tr.bundle)
	if err != nil {
		return err
	}
	leaf, err := sigstore.ParseLeaf(b.Certificate)
	if err != nil {
		return err
	}
	e := &sigstore.Evidence{Entries: b.Entries, Timestamps: b.Timestamps, Envelope: b.Envelope, EnvelopeText: b.EnvelopeText}
	m := &sigkey.Message{Bytes: tr.artifact}
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
