package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

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
