package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

func TestCopyTakesAllEvidenceAlong(t *testing.T) {
	s := newScene(t)
	dst, _ := newLayout(t)
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	s.wantAll(t, dst)
}

func TestCopyKeepsTheFallbackTagWhereSubjectsAreNotIndexed(t *testing.T) {
	s := newScene(t)
	l, _ := newLayout(t)
	dst := &wrapped{Store: l, plain: true}
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	s.wantAll(t, dst)
	for subject, want := range s.referrers {
		m, err := l.Manifest(t.Context(), l.Tag("sha256-"+subject.Hex))
		must(t, err)
		for _, h := range want {
			if !bytes.Contains(m.Bytes, []byte(h.Hex)) {
				t.Errorf("the fallback tag of %v does not list %v", subject, h)
			}
		}
	}
}

func TestCopyFromWhereSubjectsAreNotIndexed(t *testing.T) {
	s := newScene(t)
	middle, _ := newLayout(t)
	plain := &wrapped{Store: middle, plain: true}
	must(t, s.copyTo(t, plain, registry.CopyOptions{}))
	dst, _ := newLayout(t)
	_, err := registry.Copy(t.Context(), plain, testRepo.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{})
	must(t, err)
	s.wantAll(t, dst)
}

func TestCopyWithoutEvidence(t *testing.T) {
	s := newScene(t)
	dst, dir := newLayout(t)
	must(t, s.copyTo(t, dst, registry.CopyOptions{NoEvidence: true}))
	s.wantImage(t, dst)
	if listed := readIndex(t, dir); len(listed) != 1 {
		t.Errorf("index.json lists %v", listed)
	}
}

func TestCopyOfEvidenceAlone(t *testing.T) {
	s := newScene(t)
	dst, _ := newLayout(t)
	wantKind(t, s.copyTo(t, dst, registry.CopyOptions{EvidenceOnly: true}), registry.ErrNotFound)
	must(t, s.copyTo(t, dst, registry.CopyOptions{NoEvidence: true}))
	other := pushImage(t, dst, dst.Tag("v1"), "the tag has moved on", nil)
	must(t, s.copyTo(t, dst, registry.CopyOptions{EvidenceOnly: true}))
	d, err := dst.Resolve(t.Context(), dst.Tag("v1"))
	if err != nil || d.Digest != other.Descriptor.Digest {
		t.Errorf("the tag was set to %v, %v", d.Digest, err)
	}
	push(t, dst, dst.Tag("v1"), s.root)
	s.wantAll(t, dst)
	wantKind(t, s.copyTo(t, dst, registry.CopyOptions{EvidenceOnly: true, NoEvidence: true}), registry.ErrReference)
}

func TestCopyToDigest(t *testing.T) {
	s := newScene(t)
	dst, dir := newLayout(t)
	other := dst.Digest(s.children[0].Descriptor.Digest)
	_, err := registry.Copy(t.Context(), s.src, s.src.Tag("v1"), dst, other, registry.CopyOptions{})
	wantKind(t, err, registry.ErrDigestMismatch)

	to := dst.Digest(s.root.Descriptor.Digest)
	at, err := registry.Copy(t.Context(), s.src, s.src.Digest(s.root.Descriptor.Digest), dst, to, registry.CopyOptions{NoEvidence: true})
	if err != nil || at.String() != to.String() {
		t.Errorf("copied to %v, %v", at, err)
	}
	s.wantImage(t, dst)
	if listed := readIndex(t, dir); len(listed) != 1 || listed[0].Digest != s.root.Descriptor.Digest {
		t.Errorf("index.json lists %v", listed)
	}
}

func TestCopyMergesWithWhatIsThere(t *testing.T) {
	s := newScene(t)
	dst, _ := newLayout(t)
	sig, sbom := evidenceTag(s.root, ".sig"), evidenceTag(s.root, ".sbom")
	pushLayers(t, dst, sig, "signature 2", "their signature")
	theirs := pushLayers(t, dst, sbom, "their components")
	kept := pushImage(t, dst, nil, "their referrer", &s.root.Descriptor)
	var ignored int
	must(t, s.copyTo(t, dst, registry.CopyOptions{Progress: func(e registry.CopyEvent) {
		if e.Action == registry.CopyIgnored {
			ignored++
		}
	}}))

	m, err := dst.Manifest(t.Context(), dst.Tag(sig))
	must(t, err)
	var doc v1.Manifest
	must(t, json.Unmarshal(m.Bytes, &doc))
	var got []string
	for _, d := range doc.Layers {
		got = append(got, d.Annotations["dev.cosignproject.cosign/signature"])
	}
	slices.Sort(got)
	if want := []string{"of signature 1", "of signature 2", "of their signature"}; !slices.Equal(got, want) {
		t.Errorf("layers are %q, want %q", got, want)
	}
	wantBlobs(t, dst, m)
	d, err := dst.Resolve(t.Context(), dst.Tag(sbom))
	if err != nil || d.Digest != theirs.Descriptor.Digest || ignored != 1 {
		t.Errorf("their .sbom became %v, %v; %d events", d.Digest, err, ignored)
	}
	if all := listReferrers(t, dst, dst.Digest(s.root.Descriptor.Digest)); len(all) != 2 || all[0].Digest != kept.Descriptor.Digest {
		t.Errorf("referrers are %v", all)
	}
}

func TestCopySendsOnlyWhatIsMissing(t *testing.T) {
	s := newScene(t)
	l, _ := newLayout(t)
	var pushed []string
	var mu sync.Mutex
	dst := &wrapped{Store: l, before: func(call string, ref name.Reference) error {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(call, "push") {
			pushed = append(pushed, call+" "+ref.Identifier())
		}
		return nil
	}}
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	blobs := make(map[string]int)
	for _, p := range pushed {
		blobs[p]++
	}
	for p, n := range blobs {
		if n != 1 {
			t.Errorf("%s was done %d times", p, n)
		}
	}
	pushed = nil
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	if !slices.Equal(pushed, []string{"push manifest v1"}) {
		t.Errorf("the second copy did %q", pushed)
	}
	fresh := s.refer(t, s.root, "new evidence")
	pushed = nil
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	slices.Sort(pushed)
	if len(pushed) != 3 || !slices.Contains(pushed, "push manifest "+fresh.Descriptor.Digest.String()) {
		t.Errorf("the third copy did %q", pushed)
	}
}

var errInterrupted = &registry.Error{Op: "test", Kind: registry.ErrUnavailable, Detail: "interrupted"}

func TestAttack_F2_CopyInterruptedAtEveryStepLeavesOldOrNew(t *testing.T) {
	s := newScene(t)
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain %v", plain), func(t *testing.T) {
			for steps := 1; ; steps++ {
				if !interruptedCopy(t, s, steps, plain) {
					break
				}
				if steps > 500 {
					t.Fatal("the copy never ends")
				}
			}
		})
	}
}

// interruptedCopy copies to a destination where every call fails from the given
// one on, and reports whether that was before the copy's end.
func interruptedCopy(t *testing.T, s *scene, steps int, plain bool) bool {
	t.Helper()
	l, _ := newLayout(t)
	old := pushImage(t, l, l.Tag("v1"), "old image", nil)
	theirs := pushLayers(t, l, evidenceTag(s.children[1], ".sig"), "signature of an image", "theirs")
	s.tags[evidenceTag(s.children[1], ".sig")] = theirs.Descriptor.Digest // holds what is to be merged
	var calls atomic.Int64
	dst := &wrapped{Store: l, plain: plain, before: func(string, name.Reference) error {
		if calls.Add(1) >= int64(steps) {
			return errInterrupted
		}
		return nil
	}}
	err := s.copyTo(t, dst, registry.CopyOptions{Concurrency: 2})
	now, resolveErr := l.Manifest(t.Context(), l.Tag("v1"))
	must(t, resolveErr)
	switch {
	case err == nil:
		s.wantAll(t, &wrapped{Store: l, plain: plain})
		return false
	case !errors.Is(err, registry.ErrUnavailable):
		t.Errorf("step %d: %v", steps, err)
	case now.Descriptor.Digest != old.Descriptor.Digest:
		t.Errorf("step %d: the tag was set before the end", steps)
	}
	wantBlobs(t, l, now)
	for _, h := range slices.Concat(s.referrers[s.root.Descriptor.Digest], []v1.Hash{s.root.Descriptor.Digest}) {
		m, err := l.Manifest(t.Context(), l.Digest(h))
		if err == nil {
			wantBlobs(t, l, m) // what is there is complete
		}
	}
	dst.before = nil
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	s.wantAll(t, dst)
	return true
}

func TestCopyFailsWhereTheSourceCannotBeRead(t *testing.T) {
	s := newScene(t)
	count := 0
	counting := &wrapped{Store: s.src, before: func(string, name.Reference) error { count++; return nil }}
	first, _ := newLayout(t)
	_, err := registry.Copy(t.Context(), counting, s.src.Tag("v1"), first, first.Tag("v1"), registry.CopyOptions{Concurrency: 1})
	must(t, err)
	for fail := 1; fail <= count; fail++ {
		n := 0
		src := &wrapped{Store: s.src, before: func(string, name.Reference) error {
			if n++; n == fail {
				return errInterrupted
			}
			return nil
		}}
		dst, _ := newLayout(t)
		_, err := registry.Copy(t.Context(), src, s.src.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{Concurrency: 1})
		wantKind(t, err, registry.ErrUnavailable)
		if _, err := dst.Resolve(t.Context(), dst.Tag("v1")); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("call %d failed, and yet the tag was set", fail)
		}
	}
}

func TestCopyNamesWhatIsMissing(t *testing.T) {
	for what, missing := range map[string]func(*scene) v1.Hash{
		"manifest": func(s *scene) v1.Hash { return s.children[1].Descriptor.Digest },
		"blob":     func(s *scene) v1.Hash { return blobDescriptor("", []byte("layer for arm64")).Digest },
	} {
		t.Run(what, func(t *testing.T) {
			s := newScene(t)
			h := missing(s)
			must(t, os.Remove(blobFile(s.dir, h)))
			dst, _ := newLayout(t)
			err := s.copyTo(t, dst, registry.CopyOptions{})
			wantKind(t, err, registry.ErrNotFound)
			if err != nil && !strings.Contains(err.Error(), h.Hex) {
				t.Errorf("%v does not name %s", err, h)
			}
		})
	}
}

func TestCopyStopsWithItsContext(t *testing.T) {
	s := newScene(t)
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int64
		l, _ := newLayout(t)
		dst := &wrapped{Store: l, before: func(string, name.Reference) error {
			if calls.Add(1) == int64(n) {
				cancel()
			}
			return nil
		}}
		_, err := registry.Copy(ctx, s.src, s.src.Tag("v1"), dst, testRepo.Tag("v1"), registry.CopyOptions{})
		ended := ctx.Err() != nil
		cancel()
		if !ended {
			break
		}
		if err != nil {
			wantCanceled(t, err)
		} else if int(calls.Load()) > n+1 {
			t.Errorf("cancelled in call %d of %d, and yet no error", n, calls.Load())
		}
	}
}

func TestCopyTellsProgress(t *testing.T) {
	l, _ := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), strings.Repeat("x", 5<<20), nil)
	dst, _ := newLayout(t)
	var events []registry.CopyEvent
	var busy atomic.Bool
	_, err := registry.Copy(t.Context(), l, l.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{Progress: func(e registry.CopyEvent) {
		if !busy.CompareAndSwap(false, true) {
			t.Error("two calls at once")
		}
		events = append(events, e)
		busy.Store(false)
	}})
	must(t, err)
	last := events[len(events)-1]
	want := registry.CopyCount{Items: 3, Bytes: 5<<20 + 2 + m.Descriptor.Size}
	if last.Done != want || last.Total != want {
		t.Errorf("at the end %+v of %+v, want %+v", last.Done, last.Total, want)
	}
	parts := 0
	for i, e := range events {
		if e.Action == registry.CopyStarted {
			parts++
		}
		if e.Done.Bytes > e.Total.Bytes || i > 0 && e.Done.Bytes < events[i-1].Done.Bytes {
			t.Errorf("event %d: %+v of %+v", i, e.Done, e.Total)
		}
	}
	if parts < 4 {
		t.Errorf("%d events about a blob of 5 MiB", parts)
	}
}

// mountingStore mounts every blob that it is asked to.
type mountingStore struct {
	registry.Store
	blobs map[string]string // what can be mounted, by digest
	from  []string
	mu    sync.Mutex
}

func (m *mountingStore) MountBlob(ctx context.Context, ref name.Digest, from name.Repository) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.from = append(m.from, from.String())
	data, ok := m.blobs[ref.DigestStr()]
	if !ok {
		return false, errInterrupted
	}
	return true, m.Store.PushBlob(ctx, ref, int64(len(data)), opener([]byte(data)))
}

func TestCopyMountsBlobsWithinARegistry(t *testing.T) {
	s := newScene(t)
	l, _ := newLayout(t)
	layer := "layer for amd64"
	dst := &mountingStore{Store: l, blobs: map[string]string{blobDescriptor("", []byte(layer)).Digest.String(): layer}}
	mounted := 0
	count := func(e registry.CopyEvent) {
		if e.Action == registry.CopyMounted {
			mounted++
		}
	}
	from := mustRepo("registry.example/elsewhere/app")
	_, err := registry.Copy(t.Context(), s.src, from.Tag("v1"), dst, testRepo.Tag("v1"), registry.CopyOptions{Progress: count})
	must(t, err)
	s.wantAll(t, dst)
	if mounted != 1 || !slices.Contains(dst.from, from.String()) {
		t.Errorf("mounted %d, from %v", mounted, dst.from)
	}
	l, _ = newLayout(t)
	dst = &mountingStore{Store: l}
	_, err = registry.Copy(t.Context(), s.src, s.src.Tag("v1"), dst, testRepo.Tag("v1"), registry.CopyOptions{})
	if err != nil || len(dst.from) > 0 {
		t.Errorf("asked to mount from another registry: %v, %v", dst.from, err)
	}
}

func TestCopyRepairsADamagedDestination(t *testing.T) {
	s := newScene(t)
	dst, dir := newLayout(t)
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	for _, h := range []v1.Hash{s.children[0].Descriptor.Digest, blobDescriptor("", []byte("layer for arm64")).Digest, s.referrers[s.root.Descriptor.Digest][0]} {
		must(t, os.WriteFile(blobFile(dir, h), []byte("rubbish"), 0o600))
	}
	must(t, s.copyTo(t, openLayout(t, dir, layout.Options{}), registry.CopyOptions{}))
	s.wantAll(t, openLayout(t, dir, layout.Options{}))
}

// strict refuses a manifest before all that it lists is there, as registries may.
type strict struct {
	registry.Store
	t testing.TB
}

func (s *strict) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	var doc struct {
		Config            *v1.Descriptor
		Layers, Manifests []v1.Descriptor
	}
	must(s.t, json.Unmarshal(m.Bytes, &doc))
	blobs := doc.Layers
	if doc.Config != nil {
		blobs = append(blobs, *doc.Config)
	}
	for _, d := range blobs {
		if has, err := s.HasBlob(ctx, testRepo.Digest(d.Digest.String())); !has || err != nil {
			s.t.Errorf("%s was pushed before its blob %s", m.Descriptor.Digest, d.Digest)
		}
	}
	for _, d := range doc.Manifests {
		if _, err := s.Resolve(ctx, testRepo.Digest(d.Digest.String())); err != nil {
			s.t.Errorf("%s was pushed before its manifest %s", m.Descriptor.Digest, d.Digest)
		}
	}
	return s.Store.PushManifest(ctx, ref, m, o)
}

func TestCopyWritesNothingBeforeWhatItLists(t *testing.T) {
	s := newScene(t)
	inner := testIndex(t, s.children[0].Descriptor, s.children[1].Descriptor)
	push(t, s.src, s.src.Digest(inner.Descriptor.Digest), inner)
	middle := testIndex(t, inner.Descriptor)
	push(t, s.src, s.src.Digest(middle.Descriptor.Digest), middle)
	s.root = testIndex(t, s.children[1].Descriptor, inner.Descriptor, middle.Descriptor)
	push(t, s.src, s.src.Tag("v1"), s.root)
	for range 5 {
		l, _ := newLayout(t)
		must(t, s.copyTo(t, &strict{l, t}, registry.CopyOptions{Concurrency: 16}))
	}
}

// forgetful accepts one manifest and does not keep it.
type forgetful struct {
	registry.Store
	forgets v1.Hash
}

func (f *forgetful) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	if m.Descriptor.Digest == f.forgets {
		return registry.PushReport{SubjectIndexed: true}, nil
	}
	return f.Store.PushManifest(ctx, ref, m, o)
}

func TestCopyReadsBackWhatItWrote(t *testing.T) {
	s := newScene(t)
	l, _ := newLayout(t)
	wantKind(t, s.copyTo(t, &forgetful{l, s.root.Descriptor.Digest}, registry.CopyOptions{}), registry.ErrNotFound)
}

func TestCopyMakesNoTagOfRubbishAlone(t *testing.T) {
	s := newScene(t)
	sig := evidenceTag(s.children[0], ".sig")
	pushLayers(t, s.src, sig, "gone")
	must(t, os.Remove(blobFile(s.dir, blobDescriptor("", []byte("gone")).Digest)))
	dst, _ := newLayout(t)
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	if _, err := dst.Resolve(t.Context(), dst.Tag(sig)); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the tag was made: %v", err)
	}
	s.wantAll(t, dst)
}

func TestCancellationAtEveryReadAndWriteOfACopy(t *testing.T) {
	from, to := mustRepo("registry.example/team/app"), mustRepo("mirror.example/team/app")
	source := registrytest.New(registrytest.Options{}).Store()
	index, _, err := registrytest.PushIndex(t.Context(), source, from.Tag("v1"))
	if err != nil {
		t.Fatal(err)
	}
	attach(t, source, index, bundleItem("b"), simpleItem("s"), envelopeItem("a"))
	for name, cancelled := range map[string]func(ctx context.Context, store registry.Store) error{
		"the source's": func(ctx context.Context, store registry.Store) error {
			_, err := registry.Copy(ctx, store, from.Tag("v1"), registrytest.New(registrytest.Options{}).Store(), to.Tag("v1"), registry.CopyOptions{})
			return err
		},
		"the destination's": func(ctx context.Context, store registry.Store) error {
			_, err := registry.Copy(ctx, source, from.Tag("v1"), store, to.Tag("v1"), registry.CopyOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls := registrytest.TestCancellation(t, func() registry.Store {
				if name == "the source's" {
					return source
				}
				return registrytest.New(registrytest.Options{}).Store()
			}, cancelled)
			if calls < 8 {
				t.Errorf("only %d reads and writes", calls)
			}
		})
	}
}
