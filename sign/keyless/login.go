package keyless

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/internal/safetext"
)

// loginTimeout bounds how long a person may take.
const loginTimeout = 5 * time.Minute

// LoginOptions say where a person logs in.
type LoginOptions struct {
	// Issuer is the URL of the identity provider. Empty: that of SigningConfig.
	Issuer string
	// SigningConfig is the text of a signing configuration, for its oidcUrls. Nil: Issuer is
	// required.
	SigningConfig []byte
	// ClientID is the name of this program at the provider. Empty: "sigstore".
	ClientID string
	// Show tells the person what to do: open the page in a browser and, with DeviceLogin,
	// enter the code there. An error ends the login. Required.
	Show func(ctx context.Context, p Prompt) error
	// Listen is the address on loopback at which BrowserLogin waits for the browser.
	// Empty: "localhost:0".
	Listen string
	// Transport sends requests. Nil: one that uses the proxy of the environment.
	Transport http.RoundTripper
	// Now returns the time. Nil: time.Now.
	Now func() time.Time
}

// Prompt is what a person is told.
type Prompt struct {
	// URL is the page to open.
	URL string
	// Code is to be compared, or entered, there. Empty: BrowserLogin needs none.
	Code string
}

// login is one that is under way.
type login struct {
	LoginOptions
	client    *client
	endpoints wireProvider
	verifier  string
}

// wireProvider is what a provider says of itself (OpenID Connect Discovery 1.0).
type wireProvider struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Device        string `json:"device_authorization_endpoint"`
}

// wireToken is the answer of a token endpoint (RFC 6749, section 5).
type wireToken struct {
	IDToken string `json:"id_token"`
	Error   string `json:"error"`
}

// BrowserLogin returns the token of a person who logs in by a browser on this machine:
// the authorization code flow with PKCE, state and nonce. The provider sends the browser
// back to a listener on loopback. A login takes at most 5 minutes.
func BrowserLogin(o LoginOptions) TokenSource { return loginBy((*login).browser, o) }

// DeviceLogin returns the token of a person who logs in on another device, by a code
// (RFC 8628, with PKCE). A login takes at most 5 minutes.
func DeviceLogin(o LoginOptions) TokenSource { return loginBy((*login).device, o) }

func loginBy(way func(*login, context.Context) (string, error), o LoginOptions) TokenSource {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, loginTimeout)
		defer cancel()
		l, err := newLogin(ctx, o)
		if err != nil {
			return "", err
		}
		return way(l, ctx)
	}
}

// newLogin asks the provider for its endpoints.
func newLogin(ctx context.Context, o LoginOptions) (*login, error) {
	if o.Show == nil {
		return nil, fmt.Errorf("%w: LoginOptions.Show is nil", ErrIdentity)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ClientID == "" {
		o.ClientID = DefaultAudience
	}
	if o.Issuer == "" {
		c, err := parseConfig(o.SigningConfig)
		if err != nil {
			return nil, err
		}
		found := newest(c.oidc, o.Now(), 1)
		if len(found) == 0 {
			return nil, fmt.Errorf("%w: no identity provider in oidcUrls is valid now", ErrConfig)
		}
		o.Issuer = found[0].url
	}
	l := &login{LoginOptions: o, client: newClient(o.Transport), verifier: random()}
	at := strings.TrimSuffix(o.Issuer, "/") + "/.well-known/openid-configuration"
	a, err := l.client.do(ctx, call{service: provider, method: http.MethodGet, url: at, header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return nil, err
	}
	if err := a.decode(&l.endpoints); err != nil {
		return nil, badAnswer(provider, at, err)
	}
	if strings.TrimSuffix(l.endpoints.Issuer, "/") != strings.TrimSuffix(o.Issuer, "/") {
		return nil, badAnswer(provider, at, fmt.Errorf("its issuer is %.200q", l.endpoints.Issuer))
	}
	return l, nil
}

// random is text that cannot be guessed.
func random() string { return rand.Text() + rand.Text() }

// challenge is what the verifier is compared with in the end (RFC 7636, section 4.2).
func (l *login) challenge() string {
	sum := sha256.Sum256([]byte(l.verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// page is an endpoint that a person's browser opens.
func (l *login) page(endpoint string, query url.Values) (string, error) {
	u, err := url.Parse(endpoint)
	if err == nil {
		err = secure(u)
	}
	if err != nil {
		return "", badAnswer(provider, l.Issuer, fmt.Errorf("%s: %w", safetext.Of(endpoint, 200), err))
	}
	all := u.Query()
	for name, values := range query {
		all[name] = values
	}
	u.RawQuery = all.Encode()
	return u.String(), nil
}

// returned is what the browser comes back with.
type returned struct {
	code string
	err  error
}

const callback = "/auth/callback"

func (l *login) browser(ctx context.Context) (string, error) {
	address := l.Listen
	if address == "" {
		address = "localhost:0"
	}
	if host, _, err := net.SplitHostPort(address); err != nil || !netguard.IsLoopback(host) {
		return "", fmt.Errorf("%w: LoginOptions.Listen %.100q is not an address on loopback", ErrIdentity, address)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return "", err
	}
	state, nonce, back := random(), random(), "http://localhost:"+port+callback
	done := make(chan returned, 1)
	server := &http.Server{Handler: l.waiting(state, done), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	go server.Serve(listener) // until Close
	defer server.Close()
	page, err := l.page(l.endpoints.Authorization, url.Values{
		"response_type": {"code"}, "client_id": {l.ClientID}, "redirect_uri": {back}, "scope": {"openid email"},
		"state": {state}, "nonce": {nonce}, "code_challenge": {l.challenge()}, "code_challenge_method": {"S256"},
	})
	if err != nil {
		return "", err
	}
	if err := l.Show(ctx, Prompt{URL: page}); err != nil {
		return "", fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	var came returned
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("%w: waiting for the browser: %w", ErrIdentity, ctx.Err())
	case came = <-done:
	}
	if came.err != nil {
		return "", came.err
	}
	w, err := l.token(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {came.code}, "redirect_uri": {back}})
	if err != nil {
		return "", err
	}
	if w.Error != "" {
		return "", refusal(w.Error)
	}
	return l.checked(w.IDToken, nonce)
}

// refusal is a provider's answer that gives no token.
func refusal(text string) error {
	return fmt.Errorf("%w: the provider refuses: %s", ErrIdentity, safetext.Of(text, 100))
}

// waiting handles the browser's return, once. Requests with another state are refused,
// and do not end the wait: another page may have sent them.
func (l *login) waiting(state string, done chan<- returned) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if r.Method != http.MethodGet || r.URL.Path != callback || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(state)) != 1 {
			http.Error(w, "This is not the login that was asked for.", http.StatusBadRequest)
			return
		}
		came := returned{code: query.Get("code")}
		if text := query.Get("error"); text != "" || came.code == "" {
			came.err = refusal(text)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "You can close this page and go back to the terminal.")
		_ = http.NewResponseController(w).Flush() // the page is only for the person
		select {
		case done <- came:
		default: // it has come back already
		}
	})
}

// token asks the token endpoint. Its refusals are in the answer.
func (l *login) token(ctx context.Context, form url.Values) (w wireToken, err error) {
	form.Set("client_id", l.ClientID)
	form.Set("code_verifier", l.verifier)
	secrets := []string{l.verifier, form.Get("code"), form.Get("device_code")}
	a, err := l.client.do(ctx, call{
		service: provider, method: http.MethodPost, url: l.endpoints.Token, body: []byte(form.Encode()), secrets: secrets,
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
		accept: []int{http.StatusBadRequest, http.StatusUnauthorized},
	})
	if err != nil {
		return w, err
	}
	if err := a.decode(&w); err != nil || w.IDToken == "" && w.Error == "" {
		return w, badAnswer(provider, l.endpoints.Token, errors.New("it is not a token"))
	}
	w.Error = hide(w.Error, secrets)
	return w, nil
}

// checked checks that a token is the provider's answer to this login (OpenID Connect Core
// 1.0, section 3.1.3.7). It came from the provider itself, and Fulcio verifies its
// signature.
func (l *login) checked(text, nonce string) (string, error) {
	t, err := parseToken(text)
	if err != nil {
		return "", err
	}
	switch {
	case strings.TrimSuffix(t.issuer, "/") != strings.TrimSuffix(l.Issuer, "/"):
		return "", fmt.Errorf("%w: the token is of %.200q, and the login was at %.200q", ErrIdentity, t.issuer, l.Issuer)
	case !slices.Contains(t.audience, l.ClientID):
		return "", fmt.Errorf("%w: the token is for another program than %.100q", ErrIdentity, l.ClientID)
	case nonce != "" && t.nonce != nonce:
		return "", fmt.Errorf("%w: the token is of another login", ErrIdentity)
	}
	if err := t.check(l.Now()); err != nil {
		return "", err
	}
	return t.text, nil
}

// wireDevice is the answer of a device authorization endpoint (RFC 8628, section 3.2).
type wireDevice struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	Interval   int64  `json:"interval"`
}

// Bounds of polling, and what "slow_down" adds (RFC 8628, section 3.5).
const (
	minInterval = 5 * time.Second
	slower      = 5 * time.Second
)

func (l *login) device(ctx context.Context) (string, error) {
	if l.endpoints.Device == "" {
		return "", fmt.Errorf("%w: %s offers no login on another device; log in by a browser", ErrIdentity, safetext.Of(l.Issuer, 200))
	}
	form := url.Values{"client_id": {l.ClientID}, "scope": {"openid email"}, "code_challenge": {l.challenge()}, "code_challenge_method": {"S256"}}
	a, err := l.client.do(ctx, call{
		service: provider, method: http.MethodPost, url: l.endpoints.Device, body: []byte(form.Encode()),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
	})
	if err != nil {
		return "", err
	}
	var w wireDevice
	if err := a.decode(&w); err != nil || w.DeviceCode == "" || w.UserCode == "" {
		return "", badAnswer(provider, l.endpoints.Device, errors.New("it has no code"))
	}
	if w.Complete == "" {
		w.Complete = w.URI
	}
	page, err := l.page(w.Complete, nil)
	if err != nil {
		return "", err
	}
	if err := l.Show(ctx, Prompt{URL: page, Code: safetext.Of(w.UserCode, 100)}); err != nil {
		return "", fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	return l.poll(ctx, w)
}

// poll asks for the token until the person has logged in.
func (l *login) poll(ctx context.Context, w wireDevice) (string, error) {
	interval := max(time.Duration(min(w.Interval, 60))*time.Second, minInterval)
	for {
		if err := l.client.wait(ctx, interval); err != nil {
			return "", fmt.Errorf("%w: waiting for the login: %w", ErrIdentity, err)
		}
		t, err := l.token(ctx, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {w.DeviceCode}})
		switch {
		case err != nil:
			return "", err
		case t.Error == "authorization_pending":
		case t.Error == "slow_down":
			interval += slower
		case t.Error != "":
			return "", refusal(t.Error)
		default:
			return l.checked(t.IDToken, "")
		}
	}
}
