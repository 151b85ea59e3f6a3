package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/registry"
)

// evidenceBlob answers with a blob that only evidence lists. All of it is read, hashed and
// looked at before any of it is sent. Its size is its own: a manifest that lies about
// that hides nothing from who asks for another one's.
func (x *exchange) evidenceBlob(allowed permit) error {
	if known, ok := x.g.forms.Get(x.l.ref); ok {
		now, err := x.evidenceIs(allowed, known)
		if err != nil {
			return err
		}
		if x.r.Method == http.MethodHead {
			return x.evidenceHead(now)
		}
	}
	held, err := x.whole()
	if errors.Is(err, errSpool) {
		held, err = x.inMemory()
	}
	if err != nil {
		return err
	}
	whole := false
	defer func() { held.leave(whole) }()
	if held.size > x.g.c.MaxEvidenceBytes {
		return noEvidence()
	}
	seen, err := x.g.form(x.ctx, x.l.ref, io.NewSectionReader(held.content, 0, held.size))
	if err != nil {
		return err
	}
	if allowed, err = x.evidenceIs(allowed, seen); err != nil {
		return err
	}
	s, err := x.span(allowed.Size)
	if err != nil {
		return err
	}
	whole = x.r.Method == http.MethodGet && !s.part
	return held.send(allowed, s)
}

// heldBlob is a blob that was read to its end.
type heldBlob struct {
	content io.ReaderAt
	size    int64
	send    func(permit, span) error
	// leave is told whether all of it was sent: otherwise the next who asks must not cost
	// the upstream another transfer.
	leave func(whole bool)
}

// evidenceIs refuses what is of no kind that a manifest which passes says it is.
func (x *exchange) evidenceIs(allowed permit, seen form) (permit, error) {
	allowed.Size = seen.size
	if seen.kinds&allowed.Kinds != 0 {
		return allowed, nil
	}
	// Other manifests may list it as what it is.
	by, err := x.g.byLister(x.ctx, x.p, x.l.ref)
	if err != nil {
		return allowed, err
	}
	if by == nil || by.Evidence && seen.kinds&by.Kinds == 0 {
		return allowed, noEvidence()
	}
	return allowed, nil
}

// evidenceHead answers HEAD for what was looked at before.
func (x *exchange) evidenceHead(allowed permit) error {
	s, err := x.span(allowed.Size)
	if err != nil {
		return err
	}
	return x.headOf(allowed, s)
}

// whole is a blob in a file: of the store, or of a download.
func (x *exchange) whole() (*heldBlob, error) {
	key := downloadKey{address: x.p.from.address, digest: x.l.ref, size: unknownSize}
	for again := false; ; {
		if f, size, ok := x.g.storedBlob(x.ctx, x.l.ref, permit{Evidence: true}); ok {
			send := func(allowed permit, s span) error { return x.fromStore(f, allowed, s) }
			return &heldBlob{f, size, send, func(bool) { _ = f.Close() }}, nil // it was only read
		}
		l, err := x.g.loads.join(x.ctx, x.p, key, true)
		if errors.Is(err, errStored) && !again {
			again = true
			continue
		}
		if err != nil {
			return nil, errors.Join(errSpool, err)
		}
		x.waits()
		size, err := l.available(x.ctx, 0)
		if err == nil {
			send := func(allowed permit, s span) error { return x.fromFile(l, allowed, s) }
			return &heldBlob{l.file, size, send, l.left}, nil
		}
		l.leave()
		if l.p == x.p || key.by == x.p || x.ctx.Err() != nil || errors.Is(err, errSpool) {
			return nil, err
		}
		key.by = x.p // another's download has failed
	}
}

// maxInMemory bounds evidence that is read where files cannot be written: each client may
// cost as much.
const maxInMemory = 32 << 10

// inMemory is a small blob.
func (x *exchange) inMemory() (*heldBlob, error) {
	body, err := x.p.from.Blob(x.ctx, x.p.digest(x.l.ref), -1)
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
	send := func(allowed permit, s span) error { return x.guarded(all, allowed, s) }
	return &heldBlob{all, int64(len(content)), send, func(bool) {}}, nil
}

// fromFile sends a part of a download that is complete.
func (x *exchange) fromFile(l *download, allowed permit, s span) error {
	x.blobHeaders(allowed, s)
	if x.r.Method == http.MethodHead {
		return nil
	}
	file := l.view()
	defer file.close()
	for at := s.from; at < s.to; at += piece {
		if err := x.copyPart(file, at, min(s.to, at+piece)); err != nil {
			x.abort()
		}
	}
	return nil
}

// form is what some content was seen to be.
type form struct {
	kinds kinds.Set
	size  int64
}

// maxForms bounds what is remembered of that.
const maxForms = 10_000

// form looks at content, once for all who want it, and makes sure that it is what its
// digest says.
func (g *gate) form(ctx context.Context, digest string, content *io.SectionReader) (form, error) {
	if known, ok := g.forms.Get(digest); ok {
		return known, nil
	}
	return g.looking.Do(ctx, digest, func(ctx context.Context) (form, error) {
		sum := sha256.New()
		turns := &inTurns{ctx: ctx, r: io.TeeReader(content, sum)}
		defer turns.end()
		what, err := kinds.Of(turns)
		if err != nil {
			return form{}, err
		}
		if hexOf(sum.Sum(nil)) != strings.TrimPrefix(digest, "sha256:") {
			return form{}, &registry.Error{Op: "read blob", Ref: digest, Kind: registry.ErrDigestMismatch}
		}
		seen := form{what, content.Size()}
		g.forms.Put(digest, seen)
		return seen, nil
	})
}

// inTurns is content that is looked at while a processor may be used (see budget.Work),
// and that lets others go first now and then.
type inTurns struct {
	ctx   context.Context
	r     io.Reader
	read  int
	leave func() // nil: it is not its turn
}

// turn is how much is looked at in one turn: some milliseconds' worth.
const turn = 256 << 10

func (t *inTurns) Read(p []byte) (int, error) {
	if t.leave == nil || t.read >= turn {
		t.end()
		leave, err := budget.Work(t.ctx)
		if err != nil {
			return 0, err
		}
		t.leave, t.read = leave, 0
	}
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := t.r.Read(p)
	t.read += n
	return n, err
}

func (t *inTurns) end() {
	if t.leave != nil {
		t.leave()
		t.leave = nil
	}
}

func noEvidence() *refusal {
	r := refuse(http.StatusForbidden, codeDenied, "the blob is not let through: it was attached as evidence, and is an archive, a program or anything else but what its media type allows")
	r.reason = "not-evidence"
	return r
}
