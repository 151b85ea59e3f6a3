package layout_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

func TestAttack_F1_SymlinkedBlobIsRefused(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	data := []byte("what the attacker wants read")
	must(t, os.WriteFile(outside, data, 0o600))
	h := blobDescriptor("", data).Digest
	for name, target := range map[string]func(dir string) string{
		"outside":         func(string) string { return outside },
		"inside":          func(dir string) string { return "../../copy" },
		"outside, dotted": func(dir string) string { return "../../../outside" },
	} {
		t.Run(name, func(t *testing.T) {
			l, dir := newLayout(t)
			must(t, os.WriteFile(filepath.Join(dir, "copy"), data, 0o600))
			must(t, os.Symlink(target(dir), blobFile(dir, h)))
			_, err := readBlob(l, l.Digest(h), int64(len(data)))
			wantKind(t, err, registry.ErrMalformed)
			_, err = l.Manifest(t.Context(), l.Digest(h))
			wantKind(t, err, registry.ErrMalformed)

			has, err := l.HasBlob(t.Context(), l.Digest(h))
			if has || err != nil {
				t.Errorf("HasBlob: %v, %v", has, err)
			}
			pushBlob(t, l, l.Repository(), data)
			info, err := os.Lstat(blobFile(dir, h))
			if err != nil || !info.Mode().IsRegular() {
				t.Errorf("the push did not replace the link: %v, %v", info, err)
			}
			if kept, err := os.ReadFile(outside); err != nil || !bytes.Equal(kept, data) {
				t.Errorf("the file outside changed: %q, %v", kept, err)
			}
		})
	}
}

func TestAttack_F1_SymlinkedPartsAreRefused(t *testing.T) {
	for _, part := range []string{"blobs", "blobs/sha256", "index.json", "oci-layout"} {
		t.Run(part, func(t *testing.T) {
			l, dir := newLayout(t)
			m := pushImage(t, l, l.Tag("v1"), "image", nil)
			elsewhere := filepath.Join(t.TempDir(), "elsewhere")
			must(t, os.Rename(filepath.Join(dir, part), elsewhere))
			must(t, os.Symlink(elsewhere, filepath.Join(dir, part)))
			before := snapshot(t, filepath.Dir(elsewhere))

			fresh, err := layout.Open(dir, layout.Options{Create: true})
			if err == nil {
				defer fresh.Close()
				_, err = fresh.Manifest(t.Context(), fresh.Digest(m.Descriptor.Digest))
			}
			wantKind(t, err, registry.ErrMalformed)
			if part != "oci-layout" { // which is not looked at again
				_, err = l.PushManifest(t.Context(), l.Tag("v2"), testManifest(t, "more", nil), registry.PushOptions{})
				wantKind(t, err, registry.ErrMalformed)
			}
			if after := snapshot(t, filepath.Dir(elsewhere)); !maps.Equal(before, after) {
				t.Errorf("something outside changed: %v, before %v", after, before)
			}
		})
	}
}

// snapshot returns the content of all files under dir.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	}))
	return all
}

func TestAttack_F1_SymlinkedPrivateDirectoryIsRefused(t *testing.T) {
	l, dir := newLayout(t)
	outside := t.TempDir()
	must(t, os.RemoveAll(filepath.Join(dir, ".hallmark")))
	must(t, os.Symlink(outside, filepath.Join(dir, ".hallmark")))
	data := []byte("content")
	err := l.PushBlob(t.Context(), l.Digest(blobDescriptor("", data).Digest), int64(len(data)), opener(data))
	if err == nil {
		t.Error("a blob was written through a link")
	}
	if files := snapshot(t, outside); len(files) > 0 {
		t.Errorf("written outside: %v", files)
	}
}

func TestAttack_F1_BlobBytesOtherThanName(t *testing.T) {
	l, dir := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), "image", nil)
	evil := testManifest(t, "evil!", nil)
	layer := blobDescriptor("", []byte("image"))
	must(t, os.WriteFile(blobFile(dir, m.Descriptor.Digest), evil.Bytes, 0o600))
	must(t, os.WriteFile(blobFile(dir, layer.Digest), []byte("IMAGE"), 0o600))

	for _, ref := range []name.Reference{l.Tag("v1"), l.Digest(m.Descriptor.Digest)} {
		_, err := l.Manifest(t.Context(), ref)
		wantKind(t, err, registry.ErrDigestMismatch)
		_, err = l.Resolve(t.Context(), ref)
		wantKind(t, err, registry.ErrDigestMismatch)
	}
	for _, size := range []int64{-1, layer.Size} {
		_, err := readBlob(l, l.Digest(layer.Digest), size)
		wantKind(t, err, registry.ErrDigestMismatch)
	}
	pushImage(t, l, l.Tag("v1"), "image", nil) // repairs both
	if _, err := l.Manifest(t.Context(), l.Tag("v1")); err != nil {
		t.Error(err)
	}
	if _, err := readBlob(l, l.Digest(layer.Digest), layer.Size); err != nil {
		t.Error(err)
	}
}

func TestAttack_F1_HardLinkedBlobReadsButIsNotWrittenThrough(t *testing.T) {
	l, dir := newLayout(t)
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("precious"), 0o600))
	want := []byte("content")
	must(t, os.Link(outside, blobFile(dir, blobDescriptor("", want).Digest)))
	pushBlob(t, l, l.Repository(), want)
	if data, err := os.ReadFile(outside); err != nil || string(data) != "precious" {
		t.Errorf("the file outside is %q, %v", data, err)
	}
}

func TestAttack_F1_HugeIndexIsRefused(t *testing.T) {
	_, dir := newLayout(t)
	f, err := os.OpenFile(filepath.Join(dir, "index.json"), os.O_WRONLY, 0)
	must(t, err)
	must(t, errors.Join(f.Truncate(1<<30), f.Close())) // sparse
	_, err = layout.Open(dir, layout.Options{})
	wantKind(t, err, registry.ErrTooLarge)

	_, dir = newLayout(t)
	writeIndex(t, dir, slices.Repeat([]v1.Descriptor{blobDescriptor(ociManifest, nil)}, 11)...)
	_, err = layout.Open(dir, layout.Options{MaxEntries: 10})
	wantKind(t, err, registry.ErrTooMany)
}

func TestLayoutDoesNotGrowBeyondWhatItReads(t *testing.T) {
	_, dir := newLayout(t)
	l := openLayout(t, dir, layout.Options{MaxEntries: 2, MaxIndexSize: 600})
	pushImage(t, l, l.Tag("v1"), "1", nil)
	pushImage(t, l, l.Tag("v2"), "2", nil)
	m := testManifest(t, "3", nil)
	_, err := l.PushManifest(t.Context(), l.Tag("v3"), m, registry.PushOptions{})
	wantKind(t, err, registry.ErrTooMany)
	_, err = l.PushManifest(t.Context(), l.Tag(strings.Repeat("v", 128)), m, registry.PushOptions{})
	if !errors.Is(err, registry.ErrTooMany) && !errors.Is(err, registry.ErrTooLarge) {
		t.Errorf("error is %v", err)
	}
	if _, err := l.Resolve(t.Context(), l.Tag("v2")); err != nil {
		t.Error(err)
	}
}

func TestAttack_F1_NamesInTagsReachNothing(t *testing.T) {
	l, dir := newLayout(t)
	m := pushImage(t, l, nil, "image", nil)
	d := m.Descriptor
	d.Annotations = map[string]string{"org.opencontainers.image.ref.name": "../../../etc/passwd"}
	writeIndex(t, dir, d)
	for _, tag := range []string{"../../../etc/passwd", "..", "", "a/b", "a b", "a\x1b[31m"} {
		_, err := l.Resolve(t.Context(), l.Tag(tag))
		wantKind(t, err, registry.ErrReference)
		if err != nil && strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("the error repeats an escape: %q", err)
		}
	}
	tags, err := l.Tags(t.Context())
	if err != nil || len(tags) > 0 {
		t.Errorf("tags are %q, %v", tags, err)
	}
	wrong, err := name.NewDigest("a/b@sha512:" + strings.Repeat("0", 128))
	if err == nil {
		_, err = l.Manifest(t.Context(), wrong)
		wantKind(t, err, registry.ErrReference)
	}
}

func TestAttack_I5_EntryThatLiesAboutItsManifestIsRefused(t *testing.T) {
	l, dir := newLayout(t)
	m := pushImage(t, l, nil, "image", nil)
	named := m.Descriptor
	named.Annotations = map[string]string{"org.opencontainers.image.ref.name": "v1"}
	size, kind := named, named
	size.Size++
	kind.MediaType = ociIndex
	for _, lie := range []v1.Descriptor{size, kind} {
		writeIndex(t, dir, lie)
		_, err := l.Resolve(t.Context(), l.Tag("v1"))
		wantKind(t, err, registry.ErrMalformed)
	}
}

func TestAttack_F2_LeftoversOfACrashAreIgnoredAndRemovedOnceOld(t *testing.T) {
	l, dir := newLayout(t)
	old, young := filepath.Join(dir, ".hallmark", "tmp-old"), filepath.Join(dir, ".hallmark", "tmp-young")
	for _, file := range []string{old, young} {
		must(t, os.WriteFile(file, []byte(`{"schemaVersion":2,"mani`), 0o600))
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	must(t, os.Chtimes(old, yesterday, yesterday))
	pushImage(t, l, l.Tag("v1"), "image", nil)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a file that may be in use is gone: %v", err)
	}
}

func TestAttack_F2_InterruptedCreationIsCompleted(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755))
	writeIndex(t, dir, blobDescriptor(ociManifest, []byte("x")))
	_, err := layout.Open(dir, layout.Options{})
	wantKind(t, err, registry.ErrNotFound)
	openLayout(t, dir, layout.Options{Create: true})
	if got := readIndex(t, dir); len(got) != 1 {
		t.Errorf("index.json was replaced: %v", got)
	}
}
