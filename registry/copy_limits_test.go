package registry_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// wide is an index, and a referrer of subject, that lists indexes; each of them
// lists many manifests that are nowhere.
type wide struct {
	registry.Store
	all     map[string]registry.Manifest
	subject v1.Hash
	top     v1.Descriptor
	reads   atomic.Int64
}

func newWide(t testing.TB, inner registry.Store, subject v1.Descriptor, indexes, each int) *wide {
	w := &wide{Store: inner, all: make(map[string]registry.Manifest), subject: subject.Digest}
	add := func(text string) v1.Descriptor {
		m := mustManifest(t, indexType, []byte(text))
		w.all[m.Descriptor.Digest.String()] = m
		return m.Descriptor
	}
	var list []string
	for i := range indexes {
		var b strings.Builder
		for k := range each {
			_, _ = fmt.Fprintf(&b, `,{"mediaType":%q,"size":2,"digest":"sha256:%064x"}`, manifestType, i*each+k+1)
		}
		d := add(`{"schemaVersion":2,"manifests":[` + b.String()[1:] + `]}`)
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"size":%d,"digest":%q}`, indexType, d.Size, d.Digest))
	}
	w.top = add(fmt.Sprintf(`{"schemaVersion":2,"manifests":[%s],"subject":{"mediaType":%q,"size":%d,"digest":%q}}`,
		strings.Join(list, ","), subject.MediaType, subject.Size, subject.Digest))
	return w
}

func (w *wide) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	if m, ok := w.all[ref.Identifier()]; ok {
		w.reads.Add(1)
		return m, nil
	}
	return w.Store.Manifest(ctx, ref)
}

func (w *wide) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	if subject.DigestStr() != w.subject.String() {
		return w.Store.Referrers(ctx, subject)
	}
	return func(yield func(v1.Descriptor, error) bool) { yield(w.top, nil) }
}

func TestAttack_E9_AReferrerThatListsTooMuchIsGivenUpAtOnce(t *testing.T) {
	s := newScene(t)
	w := newWide(t, s.src, s.root.Descriptor, 60, 2000)
	dst, _ := newLayout(t)
	ignored := false
	_, err := registry.Copy(t.Context(), w, s.src.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{Concurrency: 2, Progress: func(e registry.CopyEvent) {
		ignored = ignored || e.Action == registry.CopyIgnored && e.Content.Digest == w.top.Digest
	}})
	must(t, err)
	// The referrer, and as many of its indexes as are read at once.
	if n := w.reads.Load(); n > 4 || !ignored {
		t.Errorf("%d of 61 manifests were read, ignored: %v", n, ignored)
	}
}

func TestAttack_I2_AnIndexThatListsTooMuchIsGivenUpAtOnce(t *testing.T) {
	s := newScene(t)
	w := newWide(t, s.src, s.root.Descriptor, 60, 2000)
	dst, _ := newLayout(t)
	_, err := registry.Copy(t.Context(), w, s.src.Digest(w.top.Digest), dst, dst.Tag("v1"), registry.CopyOptions{Concurrency: 2})
	wantKind(t, err, registry.ErrTooMany)
	if n := w.reads.Load(); n > 4 {
		t.Errorf("%d of 61 manifests were read", n)
	}
}

// The destination refuses good bytes: that is no reason to pass over evidence.
func TestAttack_E12_CopyFailsWhenTheDestinationRefusesEvidence(t *testing.T) {
	s := newScene(t)
	r, dst := registryFor(t, false)
	about := hashOf("about the index")
	r.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindUpload, Match: func(q registrytest.Request) bool { return strings.Contains(q.Query, about.Hex) },
		Do: registrytest.SetHeader("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))})
	wantKind(t, s.copyTo(t, dst, registry.CopyOptions{}), registry.ErrDigestMismatch)
}
