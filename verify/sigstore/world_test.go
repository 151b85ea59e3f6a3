package sigstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

const (
	workflow = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1"
	source   = "https://github.com/acme/app"
	issuer   = "https://token.actions.githubusercontent.com"
)

var statement = []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[]}`)

type world struct {
	*sigstoretest.Instance
	t         *testing.T
	authority *sigstore.Authority
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Instance: sigstoretest.New(t, sigstoretest.Options{}), t: t}
	w.authority = w.newAuthority(sigstore.Instance{Root: w.Root()})
	return w
}

func (w *world) newAuthority(i sigstore.Instance) *sigstore.Authority {
	w.t.Helper()
	a, err := sigstore.New(map[string]sigstore.Instance{"private": i})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// workflowOf is the certificate of a workflow in a source repository.
func workflowOf(uri, source string) sigstoretest.Leaf {
	l := sigstoretest.Leaf{URI: uri, Issuer: issuer, Claims: map[int]string{}}
	if source != "" {
		l.Claims[12] = source
	}
	return l
}

// signed is evidence by a certificate, in a bundle that Rekor v1 has.
func (w *world) signed(l sigstoretest.Leaf) policy.SignedEvidence {
	w.t.Helper()
	return w.evidence(w.Issue(l).SignStatement(statement).Log(w.Rekor1, "dsse 0.0.1"))
}

func (w *world) evidence(b *sigstoretest.Bundle) policy.SignedEvidence {
	w.t.Helper()
	return policy.SignedEvidence{
		MediaType: bundle.MediaTypeV03, Content: b.Text(), Message: b.Message, Signatures: [][]byte{b.Signature}, Now: w.Now.Add(time.Hour),
	}
}

// settings are pairs of a name and a value.
func settings(pairs ...any) map[string]any {
	m := make(map[string]any)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func (w *world) matcher(pairs ...any) policy.Matcher {
	w.t.Helper()
	m, err := w.authority.Matcher(settings(pairs...))
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) judge(e policy.SignedEvidence, pairs ...any) (policy.Recognized, error) {
	w.t.Helper()
	return w.matcher(pairs...).Signed(context.Background(), e)
}

// works records which work about evidence was done.
type works struct {
	done   map[any]func() (any, error)
	effort []int
}

func (w *works) once(key any, effort int, work func() (any, error)) (any, error) {
	if f := w.done[key]; f != nil {
		return f()
	}
	made, err := work()
	w.done[key] = func() (any, error) { return made, err }
	w.effort = append(w.effort, effort)
	return made, err
}

func newWorks() *works { return &works{done: make(map[any]func() (any, error))} }
