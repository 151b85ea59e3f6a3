package provenance

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

// sameBlob reports whether a file of the work tree is the one of the index: the same
// kind, the same executable bit, and the same content by git's object ID. The ID is
// a SHA-1, or a SHA-256 in repositories of that format (gitglossary(7), "object
// name").
func sameBlob(ctx context.Context, root *os.Root, e gitEntry) (bool, error) {
	info, err := root.Lstat(e.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if e.mode == modeLink {
		target, err := root.Readlink(e.name)
		return err == nil && objectID("blob", []byte(target), len(e.id)) == e.id, nil
	}
	executable := info.Mode()&0o100 != 0
	if !info.Mode().IsRegular() || hasModes && executable != (e.mode == modeExecutable) {
		return false, nil
	}
	f, err := root.OpenFile(e.name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := objectHash("blob", info.Size(), len(e.id))
	if _, err := io.Copy(h, io.LimitReader(&reading{ctx, f}, info.Size()+1)); err != nil {
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == e.id, nil
}

// reading is a reader that ends with its context: a sparse file can be endless.
type reading struct {
	ctx  context.Context
	from io.Reader
}

func (r *reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

// objectHash returns a hash that holds an object's header. hexLen is the length of
// the repository's IDs.
func objectHash(kind string, size int64, hexLen int) hash.Hash {
	h := sha1.New()
	if hexLen == 2*sha256.Size {
		h = sha256.New()
	}
	_, _ = fmt.Fprintf(h, "%s %d\x00", kind, size) // a hash does not fail
	return h
}

func objectID(kind string, content []byte, hexLen int) string {
	h := objectHash(kind, int64(len(content)), hexLen)
	_, _ = h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}
