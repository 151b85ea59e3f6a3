package layout_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

// wantRefused fails unless the archive opens neither to read nor to write, and stays.
func wantRefused(t *testing.T, file string, kind registry.Kind) *registry.Error {
	t.Helper()
	before, err := os.ReadFile(file)
	must(t, err)
	_, err = layout.OpenArchive(file, layout.Options{Create: true})
	wantError(t, "to write", err, kind)
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
	wantOnlyFile(t, file)
	_, err = layout.OpenArchive(file, layout.Options{})
	if !errors.Is(err, layout.ErrArchive) {
		t.Errorf("it is not ErrArchive: %v", err)
	}
	return wantError(t, "to read", err, kind)
}

func TestAttack_F1_ArchiveMembersThatLeadOut(t *testing.T) {
	for _, name := range []string{
		"../evil", "../../etc/passwd", "/etc/passwd", "blobs/../../evil", "blobs/sha256/../../../evil", "a//b",
		"blobs//sha256/x", "blobs/./sha256/x", `blobs\sha256\x`, `..\evil`, "././index.json", "./../index.json", "blobs/sha256/x/y",
	} {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			wantRefused(t, writeArchive(t, append(layoutMembers(t), member{name: name, content: "evil"})...), registry.ErrMalformed)
		})
	}
}

func TestAttack_F1_ArchiveMembersThatAreLinks(t *testing.T) {
	for _, name := range []string{"index.json", "oci-layout", "blobs", "blobs/sha256", "blobs/sha256/" + strings.Repeat("a", 64)} {
		for what, flag := range map[string]byte{"hard": tar.TypeLink, "symbolic": tar.TypeSymlink, "device": tar.TypeBlock, "pipe": tar.TypeFifo} {
			t.Run(what+" "+strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
				members := slices.DeleteFunc(layoutMembers(t), func(m member) bool { return m.name == name })
				h := tar.Header{Typeflag: flag}
				if flag == tar.TypeLink || flag == tar.TypeSymlink {
					h.Linkname = "/etc/passwd"
				}
				wantRefused(t, writeArchive(t, append([]member{{name: name, header: h}}, members...)...), registry.ErrMalformed)
			})
		}
	}
}

// One reader takes the first of two members of a name, another the last.
func TestAttack_F1_ArchiveMembersThatStandTwice(t *testing.T) {
	for _, spelled := range []string{"index.json", "./index.json"} {
		evil := member{name: spelled, content: `{"schemaVersion":2,"manifests":[]}`}
		wantRefused(t, writeArchive(t, append(layoutMembers(t), evil)...), registry.ErrMalformed)
	}
	all := layoutMembers(t)
	wantRefused(t, writeArchive(t, append(all, all[0])...), registry.ErrMalformed)
}

func TestAttack_F1_ArchiveThatIsCutOff(t *testing.T) {
	data, err := os.ReadFile(writeArchive(t, layoutMembers(t)...))
	must(t, err)
	for cut := 1; cut < len(data); cut += 256 {
		file := writeTo(t, data[:cut])
		if _, err := layout.OpenArchive(file, layout.Options{}); !errors.Is(err, registry.ErrMalformed) {
			t.Errorf("%d of %d bytes: %v", cut, len(data), err)
		}
	}
}

func TestAttack_F1_ArchiveWithMoreAfterItsEnd(t *testing.T) {
	data, err := os.ReadFile(writeArchive(t, layoutMembers(t)...))
	must(t, err)
	second, err := os.ReadFile(writeArchive(t, member{name: "index.json", content: "{}"}))
	must(t, err)
	for what, more := range map[string][]byte{
		"text": []byte("more"), "an archive": second, "zeros and more": append(make([]byte, 64<<10), 'x'), "too many zeros": make([]byte, 2<<20),
	} {
		if _, err := layout.OpenArchive(writeTo(t, slices.Concat(data, more)), layout.Options{}); !errors.Is(err, registry.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	l := openArchive(t, writeTo(t, slices.Concat(data, make([]byte, 8<<10)))) // as GNU tar fills it up
	if _, err := l.Resolve(t.Context(), l.Tag("v1")); err != nil {
		t.Error(err)
	}
}

// A header may announce more than the file holds.
func TestAttack_F1_ArchiveMemberThatIsHuge(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "index.json", Size: 1 << 40}))
	wantRefused(t, writeTo(t, append(b.Bytes(), make([]byte, 1024)...)), registry.ErrMalformed)
}

func TestAttack_F1_ArchiveWithAHugeIndex(t *testing.T) {
	members := layoutMembers(t)
	for i := range members {
		if members[i].name == "index.json" {
			members[i].content = strings.Repeat(" ", 17<<20)
		}
	}
	_, err := layout.OpenArchive(writeArchive(t, members...), layout.Options{})
	wantKind(t, err, registry.ErrTooLarge)
}

func TestAttack_F1_ArchiveWithTooManyMembers(t *testing.T) {
	members := layoutMembers(t)
	for range 100 {
		members = append(members, member{name: "more"})
	}
	_, err := layout.OpenArchive(writeArchive(t, members...), layout.Options{MaxMembers: 50})
	wantKind(t, err, registry.ErrTooMany)
}

func TestAttack_F1_ArchiveWithSparseMembers(t *testing.T) {
	// Package tar writes no sparse members: a record is renamed to one of the same length.
	blob := member{name: "blobs/sha256/" + strings.Repeat("b", 64), content: "x", header: tar.Header{PAXRecords: map[string]string{"ANY.sparse.size": "1"}}}
	data, err := os.ReadFile(writeArchive(t, append(layoutMembers(t), blob)...))
	must(t, err)
	sparse := bytes.ReplaceAll(data, []byte("ANY.sparse.size"), []byte("GNU.sparse.size"))
	wantRefused(t, writeTo(t, sparse), registry.ErrMalformed)
}

// One reader goes by the header, another by the record before it.
func TestAttack_F1_ArchiveMemberWithTwoSizes(t *testing.T) {
	members := layoutMembers(t)
	for i, m := range members {
		if m.name == "index.json" {
			// Package tar writes no record of a size: one is renamed to one of the same length.
			members[i].header = tar.Header{PAXRecords: map[string]string{"ANYS": strconv.Itoa(len(m.content))}}
		}
	}
	data, err := os.ReadFile(writeArchive(t, members...))
	must(t, err)
	wantRefused(t, writeTo(t, bytes.Replace(data, []byte(" ANYS="), []byte(" size="), 1)), registry.ErrMalformed)
}

// GNU tar makes a directory of a file whose name ends in a slash.
func TestAttack_F1_ArchiveFileNamedAsADirectory(t *testing.T) {
	for _, name := range []string{"index.json", "oci-layout", "blobs/sha256/" + strings.Repeat("a", 64)} {
		members := slices.DeleteFunc(layoutMembers(t), func(m member) bool { return m.name == name })
		data, err := os.ReadFile(writeArchive(t, append([]member{{name: name + "#", content: "{}"}}, members...)...))
		must(t, err)
		// Package tar writes no such name: it is put in afterwards, and the sum mended.
		header, sum := data[:512], 0
		header[len(name)] = '/'
		copy(header[148:156], "        ")
		for _, b := range header {
			sum += int(b)
		}
		copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
		wantRefused(t, writeTo(t, data), registry.ErrMalformed)
	}
}

// An archive that others may not read stays one that they may not.
func TestAttack_F3_ArchiveWrittenAgainKeepsItsMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes there")
	}
	file, _ := signedArchive(t)
	for _, mode := range []os.FileMode{0o600, 0o640} {
		must(t, os.Chmod(file, mode))
		l := createArchive(t, file)
		pushImage(t, l, l.Tag("v2"), "another image", nil)
		commit(t, l)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode is %v, %v; want %v", info.Mode(), err, mode)
		}
	}
}

func TestAttack_F1_ArchiveWithAGlobalHeader(t *testing.T) {
	global := member{header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "index.json"}}}
	wantRefused(t, writeArchive(t, append([]member{global}, layoutMembers(t)...)...), registry.ErrMalformed)
}

func TestAttack_F1_ArchiveBlobOfOtherBytes(t *testing.T) {
	members := layoutMembers(t)
	for i, m := range members {
		if m.content == "image" {
			members[i].content = "IMAGE"
		}
	}
	file := writeArchive(t, members...)
	l := openArchive(t, file)
	d := l.Digest(hashOf("image"))
	if _, err := readBlob(l, d, 5); !errors.Is(err, registry.ErrDigestMismatch) {
		t.Errorf("%v", err)
	}
	_, err := layout.OpenArchive(file, layout.Options{Create: true})
	wantKind(t, err, registry.ErrDigestMismatch)
	wantOnlyFile(t, file)
}

func TestArchive_SaysWhatAFileIs(t *testing.T) {
	var docker = []member{{name: "manifest.json", content: "[]"}, {name: "repositories", content: "{}"}}
	nested := layoutMembers(t)
	for i := range nested {
		nested[i].name = "layout/" + nested[i].name
	}
	for name, c := range map[string]struct{ file, says string }{
		"gzip":    {writeTo(t, []byte("\x1f\x8b\x08 and so on")), "gunzip"},
		"zstd":    {writeTo(t, []byte("\x28\xb5\x2f\xfd and so on")), "unzstd"},
		"bzip2":   {writeTo(t, []byte("BZh91AY")), "bunzip2"},
		"xz":      {writeTo(t, []byte("\xfd7zXZ\x00\x00")), "unxz"},
		"zip":     {writeTo(t, []byte("PK\x03\x04 and so on")), "zip"},
		"docker":  {writeArchive(t, docker...), "docker-archive:"},
		"nested":  {writeArchive(t, nested...), `"layout"`},
		"another": {writeArchive(t, member{name: "README", content: "read me"}), "oci-layout"},
	} {
		t.Run(name, func(t *testing.T) {
			if e := wantRefused(t, c.file, registry.ErrUnsupported); !strings.Contains(e.Detail, c.says) {
				t.Errorf("%v", e)
			}
		})
	}
	wantRefused(t, writeTo(t, []byte("text, which is not an archive")), registry.ErrMalformed)
}

func TestAttack_F4_ArchiveErrorsAreSafeToPrint(t *testing.T) {
	file := writeArchive(t, append(layoutMembers(t), member{name: "../\x1b[31mevil\n", content: "x"})...)
	_, err := layout.OpenArchive(file, layout.Options{})
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("%q", err)
	}
}

// FuzzOpenArchive looks for archives that hang, panic, or give other bytes than a digest says.
func FuzzOpenArchive(f *testing.F) {
	data, err := os.ReadFile(writeArchive(f, layoutMembers(f)...))
	must(f, err)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add(slices.Concat(data, data))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		file := filepath.Join(t.TempDir(), "image.tar")
		must(t, os.WriteFile(file, data, 0o600))
		l, err := layout.OpenArchive(file, layout.Options{MaxMembers: 1000})
		if err != nil {
			return
		}
		defer func() { _ = l.Close() }() // only read from
		tags, err := l.Tags(t.Context())
		if err != nil {
			return
		}
		for _, tag := range tags {
			d, err := l.Resolve(t.Context(), l.Tag(tag))
			if err != nil {
				continue
			}
			for _, err := range l.Referrers(t.Context(), l.Digest(d.Digest)) {
				if err != nil {
					break
				}
			}
		}
		if r, err := l.Blob(t.Context(), l.Digest(hashOf("image")), -1); err == nil {
			if text, err := io.ReadAll(r); err == nil && string(text) != "image" {
				t.Errorf("%q is not what its digest says", text)
			}
		}
	})
}

func TestAttack_F1_ArchiveDirectoryThatHoldsBytes(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "blobs/", Size: 512}))
	wantRefused(t, writeTo(t, append(b.Bytes(), make([]byte, 2048)...)), registry.ErrMalformed)
}

func TestArchive_WithoutAnIndexIsMalformed(t *testing.T) {
	members := slices.DeleteFunc(layoutMembers(t), func(m member) bool { return m.name == "index.json" })
	wantRefused(t, writeArchive(t, members...), registry.ErrMalformed)
}

func TestCloseOfNoLayoutDoesNothing(t *testing.T) {
	if err := (*layout.Layout)(nil).Close(); err != nil {
		t.Error(err)
	}
}
