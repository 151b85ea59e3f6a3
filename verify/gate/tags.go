package gate

import (
	"context"
	"errors"
	"net/http"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/registry"
)

// tags remembers what tags and lists were a moment ago. Those that were not there
// are bounded apart from those that were.
type tags struct {
	found, missing *lru.Cache[readKey, tagged]
}

// tagged is what a tag named, and how long that is taken for granted.
type tagged struct {
	term
	digest string
	// list is a list of referrers in place of a tag's digest.
	list *manifest
	// missing is the upstream's answer where there is none.
	missing error
}

// maxTags and maxTagBytes bound what is remembered: lists may be long. Of what is not
// there less is.
const (
	maxTags         = 16_000
	maxTagBytes     = 16 << 20
	maxMissingBytes = 2 << 20
)

func (t tagged) weight() int64 {
	n := int64(maxTagBytes / maxTags)
	if t.list != nil {
		n += t.list.weight()
	}
	return n
}

func newTags() *tags {
	return &tags{found: lru.New[readKey](tagged.weight, maxTagBytes), missing: lru.New[readKey](tagged.weight, maxMissingBytes)}
}

func (t *tags) get(key readKey) (tagged, bool) {
	if known, ok := t.found.Get(key); ok {
		return known, true
	}
	return t.missing.Get(key)
}

func (t *tags) put(key readKey, v tagged) {
	if v.missing != nil {
		t.found.Remove(key)
		t.missing.Put(key, v)
		return
	}
	t.missing.Remove(key)
	t.found.Put(key, v)
}

// resolve says which digest a tag names, to who may read that.
func (g *gate) resolve(ctx context.Context, p pull, tag string) (string, error) {
	digest, err := g.named(ctx, p, tag)
	if err == nil {
		err = g.mayRead(ctx, p, digest)
	}
	return digest, err
}

// named says which digest a tag names, as the upstream said within TagFor. Where
// the upstream cannot be reached, its last word holds: what it named is judged all
// the same.
func (g *gate) named(ctx context.Context, p pull, tag string) (string, error) {
	key := readKey{p.from, p.repo.Name() + ":" + tag}
	known, ok := g.tags.get(key)
	if ok && known.holds(g.c.Now()) {
		return known.digest, known.missing
	}
	asking, cancel := g.asking(ctx, ok)
	defer cancel()
	m, err := g.reading.Do(asking, key, func(ctx context.Context) (*manifest, error) {
		// Somebody may have read it between the look above and now.
		if known, ok := g.tags.get(key); ok && known.holds(g.c.Now()) && known.missing == nil {
			return g.byDigest(ctx, p, known.digest)
		}
		read, err := g.readTag(ctx, p, tag, known.digest)
		if err != nil {
			g.noteMissing(key, err)
			return nil, err
		}
		g.tags.put(key, tagged{digest: read.digest, term: g.term(g.c.TagFor)})
		g.mayReadNow(p, read.digest, asManifest)
		return read, nil
	})
	if err == nil {
		return m.digest, nil
	}
	if ok && known.missing == nil && ctx.Err() == nil && (down(err) || asking.Err() != nil) {
		g.c.Logger.WarnContext(ctx, "upstream cannot be reached; its last word holds", "tag", p.repo.Tag(tag).String(), "digest", known.digest)
		return known.digest, nil
	}
	return "", err
}

// asking is a context for asking an upstream. Where there is a last word, half of the
// time is left to judge by that.
func (g *gate) asking(ctx context.Context, lastWord bool) (context.Context, context.CancelFunc) {
	if !lastWord {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, g.c.JudgeFor/2, errLate)
}

// readTag reads what a tag names now. Where the manifest that it named last is here,
// the upstream is asked by HEAD first, which costs it less, and which those that count
// pulls do not count.
func (g *gate) readTag(ctx context.Context, p pull, tag, last string) (*manifest, error) {
	if m, ok := g.here(ctx, last); ok {
		now, err := p.from.Resolve(ctx, p.repo.Tag(tag))
		switch {
		case err == nil && now.Digest.String() == last:
			return m, nil
		case err != nil && !answered(err):
			return nil, err // GET would meet the same
		} // What HEAD says is not relied on otherwise: not every registry has it right.
	}
	return g.fetch(ctx, p, p.repo.Tag(tag))
}

// answered reports whether an upstream has said something, other than to ask later.
func answered(err error) bool {
	var e *registry.Error
	return errors.As(err, &e) && e.Status != 0 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusServiceUnavailable
}

// noteMissing remembers that there is no such tag.
func (g *gate) noteMissing(key readKey, err error) {
	if errors.Is(err, registry.ErrNotFound) {
		g.tags.put(key, tagged{missing: err, term: g.term(g.c.MissingFor)})
	}
}

// down reports whether an upstream could not answer, as opposed to what it said.
func down(err error) bool {
	return errors.Is(err, registry.ErrUnavailable) || errors.Is(err, registry.ErrStalled)
}
