package sigstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

const (
	workflow = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
	issuer   = "https://token.actions.githubusercontent.com"
)

var (
	artifact  = []byte("an artifact")
	statement = []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[]}`)
	strictest = sigstore.Demands{Logs: 1, CTLogs: 1, Times: 1}
)

// world is an instance with a signer.
type world struct {
	*sigstoretest.Instance
	t      *testing.T
	signer *sigstoretest.Signer
	// judgedAt is when a bundle is judged, an hour after it was made.
	judgedAt time.Time
	demands  sigstore.Demands
	root     sigstoretest.Object // nil: the instance's
}

func newWorld(t *testing.T) *world {
	t.Helper()
	i := sigstoretest.New(t, sigstoretest.Options{})
	return &world{Instance: i, t: t, signer: i.Issue(leafOf()), judgedAt: i.Now.Add(time.Hour), demands: strictest}
}

func leafOf() sigstoretest.Leaf { return sigstoretest.Leaf{URI: workflow, Issuer: issuer} }

// signed is a bundle of version 0.3 that Rekor v1 has.
func (w *world) signed() *sigstoretest.Bundle {
	return w.signer.SignMessage(artifact).Log(w.Rekor1, "hashedrekord 0.0.1")
}

// signedV2 is a bundle that Rekor v2 has, with a timestamp.
func (w *world) signedV2() *sigstoretest.Bundle {
	return w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2").Stamp(w.TSA)
}

// evidenceOf is what a bundle holds, about the artifact where it holds no envelope.
func evidenceOf(b *sigstore.Bundle) *sigstore.Evidence {
	e := &sigstore.Evidence{Entries: b.Entries, Timestamps: b.Timestamps, Envelope: b.Envelope, EnvelopeText: b.EnvelopeText}
	if b.Envelope != nil {
		e.Message, e.Signature = &sigkey.Message{Bytes: b.Envelope.PAE()}, b.Envelope.Signatures[0]
	} else {
		e.Message, e.Signature = &sigkey.Message{Bytes: artifact}, b.Message.Signature
	}
	return e
}

// judge verifies a bundle by the world's root.
func (w *world) judge(b *sigstoretest.Bundle) (*sigstore.Verified, error) {
	w.t.Helper()
	if w.root == nil {
		w.root = w.RootJSON()
	}
	root, err := sigstore.ParseRoot(w.Marshal(w.root))
	if err != nil {
		return nil, err
	}
	parsed, err := sigstore.ParseBundle(b.Text())
	if err != nil {
		return nil, err
	}
	leaf, err := sigstore.ParseLeaf(parsed.Certificate)
	if err != nil {
		return nil, err
	}
	return root.VerifyLeaf(leaf, evidenceOf(parsed), w.demands, w.judgedAt)
}

// accepts checks that a bundle verifies.
func (w *world) accepts(b *sigstoretest.Bundle) *sigstore.Verified {
	w.t.Helper()
	found, err := w.judge(b)
	if err != nil {
		w.t.Errorf("refused: %v", err)
	}
	return found
}

// refuses checks that a bundle does not verify, and why.
func (w *world) refuses(b *sigstoretest.Bundle, want error) {
	w.t.Helper()
	if found, err := w.judge(b); found != nil || !errors.Is(err, want) {
		w.t.Errorf("%+v, %v; want %v", found, err, want)
	}
}

// set changes a member of an object.
func set(o any, name string, value any) { o.(sigstoretest.Object)[name] = value }

// each runs a test with a world of its own for each case.
func each(t *testing.T, cases map[string]func(*world)) {
	t.Helper()
	for name, test := range cases {
		t.Run(name, func(t *testing.T) { test(newWorld(t)) })
	}
}
