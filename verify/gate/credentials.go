package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hallmark-oci/hallmark/internal/lru"
)

// maxCredentials bounds the clients' credentials that are remembered.
const maxCredentials = 1000

// origins are those of clients' credentials. Credentials are kept by the client that
// uses them and nowhere else; here they are known by a keyed hash.
type origins struct {
	key   []byte
	known *lru.Cache[string, *origin]
}

func newOrigins() *origins {
	return &origins{key: randomKey(), known: lru.New[string, *origin](nil, maxCredentials)}
}

// of returns the origin for what parts say, which open makes where it is not known.
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
	return &origin{client: client, manifests: h.gate.manifests, address: up.address, personal: true, challenge: asks}
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
