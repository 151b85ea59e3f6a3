package remote

import (
	"context"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// minProgress is what has to arrive within Options.StallTimeout.
const minProgress = 16 << 10

// steadyBody ends a download that crawls. Only time in which a caller waits for bytes
// counts: a slow reader does not make a slow sender.
type steadyBody struct {
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	ctx    context.Context
	window time.Duration

	mu     sync.Mutex
	got    int
	waited time.Duration
	began  time.Time // of the read under way; zero: none
	timer  *time.Timer
}

func newSteadyBody(ctx context.Context, body io.ReadCloser, window time.Duration, cancel context.CancelCauseFunc) io.ReadCloser {
	return &steadyBody{body: body, window: window, cancel: cancel, ctx: ctx}
}

func (s *steadyBody) Read(p []byte) (int, error) {
	s.begin()
	n, err := s.body.Read(p)
	s.end(n)
	if err != nil && err != io.EOF && errors.Is(context.Cause(s.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

// begin arms the timer with what is left of the window.
func (s *steadyBody) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = time.Now()
	left := s.window - s.waited
	if s.timer == nil {
		s.timer = time.AfterFunc(left, s.late)
	} else {
		s.timer.Reset(left)
	}
}

func (s *steadyBody) end(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	s.waited += time.Since(s.began)
	s.began = time.Time{}
	if s.got += n; s.got >= minProgress {
		s.got, s.waited = 0, 0
	}
}

func (s *steadyBody) late() {
	s.mu.Lock()
	waiting := !s.began.IsZero()
	s.mu.Unlock()
	if waiting {
		s.cancel(errStalled)
	}
}

func (s *steadyBody) Close() error {
	err := s.body.Close()
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.cancel(nil)
	return err
}

// blobReader gives out a blob's bytes and, at their end, says whether they were
// the blob.
type blobReader struct {
	body io.ReadCloser
	want v1.Hash
	sum  hash.Hash
	left int64 // bytes that may still come
	size int64 // exact, or negative
	err  error
	fail func(kind registry.Kind, err error, detail string) error
}

func newBlobReader(body io.ReadCloser, want v1.Hash, size, limit int64, fail func(registry.Kind, error, string) error) *blobReader {
	b := &blobReader{body: body, want: want, sum: oci.Hasher(want), left: size, size: size, fail: fail}
	if size < 0 {
		b.left = limit
	}
	return b
}

func (b *blobReader) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	// One byte more than is left shows that there is too much.
	if int64(len(p))-1 > b.left {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if int64(n) > b.left {
		n = int(b.left)
		err = b.fail(registry.ErrTooLarge, nil, "more bytes than the descriptor says, or the limit allows")
	}
	b.left -= int64(n)
	b.sum.Write(p[:n])
	switch {
	case err == io.EOF:
		err = b.end()
	case errors.Is(err, errStalled):
		err = b.fail(registry.ErrStalled, err, "")
	case err != nil && !isTyped(err):
		err = b.fail(registry.ErrUnavailable, err, "the download broke off")
	}
	b.err = err
	return n, err
}

func isTyped(err error) bool {
	var e *registry.Error
	return errors.As(err, &e)
}

// end is io.EOF where the bytes were the blob.
func (b *blobReader) end() error {
	if b.size >= 0 && b.left > 0 {
		return b.fail(registry.ErrDigestMismatch, nil, "fewer bytes than the descriptor says")
	}
	if hex.EncodeToString(b.sum.Sum(nil)) != b.want.Hex {
		return b.fail(registry.ErrDigestMismatch, nil, "")
	}
	return io.EOF
}

func (b *blobReader) Close() error { return b.body.Close() }
