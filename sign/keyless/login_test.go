package keyless_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/sign/keyless"
)

// idp is an identity provider whose people log in at once.
type idp struct {
	*testing.T
	URL string
	mu  sync.Mutex
	// challenge and nonce are those of the login under way.
	challenge, nonce string
	// claims are changed in the token, endpoints in what the provider says of itself.
	claims    func(map[string]any)
	endpoints func(map[string]any)
	pending   []string // what the token endpoint answers before it gives the token
}

func newIDP(t *testing.T) *idp {
	i := &idp{T: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		said := map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token", "device_authorization_endpoint": i.URL + "/device"}
		if i.endpoints != nil {
			i.endpoints(said)
		}
		w.Write(marshal(t, said))
	})
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		i.begin(r.PostFormValue("code_challenge"), "")
		w.Write(marshal(t, map[string]any{"device_code": "device-code-secret", "user_code": "ABCD-EFGH", "verification_uri": i.URL + "/enter", "interval": 5}))
	})
	mux.HandleFunc("POST /empty", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) })
	mux.HandleFunc("POST /token", i.token)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

func (i *idp) begin(challenge, nonce string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.challenge, i.nonce = challenge, nonce
}

func (i *idp) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != i.challenge || r.PostFormValue("client_id") != "sigstore" {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	if len(i.pending) > 0 {
		w.WriteHeader(http.StatusBadRequest)
		w.Write(marshal(i.T, map[string]string{"error": i.pending[0]}))
		i.pending = i.pending[1:]
		return
	}
	claims := map[string]any{"iss": i.URL, "aud": "sigstore", "sub": "jane", "email": "jane@acme.example", "nonce": i.nonce, "exp": time.Now().Add(time.Minute).Unix()}
	if i.claims != nil {
		i.claims(claims)
	}
	raw := base64.RawURLEncoding.EncodeToString
	w.Write(marshal(i.T, map[string]string{"id_token": raw([]byte("{}")) + "." + raw(marshal(i.T, claims)) + "." + raw([]byte("sig"))}))
}

// browse is a person whose browser opens the page, and comes back with a query.
func (i *idp) browse(change func(url.Values)) func(context.Context, keyless.Prompt) error {
	return func(ctx context.Context, p keyless.Prompt) error {
		page, err := url.Parse(p.URL)
		if err != nil {
			return err
		}
		q := page.Query()
		if q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" || !strings.HasPrefix(p.URL, i.URL+"/auth") {
			return fmt.Errorf("the page is %s", p.URL)
		}
		i.begin(q.Get("code_challenge"), q.Get("nonce"))
		back := url.Values{"state": {q.Get("state")}, "code": {"code-secret-1"}}
		if change != nil {
			change(back)
		}
		resp, err := http.Get(q.Get("redirect_uri") + "?" + back.Encode())
		if err != nil {
			return err
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return resp.Body.Close()
	}
}

func TestBrowserLogin(t *testing.T) {
	i := newIDP(t)
	token, err := keyless.BrowserLogin(keyless.LoginOptions{Issuer: i.URL, Show: i.browse(nil)})(t.Context())
	if err != nil || strings.Count(token, ".") != 2 {
		t.Errorf("%q, %v", token, err)
	}
}

func TestAttack_T21_LoginsAreBoundToTheirAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*idp)
		back   func(url.Values)
		want   error
		text   string
	}{
		"another nonce":      {change: func(i *idp) { i.claims = func(c map[string]any) { c["nonce"] = "another" } }, want: keyless.ErrIdentity, text: "another login"},
		"another issuer":     {change: func(i *idp) { i.claims = func(c map[string]any) { c["iss"] = "https://evil.example" } }, want: keyless.ErrIdentity, text: "the login was at"},
		"another audience":   {change: func(i *idp) { i.claims = func(c map[string]any) { c["aud"] = []string{"other"} } }, want: keyless.ErrIdentity, text: "another program"},
		"an expired token":   {change: func(i *idp) { i.claims = func(c map[string]any) { c["exp"] = 1 } }, want: keyless.ErrIdentity, text: "expired"},
		"refused":            {back: func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, want: keyless.ErrIdentity, text: "access_denied"},
		"refused by a token": {change: func(i *idp) { i.pending = []string{"invalid_grant"} }, want: keyless.ErrIdentity, text: "invalid_grant"},
		"another provider":   {change: func(i *idp) { i.endpoints = func(e map[string]any) { e["issuer"] = "https://evil.example" } }, want: keyless.ErrUntrusted, text: "its issuer"},
		"a page by HTTP": {
			change: func(i *idp) {
				i.endpoints = func(e map[string]any) { e["authorization_endpoint"] = "http://evil.example/auth" }
			},
			want: keyless.ErrUntrusted, text: "https is required",
		},
		"tokens by HTTP": {
			change: func(i *idp) {
				i.endpoints = func(e map[string]any) { e["token_endpoint"] = "http://evil.example/token" }
			},
			want: keyless.ErrService, text: "https is required",
		},
	} {
		i := newIDP(t)
		if c.change != nil {
			c.change(i)
		}
		token, err := keyless.BrowserLogin(keyless.LoginOptions{Issuer: i.URL, Show: i.browse(c.back)})(t.Context())
		if token != "" || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "code-secret") {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

func TestAttack_T21_LoginIgnoresAnotherState(t *testing.T) {
	i := newIDP(t)
	evil := i.browse(func(q url.Values) { q.Set("state", "guessed") })
	good := i.browse(nil)
	show := func(ctx context.Context, p keyless.Prompt) error { return errors.Join(evil(ctx, p), good(ctx, p)) }
	if _, err := keyless.BrowserLogin(keyless.LoginOptions{Issuer: i.URL, Show: show})(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := keyless.BrowserLogin(keyless.LoginOptions{Issuer: i.URL, Show: evil})(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestLogins_WantWhatTheyNeed(t *testing.T) {
	i := newIDP(t)
	i.endpoints = func(e map[string]any) { delete(e, "device_authorization_endpoint") }
	show := func(context.Context, keyless.Prompt) error { return errors.New("no terminal") }
	for text, source := range map[string]keyless.TokenSource{
		"Show is nil":             keyless.BrowserLogin(keyless.LoginOptions{Issuer: i.URL}),
		"not an address on":       keyless.BrowserLogin(keyless.LoginOptions{Issuer: i.URL, Show: show, Listen: "0.0.0.0:0"}),
		"no terminal":             keyless.BrowserLogin(keyless.LoginOptions{Issuer: i.URL, Show: show}),
		"no login on another":     keyless.DeviceLogin(keyless.LoginOptions{Issuer: i.URL, Show: show}),
		"malformed JSON":          keyless.DeviceLogin(keyless.LoginOptions{Show: show}),
		"https is required":       keyless.DeviceLogin(keyless.LoginOptions{Issuer: "http://idp.example", Show: show}),
		"identity provider in oi": keyless.DeviceLogin(keyless.LoginOptions{SigningConfig: []byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}`), Show: show}),
	} {
		if token, err := source(t.Context()); err == nil || token != "" || !strings.Contains(err.Error(), text) {
			t.Errorf("%q, %v; want ...%s...", token, err, text)
		}
	}
}

func TestDeviceLogin(t *testing.T) {
	for name, c := range map[string]struct {
		pending []string
		text    string // of the error; empty: none
		waits   []time.Duration
	}{
		"at once":   {nil, "", []time.Duration{5 * time.Second}},
		"later":     {[]string{"authorization_pending", "slow_down", "authorization_pending"}, "", []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 10 * time.Second}},
		"denied":    {[]string{"access_denied"}, "access_denied", []time.Duration{5 * time.Second}},
		"too late":  {[]string{"authorization_pending", "expired_token"}, "expired_token", []time.Duration{5 * time.Second, 5 * time.Second}},
		"cancelled": {[]string{"authorization_pending"}, "context canceled", nil},
	} {
		i := newIDP(t)
		i.pending = c.pending
		var shown keyless.Prompt
		show := func(_ context.Context, p keyless.Prompt) error {
			shown = p
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waits []time.Duration
		o := keyless.LoginOptions{Issuer: i.URL, Show: show}
		token, err := keyless.DeviceLoginWaiting(o, func(ctx context.Context, d time.Duration) error {
			if name == "cancelled" {
				cancel()
				return ctx.Err()
			}
			waits = append(waits, d)
			return nil
		})(ctx)
		cancel()
		if c.text == "" && (err != nil || token == "") || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) || fmt.Sprint(waits) != fmt.Sprint(c.waits) {
			t.Errorf("%s: %q, %v, waits %v", name, token, err, waits)
		}
		if shown.Code != "ABCD-EFGH" || shown.URL != i.URL+"/enter" {
			t.Errorf("%+v", shown)
		}
	}
}
