package remote_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	alien "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// credentials is a keychain with one username and password, or a token, or none.
type credentials struct{ user, password, identity, bearer string }

func (c credentials) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: c.user, Password: c.password, IdentityToken: c.identity, RegistryToken: c.bearer}), nil
}

// hosted is a registry on loopback with an image, and a client for it.
type hosted struct {
	*registrytest.Registry
	host   string
	client *remote.Client
	repo   name.Repository
	image  name.Digest
	tag    name.Tag
}

func host(t testing.TB, ro registrytest.Options, co remote.Options) *hosted {
	t.Helper()
	h := &hosted{Registry: registrytest.New(ro)}
	h.host = registrytest.Start(t, h)
	if co.Keychain == nil {
		co.Keychain = credentials{}
	}
	if co.RetryDelay == 0 {
		co.RetryDelay = time.Millisecond
	}
	var err error
	if h.client, err = remote.New(co); err != nil {
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
		h := host(t, registrytest.Options{}, remote.Options{})
		return h.client, h.repo.Registry.Repo("empty")
	})
}

func TestClientKeepsTheContractWithoutTheReferrersAPI(t *testing.T) {
	registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
		h := host(t, registrytest.Options{NoReferrers: true, Conditional: true}, remote.Options{})
		return h.client, h.repo.Registry.Repo("empty")
	})
}

func TestEveryReadIsOneRequestAndNeverAPing(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
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
	// The first time the fallback tag is asked too, at the same time, unless the
	// answer is there before.
	if n := len(h.Requests()); n < 2 || n > 3 {
		t.Errorf("%d requests for two lists", n)
	}
}

// foreign serves content and remembers the credentials that reached it.
func foreign(t *testing.T, answer http.HandlerFunc) (host string, got func() []string) {
	var mu sync.Mutex
	var sent []string
	host = registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sent = append(sent, r.Header.Get("Authorization"))
		mu.Unlock()
		answer(w, r)
	}))
	return host, func() []string { mu.Lock(); defer mu.Unlock(); return sent }
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
func public(t *testing.T, o remote.Options, net onInternet) (*remote.Client, name.Tag) {
	t.Helper()
	o.InsecureTransport, o.RetryDelay = net, time.Millisecond
	if o.Keychain == nil {
		o.Keychain = credentials{user: "me", password: "secret"}
	}
	client, err := remote.New(o)
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

func TestCancellationIsImmediateAndVisible(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxInFlight: 1})
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
		if _, err := remote.New(remote.Options{InsecurePlainHTTP: []string{h}}); !errors.Is(err, registry.ErrReference) {
			t.Errorf("%q: %v, want ErrReference", h, err)
		}
	}
}

func parse(t testing.TB, s string) name.Reference {
	t.Helper()
	ref, err := registry.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// aliens are registries that other projects wrote.
func aliens() map[string]http.Handler {
	quiet := alien.Logger(log.New(io.Discard, "", 0))
	return map[string]http.Handler{
		"with the referrers API":    alien.New(quiet, alien.WithReferrersSupport(true)),
		"without the referrers API": alien.New(quiet),
	}
}

func TestOtherPeoplesRegistriesAreServedToo(t *testing.T) {
	ctx := context.Background()
	for what, handler := range aliens() {
		at := registrytest.Start(t, handler)
		client, err := remote.New(remote.Options{Keychain: credentials{}, MaxAttempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		tag := parse(t, at+"/team/app:v1").(name.Tag)
		image, err := registrytest.PushImage(ctx, client, tag, registrytest.ImageOptions{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d, err := client.Resolve(ctx, tag); err != nil || d.Digest.String() != image.DigestStr() {
			t.Errorf("%s: %v, %v", what, d, err)
		}
		if _, err := client.Manifest(ctx, tag.Tag("none")); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: a tag that is not there: %v", what, err)
		}
		if _, err := registrytest.PushReferrer(ctx, client, image, "application/x", []byte("x"), nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		n := 0
		for _, err := range client.Referrers(ctx, image) {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			n++
		}
		if want := map[bool]int{true: 1}[what == "with the referrers API"]; n != want {
			t.Errorf("%s: %d referrers, want %d", what, n, want)
		}
	}
}

func BenchmarkWarmResolveAndManifest(b *testing.B) {
	auth := &registrytest.TokenAuth{AnonymousPull: true}
	h := host(b, registrytest.Options{Auth: auth}, remote.Options{})
	b.ReportAllocs()
	for b.Loop() {
		d, err := h.client.Resolve(context.Background(), h.tag)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := h.client.Manifest(context.Background(), h.repo.Digest(d.Digest.String())); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRequestsAreLoggedWithoutSecrets(t *testing.T) {
	var log bytes.Buffer
	o := remote.Options{
		Keychain: credentials{user: "me", password: "hunter2"}, MaxAttempts: 1,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	h := host(t, registrytest.Options{BasicUsers: map[string]string{"me": "hunter2"}}, o)
	_, err := h.client.Resolve(t.Context(), h.tag)
	must(t, err)
	h.Inject(registrytest.Fault{Method: "GET", Kind: registrytest.KindManifest, Times: 1, Do: registrytest.Redirect("/v2/elsewhere?sig=hunter2")})
	_, err = h.client.Manifest(t.Context(), h.tag)
	wantError(t, "led to nothing", err, registry.ErrNotFound)
	h.Inject(registrytest.Fault{Do: registrytest.HangUp()})
	_, err = h.client.Manifest(t.Context(), h.tag)
	wantError(t, "hung up", err, registry.ErrUnavailable)
	text := log.String()
	for _, want := range []string{"op=resolve", "method=HEAD", "status=200", "status=401", "path=/v2/elsewhere", "status=0 failed=true", "host=" + h.host} {
		if !strings.Contains(text, want) {
			t.Errorf("no record says %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "hunter2") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("me:hunter2"))) {
		t.Errorf("a secret is logged:\n%s", text)
	}
}

// twice is a transport that loses a connection after it has sent a body, and sends
// it again, as net/http does.
type twice struct{ t *testing.T }

func (w twice) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.GetBody != nil {
		first, err := io.ReadAll(req.Body)
		must(w.t, err)
		body, err := req.GetBody()
		must(w.t, err)
		again, err := io.ReadAll(body)
		if err != nil || len(first) == 0 || !bytes.Equal(first, again) {
			w.t.Errorf("first %q, then %q, %v", first, again, err)
		}
		req.Body = io.NopCloser(bytes.NewReader(again))
	}
	return http.DefaultTransport.RoundTrip(req)
}

func TestAManifestsBodyCanBeSentAgainByTheTransport(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{InsecureTransport: twice{t}})
	m := testManifest(t, "other", nil)
	push(t, h.client, h.tag, m)
	if _, data, _ := h.Manifest("team/app", "v1"); !bytes.Equal(data, m.Bytes) {
		t.Errorf("stored %s", data)
	}
}

func TestRegistriesAreSpokenToByTheSchemeOfTheirHost(t *testing.T) {
	const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for at, c := range map[string]struct {
		options remote.Options
		scheme  string
	}{
		"localhost:5000":   {remote.Options{}, "http"},
		"LOCALHOST:5000":   {remote.Options{}, "http"},
		"127.0.0.2:5000":   {remote.Options{}, "http"},
		"localhost:5001":   {remote.Options{TLSHosts: []string{"localhost"}}, "https"},
		"localhost.test":   {remote.Options{}, "https"},
		"10.0.0.1:5000":    {remote.Options{}, "https"},
		"registry.test":    {remote.Options{InsecurePlainHTTP: []string{"registry.test:5000"}}, "https"},
		"registry.test:81": {remote.Options{InsecurePlainHTTP: []string{"registry.test"}}, "https"},
	} {
		repo, err := name.NewRepository(at + "/team/app")
		must(t, err)
		asked := ""
		net := onInternet{}
		for _, scheme := range []string{"http", "https"} {
			net[scheme+"://"+repo.RegistryStr()] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked += scheme
				http.NotFound(w, r)
			})
		}
		client, _ := public(t, c.options, net)
		_, err = client.Resolve(t.Context(), repo.Digest(digest))
		if wantError(t, at, err, registry.ErrNotFound); asked != c.scheme {
			t.Errorf("%s was asked by %q, want %s", at, asked, c.scheme)
		}
	}
}
