package gate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

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

// resolve says which digest a tag names, as the upstream said within Config.TagFor.
// Where the upstream cannot be reached, its last word holds: what it named is verified
// as anything else.
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
		t.logger.WarnContext(ctx, "upstream cannot be reached; its last word holds", "tag", p.repo.Tag(tag).String(), "digest", last.digest)
		return last.digest, nil
	}
	return "", err
}

// read reads what a tag names now. Where the manifest that it named last is here, the
// upstream is asked by HEAD first, which costs it less, and which those that count
// pulls do not count.
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

// answered reports whether an upstream has said something, other than to ask later.
func answered(err error) bool {
	var e *registry.Error
	return errors.As(err, &e) && e.Status != 0 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusServiceUnavailable
}

// down reports whether an upstream could not answer, as opposed to what it said.
func down(err error) bool {
	return errors.Is(err, registry.ErrUnavailable) || errors.Is(err, registry.ErrStalled)
}
