package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/registry"
)

// span is the part of a blob that was asked for: from, up to but without to.
type span struct {
	from, to int64
	part     bool
}

// blob answers with a blob that a manifest lists which passes.
func (x *exchange) blob() error {
	ctx, digest := x.ctx, x.l.ref
	allowed, err := x.allowedBlob(digest)
	if err != nil {
		return err
	}
	if allowed.Size < 0 {
		return x.openBlob()
	}
	if allowed.Evidence {
		return x.evidenceBlob(allowed)
	}
	want, err := x.span(allowed.Size)
	if err != nil {
		return err
	}
	if f, size, ok := x.g.storedBlob(ctx, digest, allowed); ok {
		defer func() { _ = f.Close() }() // it was only read
		if size == allowed.Size {
			return x.fromStore(f, allowed, want)
		}
	}
	if x.r.Method == http.MethodHead {
		return x.headOf(allowed, want)
	}
	return x.fromUpstream(allowed, want)
}

// headOf answers HEAD where the upstream has the blob.
func (x *exchange) headOf(allowed permit, s span) error {
	there, err := x.p.from.client.HasBlob(x.ctx, x.p.from.digest(x.p.digest(x.l.ref)))
	if err != nil {
		return err
	}
	if !there {
		return refuse(http.StatusNotFound, codeBlob, "the upstream registry does not have this blob")
	}
	x.blobHeaders(allowed, s)
	return nil
}

// span is the part that the request asks for of a blob of a size.
func (x *exchange) span(size int64) (span, error) {
	s, refused := spanOf(x.r.Header.Get("Range"), size)
	if refused != nil {
		x.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return s, refused
	}
	return s, nil
}

// allowedBlob is what a blob rests on.
func (x *exchange) allowedBlob(digest string) (permit, error) {
	ctx, cancel := x.g.inTime(x.ctx)
	defer cancel()
	// First of all: who may not read it is not told what is known of it, either.
	if err := x.g.mayReadBlob(ctx, x.p, digest); err != nil {
		return permit{}, err
	}
	return x.g.blob(ctx, x.p, digest)
}

func (g *gate) storedBlob(ctx context.Context, digest string, allowed permit) (*os.File, int64, bool) {
	if g.c.Store == nil {
		return nil, 0, false
	}
	return g.c.Store.Get(ctx, digest, partOf(allowed.Evidence))
}

// spanOf reads a Range header of one range. What it does not understand is
// answered with the whole, as RFC 9110, section 14.2, has it.
func spanOf(header string, size int64) (span, *refusal) {
	whole := span{0, size, false}
	text, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(text, ",") {
		return whole, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(text), "-")
	if !ok {
		return whole, nil
	}
	from, errFrom := strconv.ParseUint(first, 10, 63)
	to, errTo := strconv.ParseUint(last, 10, 63)
	s := span{int64(from), int64(to) + 1, true} //nolint:gosec // both fit in 63 bits
	switch {
	case first == "" && errTo == nil:
		s = span{max(0, size-int64(to)), size, true} //nolint:gosec // it fits in 63 bits
	case errFrom != nil, last != "" && errTo != nil, last != "" && to < from:
		return whole, nil
	case last == "" || s.to > size || s.to < 0:
		s.to = size
	}
	if s.from >= s.to {
		return whole, refuse(http.StatusRequestedRangeNotSatisfiable, codeRange, "the blob has %d bytes", size)
	}
	return s, nil
}

// blobHeaders begins the answer.
func (x *exchange) blobHeaders(allowed permit, s span) {
	h := x.w.Header()
	warn(h, x.hidden(allowed.Warning))
	h["Content-Type"] = octets
	h["Docker-Content-Digest"] = []string{x.l.ref}
	h["Docker-Distribution-Api-Version"] = apiVersion
	h["Etag"] = []string{`"` + x.l.ref + `"`}
	h["Accept-Ranges"] = []string{"bytes"}
	h["X-Content-Type-Options"] = noSniff
	h["Content-Length"] = []string{strconv.FormatInt(s.to-s.from, 10)}
	status := http.StatusOK
	if s.part {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.from, s.to-1, allowed.Size))
		status = http.StatusPartialContent
	}
	x.begin(status)
}

var octets = []string{"application/octet-stream"}

// piece is how much is sent within one WriteTimeout.
const piece = 4 << 20

// fromStore sends a file. Where the kernel can copy, it does.
func (x *exchange) fromStore(f *os.File, allowed permit, s span) error {
	if x.r.Method == http.MethodHead {
		x.blobHeaders(allowed, s)
		return nil
	}
	if x.g.c.Store.AlwaysVerify() {
		return x.checked(f, allowed, s)
	}
	if _, err := f.Seek(s.from, io.SeekStart); err != nil {
		return err
	}
	x.blobHeaders(allowed, s)
	for left := s.to - s.from; left > 0; left -= min(left, piece) {
		x.deadline()
		if _, err := io.CopyN(x.w, f, min(left, piece)); err != nil {
			x.abort()
		}
	}
	return nil
}

// abort ends the connection in the middle, so that the client knows that it does
// not have all.
func (x *exchange) abort() { panic(http.ErrAbortHandler) }

// fromUpstream sends a blob while it is fetched, together with all others who want
// it now. Where the temporary file fails, it is fetched for this client alone.
func (x *exchange) fromUpstream(allowed permit, s span) error {
	key := downloadKey{address: x.p.from.address, digest: x.l.ref, size: allowed.Size}
	err := x.shared(allowed, s, key)
	if errors.Is(err, errOthers) {
		key.by = x.p
		err = x.shared(allowed, s, key)
	}
	if errors.Is(err, errStored) {
		if f, size, ok := x.g.storedBlob(x.ctx, x.l.ref, allowed); ok {
			defer func() { _ = f.Close() }() // it was only read
			if size == allowed.Size {
				return x.fromStore(f, allowed, s)
			}
		}
		return x.alone(allowed, s)
	}
	if errors.Is(err, errSpool) {
		return x.alone(allowed, s)
	}
	return err
}

// shared sends a blob that is being fetched. An error means that nothing was sent.
func (x *exchange) shared(allowed permit, s span, key downloadKey) error {
	l, err := x.g.loads.join(x.ctx, x.p, key, false)
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if whole {
			l.leave()
			return
		}
		l.leaveEarly()
	}()
	sent := false
	file := l.view()
	defer file.close()
	for at := s.from; at < s.to || !sent; {
		x.waits()
		to, err := l.available(x.ctx, at)
		if err != nil && l.p != x.p && x.ctx.Err() == nil && !errors.Is(err, errSpool) && !(sent && isMismatch(err)) {
			err = errors.Join(errOthers, err)
		}
		switch {
		case err != nil && !sent:
			return err
		case errors.Is(err, errSpool), errors.Is(err, errOthers):
			x.restAlone(l, allowed, span{at, s.to, s.part})
			return nil
		case err != nil:
			x.abort()
		}
		if !sent {
			x.blobHeaders(allowed, s)
			sent = true
		}
		to = min(to, s.to, at+piece)
		if err := x.copyPart(file, at, to); err != nil {
			x.abort()
		}
		at = to
	}
	whole = !s.part
	return nil
}

// copyPart sends a part of a file that is being written. Where it could be opened
// once more, the kernel copies.
func (x *exchange) copyPart(f view, from, to int64) error {
	x.deadline()
	if f.own != nil {
		if _, err := f.own.Seek(from, io.SeekStart); err != nil {
			return err
		}
		_, err := io.CopyN(x.w, f.own, to-from)
		return err
	}
	buffer := x.g.buffers.Get().(*[]byte)
	defer x.g.buffers.Put(buffer)
	_, err := io.CopyBuffer(struct{ io.Writer }{x.w}, io.NewSectionReader(f.shared, from, to-from), *buffer)
	return err
}

// restAlone goes on where a download has failed of which a part was sent.
func (x *exchange) restAlone(l *download, allowed permit, rest span) {
	body, err := x.p.from.Blob(x.ctx, x.p.digest(x.l.ref), allowed.Size)
	if err != nil {
		x.abort()
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	if err := x.stream(&continued{r: body, from: l.file, left: rest.from}, rest); err != nil {
		x.mismatch(err)
		x.abort()
	}
}

// continued is content that was sent in part from elsewhere: it fails where that was
// not the beginning of it, which nobody had been able to hash yet.
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

// alone fetches a blob for this client only.
func (x *exchange) alone(allowed permit, s span) error {
	body, err := x.p.from.Blob(x.ctx, x.p.digest(x.l.ref), allowed.Size)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	return x.guarded(body, allowed, s)
}

// checked sends a file that is hashed while it is read.
func (x *exchange) checked(f *os.File, allowed permit, s span) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	content := &hashing{r: f, want: x.l.ref, failed: func() { x.g.c.Store.Drop(x.l.ref) }}
	return x.guarded(content, allowed, s)
}

// firstPart is how much is read before an answer is begun.
const firstPart = 512

// guarded sends content of a reader that knows at its end whether it was the blob.
func (x *exchange) guarded(body io.Reader, allowed permit, s span) error {
	// What shows before anything was sent can still be said.
	first := make([]byte, firstPart)
	n, err := io.ReadFull(body, first)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	x.blobHeaders(allowed, s)
	if x.r.Method == http.MethodHead {
		return nil
	}
	if err := x.stream(io.MultiReader(bytes.NewReader(first[:n]), body), s); err != nil {
		x.mismatch(err)
		x.abort()
	}
	return nil
}

// stream sends a span of what is read to its end. The last byte is withheld until
// the end was reached: only then was it the blob.
func (x *exchange) stream(body io.Reader, s span) error {
	buffer := x.g.buffers.Get().(*[]byte)
	defer x.g.buffers.Put(buffer)
	var at int64
	var last []byte
	for {
		x.waits()
		n, err := body.Read(*buffer)
		part := (*buffer)[:n]
		begin, end := clamp(s.from-at, n), clamp(s.to-at, n)
		at += int64(n)
		if begin < end {
			x.deadline()
			// What was withheld goes first, then all but the last byte.
			if _, werr := x.w.Write(append(last, part[begin:end-1]...)); werr != nil {
				return werr
			}
			last = []byte{part[end-1]}
		}
		if err == io.EOF {
			x.deadline()
			_, err = x.w.Write(last)
			return err
		}
		if err != nil {
			return err
		}
	}
}

func clamp(v int64, n int) int64 { return max(0, min(v, int64(n))) }

// mismatch tells of content that is not what its digest says.
func (x *exchange) mismatch(err error) {
	if isMismatch(err) {
		e := x.event(EventMismatch)
		e.Digest, e.Reason, e.Message = x.l.ref, "digest-mismatch", registry.SafeText(err.Error(), maxMessage)
		x.g.report(x.r.Context(), e)
	}
}

// openBlob passes on a blob that no manifest lists (Config.InsecureOpenBlobs): of unknown
// length, and hashed all the same.
func (x *exchange) openBlob() error {
	if x.r.Method == http.MethodHead {
		there, err := x.p.from.client.HasBlob(x.ctx, x.p.from.digest(x.p.digest(x.l.ref)))
		if err != nil {
			return err
		}
		if !there {
			return refuse(http.StatusNotFound, codeBlob, "the upstream registry does not have this blob")
		}
		x.openHeaders()
		x.begin(http.StatusOK)
		return nil
	}
	body, err := x.p.from.Blob(x.ctx, x.p.digest(x.l.ref), -1)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	x.openHeaders()
	if err := x.stream(body, span{0, 1 << 62, false}); err != nil {
		x.mismatch(err)
		x.abort()
	}
	return nil
}

func (x *exchange) openHeaders() {
	h := x.w.Header()
	h["Content-Type"] = octets
	h["Docker-Content-Digest"] = []string{x.l.ref}
}
