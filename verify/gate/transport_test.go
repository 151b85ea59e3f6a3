package gate_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	hallmark "github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// go-containerregistry's client logs in by itself, through the transport, and its
// tokens are what the judgement reads with.
func TestTransportGuardsAClientThatLogsIn(t *testing.T) {
	for _, o := range []registrytest.Options{{}, {Auth: &registrytest.TokenAuth{Users: map[string]string{"jane": "secret"}}}} {
		s := newScene(t, registrytest.Options{}, nil)
		guardedRegistry := registrytest.New(o)
		for _, tag := range []string{"signed", "unsigned"} {
			image, err := registrytest.PushImage(t.Context(), guardedRegistry.Store(), s.repo.Tag(tag), registrytest.ImageOptions{Seed: tag})
			must(t, err)
			if tag == "signed" {
				signOn(t, guardedRegistry, image, s.signer)
			}
		}
		host := registrytest.Start(t, guardedRegistry)
		guarded, err := gate.NewTransport(gate.Config{Verifier: s.verifier(nil), TempDir: t.TempDir()})
		must(t, err)
		credentials := authn.Anonymous
		if o.Auth != nil {
			credentials = authn.FromConfig(authn.AuthConfig{Username: "jane", Password: "secret"})
		}
		options := []remote.Option{remote.WithTransport(guarded), remote.WithAuth(credentials)}
		tag := func(tag string) name.Tag {
			ref, err := name.NewTag(host + "/team/app:" + tag)
			must(t, err)
			return ref
		}
		for range 2 {
			image, err := remote.Image(tag("signed"), options...)
			must(t, err)
			layers, err := image.Layers()
			must(t, err)
			for _, l := range layers {
				body, err := l.Compressed()
				must(t, err)
				if n, err := io.Copy(io.Discard, body); err != nil || n == 0 {
					t.Errorf("%d bytes, %v", n, err)
				}
				must(t, body.Close())
			}
			_, err = remote.Image(tag("unsigned"), options...)
			var denial *verify.Error
			if !errors.As(err, &denial) || denial.Reason != verify.ReasonNoSignature {
				t.Errorf("%v", err)
			}
		}
		if o.Auth == nil {
			continue
		}
		// Content that is held is not given to clients without credentials, and tokens that
		// have ended are asked for again.
		if _, err := remote.Image(tag("signed"), remote.WithTransport(guarded)); err == nil {
			t.Error("a client without credentials got the image")
		}
		guardedRegistry.RevokeTokens()
		if _, err := remote.Image(tag("signed"), options...); err != nil {
			t.Errorf("with a new token: %v", err)
		}
	}
}

func TestMissingEvidenceTagCostsTheUpstreamOneRequest(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	missing := "/v2/team/app/manifests/" + strings.Replace(s.signed.DigestStr(), ":", "-", 1) + ".att"
	if r := s.get(missing); r.status != http.StatusNotFound {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.hosted.ResetRequests()
	for _, path := range []string{missing, "/v2/team/app/manifests/" + s.signed.DigestStr()} {
		s.get(path)
	}
	if n := len(s.hosted.Requests()); n != 0 {
		t.Errorf("%d requests: %v", n, s.hosted.Requests())
	}
}

// The requests that one cold pull by tag costs, one after another.
func TestAColdJudgementAddsAtMostThreeRoundTrips(t *testing.T) {
	for _, o := range []registrytest.Options{{}, {NoReferrers: true}} {
		s := newScene(t, o, nil)
		// Slow enough that what is asked at once is seen to be.
		s.hosted.Inject(registrytest.Fault{Do: registrytest.Delay(20 * time.Millisecond)})
		s.passes("signed")
		depth := 0
		var last registrytest.Request
		for _, r := range s.hosted.Requests() {
			if depth == 0 || !r.Start.Before(last.End) {
				depth++
				last = r
			} else if r.End.After(last.End) {
				last.End = r.End
			}
		}
		if depth > 4 {
			t.Errorf("%d requests one after another: %v", depth, s.hosted.Requests())
		}
	}
}

func (s *scene) transport(host string, change func(*gate.Config)) *http.Client {
	s.t.Helper()
	c := gate.Config{Verifier: s.verifier(nil), Observer: &s.events, TempDir: s.t.TempDir(), Client: quick}
	if change != nil {
		change(&c)
	}
	guarded, err := gate.NewTransport(c)
	must(s.t, err)
	return &http.Client{Transport: guarded}
}

// Some registries have their token service below /v2/: Quay, Google's, JFrog's.
func TestATransportLeavesTokenServicesAlone(t *testing.T) {
	for _, realm := range []string{"/token", "/v2/auth", "/v2/token", "/artifactory/api/docker/team/v2/token"} {
		s := newScene(t, registrytest.Options{}, nil)
		var host string
		host = registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == realm:
				_, _ = w.Write([]byte(`{"token":"abc"}`)) // the client's affair
			case r.Header.Get("Authorization") != "Bearer abc":
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+host+realm+`",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			default:
				s.hosted.ServeHTTP(w, r)
			}
		}))
		client := s.transport(host, nil)
		for tag, passes := range map[string]bool{"signed": true, "unsigned": false} {
			ref, err := name.ParseReference(host + "/team/app:" + tag)
			must(t, err)
			_, err = remote.Get(ref, remote.WithTransport(client.Transport), remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: "u", Password: "p"})))
			if (err == nil) != passes {
				t.Errorf("%s: %s: %v", realm, tag, err)
			}
		}
	}
}

// A request whose URL is sent as it is written, and not by its parts, is judged.
func TestAttack_P14_AnOpaqueURLIsNoWayAroundTheTransport(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	host := registrytest.Start(t, s.hosted)
	client := s.transport(host, nil)
	for _, path := range []string{"", "/v2/token", "/x"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+path, nil)
		must(t, err)
		req.URL.Opaque = "//" + host + "/v2/team/app/manifests/unsigned"
		if r := send(t, client, req); r.status != http.StatusBadRequest || !strings.HasPrefix(r.message(), "NAME_INVALID: ") {
			t.Errorf("%q: %d %.100s %v", path, r.status, r.body, r.err)
		}
	}
	if all := s.hosted.Requests(); len(all) > 0 {
		t.Errorf("the registry was asked %v", all)
	}
}

// A program that gives up requests is left with nothing of them.
func TestARequestOfTheTransportThatIsGivenUpLeavesNothingBehind(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	slow := &stalling{below: "/v2/team/app/manifests/", rest: s.hosted}
	host := registrytest.Start(t, slow)
	client := s.transport(host, nil)
	before := runtime.NumGoroutine()
	for i := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/v2/team/app/manifests/t"+itoa(i), nil)
		must(t, err)
		go func() {
			eventually(t, "the registry is asked", func() bool { return slow.waiting.Load() > 0 })
			cancel()
		}()
		if r := send(t, client, req); !errors.Is(r.err, context.Canceled) {
			t.Fatalf("%d %v", r.status, r.err)
		}
		eventually(t, "the registry is left alone", func() bool { return slow.waiting.Load() == 0 })
	}
	eventually(t, "its goroutines end", func() bool { return runtime.NumGoroutine() < before+15 })
}

// Nor is anything left of an answer that is not closed once its request has ended.
func TestAttack_P11_AnAnswerOfTheTransportEndsWithItsRequest(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, layer := s.bigImage("big", 1<<20)
	host := registrytest.Start(t, s.hosted)
	client := s.transport(host, nil)
	get := func(ctx context.Context, path string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, nil)
		must(t, err)
		resp, err := client.Transport.RoundTrip(req)
		must(t, err)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d", path, resp.StatusCode)
		}
		return resp
	}
	resp := get(t.Context(), manifestPath+"big")
	_, err := io.Copy(io.Discard, resp.Body)
	must(t, errors.Join(err, resp.Body.Close()))
	for range 10 {
		for _, path := range []string{manifestPath + "big", "/v2/team/app/blobs/" + layer} {
			ctx, cancel := context.WithCancel(t.Context())
			resp := get(ctx, path)
			cancel()
			eventually(t, "the goroutine ends", func() bool { return goroutinesIn("gate.(*Transport).answer") == 0 })
			if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: reading ends with %v", path, err)
			}
		}
	}
	eventually(t, "no download goes on", func() bool { return goroutinesIn("gate.(*downloads).run") == 0 })
}

// goroutinesIn counts the goroutines that are in a function.
func goroutinesIn(function string) int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "\n"+"github.com/hallmark-oci/hallmark/verify/"+function)
}

// A RoundTripper returns a response or an error, and not both: of these, net/http
// would complain on the program's standard error.
func TestATransportReturnsAResponseOrAnError(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	host := registrytest.Start(t, s.hosted)
	client := s.transport(host, func(c *gate.Config) { c.Observer = panicking{} })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/team/app/manifests/signed", nil)
	must(t, err)
	resp, err := client.Transport.RoundTrip(req)
	if resp != nil {
		_ = resp.Body.Close()
	}
	if resp != nil || err == nil {
		t.Errorf("%v and %v", resp, err)
	}
}

func TestATransportJudgesRegistriesOfTheRootsThatItTrusts(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	server := httptest.NewTLSServer(s.hosted)
	t.Cleanup(server.Close)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	host := strings.TrimPrefix(server.URL, "https://")
	trusting := s.transport(host, func(c *gate.Config) { c.Client.RootCAs = roots })
	for ref, allowed := range map[string]bool{"signed": true, "unsigned": false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v2/team/app/manifests/"+ref, nil)
		must(t, err)
		r := send(t, trusting, req)
		if r.err != nil || allowed && r.status != http.StatusOK || !allowed && r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s, %v", ref, r.status, r.body, r.err)
		}
		if r := send(t, s.transport(host, nil), req); r.err == nil && r.status == http.StatusOK {
			t.Errorf("%s: this certificate is not trusted", ref)
		}
	}
	if _, err := gate.NewTransport(gate.Config{}); !errors.Is(err, gate.ErrConfig) {
		t.Errorf("without a verifier: %v", err)
	}
}

// unreachable fails the test where anything is sent.
type unreachable struct{ t *testing.T }

func (u unreachable) RoundTrip(req *http.Request) (*http.Response, error) {
	u.t.Errorf("%s was sent", req.URL)
	return nil, errors.New("unreachable")
}

// closes notes that it was closed.
type closes struct {
	io.Reader
	closed bool
}

func (c *closes) Close() error {
	c.closed = true
	return nil
}

func TestATransportRefusesWhatNamesNoRepository(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	client := s.transport("", func(c *gate.Config) { c.Client.InsecureTransport = unreachable{t} })
	for _, target := range []*url.URL{
		{Scheme: "https", Path: "/v2/team/app/manifests/v1"},
		{Scheme: "https", Host: "not a host", Path: "/v2/team/app/manifests/v1"},
		{Scheme: "https", Host: "index.docker.io", Path: "/v2/nginx/manifests/v1"},
		{Scheme: "https", Host: "registry.example", Path: "/v2/" + strings.Repeat("a", 300) + "/manifests/v1"},
	} {
		body := &closes{Reader: strings.NewReader("x")}
		resp, err := client.Transport.RoundTrip((&http.Request{URL: target, Header: make(http.Header), Body: body}).WithContext(t.Context()))
		must(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		if resp.StatusCode != http.StatusBadRequest || !body.closed {
			t.Errorf("%.60s: %d, its body is closed: %v", target, resp.StatusCode, body.closed)
		}
	}
}

// The credentials are between the client and the registry: what it asks for reaches the
// client as it is.
func TestATransportPassesOnWhatTheRegistryAsksFor(t *testing.T) {
	s := newScene(t, registrytest.Options{BasicUsers: map[string]string{"jane": "secret"}}, nil)
	host := registrytest.Start(t, s.hosted)
	client := s.transport(host, nil)
	ask := func(header ...string) reply {
		// No method is GET.
		req := (&http.Request{URL: &url.URL{Scheme: "http", Host: host, Path: "/v2/team/app/manifests/signed"}, Header: make(http.Header)}).WithContext(t.Context())
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Transport.RoundTrip(req)
		must(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return reply{resp.StatusCode, resp.Header, body, err}
	}
	if r := ask(); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") != `Basic realm="registrytest"` {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r := ask(basic("jane")...); r.status != http.StatusOK || len(r.body) == 0 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestDenialsOfATransportCanBeTakenApart(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	host := registrytest.Start(t, s.hosted)
	guarded, err := gate.NewTransport(gate.Config{Verifier: s.verifier(nil), TempDir: t.TempDir(), Help: "Ask the release team."})
	must(t, err)
	tag, err := name.NewTag(host + "/team/app:unsigned")
	must(t, err)
	ours, err := hallmark.New(hallmark.Options{InsecureTransport: guarded})
	must(t, err)
	for client, read := range map[string]func() error{
		"net/http": func() error {
			resp, err := (&http.Client{Transport: guarded}).Get("http://" + host + "/v2/team/app/manifests/unsigned")
			if err == nil {
				err = resp.Body.Close()
			}
			return err
		},
		"net/http, HEAD": func() error {
			resp, err := (&http.Client{Transport: guarded}).Head("http://" + host + "/v2/team/app/manifests/unsigned")
			if err == nil {
				err = resp.Body.Close()
			}
			return err
		},
		"go-containerregistry":       func() error { _, err := remote.Image(tag, remote.WithTransport(guarded)); return err },
		"go-containerregistry, head": func() error { _, err := remote.Head(tag, remote.WithTransport(guarded)); return err },
		"registry/remote":            func() error { _, err := registry.ReadManifest(t.Context(), ours, tag); return err },
		"registry/remote, resolve":   func() error { _, err := ours.Resolve(t.Context(), tag); return err },
	} {
		began := time.Now()
		err := read()
		var denial *verify.Error
		if !errors.As(err, &denial) || denial.Reason != verify.ReasonNoSignature || !errors.Is(err, registry.ErrDenied) {
			t.Errorf("%s: %v", client, err)
			continue
		}
		if !strings.Contains(err.Error(), "no-signature") || !strings.Contains(err.Error(), "Ask the release team") || len(denial.Unmet) == 0 {
			t.Errorf("%s says %v", client, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: a denial was asked for again, for %s", client, took)
		}
	}
	// What is not a decision is a response.
	resp, err := (&http.Client{Transport: guarded}).Get("http://" + host + "/v2/team/app/manifests/missing")
	must(t, err)
	if must(t, resp.Body.Close()); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a missing image: %s", resp.Status)
	}
}

func TestTransportsCanBeWrapped(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	host := registrytest.Start(t, s.hosted)
	var sent atomic.Int64
	client := s.transport(host, func(c *gate.Config) {
		c.Client.Wrap = func(inner http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) { sent.Add(1); return inner.RoundTrip(req) })
		}
	})
	resp, err := client.Get("http://" + host + "/v2/team/app/manifests/signed")
	must(t, err)
	if must(t, resp.Body.Close()); resp.StatusCode != http.StatusOK || sent.Load() == 0 {
		t.Errorf("%s after %d requests", resp.Status, sent.Load())
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
