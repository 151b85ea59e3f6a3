package gate

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"iter"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// origin reads content of one upstream with one client's credentials, or the operator's.
// Work is shared only between requests of one origin, except by digest after each request's
// access was checked.
type origin struct {
	client *remote.Client
	// manifests are those that the gate holds.
	manifests *manifests
	// address is where the upstream is reached. Repositories keep the names that they are
	// judged by.
	address name.Registry
	// registry is the name of the upstream, and elsewhere has the addresses of all: a
	// policy may name a repository of another registry for evidence. Empty: address.
	registry  name.Registry
	elsewhere map[string]name.Registry
	// personal: the credentials are a client's own, whose access is checked before shared
	// content is sent.
	personal bool
	// challenge asks a client for credentials after the upstream said 401 or 403; empty:
	// others would not help. Nil: the credentials are the operator's, and no client can
	// help.
	challenge func(status int) []string
}

var _ registry.Reader = (*origin)(nil)

// at is a repository at its address. Credentials of a client go to its upstream alone:
// of another registry it reads what that gives to all.
func (o *origin) at(repo name.Repository) name.Repository {
	other := o.registry != (name.Registry{}) && repo.RegistryStr() != o.registry.RegistryStr()
	if address, known := o.elsewhere[repo.RegistryStr()]; known && other {
		repo.Registry = address
	} else if !other {
		repo.Registry = o.address
	}
	return repo
}

func (o *origin) ref(ref name.Reference) name.Reference {
	if d, ok := ref.(name.Digest); ok {
		return o.digest(d)
	}
	return o.at(ref.Context()).Tag(ref.Identifier())
}

func (o *origin) digest(d name.Digest) name.Digest { return o.at(d.Context()).Digest(d.DigestStr()) }

// DeniesApart: denials are not shared with other gates, which have other upstreams and
// credentials; see verify.SharedCache.
func (o *origin) DeniesApart() {}

// Resolve implements registry.Reader.
func (o *origin) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	return o.client.Resolve(ctx, o.ref(ref))
}

// Manifest implements registry.Reader. What the gate holds already is not read
// again: access to it was checked for the request as a whole.
func (o *origin) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	if d, ok := ref.(name.Digest); ok {
		if m, ok := o.manifests.held.Get(d.DigestStr()); ok {
			return registry.Manifest{Descriptor: m.descriptor(), Bytes: m.bytes}, nil
		}
	}
	return o.client.Manifest(ctx, o.ref(ref))
}

// Blob implements registry.Reader.
func (o *origin) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	return o.client.Blob(ctx, o.digest(ref), size)
}

// Referrers implements registry.Reader.
func (o *origin) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return o.client.Referrers(ctx, o.digest(subject))
}

// pull is the repository of a request, and where it is read.
type pull struct {
	repo name.Repository
	from *origin
}

func (p pull) digest(d string) name.Digest { return p.repo.Digest(d) }

// maxCredentials bounds the clients' credentials that are remembered.
const maxCredentials = 1000

// origins are those of clients' credentials. Only the client that uses credentials holds
// them; here they are known by a keyed hash.
type origins struct {
	key   []byte
	known *lru.Cache[string, *origin]
}

func newOrigins() *origins {
	return &origins{key: randomKey(), known: lru.New[string, *origin](nil, maxCredentials)}
}

// of returns the origin for some parts, which open makes if it is not known.
func (o *origins) of(open func() (*origin, error), parts ...string) (*origin, error) {
	m := hmac.New(sha256.New, o.key)
	for _, part := range parts {
		sum := sha256.Sum256([]byte(part))
		_, _ = m.Write(sum[:]) // a hash does not fail
	}
	id := hexOf(m.Sum(nil))
	if known, ok := o.known.Get(id); ok {
		return known, nil
	}
	fresh, err := open()
	if err == nil {
		o.known.Put(id, fresh)
	}
	return fresh, err
}

// challenge asks for credentials by HTTP Basic (RFC 7617).
var challenge = []string{`Basic realm="hallmark gate", charset="UTF-8"`}

// greet answers the ping, by which clients find out whether credentials are wanted.
func (h *Handler) greet(r *http.Request) *refusal {
	if h.gate.c.Credentials != PassThrough || r.Header.Get("Authorization") != "" {
		return nil
	}
	return wantCredentials("this gate asks the registry with your own credentials; log in")
}

func wantCredentials(message string) *refusal {
	r := refuse(http.StatusUnauthorized, codeUnauthorized, "%s", message)
	r.challenge = challenge
	return r
}

// origin says where a request is read, and with whose credentials.
func (h *Handler) origin(r *http.Request, up *upstream) (*origin, *refusal) {
	if h.gate.c.Credentials == Operator {
		return up.operator, nil
	}
	user, password, ok := r.BasicAuth()
	switch given := r.Header.Get("Authorization") != ""; {
	case given && !ok:
		return nil, wantCredentials("this gate takes credentials by HTTP Basic only")
	case !given && h.gate.c.Credentials == PassThrough:
		return nil, wantCredentials("this gate asks the registry with your own credentials; log in")
	}
	o, err := h.personal.of(func() (*origin, error) { return h.open(up, user, password), nil }, up.address.Name(), user, password)
	if err != nil {
		return nil, failure(err, codeName)
	}
	return o, nil
}

// open makes the origin of one client's credentials.
func (h *Handler) open(up *upstream, user, password string) *origin {
	given, anonymous := authn.Anonymous, user == "" && password == ""
	if !anonymous {
		given = authn.FromConfig(authn.AuthConfig{Username: user, Password: password})
	}
	asks := func(status int) []string {
		// Some token services answer 403 to who has no credentials.
		if anonymous || status == http.StatusUnauthorized {
			return challenge
		}
		return nil
	}
	// Connections are shared: who tries credentials must not fill the process with them.
	client := h.client.WithKeychain(onlyFor{up.address.RegistryStr(), given})
	return &origin{client: client, manifests: h.gate.manifests, registry: up.registry, address: up.address, elsewhere: h.addresses, personal: true, challenge: asks}
}

// onlyFor is a keychain with the credentials for one registry.
type onlyFor struct {
	registry    string
	credentials authn.Authenticator
}

func (k onlyFor) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if r.RegistryStr() != k.registry {
		return authn.Anonymous, nil
	}
	return k.credentials, nil
}
