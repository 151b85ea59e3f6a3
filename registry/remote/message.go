package remote

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// readMessage reads a small body. Within a budget, what is larger than most are waits
// until there is room for it, and then has to come quickly: others wait for that.
func readMessage(ctx context.Context, r *request, resp *http.Response, most int64) ([]byte, error) {
	if !budget.In(ctx) || most <= budget.Free {
		return limit.ReadAll(resp.Body, most)
	}
	size := resp.ContentLength
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

// Bounds of one page of a list of referrers.
const (
	// maxListBytes is how long it may be: registries repeat the annotations of all
	// referrers in it, and attackers choose those of theirs.
	maxListBytes = 64 << 20
	// listCost is about what reading it takes in memory, however long it is.
	listCost = 8 << 20
)

// consumed has a list read as it comes.
func (r *request) consumed(ctx context.Context, resp *http.Response) error {
	body := &bounded{r: resp.Body, left: maxListBytes}
	if resp.ContentLength < 0 || resp.ContentLength > budget.Free {
		if r.unplace != nil {
			r.unplace() // as in readLarge
		}
		if err := budget.Large(ctx); err != nil {
			return r.fail(registry.ErrUnavailable, err, "")
		}
		read, err := budget.Message(ctx, listCost)
		if err != nil {
			return r.fail(registry.ErrUnavailable, err, "")
		}
		defer read(false)
		if r.hurry != nil && budget.In(ctx) {
			r.hurry(budget.Time(max(resp.ContentLength, listCost)))
		}
	}
	err := r.consume(body)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, limit.ErrExceeded):
		return r.fail(registry.ErrTooLarge, err, "")
	case errors.Is(err, oci.ErrMalformed):
		return r.stray(registry.ErrMalformed, err, "") // the list is the registry's own
	}
	return r.transportError(resp.Request.Context(), err, (&dialled{}).missingIn(err, resp.Request.URL.Host))
}

// bounded fails where there is more than may be.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, limit.ErrExceeded
	}
	return n, err
}
