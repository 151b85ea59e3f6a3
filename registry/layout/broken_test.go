package layout_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

// uses are all that can be done with a layout that holds m, and each must fail.
func uses(l *layout.Layout, m registry.Manifest) map[string]func(context.Context) error {
	digest := l.Digest(m.Descriptor.Digest)
	return map[string]func(context.Context) error{
		"tags":    func(ctx context.Context) error { _, err := l.Tags(ctx); return err },
		"resolve": func(ctx context.Context) error { _, err := l.Resolve(ctx, l.Tag("v1")); return err },
		"referrers": func(ctx context.Context) error {
			for _, err := range l.Referrers(ctx, digest) {
				return err
			}
			return nil
		},
		"push by tag": func(ctx context.Context) error {
			_, err := l.PushManifest(ctx, l.Tag("v2"), m, registry.PushOptions{})
			return err
		},
		"remove": func(ctx context.Context) error { return l.RemoveManifest(ctx, digest) },
	}
}

func TestALayoutWhoseIndexBreaksIsNotReadAsEmpty(t *testing.T) {
	for what, c := range map[string]struct {
		damage func(index string) error
		want   registry.Kind
	}{
		"overwritten": {func(index string) error {
			return os.WriteFile(index, []byte(`{"schemaVersion":2,"manifests":[`), 0o600)
		}, registry.ErrMalformed},
		"without a list": {func(index string) error { return os.WriteFile(index, []byte(`{"schemaVersion":2}`), 0o600) }, registry.ErrMalformed},
		"gone":           {os.Remove, registry.ErrNotFound},
		"a directory":    {func(index string) error { return errors.Join(os.Remove(index), os.Mkdir(index, 0o700)) }, registry.ErrMalformed},
	} {
		l, dir := newLayout(t)
		m := pushImage(t, l, l.Tag("v1"), "image", nil)
		must(t, c.damage(filepath.Join(dir, "index.json")))
		for use, f := range uses(l, m) {
			if err := f(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %q", what, use, err, c.want)
			}
		}
	}
}

func TestALayoutThatWasClosedFailsAtEachUse(t *testing.T) {
	l, err := layout.Open(filepath.Join(t.TempDir(), "layout"), layout.Options{Create: true})
	must(t, err)
	m := pushImage(t, l, l.Tag("v1"), "image", nil)
	must(t, l.Close())
	all := uses(l, m)
	blob := l.Digest(m.Descriptor.Digest)
	all["has blob"] = func(ctx context.Context) error { _, err := l.HasBlob(ctx, blob); return err }
	all["push blob"] = func(ctx context.Context) error { return l.PushBlob(ctx, blob, m.Descriptor.Size, opener(m.Bytes)) }
	all["blob"] = func(context.Context) error { _, err := readBlob(l, blob, m.Descriptor.Size); return err }
	for use, f := range all {
		wantError(t, use, f(t.Context()), registry.ErrUnavailable)
	}
}

func TestALayoutWhoseDirectoryIsGoneTakesNothing(t *testing.T) {
	l, dir := newLayout(t)
	m := testManifest(t, "image", nil)
	must(t, os.RemoveAll(dir))
	wantKind(t, l.PushBlob(t.Context(), l.Digest(m.Descriptor.Digest), m.Descriptor.Size, opener(m.Bytes)), registry.ErrNotFound)
	_, err := l.PushManifest(t.Context(), l.Tag("v1"), m, registry.PushOptions{})
	wantKind(t, err, registry.ErrNotFound)
	wantKind(t, l.RemoveManifest(t.Context(), l.Digest(m.Descriptor.Digest)), registry.ErrNotFound)
}

func TestALayoutIsNotMadeWhereSomethingElseIs(t *testing.T) {
	for what, c := range map[string]struct {
		in   string // a file, or in the way of one
		want registry.Kind
	}{
		"under a file":       {"", registry.ErrUnavailable},
		"blobs are a file":   {"blobs", registry.ErrMalformed},
		"digests are a file": {"blobs/sha256", registry.ErrMalformed},
		"private is a file":  {".hallmark", registry.ErrMalformed},
	} {
		dir := filepath.Join(t.TempDir(), "layout")
		file := filepath.Join(dir, c.in)
		must(t, os.MkdirAll(filepath.Dir(file), 0o700))
		must(t, os.WriteFile(file, []byte("precious"), 0o600))
		if c.in == "" {
			dir = filepath.Join(dir, "sub")
		}
		_, err := layout.Open(dir, layout.Options{Create: true})
		wantError(t, what, err, c.want)
		if kept, err := os.ReadFile(file); err != nil || string(kept) != "precious" {
			t.Errorf("%s: the file is %q, %v", what, kept, err)
		}
	}
}

// A directory that bears a blob's name is not a blob, and what is in it is no program's to
// delete.
func TestADirectoryInThePlaceOfABlobIsRefused(t *testing.T) {
	l, dir := newLayout(t)
	data := []byte("content")
	blob := blobDescriptor("", data)
	within := filepath.Join(blobFile(dir, blob.Digest), "precious")
	must(t, os.MkdirAll(filepath.Dir(within), 0o700))
	must(t, os.WriteFile(within, nil, 0o600))
	ref := l.Digest(blob.Digest)
	_, err := readBlob(l, ref, blob.Size)
	if wantKind(t, err, registry.ErrMalformed); !strings.Contains(err.Error(), "directory") {
		t.Errorf("does not say what is there: %v", err)
	}
	if there, err := l.HasBlob(t.Context(), ref); there || err != nil {
		t.Errorf("it is there: %v, %v", there, err)
	}
	wantKind(t, l.PushBlob(t.Context(), ref, blob.Size, opener(data)), registry.ErrUnavailable)
	wantEmptyPrivate(t, dir)
	if _, err := os.Stat(within); err != nil {
		t.Error(err)
	}
}

func TestALayoutsBlobFailsAgainWhereItFailedOnce(t *testing.T) {
	l, dir := newLayout(t)
	data := []byte("content")
	ref := pushBlob(t, l, l.Repository(), data)
	must(t, os.WriteFile(blobFile(dir, blobDescriptor("", data).Digest), []byte("another"), 0o600))
	body, err := l.Blob(t.Context(), ref, 7)
	must(t, err)
	if n, err := body.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing was asked for: %d, %v", n, err)
	}
	for range 2 {
		_, err = io.ReadAll(body)
		wantKind(t, err, registry.ErrDigestMismatch)
	}
	must(t, body.Close())
}

func TestALayoutsBlobThatWasClosedIsNotAtItsEnd(t *testing.T) {
	l, _ := newLayout(t)
	ref := pushBlob(t, l, l.Repository(), []byte("content"))
	for _, read := range []int{0, 3, 7} {
		body, err := l.Blob(t.Context(), ref, 7)
		must(t, err)
		_, err = io.ReadFull(body, make([]byte, read))
		must(t, err)
		must(t, body.Close())
		_, err = io.ReadAll(body)
		wantKind(t, err, registry.ErrUnavailable)
	}
}

func TestAReferrerThatIsDamagedLaterIsMissedAndOneThatIsGoneIsNot(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	first := pushImage(t, l, nil, "first", &image.Descriptor)
	pushImage(t, l, nil, "second", &image.Descriptor)
	subject := l.Digest(image.Descriptor.Digest)
	if n := len(listReferrers(t, l, subject)); n != 2 { // whose subjects are remembered now
		t.Fatalf("%d referrers", n)
	}
	must(t, os.WriteFile(blobFile(dir, first.Descriptor.Digest), []byte("rubbish"), 0o600))
	var last error
	n := 0
	for _, err := range l.Referrers(t.Context(), subject) {
		if last = err; err == nil {
			n++
		}
	}
	if wantKind(t, last, registry.ErrDigestMismatch); n != 1 {
		t.Errorf("%d referrers beside the damaged one", n)
	}
	must(t, os.Remove(blobFile(dir, first.Descriptor.Digest)))
	if n := len(listReferrers(t, l, subject)); n != 1 {
		t.Errorf("%d referrers beside the one that is gone", n)
	}
}

func TestAFallbackTagOfALayoutThatCannotBeReadIsToldOnce(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	list := testIndex(t, blobDescriptor(ociManifest, []byte("a")), blobDescriptor(ociManifest, []byte("b")))
	push(t, l, l.Tag(evidenceTag(image, "")), list)
	subject := l.Digest(image.Descriptor.Digest)
	for range l.Referrers(t.Context(), subject) {
		break // one is enough
	}
	if n := len(listReferrers(t, l, subject)); n != 2 {
		t.Errorf("%d referrers", n)
	}
	must(t, os.WriteFile(blobFile(dir, list.Descriptor.Digest), []byte("rubbish"), 0o600))
	fresh := openLayout(t, dir, layout.Options{})
	var errs []error
	for _, err := range fresh.Referrers(t.Context(), subject) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.Is(errs[0], registry.ErrDigestMismatch) {
		t.Errorf("%v", errs)
	}
}

func TestALayoutRefusesReferencesThatNameNothingInIt(t *testing.T) {
	l, _ := newLayout(t)
	sha512 := l.Repository().Digest("sha512:" + strings.Repeat("0", 128))
	for _, ref := range []name.Reference{nil, sha512, l.Repository().Tag("no tag!"), name.Digest{}, name.Tag{}} {
		_, err := l.Resolve(t.Context(), ref)
		wantKind(t, err, registry.ErrReference)
	}
	for _, err := range l.Referrers(t.Context(), sha512) {
		wantKind(t, err, registry.ErrReference)
	}
	wantKind(t, l.PushBlob(t.Context(), sha512, 0, opener(nil)), registry.ErrDigestMismatch)
	wantKind(t, l.PushBlob(t.Context(), l.Digest(hashOf("x")), -1, opener(nil)), registry.ErrMalformed)
}

func TestALayoutTakesNoManifestThatItCouldNotGiveBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	l := openLayout(t, dir, layout.Options{Create: true, MaxManifestSize: 1000})
	const shape = `{"schemaVersion":2,"config":{"mediaType":"application/json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`
	for what, c := range map[string]struct {
		mediaType, data string
		want            registry.Kind
	}{
		"too large":                {ociManifest, strings.Repeat(" ", 1000) + shape, registry.ErrTooLarge},
		"of a type it says not":    {"application/vnd.docker.distribution.manifest.v2+json", shape, registry.ErrMalformed},
		"of a type of another day": {"application/vnd.docker.distribution.manifest.v1+json", `{"schemaVersion":1}`, registry.ErrUnsupported},
	} {
		_, err := l.PushManifest(t.Context(), l.Tag("v1"), mustManifest(t, c.mediaType, []byte(c.data)), registry.PushOptions{})
		wantError(t, what, err, c.want)
	}
	push(t, l, l.Tag("v1"), mustManifest(t, ociManifest, []byte(shape)))
}

func TestAnIndexThatWouldBeTooLargeIsNotWritten(t *testing.T) {
	_, dir := newLayout(t)
	l := openLayout(t, dir, layout.Options{MaxIndexSize: 400})
	pushImage(t, l, l.Tag("v1"), "1", nil)
	_, err := l.PushManifest(t.Context(), l.Tag("v2"), testManifest(t, "2", nil), registry.PushOptions{})
	wantKind(t, err, registry.ErrTooLarge)
	if _, err := l.Resolve(t.Context(), l.Tag("v1")); err != nil {
		t.Error(err)
	}
}

func TestConditionsOnATagOfTwoImagesAreNotDecided(t *testing.T) {
	l, dir := newLayout(t)
	var all []v1.Descriptor
	for _, image := range []string{"a", "b"} {
		d := pushImage(t, l, nil, image, nil).Descriptor
		d.Annotations = map[string]string{"io.containerd.image.name": "example.com/" + image + ":v1"}
		all = append(all, d)
	}
	writeIndex(t, dir, all...)
	for _, o := range []registry.PushOptions{{IfAbsent: true}, {IfMatch: all[0].Digest.String()}} {
		_, err := l.PushManifest(t.Context(), l.Tag("v1"), testManifest(t, "c", nil), o)
		wantKind(t, err, registry.ErrReference)
	}
}

func TestAReferrerThatLosesItsTagKeepsItsOtherAnnotations(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	referrer := pushImage(t, l, nil, "referrer", &image.Descriptor).Descriptor
	referrer.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": "moving", "io.containerd.image.name": "example.com/app:moving", "test.kept": "yes",
	}
	writeIndex(t, dir, image.Descriptor, referrer)
	push(t, l, l.Tag("moving"), testManifest(t, "another", nil))
	for _, d := range readIndex(t, dir) {
		if d.Digest != referrer.Digest {
			continue
		}
		if len(d.Annotations) != 1 || d.Annotations["test.kept"] != "yes" {
			t.Errorf("%v", d.Annotations)
		}
		return
	}
	t.Error("it is not listed any more")
}

func TestNobodyIsKeptWaitingForALayoutsLockToRemove(t *testing.T) {
	l, dir := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), "image", nil)
	defer layout.LockLayout(t, l)()
	other := openLayout(t, dir, layout.Options{LockTimeout: 20 * time.Millisecond})
	wantKind(t, other.RemoveManifest(t.Context(), l.Digest(m.Descriptor.Digest)), registry.ErrUnavailable)
}

func TestALayoutDoesNothingForWhoHasGone(t *testing.T) {
	l, _ := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), "image", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for use, f := range uses(l, m) {
		if use == "remove" { // which is done at once, while the lock is free
			continue
		}
		if err := f(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", use, err)
		}
	}
}

func TestASourceThatCannotBeOpenedIsATypedErrorOfALayoutToo(t *testing.T) {
	l, _ := newLayout(t)
	err := l.PushBlob(t.Context(), l.Digest(hashOf("x")), 1, func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe })
	wantError(t, "cannot be opened", err, registry.ErrUnavailable)
}
