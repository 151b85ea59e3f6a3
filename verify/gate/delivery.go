package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

// delivery is a blob on its way to one client.
type delivery struct {
	*exchange
	// allowed is the permit of the blob.
	allowed permit
}

// blob answers with a blob that a passing manifest lists.
func (x *exchange) blob() error {
	allowed, err := x.allowedBlob()
	if err != nil {
		return err
	}
	d := &delivery{x, allowed}
	if err := x.audit.enforce(d.deniedByContent()); err != nil {
		return err
	}
	switch {
	case x.audit.spared != nil:
		return d.spareBlob()
	case allowed.Size < 0:
		return d.open()
	case allowed.Evidence:
		if err := x.audit.enforce(d.evidence()); err != nil || x.audit.spared == nil {
			return err
		}
		return d.spareBlob()
	}
	want, err := d.span(allowed.Size)
	if err != nil {
		return err
	}
	if f, ok := d.stored(); ok {
		defer func() { _ = f.Close() }() // it was only read
		return d.fromStore(f, want)
	}
	if x.isHead() {
		return d.headOf(want)
	}
	return d.fromUpstream(want)
}

// deniedByContent refuses a blob whose content the policy denies by another digest.
func (d *delivery) deniedByContent() error {
	v, err := d.g.c.Verifier.Verifier(d.ctx)
	if err != nil {
		return err
	}
	most := int64(-1)
	if d.allowed.Evidence {
		most = d.g.c.MaxEvidenceBytes
	}
	d.waits()
	denied, err := d.g.forms.forbidden(d.ctx, v, d.p, d.l.ref, most)
	if err != nil || denied == nil {
		return err
	}
	return denial(denied, d.l.image(d.p.repo))
}

// allowedBlob is what a blob rests on.
func (x *exchange) allowedBlob() (permit, error) {
	ctx, cancel := x.g.patience.whole(x.ctx)
	defer cancel()
	// First of all: who may not read it is not told what is known of it, either.
	if err := x.g.access.mayReadBlob(ctx, x.p, x.l.ref); err != nil {
		return permit{}, err
	}
	return x.g.spared.blob(ctx, x)
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

// stored opens the blob in the store, where it has the size that its manifest says.
func (d *delivery) stored() (*os.File, bool) {
	if d.g.c.Store == nil {
		return nil, false
	}
	f, size, ok := d.g.c.Store.Get(d.ctx, d.l.ref, partOf(d.allowed.Evidence))
	if ok && size != d.allowed.Size {
		_ = f.Close() // it was not read
		return nil, false
	}
	return f, ok
}

// headOf answers HEAD where the upstream has the blob.
func (d *delivery) headOf(s span) error {
	if err := d.there(); err != nil {
		return err
	}
	d.headers(s)
	return nil
}

// there is an error where the upstream does not have the blob.
func (d *delivery) there() error {
	there, err := d.p.from.client.HasBlob(d.ctx, d.p.from.digest(d.p.digest(d.l.ref)))
	if err == nil && !there {
		return refuse(http.StatusNotFound, codeBlob, "the upstream registry does not have this blob")
	}
	return err
}

// headers begins the answer.
func (d *delivery) headers(s span) {
	d.warn(d.hidden(d.allowed.Warning))
	h := d.w.Header()
	h["Content-Type"] = octets
	h["Docker-Content-Digest"] = []string{d.l.ref}
	h["Docker-Distribution-Api-Version"] = apiVersion
	h["Etag"] = []string{`"` + d.l.ref + `"`}
	h["Accept-Ranges"] = []string{"bytes"}
	h["X-Content-Type-Options"] = noSniff
	h["Content-Length"] = []string{strconv.FormatInt(s.to-s.from, 10)}
	status := http.StatusOK
	if s.part {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.from, s.to-1, d.allowed.Size))
		status = http.StatusPartialContent
	}
	d.begin(status)
}

// fromStore sends a file. Where the kernel can copy, it does.
func (d *delivery) fromStore(f *os.File, s span) error {
	if d.isHead() {
		d.headers(s)
		return nil
	}
	if d.g.c.Store.AlwaysVerify() {
		return d.checked(f, s)
	}
	if _, err := f.Seek(s.from, io.SeekStart); err != nil {
		return err
	}
	d.headers(s)
	for left := s.to - s.from; left > 0; left -= min(left, piece) {
		d.deadline()
		if _, err := io.CopyN(d.w, f, min(left, piece)); err != nil {
			d.abort()
		}
	}
	return nil
}

// checked sends a file that is hashed while it is read.
func (d *delivery) checked(f *os.File, s span) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return d.guarded(&hashing{r: f, want: d.l.ref, failed: func() { d.g.c.Store.Drop(d.l.ref) }}, s)
}

// fromUpstream sends a blob while it is fetched, together with all others who want
// it now. Where the temporary file fails, it is fetched for this client alone.
func (d *delivery) fromUpstream(s span) error {
	key := downloadKey{address: d.p.from.address, digest: d.l.ref, size: d.allowed.Size}
	err := d.shared(s, key)
	if errors.Is(err, errOthers) {
		key.by = d.p
		err = d.shared(s, key)
	}
	switch {
	case errors.Is(err, errStored):
		if f, ok := d.stored(); ok {
			defer func() { _ = f.Close() }() // it was only read
			return d.fromStore(f, s)
		}
		return d.alone(s)
	case errors.Is(err, errSpool):
		return d.alone(s)
	}
	return err
}

// shared sends a blob that is being fetched. An error means that nothing was sent.
func (d *delivery) shared(s span, key downloadKey) error {
	l, err := d.g.downloads.join(d.ctx, d.p, key, false)
	if err != nil {
		return err
	}
	whole, sent := false, false
	defer func() { l.left(whole) }()
	file := l.view()
	defer file.close()
	for at := s.from; at < s.to || !sent; {
		d.waits()
		to, err := l.available(d.ctx, at)
		if err != nil && l.p != d.p && d.ctx.Err() == nil && !errors.Is(err, errSpool) && !(sent && isMismatch(err)) {
			err = errors.Join(errOthers, err)
		}
		switch {
		case err != nil && !sent:
			return err
		case errors.Is(err, errSpool), errors.Is(err, errOthers):
			d.restAlone(l, span{at, s.to, s.part})
			return nil
		case err != nil:
			d.abort()
		}
		if !sent {
			d.headers(s)
			sent = true
		}
		to = min(to, s.to, at+piece)
		if err := d.copyPart(file, at, to); err != nil {
			d.abort()
		}
		at = to
	}
	whole = !s.part
	return nil
}

// restAlone continues after a download failed and a part of it was sent.
func (d *delivery) restAlone(l *download, rest span) {
	body, err := d.p.from.Blob(d.ctx, d.p.digest(d.l.ref), d.allowed.Size)
	if err != nil {
		d.abort()
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	d.rest(&continued{r: body, from: l.file, left: rest.from}, rest)
}

// rest sends what follows the part that was sent.
func (d *delivery) rest(body io.Reader, s span) {
	if err := d.stream(body, s); err != nil {
		d.mismatch(err)
		d.abort()
	}
}

// alone fetches a blob for this client only.
func (d *delivery) alone(s span) error {
	body, err := d.p.from.Blob(d.ctx, d.p.digest(d.l.ref), d.allowed.Size)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	return d.guarded(body, s)
}

// firstPart is how much is read before an answer is begun.
const firstPart = 512

// guarded sends content of a reader that knows at its end whether it was the blob.
func (d *delivery) guarded(body io.Reader, s span) error {
	// What shows before anything was sent can still be said.
	first := make([]byte, firstPart)
	n, err := io.ReadFull(body, first)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	d.headers(s)
	if !d.isHead() {
		d.rest(io.MultiReader(bytes.NewReader(first[:n]), body), s)
	}
	return nil
}

// open passes on a blob that no manifest lists (Config.InsecureOpenBlobs): of unknown
// length, and hashed as any other.
func (d *delivery) open() error {
	h := d.w.Header()
	if d.isHead() {
		if err := d.there(); err != nil {
			return err
		}
		h["Content-Type"], h["Docker-Content-Digest"] = octets, []string{d.l.ref}
		d.begin(http.StatusOK)
		return nil
	}
	body, err := d.p.from.Blob(d.ctx, d.p.digest(d.l.ref), -1)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	h["Content-Type"], h["Docker-Content-Digest"] = octets, []string{d.l.ref}
	d.rest(body, span{0, 1 << 62, false})
	return nil
}
