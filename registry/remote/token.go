package remote

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/registry"
)

const (
	// defaultTokenLife is a token's life if the service names none (Docker Registry
	// v2 authentication, "Token response fields"). A token is not used within
	// tokenLeeway before its end.
	defaultTokenLife = 60 * time.Second
	maxTokenLife     = time.Hour
	tokenLeeway      = 10 * time.Second
	maxTokenBody     = 1 << 20
)

type token struct {
	value   string
	expires time.Time
}

// bearer adds a token for the request's scopes: one that is there and still lives, or
// one that is fetched, once for all who need it.
func (a *authorizer) bearer(ctx context.Context, h *host, r *request, with authorization) (authorization, error) {
	scope := strings.Join(r.scopes(), " ")
	s := &h.auth
	if value, usable := s.token(scope); value != "" {
		with.header, with.token, with.scope = "Bearer "+value, value, usable
		return with, nil
	}
	value, err := s.fetching.Do(ctx, scope, func(ctx context.Context) (string, error) {
		if value, _ := s.token(scope); value != "" {
			return value, nil // fetched a moment ago
		}
		value, life, err := a.fetchToken(ctx, h, r, with.challenge, with.config)
		s.fetched(scope, value, life, with.config, err)
		return value, err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return authorization{}, r.fail(registry.ErrUnavailable, ctx.Err(), "")
	case err != nil:
		return authorization{}, tokenError(asError("log in for "+r.op, r.ref, err))
	}
	with.header = "Bearer " + value
	return with, nil
}

// token is a token that is good for a scope, and the scope that it was fetched for.
func (s *session) token(scope string) (value, usable string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, usable := range []string{scope, strings.TrimSuffix(scope, ":pull") + ":pull,push"} {
		if t, ok := s.tokens[usable]; ok && time.Now().Before(t.expires) {
			return t.value, usable
		}
	}
	return "", ""
}

// fetched takes in what a token service has answered to a config of the keychain.
func (s *session) fetched(scope, value string, life time.Duration, asked *authn.AuthConfig, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused(err) && s.config == asked {
		s.config = nil // what the keychain gave may have been good for a while only
	}
	if err == nil && life > tokenLeeway {
		remember(&s.tokens, scope, token{value, time.Now().Add(min(life, maxTokenLife) - tokenLeeway)})
	}
}

// refused reports whether a token service has refused credentials. For an identity
// token which has ended that is a 400 (RFC 6749, section 5.2).
func refused(err error) bool {
	var e *registry.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Status == http.StatusBadRequest || e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// tokenError is the error of a token service as that of the request that needed a
// token: what the service answers says nothing about the content that was asked for.
func tokenError(err error) error {
	e, ok := errors.AsType[*registry.Error](err)
	if !ok {
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
func (a *authorizer) fetchToken(ctx context.Context, h *host, r *request, ch *challenge, config *authn.AuthConfig) (string, time.Duration, error) {
	req := &request{op: "log in for " + r.op, ref: r.ref, repo: r.repo, method: http.MethodGet, header: http.Header{}}
	realm, trusted, err := a.realm(h, ch)
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
		header = "" // credentials never go to another party
	case config.IdentityToken != "":
		params.Set("grant_type", "refresh_token")
		params.Set("refresh_token", config.IdentityToken)
		params.Set("client_id", a.clientID)
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
	got, err := a.ask(ctx, h, req, header)
	if err != nil {
		return "", 0, withheld(err, realm, !trusted && (basic(config) != "" || config.IdentityToken != ""))
	}
	return parseToken(req, got.body)
}

// withheld says in the error of a token service that it did not get the credentials.
func withheld(err error, realm *url.URL, credentials bool) error {
	e, ok := errors.AsType[*registry.Error](err)
	if !ok || !credentials || !refused(err) {
		return err
	}
	told := *e
	told.Detail = strings.TrimSuffix("its token service "+registry.SafeText(realm.Host, 100)+
		" is another host, and got no credentials (Options.TokenRealms); it says: "+e.Detail, "; it says: ")
	return &told
}

// ask sends a request to a token service. Where that fails in a way that may pass,
// the request that needs the token is sent again, and asks again.
func (a *authorizer) ask(ctx context.Context, h *host, r *request, header string) (got *answer, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout, errTimeout)
	defer cancel()
	leave, err := a.line.slots.Take(ctx, 1)
	if err != nil {
		return nil, r.fail(registry.ErrUnavailable, err, "")
	}
	defer leave()
	resp, err := a.line.roundTrip(ctx, h, r, r.url, h.is(r.url), header)
	if err == nil {
		got, err = r.read(ctx, resp, maxTokenBody)
	}
	return got, stalled(ctx, r, err)
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

// dockerHub is the one registry whose token service lives on another host that
// is not a parent of its own.
const (
	dockerHub      = "index.docker.io"
	dockerHubRealm = "auth.docker.io"
)

// realm checks where the registry wants its credentials sent. trusted is false where
// only an anonymous question may go there.
func (a *authorizer) realm(h *host, ch *challenge) (realm *url.URL, trusted bool, err error) {
	fail := func(kind registry.Kind, why string) (*url.URL, bool, error) {
		return nil, false, &registry.Error{Op: "log in to", Ref: safe(h.name), Host: h.name, Kind: kind, Detail: why}
	}
	u, err := url.Parse(ch.realm)
	if err == nil && u.Scheme == "" && u.Path != "" {
		u = (&url.URL{Scheme: h.scheme, Host: h.name, Path: "/v2/"}).ResolveReference(u) // where a registry challenges first
	}
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fail(registry.ErrMalformed, "its token realm is not a URL: "+registry.SafeText(redact(ch.realm), 200))
	}
	u.Fragment = ""
	same := strings.EqualFold(hostname(u.Host), hostname(h.name))
	local := isLoopback(u.Host) && isLoopback(h.name)
	if u.Scheme == "http" && (h.scheme != "http" || !same && !local) {
		return fail(registry.ErrInsecure, "its token realm is plain HTTP: "+registry.SafeText(u.Host, 100))
	}
	if !same && !local && isLocal(u.Host) && !h.private.get() {
		return fail(registry.ErrInsecure, "its token realm is a private address: "+registry.SafeText(u.Host, 100))
	}
	// The credentials of a registry that is asked by plain HTTP stay at its host and
	// port: an attacker on the way could have named another.
	own := h.is(u) || same && h.scheme == "https" && u.Scheme == "https"
	realmHost, registryHost := strings.ToLower(hostname(u.Host)), strings.ToLower(hostname(h.name))
	named := slices.Contains(a.realms[h.name], u.Host) || registryHost == dockerHub && realmHost == dockerHubRealm
	return u, own || isParent(realmHost, registryHost) && h.scheme == "https" || named, nil
}

// isParent reports whether a host is a parent domain, of two labels or more, of
// another. An address has none: the end of 192.0.2.1 is another party.
func isParent(parent, host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && strings.Contains(parent, ".") && strings.HasSuffix(host, "."+parent)
}
