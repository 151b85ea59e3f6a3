package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// logins is a keychain of one login, or none.
type logins struct{ user, password, identity, bearer string }

func (l logins) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: l.user, Password: l.password, IdentityToken: l.identity, RegistryToken: l.bearer}), nil
}

// hosted is a registry on loopback with an image, and a client for it.
type hosted struct {
	*registrytest.Registry
	host   string
	client *registry.Client
	repo   name.Repository
	image  name.Digest
	tag    name.Tag
}

func host(t testing.TB, ro registrytest.Options, co registry.Options) *hosted {
	t.Helper()
	h := &hosted{Registry: registrytest.New(ro)}
	h.host = registrytest.Start(t, h)
	if co.Keychain == nil {
		co.Keychain = logins{}
	}
	if co.RetryDelay == 0 {
		co.RetryDelay = time.Millisecond
	}
	var err error
	if h.client, err = registry.NewClient(co); err != nil {
		t.Fatal(err)
	}
	if h.repo, err = name.NewRepository(h.host + "/team/app"); err != nil {
		t.Fatal(err)
	}
	h.tag = h.repo.Tag("v1")
	if h.image, err = registrytest.PushImage(context.Background(), h.Store(), h.tag, registrytest.ImageOptions{}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hosted) layer(t testing.TB) v1.Descriptor {
	t.Helper()
	_, data, _ := h.Manifest("team/app", "v1")
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m.Layers[0]
}

// blob reads a blob to its end.
func (h *hosted) blob(ctx context.Context, d v1.Descriptor, size int64) ([]byte, error) {
	body, err := h.client.Blob(ctx, h.repo.Digest(d.Digest.String()), size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func wantError(t testing.TB, what string, err error, want registry.Kind) *registry.Error {
	t.Helper()
	var e *registry.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("%s: %v, want %q", what, err, want)
		return &registry.Error{}
	}
	return e
}

func TestClientKeepsTheContract(t *testing.T) {
	registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
		h := host(t, registrytest.Options{}, registry.Options{})
		return h.client, h.repo.Registry.Repo("empty")
	})
}

func TestClientKeepsTheContractWithoutTheReferrersAPI(t *testing.T) {
	registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
		h := host(t, registrytest.Options{NoReferrers: true, Conditional: true}, registry.Options{})
		return h.client, h.repo.Registry.Repo("empty")
	})
}

func TestEveryReadIsOneRequestAndNeverAPing(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{})
	ctx := context.Background()
	for range 3 {
		if _, err := h.client.Resolve(ctx, h.tag); err != nil {
			t.Fatal(err)
		}
		if _, err := h.client.Manifest(ctx, h.image); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.Requests()); n != 6 {
		t.Errorf("%d requests for 6 reads: %v", n, h.Requests())
	}
	h.ResetRequests()
	for range h.client.Referrers(ctx, h.image) {
		t.Error("nothing refers to it")
	}
	for range h.client.Referrers(ctx, h.image) {
		t.Error("nothing refers to it")
	}
	// The first time the fallback tag is asked too, at the same time.
	if n := len(h.Requests()); n != 3 {
		t.Errorf("%d requests for two lists", n)
	}
}

func TestTokensAreFetchedOncePerRepositoryAndLoginsAreSent(t *testing.T) {
	auth := &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}
	h := host(t, registrytest.Options{Auth: auth}, registry.Options{Keychain: logins{user: "me", password: "secret"}})
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
	h := host(t, registrytest.Options{Auth: auth}, registry.Options{})
	for range 2 {
		if _, err := h.client.Resolve(context.Background(), h.tag); err != nil {
			t.Fatal(err)
		}
		h.RevokeTokens()
	}
}

func TestWrongLoginsAreTypedErrorsWithoutSecrets(t *testing.T) {
	for name, ro := range map[string]registrytest.Options{
		"basic": {BasicUsers: map[string]string{"me": "secret"}},
		"token": {Auth: &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}},
	} {
		good := host(t, ro, registry.Options{Keychain: logins{user: "me", password: "secret"}})
		if _, err := good.client.Resolve(context.Background(), good.tag); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, l := range []logins{{}, {user: "me", password: "hunter2"}} {
			h := host(t, ro, registry.Options{Keychain: l})
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
	h := host(t, registrytest.Options{Auth: auth}, registry.Options{})
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

func TestAttack_R1_WrongBytesAreNeverReturned(t *testing.T) {
	ctx := context.Background()
	for what, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"flipped byte":        {registrytest.FlipByte(), registry.ErrDigestMismatch},
		"wrong digest header": {registrytest.WrongDigestHeader(), registry.ErrDigestMismatch},
		"garbage digest":      {registrytest.SetHeader("Docker-Content-Digest", "sha256:xyz"), registry.ErrDigestMismatch},
		"other body":          {registrytest.ReplaceBody([]byte(`{}`)), registry.ErrDigestMismatch},
		"truncated":           {registrytest.Truncate(20), registry.ErrUnavailable},
		"endless":             {registrytest.Endless(), registry.ErrTooLarge},
		"connection hangs up": {registrytest.HangUp(), registry.ErrUnavailable},
		"announced too long":  {registrytest.ContentLength(100_000), registry.ErrUnavailable},
		"stalls":              {registrytest.Drip(0, time.Hour), registry.ErrStalled},
		"one byte at a time":  {registrytest.Drip(1, 50*time.Millisecond), registry.ErrStalled},
		"never answers":       {registrytest.Delay(time.Hour), registry.ErrStalled},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := host(t, registrytest.Options{}, registry.Options{Timeout: 300 * time.Millisecond, MaxManifestBytes: 100_000})
			h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: c.do})
			for _, ref := range []name.Reference{h.image, h.tag} {
				m, err := h.client.Manifest(ctx, ref)
				if _, isTag := ref.(name.Tag); isTag && what == "other body" {
					// Under a tag only the header says which digest it should be.
					wantError(t, "by tag", err, registry.ErrDigestMismatch)
					continue
				}
				wantError(t, ref.String(), err, c.want)
				if m.Bytes != nil && err == nil {
					t.Error("bytes were returned")
				}
			}
		})
	}
}

func TestAttack_R1_WrongBlobsEndInAnErrorNotInEOF(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"flipped byte":       {registrytest.FlipByte(), registry.ErrDigestMismatch},
		"shorter":            {registrytest.ReplaceBody([]byte("x")), registry.ErrDigestMismatch},
		"longer":             {registrytest.ReplaceBody(make([]byte, 1<<20)), registry.ErrTooLarge},
		"truncated":          {registrytest.Truncate(10), registry.ErrUnavailable},
		"endless":            {registrytest.Endless(), registry.ErrTooLarge},
		"stalls":             {registrytest.Drip(3, time.Hour), registry.ErrStalled},
		"one byte at a time": {registrytest.Drip(1, 20*time.Millisecond), registry.ErrStalled},
		"does not answer":    {registrytest.Delay(time.Hour), registry.ErrStalled},
		"compressed":         {registrytest.GzipBomb(1 << 20), registry.ErrMalformed},
		"hangs up":           {registrytest.HangUp(), registry.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := host(t, registrytest.Options{}, registry.Options{Timeout: 300 * time.Millisecond, StallTimeout: 300 * time.Millisecond, MaxBlobBytes: 1 << 20})
			layer := h.layer(t)
			h.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: c.do})
			_, err := h.blob(context.Background(), layer, layer.Size)
			wantError(t, "of known size", err, c.want)
			if name != "longer" {
				_, err = h.blob(context.Background(), layer, -1)
				wantError(t, "of unknown size", err, c.want)
			}
		})
	}
	h := host(t, registrytest.Options{}, registry.Options{})
	layer := h.layer(t)
	if data, err := h.blob(context.Background(), layer, layer.Size); err != nil || int64(len(data)) != layer.Size {
		t.Errorf("a good blob: %d bytes, %v", len(data), err)
	}
	_, err := h.blob(context.Background(), layer, layer.Size-1)
	wantError(t, "a descriptor that says too little", err, registry.ErrTooLarge)
	_, err = h.blob(context.Background(), layer, layer.Size+1)
	wantError(t, "a descriptor that says too much", err, registry.ErrDigestMismatch)
}

func TestASlowReaderIsNoSlowSender(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{Timeout: 100 * time.Millisecond, StallTimeout: 100 * time.Millisecond})
	layer := h.layer(t)
	body, err := h.client.Blob(context.Background(), h.repo.Digest(layer.Digest.String()), layer.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := body.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if _, err := io.ReadAll(body); err != nil {
		t.Errorf("after a pause of the reader's: %v", err)
	}
}

// foreign serves content and remembers the logins that reached it.
func foreign(t *testing.T, answer http.HandlerFunc) (host string, got func() []string) {
	var mu sync.Mutex
	var logins []string
	host = registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		logins = append(logins, r.Header.Get("Authorization"))
		mu.Unlock()
		answer(w, r)
	}))
	return host, func() []string { mu.Lock(); defer mu.Unlock(); return logins }
}

func TestAttack_R3_RedirectToAnotherHostCarriesNoCredentials(t *testing.T) {
	for name, ro := range map[string]registrytest.Options{
		"basic": {BasicUsers: map[string]string{"me": "secret"}},
		"token": {Auth: &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t, ro, registry.Options{Keychain: logins{user: "me", password: "secret"}})
			layer := h.layer(t)
			data, _ := h.Blob("team/app", layer.Digest.String())
			elsewhere, got := foreign(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })
			h.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Match: func(r registrytest.Request) bool { return r.AuthScheme != "" },
				Do: registrytest.Redirect("http://" + elsewhere + "/blob?signature=s3cr3t")})
			if _, err := h.blob(context.Background(), layer, layer.Size); err != nil {
				t.Fatal(err)
			}
			if logins := got(); len(logins) != 1 || logins[0] != "" {
				t.Errorf("the other host got %q", logins)
			}
		})
	}
}

func TestAttack_R3_RedirectsAreBoundedAndStayWhereTheyMay(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{})
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"loop":         {registrytest.RedirectLoop(), registry.ErrTooMany},
		"file":         {registrytest.Redirect("file:///etc/passwd"), registry.ErrInsecure},
		"gopher":       {registrytest.Redirect("gopher://127.0.0.1/"), registry.ErrInsecure},
		"with a login": {registrytest.Redirect("http://user:pw@127.0.0.1/"), registry.ErrInsecure},
		"no address":   {registrytest.Redirect("http://[::1"), registry.ErrMalformed},
	} {
		remove := h.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: c.do})
		layer := h.layer(t)
		_, err := h.blob(context.Background(), layer, layer.Size)
		wantError(t, name, err, c.want)
		remove()
	}
}

// onInternet answers for registries with public names, without a network.
type onInternet map[string]http.Handler

func (o onInternet) RoundTrip(req *http.Request) (*http.Response, error) {
	h, ok := o[req.URL.Scheme+"://"+req.URL.Host]
	if !ok {
		return nil, fmt.Errorf("no such host: %s", req.URL.Host)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

// public is a client of a registry with a public name, on a made-up internet.
func public(t *testing.T, o registry.Options, net onInternet) (*registry.Client, name.Tag) {
	t.Helper()
	o.Transport, o.RetryDelay = net, time.Millisecond
	if o.Keychain == nil {
		o.Keychain = logins{user: "me", password: "secret"}
	}
	client, err := registry.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return client, name.MustParseReference("registry.example/team/app:v1").(name.Tag)
}

func redirecting(to string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
}

func TestAttack_R3_APublicRegistryCannotLeadIntoAPrivateNetwork(t *testing.T) {
	for _, target := range []string{
		"https://127.0.0.1/x", "https://localhost/x", "https://[::1]:8443/x", "https://10.0.0.1/x", "https://192.168.1.1/x",
		"https://169.254.169.254/latest/meta-data", "https://[fd00::1]/x", "https://0.0.0.0/x", "https://100.64.0.1/x", "https://[::ffff:127.0.0.1]/x",
	} {
		client, tag := public(t, registry.Options{}, onInternet{"https://registry.example": redirecting(target)})
		_, err := client.Manifest(context.Background(), tag)
		wantError(t, target, err, registry.ErrInsecure)
	}
}

func TestAttack_R7_HTTPSIsNeverLeft(t *testing.T) {
	client, tag := public(t, registry.Options{}, onInternet{"https://registry.example": redirecting("http://registry.example/x")})
	_, err := client.Manifest(context.Background(), tag)
	wantError(t, "redirect to plain HTTP", err, registry.ErrInsecure)
	// Nothing listens on HTTPS: plain HTTP is not tried.
	asked := false
	client, tag = public(t, registry.Options{}, onInternet{"http://registry.example": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })})
	_, err = client.Manifest(context.Background(), tag)
	if wantError(t, "no HTTPS", err, registry.ErrUnavailable); asked {
		t.Error("fell back to plain HTTP")
	}
	client, tag = public(t, registry.Options{InsecurePlainHTTP: []string{"registry.example"}},
		onInternet{"http://registry.example": http.NotFoundHandler()})
	_, err = client.Manifest(context.Background(), tag)
	wantError(t, "plain HTTP, on purpose", err, registry.ErrNotFound)
}

func TestAttack_R7_CertificatesAreVerified(t *testing.T) {
	server := httptest.NewTLSServer(registrytest.New(registrytest.Options{}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "https://")
	repo, err := name.NewRepository(address + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	o := registry.Options{Keychain: logins{}, TLSHosts: []string{address}, MaxAttempts: 1}
	client, err := registry.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Resolve(context.Background(), repo.Tag("v1"))
	if e := wantError(t, "self-signed", err, registry.ErrUnavailable); !strings.Contains(e.Error(), "certificate") {
		t.Errorf("does not say why: %v", e)
	}
	o.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if client, err = registry.NewClient(o); err != nil {
		t.Fatal(err)
	}
	_, err = client.Resolve(context.Background(), repo.Tag("v1"))
	wantError(t, "trusted root", err, registry.ErrNotFound)
}

func challenging(header string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer good" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", header)
		w.WriteHeader(http.StatusUnauthorized)
	})
}

func TestAttack_R4_LoginsGoOnlyToTheRegistrysOwnTokenService(t *testing.T) {
	for name, c := range map[string]struct {
		host, realm string
		options     registry.Options
		kind        registry.Kind
		login       bool
	}{
		"own host":        {"registry.example", "https://registry.example/token", registry.Options{}, registry.ErrNotFound, true},
		"parent domain":   {"registry.example", "https://example.com/token", registry.Options{}, registry.ErrNotFound, false},
		"foreign":         {"registry.example", "https://evil.test/token", registry.Options{}, registry.ErrNotFound, false},
		"named":           {"registry.example", "https://sso.test/token", registry.Options{TokenRealms: map[string][]string{"registry.example": {"sso.test"}}}, registry.ErrNotFound, true},
		"plain HTTP":      {"registry.example", "http://registry.example/token", registry.Options{}, registry.ErrInsecure, false},
		"private address": {"registry.example", "https://10.0.0.1/token", registry.Options{}, registry.ErrInsecure, false},
		"no URL":          {"registry.example", "token", registry.Options{}, registry.ErrMalformed, false},
		"with a login":    {"registry.example", "https://a:b@registry.example/token", registry.Options{}, registry.ErrMalformed, false},
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
			mux.Handle("/", challenging(`Bearer realm="`+c.realm+`",service="s",scope="repository:team/app:pull,push,delete registry:catalog:*"`))
			net["https://"+c.host] = mux
			client, tag := public(t, c.options, net)
			_, err := client.Manifest(context.Background(), tag)
			wantError(t, name, err, c.kind)
			if (auth != "") != c.login {
				t.Errorf("the token service got %q", auth)
			}
			if c.kind == registry.ErrNotFound && scope != "repository:team/app:pull" {
				t.Errorf("asked for the scope %q", scope)
			}
		})
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
	client, tag := public(t, registry.Options{Keychain: logins{identity: "refresh"}}, onInternet{"https://registry.example": mux})
	_, err := client.Manifest(context.Background(), tag)
	wantError(t, "with an identity token", err, registry.ErrNotFound)
	if !strings.HasPrefix(form, "POST ") || !strings.Contains(form, "refresh_token=refresh") || !strings.Contains(form, "grant_type=refresh_token") {
		t.Errorf("the token service got %q", form)
	}
	client, tag = public(t, registry.Options{Keychain: logins{bearer: "good"}}, onInternet{"https://registry.example": mux})
	_, err = client.Manifest(context.Background(), tag)
	wantError(t, "with a registry token", err, registry.ErrNotFound)
}

func TestAttack_R5_RetriesAreBoundedAndCancelAtOnce(t *testing.T) {
	for name, after := range map[string]string{
		"huge": "1000000000", "negative": "-5", "a date far off": "Fri, 31 Dec 2999 23:59:59 GMT", "a date gone by": "Fri, 31 Dec 1999 23:59:59 GMT", "garbage": "soon",
	} {
		for status, kind := range map[int]registry.Kind{429: registry.ErrRateLimited, 503: registry.ErrUnavailable} {
			h := host(t, registrytest.Options{}, registry.Options{MaxAttempts: 3, MaxRetryDelay: 10 * time.Millisecond})
			h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(status, "Retry-After", after)})
			_, err := h.client.Resolve(context.Background(), h.tag)
			e := wantError(t, name, err, kind)
			if n := len(h.Requests()); n != 3 || e.RetryAfter > 10*time.Millisecond || e.RetryAfter < 0 {
				t.Errorf("%s: %d requests, RetryAfter %s", name, n, e.RetryAfter)
			}
		}
	}
	h := host(t, registrytest.Options{}, registry.Options{RetryDelay: time.Hour, MaxRetryDelay: time.Hour})
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(503)})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.client.Resolve(ctx, h.tag); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while waiting: %v", err)
	}
}

func TestWhatPassesIsTriedAgain(t *testing.T) {
	for name, do := range map[string]registrytest.Effect{"429": registrytest.Status(429), "503": registrytest.Status(503), "hang-up": registrytest.HangUp()} {
		h := host(t, registrytest.Options{}, registry.Options{})
		h.Inject(registrytest.Fault{Times: 2, Do: do})
		if _, err := h.client.Manifest(context.Background(), h.tag); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		h.Inject(registrytest.Fault{Kind: registrytest.KindUpload, Method: "PUT", Times: 2, Do: do})
		data := []byte("content " + name)
		sum, _, _ := v1.SHA256(bytes.NewReader(data))
		err := h.client.PushBlob(context.Background(), h.repo.Digest(sum.String()), int64(len(data)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		})
		if err != nil {
			t.Errorf("%s: upload: %v", name, err)
		}
	}
}

func TestAttack_R6_CompressedAndOversizedAnswersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"gzip bomb":   {registrytest.GzipBomb(1 << 26), registry.ErrMalformed},
		"huge header": {registrytest.HugeHeader(10 << 20), registry.ErrUnavailable},
		"endless":     {registrytest.Endless(), registry.ErrTooLarge},
	} {
		h := host(t, registrytest.Options{}, registry.Options{MaxAttempts: 1, MaxManifestBytes: 1 << 20})
		h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: c.do})
		_, err := h.client.Manifest(context.Background(), h.tag)
		wantError(t, name, err, c.want)
	}
}

func TestAttack_I4_ManifestsOfTwoMeaningsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"served as an index": {registrytest.SetHeader("Content-Type", "application/vnd.oci.image.index.v1+json"), registry.ErrMalformed},
		"schema 1":           {registrytest.SetHeader("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"), registry.ErrUnsupported},
		"a web page":         {registrytest.SetHeader("Content-Type", "text/html"), registry.ErrUnsupported},
		"no type":            {registrytest.SetHeader("Content-Type", ";"), registry.ErrUnsupported},
	} {
		h := host(t, registrytest.Options{}, registry.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: c.do})
		_, err := h.client.Manifest(context.Background(), h.image)
		if name == "no type" {
			if err != nil {
				t.Errorf("the manifest's own mediaType counts where the header says none: %v", err)
			}
			continue
		}
		wantError(t, name, err, c.want)
	}
}

func TestAttack_R8_PagesStayInTheirListAndEnd(t *testing.T) {
	elsewhere, got := foreign(t, http.NotFound)
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"another host":       {registrytest.NextPage("http://" + elsewhere + "/v2/team/app/referrers/x"), registry.ErrInsecure},
		"another repository": {registrytest.NextPage("/v2/team/other/referrers/sha256:00"), registry.ErrInsecure},
		"another part":       {registrytest.NextPage("/v2/_catalog"), registry.ErrInsecure},
		"itself":             {registrytest.LoopPage(), registry.ErrTooMany},
		"without end":        {registrytest.EndlessReferrers(50), registry.ErrTooMany},
	} {
		h := host(t, registrytest.Options{}, registry.Options{MaxReferrerPages: 20, MaxReferrers: 500})
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: c.do})
		var last error
		n := 0
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			last = err
			n++
		}
		if wantError(t, name, last, c.want); n > 501 {
			t.Errorf("%s: %d referrers", name, n)
		}
	}
	if len(got()) != 0 {
		t.Error("the other host was asked")
	}
}

func TestReferrersAreReadPageByPage(t *testing.T) {
	for _, ro := range []registrytest.Options{{}, {ReferrersPageSize: 2}, {ConfigAsArtifactType: true}} {
		h := host(t, ro, registry.Options{})
		for i := range 5 {
			if _, err := registrytest.PushReferrer(context.Background(), h.Store(), h.image, "application/x", []byte{byte(i)}, nil); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 5 {
			t.Errorf("%+v: %d referrers, want 5", ro, n)
		}
		for range h.client.Referrers(context.Background(), h.image) {
			break // an iteration may be broken off
		}
	}
}

func TestAReferrersListMissingForOneRepositoryHidesNoOther(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{})
	if _, err := registrytest.PushReferrer(context.Background(), h.Store(), h.image, "application/x", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Repo: "team/none", Do: registrytest.Status(404)})
	for range h.client.Referrers(context.Background(), h.repo.Registry.Repo("team", "none").Digest(h.image.DigestStr())) {
		t.Error("nothing is there")
	}
	n := 0
	for range h.client.Referrers(context.Background(), h.image) {
		n++
	}
	if n != 1 {
		t.Errorf("%d referrers, want 1", n)
	}
}

func TestAmongSeveralLinksTheNextPageIsFound(t *testing.T) {
	h := host(t, registrytest.Options{ReferrersPageSize: 1}, registry.Options{})
	for i := range 3 {
		if _, err := registrytest.PushReferrer(context.Background(), h.Store(), h.image, "application/x", []byte{byte(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Rewrite(func(a *registrytest.Answer) {
		if link := a.Header.Get("Link"); link != "" {
			a.Header.Set("Link", `</v2/first>; rel="first"; title="a, b", `+link+`, </v2/last>; rel=last`)
		}
	})})
	n := 0
	for _, err := range h.client.Referrers(context.Background(), h.image) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d referrers, want 3", n)
	}
}

func TestResolveManagesWithoutHEAD(t *testing.T) {
	for what, do := range map[string]registrytest.Effect{
		"no HEAD": registrytest.Status(405), "no digest": registrytest.DropHeader("Docker-Content-Digest"), "other algorithm": registrytest.SetHeader("Docker-Content-Digest", "sha512:"+strings.Repeat("0", 128)),
	} {
		h := host(t, registrytest.Options{}, registry.Options{})
		h.Inject(registrytest.Fault{Method: "HEAD", Do: do})
		d, err := h.client.Resolve(context.Background(), h.tag)
		if err != nil || d.Digest.String() != h.image.DigestStr() || d.Size == 0 {
			t.Errorf("%s: %+v, %v", what, d, err)
		}
	}
}

func TestAnUploadThatTheRegistryStopsTakingEnds(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{Timeout: 200 * time.Millisecond, MaxAttempts: 1})
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindUpload, Do: registrytest.Delay(time.Hour)})
	data := bytes.Repeat([]byte("x"), 32<<20)
	sum, _, _ := v1.SHA256(bytes.NewReader(data))
	err := h.client.PushBlob(context.Background(), h.repo.Digest(sum.String()), int64(len(data)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
	wantError(t, "upload", err, registry.ErrStalled)
}

func TestAListThatCannotBeReadIsNoEmptyList(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"server error": {registrytest.Status(500), registry.ErrUnavailable},
		"rate limit":   {registrytest.Status(429), registry.ErrRateLimited},
		"forbidden":    {registrytest.Status(403), registry.ErrDenied},
		"not JSON":     {registrytest.ReplaceBody([]byte("<html>")), registry.ErrMalformed},
		"truncated":    {registrytest.Truncate(10), registry.ErrUnavailable},
	} {
		h := host(t, registrytest.Options{}, registry.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: c.do})
		var last error
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			last = err
		}
		wantError(t, name, last, c.want)
	}
}

func TestAttack_E19_AFallbackTagThatIsNoListListsNothing(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, registry.Options{})
	tag := strings.Replace(h.image.DigestStr(), ":", "-", 1)
	mediaType, image, _ := h.Manifest("team/app", "v1")
	self := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":1,"digest":%q}]}`, h.image.DigestStr())
	for name, c := range map[string]struct {
		mediaType string
		data      []byte
		want      int
	}{
		"an image":          {mediaType, image, 0},
		"garbage":           {"application/vnd.oci.image.index.v1+json", []byte("garbage"), 0},
		"a list of indexes": {"application/vnd.oci.image.index.v1+json", []byte(self), 1},
	} {
		h.Put("team/app", tag, c.mediaType, c.data)
		n := 0
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			n++
		}
		if n != c.want {
			t.Errorf("%s: %d referrers, want %d", name, n, c.want)
		}
	}
}

func TestAttack_R9_RepositoryNamesAreCanonicalOrTypedErrors(t *testing.T) {
	for in, want := range map[string]string{
		"nginx":                     "index.docker.io/library/nginx:latest",
		"docker.io/library/nginx:1": "index.docker.io/library/nginx:1",
		"index.docker.io/nginx":     "index.docker.io/library/nginx:latest",
		"127.0.0.1:5000/a/b@sha256:" + strings.Repeat("a", 64):    "127.0.0.1:5000/a/b@sha256:" + strings.Repeat("a", 64),
		"registry.example/a:v1@sha256:" + strings.Repeat("a", 64): "registry.example/a@sha256:" + strings.Repeat("a", 64),
	} {
		if ref, err := registry.ParseReference(in); err != nil || ref.Name() != want {
			t.Errorf("%s: %v, %v; want %s", in, ref, err, want)
		}
	}
	for _, in := range []string{
		"", " ", "registry.example/UPPER", "registry.example/a/../b", "registry.example/a//b", "registry.example/a%2fb", "registry.example/ü",
		"registry.example/a:", "registry.example/a:-tag", "https://registry.example/a", "registry.example/a@sha256:abc", "registry.example/a@sha512:" + strings.Repeat("a", 128),
		"registry.example/a@sha256:" + strings.Repeat("A", 64), "registry.example/a\x1b[31m", "registry.example/a\nb", strings.Repeat("a", 10_000), "registry.example/" + strings.Repeat("a", 300), "/", "a/", "registry.example/a?x=y", "registry.example/a#b",
	} {
		if ref, err := registry.ParseReference(in); !errors.Is(err, registry.ErrReference) {
			t.Errorf("%.60q: %v, %v; want ErrReference", in, ref, err)
		} else if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 2000 {
			t.Errorf("%.60q: the error is not fit to be printed: %q", in, err)
		}
	}
	client, err := registry.NewClient(registry.Options{Transport: onInternet{}})
	if err != nil {
		t.Fatal(err)
	}
	var none name.Repository
	_, err = client.Manifest(context.Background(), none.Tag("v1"))
	wantError(t, "a zero repository", err, registry.ErrReference)
	_, err = client.Manifest(context.Background(), name.MustParseReference("registry.example/a:v1").Context().Tag("../../x"))
	wantError(t, "a tag that is a path", err, registry.ErrReference)
}

func TestAttack_R10_ErrorTextsOfRegistriesAreSanitised(t *testing.T) {
	body := `{"errors":[{"code":"DENIED","message":"\u001b[31mred\u001b[0m see https://user:hunter2@registry.example/x?sig=s3cr3t#frag and \u202eevil"}]}`
	for name, answer := range map[string]registrytest.Answer{
		"escapes and secrets": {Status: 403, Body: []byte(body)},
		"a page of HTML":      {Status: 403, Body: []byte("<html><script>alert(1)</script>")},
		"10 MB":               {Status: 403, Body: []byte(`{"errors":[{"message":"` + strings.Repeat("a", 10<<20) + `"}]}`)},
		"long message":        {Status: 403, Body: []byte(`{"errors":[{"message":"` + strings.Repeat("a", 10<<10) + `"}]}`)},
	} {
		h := host(t, registrytest.Options{}, registry.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Reply(answer)})
		_, err := h.client.Manifest(context.Background(), h.tag)
		wantError(t, name, err, registry.ErrDenied)
		text := err.Error()
		for _, bad := range []string{"\x1b", "hunter2", "s3cr3t", "\u202e", "<html>"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: the error holds %q: %q", name, bad, text)
			}
		}
		if len(text) > 2000 {
			t.Errorf("%s: an error of %d bytes", name, len(text))
		}
	}
}

func TestAttack_S2_PushesThatStoreOtherBytesAreNoticedWhenReadBack(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{})
	_, data, _ := h.Manifest("team/app", "v1")
	m, err := registry.NewManifest("application/vnd.oci.image.manifest.v1+json", append(data, ' '))
	if err != nil {
		t.Fatal(err)
	}
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Do: registrytest.StoreOther(data)})
	at := h.repo.Digest(m.Descriptor.Digest.String())
	if _, err := h.client.PushManifest(context.Background(), at, m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = h.client.Manifest(context.Background(), at)
	wantError(t, "read back", err, registry.ErrDigestMismatch)
	_, err = h.client.PushManifest(context.Background(), h.image, m, registry.PushOptions{})
	wantError(t, "under another digest", err, registry.ErrDigestMismatch)
}

func TestABlobsSourceMustBeTheBlob(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{})
	data := bytes.Repeat([]byte("x"), 200_000)
	sum, _, _ := v1.SHA256(bytes.NewReader(data))
	ref := h.repo.Digest(sum.String())
	for name, source := range map[string][]byte{
		"other bytes": bytes.Repeat([]byte("y"), 200_000), "shorter": data[:100], "longer": append(data, 'x'), "empty": nil,
	} {
		err := h.client.PushBlob(context.Background(), ref, int64(len(data)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(source)), nil
		})
		wantError(t, name, err, registry.ErrDigestMismatch)
		if there, err := h.client.HasBlob(context.Background(), ref); there || err != nil {
			t.Errorf("%s: stored: %v, %v", name, there, err)
		}
	}
	for range 2 {
		err := h.client.PushBlob(context.Background(), ref, int64(len(data)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	uploads := 0
	for _, r := range h.Requests() {
		if r.Kind == registrytest.KindUpload && r.Method == "PUT" && r.Status == 201 {
			uploads++
		}
	}
	if uploads != 1 {
		t.Errorf("uploaded %d times; what is there is not sent again", uploads)
	}
}

func TestBlobsAreMountedWithinARegistry(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{})
	layer := h.layer(t)
	other := h.repo.Registry.Repo("team", "other")
	ref := other.Digest(layer.Digest.String())
	if ok, err := h.client.MountBlob(context.Background(), ref, h.repo); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
	if there, err := h.client.HasBlob(context.Background(), ref); err != nil || !there {
		t.Errorf("%v, %v", there, err)
	}
	absent := other.Digest("sha256:" + strings.Repeat("0", 64))
	if ok, err := h.client.MountBlob(context.Background(), absent, h.repo); err != nil || ok {
		t.Errorf("a blob that is not there: %v, %v", ok, err)
	}
}

func TestCancellationIsImmediateAndVisible(t *testing.T) {
	h := host(t, registrytest.Options{}, registry.Options{MaxInFlight: 1})
	h.Inject(registrytest.Fault{Do: registrytest.Delay(time.Hour)})
	for range 2 { // the second waits for the first's slot
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		defer cancel()
		if _, err := h.client.Manifest(ctx, h.tag); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
}

func TestNewClientRefusesMalformedHosts(t *testing.T) {
	for _, h := range []string{"http://registry.example", "registry.example/path", "UP PER", ""} {
		if _, err := registry.NewClient(registry.Options{InsecurePlainHTTP: []string{h}}); !errors.Is(err, registry.ErrReference) {
			t.Errorf("%q: %v, want ErrReference", h, err)
		}
	}
}

func BenchmarkManifest(b *testing.B) {
	h := host(b, registrytest.Options{}, registry.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.client.Manifest(context.Background(), h.image); err != nil {
			b.Fatal(err)
		}
	}
}
