package gate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/registry"
)

// tags says which digests tags name.
type tags struct {
	recent    *recent
	manifests *manifests
	access    *access
	patience  patience
	logger    *slog.Logger
}

// resolve says which digest a tag names, as the upstream said within Config.TagTTL. While
// the upstream is down, the last known digest is used, and still verified.
func (t *tags) resolve(ctx context.Context, p pull, tag string) (string, error) {
	key := readKey{p.from, p.repo.Name() + ":" + tag}
	last, known, holds := t.recent.get(key)
	if holds {
		return last.digest, last.missing
	}
	asking, cancel := t.patience.asking(ctx, known)
	defer cancel()
	m, err := t.manifests.reading.Do(asking, key, func(ctx context.Context) (*manifest, error) {
		// It may have been read between the look above and now.
		if now, _, holds := t.recent.get(key); holds && now.missing == nil {
			return t.manifests.byDigest(ctx, p, now.digest)
		}
		read, err := t.read(ctx, p, tag, last.digest)
		switch {
		case errors.Is(err, registry.ErrNotFound):
			t.recent.noteMissing(key, err)
			return nil, err
		case err != nil:
			return nil, err
		}
		t.recent.note(key, said{digest: read.digest})
		t.access.note(p, read.digest, asManifest)
		return read, nil
	})
	if err == nil {
		return m.digest, nil
	}
	if known && last.missing == nil && ctx.Err() == nil && (down(err) || asking.Err() != nil) {
		t.logger.WarnContext(ctx, "upstream unreachable; using the last known digest", "tag", p.repo.Tag(tag).String(), "digest", last.digest)
		return last.digest, nil
	}
	return "", err
}

// read resolves a tag. If the manifest that it named last is held, the upstream is asked by
// HEAD first: HEAD costs less, and registries that count pulls do not count it.
func (t *tags) read(ctx context.Context, p pull, tag, last string) (*manifest, error) {
	if m, ok := t.manifests.here(ctx, last); ok {
		now, err := p.from.Resolve(ctx, p.repo.Tag(tag))
		switch {
		case err == nil && now.Digest.String() == last:
			return m, nil
		case err != nil && !answered(err):
			return nil, err // GET would meet the same
		} // What HEAD says is not relied on otherwise: not every registry has it right.
	}
	return t.manifests.fetch(ctx, p, p.repo.Tag(tag))
}

// answered reports whether an upstream gave an answer other than to ask later.
func answered(err error) bool {
	var e *registry.Error
	return errors.As(err, &e) && e.Status != 0 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusServiceUnavailable
}

// down reports whether an upstream could not answer.
func down(err error) bool {
	return errors.Is(err, registry.ErrUnavailable) || errors.Is(err, registry.ErrStalled)
}

// recent is what upstreams said recently: what tags name, lists of referrers, and what is
// absent.
type recent struct {
	now clock
	// found and missing are Config.TagTTL and Config.MissingTTL.
	found, missing time.Duration
	held           *lru.Cache[readKey, said]
}

// said is an upstream's answer, and how long it is used.
type said struct {
	term
	digest string
	// list is a list of referrers; nil: the answer is about a tag.
	list *manifest
	// missing is the upstream's answer about something absent.
	missing error
}

// The shelves of recent.held. Absent names have less room: an attacker can ask for any
// number.
const (
	foundShelf = iota
	missingShelf

	maxSaid         = 16_000
	maxSaidBytes    = 16 << 20
	maxMissingBytes = 2 << 20
)

// weight is about how many bytes an answer holds. Lists may be long.
func (s said) weight() int64 {
	n := int64(maxSaidBytes / maxSaid)
	if s.list != nil {
		n += s.list.weight()
	}
	return n
}

func newRecent(c *Config) *recent {
	return &recent{now: c.Now, found: c.TagTTL, missing: c.MissingTTL, held: lru.New[readKey](said.weight, maxSaidBytes, maxMissingBytes)}
}

// get returns the last answer, and whether it may still be used.
func (r *recent) get(key readKey) (s said, known, holds bool) {
	s, known = r.held.Get(key)
	return s, known, known && s.holds(r.now())
}

// note remembers what there is.
func (r *recent) note(key readKey, s said) {
	s.term = r.now.term(r.found)
	r.held.PutOn(foundShelf, key, s)
}

// noteMissing remembers that there is nothing.
func (r *recent) noteMissing(key readKey, err error) {
	r.held.PutOn(missingShelf, key, said{missing: err, term: r.now.term(r.missing)})
}

// noteThere remembers for as long that there is something.
func (r *recent) noteThere(key readKey) {
	r.held.PutOn(foundShelf, key, said{term: r.now.term(r.missing)})
}
