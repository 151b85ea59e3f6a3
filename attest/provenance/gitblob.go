package provenance

import (
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

// sameBlob reports whether a file of the work tree is what the index holds: the
// same kind, and the same content by git's object ID (gitglossary(7), "object
// name"; SHA-1, or SHA-256 in repositories of that format). A file that is gone,
// or is something else, is not the same. Submodules are not looked into.
func sameBlob(root *os.Root, name, mode, id string) (bool, error) {
	const submodule, link = "160000", "120000"
	if mode == submodule {
		return true, nil
	}
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if mode == link {
		target, err := root.Readlink(name)
		return err == nil && blobID([]byte(target), len(id)) == id, nil
	}
	if !info.Mode().IsRegular() {
		return false, nil
	}
	f, err := root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := blobHash(info.Size(), len(id))
	if _, err := io.Copy(h, io.LimitReader(f, info.Size()+1)); err != nil {
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == id, nil
}

// blobHash begins the object ID of a blob; hexLen is the length of IDs.
func blobHash(size int64, hexLen int) hash.Hash {
	h := sha1.New()
	if hexLen == 2*sha256.Size {
		h = sha256.New()
	}
	_, _ = fmt.Fprintf(h, "blob %d\x00", size) // a hash does not fail
	return h
}

func blobID(content []byte, hexLen int) string {
	h := blobHash(int64(len(content)), hexLen)
	_, _ = h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}
