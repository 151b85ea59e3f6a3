package layout_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// createArchive opens an archive to be written.
func createArchive(t testing.TB, file string) *layout.Layout {
	t.Helper()
	l, err := layout.OpenArchive(file, layout.Options{Create: true})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() }) // again
	return l
}

func openArchive(t testing.TB, file string) *layout.Layout {
	t.Helper()
	l, err := layout.OpenArchive(file, layout.Options{})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() }) // only read from
	return l
}

// commit writes an archive and closes it.
func commit(t testing.TB, l *layout.Layout) {
	t.Helper()
	must(t, l.Commit(t.Context()))
	must(t, l.Close())
}

// signedArchive is an archive of one image with two referrers.
func signedArchive(t testing.TB) (file string, image registry.Manifest) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "image.tar")
	l := createArchive(t, file)
	image = pushImage(t, l, l.Tag("v1"), "image", nil)
	pushImage(t, l, nil, "a signature", &image.Descriptor)
	pushImage(t, l, nil, "an SBOM", &image.Descriptor)
	commit(t, l)
	return file, image
}

func TestArchive_HoldsTheImageAndItsEvidence(t *testing.T) {
	file, image := signedArchive(t)
	l := openArchive(t, file)
	wantManifest(t, l, image)
	got, err := l.Resolve(t.Context(), l.Tag("v1"))
	if err != nil || got.Digest != image.Descriptor.Digest {
		t.Errorf("v1 is %v, %v", got, err)
	}
	if all := listReferrers(t, l, l.Digest(image.Descriptor.Digest)); len(all) != 2 {
		t.Errorf("referrers are %v", all)
	}
	wantOnlyFile(t, file)
}

// wantOnlyFile fails if something stands beside the file.
func wantOnlyFile(t testing.TB, file string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(file))
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != filepath.Base(file) {
		t.Errorf("beside the archive stand %v", entries)
	}
}

func TestArchive_IsCopiedBothWays(t *testing.T) {
	file, image := signedArchive(t)
	hosted := registrytest.New(registrytest.Options{}).Store()
	l := openArchive(t, file)
	at, err := registry.Copy(t.Context(), l, l.Tag("v1"), hosted, testRepo.Tag("v1"), registry.CopyOptions{})
	must(t, err)
	if all := listReferrers(t, hosted, at); len(all) != 2 || at.DigestStr() != image.Descriptor.Digest.String() {
		t.Errorf("%s has the referrers %v", at, all)
	}
	back := filepath.Join(t.TempDir(), "back.tar")
	to := createArchive(t, back)
	_, err = registry.Copy(t.Context(), hosted, testRepo.Tag("v1"), to, to.Tag("v1"), registry.CopyOptions{})
	must(t, err)
	commit(t, to)
	if all := listReferrers(t, openArchive(t, back), at); len(all) != 2 {
		t.Errorf("the referrers are %v", all)
	}
}

func TestArchive_SameContentGivesTheSameBytes(t *testing.T) {
	var first []byte
	parts := []string{"a signature", "an SBOM", "a scan", "provenance"}
	for i := range parts {
		file := filepath.Join(t.TempDir(), "image.tar")
		l := createArchive(t, file)
		image := pushImage(t, l, l.Tag("v1"), "image", nil)
		for _, part := range slices.Concat(parts[i:], parts[:i]) {
			pushImage(t, l, nil, part, &image.Descriptor)
		}
		commit(t, l)
		data, err := os.ReadFile(file)
		must(t, err)
		if first == nil {
			first = data
		}
		if !bytes.Equal(data, first) {
			t.Errorf("in order %d the bytes are others", i)
		}
	}
}

func TestArchive_MembersHaveNoTimesAndOwners(t *testing.T) {
	file, _ := signedArchive(t)
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	var names []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, h.Name)
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid+h.Gid != 0 || h.Uname+h.Gname != "" || h.Format != tar.FormatUSTAR {
			t.Errorf("%+v", h)
		}
	}
	if want := []string{"oci-layout", "index.json", "blobs/", "blobs/sha256/"}; !slices.Equal(names[:4], want) || !slices.IsSorted(names[4:]) {
		t.Errorf("members are %q", names)
	}
}

func TestArchive_KeepsWhatItHolds(t *testing.T) {
	file, first := signedArchive(t)
	l := createArchive(t, file)
	second := pushImage(t, l, l.Tag("v2"), "another image", nil)
	commit(t, l)
	l = openArchive(t, file)
	wantManifest(t, l, first)
	wantManifest(t, l, second)
	if tags, err := l.Tags(t.Context()); err != nil || !slices.Contains(tags, "v1") || !slices.Contains(tags, "v2") {
		t.Errorf("tags are %q, %v", tags, err)
	}
	if all := listReferrers(t, l, l.Digest(first.Descriptor.Digest)); len(all) != 2 {
		t.Errorf("referrers are %v", all)
	}
}

func TestArchive_WithoutCommitIsNotWritten(t *testing.T) {
	file, _ := signedArchive(t)
	before, err := os.ReadFile(file)
	must(t, err)
	l := createArchive(t, file)
	pushImage(t, l, l.Tag("v2"), "another image", nil)
	must(t, l.Close())
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the archive changed: %v", err)
	}
	wantOnlyFile(t, file)
}

func TestArchive_OpenedToReadTakesNothing(t *testing.T) {
	file, image := signedArchive(t)
	l := openArchive(t, file)
	m := testManifest(t, "more", nil)
	data := []byte("content")
	for what, use := range map[string]func() error{
		"a manifest": func() error {
			_, err := l.PushManifest(t.Context(), l.Tag("v2"), m, registry.PushOptions{})
			return err
		},
		"a blob": func() error {
			return l.PushBlob(t.Context(), l.Digest(blobDescriptor("", data).Digest), int64(len(data)), opener(data))
		},
		"a list":    func() error { return l.ListManifest(t.Context(), image) },
		"a removal": func() error { return l.RemoveManifest(t.Context(), l.Digest(image.Descriptor.Digest)) },
	} {
		wantError(t, what, use(), registry.ErrUnsupported)
	}
	must(t, l.Commit(t.Context()))
}

func TestArchive_ThatIsNotThereIsNotFound(t *testing.T) {
	_, err := layout.OpenArchive(filepath.Join(t.TempDir(), "none.tar"), layout.Options{})
	wantKind(t, err, registry.ErrNotFound)
	_, err = layout.OpenArchive(filepath.Join(t.TempDir(), "no", "directory.tar"), layout.Options{Create: true})
	wantKind(t, err, registry.ErrNotFound)
}

// An empty file is what mktemp makes.
func TestArchive_EmptyFileIsWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err := layout.OpenArchive(file, layout.Options{})
	wantKind(t, err, registry.ErrUnsupported)
	l := createArchive(t, file)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	commit(t, l)
	wantManifest(t, openArchive(t, file), image)
}

// As cp and skopeo do.
func TestArchive_IsWrittenThroughALink(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "store"), 0o755))
	link, target := filepath.Join(dir, "link.tar"), filepath.Join(dir, "store", "image.tar")
	must(t, os.WriteFile(target, nil, 0o600))
	if err := os.Symlink(filepath.Join("store", "image.tar"), link); err != nil {
		t.Skip(err)
	}
	for _, tag := range []string{"v1", "v2"} {
		l := createArchive(t, link)
		pushImage(t, l, l.Tag(tag), tag, nil)
		commit(t, l)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	l := openArchive(t, target)
	for _, tag := range []string{"v1", "v2"} {
		if _, err := l.Resolve(t.Context(), l.Tag(tag)); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	wantOnlyFile(t, target)
}

func TestAttack_F1_ArchivesAreNotWrittenThroughOtherLinks(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.tar")
	for to, kind := range map[string]registry.Kind{"none.tar": registry.ErrNotFound, ".": registry.ErrUnsupported, "link.tar": registry.ErrUnavailable, "other": registry.ErrMalformed} {
		must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("not an archive"), 0o600))
		if err := os.Symlink(to, link); err != nil {
			t.Skip(err)
		}
		_, err := layout.OpenArchive(link, layout.Options{Create: true})
		wantError(t, to, err, kind)
		if text, err := os.ReadFile(filepath.Join(dir, "other")); err != nil || string(text) != "not an archive" {
			t.Errorf("%q, %v", text, err)
		}
		must(t, os.Remove(link))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// A link that another process points elsewhere meanwhile does not lead the archive there.
func TestAttack_F2_ALinkThatMovesIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	link, first, second := filepath.Join(dir, "link.tar"), filepath.Join(dir, "first"), filepath.Join(dir, "second")
	must(t, errors.Join(os.WriteFile(first, nil, 0o600), os.WriteFile(second, []byte("kept"), 0o600)))
	if err := os.Symlink("first", link); err != nil {
		t.Skip(err)
	}
	l := createArchive(t, link)
	pushImage(t, l, l.Tag("v1"), "v1", nil)
	must(t, errors.Join(os.Remove(link), os.Symlink("second", link)))
	commit(t, l)
	if text, err := os.ReadFile(second); err != nil || string(text) != "kept" {
		t.Errorf("%q, %v", text, err)
	}
	openArchive(t, first)
}

func TestAttack_F2_AnArchiveThatWasChangedIsNotReplaced(t *testing.T) {
	file, _ := signedArchive(t)
	for name, change := range map[string]func(string) error{
		"changed": func(f string) error { return os.WriteFile(f, []byte("another process's"), 0o600) },
		"removed": os.Remove,
		"made":    func(f string) error { return os.WriteFile(f, []byte("another process's"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(t.TempDir(), "image.tar")
			if name != "made" {
				data, err := os.ReadFile(file)
				must(t, err)
				must(t, os.WriteFile(at, data, 0o600))
			}
			l := createArchive(t, at)
			pushImage(t, l, l.Tag("v2"), "another image", nil)
			must(t, change(at))
			wantKind(t, l.Commit(t.Context()), registry.ErrConflict)
			if data, err := os.ReadFile(at); err == nil && string(data) != "another process's" {
				t.Error("it was replaced")
			}
		})
	}
}

func TestAttack_F2_ArchiveInterruptedIsTheOldOne(t *testing.T) {
	file, _ := signedArchive(t)
	before, err := os.ReadFile(file)
	must(t, err)
	l := createArchive(t, file)
	pushImage(t, l, l.Tag("v2"), "another image", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Commit(ctx); err == nil {
		t.Error("it was written for a caller who has gone")
	}
	must(t, l.Close())
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the archive changed: %v", err)
	}
	wantOnlyFile(t, file)
}

func TestLocate_FindsImagesInArchives(t *testing.T) {
	file, image := signedArchive(t)
	digest := image.Descriptor.Digest.String()
	for ref, want := range map[string]string{
		"oci-archive:" + file:                digest,
		"oci-archive:" + file + ":v1":        digest,
		"oci-archive:" + file + "@" + digest: digest,
	} {
		store, at, err := layout.Locate(ref, layout.LocateOptions{})
		must(t, err)
		got, err := store.Resolve(t.Context(), at)
		if err != nil || got.Digest.String() != want {
			t.Errorf("%s: %v, %v", ref, got, err)
		}
		must(t, store.(*layout.Layout).Close())
	}
	_, _, err := layout.Locate("oci-archive:"+file, layout.LocateOptions{Layout: layout.Options{Create: true}})
	wantKind(t, err, registry.ErrReference)
	_, _, err = layout.Locate("oci-archive:", layout.LocateOptions{})
	wantKind(t, err, registry.ErrReference)
}

func TestLocate_TellsArchivesFromDirectories(t *testing.T) {
	file, _ := signedArchive(t)
	_, _, err := layout.Locate("oci:"+file+":v1", layout.LocateOptions{})
	if e := wantError(t, "a file as a directory", err, registry.ErrReference); !strings.Contains(e.Detail, "oci-archive:") {
		t.Errorf("%v", err)
	}
	_, dir := newLayout(t)
	_, _, err = layout.Locate("oci-archive:"+dir+":v1", layout.LocateOptions{})
	if e := wantError(t, "a directory as a file", err, registry.ErrUnsupported); !strings.Contains(e.Detail, "oci:DIR") {
		t.Errorf("%v", err)
	}
}

// member is a member of a test's archive.
type member struct {
	name, content string
	header        tar.Header
}

// writeArchive writes a tar file.
func writeArchive(t testing.TB, members ...member) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := m.header
		if h.Typeflag != tar.TypeXGlobalHeader {
			h.Name, h.Mode = m.name, 0o644
		}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(m.content))
		}
		must(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, m.content)
		must(t, err)
	}
	must(t, w.Close())
	return writeTo(t, b.Bytes())
}

func writeTo(t testing.TB, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	must(t, os.WriteFile(file, data, 0o600))
	return file
}

// layoutMembers are those of a layout with one image under v1.
func layoutMembers(t testing.TB) []member {
	t.Helper()
	made.once.Do(func() { made.members = packLayout(t) })
	return slices.Clone(made.members)
}

var made struct {
	once    sync.Once
	members []member
}

func packLayout(t testing.TB) []member {
	t.Helper()
	l, dir := newLayout(t)
	pushImage(t, l, l.Tag("v1"), "image", nil)
	return pack(t, dir)
}

// pack are the files of a layout as members.
func pack(t testing.TB, dir string) (all []member) {
	t.Helper()
	for path, content := range snapshot(t, dir) {
		if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, ".hallmark") {
			all = append(all, member{name: filepath.ToSlash(rel), content: content})
		}
	}
	slices.SortFunc(all, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return all
}

// Other tools pack what stands in a directory: docker save adds manifest.json, and tar -C DIR .
// names members with "./".
func TestArchive_OfOtherToolsOpens(t *testing.T) {
	dotted := layoutMembers(t)
	for i := range dotted {
		dotted[i].name = "./" + dotted[i].name
	}
	for name, members := range map[string][]member{
		"dotted":     append([]member{{name: "./", header: tar.Header{Typeflag: tar.TypeDir}}}, dotted...),
		"more files": append(layoutMembers(t), member{name: "manifest.json", content: "[]"}, member{name: "layer.tar", header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "blobs/x"}}),
		"a comment":  append([]member{{header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "made by git"}}}}, layoutMembers(t)...),
	} {
		t.Run(name, func(t *testing.T) {
			l := openArchive(t, writeArchive(t, members...))
			if _, err := l.Resolve(t.Context(), l.Tag("v1")); err != nil {
				t.Error(err)
			}
		})
	}
}

// What "cosign save" writes lists no bundles: they are found among the blobs.
func TestArchive_OfCosignSaveHasItsEvidence(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, nil, "image", nil)
	bundle := pushImage(t, l, nil, "a bundle", &image.Descriptor)
	saved := image.Descriptor
	saved.Annotations = map[string]string{"kind": "dev.cosignproject.cosign/image"}
	writeIndex(t, dir, saved)
	packed := openArchive(t, writeArchive(t, pack(t, dir)...))
	if all := listReferrers(t, packed, packed.Digest(image.Descriptor.Digest)); len(all) != 1 || all[0].Digest != bundle.Descriptor.Digest {
		t.Errorf("referrers are %v", all)
	}
}

func TestArchive_IsNotWrittenWhereItCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	l := createArchive(t, file)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	must(t, os.Mkdir(file, 0o700)) // a directory has taken the name
	wantKind(t, l.Commit(t.Context()), registry.ErrConflict)
	must(t, os.Remove(file))
	must(t, l.Commit(t.Context()))
	must(t, l.Commit(t.Context())) // again, with nothing new
	wantManifest(t, openArchive(t, file), image)
	_, err := layout.OpenArchive(file, layout.Options{Name: "Not A Repository"})
	wantKind(t, err, registry.ErrReference)
}
