package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// scene is a signed index at a source, and what of it must arrive.
type scene struct {
	src      *registry.Layout
	dir      string
	root     registry.Manifest
	children []registry.Manifest
	// tags maps evidence tags to the digests of their manifests.
	tags map[string]v1.Hash
	// referrers maps subjects to their referrers.
	referrers map[v1.Hash][]v1.Hash
}

// newScene makes an index of two images under the tag v1, each with a config and
// a layer; a referrer of the index and one of the first image, a referrer of the
// former; and the tags .sig, .att and .sbom.
func newScene(t testing.TB) *scene {
	t.Helper()
	l, dir := newLayout(t)
	s := &scene{src: l, dir: dir, tags: make(map[string]v1.Hash), referrers: make(map[v1.Hash][]v1.Hash)}
	var entries []v1.Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		m := pushImage(t, l, nil, "layer for "+arch, nil)
		s.children = append(s.children, m)
		d := m.Descriptor
		d.Platform = &v1.Platform{OS: "linux", Architecture: arch}
		entries = append(entries, d)
	}
	s.root = testIndex(t, entries...)
	push(t, l, l.Tag("v1"), s.root)
	about := s.refer(t, s.root, "about the index")
	s.refer(t, s.children[0], "about an image")
	s.refer(t, about, "about evidence")
	s.tag(t, s.root, ".sig", "signature 1", "signature 2")
	s.tag(t, s.root, ".att", "attestation")
	s.tag(t, s.root, ".sbom", "components")
	s.tag(t, s.children[1], ".sig", "signature of an image")
	return s
}

func testIndex(t testing.TB, entries ...v1.Descriptor) registry.Manifest {
	t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: ociIndex, Manifests: entries})
	must(t, err)
	return mustManifest(t, ociIndex, data)
}

func (s *scene) refer(t testing.TB, subject registry.Manifest, content string) registry.Manifest {
	t.Helper()
	m := pushImage(t, s.src, nil, content, &subject.Descriptor)
	h := subject.Descriptor.Digest
	s.referrers[h] = append(s.referrers[h], m.Descriptor.Digest)
	return m
}

func (s *scene) tag(t testing.TB, subject registry.Manifest, suffix string, contents ...string) {
	t.Helper()
	tag := evidenceTag(subject, suffix)
	s.tags[tag] = pushLayers(t, s.src, tag, contents...).Descriptor.Digest
}

func evidenceTag(subject registry.Manifest, suffix string) string {
	return "sha256-" + subject.Descriptor.Digest.Hex + suffix
}

// pushLayers pushes a manifest as cosign's tags hold it, each layer with an
// annotation of its own.
func pushLayers(t testing.TB, s registry.Store, tag string, contents ...string) registry.Manifest {
	t.Helper()
	m := layersManifest(t, contents...)
	repo := repoOf(s)
	for _, content := range append(contents, "{}") {
		pushBlob(t, s, repo, []byte(content))
	}
	push(t, s, repo.Tag(tag), m)
	return m
}

func layersManifest(t testing.TB, contents ...string) registry.Manifest {
	t.Helper()
	doc := v1.Manifest{SchemaVersion: 2, MediaType: ociManifest, Config: blobDescriptor(emptyJSON, []byte("{}")), Layers: []v1.Descriptor{}}
	for _, content := range contents {
		d := blobDescriptor("application/vnd.dev.cosign.simplesigning.v1+json", []byte(content))
		d.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "of " + content}
		doc.Layers = append(doc.Layers, d)
	}
	data, err := json.Marshal(doc)
	must(t, err)
	return mustManifest(t, ociManifest, data)
}

var testRepo = mustRepo("registry.example/team/app")

func mustRepo(s string) name.Repository {
	r, err := name.NewRepository(s)
	if err != nil {
		panic(err)
	}
	return r
}

// repoOf returns a repository that a store serves.
func repoOf(s any) name.Repository {
	switch s := s.(type) {
	case *registry.Layout:
		return s.Repository()
	case *located:
		return s.repo
	}
	return testRepo
}

// located is a store of which one repository is used.
type located struct {
	*registry.Client
	repo name.Repository
}

// copyTo copies the scene's index to the tag v1.
func (s *scene) copyTo(t testing.TB, dst registry.Store, o registry.CopyOptions) error {
	t.Helper()
	at, err := registry.Copy(t.Context(), s.src, s.src.Tag("v1"), dst, repoOf(dst).Tag("v1"), o)
	if err == nil && at.DigestStr() != s.root.Descriptor.Digest.String() {
		t.Errorf("the copy is %s, the image %s", at, s.root.Descriptor.Digest)
	}
	return err
}

// wantImage fails unless dst holds the whole image, byte for byte.
func (s *scene) wantImage(t testing.TB, dst registry.Reader) {
	t.Helper()
	for _, m := range append(s.children, s.root) {
		wantManifest(t, dst, m)
	}
}

func wantManifest(t testing.TB, dst registry.Reader, m registry.Manifest) {
	t.Helper()
	got, err := dst.Manifest(t.Context(), repoOf(dst).Digest(m.Descriptor.Digest.String()))
	if err != nil || !bytes.Equal(got.Bytes, m.Bytes) || got.Descriptor.MediaType != m.Descriptor.MediaType {
		t.Errorf("%s: %v, %v", m.Descriptor.Digest, got.Descriptor, err)
		return
	}
	wantBlobs(t, dst, got)
}

// wantBlobs fails unless dst holds the blobs of a manifest.
func wantBlobs(t testing.TB, dst registry.Reader, m registry.Manifest) {
	t.Helper()
	if m.Descriptor.MediaType.IsIndex() {
		return
	}
	var doc v1.Manifest
	must(t, json.Unmarshal(m.Bytes, &doc))
	for _, d := range append(doc.Layers, doc.Config) {
		if _, err := readBlob(dst, repoOf(dst).Digest(d.Digest.String()), d.Size); err != nil {
			t.Errorf("%s of %s: %v", d.Digest, m.Descriptor.Digest, err)
		}
	}
}

// wantAll fails unless dst holds the image and its evidence, and the tag.
func (s *scene) wantAll(t testing.TB, dst registry.Reader) {
	t.Helper()
	s.wantImage(t, dst)
	d, err := dst.Resolve(t.Context(), repoOf(dst).Tag("v1"))
	if err != nil || d.Digest != s.root.Descriptor.Digest {
		t.Errorf("the tag is %v, %v", d, err)
	}
	for tag, want := range s.tags {
		m, err := dst.Manifest(t.Context(), repoOf(dst).Tag(tag))
		if err != nil || m.Descriptor.Digest != want {
			t.Errorf("%s is %v, %v, want %v", tag, m.Descriptor.Digest, err, want)
			continue
		}
		wantBlobs(t, dst, m)
	}
	for subject, want := range s.referrers {
		var got []v1.Hash
		for _, d := range listReferrers(t, dst, repoOf(dst).Digest(subject.String())) {
			got = append(got, d.Digest)
			m, err := dst.Manifest(t.Context(), repoOf(dst).Digest(d.Digest.String()))
			if err != nil {
				t.Errorf("referrer: %v", err)
				continue
			}
			wantBlobs(t, dst, m)
		}
		if !slices.Equal(got, want) {
			t.Errorf("referrers of %v are %v, want %v", subject, got, want)
		}
	}
}

// wrapped is a store whose calls can be counted and made to fail.
type wrapped struct {
	registry.Store
	// before is called with the name of each call; an error is its result.
	before func(call string, ref name.Reference) error
	// plain makes it a store that does not index subjects.
	plain bool
}

func (w *wrapped) check(call string, ref name.Reference) error {
	if w.before == nil {
		return nil
	}
	return w.before(call, ref)
}

func (w *wrapped) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	if err := w.check("resolve", ref); err != nil {
		return v1.Descriptor{}, err
	}
	return w.Store.Resolve(ctx, ref)
}

func (w *wrapped) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	if err := w.check("manifest", ref); err != nil {
		return registry.Manifest{}, err
	}
	return w.Store.Manifest(ctx, ref)
}

func (w *wrapped) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	if err := w.check("blob", ref); err != nil {
		return nil, err
	}
	return w.Store.Blob(ctx, ref, size)
}

func (w *wrapped) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		if err := w.check("referrers", subject); err != nil {
			yield(v1.Descriptor{}, err)
			return
		}
		if !w.plain {
			w.Store.Referrers(ctx, subject)(yield)
			return
		}
		m, err := w.Store.Manifest(ctx, subject.Context().Tag(strings.Replace(subject.DigestStr(), ":", "-", 1)))
		if errors.Is(err, registry.ErrNotFound) {
			return
		}
		var index v1.IndexManifest
		if err == nil {
			err = json.Unmarshal(m.Bytes, &index)
		}
		if err != nil {
			yield(v1.Descriptor{}, err)
		}
		for _, d := range index.Manifests {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (w *wrapped) HasBlob(ctx context.Context, ref name.Digest) (bool, error) {
	if err := w.check("has blob", ref); err != nil {
		return false, err
	}
	return w.Store.HasBlob(ctx, ref)
}

func (w *wrapped) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	if err := w.check("push blob", ref); err != nil {
		return err
	}
	return w.Store.PushBlob(ctx, ref, size, open)
}

func (w *wrapped) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	if err := w.check("push manifest", ref); err != nil {
		return registry.PushReport{}, err
	}
	report, err := w.Store.PushManifest(ctx, ref, m, o)
	if w.plain {
		report.SubjectIndexed = false
	}
	return report, err
}

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

func TestAttack_I2_IndexesAreBounded(t *testing.T) {
	l, _ := newLayout(t)
	dst, _ := newLayout(t)
	copyOf := func(m registry.Manifest, o registry.CopyOptions) error {
		push(t, l, l.Tag("v1"), m)
		_, err := registry.Copy(t.Context(), l, l.Tag("v1"), dst, dst.Tag("v1"), o)
		return err
	}
	nested := pushImage(t, l, nil, "image", nil)
	for depth := 1; depth <= 6; depth++ {
		nested = testIndex(t, nested.Descriptor)
		push(t, l, l.Digest(nested.Descriptor.Digest), nested)
		err := copyOf(nested, registry.CopyOptions{})
		if depth <= 4 {
			must(t, err)
		} else {
			wantKind(t, err, registry.ErrTooMany)
		}
	}
	var entries []v1.Descriptor
	for i := range 5 {
		entries = append(entries, pushImage(t, l, nil, fmt.Sprint("image ", i), nil).Descriptor)
	}
	wantKind(t, copyOf(testIndex(t, entries...), registry.CopyOptions{MaxManifests: 5}), registry.ErrTooMany)
	must(t, copyOf(testIndex(t, entries...), registry.CopyOptions{MaxManifests: 6}))

	huge := make([]v1.Descriptor, 200)
	for i := range huge {
		huge[i] = blobDescriptor(ociManifest, fmt.Append(nil, "claim ", i))
		huge[i].Size = 4 << 20
	}
	wantKind(t, copyOf(testIndex(t, huge...), registry.CopyOptions{}), registry.ErrTooLarge)
}

func TestAttack_I5_ChildThatIsNotAsDescribedIsRefused(t *testing.T) {
	l, _ := newLayout(t)
	dst, _ := newLayout(t)
	image := pushImage(t, l, nil, "image", nil).Descriptor
	size, kind := image, image
	size.Size--
	kind.MediaType = ociIndex
	for _, entries := range [][]v1.Descriptor{{size}, {kind}, {image, size}} {
		push(t, l, l.Tag("v1"), testIndex(t, entries...))
		_, err := registry.Copy(t.Context(), l, l.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{})
		wantKind(t, err, registry.ErrMalformed)
	}
}

func TestAttack_E4_ReferrerOfAnotherSubjectIsNotCopied(t *testing.T) {
	s := newScene(t)
	other := pushImage(t, s.src, nil, "other", nil)
	foreign := pushImage(t, s.src, nil, "about the other", &other.Descriptor)
	list := testIndex(t, foreign.Descriptor, blobDescriptor(ociManifest, []byte("not there")))
	push(t, s.src, s.src.Tag(evidenceTag(s.root, "")), list)
	dst, _ := newLayout(t)
	var ignored []v1.Hash
	must(t, s.copyTo(t, dst, registry.CopyOptions{Progress: func(e registry.CopyEvent) {
		if e.Action == registry.CopyIgnored {
			ignored = append(ignored, e.Content.Digest)
		}
	}}))
	s.wantAll(t, dst)
	if len(ignored) != 2 || !slices.Contains(ignored, foreign.Descriptor.Digest) {
		t.Errorf("ignored %v", ignored)
	}
}

func TestAttack_E19_RubbishUnderEvidenceTagsIsIgnored(t *testing.T) {
	s := newScene(t)
	att := evidenceTag(s.root, ".att")
	delete(s.tags, att)
	push(t, s.src, s.src.Tag(att), testIndex(t, s.root.Descriptor))
	sig := evidenceTag(s.children[0], ".sig")
	m := pushLayers(t, s.src, sig, "good", "gone")
	must(t, os.Remove(blobFile(s.dir, blobDescriptor("", []byte("gone")).Digest)))
	dst, _ := newLayout(t)
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	s.wantAll(t, dst)
	if _, err := dst.Resolve(t.Context(), dst.Tag(att)); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("an index was copied as evidence: %v", err)
	}
	got, err := dst.Manifest(t.Context(), dst.Tag(sig))
	must(t, err)
	if !bytes.Contains(got.Bytes, []byte("of good")) || bytes.Contains(got.Bytes, []byte("of gone")) {
		t.Errorf("%s became %s, from %s", sig, got.Bytes, m.Bytes)
	}
	wantBlobs(t, dst, got)
}

func TestAttack_E19_RubbishUnderTheFallbackTagIsIgnored(t *testing.T) {
	s := newScene(t)
	plain := &wrapped{Store: s.src, before: func(call string, ref name.Reference) error {
		if call == "referrers" && ref.Identifier() == s.root.Descriptor.Digest.String() {
			return &registry.Error{Op: "test", Kind: registry.ErrMalformed}
		}
		return nil
	}}
	dst, _ := newLayout(t)
	_, err := registry.Copy(t.Context(), plain, testRepo.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{})
	wantKind(t, err, registry.ErrMalformed) // the list is malformed, and no tag is to blame

	pushImage(t, s.src, s.src.Tag(evidenceTag(s.root, "")), "an image", nil)
	told := false
	_, err = registry.Copy(t.Context(), plain, testRepo.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{
		Progress: func(e registry.CopyEvent) { told = told || strings.Contains(e.Detail, "fallback") },
	})
	if err != nil || !told {
		t.Errorf("error is %v, told: %v", err, told)
	}
}

func TestAttack_E9_EvidenceIsBounded(t *testing.T) {
	s := newScene(t)
	dst, _ := newLayout(t)
	wantKind(t, s.copyTo(t, dst, registry.CopyOptions{MaxEvidence: 6}), registry.ErrTooMany)
	must(t, s.copyTo(t, dst, registry.CopyOptions{MaxEvidence: 7}))
	s.wantAll(t, dst)

	s.refer(t, s.root, strings.Repeat("large ", 100))
	large := s.referrers[s.root.Descriptor.Digest][1]
	must(t, s.copyTo(t, dst, registry.CopyOptions{MaxEvidenceBlob: 599}))
	if _, err := dst.Resolve(t.Context(), dst.Digest(large)); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("evidence that is too large: %v", err)
	}
}

func TestAttack_E20_UrlsAreNeverFetched(t *testing.T) {
	var fetched atomic.Bool
	l, _ := newLayout(t)
	foreign := blobDescriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", []byte("foreign"))
	foreign.URLs = []string{newTrap(t, &fetched)}
	here := blobDescriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", []byte("here"))
	doc := v1.Manifest{SchemaVersion: 2, MediaType: ociManifest, Config: blobDescriptor(emptyJSON, []byte("{}")),
		Layers: []v1.Descriptor{foreign, here}}
	data, err := json.Marshal(doc)
	must(t, err)
	m := mustManifest(t, ociManifest, data)
	pushBlob(t, l, l.Repository(), []byte("{}"))
	pushBlob(t, l, l.Repository(), []byte("here"))
	push(t, l, l.Tag("v1"), m)

	dst, dstDir := newLayout(t)
	var ignored []v1.Hash
	_, err = registry.Copy(t.Context(), l, l.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{Progress: func(e registry.CopyEvent) {
		if e.Action == registry.CopyIgnored {
			ignored = append(ignored, e.Content.Digest)
		}
	}})
	must(t, err)
	if !slices.Equal(ignored, []v1.Hash{foreign.Digest}) || fetched.Load() {
		t.Errorf("ignored %v, fetched: %v", ignored, fetched.Load())
	}
	if _, err := os.Stat(blobFile(dstDir, here.Digest)); err != nil {
		t.Errorf("a layer that was there: %v", err)
	}

	// A layer with urls is no way to have an ordinary layer left out.
	doc.Layers = append(doc.Layers, blobDescriptor("application/vnd.oci.image.layer.v1.tar", []byte("foreign")))
	data, err = json.Marshal(doc)
	must(t, err)
	push(t, l, l.Tag("v2"), mustManifest(t, ociManifest, data))
	_, err = registry.Copy(t.Context(), l, l.Tag("v2"), dst, dst.Tag("v2"), registry.CopyOptions{})
	wantKind(t, err, registry.ErrNotFound)
}

// newTrap serves an address that must not be asked.
func newTrap(t testing.TB, asked *atomic.Bool) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Store(true)
		_, _ = io.WriteString(w, "foreign")
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestAttack_R1_SourceThatSendsOtherBytesIsNotCopied(t *testing.T) {
	s := newScene(t)
	layer := blobDescriptor("", []byte("layer for amd64"))
	lying := &lyingReader{Reader: s.src, about: layer.Digest, content: "LAYER for amd64"}
	dst, dir := newLayout(t)
	_, err := registry.Copy(t.Context(), lying, s.src.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{})
	wantKind(t, err, registry.ErrDigestMismatch)
	if _, err := os.Stat(blobFile(dir, layer.Digest)); err == nil {
		t.Error("the blob was stored")
	}
	lying.about, lying.content = s.root.Descriptor.Digest, `{"schemaVersion":2,"manifests":[]}`
	_, err = registry.Copy(t.Context(), lying, s.src.Digest(s.root.Descriptor.Digest), dst, dst.Tag("v1"), registry.CopyOptions{})
	wantKind(t, err, registry.ErrDigestMismatch)
}

// lyingReader returns other content than asked for, unverified.
type lyingReader struct {
	registry.Reader
	about   v1.Hash
	content string
}

func (r *lyingReader) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	m, err := r.Reader.Manifest(ctx, ref)
	if m.Descriptor.Digest == r.about {
		m.Bytes = []byte(r.content)
	}
	return m, err
}

func (r *lyingReader) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	if ref.DigestStr() == r.about.String() {
		return io.NopCloser(strings.NewReader(r.content)), nil
	}
	return r.Reader.Blob(ctx, ref, size)
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
	must(t, s.copyTo(t, openLayout(t, dir, registry.LayoutOptions{}), registry.CopyOptions{}))
	s.wantAll(t, openLayout(t, dir, registry.LayoutOptions{}))
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
