package registrytest

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// TokenAuth makes a registry demand bearer tokens, and issues them. Tokens are
// opaque, and bound to repositories, actions and an expiry. Requests for tokens
// are found in Registry.Requests with the scopes that they ask for.
//
// Sources: Docker Registry v2 authentication ("Token Authentication
// Specification", and "using OAuth2" for the password grant); RFC 6750.
type TokenAuth struct {
	// Path is where the registry itself issues tokens. Empty: "/token".
	Path string
	// Realm is the URL that clients are sent to for a token. Empty: Path on the
	// host that the client asked. An attacker's may be anywhere.
	Realm string
	// Service names the registry in challenges. Empty: "registrytest".
	Service string
	// Users maps names to passwords. Empty: no login succeeds.
	Users map[string]string
	// AnonymousPull lets everyone pull. False: a token is only for users.
	AnonymousPull bool
	// Allow decides whether a user ("" where anonymous) gets an action ("pull",
	// "push" or "delete") on a repository. It must be safe for concurrent use.
	// Nil: users get all, anonymous ones "pull".
	Allow func(user, repo, action string) bool
	// Lifetime is how long a token is valid. It is told to clients in whole
	// seconds. Zero: five minutes.
	Lifetime time.Duration
}

func (a *TokenAuth) path() string {
	if a.Path == "" {
		return "/token"
	}
	return a.Path
}

func (a *TokenAuth) service() string {
	if a.Service == "" {
		return "registrytest"
	}
	return a.Service
}

func (a *TokenAuth) lifetime() time.Duration {
	if a.Lifetime == 0 {
		return 5 * time.Minute
	}
	return a.Lifetime
}

func (a *TokenAuth) allows(user, repo, action string) bool {
	if user == "" && !(a.AnonymousPull && action == "pull") {
		return false
	}
	return a.Allow == nil || a.Allow(user, repo, action)
}

// access is an action on a repository.
type access struct{ repo, action string }

// grant is what a token allows.
type grant struct {
	allowed map[access]bool
	expires time.Time
}

// maxTokens bounds the tokens that are valid at once.
const maxTokens = 10_000

type tokens struct {
	mu     sync.Mutex
	issued map[string]grant
}

// RevokeTokens makes every token issued so far invalid.
func (r *Registry) RevokeTokens() {
	r.tokens.mu.Lock()
	defer r.tokens.mu.Unlock()
	clear(r.tokens.issued)
}

func (t *tokens) issue(g grant, now time.Time) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.issued) >= maxTokens {
		maps.DeleteFunc(t.issued, func(_ string, g grant) bool { return !now.Before(g.expires) })
	}
	if len(t.issued) >= maxTokens {
		return "", false
	}
	token := rand.Text()
	t.issued[token] = g
	return token, true
}

// grantOf returns what a token allows, if it is valid.
func (t *tokens) grantOf(token string, now time.Time) (grant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.issued[token]
	return g, ok && now.Before(g.expires)
}

// serveToken issues a token for those of the scopes asked for that are allowed.
func (r *Registry) serveToken(w http.ResponseWriter, req *http.Request) {
	auth := r.o.Auth
	user, ok := auth.login(req)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
		refuse(w, errUnauthorized)
		return
	}
	now := time.Now()
	g := grant{allowed: make(map[access]bool), expires: now.Add(auth.lifetime())}
	for _, scope := range splitScopes(req.Form["scope"]) {
		repo, actions := parseScope(scope)
		for _, action := range actions {
			if auth.allows(user, repo, action) {
				g.allowed[access{repo, action}] = true
			}
		}
	}
	token, ok := r.tokens.issue(g, now)
	if !ok {
		refuse(w, errTooMany)
		return
	}
	body, err := json.Marshal(map[string]any{
		"token": token, "access_token": token, "token_type": "Bearer",
		"expires_in": int64(auth.lifetime() / time.Second), "issued_at": now.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return // strings and numbers can always be encoded
	}
	reply(w, req, http.StatusOK, "application/json", body)
}

// login returns the user who asks for a token, "" for an anonymous one.
func (a *TokenAuth) login(req *http.Request) (user string, ok bool) {
	user, password, basic := req.BasicAuth()
	if !basic && req.Method == http.MethodPost {
		user, password = req.PostForm.Get("username"), req.PostForm.Get("password")
		basic = req.PostForm.Get("grant_type") == "password"
	}
	if !basic {
		return "", a.AnonymousPull && req.Header.Get("Authorization") == ""
	}
	return user, knows(a.Users, user, password)
}

func knows(users map[string]string, user, password string) bool {
	want, ok := users[user]
	return ok && user != "" && subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
}

// splitScopes separates scopes that are given in one parameter.
func splitScopes(params []string) []string {
	var all []string
	for _, p := range params {
		all = append(all, strings.Fields(p)...)
	}
	return all
}

// parseScope reads "repository:<name>:<action>,...". Other types of scope grant
// nothing. A name may hold colons (a host with a port).
func parseScope(scope string) (repo string, actions []string) {
	rest, ok := strings.CutPrefix(scope, "repository:")
	i := strings.LastIndexByte(rest, ':')
	if !ok || i < 0 {
		return "", nil
	}
	return rest[:i], strings.Split(rest[i+1:], ",")
}

// authorized answers what may not be served, and reports whether it may.
func (r *Registry) authorized(w http.ResponseWriter, req *http.Request, at location) bool {
	switch {
	case r.o.Auth != nil:
		return r.tokenAuthorized(w, req, at)
	case len(r.o.BasicUsers) > 0:
		user, password, _ := req.BasicAuth()
		if knows(r.o.BasicUsers, user, password) {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
		refuse(w, errUnauthorized)
		return false
	}
	return true
}

func (r *Registry) tokenAuthorized(w http.ResponseWriter, req *http.Request, at location) bool {
	g, valid := r.grantOf(req)
	action := actionOf(req)
	if valid && (at.repo == "" || g.allowed[access{at.repo, action}]) {
		return true
	}
	challenge := fmt.Sprintf(`Bearer realm="%s",service="%s"`, r.realm(req), r.o.Auth.service())
	if at.repo != "" {
		challenge += fmt.Sprintf(`,scope="repository:%s:%s"`, at.repo, scopeActions(action))
	}
	if valid {
		challenge += `,error="insufficient_scope"`
	} else if req.Header.Get("Authorization") != "" {
		challenge += `,error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, errUnauthorized)
	return false
}

// mayRead reports whether the request may also read another repository.
func (r *Registry) mayRead(req *http.Request, repo string) bool {
	if r.o.Auth == nil {
		return true
	}
	g, valid := r.grantOf(req)
	return valid && g.allowed[access{repo, "pull"}]
}

func (r *Registry) grantOf(req *http.Request) (grant, bool) {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return grant{}, false
	}
	return r.tokens.grantOf(token, time.Now())
}

func (r *Registry) realm(req *http.Request) string {
	if r.o.Auth.Realm != "" {
		return r.o.Auth.Realm
	}
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + req.Host + r.o.Auth.path()
}

// actionOf is the action that a request needs. Deleting needs "push": clients do
// not agree on how the right to delete is asked for.
func actionOf(req *http.Request) string {
	if isRead(req) {
		return "pull"
	}
	return "push"
}

func scopeActions(action string) string {
	if action == "push" {
		return "pull,push"
	}
	return action
}

// TokenScopes returns the scopes that were asked for in requests for tokens, in
// the order in which they came.
func (r *Registry) TokenScopes() []string {
	var all []string
	for _, req := range r.Requests() {
		all = slices.Concat(all, req.Scopes)
	}
	return all
}
