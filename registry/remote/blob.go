package remote

import (
	"context"
	"io"
	"math"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

// Blob implements Reader. A download that breaks off after its first byte is
// not taken up again.
func (c *Client) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	r, want, err := c.hosts.blobRequest("read blob", http.MethodGet, ref)
	if err != nil {
		return nil, err
	}
	if size == math.MaxInt64 {
		return nil, r.fail(registry.ErrTooLarge, nil, "no blob is that large")
	}
	r.stream = true
	a, err := c.send.do(ctx, r, 0)
	if err != nil {
		return nil, err
	}
	fail := r.fail
	if contentType(a.header) == "text/html" {
		fail = r.stray // unless the bytes are right, this is a page in place of the blob
	}
	if size >= 0 && a.length > size {
		return nil, closing(a.stream, fail(registry.ErrTooLarge, nil, "more bytes than the descriptor says"))
	}
	return newBlobReader(a.stream, want, size, c.o.MaxBlobBytes, fail), nil
}

func closing(body io.Closer, err error) error {
	_ = body.Close() // the error says more
	return err
}

// HasBlob implements Writer.
func (c *Client) HasBlob(ctx context.Context, ref name.Digest) (bool, error) {
	r, want, err := c.hosts.blobRequest("look for blob", http.MethodHead, ref)
	if err != nil {
		return false, err
	}
	r.accept = []int{http.StatusNotFound}
	a, err := c.send.do(ctx, r, 0)
	if err != nil || a.status == http.StatusNotFound {
		return false, err
	}
	return true, claimed(r, a.header, want)
}
