package registry

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

const (
	// defaultTokenLife is a token's life where the service names none, and
	// tokenLeeway how long before its end it is not used any more (Docker
	// Registry v2 authentication, "Token response fields").
	defaultTokenLife = 60 * time.Second
	maxTokenLife     = time.Hour
	tokenLeeway      = 10 * time.Second
	maxTokenBody     = 1 << 20
)

// session is what a client knows about logging in to one registry.
type session struct {
	mu        sync.Mutex
	challenge *challenge // nil: the registry has not asked for anything yet
	config    *authn.AuthConfig
	tokens    map[string]token   // by scope
	flights   map[string]*flight // by scope
}

type token struct {
	value   string
	expires time.Time
}

// flight is a token being fetched for all who wait for it.
type flight struct {
	done  chan struct{}
	token string
	err   error
}

// login is the header that a request was sent with.
type login struct {
	header string
	scope  string
	cached bool // from a token that was there already
	known  bool // the registry's challenge was known
}

// scopes are the rights that a request needs, and no more, whatever a challenge
// may suggest.
func (r *request) scopes() []string {
	rights := "pull"
	if r.push {
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
	h.auth.mu.Lock()
	ch := h.auth.challenge
	h.auth.mu.Unlock()
	if ch == nil {
		return login{}, nil
	}
	config, err := c.config(ctx, h, r.repo)
	if err != nil {
		return login{}, r.fail(ErrUnauthorized, err, "")
	}
	if ch.scheme == "basic" {
		return login{header: basic(config), known: true}, nil
	}
	if config.RegistryToken != "" {
		return login{header: "Bearer " + config.RegistryToken, known: true}, nil
	}
	return c.bearer(ctx, h, r, ch, config)
}

func basic(config authn.AuthConfig) string {
	switch {
	case config.Auth != "":
		return "Basic " + config.Auth
	case config.Username != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password))
	}
	return ""
}

// config asks the keychain once for each registry.
func (c *Client) config(ctx context.Context, h *host, repo name.Repository) (authn.AuthConfig, error) {
	h.auth.mu.Lock()
	known := h.auth.config
	h.auth.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	who, err := authn.Resolve(ctx, c.o.Keychain, repo)
	if err != nil {
		return authn.AuthConfig{}, err
	}
	config, err := authn.Authorization(ctx, who)
	if err != nil {
		return authn.AuthConfig{}, err
	}
	h.auth.mu.Lock()
	h.auth.config = config
	h.auth.mu.Unlock()
	return *config, nil
}

// bearer gives a token for the request's scopes: one that is there and still
// lives, or one that is fetched, once for all who need it.
func (c *Client) bearer(ctx context.Context, h *host, r *request, ch *challenge, config authn.AuthConfig) (login, error) {
	scope := strings.Join(r.scopes(), " ")
	s := &h.auth
	s.mu.Lock()
	for _, usable := range []string{scope, strings.TrimSuffix(scope, ":pull") + ":pull,push"} {
		if t, ok := s.tokens[usable]; ok && time.Now().Before(t.expires) {
			s.mu.Unlock()
			return login{header: "Bearer " + t.value, scope: usable, cached: true, known: true}, nil
		}
	}
	f, flying := s.flights[scope]
	if !flying {
		f = &flight{done: make(chan struct{})}
		if s.flights == nil {
			s.flights = make(map[string]*flight)
		}
		s.flights[scope] = f
		// One caller's end must not take the token from the others.
		go c.fly(context.WithoutCancel(ctx), h, r, ch, config, scope, f)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		if f.err != nil || f.token == "" {
			return login{}, f.err
		}
		return login{header: "Bearer " + f.token, scope: scope, known: true}, nil
	case <-ctx.Done():
		return login{}, r.fail(ErrUnavailable, ctx.Err(), "")
	}
}

func (c *Client) fly(ctx context.Context, h *host, r *request, ch *challenge, config authn.AuthConfig, scope string, f *flight) {
	value, life, err := c.fetchToken(ctx, h, r, ch, config)
	s := &h.auth
	s.mu.Lock()
	defer s.mu.Unlock()
	f.token, f.err = value, err
	if err == nil && life > tokenLeeway {
		if s.tokens == nil {
			s.tokens = make(map[string]token)
		}
		s.tokens[scope] = token{value, time.Now().Add(min(life, maxTokenLife) - tokenLeeway)}
	}
	delete(s.flights, scope)
	close(f.done)
}

// fetchToken asks the token service (Docker Registry v2 token authentication;
// with an identity token, its OAuth 2.0 form).
func (c *Client) fetchToken(ctx context.Context, h *host, r *request, ch *challenge, config authn.AuthConfig) (string, time.Duration, error) {
	req := &request{op: "log in for " + r.op, ref: r.ref, repo: r.repo, method: http.MethodGet, header: http.Header{}}
	realm, trusted, err := c.realm(h, ch)
	if err != nil {
		return "", 0, err
	}
	q := realm.Query()
	if ch.service != "" {
		q.Set("service", ch.service)
	}
	for _, s := range r.scopes() {
		q.Add("scope", s)
	}
	header := basic(config)
	var form string
	if !trusted {
		header = "" // a login never goes to a stranger
	} else if config.IdentityToken != "" {
		q.Set("grant_type", "refresh_token")
		q.Set("refresh_token", config.IdentityToken)
		q.Set("client_id", c.o.UserAgent)
		req.method, header = http.MethodPost, ""
		req.header.Set("Content-Type", "application/x-www-form-urlencoded")
		form, q = q.Encode(), realm.Query()
	}
	realm.RawQuery = q.Encode()
	req.url = realm
	if form != "" {
		req.open, req.size = func() io.Reader { return strings.NewReader(form) }, int64(len(form))
	}
	a, err := c.ask(ctx, h, req, header)
	if err != nil {
		return "", 0, err
	}
	return parseToken(req, a.body)
}

// ask sends a request to a token service, with the retries of any other.
func (c *Client) ask(ctx context.Context, h *host, r *request, header string) (*answer, error) {
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, errTimeout)
		var a *answer
		resp, err := c.roundTrip(ctx, h, r, r.url, h.is(r.url), header)
		if err == nil {
			a, err = c.read(r, resp, maxTokenBody)
		}
		err = stalled(ctx, r, err)
		cancel()
		if err == nil || attempt >= c.o.MaxAttempts || !passing(err) {
			return a, err
		}
		if err := sleep(ctx, c.delay(attempt, err)); err != nil {
			return nil, r.fail(ErrUnavailable, err, "")
		}
	}
}

func parseToken(r *request, body []byte) (string, time.Duration, error) {
	root, err := strictjson.Parse(body)
	if err != nil {
		return "", 0, r.fail(ErrMalformed, nil, "the token service did not answer with a token")
	}
	value, _ := root.Get("token").Str()
	if value == "" {
		value, _ = root.Get("access_token").Str()
	}
	if value == "" || strings.ContainsAny(value, "\r\n\x00") {
		return "", 0, r.fail(ErrMalformed, nil, "the token service did not answer with a token")
	}
	life := defaultTokenLife
	if seconds, ok := root.Get("expires_in").Int(); ok && seconds > 0 {
		life = time.Duration(min(seconds, int64(maxTokenLife/time.Second))) * time.Second
	}
	return value, life, nil
}

// dockerHub is the one registry whose token service lives on another host that
// is no parent of its own.
const (
	dockerHub      = "index.docker.io"
	dockerHubRealm = "auth.docker.io"
)

// realm checks where the registry wants its login sent. trusted is false where
// only an anonymous question may go there.
func (c *Client) realm(h *host, ch *challenge) (realm *url.URL, trusted bool, err error) {
	fail := func(kind Kind, why string) (*url.URL, bool, error) {
		return nil, false, &Error{Op: "log in to", Ref: SafeText(h.name, maxErrorText), Kind: kind, Detail: why}
	}
	u, err := url.Parse(ch.realm)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fail(ErrMalformed, "its token realm is not a URL: "+SafeText(redact(ch.realm), 200))
	}
	u.Fragment = ""
	same := strings.EqualFold(hostname(u.Host), hostname(h.name))
	local := isLoopback(u.Host) && isLoopback(h.name)
	if u.Scheme == "http" && (h.scheme != "http" || !same && !local) {
		return fail(ErrInsecure, "its token realm is plain HTTP: "+SafeText(u.Host, 100))
	}
	if !same && !local && isLocal(u.Host) && !h.private.get() {
		return fail(ErrInsecure, "its token realm is a private address: "+SafeText(u.Host, 100))
	}
	realmHost, registryHost := strings.ToLower(hostname(u.Host)), strings.ToLower(hostname(h.name))
	parent := strings.Contains(realmHost, ".") && strings.HasSuffix(registryHost, "."+realmHost)
	named := slices.Contains(c.o.TokenRealms[h.name], u.Host) || registryHost == dockerHub && realmHost == dockerHubRealm
	return u, same || local || parent || named, nil
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
	if s.challenge == nil || *s.challenge != *ch {
		s.challenge, s.tokens = ch, nil
		return true
	}
	if used.cached {
		delete(s.tokens, used.scope)
		return true
	}
	// What the keychain gave may have been good for a while only.
	s.config = nil
	// Another request may have learned the challenge after this one was sent.
	return !used.known
}

// challenge is what a registry asks for (RFC 9110, section 11.6.1).
type challenge struct {
	scheme  string // "basic" or "bearer"
	realm   string
	service string
}

// chooseChallenge picks the strongest scheme that is offered; nil: none that we
// know.
func chooseChallenge(headers []string) *challenge {
	var chosen *challenge
	for _, h := range headers {
		for _, ch := range parseChallenges(h) {
			if ch.scheme == "bearer" && ch.realm != "" {
				return &ch
			}
			if ch.scheme == "basic" && chosen == nil {
				chosen = &ch
			}
		}
	}
	return chosen
}

// parseChallenges reads one WWW-Authenticate header, which may hold several
// challenges.
func parseChallenges(header string) []challenge {
	var all []challenge
	rest := header
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return all
		}
		word, after := cutToken(rest)
		if word == "" {
			return all
		}
		after = strings.TrimLeft(after, " \t")
		if !strings.HasPrefix(after, "=") {
			all = append(all, challenge{scheme: strings.ToLower(word)})
			rest = after
			continue
		}
		value, tail, ok := cutValue(strings.TrimLeft(after[1:], " \t"))
		if !ok || len(all) == 0 {
			return all
		}
		last := &all[len(all)-1]
		switch strings.ToLower(word) {
		case "realm":
			last.realm = value
		case "service":
			last.service = value
		}
		rest = tail
	}
}

func cutToken(s string) (token, rest string) {
	end := strings.IndexAny(s, " \t,=\"")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest = cutToken(s)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}
