package registry

import (
	"context"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/oci"
)

// readMessage reads a small body. Within a budget, what is larger than most are waits
// until there is room for it, and then has to come quickly: others wait for that.
func readMessage(ctx context.Context, r *request, resp *http.Response, most int64) ([]byte, error) {
	if !budget.In(ctx) || most <= budget.Free {
		return limit.ReadAll(resp.Body, most)
	}
	size := resp.ContentLength
	if r.method == http.MethodHead {
		size = 0
	}
	if size > most {
		return nil, limit.ErrExceeded
	}
	start := make([]byte, min(budget.Free, max(size, 512)))
	n, err := io.ReadFull(resp.Body, start)
	for err == nil && size < 0 && len(start) < budget.Free {
		grown := make([]byte, min(budget.Free, 4*len(start)))
		have := copy(grown, start)
		n, err = io.ReadFull(resp.Body, grown[have:])
		n, start = n+have, grown
	}
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF && (size < 0 || int64(n) >= size):
		return start[:n], nil
	case err != nil:
		return nil, err
	case size >= 0 && int64(n) >= size:
		return start[:n], nil
	}
	return readLarge(ctx, r, resp.Body, start[:n], size, most)
}

// readLarge reads the rest of a body that is larger than budget.Free. size is negative
// where it is not known.
func readLarge(ctx context.Context, r *request, body io.Reader, start []byte, size, most int64) (all []byte, err error) {
	if r.unplace != nil {
		r.unplace() // small answers must not wait for those that do
	}
	if r.list {
		if err := budget.Large(ctx); err != nil {
			return nil, err
		}
	}
	room := size
	if size < 0 {
		room = 2 * most // the buffer grows
	}
	read, err := budget.Message(ctx, room)
	if err != nil {
		return nil, err
	}
	defer func() { read(err == nil) }()
	if r.hurry != nil {
		r.hurry(budget.Time(room))
	}
	return limit.ReadRest(body, start, size, most)
}

// parse is oci.Parse within a budget.
func parse(ctx context.Context, mediaType string, text []byte) (*oci.Document, error) {
	leave, err := budget.Parse(ctx, text)
	if err != nil {
		return nil, err
	}
	defer leave()
	return oci.Parse(mediaType, text)
}

// parseList is oci.ParseReferrers within a budget.
func parseList(ctx context.Context, text []byte) ([]v1.Descriptor, error) {
	leave, err := budget.Parse(ctx, text)
	if err != nil {
		return nil, err
	}
	defer leave()
	return oci.ParseReferrers(text)
}
