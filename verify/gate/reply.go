package gate

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/registry"
)

// outlet is what all responses share: slow clients hold little memory.
type outlet struct {
	// timeout is Config.WriteTimeout.
	timeout time.Duration
	tempDir string
	logger  *slog.Logger
	// buffers are small: there may be thousands in use.
	buffers *sync.Pool
	// files hold large responses under way, by digest, once for all clients.
	files singleflight.Group[string, *os.File]
}

// reply is the response to one request.
type reply struct {
	out *outlet
	w   http.ResponseWriter
	r   *http.Request
}

var (
	apiVersion = []string{"registry/2.0"}
	noSniff    = []string{"nosniff"}
	octets     = []string{"application/octet-stream"}
)

// smallBuffer is the most that is held for a client while it takes its response.
const smallBuffer = 32 << 10

// piece is how much is sent within one WriteTimeout.
const piece = 4 << 20

// pool keeps buffers of one size.
func pool(size int) *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, size); return &b }}
}

func (a *reply) isHead() bool { return a.r.Method == http.MethodHead }

// begin begins the response, for which the client has time from now on: a deadline of the
// server began with the request.
func (a *reply) begin(status int) {
	a.deadline()
	a.w.WriteHeader(status)
}

// deadline gives the client time for what is sent next.
func (a *reply) deadline() {
	// A writer that has no deadlines is bounded by who made it.
	_ = http.NewResponseController(a.w).SetWriteDeadline(time.Now().Add(a.out.timeout))
}

// waits gives the client unlimited time while the gate itself waits: with HTTP/2 a deadline
// ends a response even while nothing is sent. deadline is set again before more is sent.
func (a *reply) waits() {
	_ = http.NewResponseController(a.w).SetWriteDeadline(time.Time{})
}

// abort closes the connection, which tells the client that the content is incomplete.
func (a *reply) abort() { panic(http.ErrAbortHandler) }

// warn marks content that passes only because its rule warns.
// Source: OCI Distribution Specification v1.1, "Warnings".
func (a *reply) warn(warning string) {
	if warning != "" {
		a.mark("not verified, and let through by a rule that only warns: " + warning)
	}
}

// mark sets the warning of a response.
func (a *reply) mark(warning string) {
	text := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(ascii(registry.SafeText(warning, 400)))
	a.w.Header().Set("Warning", `299 - "`+text+`"`)
}

// ascii leaves out what a header cannot hold.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0x7e || r < ' ' {
			return -1
		}
		return r
	}, s)
}

// send writes a small answer, or one that is large from a file. The content must not be
// held by the caller any more.
func (a *reply) send(ctx context.Context, digest string, content []byte) {
	if len(content) <= smallBuffer {
		_, _ = a.w.Write(content) // the client has gone
		return
	}
	size := int64(len(content))
	file, release, err := a.out.files.Hold(context.WithoutCancel(ctx), digest, func(context.Context) (*os.File, error) { return spooled(a.out.tempDir, content) }, discard)
	if err != nil { // as with blobs, a disk that is full does not end pulls
		a.out.logger.WarnContext(ctx, "response not written to a temporary file; sending it from memory", "error", err)
		_, _ = a.w.Write(content)
		return
	}
	defer release()
	buffer := a.out.buffers.Get().(*[]byte)
	defer a.out.buffers.Put(buffer)
	for at := int64(0); at < size; at += piece {
		a.deadline()
		part := io.NewSectionReader(file, at, min(piece, size-at))
		if _, err := io.CopyBuffer(struct{ io.Writer }{a.w}, struct{ io.Reader }{part}, *buffer); err != nil {
			a.abort()
		}
	}
}

// spooled is a temporary file with some content.
func spooled(dir string, content []byte) (*os.File, error) {
	f, err := unnamed(dir)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, bytes.NewReader(content)); err != nil {
		discard(f)
		return nil, err
	}
	return f, nil
}

// unnamed makes a file that a crash does not leave behind, where an open file can be
// deleted.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "hallmark-gate-*")
	if err == nil {
		_ = os.Remove(f.Name())
	}
	return f, err
}

// discard closes a temporary file that has no reader any more.
func discard(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name()) // deleted before, mostly
}

// copyPart sends a part of a file that is being written. Where it could be opened
// once more, the kernel copies.
func (a *reply) copyPart(f view, from, to int64) error {
	a.deadline()
	if f.own != nil {
		if _, err := f.own.Seek(from, io.SeekStart); err != nil {
			return err
		}
		_, err := io.CopyN(a.w, f.own, to-from)
		return err
	}
	buffer := a.out.buffers.Get().(*[]byte)
	defer a.out.buffers.Put(buffer)
	_, err := io.CopyBuffer(struct{ io.Writer }{a.w}, io.NewSectionReader(f.shared, from, to-from), *buffer)
	return err
}

// stream sends a span of what is read to its end. The last byte is withheld until
// the end was reached: only then was it the blob.
func (a *reply) stream(body io.Reader, s span) error {
	buffer := a.out.buffers.Get().(*[]byte)
	defer a.out.buffers.Put(buffer)
	var at int64
	var last []byte
	for {
		a.waits()
		n, err := body.Read(*buffer)
		part := (*buffer)[:n]
		begin, end := clamp(s.from-at, n), clamp(s.to-at, n)
		at += int64(n)
		if begin < end {
			a.deadline()
			// What was withheld goes first, then all but the last byte.
			if _, werr := a.w.Write(append(last, part[begin:end-1]...)); werr != nil {
				return werr
			}
			last = []byte{part[end-1]}
		}
		if err == io.EOF {
			a.deadline()
			_, err = a.w.Write(last)
			return err
		}
		if err != nil {
			return err
		}
	}
}

func clamp(v int64, n int) int64 { return max(0, min(v, int64(n))) }
