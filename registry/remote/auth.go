package remote

import (
	"context"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/registry"
)

// authorizer gives requests the Authorization that registries want to see.
type authorizer struct {
	keychain authn.Keychain
	realms   map[string][]string // Options.TokenRealms
	clientID string
	timeout  time.Duration
	line     *line
}

// session is what a client knows about its authorization at one registry.
type session struct {
	// asking is the keychain being asked, and fetching a token by its scope, for all
	// who wait for it.
	asking   singleflight.Group[struct{}, *authn.AuthConfig]
	fetching singleflight.Group[string, string]

	mu sync.Mutex
	// challenge is the one seen last, and the guess for a repository that was
	// not asked for yet; nil: the registry has not asked for anything.
	challenge *challenge
	// challenges are those of repositories that have been asked for: some
	// registries have a token service for each.
	challenges map[string]*challenge
	config     *authn.AuthConfig // nil: the keychain is to be asked
	tokens     map[string]token  // by scope
}

// maxRemembered bounds the tokens and challenges that are kept for one registry:
// naming repositories must not fill the memory. What is forgotten costs a round trip.
const maxRemembered = 10_000

// remember adds to a map of bounded size.
func remember[V any](m *map[string]V, key string, v V) {
	if *m == nil || len(*m) >= maxRemembered {
		*m = make(map[string]V)
	}
	(*m)[key] = v
}

// authorization is what a request was sent with.
type authorization struct {
	header    string
	challenge *challenge        // what it answers; nil: none was known
	config    *authn.AuthConfig // what the keychain had given
	token     string            // the token, where one was there already
	scope     string            // of that token
}

// scopes are the rights that a request needs, and no more, whatever a challenge
// may suggest.
func (r *request) scopes() []string {
	rights := "pull"
	switch {
	case r.method == http.MethodDelete && !r.push:
		rights = "delete"
	case r.push:
		rights = "pull,push"
	}
	all := []string{"repository:" + r.repo.RepositoryStr() + ":" + rights}
	if from := r.from.RepositoryStr(); from != "" && from != r.repo.RepositoryStr() {
		all = append(all, "repository:"+from+":pull")
	}
	return all
}

// authorize gives the Authorization header for a request, as far as the registry is
// known to want one.
func (a *authorizer) authorize(ctx context.Context, h *host, r *request) (authorization, error) {
	ch := h.auth.expected(r.repo.RepositoryStr())
	if ch == nil {
		return authorization{}, nil
	}
	config, err := a.config(ctx, h, r)
	if err != nil {
		return authorization{}, err
	}
	with := authorization{challenge: ch, config: config}
	switch {
	case config.RegistryToken != "":
		with.header = "Bearer " + config.RegistryToken
	case ch.scheme == "basic":
		with.header = basic(config)
	default:
		return a.bearer(ctx, h, r, with)
	}
	return with, nil
}

// expected is the challenge to expect for a repository, or nil.
func (s *session) expected(repo string) *challenge {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.challenges[repo]; ch != nil {
		return ch
	}
	return s.challenge
}

// challenged takes in what a registry wants to see, and reports whether asking
// again with it may help.
func (s *session) challenged(repo string, used authorization, headers []string) bool {
	ch := chooseChallenge(headers)
	if ch == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.challenge = ch
	remember(&s.challenges, repo, ch)
	switch {
	case used.token != "":
		// Others may have fetched a better one since.
		if s.tokens[used.scope].value == used.token {
			delete(s.tokens, used.scope)
		}
		return true
	case used.challenge == nil || *used.challenge != *ch:
		return true
	case s.config == used.config:
		// What the keychain gave may have been good for a while only.
		s.config = nil
	}
	return false
}

func basic(config *authn.AuthConfig) string {
	switch {
	case config.Auth != "":
		return "Basic " + config.Auth
	case config.Username != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password))
	}
	return ""
}

// config is what the keychain has for a registry.
func (a *authorizer) config(ctx context.Context, h *host, r *request) (*authn.AuthConfig, error) {
	s := &h.auth
	if config := s.given(); config != nil {
		return config, nil
	}
	config, err := s.asking.Do(ctx, struct{}{}, func(ctx context.Context) (*authn.AuthConfig, error) {
		if config := s.given(); config != nil {
			return config, nil
		}
		config, err := resolve(ctx, a.keychain, r.repo.Registry)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.config = config
		}
		return config, err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, r.fail(registry.ErrUnavailable, ctx.Err(), "")
	case err != nil:
		return nil, r.fail(registry.ErrUnauthorized, err, "")
	}
	return config, nil
}

// given is what the keychain has given, or nil.
func (s *session) given() *authn.AuthConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// resolve asks a keychain about a registry as a whole. It might give different
// credentials for each repository, and the first would be used for all.
func resolve(ctx context.Context, k authn.Keychain, from name.Registry) (*authn.AuthConfig, error) {
	who, err := authn.Resolve(ctx, k, from)
	if err != nil {
		return nil, err
	}
	if who == nil {
		who = authn.Anonymous
	}
	config, err := authn.Authorization(ctx, who)
	if config == nil {
		config = &authn.AuthConfig{}
	}
	return config, err
}
