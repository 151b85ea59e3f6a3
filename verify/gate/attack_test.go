package gate_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// raw sends bytes as they are, and returns the status.
func (s *scene) raw(request string) (int, string) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	must(s.t, err)
	defer func() { _ = conn.Close() }()
	must(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = conn.Write([]byte(request))
	must(s.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body) // what came is looked at
	return resp.StatusCode, string(body)
}

func TestAttack_P1_PathsAreReadInOneWayOnly(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	for _, path := range []string{
		"/v2/team/app/../evil/manifests/signed", "/v2//team/app/manifests/signed", "/v2/team/app/manifests/%73igned", "/v2/team%2Fapp/manifests/signed",
		"/v2/%2e%2e/v2/team/app/manifests/signed", "/v2/team/app/manifests/signed/", "/v2/team/app/manifests/", "/v2/team/app/manifests/../blobs/x", "/V2/team/app/manifests/signed",
		"/v2/team/app/manifests/signed;x=y", "/v2/team/APP/manifests/signed", "/v2/team/app/manifests/sha256:abc", "/v2/team/app/manifests/sha512:" + strings.Repeat("a", 128),
		"/v2/team/app/manifests/sha256:" + strings.Repeat("A", 64), "/v2/team/app/blobs/signed", "/v2/team/app/referrers/signed", "/v2/./team/app/manifests/signed",
		"/v2/" + strings.Repeat("a/", 5000) + "b/manifests/signed", "/v2/team/app/manifests/" + strings.Repeat("a", 129), "/v2/127.0.0.1:1/team/app/manifests/signed",
		"/v2/team/app/manifests/signed?ns=evil.example", "/v2/team/app/manifests/signed?ns=" + known + "&ns=evil.example", "/v2/team/app/manifests/signed?ns=169.254.169.254",
		"/v2/team/app/manifests/signed?ns=" + known + "/../evil", "/v2/team/app/manifests/signed?ns=user:pw@" + known,
		"/v2/team/app/manifests/signed\\..\\x", "/v2/_catalog", "/v2/team/app/blobs/uploads/", "/v2/team/app/blobs/uploads/abc", "/", "/etc/passwd", "/v2x/", "/v2/team/app/other/signed",
	} {
		status, body := s.raw("GET " + path + " HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
		if status != http.StatusBadRequest && status != http.StatusNotFound {
			t.Errorf("%.80s: %d %.200s", path, status, body)
		}
	}
	if n := len(s.hosted.Requests()); n != 0 {
		t.Errorf("the upstream was asked %d times: %v", n, s.hosted.Requests())
	}
	for _, request := range []string{
		"GET http://169.254.169.254/v2/team/app/manifests/signed HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n",
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
	} {
		if status, body := s.raw(request); status < 400 || status == http.StatusForbidden {
			t.Errorf("%.60q: %d %.200s", request, status, body)
		}
	}
	// A Host of the client's choosing changes nothing.
	if status, _ := s.raw("GET /v2/team/app/manifests/unsigned HTTP/1.0\r\nHost: evil.example\r\n\r\n"); status != http.StatusForbidden {
		t.Errorf("HTTP/1.0: %d", status)
	}
	for _, path := range []string{"/v2/team/app/manifests/signed?ns=" + known, "/v2/" + known + "/team/app/manifests/signed", "/v2/team/app/manifests/signed?x=%2e%2e"} {
		if status, body := s.raw("GET " + path + " HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestRepositoriesMayBeNamedLikeEndpoints(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, text, _ := s.hosted.Manifest("team/app", "signed")
	for _, repo := range []string{"manifests", "blobs", "team/manifests/blobs", "tags/list/manifests"} {
		s.hosted.Put(repo, "v1", "application/vnd.oci.image.manifest.v1+json", text)
		if r := s.get("/v2/" + repo + "/manifests/v1"); r.status != http.StatusForbidden || !strings.Contains(r.message(), known+"/"+repo+":v1") {
			t.Errorf("%s: %d %s", repo, r.status, r.body)
		}
	}
}

func TestAttack_P12_NothingIsWritten(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PROPFIND"} {
		for _, path := range []string{"/v2/", "/v2/team/app/manifests/signed", "/v2/team/app/blobs/uploads/", "/v2/team/app/blobs/uploads/?mount=" + s.signed.DigestStr() + "&from=team/other"} {
			if r := s.ask(method, path); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d", method, path, r.status)
			}
		}
	}
	if n := len(s.hosted.Requests()); n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
}

func TestAttack_P6_ManyWhoAskForOneDeniedImageCostOneJudgement(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.MaxRequests, c.MaxPerClient = 5000, 5000 })
	s.hosted.Inject(registrytest.Fault{Do: registrytest.Delay(50 * time.Millisecond)})
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			if r := s.get("/v2/team/app/manifests/unsigned"); r.status != http.StatusForbidden {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	wg.Wait()
	for range 20 {
		s.denied("/v2/team/app/manifests/unsigned", "no-signature")
	}
	if n := len(s.hosted.Requests()); n > 6 {
		t.Errorf("%d requests to the upstream: %v", n, s.hosted.Requests())
	}
}

func TestAttack_P6_AFloodOfUnknownNamesDrivesOutNothingGood(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.MaxDecisions, c.TagTTL = 100, time.Hour })
	s.passes("signed")
	s.hosted.ResetRequests()
	_, text, _ := s.hosted.Manifest("team/app", "unsigned")
	for i := range 300 {
		s.hosted.Put("team/app", fmt.Sprintf("x%d", i), "application/vnd.oci.image.manifest.v1+json", bytes.Replace(text, []byte("{"), []byte(fmt.Sprintf(`{"x":"%d",`, i)), 1))
		s.denied(fmt.Sprintf("/v2/team/app/manifests/x%d", i), "no-signature")
		s.get(fmt.Sprintf("/v2/team/none%d/manifests/x", i))
	}
	s.hosted.ResetRequests()
	s.passes("signed")
	if n := len(s.hosted.Requests()); n != 0 {
		t.Errorf("the good was judged again: %v", s.hosted.Requests())
	}
}

func TestAttack_P9_UpstreamsThatCannotAnswerAreNoDecision(t *testing.T) {
	for name, x := range map[string]struct {
		fault  registrytest.Fault
		status int
		code   string
	}{
		"manifest 500":            {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(500)}, http.StatusBadGateway, "UNAVAILABLE"},
		"manifest 503":            {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(503)}, http.StatusServiceUnavailable, "UNAVAILABLE"},
		"manifest 429":            {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(429, "Retry-After", "7")}, http.StatusTooManyRequests, "TOOMANYREQUESTS"},
		"manifest 401":            {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(401)}, http.StatusForbidden, "DENIED"},
		"manifest 403":            {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(403)}, http.StatusForbidden, "DENIED"},
		"manifest 404":            {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(404)}, http.StatusNotFound, "MANIFEST_UNKNOWN"},
		"manifest hangs up":       {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.HangUp()}, http.StatusServiceUnavailable, "UNAVAILABLE"},
		"manifest cut off":        {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Truncate(20)}, http.StatusServiceUnavailable, "UNAVAILABLE"},
		"manifest of other bytes": {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.FlipByte()}, http.StatusBadGateway, "UNAVAILABLE"},
		"digest header lies":      {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.WrongDigestHeader()}, http.StatusBadGateway, "UNAVAILABLE"},
		"manifest is endless":     {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Endless()}, http.StatusBadGateway, "UNAVAILABLE"},
		"redirects away":          {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Redirect("file:///etc/passwd")}, http.StatusBadGateway, "UNAVAILABLE"},
		"redirects in a loop":     {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.RedirectLoop()}, http.StatusBadGateway, "UNAVAILABLE"},
		"evidence 500":            {registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(500)}, http.StatusBadGateway, "UNAVAILABLE"},
		"evidence 429":            {registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(429)}, http.StatusTooManyRequests, "TOOMANYREQUESTS"},
		"evidence hangs up":       {registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.HangUp()}, http.StatusServiceUnavailable, "UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TagTTL, c.MissingTTL = 1, 1 })
			remove := s.hosted.Inject(x.fault)
			r := s.get("/v2/team/app/manifests/signed")
			if r.status != x.status || !strings.HasPrefix(r.message(), x.code+": ") {
				t.Errorf("%d %s; want %d %s", r.status, r.body, x.status, x.code)
			}
			if retry := r.header.Get("Retry-After"); (retry != "") != (x.status >= 500 || x.status == 429) {
				t.Errorf("Retry-After: %q", retry)
			}
			if name == "manifest 429" && r.header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After: %q", r.header.Get("Retry-After"))
			}
			remove()
			time.Sleep(2 * time.Millisecond)
			s.passes("signed") // nothing of it was remembered
		})
	}
}

// An upstream that dies while it sends a blob, at offsets of every class.
func TestAttack_P9_BlobsUnlikeTheirDigestNeverArriveInFull(t *testing.T) {
	const size = 700_000
	for _, withStore := range []bool{false, true} {
		for name, do := range map[string]registrytest.Effect{
			"dies at once": registrytest.HangUp(), "dies at 0": registrytest.Truncate(0), "dies at 1": registrytest.Truncate(1), "dies at 511": registrytest.Truncate(511),
			"dies in the first chunk": registrytest.Truncate(100_000), "dies at the chunk": registrytest.Truncate(256 << 10), "dies in the second chunk": registrytest.Truncate(300_000),
			"dies before the end": registrytest.Truncate(size - 1), "flips a byte": registrytest.FlipByte(), "sends more": registrytest.Rewrite(func(a *registrytest.Answer) { a.Body = append(a.Body, 'x'); a.Header.Del("Content-Length") }),
			"sends less":   registrytest.Rewrite(func(a *registrytest.Answer) { a.Body = a.Body[:1000]; a.Header.Del("Content-Length") }),
			"sends 500":    registrytest.Status(500),
			"stalls":       registrytest.Drip(1, time.Hour),
			"is elsewhere": registrytest.Redirect("http://127.0.0.1:1/x"),
		} {
			t.Run(fmt.Sprintf("%s/store=%v", name, withStore), func(t *testing.T) {
				t.Parallel()
				s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
					if withStore {
						c.Store = openStore(t, t.TempDir(), store.Options{})
					}
				})
				big, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("big"), registrytest.ImageOptions{LayerSize: size})
				must(t, err)
				s.sign(big)
				s.passes("big")
				layer := s.parts(big)[1]
				remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Ref: layer.Digest.String(), Do: do})
				for _, header := range [][]string{nil, {"Range", fmt.Sprintf("bytes=%d-", layer.Size-10)}} {
					r := s.get(blobPath(layer), header...)
					if r.err == nil && r.status < 400 {
						t.Errorf("%v: %d with %d bytes of %d, and no error", header, r.status, len(r.body), layer.Size)
					}
				}
				remove()
				want, _ := s.hosted.Blob("team/app", layer.Digest.String())
				if r := s.get(blobPath(layer)); r.status != http.StatusOK || !bytes.Equal(r.body, want) || r.err != nil {
					t.Errorf("afterwards: %d, %d bytes, %v", r.status, len(r.body), r.err)
				}
			})
		}
	}
}

func TestAttack_P11_ClientsThatTakeTooMuchAreBounded(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.MaxRequests, c.MaxPerClient, c.WriteTimeout = 8, 4, 200*time.Millisecond })
	big, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("big"), registrytest.ImageOptions{LayerSize: 32 << 20})
	must(t, err)
	s.sign(big)
	s.passes("big")
	layer := s.parts(big)[1]
	var stalled []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
		must(t, err)
		must(t, conn.(*net.TCPConn).SetReadBuffer(4096))
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: gate\r\n\r\n", blobPath(layer))
		must(t, err)
		stalled = append(stalled, conn)
	}
	defer func() {
		for _, c := range stalled {
			_ = c.Close()
		}
	}()
	refused := false
	for range 100 {
		if r := s.get("/v2/team/app/manifests/big"); r.status == http.StatusTooManyRequests && r.header.Get("Retry-After") != "" {
			refused = true
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	if !refused {
		t.Error("one client may have any number of requests under way")
	}
	// Those who do not read lose their connection, and make room.
	for range 500 {
		if r := s.get("/v2/team/app/manifests/big"); r.status == http.StatusOK {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("clients that do not read are served for ever")
}

func TestAttack_P14_TransportLetsOnlyVerifiedContentIn(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	host := registrytest.Start(t, s.hosted)
	transport, err := gate.NewTransport(gate.Config{Verifier: s.verifier(nil), Observer: &s.events, TempDir: t.TempDir()})
	must(t, err)
	client := &http.Client{Transport: transport}
	ask := func(method, path string) reply {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+host+path, nil)
		must(t, err)
		return send(t, client, req)
	}
	_, text, _ := s.hosted.Manifest("team/app", "signed")
	if r := ask(http.MethodGet, "/v2/team/app/manifests/signed"); r.status != http.StatusOK || !bytes.Equal(r.body, text) {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := ask(http.MethodHead, "/v2/team/app/manifests/signed"); r.status != http.StatusOK || r.header.Get("Docker-Content-Digest") != s.signed.DigestStr() || len(r.body) != 0 {
		t.Errorf("%d %v", r.status, r.header)
	}
	for _, part := range s.parts(s.signed) {
		want, _ := s.hosted.Blob("team/app", part.Digest.String())
		if r := ask(http.MethodGet, blobPath(part)); r.status != http.StatusOK || !bytes.Equal(r.body, want) {
			t.Errorf("%d", r.status)
		}
	}
	for _, path := range []string{
		"/v2/team/app/manifests/unsigned", "/v2/team/app/manifests/" + s.unsigned.DigestStr(), blobPath(s.parts(s.unsigned)[0]), "/v2/team/app/referrers/" + s.unsigned.DigestStr(),
		"/v2/team/app/manifests/unsigne%64", "/v2/team%2Fapp/manifests/unsigned", "/x/v2/team/app/manifests/unsigned", "/V2/team/app/manifests/unsigned", "/v2/team/app/other/x", "//v2/team/app/manifests/unsigned",
	} {
		if r := ask(http.MethodGet, path); r.status < 400 || bytes.Contains(r.body, []byte(`"layers"`)) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	// What is asked for stands at the end, whatever the repository is called.
	for _, repo := range []string{"blobs/uploads", "team/blobs/uploads", "team/blobs/uploads/app", "_catalog/x", "team/blobs/uploads/blobs/uploads"} {
		digest := s.hosted.Put(repo, "v1", "application/vnd.oci.image.manifest.v1+json", text)
		for _, path := range []string{"/manifests/v1", "/manifests/" + digest, "/blobs/" + s.parts(s.signed)[0].Digest.String(), "/referrers/" + digest} {
			if r := ask(http.MethodGet, "/v2/"+repo+path); r.status < 400 {
				t.Errorf("%s%s: %d %s", repo, path, r.status, r.body)
			}
		}
	}
	// Left alone: what brings in no content of an image.
	for _, path := range []string{"/v2/", "/v2/team/app/tags/list"} {
		if r := ask(http.MethodGet, path); r.status != http.StatusOK {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	digest := s.hosted.PutBlob("team/app", []byte("other"))
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Ref: s.parts(s.signed)[0].Digest.String(), Do: registrytest.FlipByte()})
	if r := ask(http.MethodGet, blobPath(s.parts(s.signed)[0])); r.err == nil && r.status == http.StatusOK {
		t.Error("a changed blob came through")
	}
	if r := ask(http.MethodGet, "/v2/team/app/blobs/"+digest); r.status != http.StatusForbidden {
		t.Errorf("%d", r.status)
	}
}

func TestAttack_P7_ContentIsGivenToNoOtherCredentials(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	// The upstream: one repository, one set of credentials.
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "jane" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="upstream"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.hosted.ServeHTTP(w, r)
	}))
	t.Cleanup(private.Close)
	for _, mode := range []gate.Credentials{gate.PassThrough, gate.PassThroughOrAnonymous} {
		s.start(strings.TrimPrefix(private.URL, "http://"), func(c *gate.Config) {
			c.Credentials = mode
			c.Store = openStore(t, t.TempDir(), store.Options{})
		})
		basic := func(user, password string) []string {
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.SetBasicAuth(user, password)
			return []string{"Authorization", req.Header.Get("Authorization")}
		}
		layer := s.parts(s.signed)[1]
		paths := []string{"/v2/team/app/manifests/signed", "/v2/team/app/manifests/" + s.signed.DigestStr(), blobPath(layer), "/v2/team/app/referrers/" + s.signed.DigestStr(), "/v2/team/app/tags/list"}
		// Twice: the second time everything is held.
		for range 2 {
			for _, path := range paths {
				if r := s.get(path, basic("jane", "secret")...); r.status != http.StatusOK {
					t.Fatalf("%s %s: %d %s", mode, path, r.status, r.body)
				}
				for _, header := range [][]string{nil, basic("jane", "wrong"), basic("ken", "secret"), {"Authorization", "Bearer abc"}} {
					r := s.get(path, header...)
					if r.status != http.StatusUnauthorized || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") || bytes.Contains(r.body, []byte("secret")) {
						t.Errorf("%s %s %v: %d %s", mode, path, header, r.status, r.body)
					}
				}
			}
		}
		want := http.StatusOK
		if mode == gate.PassThrough {
			want = http.StatusUnauthorized
		}
		if r := s.get("/v2/"); r.status != want {
			t.Errorf("%s: ping %d", mode, r.status)
		}
	}
}

func TestAttack_P7_AccessOfCredentialsHoldsOnlyForAWhile(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	var revoked atomic.Bool
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); !ok || password != "secret" || revoked.Load() {
			w.Header().Set("WWW-Authenticate", `Basic realm="upstream"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.hosted.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	s.start(strings.TrimPrefix(upstream.URL, "http://"), func(c *gate.Config) {
		c.Credentials, c.AccessTTL, c.TagTTL = gate.PassThrough, 50*time.Millisecond, time.Nanosecond
		c.Store = openStore(t, t.TempDir(), store.Options{})
	})
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.SetBasicAuth("jane", "secret")
	credentials := []string{"Authorization", req.Header.Get("Authorization")}
	path, blob := "/v2/team/app/manifests/"+s.signed.DigestStr(), blobPath(s.parts(s.signed)[1])
	for _, p := range []string{path, blob} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if r := s.ask(method, p, credentials...); r.status != http.StatusOK {
				t.Fatalf("%s: %d %s", p, r.status, r.body)
			}
		}
	}
	revoked.Store(true)
	time.Sleep(60 * time.Millisecond)
	for _, p := range []string{path, blob} {
		if r := s.get(p, credentials...); r.status != http.StatusUnauthorized {
			t.Errorf("%s: %d, although the credentials were revoked", p, r.status)
		}
	}
}

func TestHEADOfABlobSaysWhetherTheUpstreamHasIt(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	layer := s.parts(s.signed)[1]
	s.passes("signed")
	r := s.ask(http.MethodHead, blobPath(layer))
	if r.status != http.StatusOK || r.header.Get("Content-Length") != itoa(int(layer.Size)) || r.header.Get("Docker-Content-Digest") != layer.Digest.String() {
		t.Errorf("%d %v", r.status, r.header)
	}
	remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.Status(http.StatusNotFound)})
	if r := s.ask(http.MethodHead, blobPath(layer)); r.status != http.StatusNotFound {
		t.Errorf("%d", r.status)
	}
	remove()
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.Status(http.StatusInternalServerError)})
	if r := s.ask(http.MethodHead, blobPath(layer)); r.status != http.StatusBadGateway {
		t.Errorf("%d", r.status)
	}
}

func TestAttack_P8_SharedDecisionsAreAuthenticated(t *testing.T) {
	shared := &sharedDecisions{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{}, nil, verify.Options{Cache: sharing(t, shared, "k")})
	address := registrytest.Start(t, s.hosted)
	s.passes("signed")
	layer := s.parts(s.signed)[1]
	other := func(key string) {
		t.Helper()
		s.judging.Cache = sharing(t, shared, key)
		s.start(address, nil)
		s.hosted.ResetRequests()
	}
	// Another gate trusts what the first has decided.
	other("k")
	if r := s.get(blobPath(layer)); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.passes(s.signed.DigestStr())
	for _, r := range s.hosted.Requests() {
		if r.Kind == registrytest.KindReferrers {
			t.Error("the image was judged again")
		}
	}
	// One with another key does not, nor one with another policy.
	other("x")
	s.denied(blobPath(layer), "no manifest that was let through")
	// An attacker who can write to the store: flips bits, swaps entries, and puts
	// the good one's entry under the bad one's key.
	for name, tamper := range map[string]func(map[string][]byte){
		"flipped": func(all map[string][]byte) {
			for k, v := range all {
				v = bytes.Clone(v)
				v[len(v)/2] ^= 1
				all[k] = v
			}
		},
		"swapped": func(all map[string][]byte) {
			var keys []string
			for k := range all {
				keys = append(keys, k)
			}
			for i, k := range keys[1:] {
				all[keys[i]], all[k] = all[k], all[keys[i]]
			}
		},
		"cut off": func(all map[string][]byte) {
			for k, v := range all {
				all[k] = v[:10]
			}
		},
	} {
		s.passes("signed")
		shared.mu.Lock()
		tamper(shared.all)
		shared.mu.Unlock()
		other("k")
		if r := s.get(blobPath(layer)); r.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, r.status)
		}
		s.denied("/v2/team/app/manifests/unsigned", "no-signature")
		s.passes("signed")
	}
}

// sharing is a cache that processes share through a store.
func sharing(t testing.TB, in verify.DecisionStore, key string) *verify.SharedCache {
	t.Helper()
	cache, err := verify.NewSharedCache(in, bytes.Repeat([]byte(key), 32))
	must(t, err)
	return cache
}

// sharedDecisions is a store that an attacker may write to.
type sharedDecisions struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (s *sharedDecisions) Get(_ context.Context, key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.all[key]
	return v, ok
}

func (s *sharedDecisions) Put(_ context.Context, key string, value []byte, _ time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[key] = value
}

// opened are the stores of all tests, by directory.
var opened sync.Map

// openStore opens a store as a process that starts again: the one before has ended.
func openStore(t *testing.T, dir string, o store.Options) *store.Store {
	t.Helper()
	if before, ok := opened.Load(dir); ok {
		must(t, before.(*store.Store).Close())
	}
	held, err := store.Open(dir, o)
	must(t, err)
	opened.Store(dir, held)
	return held
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	good := func() gate.Config {
		return gate.Config{Verifier: s.verifier(nil), Upstreams: []gate.Upstream{{Registry: known}}}
	}
	for name, change := range map[string]func(*gate.Config){
		"no verifier":           func(c *gate.Config) { c.Verifier = nil },
		"no upstream":           func(c *gate.Config) { c.Upstreams = nil },
		"upstream without name": func(c *gate.Config) { c.Upstreams[0].Registry = "" },
		"malformed upstream":    func(c *gate.Config) { c.Upstreams[0].Registry = "https://x" },
		"malformed address":     func(c *gate.Config) { c.Upstreams[0].Address = "a/b" },
		"one upstream twice":    func(c *gate.Config) { c.Upstreams = append(c.Upstreams, c.Upstreams[0]) },
		"credentials for two": func(c *gate.Config) {
			c.Credentials, c.Upstreams = gate.PassThrough, append(c.Upstreams, gate.Upstream{Registry: "b.example"})
		},
		"unknown credentials":    func(c *gate.Config) { c.Credentials = "everybody" },
		"client that is refused": func(c *gate.Config) { c.Client.TLSHosts = []string{"a/b"} },
	} {
		c := good()
		change(&c)
		if _, err := gate.NewHandler(c); !errors.Is(err, gate.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := gate.NewTransport(good()); !errors.Is(err, gate.ErrConfig) {
		t.Errorf("transport with upstreams: %v", err)
	}
}

// An observer, verifier or clock of the embedder's that panics ends one request of a
// transport, and not the program.
func TestAPanicBehindTheTransportIsAnErrorOfItsRequest(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	host := registrytest.Start(t, s.hosted)
	transport, err := gate.NewTransport(gate.Config{Verifier: s.verifier(nil), Observer: panicking{}, TempDir: t.TempDir()})
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/team/app/manifests/signed", nil)
	must(t, err)
	if r := send(t, &http.Client{Transport: transport}, req); r.err == nil || !strings.Contains(r.err.Error(), "internal failure: unforeseen") {
		t.Errorf("%d %s %v", r.status, r.body, r.err)
	}
}

type panicking struct{}

func (panicking) Event(context.Context, gate.Event)       { panic("unforeseen") }
func (panicking) Download(context.Context, gate.Download) {}
