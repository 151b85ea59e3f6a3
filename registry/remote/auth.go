package remote

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/registry"
)

const (
	// defaultTokenLife is a token's life where the service names none, and
	// tokenLeeway how long before its end it is not used any more (Docker
	// Registry v2 authentication, "Token response fields").
	defaultTokenLife = 60 * time.Second
	maxTokenLife     = time.Hour
	tokenLeeway      = 10 * time.Second
	maxTokenBody     = 1 << 20
	// maxRemembered bounds the tokens and challenges that are kept for one
	// registry: whoever names repositories must not fill the memory. What is
	// forgotten costs a round trip.
	maxRemembered = 10_000
)

// session is what a client knows about logging in to one registry.
type session struct {
	mu sync.Mutex
	// challenge is the one seen last, and the guess for a repository that was
	// not asked for yet; nil: the registry has not asked for anything.
	challenge *challenge
	// challenges are those of repositories that have been asked for: some
	// registries have a token service for each.
	challenges map[string]*challenge
	config     *authn.AuthConfig          // nil: the keychain is to be asked
	asking     *flight[*authn.AuthConfig] // nil: it is not being asked
	tokens     map[string]token           // by scope
	fetching   map[string]*flight[string] // by scope
}

type token struct {
	value   string
	expires time.Time
}

// flight is something that is being fetched for all who wait for it. It outlives
// the caller who began it: one caller's end must not take it from the others.
type flight[T any] struct {
	done  chan struct{}
	ctx   context.Context // the work's
	value T
	err   error
}

// wait returns what is being fetched, or the context's error.
func (f *flight[T]) wait(ctx context.Context, r *request) (T, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none T
		return none, r.fail(registry.ErrUnavailable, ctx.Err(), "")
	}
}

// remember adds to a map of bounded size.
func remember[V any](m *map[string]V, key string, v V) {
	if *m == nil || len(*m) >= maxRemembered {
		*m = make(map[string]V)
	}
	(*m)[key] = v
}

// login is what a request was sent with.
type login struct {
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

// login gives the Authorization header for a request, as far as the registry is
// known to want one.
func (c *Client) login(ctx context.Context, h *host, r *request) (login, error) {
	ch := h.auth.known(r.repo.RepositoryStr())
	if ch == nil {
		return login{}, nil
	}
	config, err := c.config(ctx, h, r)
	if err != nil {
		return login{}, err
	}
	l := login{challenge: ch, config: config}
	switch {
	case config.RegistryToken != "":
		l.header = "Bearer " + config.RegistryToken
	case ch.scheme == "basic":
		l.header = basic(config)
	default:
		return c.bearer(ctx, h, r, l)
	}
	return l, nil
}

// known is the challenge to expect for a repository, or nil.
func (s *session) known(repo string) *challenge {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.challenges[repo]; ch != nil {
		return ch
	}
	return s.challenge
}

// challenged takes in what a registry wants to see, and reports whether asking
// again with it may help.
func (c *Client) challenged(h *host, r *request, used login, headers []string) bool {
	ch := chooseChallenge(headers)
	if ch == nil {
		return false
	}
	s := &h.auth
	s.mu.Lock()
	defer s.mu.Unlock()
	s.challenge = ch
	remember(&s.challenges, r.repo.RepositoryStr(), ch)
	switch {
	case used.token != "":
		// Others may have fetched a better one meanwhile.
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

// config is what the keychain has for a registry. It is asked once for all.
func (c *Client) config(ctx context.Context, h *host, r *request) (*authn.AuthConfig, error) {
	s := &h.auth
	s.mu.Lock()
	if s.config != nil {
		defer s.mu.Unlock()
		return s.config, nil
	}
	f := s.asking
	if f == nil {
		f = &flight[*authn.AuthConfig]{done: make(chan struct{}), ctx: context.WithoutCancel(ctx)}
		s.asking = f
		go c.askKeychain(f.ctx, s, r, f)
	}
	s.mu.Unlock()
	return f.wait(ctx, r)
}

func (c *Client) askKeychain(ctx context.Context, s *session, r *request, f *flight[*authn.AuthConfig]) {
	config, err := caught("ask the keychain for "+r.op, r.ref, func() (*authn.AuthConfig, error) {
		return resolve(ctx, c.o.Keychain, r.repo.Registry)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking = nil; err != nil {
		f.err = r.fail(registry.ErrUnauthorized, err, "")
	} else {
		f.value, s.config = config, config
	}
	close(f.done)
}

// resolve asks a keychain about a registry as a whole: about its repositories it
// might say different things, of which the first would be used for all.
func resolve(ctx context.Context, k authn.Keychain, registry name.Registry) (*authn.AuthConfig, error) {
	who, err := authn.Resolve(ctx, k, registry)
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

// bearer adds a token for the request's scopes to l: one that is there and still
// lives, or one that is fetched, once for all who need it.
func (c *Client) bearer(ctx context.Context, h *host, r *request, l login) (login, error) {
	scope := strings.Join(r.scopes(), " ")
	s := &h.auth
	s.mu.Lock()
	for _, usable := range []string{scope, strings.TrimSuffix(scope, ":pull") + ":pull,push"} {
		if t, ok := s.tokens[usable]; ok && time.Now().Before(t.expires) {
			s.mu.Unlock()
			l.header, l.token, l.scope = "Bearer "+t.value, t.value, usable
			return l, nil
		}
	}
	f := s.fetching[scope]
	if f == nil {
		f = &flight[string]{done: make(chan struct{}), ctx: context.WithoutCancel(ctx)}
		if s.fetching == nil {
			s.fetching = make(map[string]*flight[string])
		}
		s.fetching[scope] = f
		go c.fly(f.ctx, h, r, l, scope, f)
	} else {
		fair.Join(f.ctx, ctx) // who waits must not wait in another one's queue
	}
	s.mu.Unlock()
	value, err := f.wait(ctx, r)
	if err != nil {
		return login{}, err
	}
	l.header = "Bearer " + value
	return l, nil
}

func (c *Client) fly(ctx context.Context, h *host, r *request, l login, scope string, f *flight[string]) {
	var life time.Duration
	value, err := caught("log in for "+r.op, r.ref, func() (value string, err error) {
		value, life, err = c.fetchToken(ctx, h, r, l.challenge, l.config)
		return value, err
	})
	s := &h.auth
	s.mu.Lock()
	defer s.mu.Unlock()
	f.value, f.err = value, loginError(err)
	if refused(err) && s.config == l.config {
		s.config = nil // what the keychain gave may have been good for a while only
	}
	if err == nil && life > tokenLeeway {
		remember(&s.tokens, scope, token{value, time.Now().Add(min(life, maxTokenLife) - tokenLeeway)})
	}
	delete(s.fetching, scope)
	close(f.done)
}

// refused reports whether a token service has refused a login. That of an identity
// token which has ended is a 400 (RFC 6749, section 5.2).
func refused(err error) bool {
	var e *registry.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Status == http.StatusBadRequest || e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// loginError is the error of a login as that of the request that needed it: what
// a token service answers says nothing about the content that was asked for.
func loginError(err error) error {
	var e *registry.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case registry.ErrUnavailable, registry.ErrRateLimited, registry.ErrStalled, registry.ErrInsecure, registry.ErrDenied:
		return err
	}
	told := *e
	told.Kind = registry.ErrUnauthorized
	return &told
}

// fetchToken asks the token service (Docker Registry v2 token authentication;
// with an identity token, its OAuth 2.0 form).
func (c *Client) fetchToken(ctx context.Context, h *host, r *request, ch *challenge, config *authn.AuthConfig) (string, time.Duration, error) {
	req := &request{op: "log in for " + r.op, ref: r.ref, repo: r.repo, method: http.MethodGet, header: http.Header{}}
	realm, trusted, err := c.realm(h, ch)
	if err != nil {
		return "", 0, err
	}
	params := url.Values{"scope": r.scopes()}
	if ch.service != "" {
		params.Set("service", ch.service)
	}
	query := realm.Query()
	query.Del("scope") // a realm does not widen what is asked for
	header := basic(config)
	switch {
	case !trusted:
		header = "" // a login never goes to a stranger
	case config.IdentityToken != "":
		params.Set("grant_type", "refresh_token")
		params.Set("refresh_token", config.IdentityToken)
		params.Set("client_id", c.o.UserAgent)
		// A form has one scope, with spaces (RFC 6749, section 3.3).
		params.Set("scope", strings.Join(r.scopes(), " "))
		form := params.Encode()
		req.method, header, params = http.MethodPost, "", nil
		req.header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.open, req.size = func() io.Reader { return strings.NewReader(form) }, int64(len(form))
	}
	maps.Copy(query, params)
	realm.RawQuery = query.Encode()
	req.url = realm
	a, err := c.ask(ctx, h, req, header)
	if err != nil {
		return "", 0, err
	}
	return parseToken(req, a.body)
}

// ask sends a request to a token service. Where that fails in a way that may pass,
// the request that needs the token is sent again, and asks again.
func (c *Client) ask(ctx context.Context, h *host, r *request, header string) (a *answer, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, errTimeout)
	defer cancel()
	leave, err := c.slots.Take(ctx, 1)
	if err != nil {
		return nil, r.fail(registry.ErrUnavailable, err, "")
	}
	defer leave()
	resp, err := c.roundTrip(ctx, h, r, r.url, h.is(r.url), header)
	if err == nil {
		a, err = c.read(ctx, r, resp, maxTokenBody)
	}
	return a, stalled(ctx, r, err)
}

func parseToken(r *request, body []byte) (string, time.Duration, error) {
	root, err := strictjson.Parse(body)
	if err != nil {
		return "", 0, r.fail(registry.ErrMalformed, nil, "the token service did not answer with a token")
	}
	value, _ := root.Get("token").Str()
	if value == "" {
		value, _ = root.Get("access_token").Str()
	}
	if value == "" || strings.ContainsAny(value, "\r\n\x00") {
		return "", 0, r.fail(registry.ErrMalformed, nil, "the token service did not answer with a token")
	}
	life := defaultTokenLife
	if seconds, ok := root.Get("expires_in").Int(); ok && seconds > 0 {
		life = time.Duration(min(seconds, int64(maxTokenLife/time.Second))) * time.Second
	}
	return value, life, nil
}
