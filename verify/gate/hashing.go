package gate

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"strings"

	"github.com/hallmark-oci/hallmark/registry"
)

// hashing returns an error instead of io.EOF if the content does not have its digest.
type hashing struct {
	r      io.Reader
	want   string
	failed func() // called once it is known that it is not
	sum    hash.Hash
}

func (h *hashing) Read(p []byte) (int, error) {
	if h.sum == nil {
		h.sum = sha256.New()
	}
	n, err := h.r.Read(p)
	h.sum.Write(p[:n])
	if err == io.EOF && hexOf(h.sum.Sum(nil)) != strings.TrimPrefix(h.want, "sha256:") {
		h.failed()
		err = &registry.Error{Op: "read blob", Ref: h.want, Kind: registry.ErrDigestMismatch}
	}
	return n, err
}

// continued is content that was sent in part from elsewhere: it fails where that was
// not the beginning of it, which could not be hashed yet.
type continued struct {
	r        io.Reader
	from     io.ReaderAt
	at, left int64
}

func (c *continued) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if both := min(int64(n), c.left); both > 0 {
		was := make([]byte, both)
		if _, err := c.from.ReadAt(was, c.at); err != nil || !bytes.Equal(was, p[:both]) {
			return 0, &registry.Error{Op: "read blob", Kind: registry.ErrDigestMismatch, Detail: "what was sent before is not its beginning", Err: err}
		}
		c.at, c.left = c.at+both, c.left-both
	}
	return n, err
}
