package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// What is read through a Reader of another package is checked here once more.
func TestAReaderThatChecksNothingIsChecked(t *testing.T) {
	good := blobDescriptor("", []byte("content"))
	at := testRepo.Digest(good.Digest.String())
	sha512 := testRepo.Digest("sha512:" + strings.Repeat("0", 128))
	nothing := registrytest.New(registrytest.Options{}).Store()
	gives := func(content string, err error) registry.Store {
		return registrytest.Faulty(nothing, registrytest.Hooks{
			Blob: func(context.Context, name.Digest, int64) (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(content)), err
			},
			Manifest: func(context.Context, name.Reference) (registry.Manifest, error) {
				return registry.Manifest{Descriptor: good, Bytes: []byte(content)}, err
			},
		})
	}
	denied := &registry.Error{Op: "test", Kind: registry.ErrDenied}
	for what, c := range map[string]struct {
		reader         registry.Store
		ref            name.Digest
		blob, manifest registry.Kind
	}{
		"good":              {gives("content", nil), at, "", ""},
		"other bytes":       {gives("CONTENT", nil), at, registry.ErrDigestMismatch, registry.ErrDigestMismatch},
		"longer":            {gives("content and more", nil), at, registry.ErrTooLarge, registry.ErrDigestMismatch},
		"shorter":           {gives("con", nil), at, registry.ErrDigestMismatch, registry.ErrDigestMismatch},
		"refused":           {gives("", denied), at, registry.ErrDenied, registry.ErrDenied},
		"another algorithm": {gives("content", nil), sha512, registry.ErrDigestMismatch, registry.ErrReference},
	} {
		data, err := registry.ReadBlob(t.Context(), c.reader, c.ref, good.Size)
		if c.blob != "" {
			wantError(t, what+", blob", err, c.blob)
		} else if err != nil || string(data) != "content" {
			t.Errorf("%s: %q, %v", what, data, err)
		}
		m, err := registry.ReadManifest(t.Context(), c.reader, c.ref)
		if c.manifest != "" {
			wantError(t, what+", manifest", err, c.manifest)
		} else if err != nil || m.Descriptor.Digest != good.Digest {
			t.Errorf("%s: %v, %v", what, m.Descriptor, err)
		}
	}
}

func TestAttachFailsWhereTheStoreDoes(t *testing.T) {
	denied := &registry.Error{Op: "test", Kind: registry.ErrDenied}
	for _, call := range []string{"push blob", "push manifest", "resolve", "manifest"} {
		for _, item := range []registry.Item{bundleItem("b"), simpleItem("s"), envelopeItem("e")} {
			bundle := item.Format == registry.FormatBundle
			if call == "manifest" && bundle || call == "resolve" && !bundle {
				continue // which is not asked for
			}
			l, _ := newLayout(t)
			m := pushImage(t, l, l.Tag("v1"), "image", nil)
			if _, err := registry.Attach(t.Context(), failingAt(l, call, denied), l.Digest(m.Descriptor.Digest), item); !errors.Is(err, denied) {
				t.Errorf("%s where it cannot %s: %v", item.Format, call, err)
			}
		}
	}
}

func TestAttachOverwritesNothingThatCannotBeRead(t *testing.T) {
	l, _ := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), "image", nil)
	tag := evidenceTag(m, ".sig")
	garbage := servesAs(l, map[string]registry.Manifest{tag: mustManifest(t, ociManifest, []byte("{"))})
	_, err := registry.Attach(t.Context(), garbage, l.Digest(m.Descriptor.Digest), simpleItem("s"))
	wantKind(t, err, registry.ErrMalformed)
	_, err = l.Resolve(t.Context(), l.Tag(tag))
	wantKind(t, err, registry.ErrNotFound)
}

func TestAWriterThatWaitsForAnotherGivesUpWithItsContext(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	reached := make(chan struct{})
	h.Inject(registrytest.Fault{
		Method: "GET", Kind: registrytest.KindManifest, Times: 1, Do: registrytest.Delay(time.Hour),
		Match: func(r registrytest.Request) bool {
			if !strings.HasSuffix(r.Ref, ".sig") {
				return false
			}
			close(reached) // a second request would be a panic
			return true
		},
	})
	first, giveUp := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { _, err := registry.Attach(first, h.client, h.image, simpleItem("first")); ended <- err }()
	<-reached // it holds the tag
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := registry.Attach(ctx, h.client, h.image, simpleItem("second")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second: %v", err)
	}
	giveUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
}

func TestWhatATagRepeatsInsideItsManifestIsBounded(t *testing.T) {
	l, _ := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), "image", nil)
	subject := l.Digest(m.Descriptor.Digest)
	for _, letter := range []string{"a", "b", "c", "d"} {
		attach(t, l, subject, simpleItem(strings.Repeat(letter, registry.MaxInlineBytes/3)))
	}
	tag, err := l.Manifest(t.Context(), l.Tag(evidenceTag(m, ".sig")))
	must(t, err)
	doc, err := v1.ParseManifest(bytes.NewReader(tag.Bytes))
	must(t, err)
	held := 0
	for _, layer := range doc.Layers {
		held += len(layer.Data)
	}
	if held == 0 || held > registry.MaxInlineBytes {
		t.Errorf("%d bytes are repeated", held)
	}
	if words, errs := gather(t.Context(), l, subject, registry.Limits{}); len(words) != 4 || len(errs) > 0 {
		t.Errorf("%d of 4 are found, %v", len(words), errs)
	}
}
