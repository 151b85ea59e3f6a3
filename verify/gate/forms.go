package gate

import (
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/registry"
)

// forms says what contents are that were attached as evidence.
type forms struct {
	seen    *lru.Cache[string, form]
	looking singleflight.Group[string, form]
}

// form is what some content was seen to be.
type form struct {
	kinds kinds.Set
	size  int64
}

// maxForms bounds what is remembered of that.
const maxForms = 10_000

func newForms() *forms { return &forms{seen: lru.New[string, form](nil, maxForms)} }

// of looks at content, once for all who want it, and makes sure that it is what its
// digest says.
func (f *forms) of(ctx context.Context, digest string, content *io.SectionReader) (form, error) {
	if known, ok := f.seen.Get(digest); ok {
		return known, nil
	}
	return f.looking.Do(ctx, digest, func(ctx context.Context) (form, error) {
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
		f.seen.Put(digest, seen)
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
