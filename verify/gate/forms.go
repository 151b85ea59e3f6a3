package gate

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// forms remember the kinds of content that was attached as evidence.
type forms struct {
	// seen is content that had its digest.
	seen    *lru.Cache[string, form]
	looking singleflight.Group[blobOf, form]
	// large is what an upstream sent of a blob until it was too much for evidence. It may be
	// other content than the blob.
	large *lru.Cache[blobAt, form]
	// sums are the SHA-256 of content that manifests name by another digest.
	sums    *lru.Cache[string, string]
	summing singleflight.Group[blobOf, string]
}

// blobOf names a blob that is being read with some credentials: an error of one client's is
// not another's. Of content that was read already, only the digest is set.
type blobOf struct {
	from         *origin
	repo, digest string
}

// blobAt names a blob of an upstream.
type blobAt struct {
	address name.Registry
	digest  string
}

// form is what some content is.
type form struct {
	kinds kinds.Set
	size  int64
}

// maxForms bounds how many are remembered.
const maxForms = 10_000

func newForms() *forms {
	return &forms{seen: lru.New[string, form](nil, maxForms), large: lru.New[blobAt, form](nil, maxForms), sums: lru.New[string, string](nil, maxForms)}
}

// known is what is remembered of a blob. It is of no kind where it is too large.
func (f *forms) known(p pull, digest string) (form, bool) {
	if known, ok := f.seen.Get(digest); ok {
		return known, true
	}
	return f.large.Get(blobAt{p.from.address, digest})
}

// of inspects content, once for concurrent requests, and checks its digest. A request whose
// content cannot be read fails no other one.
func (f *forms) of(ctx context.Context, digest string, content *io.SectionReader) (form, error) {
	if known, ok := f.seen.Get(digest); ok {
		return known, nil
	}
	inspect := func(ctx context.Context) (form, error) { return f.inspect(ctx, digest, content) }
	seen, err := f.looking.Do(ctx, blobOf{digest: digest}, inspect)
	if err != nil && ctx.Err() == nil {
		return inspect(ctx)
	}
	return seen, err
}

func (f *forms) inspect(ctx context.Context, digest string, content *io.SectionReader) (form, error) {
	want, err := v1.NewHash(digest)
	if err != nil {
		return form{}, err
	}
	sum, other := oci.Hasher(want), sha256.New()
	turns := &inTurns{ctx: ctx, r: io.TeeReader(io.NewSectionReader(content, 0, content.Size()), io.MultiWriter(sum, other))}
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
	f.sums.Put(digest, sumOf(other))
	return seen, nil
}

// ofBlob is of for a blob of an upstream, which is read once for concurrent requests. Of
// more bytes than most it has no kind.
func (f *forms) ofBlob(ctx context.Context, p pull, digest string, most int64) (form, error) {
	if known, ok := f.seen.Get(digest); ok {
		return known, nil
	}
	return f.looking.Do(ctx, blobOf{from: p.from, repo: p.repo.Name(), digest: digest}, func(ctx context.Context) (form, error) {
		body, err := p.from.Blob(ctx, p.digest(digest), -1)
		if err != nil {
			return form{}, err
		}
		defer func() { _ = body.Close() }() // read to its end, or failed already
		sum := sha256.New()
		content := &arriving{ctx: ctx, r: io.TeeReader(io.LimitReader(body, most+1), sum)}
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
		f.sums.Put(digest, sumOf(sum))
		return seen, nil
	})
}

// forbidden is the denial of a blob that is named by another digest than SHA-256: policies
// deny by that. The blob is read for it, up to most bytes; -1: all. Nil: not denied.
func (f *forms) forbidden(ctx context.Context, v *verify.Verifier, p pull, digest string, most int64) (*verify.Error, error) {
	if strings.HasPrefix(digest, "sha256:") || !v.DeniesDigests() {
		return nil, nil
	}
	sum, known := f.sums.Get(digest)
	if !known {
		var err error
		if sum, err = f.sum(ctx, p, digest, most); err != nil {
			return nil, err
		}
	}
	return forbidden(v, p, sum), nil
}

// sum reads a blob of an upstream, and returns its SHA-256.
func (f *forms) sum(ctx context.Context, p pull, digest string, most int64) (string, error) {
	return f.summing.Do(ctx, blobOf{from: p.from, repo: p.repo.Name(), digest: digest}, func(ctx context.Context) (string, error) {
		body, err := p.from.Blob(ctx, p.digest(digest), -1)
		if err != nil {
			return "", err
		}
		defer func() { _ = body.Close() }() // read to its end, or failed already
		if most < 0 {
			most = math.MaxInt64 - 1
		}
		sum := sha256.New()
		content := &arriving{ctx: ctx, r: io.LimitReader(body, most+1)}
		defer content.end()
		switch _, err := io.Copy(sum, content); {
		case err != nil:
			return "", err
		case content.read > most:
			return "", noEvidence()
		}
		f.sums.Put(digest, sumOf(sum))
		return sumOf(sum), nil
	})
}

func sumOf(h hash.Hash) string { return "sha256:" + hexOf(h.Sum(nil)) }

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
	r.reason, r.byRules = "not-evidence", true
	return r
}
