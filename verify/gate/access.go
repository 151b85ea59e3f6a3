package gate

import (
	"context"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/registry"
)

// access remembers what upstreams said recently about who may read what. It is asked before
// a client gets content that another client's request fetched.
type access struct {
	now clock
	// lasts is Config.AccessTTL.
	lasts time.Duration
	said  *lru.Cache[accessKey, term]
}

// accessKey is one of two things. With from: these credentials may read the repository.
// With digest: the repository has that content, as a manifest or a blob.
type accessKey struct {
	from         *origin
	address      name.Registry
	repo, digest string
	as           role
}

// The shelves of access.said, and how many entries each holds.
const (
	grantShelf = iota
	shownShelf

	maxGrants = 10 * maxCredentials
	maxShown  = 10_000
)

func newAccess(c *Config) *access {
	return &access{now: c.Now, lasts: c.AccessTTL, said: lru.New[accessKey, term](nil, maxGrants, maxShown)}
}

func grantOf(p pull) accessKey { return accessKey{from: p.from, repo: p.repo.Name()} }

func shownTo(p pull, digest string, as role) accessKey {
	return accessKey{address: p.from.address, repo: p.repo.Name(), digest: digest, as: as}
}

// mayRead asks the upstream whether these credentials may read a manifest.
func (a *access) mayRead(ctx context.Context, p pull, digest string) error {
	if a.known(p, digest, asManifest) {
		return nil
	}
	_, err := p.from.Resolve(ctx, p.digest(digest))
	if err == nil {
		a.note(p, digest, asManifest)
	}
	return err
}

// mayReadBlob is mayRead for a blob.
func (a *access) mayReadBlob(ctx context.Context, p pull, digest string) error {
	if a.known(p, digest, asBlob) {
		return nil
	}
	if err := p.hasBlob(ctx, digest); err != nil {
		return err
	}
	a.note(p, digest, asBlob)
	return nil
}

// known reports whether the upstream said two things recently: these credentials may read
// the repository, and (to any client) the repository has this content. The first alone is
// not enough: the gate may hold content of a repository that these credentials may not
// read. Registries give rights to repositories, not to content, so both together are
// enough.
func (a *access) known(p pull, digest string, as role) bool {
	return !p.from.personal || a.holds(shownTo(p, digest, as)) && a.holds(grantOf(p))
}

func (a *access) holds(key accessKey) bool {
	said, ok := a.said.Get(key)
	return ok && said.holds(a.now())
}

// note remembers that an upstream gave some content to a client, or would have.
func (a *access) note(p pull, digest string, as role) {
	if p.from.personal {
		a.said.PutOn(shownShelf, shownTo(p, digest, as), a.now.term(a.lasts))
		a.said.PutOn(grantShelf, grantOf(p), a.now.term(a.lasts))
	}
}

// mayReadRepository asks whether these credentials may read a repository that lacks the
// requested content.
func (a *access) mayReadRepository(ctx context.Context, p pull) error {
	if a.holds(grantOf(p)) {
		return nil
	}
	_, err := p.from.client.Tags(ctx, p.from.at(p.repo), 1, "")
	if err == nil {
		a.said.PutOn(grantShelf, grantOf(p), a.now.term(a.lasts))
	}
	return err
}

// hasBlob asks the upstream for a blob by HEAD. Absence is a registry.Error.
func (p pull) hasBlob(ctx context.Context, digest string) error {
	there, err := p.from.client.HasBlob(ctx, p.from.digest(p.digest(digest)))
	if err == nil && !there {
		err = &registry.Error{Op: "read blob", Ref: p.digest(digest).String(), Kind: registry.ErrNotFound}
	}
	return err
}
