package gate

import (
	"crypto/sha256"
	"hash"
	"io"
	"strings"
	"sync"

	"github.com/hallmark-oci/hallmark/registry"
)

// pool keeps buffers of one size.
func pool(size int) *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, size); return &b }}
}

// hashing fails in place of io.EOF where what was read is not what its digest says.
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
