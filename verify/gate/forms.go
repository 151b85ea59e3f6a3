package gate

import (
	"context"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// forms remember the kinds of content that was attached as evidence.
type forms struct {
	seen    *lru.Cache[string, form]
	looking singleflight.Group[string, form]
}

// form is what some content is.
type form struct {
	kinds kinds.Set
	size  int64
}

// maxForms bounds how many are remembered.
const maxForms = 10_000

func newForms() *forms { return &forms{seen: lru.New[string, form](nil, maxForms)} }

// of inspects content, once for concurrent requests, and checks its digest.
func (f *forms) of(ctx context.Context, digest string, content *io.SectionReader) (form, error) {
	if known, ok := f.seen.Get(digest); ok {
		return known, nil
	}
	return f.looking.Do(ctx, digest, func(ctx context.Context) (form, error) {
		want, err := v1.NewHash(digest)
		if err != nil {
			return form{}, err
		}
		sum := oci.Hasher(want)
		turns := &inTurns{ctx: ctx, r: io.TeeReader(content, sum)}
		defer turns.end()
		what, err := kinds.Of(turns)
		if err != nil {
			return form{}, err
		}
		if hexOf(sum.Sum(nil)) != want.Hex {
			return form{}, &registry.Error{Op: "read blob", Ref: digest, Kind: registry.ErrDigestMismatch}
		}
		seen := form{what, content.Size()}
		f.seen.Put(digest, seen)
		return seen, nil
	})
}

// ofBlob is of for a blob of an upstream, which is read once for concurrent requests. Of
// more bytes than most it has no kind.
func (f *forms) ofBlob(ctx context.Context, p pull, digest string, most int64) (form, error) {
	if known, ok := f.seen.Get(digest); ok {
		return known, nil
	}
	return f.looking.Do(ctx, p.digest(digest).String(), func(ctx context.Context) (form, error) {
		body, err := p.from.Blob(ctx, p.digest(digest), -1)
		if err != nil {
			return form{}, err
		}
		defer func() { _ = body.Close() }() // read to its end, or failed already
		content := &arriving{ctx: ctx, r: io.LimitReader(body, most+1)}
		defer content.end()
		what, err := kinds.Of(content)
		switch {
		case err != nil:
			return form{}, err
		case content.read > most:
			return form{size: content.read}, nil
		}
		seen := form{what, content.read}
		f.seen.Put(digest, seen)
		return seen, nil
	})
}

// arriving is content that is inspected while it arrives. A processor is held between two
// reads, and not while the upstream is waited for.
type arriving struct {
	ctx   context.Context
	r     io.Reader
	read  int64
	leave func() // nil: no processor is held
}

func (a *arriving) Read(p []byte) (int, error) {
	a.end()
	n, err := a.r.Read(p)
	a.read += int64(n)
	leave, busy := budget.Work(a.ctx)
	if busy != nil {
		return 0, busy
	}
	a.leave = leave
	return n, err
}

func (a *arriving) end() {
	if a.leave != nil {
		a.leave()
		a.leave = nil
	}
}

// inTurns is content that is inspected while a processor may be used (see budget.Work). It
// lets other work go first now and then.
type inTurns struct {
	ctx   context.Context
	r     io.Reader
	read  int
	leave func() // nil: it is not its turn
}

// turn is how much is inspected in one turn: some milliseconds' worth.
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
	r := refuse(http.StatusForbidden, codeDenied, "the blob is denied: it was attached as evidence, and its content is not of the kind that its media type names")
	r.reason = "not-evidence"
	return r
}
