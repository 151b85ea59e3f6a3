package remote_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func TestAttack_R3_RedirectToAnotherHostCarriesNoCredentials(t *testing.T) {
	for name, ro := range map[string]registrytest.Options{
		"basic": {BasicUsers: map[string]string{"me": "secret"}},
		"token": {Auth: &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t, ro, remote.Options{Keychain: credentials{user: "me", password: "secret"}})
			layer := h.layer(t)
			data, _ := h.Blob("team/app", layer.Digest.String())
			elsewhere, got := foreign(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })
			h.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Match: func(r registrytest.Request) bool { return r.AuthScheme != "" },
				Do: registrytest.Redirect("http://" + elsewhere + "/blob?signature=s3cr3t")})
			if _, err := h.blob(context.Background(), layer, layer.Size); err != nil {
				t.Fatal(err)
			}
			if sent := got(); len(sent) != 1 || sent[0] != "" {
				t.Errorf("the other host got %q", sent)
			}
		})
	}
}

func TestAttack_R3_RedirectsAreBoundedAndStayWhereTheyMay(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"loop":             {registrytest.RedirectLoop(), registry.ErrTooMany},
		"file":             {registrytest.Redirect("file:///etc/passwd"), registry.ErrInsecure},
		"gopher":           {registrytest.Redirect("gopher://127.0.0.1/"), registry.ErrInsecure},
		"with credentials": {registrytest.Redirect("http://user:pw@127.0.0.1/"), registry.ErrInsecure},
		"no address":       {registrytest.Redirect("http://[::1"), registry.ErrMalformed},
	} {
		remove := h.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: c.do})
		layer := h.layer(t)
		_, err := h.blob(context.Background(), layer, layer.Size)
		wantError(t, name, err, c.want)
		remove()
	}
}

func TestAttack_R3_APublicRegistryCannotLeadIntoAPrivateNetwork(t *testing.T) {
	for _, target := range []string{
		"https://127.0.0.1/x", "https://localhost/x", "https://[::1]:8443/x", "https://10.0.0.1/x", "https://192.168.1.1/x",
		"https://169.254.169.254/latest/meta-data", "https://[fd00::1]/x", "https://0.0.0.0/x", "https://100.64.0.1/x", "https://[::ffff:127.0.0.1]/x",
	} {
		client, tag := public(t, remote.Options{}, onInternet{"https://registry.example": redirecting(target)})
		_, err := client.Manifest(context.Background(), tag)
		wantError(t, target, err, registry.ErrInsecure)
	}
}

func TestAttack_R7_HTTPSIsNeverLeft(t *testing.T) {
	client, tag := public(t, remote.Options{}, onInternet{"https://registry.example": redirecting("http://registry.example/x")})
	_, err := client.Manifest(context.Background(), tag)
	wantError(t, "redirect to plain HTTP", err, registry.ErrInsecure)
	// Nothing listens on HTTPS: plain HTTP is not tried.
	asked := false
	client, tag = public(t, remote.Options{}, onInternet{"http://registry.example": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })})
	_, err = client.Manifest(context.Background(), tag)
	if wantError(t, "no HTTPS", err, registry.ErrUnavailable); asked {
		t.Error("fell back to plain HTTP")
	}
	client, tag = public(t, remote.Options{InsecurePlainHTTP: []string{"registry.example"}},
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
	o := remote.Options{Keychain: credentials{}, TLSHosts: []string{address}, MaxAttempts: 1}
	client, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Resolve(context.Background(), repo.Tag("v1"))
	if e := wantError(t, "self-signed", err, registry.ErrUnavailable); !strings.Contains(e.Error(), "certificate") {
		t.Errorf("does not say why: %v", e)
	}
	o.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if client, err = remote.New(o); err != nil {
		t.Fatal(err)
	}
	_, err = client.Resolve(context.Background(), repo.Tag("v1"))
	wantError(t, "trusted root", err, registry.ErrNotFound)
}

// TestProxiedReader is no test of its own: it is the process that the test below
// starts, since net/http reads the proxy from the environment once.
func TestProxiedReader(t *testing.T) {
	if os.Getenv("HALLMARK_TEST_PROXIED") == "" {
		t.Skip("only run as another process")
	}
	client, err := remote.New(remote.Options{Keychain: credentials{}, InsecurePlainHTTP: []string{"registry.example"}, MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Manifest(context.Background(), name.MustParseReference("registry.example/team/app:v1"))
	wantError(t, "through a proxy", err, registry.ErrInsecure)
}

func TestAttack_R3_ALocalProxyMakesNoRegistryLocal(t *testing.T) {
	inside, got := foreign(t, http.NotFound)
	proxied, _ := foreign(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "registry.example" {
			t.Errorf("the proxy was asked for %s", r.URL)
		}
		redirecting("http://"+inside+"/metadata").ServeHTTP(w, r)
	})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxiedReader$")
	cmd.Env = append(os.Environ(), "HALLMARK_TEST_PROXIED=1", "HTTP_PROXY=http://"+proxied, "http_proxy=http://"+proxied, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if len(got()) != 0 {
		t.Error("the registry led the client to an address behind the proxy")
	}
}

// The same place may be written with and without its port: only there the credentials go.
func TestCredentialsFollowToTheSamePlaceHoweverItIsWritten(t *testing.T) {
	for _, c := range []struct {
		registry, to string
		credentials  bool
	}{
		{"http://registry.example", "http://registry.example:80", true},
		{"http://registry.example:80", "http://registry.example", true},
		{"http://registry.example", "http://registry.example:8080", false},
		{"http://registry.example", "https://registry.example:80", false},
		{"https://registry.example", "https://registry.example:443", true},
		{"https://registry.example", "https://registry.example:80", false},
	} {
		got := ""
		after := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Authorization")
			http.NotFound(w, r)
		})
		first := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				challenging("Basic").ServeHTTP(w, r)
				return
			}
			redirecting(c.to+"/x").ServeHTTP(w, r)
		})
		o := remote.Options{}
		scheme, at, _ := strings.Cut(c.registry, "://")
		if scheme == "http" {
			o.InsecurePlainHTTP = []string{at}
		}
		client, _ := public(t, o, onInternet{c.registry: first, c.to: after})
		_, err := client.Manifest(t.Context(), parse(t, at+"/team/app:v1"))
		if wantError(t, c.to, err, registry.ErrNotFound); (got != "") != c.credentials {
			t.Errorf("from %s to %s: it got %q", c.registry, c.to, got)
		}
	}
}
