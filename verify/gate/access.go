package gate

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/registry"
)

// logins are the origins of clients' logins. A login itself is kept by the client
// that uses it and nowhere else; here it is known by a keyed hash.
type logins struct {
	once  sync.Once
	key   []byte
	known *lru.Cache[string, *origin]
}

// maxLogins bounds the logins that are remembered.
const maxLogins = 1000

// grantKey is a repository of which an upstream has said that a login may read it.
type grantKey struct {
	from *origin
	repo string
}

// maxGrants and maxShown bound what is remembered of what upstreams said.
const (
	maxGrants = 10 * maxLogins
	maxShown  = 10_000
)

// shownKey is content that an upstream was seen to have in a repository, as
// somebody asked for it.
type shownKey struct {
	address      name.Registry
	repo, digest string
	as           role
}

// challenge asks for a login by HTTP Basic (RFC 7617).
var challenge = []string{`Basic realm="hallmark gate", charset="UTF-8"`}

// greet answers the ping, by which clients find out whether a login is wanted.
func (p *Handler) greet(r *http.Request) *refusal {
	if p.gate.c.Credentials != PassThrough || r.Header.Get("Authorization") != "" {
		return nil
	}
	return wantLogin("this gate asks the registry with your own login; log in")
}

func wantLogin(message string) *refusal {
	r := refuse(http.StatusUnauthorized, codeUnauthorized, "%s", message)
	r.challenge = challenge
	return r
}

// origin says where a request is read, and with whose login.
func (p *Handler) origin(r *http.Request, up *upstream) (*origin, *refusal) {
	if p.gate.c.Credentials == Operator {
		return up.operator, nil
	}
	user, password, ok := r.BasicAuth()
	switch given := r.Header.Get("Authorization") != ""; {
	case given && !ok:
		return nil, wantLogin("this gate takes logins by HTTP Basic only")
	case !given && p.gate.c.Credentials == PassThrough:
		return nil, wantLogin("this gate asks the registry with your own login; log in")
	}
	return p.personal(up, user, password), nil
}

// personal is the origin of one login.
func (p *Handler) personal(up *upstream, user, password string) *origin {
	p.logins.once.Do(func() {
		p.logins.key = randomKey()
		p.logins.known = lru.New[string, *origin](nil, maxLogins)
	})
	m := hmac.New(sha256.New, p.logins.key)
	for _, part := range []string{up.address.Name(), user, password} {
		sum := sha256.Sum256([]byte(part))
		_, _ = m.Write(sum[:]) // a hash does not fail
	}
	id := hexOf(m.Sum(nil))
	if o, ok := p.logins.known.Get(id); ok {
		return o
	}
	login, nobody := authn.Anonymous, user == "" && password == ""
	if !nobody {
		login = authn.FromConfig(authn.AuthConfig{Username: user, Password: password})
	}
	asks := func(status int) []string {
		// Some token services answer 403 to who has no login.
		if nobody || status == http.StatusUnauthorized {
			return challenge
		}
		return nil
	}
	// Connections are shared: whoever tries logins must not fill the process with them.
	client := p.client.WithKeychain(oneLogin{up.address.RegistryStr(), login})
	o := &origin{g: p.gate, client: client, address: up.address, personal: true, challenge: asks}
	p.logins.known.Put(id, o)
	return o
}

// oneLogin is a keychain with the login for one registry.
type oneLogin struct {
	registry string
	login    authn.Authenticator
}

func (k oneLogin) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if r.RegistryStr() != k.registry {
		return authn.Anonymous, nil
	}
	return k.login, nil
}

// mayRead asks the upstream whether this login may read a manifest, before one is
// given out that somebody else's has fetched.
func (g *gate) mayRead(ctx context.Context, p pull, digest string) error {
	return g.ask(p, digest, asManifest, func() error {
		_, err := p.from.Resolve(ctx, p.digest(digest))
		return err
	})
}

// mayReadBlob is mayRead for a blob.
func (g *gate) mayReadBlob(ctx context.Context, p pull, digest string) error {
	return g.ask(p, digest, asBlob, func() error {
		there, err := p.from.client.HasBlob(ctx, p.from.digest(p.digest(digest)))
		if err == nil && !there {
			err = &registry.Error{Op: "read blob", Ref: p.digest(digest).String(), Kind: registry.ErrNotFound}
		}
		return err
	})
}

// ask asks an upstream unless it has said two things a moment ago: that this login
// may read the repository, and that the repository has this content, whoever had
// asked for it. The first alone is not enough: what is held may be there because
// another repository has it, which this login may not read. Registries give rights
// to repositories, not to what is in them, so that both together are.
func (g *gate) ask(p pull, digest string, as role, question func() error) error {
	if !p.from.personal {
		return nil
	}
	content := shownKey{p.from.address, p.repo.Name(), digest, as}
	if said, ok := g.shown.Get(content); ok && said.holds(g.c.Now()) && g.granted(p) {
		return nil
	}
	err := question()
	if err == nil {
		g.mayReadNow(p, digest, as)
	}
	return err
}

// mayReadNow notes that an upstream has given a login some content, or would have.
func (g *gate) mayReadNow(p pull, digest string, as role) {
	if p.from.personal {
		g.shown.Put(shownKey{p.from.address, p.repo.Name(), digest, as}, g.term(g.c.AccessFor))
		g.grant(p)
	}
}

func (g *gate) granted(p pull) bool {
	said, ok := g.grants.Get(grantKey{p.from, p.repo.Name()})
	return ok && said.holds(g.c.Now())
}

func (g *gate) grant(p pull) {
	g.grants.Put(grantKey{p.from, p.repo.Name()}, g.term(g.c.AccessFor))
}

// mayReadRepository asks whether this login may read anything of a repository, where
// what was asked for is not there.
func (g *gate) mayReadRepository(ctx context.Context, p pull) error {
	if g.granted(p) {
		return nil
	}
	_, err := p.from.client.Tags(ctx, p.from.at(p.repo), 1, "")
	if err == nil {
		g.grant(p)
	}
	return err
}
