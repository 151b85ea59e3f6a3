//go:build unix

package layout_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

func TestAttack_F1_PipesInALayoutAreRefusedAndNotWaitedFor(t *testing.T) {
	for _, file := range []string{"index.json", "oci-layout", ".hallmark/lock"} {
		l, dir := newLayout(t)
		path := filepath.Join(dir, file)
		must(t, os.Remove(path))
		must(t, syscall.Mkfifo(path, 0o600))
		_, err := l.PushManifest(t.Context(), l.Tag("v1"), testManifest(t, "image", nil), registry.PushOptions{})
		if file == "oci-layout" { // which is looked at once
			_, err = layout.Open(dir, layout.Options{Create: true})
		}
		wantKind(t, err, registry.ErrMalformed)
	}
	l, dir := newLayout(t)
	blob := blobDescriptor("", []byte("content"))
	must(t, syscall.Mkfifo(blobFile(dir, blob.Digest), 0o600))
	_, err := l.Blob(t.Context(), l.Digest(blob.Digest), blob.Size)
	wantKind(t, err, registry.ErrMalformed)
}

func TestLayoutThatCannotBeWrittenSaysSo(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("nothing is forbidden to root")
	}
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	for _, part := range []string{".hallmark", "blobs/sha256", "blobs", "."} {
		must(t, os.Chmod(filepath.Join(dir, part), 0o500))
		defer os.Chmod(filepath.Join(dir, part), 0o700) //nolint:errcheck // for its removal
	}
	_, err := l.PushManifest(t.Context(), l.Tag("v2"), testManifest(t, "other", nil), registry.PushOptions{})
	wantKind(t, err, registry.ErrDenied)
	l = openLayout(t, dir, layout.Options{Create: true})
	wantManifest(t, l, image)
}

func TestLayoutThatCannotBeReadSaysSo(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("nothing is forbidden to root")
	}
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	blob := blobFile(dir, image.Descriptor.Digest)
	for file, use := range map[string]func() error{
		blob:                             func() error { _, err := l.HasBlob(t.Context(), l.Digest(image.Descriptor.Digest)); return err },
		filepath.Join(dir, "index.json"): func() error { _, err := l.Tags(t.Context()); return err },
		filepath.Join(dir, ".hallmark", "lock"): func() error {
			return l.RemoveManifest(t.Context(), l.Digest(image.Descriptor.Digest))
		},
	} {
		must(t, os.Chmod(file, 0))
		wantKind(t, use(), registry.ErrDenied)
		must(t, os.Chmod(file, 0o600))
	}
	wantManifest(t, l, image)
}

func TestAttack_F1_ASparseBlobIsNotReadToItsEnd(t *testing.T) {
	l, dir := newLayout(t)
	h := hashOf("x")
	pushBlob(t, l, l.Repository(), []byte("x"))
	f, err := os.Create(blobFile(dir, h))
	must(t, err)
	must(t, f.Truncate(1<<40))
	must(t, f.Close())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if there, err := l.HasBlob(ctx, l.Digest(h)); there || err != nil {
		t.Errorf("%v, %v; want that it is absent", there, err)
	}
}
