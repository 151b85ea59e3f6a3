package layout

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/registry"
)

// ErrArchive is the error for a file that is not a tar archive of an OCI image layout, or
// one that is not read. Errors of OpenArchive wrap it; their Detail says what the file is.
var ErrArchive = errors.New("not an archive of an OCI image layout")

// tarBlock is the unit of a tar archive, in bytes. Two blocks of zeros end it.
const tarBlock = 512

// maxOctalSize is the greatest size that the header of a member holds, in bytes. Writers
// state greater ones in a record before it; some readers go by the header alone.
const maxOctalSize = 1<<33 - 1

// maxPadding bounds the zeros after the end of an archive, in bytes. GNU tar fills up to
// 10 KiB, or to the factor that the user gives it.
const maxPadding = 1 << 20

// archive is a tar file whose members are read where they stand. A member lies in one
// piece: sparse and linked members are refused.
//
// Source: POSIX.1-2024, pax, "ustar Interchange Format" and "pax Interchange Format".
type archive struct {
	f       *os.File
	size    int64
	members map[string]section // those of a layout, by name
	// others are what else was met, for messages.
	dockerArchive bool
	nested        string
}

// section is where the bytes of a member stand.
type section struct{ offset, size int64 }

// openTar opens a tar file and looks through its members.
func openTar(path string, most int) (*archive, error) {
	f, info, err := file.Open(path)
	if errors.Is(err, file.ErrNotRegular) {
		return nil, archiveError("it is not a regular file; a layout in a directory is written oci:DIR")
	}
	if err != nil {
		return nil, err
	}
	a := &archive{f: f, size: info.Size(), members: make(map[string]section)}
	if err := a.scan(most); err != nil {
		_ = f.Close() // it was only read from
		return nil, err
	}
	return a, nil
}

func archiveError(detail string) error {
	return &registry.Error{Kind: registry.ErrUnsupported, Detail: detail, Err: ErrArchive}
}

func malformedArchive(format string, args ...any) error {
	return &registry.Error{Kind: registry.ErrMalformed, Detail: fmt.Sprintf(format, args...), Err: ErrArchive}
}

// scan finds the members of a layout, and refuses archives that two readers could read as
// two different ones.
func (a *archive) scan(most int) error {
	if err := a.refuseOthers(); err != nil {
		return err
	}
	r := tar.NewReader(a.f)
	var end int64 // of the last member
	for n := 0; ; n++ {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return malformedArchive("it is damaged or cut off after %d members: %s", n, safe(err.Error()))
		}
		if n == most {
			return &registry.Error{Kind: registry.ErrTooMany, Detail: fmt.Sprintf("the archive has more than %d members", most), Err: ErrArchive}
		}
		offset, err := a.f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := a.checkHeader(h, offset); err != nil {
			return err
		}
		end = blocks(offset) + blocks(h.Size)
		if err := a.add(h, offset); err != nil {
			return err
		}
	}
	if err := a.checkEnd(end); err != nil {
		return err
	}
	return a.checkKind()
}

// blocks rounds a number of bytes up to whole blocks.
func blocks(size int64) int64 { return (size + tarBlock - 1) / tarBlock * tarBlock }

// checkHeader refuses members whose length or place readers could take differently.
func (a *archive) checkHeader(h *tar.Header, offset int64) error {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		for key := range h.PAXRecords {
			if key != "comment" {
				return malformedArchive("a global header sets %q for other members", safe(key))
			}
		}
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo:
		if h.Size != 0 {
			return malformedArchive("the member %q holds bytes that its type has not", safe(h.Name))
		}
	}
	if h.Typeflag == tar.TypeGNUSparse || sparse(h) {
		return malformedArchive("the member %q is sparse", safe(h.Name))
	}
	if _, twice := h.PAXRecords["size"]; twice && h.Size <= maxOctalSize {
		return malformedArchive("the member %q states its size twice", safe(h.Name))
	}
	if h.Typeflag == tar.TypeReg && strings.HasSuffix(h.Name, "/") {
		return malformedArchive("the member %q is a file by its type and a directory by its name", safe(h.Name))
	}
	if h.Size > a.size-offset {
		return malformedArchive("the member %q is cut off", safe(h.Name))
	}
	return nil
}

// compressed begin files that are not tar, each with what it is and what to do.
var compressed = []struct{ magic, detail string }{
	{"\x1f\x8b", "it is compressed by gzip: decompress it with gunzip, and name the result"},
	{"\x28\xb5\x2f\xfd", "it is compressed by zstd: decompress it with unzstd, and name the result"},
	{"BZh", "it is compressed by bzip2: decompress it with bunzip2, and name the result"},
	{"\xfd7zXZ\x00", "it is compressed by xz: decompress it with unxz, and name the result"},
	{"PK\x03\x04", "it is a zip file"},
}

func (a *archive) refuseOthers() error {
	start := make([]byte, 8)
	n, err := a.f.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return err
	}
	if n == 0 {
		return archiveError("the file is empty")
	}
	for _, c := range compressed {
		if bytes.HasPrefix(start[:n], []byte(c.magic)) {
			return archiveError(c.detail)
		}
	}
	return nil
}

// add notes a member of the layout. Others are passed over: Docker writes its own
// manifest.json beside the layout.
func (a *archive) add(h *tar.Header, offset int64) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	member, err := memberName(h.Name)
	if err != nil {
		return err
	}
	switch parts := strings.Split(member, "/"); {
	case parts[0] == allBlobsDir && len(parts) < 3:
		if h.Typeflag != tar.TypeDir {
			return malformedArchive("the member %q is not a directory", safe(member))
		}
		return nil
	case parts[0] == allBlobsDir && len(parts) > 3:
		return malformedArchive("the member %q stands below a blob", safe(member))
	case parts[0] != allBlobsDir && member != layoutFile && member != indexName:
		a.dockerArchive = a.dockerArchive || member == "manifest.json"
		if dir, nested := strings.CutSuffix(member, "/"+layoutFile); nested {
			a.nested = dir
		}
		return nil
	}
	if _, twice := a.members[member]; twice {
		return malformedArchive("the member %q stands there twice", safe(member))
	}
	if h.Typeflag != tar.TypeReg {
		return malformedArchive("the member %q is a link or special; only regular files are read", safe(member))
	}
	a.members[member] = section{offset, h.Size}
	return nil
}

func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// memberName is the name of a member without "./" before it. Names that lead out of the
// archive are refused, and so are second spellings of a name.
func memberName(full string) (string, error) {
	member := strings.TrimSuffix(strings.TrimPrefix(full, "./"), "/")
	if member == "" || member == "." {
		return ".", nil
	}
	if !fs.ValidPath(member) || strings.ContainsRune(member, '\\') {
		return "", malformedArchive("a member has the name %q, which is not a plain path within the archive", safe(full))
	}
	return member, nil
}

// checkEnd refuses an archive that is cut off between two members, or has more after its
// end: some readers would go on there.
func (a *archive) checkEnd(end int64) error {
	rest := a.size - end
	if rest < 2*tarBlock {
		return malformedArchive("it is cut off: the two blocks that end an archive are missing")
	}
	if rest > maxPadding {
		return malformedArchive("%d bytes stand after its end", rest)
	}
	padding := make([]byte, rest)
	if _, err := a.f.ReadAt(padding, end); err != nil && err != io.EOF {
		return err
	}
	if len(bytes.Trim(padding, "\x00")) > 0 {
		return malformedArchive("something stands after its end")
	}
	return nil
}

// checkKind says what an archive is that holds no layout.
func (a *archive) checkKind() error {
	_, marked := a.members[layoutFile]
	_, listed := a.members[indexName]
	switch {
	case marked && listed:
		return nil
	case a.nested != "":
		return archiveError(fmt.Sprintf("the layout stands in its directory %q: pack it from within, by tar -C DIR -cf FILE .", safe(a.nested)))
	case a.dockerArchive:
		return archiveError("it is a docker archive, as docker save writes it: convert it by skopeo copy docker-archive:FILE oci-archive:NEW:TAG")
	case marked:
		return malformedArchive("it has no %s", indexName)
	}
	return archiveError(fmt.Sprintf("it has no %s", layoutFile))
}

// open returns a member and its size.
func (a *archive) open(member string) (io.ReadCloser, int64, error) {
	at, there := a.members[member]
	if !there {
		return nil, 0, &fs.PathError{Op: "open", Path: member, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(a.f, at.offset, at.size)), at.size, nil
}

// blobFiles are the blobs by SHA-256.
func (a *archive) blobFiles() (files []blobFile) {
	for member, at := range a.members {
		if hex, ok := strings.CutPrefix(member, blobsDir+"/"); ok {
			if h, err := v1.NewHash("sha256:" + hex); err == nil {
				files = append(files, blobFile{h, at.size})
			}
		}
	}
	slices.SortFunc(files, func(a, b blobFile) int { return cmp.Compare(a.digest.Hex, b.digest.Hex) })
	return files
}
