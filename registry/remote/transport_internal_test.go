package remote

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/registry"
)

func TestAttack_R3_HostsThatMayBeReadAsAddressesAreLocal(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:5000": true, "localhost.": true, "a.localhost": true, "127.0.0.1:443": true, "[::1]:5000": true, "[::1]": true, "10.1.1.1.": true,
		"127.1": true, "2130706433": true, "0x7f000001:80": true, "0x7f.0.0.1": true, "0177.0.0.1": true, "1.2.3.0x4": true,
		"registry.example": false, "localhost.example": false, "8.8.8.8": false, "1.2.3.4.example": false, "3com.example": false, "registry.example.": false, "a.0xyz": false,
	} {
		if got := isLocal(host); got != want {
			t.Errorf("%s: local is %v", host, got)
		}
	}
}

// What a registry redirects to by name is looked at when it is dialled.
func TestAttack_R3_NoForeignHostIsDialledAtAPrivateAddress(t *testing.T) {
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	c, err := New(Options{Keychain: authn.NewMultiKeychain()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	for _, url := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1)} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.send.line.foreign.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		var private *netguard.Error
		if !errors.As(err, &private) || reached {
			t.Errorf("%s: %v, reached: %v", url, err, reached)
		}
	}
}

func TestOnlyAPeerWithoutProxyTellsWhereARegistryIs(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, direct := range []bool{true, false} {
		h := &host{direct: direct}
		req, err := http.NewRequestWithContext(noticePeer(t.Context(), h), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if h.private.get() != direct {
			t.Errorf("direct: %v, private: %v", direct, h.private.get())
		}
	}
}

func TestWhatIsRememberedOfRegistriesIsBounded(t *testing.T) {
	c, err := New(Options{Keychain: authn.NewMultiKeychain()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxHosts + 10 {
		repo, err := name.NewRepository(fmt.Sprintf("r%d.example/app", i))
		if err != nil {
			t.Fatal(err)
		}
		c.hosts.of(repo)
	}
	if n := len(c.hosts.known); n > maxHosts {
		t.Errorf("%d registries", n)
	}
	var s session
	for i := range maxRemembered + 10 {
		remember(&s.tokens, fmt.Sprint(i), token{})
	}
	if n := len(s.tokens); n > maxRemembered || n == 0 {
		t.Errorf("%d tokens", n)
	}
}

// leading is a registry on the internet that leads to another address.
type leading string

func (l leading) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusTemporaryRedirect, Header: http.Header{"Location": {string(l)}}, Body: http.NoBody, Request: req,
	}, nil
}

// resolved is a transport to a name of a given address.
type resolved struct {
	http.RoundTripper
	address string
}

func (r resolved) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = r.address
	return r.RoundTripper.RoundTrip(req)
}

// A name tells nothing before it is resolved: the error says that it was refused, and
// not that it failed, and no client asks again.
func TestARedirectToANameOfAPrivateAddressIsInsecure(t *testing.T) {
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	o := Options{Keychain: authn.NewMultiKeychain()}.withDefaults()
	guarded := resolved{netguard.Guard(newTransport(o)), server.Listener.Addr().String()}
	o.InsecurePlainHTTP = []string{"registry.example"}
	c := newClient(o, leading("http://cdn.example/x"), guarded)
	_, err := c.Manifest(t.Context(), name.MustParseReference("registry.example/team/app:v1"))
	if !errors.Is(err, registry.ErrInsecure) || reached {
		t.Errorf("%v, reached: %v", err, reached)
	}
}

type passing struct{ http.RoundTripper }

func TestAttack_R3_AWrappedTransportStaysSafe(t *testing.T) {
	calls := 0
	client, err := New(Options{Wrap: func(inner http.RoundTripper) http.RoundTripper { calls++; return passing{inner} }})
	if err != nil {
		t.Fatal(err)
	}
	own, foreign := client.send.line.own.(wrapped), client.send.line.foreign.(wrapped)
	if _, guards := foreign.inner.(*netguard.Transport); calls != 2 || !guards || own.RoundTripper.(passing).RoundTripper != own.inner {
		t.Errorf("%d calls, %T and %T", calls, own.inner, foreign.inner)
	}
	if other := client.WithKeychain(nil); other.send.line.own != client.send.line.own {
		t.Error("other credentials lose the wrapper")
	}
	client.CloseIdleConnections()
	var e *registry.Error
	if _, err := New(Options{Wrap: func(http.RoundTripper) http.RoundTripper { return nil }}); !errors.As(err, &e) || e.Kind != registry.ErrUnsupported {
		t.Errorf("a wrapper that returns nothing: %v", err)
	}
}
