package proxy

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/registry"
)

// logins are the origins of clients' logins. A login itself is kept by the client
// that uses it and nowhere else; here it is known by a keyed hash.
type logins struct {
	once  sync.Once
	key   []byte
	known *lru.Cache[string, *origin]

	operatorOnce sync.Mutex
	operators    map[*upstream]*origin
}

// maxLogins bounds the logins that are remembered.
const maxLogins = 1000

// grantKey is what an upstream has said that a login may read.
type grantKey struct {
	from *origin
	repo string
}

// challenge asks for a login by HTTP Basic (RFC 7617).
const challenge = `Basic realm="hallmark gate", charset="UTF-8"`

// greet answers the ping, by which clients find out whether a login is wanted.
func (p *Proxy) greet(r *http.Request) *refusal {
	if p.gate.c.Logins != LoginsOfClients || r.Header.Get("Authorization") != "" {
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
func (p *Proxy) origin(r *http.Request, up *upstream) (*origin, *refusal) {
	if p.gate.c.Logins == LoginsOfOperator {
		return p.operatorOrigin(up), nil
	}
	user, password, ok := r.BasicAuth()
	switch given := r.Header.Get("Authorization") != ""; {
	case given && !ok:
		return nil, wantLogin("this gate takes logins by HTTP Basic only")
	case !given && p.gate.c.Logins == LoginsOfClients:
		return nil, wantLogin("this gate asks the registry with your own login; log in")
	}
	return p.personal(up, user, password)
}

func (p *Proxy) operatorOrigin(up *upstream) *origin {
	p.logins.operatorOnce.Lock()
	defer p.logins.operatorOnce.Unlock()
	o := p.logins.operators[up]
	if o == nil {
		if p.logins.operators == nil {
			p.logins.operators = make(map[*upstream]*origin)
		}
		o = &origin{g: p.gate, client: p.operator, address: up.address}
		p.logins.operators[up] = o
	}
	return o
}

// personal is the origin of one login.
func (p *Proxy) personal(up *upstream, user, password string) (*origin, *refusal) {
	p.logins.once.Do(func() {
		p.logins.key = randomKey()
		p.logins.known = lru.New[string, *origin](maxLogins, nil)
	})
	m := hmac.New(sha256.New, p.logins.key)
	for _, part := range []string{up.address.Name(), user, password} {
		sum := sha256.Sum256([]byte(part))
		_, _ = m.Write(sum[:]) // a hash does not fail
	}
	id := hexOf(m.Sum(nil))
	if o, ok := p.logins.known.Get(id); ok {
		return o, nil
	}
	options := p.gate.c.Client
	options.Keychain = oneLogin{up.address.RegistryStr(), authn.Anonymous}
	if user != "" || password != "" {
		options.Keychain = oneLogin{up.address.RegistryStr(), authn.FromConfig(authn.AuthConfig{Username: user, Password: password})}
	}
	client, err := registry.NewClient(options)
	if err != nil {
		return nil, failure(err, codeName)
	}
	o := &origin{g: p.gate, client: client, address: up.address, personal: true, challenge: func() string { return challenge }}
	p.logins.known.Put(id, o)
	return o, nil
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
	return g.ask(p, func() error {
		_, err := p.from.Resolve(ctx, p.digest(digest))
		return err
	})
}

// mayReadBlob is mayRead for a blob.
func (g *gate) mayReadBlob(ctx context.Context, p pull, digest string) error {
	return g.ask(p, func() error {
		there, err := p.from.client.HasBlob(ctx, p.from.digest(p.digest(digest)))
		if err == nil && !there {
			err = &registry.Error{Op: "read blob", Ref: digest, Kind: registry.ErrNotFound}
		}
		return err
	})
}

// ask asks once in a while for each repository and login.
func (g *gate) ask(p pull, question func() error) error {
	if !p.from.personal {
		return nil
	}
	key := grantKey{p.from, p.repo.Name()}
	if until, ok := g.grants.Get(key); ok && g.c.Now().Before(until) {
		return nil
	}
	err := question()
	if err == nil {
		g.grants.Put(key, g.c.Now().Add(g.c.AccessFor))
	}
	return err
}
