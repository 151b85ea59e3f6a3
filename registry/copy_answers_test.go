package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// ignored returns options that collect what a copy passes over.
func ignored(all *[]registry.CopyEvent) registry.CopyOptions {
	return registry.CopyOptions{Progress: func(e registry.CopyEvent) {
		if e.Action == registry.CopyIgnored {
			*all = append(*all, e)
		}
	}}
}

// servesAs is a store that gives other bytes for some tags and digests.
func servesAs(s registry.Store, other map[string]registry.Manifest) registry.Store {
	return registrytest.Faulty(s, registrytest.Hooks{Manifest: func(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
		if m, ok := other[ref.Identifier()]; ok {
			return m, nil
		}
		return s.Manifest(ctx, ref)
	}})
}

func TestCopyOfWhatIsNoManifestFails(t *testing.T) {
	l, _ := newLayout(t)
	for what, c := range map[string]struct {
		mediaType, data string
		want            registry.Kind
	}{
		"no JSON":    {ociManifest, "{", registry.ErrMalformed},
		"no index":   {ociIndex, `{"schemaVersion":2,"layers":[]}`, registry.ErrMalformed},
		"a web page": {"text/html", `{"schemaVersion":2}`, registry.ErrUnsupported},
	} {
		src := servesAs(l, map[string]registry.Manifest{"v1": mustManifest(t, c.mediaType, []byte(c.data))})
		dst, _ := newLayout(t)
		_, err := registry.Copy(t.Context(), src, l.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{})
		wantError(t, what, err, c.want)
	}
}

func TestCopyTakesAlongWhatAnIndexListsThatIsNoManifest(t *testing.T) {
	s := newScene(t)
	data := []byte("any content")
	pushBlob(t, s.src, s.src.Repository(), data)
	s.root = testIndex(t, s.children[0].Descriptor, blobDescriptor("application/x", data), s.children[1].Descriptor)
	push(t, s.src, s.src.Tag("v1"), s.root)
	dst, _ := newLayout(t)
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	s.wantImage(t, dst)
	if got, err := readBlob(dst, dst.Digest(blobDescriptor("", data).Digest), int64(len(data))); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCopyToADigestInARegistrySetsNoTag(t *testing.T) {
	s := newScene(t)
	r, dst := registryFor(t, false)
	at := dst.repo.Digest(s.root.Descriptor.Digest.String())
	_, err := registry.Copy(t.Context(), s.src, s.src.Tag("v1"), dst, at, registry.CopyOptions{NoEvidence: true})
	must(t, err)
	s.wantImage(t, dst)
	if tags := r.Tags("team/app"); len(tags) != 0 {
		t.Errorf("tags %v", tags)
	}
}

func TestCopyIsUnconfirmedWhenTheStoreDescribesSomethingElse(t *testing.T) {
	s := newScene(t)
	for what, lie := range map[string]func(*v1.Descriptor){
		"size":       func(d *v1.Descriptor) { d.Size++ },
		"media type": func(d *v1.Descriptor) { d.MediaType = ociManifest },
		"digest":     func(d *v1.Descriptor) { d.Digest = hashOf("another") },
	} {
		l, _ := newLayout(t)
		dst := registrytest.Faulty(l, registrytest.Hooks{Resolve: func(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
			d, err := l.Resolve(ctx, ref)
			if d.Digest == s.root.Descriptor.Digest {
				lie(&d)
			}
			return d, err
		}})
		_, err := registry.Copy(t.Context(), s.src, s.src.Tag("v1"), dst, testRepo.Tag("v1"), registry.CopyOptions{})
		wantError(t, what, err, registry.ErrNotConfirmed)
		_, err = l.Resolve(t.Context(), l.Tag("v1"))
		wantError(t, what+", its tag", err, registry.ErrNotFound)
	}
}

// breaking is a source that breaks off one blob.
func breaking(s registry.Store, content string, err error) registry.Store {
	broken := blobDescriptor("", []byte(content)).Digest.String()
	return registrytest.Faulty(s, registrytest.Hooks{Blob: func(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
		if ref.DigestStr() == broken {
			return io.NopCloser(io.MultiReader(strings.NewReader(content[:3]), iotest.ErrReader(err))), nil
		}
		return s.Blob(ctx, ref, size)
	}})
}

func TestABlobThatBreaksOffEndsTheCopyUnlessItIsRubbish(t *testing.T) {
	const part, evidence = "layer for amd64", "signature 1"
	for _, c := range []struct {
		content string
		kind    registry.Kind
		want    registry.Kind
	}{
		{part, registry.ErrUnavailable, registry.ErrUnavailable},
		{part, registry.ErrDigestMismatch, registry.ErrDigestMismatch},
		{evidence, registry.ErrUnavailable, registry.ErrUnavailable},
		{evidence, registry.ErrDigestMismatch, ""},
	} {
		s := newScene(t)
		src := breaking(s.src, c.content, &registry.Error{Op: "test", Kind: c.kind})
		dst, _ := newLayout(t)
		var passed []registry.CopyEvent
		_, err := registry.Copy(t.Context(), src, s.src.Tag("v1"), dst, dst.Tag("v1"), ignored(&passed))
		if c.want != "" {
			wantError(t, c.content, err, c.want)
			continue
		}
		m, errTag := dst.Manifest(t.Context(), dst.Tag(evidenceTag(s.root, ".sig")))
		if err != nil || errTag != nil || bytes.Contains(m.Bytes, []byte("of "+evidence)) || !bytes.Contains(m.Bytes, []byte("of signature 2")) || len(passed) == 0 {
			t.Errorf("%s: %v; the tag is %s, %v; passed over %v", c.content, err, m.Bytes, errTag, passed)
		}
	}
}

func TestEvidenceThatIsNoManifestIsPassedOver(t *testing.T) {
	s := newScene(t)
	garbage := mustManifest(t, ociManifest, []byte("{"))
	listed := registrytest.Faulty(s.src, registrytest.Hooks{Referrers: func(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
		return func(yield func(v1.Descriptor, error) bool) {
			if subject.DigestStr() == s.root.Descriptor.Digest.String() && !yield(garbage.Descriptor, nil) {
				return
			}
			s.src.Referrers(ctx, subject)(yield)
		}
	}})
	sig := evidenceTag(s.root, ".sig")
	delete(s.tags, sig)
	src := servesAs(listed, map[string]registry.Manifest{garbage.Descriptor.Digest.String(): garbage, sig: garbage})
	dst, _ := newLayout(t)
	var passed []registry.CopyEvent
	_, err := registry.Copy(t.Context(), src, s.src.Tag("v1"), dst, dst.Tag("v1"), ignored(&passed))
	must(t, err)
	s.wantAll(t, dst)
	if len(passed) != 2 {
		t.Errorf("passed over %v, want a referrer and a tag", passed)
	}
}

func TestAnSBOMOfWhichAPartIsGoneIsNotCopied(t *testing.T) {
	s := newScene(t)
	sbom := evidenceTag(s.root, ".sbom")
	pushLayers(t, s.src, sbom, "components", "gone")
	delete(s.tags, sbom)
	must(t, os.Remove(blobFile(s.dir, blobDescriptor("", []byte("gone")).Digest)))
	dst, _ := newLayout(t)
	var passed []registry.CopyEvent
	must(t, s.copyTo(t, dst, ignored(&passed)))
	s.wantAll(t, dst)
	_, err := dst.Resolve(t.Context(), dst.Tag(sbom))
	if wantKind(t, err, registry.ErrNotFound); len(passed) != 1 || passed[0].Content.Digest != hashOf("gone") {
		t.Errorf("passed over %v", passed)
	}
}

func TestEvidenceOfEveryPlaceCountsTowardsTheLimit(t *testing.T) {
	l, _ := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	repeated := registrytest.Faulty(l, registrytest.Hooks{Referrers: func(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
		return func(yield func(v1.Descriptor, error) bool) {
			for {
				if !yield(image.Descriptor, nil) {
					return
				}
			}
		}
	}})
	tagged := func(suffixes ...string) registry.Store {
		s, _ := newLayout(t)
		m := pushImage(t, s, s.Tag("v1"), "image", nil)
		for _, suffix := range suffixes {
			pushLayers(t, s, evidenceTag(m, suffix), "evidence "+suffix)
		}
		return s
	}
	index, _ := newLayout(t)
	subject := pushImage(t, index, index.Tag("v1"), "image", nil)
	list := testIndex(t, pushImage(t, index, nil, "a", nil).Descriptor, pushImage(t, index, nil, "b", nil).Descriptor)
	withSubject := strings.Replace(string(list.Bytes), `{`, `{"subject":`+jsonOf(t, subject.Descriptor)+`,`, 1)
	about := mustManifest(t, ociIndex, []byte(withSubject))
	push(t, index, index.Digest(about.Descriptor.Digest), about)
	for what, src := range map[string]registry.Store{
		"a list without end": repeated, "tags": tagged(".sig", ".att", ".sbom"), "an index of two": index,
	} {
		dst, _ := newLayout(t)
		_, err := registry.Copy(t.Context(), src, testRepo.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{MaxEvidence: 2})
		wantError(t, what, err, registry.ErrTooMany)
	}
}

func TestADestinationIsAskedOnceForItsReferrersAndMustAnswer(t *testing.T) {
	s := newScene(t)
	for _, content := range []string{"more", "and more"} {
		s.refer(t, s.root, content)
	}
	l, _ := newLayout(t)
	must(t, s.copyTo(t, l, registry.CopyOptions{}))
	asked := 0
	dst := &wrapped{Store: l, before: func(call string, ref name.Reference) error {
		if call == "referrers" && ref.Identifier() == s.root.Descriptor.Digest.String() {
			asked++
		}
		return nil
	}}
	must(t, s.copyTo(t, dst, registry.CopyOptions{Concurrency: 1}))
	if asked != 1 {
		t.Errorf("asked %d times about one image", asked)
	}
	down := &registry.Error{Op: "test", Kind: registry.ErrUnavailable}
	if err := s.copyTo(t, failingAt(l, "referrers", down), registry.CopyOptions{}); !errors.Is(err, down) {
		t.Errorf("%v", err)
	}
}
