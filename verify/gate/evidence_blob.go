package gate

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/hallmark-oci/hallmark/internal/limit"
)

// evidence answers with a blob that only evidence lists. The whole blob is read, hashed and
// inspected before any of it is sent. Its size is its own: a manifest that lies about the
// size hides nothing from a client of another manifest.
func (d *delivery) evidence() error {
	if known, ok := d.g.forms.known(d.p, d.l.ref); ok {
		if err := d.isEvidence(known); err != nil {
			return err
		}
		if d.isHead() {
			s, err := d.span(known.size)
			if err != nil {
				return err
			}
			return d.headOf(s)
		}
	}
	held, err := d.whole()
	if errors.Is(err, errSpool) {
		held, err = d.inMemory()
	}
	if err != nil {
		return err
	}
	whole := false
	defer func() { held.leave(whole) }()
	if held.size > d.g.c.MaxEvidenceBytes {
		return noEvidence()
	}
	seen, err := d.g.forms.of(d.ctx, d.l.ref, io.NewSectionReader(held.content, 0, held.size))
	if err != nil {
		return err
	}
	if err := d.isEvidence(seen); err != nil {
		return err
	}
	s, err := d.span(seen.size)
	if err != nil {
		return err
	}
	whole = d.r.Method == http.MethodGet && !s.part
	return held.send(s)
}

// heldBlob is a blob that was read to its end.
type heldBlob struct {
	content io.ReaderAt
	size    int64
	send    func(span) error
	// leave is told whether all of it was sent: otherwise the next who asks must not cost
	// the upstream another transfer.
	leave func(whole bool)
}

// isEvidence refuses a blob that has none of the kinds which manifests that pass give it.
func (d *delivery) isEvidence(seen form) error {
	d.allowed.Size = seen.size
	if seen.kinds&d.allowed.Kinds != 0 {
		return nil
	}
	// Other manifests may list it as what it is.
	by, err := d.g.blobs.listed(d.ctx, d.p, d.l.ref)
	if err != nil {
		return err
	}
	if by == nil || by.Evidence && seen.kinds&by.Kinds == 0 {
		return noEvidence()
	}
	return nil
}

// whole is a blob in a file: of the store, or of a download.
func (d *delivery) whole() (*heldBlob, error) {
	key := downloadKey{address: d.p.from.address, digest: d.l.ref, size: unknownSize}
	for again := false; ; {
		if d.g.c.Store != nil {
			if f, size, ok := d.g.c.Store.Get(d.ctx, d.l.ref, partOf(true)); ok {
				send := func(s span) error { return d.fromStore(f, s) }
				return &heldBlob{f, size, send, func(bool) { _ = f.Close() }}, nil // it was only read
			}
		}
		l, err := d.g.downloads.join(d.ctx, d.p, key, true)
		if errors.Is(err, errStored) && !again {
			again = true
			continue
		}
		if err != nil {
			return nil, errors.Join(errSpool, err)
		}
		d.waits()
		size, err := l.available(d.ctx, 0)
		if err == nil {
			return &heldBlob{l.file, size, func(s span) error { return d.fromFile(l, s) }, l.left}, nil
		}
		l.leave()
		if l.p == d.p || key.by == d.p || d.ctx.Err() != nil || errors.Is(err, errSpool) {
			return nil, err
		}
		key.by = d.p // another's download has failed
	}
}

// maxInMemory bounds evidence that is read while files cannot be written: each client may
// cost as much.
const maxInMemory = 32 << 10

// inMemory is a small blob.
func (d *delivery) inMemory() (*heldBlob, error) {
	body, err := d.p.from.Blob(d.ctx, d.p.digest(d.l.ref), -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	content, err := limit.ReadAll(body, maxInMemory)
	if errors.Is(err, limit.ErrExceeded) {
		return nil, errSpool
	}
	if err != nil {
		return nil, err
	}
	all := bytes.NewReader(content)
	return &heldBlob{all, int64(len(content)), func(s span) error { return d.guarded(all, s) }, func(bool) {}}, nil
}

// fromFile sends a part of a download that is complete.
func (d *delivery) fromFile(l *download, s span) error {
	d.headers(s)
	if d.isHead() {
		return nil
	}
	file := l.view()
	defer file.close()
	for at := s.from; at < s.to; at += piece {
		if err := d.copyPart(file, at, min(s.to, at+piece)); err != nil {
			d.abort()
		}
	}
	return nil
}
