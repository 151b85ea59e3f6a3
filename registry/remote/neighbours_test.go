package remote_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// eachAtItsPlace has credentials for each registry that says where it belongs.
type eachAtItsPlace struct{}

func (eachAtItsPlace) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "me", Password: r.RegistryStr()}, nil
}

// wire is what the internet saw: the schemes and credentials by host.
type wire struct{ seen []string }

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	_, password, given := r.BasicAuth()
	w.seen = append(w.seen, fmt.Sprintf("%s://%s as %q", r.URL.Scheme, r.URL.Host, password))
	answer := &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: r}
	if !given {
		answer.StatusCode = http.StatusUnauthorized
		answer.Header.Set("WWW-Authenticate", "Basic")
	}
	return answer, nil
}

func TestAttack_P20_AnInsecureRegistryDowngradesNoNeighbour(t *testing.T) {
	for insecure, secure := range map[string][]string{
		"registry.example":       {"registry.example:443", "registry.example:8443", "registry.example:5000", "registry.example:80", "registry.example.", "a.registry.example"},
		"registry.example:5000":  {"registry.example", "registry.example:443", "registry.example:8443", "registry.example.:5000"},
		"registry.example:80":    {"registry.example", "registry.example:8080"},
		"[2001:db8::1]:5000":     {"[2001:db8::1]:443", "[2001:db8::1]:8443", "[2001:db8::2]:5000"},
		"Registry.Example:5000":  {"registry.example:443", "registry.example"},
		"registry.example.:5000": {"registry.example:5000", "registry.example.:443"},
	} {
		for _, at := range append(secure, insecure) {
			net := &wire{}
			client, err := remote.New(remote.Options{InsecureTransport: net, Keychain: eachAtItsPlace{}, InsecurePlainHTTP: []string{insecure}})
			must(t, err)
			ref, err := registry.ParseReference(at + "/team/app:v1")
			if err != nil {
				continue // there is no such name
			}
			_, err = client.Manifest(t.Context(), ref)
			wantError(t, at, err, registry.ErrNotFound)
			scheme := "https"
			if at == insecure {
				scheme = "http"
			}
			place := ref.Context().RegistryStr()
			want := []string{fmt.Sprintf("%s://%s as %q", scheme, place, ""), fmt.Sprintf("%s://%s as %q", scheme, place, place)}
			if fmt.Sprint(net.seen) != fmt.Sprint(want) {
				t.Errorf("%s, where %s is insecure: saw %v, want %v", at, insecure, net.seen, want)
			}
		}
	}
}

func TestAttack_P20_CredentialsGoToNoOtherPortInTheClear(t *testing.T) {
	for _, c := range []struct {
		registry, realm string
		credentials     bool
	}{
		{"http://registry.example:5000", "http://registry.example:5000", true},
		{"http://registry.example", "http://registry.example:80", true},
		{"http://registry.example:5000", "https://registry.example:8443", false},
		{"http://registry.example:5000", "https://registry.example:5000", false},
		{"http://registry.example:5000", "https://example.test", false},
		{"http://registry.example:5000", "http://registry.example:5001", false},
		{"http://127.0.0.1:5000", "http://127.0.0.1:5001", false},
		{"http://127.0.0.1:5000", "http://localhost:5000", false},
		{"http://127.0.0.1:5000", "http://127.0.0.1:5000", true},
		{"https://registry.example:5050", "https://registry.example", true},
		{"https://registry.example:5050", "https://registry.example.", false},
		{"https://registry.example", "https://REGISTRY.example", true},
	} {
		got := "none"
		mux := http.NewServeMux()
		tokens := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Authorization")
			_, _ = io.WriteString(w, `{"token":"good"}`)
		})
		mux.Handle("/token", tokens)
		mux.Handle("/", challenging(`Bearer realm="`+c.realm+`/token",service="s"`))
		checkRealm(t, c.registry, c.realm, mux, tokens)
		if got == "none" || (got != "") != c.credentials {
			t.Errorf("%s, whose realm is %s: it got %q", c.registry, c.realm, got)
		}
	}
	asked := false
	tokens := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })
	const plain = "http://registry.example:5001"
	if checkRealm(t, "https://registry.example:5000", plain, challenging(`Bearer realm="`+plain+`/token"`), tokens); asked {
		t.Error("a realm by plain HTTP was asked for the token of a secure registry")
	}
}

func checkRealm(t *testing.T, at, realm string, mux, tokens http.Handler) {
	t.Helper()
	o := remote.Options{}
	host := at[len("https://"):]
	if at[:5] == "http:" {
		host = at[len("http://"):]
		o.InsecurePlainHTTP = []string{host}
	}
	net := onInternet{realm: tokens}
	net[at] = mux
	client, _ := public(t, o, net)
	_, _ = client.Manifest(t.Context(), parse(t, host+"/team/app:v1"))
}

func TestAttack_P20_RedirectsAndUploadsKeepCredentialsHome(t *testing.T) {
	for _, c := range []struct {
		registry, to string
		kind         registry.Kind
	}{
		{"http://registry.example:5000", "https://registry.example:8443", registry.ErrNotFound},
		{"http://registry.example:5000", "http://registry.example:5001", registry.ErrNotFound},
		{"http://[2001:db8::1]:5000", "http://[2001:db8::1]:5001", registry.ErrNotFound},
		{"https://registry.example:8443", "http://registry.example:5000", registry.ErrInsecure},
		{"https://registry.example", "http://registry.example", registry.ErrInsecure},
		{"https://registry.example", "http://registry.example:443", registry.ErrInsecure},
	} {
		got := ""
		neighbour := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got += r.Header.Get("Authorization")
			http.NotFound(w, r)
		})
		first := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Header.Get("Authorization") == "":
				challenging("Basic").ServeHTTP(w, r)
			case r.Method == http.MethodPost:
				w.Header().Set("Location", c.to+"/upload")
				w.WriteHeader(http.StatusAccepted)
			default:
				redirecting(c.to+"/x").ServeHTTP(w, r)
			}
		})
		scheme, at, _ := strings.Cut(c.registry, "://")
		o := remote.Options{}
		if scheme == "http" {
			o.InsecurePlainHTTP = []string{at}
		}
		client, _ := public(t, o, onInternet{c.registry: first, c.to: neighbour})
		ref := parse(t, at+"/team/app:v1")
		_, err := client.Manifest(t.Context(), ref)
		wantError(t, "read by way of "+c.to, err, c.kind)
		data := []byte("blob")
		err = client.PushBlob(t.Context(), ref.Context().Digest(hashOf("blob").String()), int64(len(data)), func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("blob")), nil
		})
		wantError(t, "upload to "+c.to, err, c.kind)
		if got != "" {
			t.Errorf("from %s: %s got %q", c.registry, c.to, got)
		}
	}
}
