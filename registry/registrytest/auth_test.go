package registrytest_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// token asks for a token with these scopes; credentials is an Authorization header.
func (c *client) token(credentials string, scopes ...string) string {
	c.Helper()
	query := url.Values{"service": {"registrytest"}, "scope": scopes}
	a := c.do(200, "GET", "/token?"+query.Encode(), "", header(credentials)...)
	return c.tokenIn(a)
}

func (c *client) tokenIn(a answer) string {
	c.Helper()
	var got struct {
		Token       string
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.Token == "" || got.AccessToken != got.Token {
		c.Fatalf("body %q: %v", a.body, err)
	}
	return got.Token
}

func header(credentials string) []string {
	if credentials == "" {
		return nil
	}
	return []string{"Authorization", credentials}
}

const (
	alice   = "Basic YWxpY2U6c2VjcmV0" // alice:secret
	mallory = "Basic YWxpY2U6Z3Vlc3M=" // alice:guess
)

func newTokenClient(t *testing.T, change func(*registrytest.TokenAuth)) *client {
	t.Helper()
	auth := &registrytest.TokenAuth{Users: map[string]string{"alice": "secret"}}
	if change != nil {
		change(auth)
	}
	c := newClient(t, registrytest.Options{Auth: auth})
	c.r.Put("team/app", "v1", ociManifest, []byte(manifestOf("one", "")))
	c.r.PutBlob("other", []byte("content"))
	return c
}

func TestAuth_ChallengesNameTheScopeNeeded(t *testing.T) {
	c := newTokenClient(t, nil)
	for _, test := range []struct{ method, path, scope string }{
		{"GET", "/v2/", ""},
		{"GET", "/v2/team/app/manifests/v1", `,scope="repository:team/app:pull"`},
		{"HEAD", "/v2/team/app/blobs/" + digestOf("x"), `,scope="repository:team/app:pull"`},
		{"PUT", "/v2/team/app/manifests/v1", `,scope="repository:team/app:pull,push"`},
		{"POST", "/v2/team/app/blobs/uploads/", `,scope="repository:team/app:pull,push"`},
		{"DELETE", "/v2/team/app/manifests/v1", `,scope="repository:team/app:pull,push"`},
	} {
		a := c.do(401, test.method, test.path, "")
		c.header(a, "WWW-Authenticate", `Bearer realm="http://`+c.host+`/token",service="registrytest"`+test.scope)
	}
	c.refused(401, "UNAUTHORIZED", "GET", "/v2/team/app/manifests/v1", "")
}

func TestAuth_TokensAreBoundToRepositoryAndAction(t *testing.T) {
	c := newTokenClient(t, nil)
	pull := "Bearer " + c.token(alice, "repository:team/app:pull")
	push := "Bearer " + c.token(alice, "repository:team/app:pull,push")
	c.do(200, "GET", "/v2/", "", "Authorization", pull)
	c.do(200, "GET", "/v2/team/app/manifests/v1", "", "Authorization", pull)
	a := c.do(401, "PUT", "/v2/team/app/manifests/v1", "{}", "Authorization", pull)
	c.header(a, "WWW-Authenticate", `Bearer realm="http://`+c.host+`/token",service="registrytest",scope="repository:team/app:pull,push",error="insufficient_scope"`)
	c.do(401, "GET", "/v2/other/tags/list", "", "Authorization", pull)
	c.do(201, "PUT", "/v2/team/app/manifests/v2", manifestOf("two", ""), "Authorization", push, "Content-Type", ociManifest)
	c.do(401, "GET", "/v2/team/app/manifests/v1", "", "Authorization", "Bearer guess")
	c.do(401, "GET", "/v2/team/app/manifests/v1", "", "Authorization", alice)
}

func TestAuth_SeveralScopesInOneToken(t *testing.T) {
	c := newTokenClient(t, nil)
	for _, scopes := range [][]string{
		{"repository:team/app:pull", "repository:other:pull"},
		{"repository:team/app:pull repository:other:pull registry:catalog:*"},
	} {
		c.r.ResetRequests()
		token := "Bearer " + c.token(alice, scopes...)
		c.do(200, "GET", "/v2/team/app/tags/list", "", "Authorization", token)
		c.do(200, "GET", "/v2/other/tags/list", "", "Authorization", token)
		if got := c.r.TokenScopes(); !slices.Equal(got[:2], []string{"repository:team/app:pull", "repository:other:pull"}) {
			t.Errorf("scopes asked for: %q", got)
		}
	}
}

func TestAuth_WrongCredentialsGetNoToken(t *testing.T) {
	c := newTokenClient(t, nil)
	for _, credentials := range []string{"", mallory, "Bearer x", "Basic !"} {
		c.refused(401, "UNAUTHORIZED", "GET", "/token?scope=repository:team/app:pull", "", header(credentials)...)
	}
}

func TestAuth_AnonymousTokensPullAlone(t *testing.T) {
	c := newTokenClient(t, func(a *registrytest.TokenAuth) { a.AnonymousPull = true })
	token := "Bearer " + c.token("", "repository:team/app:pull,push")
	c.do(200, "GET", "/v2/team/app/manifests/v1", "", "Authorization", token)
	c.do(401, "PUT", "/v2/team/app/manifests/v1", "{}", "Authorization", token)
	c.refused(401, "UNAUTHORIZED", "GET", "/token?scope=repository:team/app:pull", "", header(mallory)...)
}

func TestAuth_PasswordGrant(t *testing.T) {
	c := newTokenClient(t, nil)
	form := url.Values{
		"grant_type": {"password"}, "username": {"alice"}, "password": {"secret"}, "client_id": {"test"},
		"service": {"registrytest"}, "scope": {"repository:team/app:pull"},
	}
	const urlencoded = "application/x-www-form-urlencoded"
	token := c.tokenIn(c.do(200, "POST", "/token", form.Encode(), "Content-Type", urlencoded))
	c.do(200, "GET", "/v2/team/app/tags/list", "", "Authorization", "Bearer "+token)
	if got := c.r.TokenScopes(); !slices.Equal(got, []string{"repository:team/app:pull"}) {
		t.Errorf("scopes asked for: %q", got)
	}
	form.Set("password", "guess")
	c.do(401, "POST", "/token", form.Encode(), "Content-Type", urlencoded)
}

func TestAuth_AllowDecides(t *testing.T) {
	c := newTokenClient(t, func(a *registrytest.TokenAuth) {
		a.Allow = func(user, repo, action string) bool { return user == "alice" && repo == "team/app" && action == "pull" }
	})
	token := "Bearer " + c.token(alice, "repository:team/app:pull,push", "repository:other:pull")
	c.do(200, "GET", "/v2/team/app/tags/list", "", "Authorization", token)
	c.do(401, "PUT", "/v2/team/app/manifests/v1", "{}", "Authorization", token)
	c.do(401, "GET", "/v2/other/tags/list", "", "Authorization", token)
}

func TestAuth_TokensEnd(t *testing.T) {
	c := newTokenClient(t, func(a *registrytest.TokenAuth) { a.Lifetime = time.Nanosecond })
	token := "Bearer " + c.token(alice, "repository:team/app:pull")
	c.do(401, "GET", "/v2/team/app/tags/list", "", "Authorization", token)

	c = newTokenClient(t, nil)
	token = "Bearer " + c.token(alice, "repository:team/app:pull")
	c.do(200, "GET", "/v2/team/app/tags/list", "", "Authorization", token)
	c.r.RevokeTokens()
	c.do(401, "GET", "/v2/team/app/tags/list", "", "Authorization", token)
}

func TestAuth_MountsNeedTheRightToPullFromTheOther(t *testing.T) {
	c := newTokenClient(t, nil)
	mount := "/v2/team/app/blobs/uploads/?from=other&mount=" + digestOf("content")
	push := "repository:team/app:pull,push"
	c.do(202, "POST", mount, "", "Authorization", "Bearer "+c.token(alice, push))
	c.do(201, "POST", mount, "", "Authorization", "Bearer "+c.token(alice, push, "repository:other:pull"))
}

func TestAuth_RealmAndServiceAsSet(t *testing.T) {
	c := newTokenClient(t, func(a *registrytest.TokenAuth) {
		a.Realm, a.Service, a.Path = "https://evil.example/token", "evil", "/auth/token"
	})
	c.header(c.do(401, "GET", "/v2/", ""), "WWW-Authenticate", `Bearer realm="https://evil.example/token",service="evil"`)
	c.do(200, "GET", "/auth/token", "", "Authorization", alice)
}

func TestAuth_Basic(t *testing.T) {
	c := newClient(t, registrytest.Options{BasicUsers: map[string]string{"alice": "secret", "": ""}})
	for _, credentials := range []string{"", mallory, "Basic Og=="} {
		c.header(c.do(401, "GET", "/v2/", "", header(credentials)...), "WWW-Authenticate", `Basic realm="registrytest"`)
	}
	c.do(200, "GET", "/v2/", "", header(alice)...)
}

func TestAuth_RealmIsHTTPSWhereTheRegistryIs(t *testing.T) {
	c := newTokenClient(t, nil)
	server := httptest.NewTLSServer(c.r)
	defer server.Close()
	c.http = server.Client()
	a := c.do(401, "GET", server.URL+"/v2/", "")
	c.header(a, "WWW-Authenticate", `Bearer realm="`+server.URL+`/token",service="registrytest"`)
}

func TestAuth_TokensAreBounded(t *testing.T) {
	r := registrytest.New(registrytest.Options{Auth: &registrytest.TokenAuth{AnonymousPull: true}})
	ask := func() int {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest("GET", "/token", nil))
		return w.Code
	}
	for range 10_000 {
		if status := ask(); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	if status := ask(); status != 429 {
		t.Errorf("status %d, want 429", status)
	}
	r.RevokeTokens()
	if status := ask(); status != 200 {
		t.Errorf("status %d after the tokens were revoked", status)
	}
}
