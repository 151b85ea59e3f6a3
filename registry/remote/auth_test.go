package remote_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func TestTokensAreFetchedOncePerRepositoryWithCredentials(t *testing.T) {
	auth := &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}
	h := host(t, registrytest.Options{Auth: auth}, remote.Options{Keychain: credentials{user: "me", password: "secret"}})
	ctx := context.Background()
	var wg sync.WaitGroup
	if _, err := h.client.Resolve(ctx, h.tag); err != nil {
		t.Fatal(err)
	}
	if n := len(h.Requests()); n != 3 {
		t.Errorf("the first read took %d requests, want 3", n)
	}
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := h.client.Manifest(ctx, h.tag); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if n := len(h.Requests()); n != 23 {
		t.Errorf("20 more reads took %d requests", n-3)
	}
	h.ResetRequests()
	other := h.repo.Registry.Repo("team", "other")
	if _, err := h.client.Resolve(ctx, other.Tag("v1")); !errors.Is(err, registry.ErrNotFound) {
		t.Fatal(err)
	}
	if n := len(h.Requests()); n != 2 {
		t.Errorf("another repository took %d requests, want 2: the challenge is known", n)
	}
	if got := h.TokenScopes(); fmt.Sprint(got) != "[repository:team/other:pull]" {
		t.Errorf("scopes %v", got)
	}
}

func TestARevokedTokenIsFetchedAgain(t *testing.T) {
	auth := &registrytest.TokenAuth{AnonymousPull: true}
	h := host(t, registrytest.Options{Auth: auth}, remote.Options{})
	for range 2 {
		if _, err := h.client.Resolve(context.Background(), h.tag); err != nil {
			t.Fatal(err)
		}
		h.RevokeTokens()
	}
}

func TestWrongCredentialsAreTypedErrorsWithoutSecrets(t *testing.T) {
	for name, ro := range map[string]registrytest.Options{
		"basic": {BasicUsers: map[string]string{"me": "secret"}},
		"token": {Auth: &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}},
	} {
		good := host(t, ro, remote.Options{Keychain: credentials{user: "me", password: "secret"}})
		if _, err := good.client.Resolve(context.Background(), good.tag); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, l := range []credentials{{}, {user: "me", password: "hunter2"}} {
			h := host(t, ro, remote.Options{Keychain: l})
			_, err := h.client.Resolve(context.Background(), h.tag)
			wantError(t, name, err, registry.ErrUnauthorized)
			if l.password != "" && strings.Contains(fmt.Sprint(err), l.password) {
				t.Errorf("%s: the password stands in %v", name, err)
			}
		}
	}
}

func TestConcurrentTokenWaitersOutliveTheFirst(t *testing.T) {
	auth := &registrytest.TokenAuth{AnonymousPull: true}
	h := host(t, registrytest.Options{Auth: auth}, remote.Options{})
	h.Inject(registrytest.Fault{Kind: registrytest.KindToken, Do: registrytest.Delay(100 * time.Millisecond)})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	first := make(chan error)
	go func() { _, err := h.client.Resolve(ctx, h.tag); first <- err }()
	if _, err := h.client.Resolve(context.Background(), h.tag); err != nil {
		t.Error(err)
	}
	if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the first: %v", err)
	}
}

func TestAttack_R4_CredentialsGoOnlyToTheOwnTokenService(t *testing.T) {
	for name, c := range map[string]struct {
		host, realm string
		options     remote.Options
		kind        registry.Kind
		credentials bool
	}{
		"relative":         {"registry.example", "/token", remote.Options{}, registry.ErrNotFound, true},
		"without a scheme": {"registry.example", "//evil.test/token", remote.Options{}, registry.ErrNotFound, false},
		"own host":         {"registry.example", "https://registry.example/token", remote.Options{}, registry.ErrNotFound, true},
		"parent domain":    {"registry.example", "https://example.com/token", remote.Options{}, registry.ErrNotFound, false},
		"foreign":          {"registry.example", "https://evil.test/token", remote.Options{}, registry.ErrNotFound, false},
		"named":            {"registry.example", "https://sso.test/token", remote.Options{TokenRealms: map[string][]string{"registry.example": {"sso.test"}}}, registry.ErrNotFound, true},
		"plain HTTP":       {"registry.example", "http://registry.example/token", remote.Options{}, registry.ErrInsecure, false},
		"private address":  {"registry.example", "https://10.0.0.1/token", remote.Options{}, registry.ErrInsecure, false},
		"below the API":    {"registry.example", "token", remote.Options{}, registry.ErrNotFound, true},
		"no URL":           {"registry.example", "https://", remote.Options{}, registry.ErrUnauthorized, false},
		"no path":          {"registry.example", "?service=s", remote.Options{}, registry.ErrUnauthorized, false},
		"with credentials": {"registry.example", "https://a:b@registry.example/token", remote.Options{}, registry.ErrUnauthorized, false},
	} {
		t.Run(name, func(t *testing.T) {
			var auth, scope string
			tokens := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				auth, scope = r.Header.Get("Authorization"), r.URL.Query().Get("scope")
				_, _ = io.WriteString(w, `{"token":"good"}`)
			})
			net := onInternet{}
			for _, h := range []string{"https://evil.test", "https://sso.test", "https://example.com"} {
				net[h] = tokens
			}
			mux := http.NewServeMux()
			mux.Handle("/token", tokens)
			mux.Handle("/v2/token", tokens)
			mux.Handle("/", challenging(`Bearer realm="`+c.realm+`",service="s",scope="repository:team/app:pull,push,delete registry:catalog:*"`))
			net["https://"+c.host] = mux
			client, tag := public(t, c.options, net)
			_, err := client.Manifest(context.Background(), tag)
			wantError(t, name, err, c.kind)
			if (auth != "") != c.credentials {
				t.Errorf("the token service got %q", auth)
			}
			if c.kind == registry.ErrNotFound && scope != "repository:team/app:pull" {
				t.Errorf("asked for the scope %q", scope)
			}
		})
	}
}

// A person must learn which registry it was, and why logging in again does not help.
func TestATokenServiceElsewhereIsNamedInTheError(t *testing.T) {
	refusing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	for realm, want := range map[string]string{"https://sso.test/token": "sso.test is another host", "https://registry.example:5000/token": ""} {
		net := onInternet{"https://sso.test": refusing, "https://registry.example": challenging(`Bearer realm="` + realm + `",service="s"`), "https://registry.example:5000": refusing}
		client, tag := public(t, remote.Options{}, net)
		_, err := client.Manifest(context.Background(), tag)
		e := wantError(t, realm, err, registry.ErrUnauthorized)
		if e.Host != "registry.example" || !strings.Contains(e.Detail, want) || want == "" && strings.Contains(e.Detail, "another host") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: host %q, %v", realm, e.Host, err)
		}
	}
}

func TestIdentityTokensAreExchanged(t *testing.T) {
	var form string
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form = r.Method + " " + string(body)
		_, _ = io.WriteString(w, `{"access_token":"good","expires_in":1}`)
	})
	mux.Handle("/", challenging(`Bearer realm="https://registry.example/token",service="s"`))
	client, tag := public(t, remote.Options{Keychain: credentials{identity: "refresh"}}, onInternet{"https://registry.example": mux})
	_, err := client.Manifest(context.Background(), tag)
	wantError(t, "with an identity token", err, registry.ErrNotFound)
	if !strings.HasPrefix(form, "POST ") || !strings.Contains(form, "refresh_token=refresh") || !strings.Contains(form, "grant_type=refresh_token") {
		t.Errorf("the token service got %q", form)
	}
	client, tag = public(t, remote.Options{Keychain: credentials{bearer: "good"}}, onInternet{"https://registry.example": mux})
	_, err = client.Manifest(context.Background(), tag)
	wantError(t, "with a registry token", err, registry.ErrNotFound)
}

// asked counts how often a keychain is asked, and gives it time to be asked twice.
type asked struct {
	mu   sync.Mutex
	n    int
	give []credentials // one after the other, the last one again and again
}

func (a *asked) Resolve(r authn.Resource) (authn.Authenticator, error) {
	a.mu.Lock()
	l := a.give[min(a.n, len(a.give)-1)]
	a.n++
	a.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	return l.Resolve(r)
}

func TestTheKeychainIsAskedOnceForARegistry(t *testing.T) {
	auth := &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}
	keychain := &asked{give: []credentials{{user: "me", password: "secret"}}}
	h := host(t, registrytest.Options{Auth: auth}, remote.Options{Keychain: keychain})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			repo := h.repo.Registry.Repo("team", fmt.Sprint("app", i))
			if _, err := h.client.Resolve(context.Background(), repo.Tag("v1")); !errors.Is(err, registry.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keychain.n != 1 {
		t.Errorf("asked %d times", keychain.n)
	}
}

func TestRefusedCredentialsAreAskedForAgain(t *testing.T) {
	for name, ro := range map[string]registrytest.Options{
		"basic": {BasicUsers: map[string]string{"me": "new"}},
		"token": {Auth: &registrytest.TokenAuth{Users: map[string]string{"me": "new"}, AnonymousPull: true, Allow: nobodyPulls}},
	} {
		keychain := &asked{give: []credentials{{}, {user: "me", password: "new"}}}
		h := host(t, ro, remote.Options{Keychain: keychain})
		_, err := h.client.Resolve(context.Background(), h.tag)
		wantError(t, name, err, registry.ErrUnauthorized)
		if _, err := h.client.Resolve(context.Background(), h.tag); err != nil || keychain.n != 2 {
			t.Errorf("%s: after credentials: %v, asked %d times", name, err, keychain.n)
		}
	}
}

func TestCredentialsRefusedByTheTokenServiceAreAskedForAgain(t *testing.T) {
	for status, want := range map[int]registry.Kind{400: registry.ErrUnauthorized, 401: registry.ErrUnauthorized, 403: registry.ErrDenied} {
		name := fmt.Sprint(status)
		keychain := &asked{give: []credentials{{user: "me", password: "expired"}, {user: "me", password: "new"}}}
		h := host(t, registrytest.Options{Auth: &registrytest.TokenAuth{Users: map[string]string{"me": "new"}}}, remote.Options{Keychain: keychain})
		h.Inject(registrytest.Fault{Kind: registrytest.KindToken, Times: 1, Do: registrytest.Status(status)})
		_, err := h.client.Resolve(context.Background(), h.tag)
		wantError(t, name, err, want)
		if _, err := h.client.Resolve(context.Background(), h.tag); err != nil {
			t.Errorf("%s: the keychain has good credentials, it was asked %d times: %v", name, keychain.n, err)
		}
	}
}

func TestATokenServiceThatFailsForAMomentIsAskedAgain(t *testing.T) {
	h := host(t, registrytest.Options{Auth: &registrytest.TokenAuth{AnonymousPull: true}}, remote.Options{MaxAttempts: 3})
	h.Inject(registrytest.Fault{Kind: registrytest.KindToken, Times: 2, Do: registrytest.Status(503)})
	if _, err := h.client.Resolve(context.Background(), h.tag); err != nil {
		t.Error(err)
	}
	h.RevokeTokens()
	h.ResetRequests()
	h.Inject(registrytest.Fault{Kind: registrytest.KindToken, Do: registrytest.Status(503)})
	_, err := h.client.Resolve(context.Background(), h.tag)
	if e := wantError(t, "always", err, registry.ErrUnavailable); e != nil && e.Status != 503 || errors.Is(err, context.Canceled) {
		t.Errorf("always: %v, want what the token service has said", err)
	}
	asked := 0
	for _, q := range h.Requests() {
		if q.Kind == registrytest.KindToken {
			asked++
		}
	}
	if asked != 3 {
		t.Errorf("it was asked %d times, want as often as any other", asked)
	}
}

// nobodyPulls lets only those who are logged in pull.
func nobodyPulls(user, _, _ string) bool { return user != "" }

type brokenKeychain struct{ err error }

func (b brokenKeychain) Resolve(authn.Resource) (authn.Authenticator, error) { return nil, b.err }

func TestAKeychainThatFailsOrIsEmptyIsNoCrash(t *testing.T) {
	helper := errors.New("no such helper")
	for _, err := range []error{helper, nil} {
		h := host(t, registrytest.Options{BasicUsers: map[string]string{"me": "secret"}}, remote.Options{Keychain: brokenKeychain{err}})
		_, got := h.client.Resolve(context.Background(), h.tag)
		wantError(t, "with no credentials", got, registry.ErrUnauthorized)
		if err != nil && !errors.Is(got, err) {
			t.Errorf("does not say why: %v", got)
		}
	}
}

func TestARevokedTokenIsFetchedOnceForAll(t *testing.T) {
	h := host(t, registrytest.Options{Auth: &registrytest.TokenAuth{AnonymousPull: true}}, remote.Options{})
	if _, err := h.client.Resolve(context.Background(), h.tag); err != nil {
		t.Fatal(err)
	}
	h.RevokeTokens()
	h.ResetRequests()
	// The first request's refusal comes after another has fetched a new token.
	renewed := make(chan struct{})
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Times: 1, Do: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-renewed; next.ServeHTTP(w, r) })
	}})
	late := make(chan error)
	go func() { _, err := h.client.Resolve(context.Background(), h.tag); late <- err }()
	for len(h.Requests()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.client.Resolve(context.Background(), h.tag); err != nil {
		t.Fatal(err)
	}
	close(renewed)
	if err := <-late; err != nil {
		t.Fatal(err)
	}
	if n := len(h.TokenScopes()); n != 1 {
		t.Errorf("%d tokens were fetched", n)
	}
}

// perRepository is a registry with a token service for each repository.
func perRepository(asked *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if repo, ok := strings.CutPrefix(r.URL.Path, "/token/"); ok {
			_, _ = fmt.Fprintf(w, `{"token":%q}`, repo)
			return
		}
		repo := strings.Split(r.URL.Path, "/")[2]
		if r.Header.Get("Authorization") == "Bearer "+repo {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://registry.example/token/%s"`, repo))
		w.WriteHeader(http.StatusUnauthorized)
	})
}

func TestRepositoriesMayHaveTokenServicesOfTheirOwn(t *testing.T) {
	var n atomic.Int64
	client, tag := public(t, remote.Options{}, onInternet{"https://registry.example": perRepository(&n)})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			_, err := client.Manifest(context.Background(), tag.Registry.Repo(string(rune('a'+i%4))).Tag("v1"))
			wantError(t, "at first", err, registry.ErrNotFound)
		})
	}
	wg.Wait()
	n.Store(0)
	for i := range 8 {
		_, err := client.Manifest(context.Background(), tag.Registry.Repo(string(rune('a'+i%4))).Tag("v1"))
		wantError(t, "by turns", err, registry.ErrNotFound)
	}
	if n.Load() != 8 {
		t.Errorf("8 reads took %d requests", n.Load())
	}
}

func TestChallengesAreReadInEveryForm(t *testing.T) {
	for header, want := range map[string]string{
		`Basic realm="x"`:                               "Basic",
		`basic REALM = "x"`:                             "Basic",
		`Negotiate, Basic realm="x"`:                    "Basic",
		`Negotiate abc==, Basic realm="x"`:              "Basic",
		`Negotiate YWJj=`:                               "",
		`Digest realm="a",nonce="b=c", Basic realm="x"`: "Basic",
		`Basic realm="a, Bearer realm=\"https://registry.example/no\""`:                "Basic",
		`Basic realm="x", BEARER Realm="https://registry.example/token",service="a,b"`: "Bearer",
		`Bearer realm=https://registry.example/token`:                                  "Bearer",
		`Bearer realm="https://registry.example/token`:                                 "",
		`Bearer`: "", `,,,`: "", `="x"`: "", ``: "",
	} {
		got := ""
		mux := http.NewServeMux()
		mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"token":"good"}`) })
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			if got = r.Header.Get("Authorization"); got != "" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("WWW-Authenticate", header)
			w.WriteHeader(http.StatusUnauthorized)
		})
		client, tag := public(t, remote.Options{}, onInternet{"https://registry.example": mux})
		_, err := client.Manifest(context.Background(), tag)
		if scheme, _, _ := strings.Cut(got, " "); scheme != want {
			t.Errorf("%s: answered with %q, want %q; %v", header, scheme, want, err)
		}
	}
}

func TestAttack_R4_AddressesAndTopLevelDomainsAreNoParents(t *testing.T) {
	for at, c := range map[string]struct {
		realm       string
		credentials bool
	}{
		"registry.gitlab.example": {"gitlab.example", true},
		"index.docker.io":         {"auth.docker.io", true},
		"registry.docker.io":      {"auth.docker.io", false},
		"registry.example":        {"example", false},
		"evilexample.test":        {"example.test", false},
		"192.0.2.1":               {"2.1", false},
		"gitlab.example":          {"registry.gitlab.example", false},
	} {
		reached, got := false, ""
		client, _ := public(t, remote.Options{}, onInternet{
			"https://" + at: challenging(`Bearer realm="https://` + c.realm + `/token"`),
			"https://" + c.realm: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached, got = true, r.Header.Get("Authorization")
				_, _ = io.WriteString(w, `{"token":"good"}`)
			}),
		})
		_, err := client.Manifest(context.Background(), parse(t, at+"/team/app:v1"))
		if (got != "") != c.credentials || c.credentials && !reached {
			t.Errorf("%s, whose realm is %s: it got %q; %v", at, c.realm, got, err)
		}
	}
}

func TestAttack_R4_ARealmDoesNotWidenTheScope(t *testing.T) {
	for what, l := range map[string]credentials{"password": {user: "me", password: "secret"}, "identity token": {identity: "refresh"}} {
		var scopes []string
		mux := http.NewServeMux()
		mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			scopes = r.Form["scope"]
			if r.Form.Get("account") != "kept" || r.Form.Get("service") != "s" {
				t.Errorf("%s: asked for %v", what, r.Form)
			}
			_, _ = io.WriteString(w, `{"token":"good"}`)
		})
		mux.Handle("/", challenging(`Bearer realm="https://registry.example/token?scope=repository:team/app:delete&account=kept",service="s"`))
		client, tag := public(t, remote.Options{Keychain: l}, onInternet{"https://registry.example": mux})
		_, err := client.Manifest(context.Background(), tag)
		if wantError(t, what, err, registry.ErrNotFound); fmt.Sprint(scopes) != "[repository:team/app:pull]" {
			t.Errorf("%s: asked for %q", what, scopes)
		}
		_, _ = client.MountBlob(context.Background(), tag.Digest("sha256:"+strings.Repeat("0", 64)), tag.Registry.Repo("other"))
		if all := strings.Join(scopes, " "); all != "repository:team/app:pull,push repository:other:pull" {
			t.Errorf("%s: asked for %q to mount", what, scopes)
		}
		// A form has one scope; of several, token services read the first.
		if l.identity != "" && len(scopes) != 1 {
			t.Errorf("%s: %d scopes in a form", what, len(scopes))
		}
	}
}

func TestAttack_R4_ChallengesOfOtherHostsAreNotTheRegistrys(t *testing.T) {
	var got []string
	client, tag := public(t, remote.Options{}, onInternet{
		"https://registry.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Authorization"))
			redirecting("https://cdn.test/x").ServeHTTP(w, r)
		}),
		"https://cdn.test": challenging("Basic"),
	})
	_, err := client.Manifest(context.Background(), tag)
	if wantError(t, "a challenge after a redirect", err, registry.ErrUnauthorized); strings.Join(got, "") != "" {
		t.Errorf("the registry got %q", got)
	}
}

// A client with other credentials has its own tokens, and the connections of the first.
func TestClientWithAnotherKeychainSharesOnlyConnections(t *testing.T) {
	auth := &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}
	opened := &counting{}
	h := host(t, registrytest.Options{Auth: auth}, remote.Options{Keychain: credentials{user: "me", password: "secret"}, InsecureTransport: opened})
	if _, err := h.client.Resolve(t.Context(), h.tag); err != nil {
		t.Fatal(err)
	}
	sent := opened.requests.Load()
	stranger := h.client.WithKeychain(credentials{})
	if _, err := stranger.Resolve(t.Context(), h.tag); !errors.Is(err, registry.ErrUnauthorized) {
		t.Errorf("a stranger: %v", err)
	}
	if opened.requests.Load() == sent {
		t.Error("the transport is another one")
	}
	if _, err := h.client.WithKeychain(credentials{user: "me", password: "secret"}).Resolve(t.Context(), h.tag); err != nil {
		t.Error(err)
	}
}

type counting struct{ requests atomic.Int64 }

func (c *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return http.DefaultTransport.RoundTrip(req)
}

func TestATokenThatIsNoneOpensNothing(t *testing.T) {
	for what, answer := range map[string]string{
		"a web page":         "<html>",
		"no object":          `"good"`,
		"nothing in it":      `{}`,
		"empty":              `{"token":"","access_token":""}`,
		"a number":           `{"token":7}`,
		"two tokens":         `{"token":"good","token":"bad"}`,
		"of several lines":   `{"token":"good\r\nX-Injected: 1"}`,
		"of a line":          `{"access_token":"good\n"}`,
		"with a NUL":         `{"token":"good\u0000"}`,
		"under another name": `{"Token":"good"}`,
	} {
		asked := 0
		mux := http.NewServeMux()
		mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) { asked++; _, _ = io.WriteString(w, answer) })
		mux.Handle("/", challenging(`Bearer realm="https://registry.example/token"`))
		client, tag := public(t, remote.Options{}, onInternet{"https://registry.example": mux})
		_, err := client.Manifest(t.Context(), tag)
		if e := wantError(t, what, err, registry.ErrUnauthorized); strings.Contains(e.Error(), "good") || asked != 1 {
			t.Errorf("%s: asked %d times; %v", what, asked, err)
		}
	}
}

// given is a keychain of one authenticator.
type given struct{ authn.Authenticator }

func (g given) Resolve(authn.Resource) (authn.Authenticator, error) { return g, nil }

// failing is an authenticator that fails, or has nothing.
type failing struct{ err error }

func (f failing) Authorization() (*authn.AuthConfig, error) { return nil, f.err }

func TestWhatAnAuthenticatorGivesIsSentAsItIs(t *testing.T) {
	ready := base64.StdEncoding.EncodeToString([]byte("me:secret"))
	for what, c := range map[string]struct {
		authn.Authenticator
		want registry.Kind
	}{
		"credentials that are encoded already": {authn.FromConfig(authn.AuthConfig{Auth: ready}), ""},
		"another one":                          {authn.FromConfig(authn.AuthConfig{Auth: "bWU6b3RoZXI="}), registry.ErrUnauthorized},
		"nothing":                              {failing{}, registry.ErrUnauthorized},
		"an error":                             {failing{io.ErrClosedPipe}, registry.ErrUnauthorized},
	} {
		h := host(t, registrytest.Options{BasicUsers: map[string]string{"me": "secret"}}, remote.Options{Keychain: given{c.Authenticator}})
		_, err := h.client.Resolve(t.Context(), h.tag)
		if c.want == "" {
			must(t, err)
			continue
		}
		wantError(t, what, err, c.want)
		if f, ok := c.Authenticator.(failing); ok && f.err != nil && !errors.Is(err, f.err) {
			t.Errorf("%s: does not say why: %v", what, err)
		}
	}
}

func TestARemovalAsksForTheRightToDeleteAlone(t *testing.T) {
	auth := &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}
	h := host(t, registrytest.Options{Auth: auth}, remote.Options{Keychain: credentials{user: "me", password: "secret"}})
	// The registry takes a right to push instead: what counts is what was asked for.
	_ = h.client.RemoveManifest(t.Context(), h.image)
	if got := h.TokenScopes(); len(got) == 0 || got[0] != "repository:team/app:delete" {
		t.Errorf("scopes %q", got)
	}
}
