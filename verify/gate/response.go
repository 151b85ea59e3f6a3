package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// response is an http.ResponseWriter whose answer is an http.Response.
type response struct {
	resp   *http.Response
	body   *io.PipeWriter
	begun  chan struct{}
	once   sync.Once
	failed error
}

func newResponse(req *http.Request, cancel context.CancelFunc) *response {
	r, w := io.Pipe()
	return &response{
		body: w, begun: make(chan struct{}),
		resp: &http.Response{
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header), ContentLength: -1,
			Request: req, Body: &closing{r, cancel},
		},
	}
}

// closing ends the work when the client has read enough.
type closing struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (c *closing) Close() error {
	err := c.PipeReader.Close()
	c.cancel()
	return err
}

func (r *response) Header() http.Header { return r.resp.Header }

func (r *response) WriteHeader(status int) {
	r.once.Do(func() {
		r.resp.StatusCode, r.resp.Status = status, fmt.Sprintf("%d %s", status, http.StatusText(status))
		// The header must not change under the client's eyes.
		r.resp.Header = r.resp.Header.Clone()
		if length := r.resp.Header.Get("Content-Length"); length != "" {
			_, _ = fmt.Sscan(length, &r.resp.ContentLength) // it was written here
		}
		close(r.begun)
	})
}

func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.resp.Request.Method == http.MethodHead {
		return len(p), nil
	}
	return r.body.Write(p)
}

// end finishes the body: well, or, where the handler has aborted, with an error.
func (r *response) end() {
	switch reason := recover(); {
	case reason == nil:
		r.WriteHeader(http.StatusOK)
		_ = r.body.Close() // it never fails
	case reason == http.ErrAbortHandler:
		r.fail(errors.New("the content is not what its digest says, or could not be read to its end: " + io.ErrUnexpectedEOF.Error()))
	default:
		// The caller could not recover from a panic here: this is not its goroutine.
		r.fail(fmt.Errorf("internal failure: %v", reason))
	}
}

// fail makes an error of the response, or of its body where it has begun.
func (r *response) fail(err error) {
	r.once.Do(func() { r.failed = err; close(r.begun) })
	_ = r.body.CloseWithError(err) // it never fails
}
