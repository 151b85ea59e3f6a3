package registrytest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

const tagPath = "/v2/app/manifests/v1"

// newFaulty is a registry with a manifest under app:v1 and, if do is set, that
// fault in all requests for manifests.
func newFaulty(t *testing.T, do registrytest.Effect) (c *client, manifest string) {
	t.Helper()
	c = newClient(t, registrytest.Options{})
	manifest = manifestOf("one", "")
	c.r.Put("app", "v1", ociManifest, []byte(manifest))
	if do != nil {
		c.r.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: do})
	}
	return c, manifest
}

func TestFault_MatchesByAllFieldsSet(t *testing.T) {
	digest := digestOf("content")
	blob := "/v2/app/blobs/" + digest
	for name, test := range map[string]struct {
		fault registrytest.Fault
		path  string
		hit   bool
	}{
		"nothing set":     {registrytest.Fault{}, tagPath, true},
		"kind":            {registrytest.Fault{Kind: "manifest"}, tagPath, true},
		"another kind":    {registrytest.Fault{Kind: "manifest"}, blob, false},
		"method":          {registrytest.Fault{Method: "GET"}, tagPath, true},
		"another method":  {registrytest.Fault{Method: "HEAD"}, tagPath, false},
		"repository":      {registrytest.Fault{Repo: "app"}, tagPath, true},
		"another one":     {registrytest.Fault{Repo: "ap"}, tagPath, false},
		"tag":             {registrytest.Fault{Ref: "v1"}, tagPath, true},
		"digest":          {registrytest.Fault{Ref: digest}, blob, true},
		"another digest":  {registrytest.Fault{Ref: digest}, tagPath, false},
		"all but one":     {registrytest.Fault{Kind: "manifest", Method: "GET", Repo: "app", Ref: "v2"}, tagPath, false},
		"match":           {registrytest.Fault{Match: func(r registrytest.Request) bool { return r.UserAgent != "" }}, tagPath, true},
		"no match":        {registrytest.Fault{Match: func(r registrytest.Request) bool { return r.AuthScheme != "" }}, tagPath, false},
		"match of others": {registrytest.Fault{Ref: "v2", Match: func(registrytest.Request) bool { return true }}, tagPath, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newFaulty(t, nil)
			c.r.PutBlob("app", []byte("content"))
			test.fault.Do = registrytest.Status(500)
			remove := c.r.Inject(test.fault)
			want := 200
			if test.hit {
				want = 500
			}
			c.do(want, "GET", test.path, "")
			remove()
			c.do(200, "GET", test.path, "")
		})
	}
}

func TestFault_SkipAndTimes(t *testing.T) {
	c, _ := newFaulty(t, nil)
	c.r.Inject(registrytest.Fault{Kind: "manifest", Skip: 2, Times: 2, Do: registrytest.Status(503)})
	for i, want := range []int{200, 200, 503, 503, 200, 200} {
		if a, err := c.send("GET", tagPath, ""); err != nil || a.status != want {
			t.Errorf("request %d: status %d, error %v, want %d", i, a.status, err, want)
		}
		c.do(200, "GET", "/v2/", "")
	}
}

func TestFault_SeveralApplyTheFirstOutermost(t *testing.T) {
	c, m := newFaulty(t, registrytest.SetHeader("X-Fault", "first"))
	c.r.Inject(registrytest.Fault{Do: registrytest.Chain(registrytest.SetHeader("X-Fault", "second"), registrytest.FlipByte())})
	a := c.do(200, "GET", tagPath, "")
	c.header(a, "X-Fault", "first")
	if a.body == m {
		t.Error("the second fault had no effect")
	}
	if got := c.r.Requests(); len(got) != 1 || got[0].Status != 200 {
		t.Errorf("requests %+v", got)
	}
}

func TestFault_WithoutEffectDoesNothing(t *testing.T) {
	c, m := newFaulty(t, nil)
	c.r.Inject(registrytest.Fault{})
	c.body(c.do(200, "GET", tagPath, ""), m)
}

func TestEffect_ErrorsStayAsTheyAre(t *testing.T) {
	c, _ := newFaulty(t, registrytest.Chain(registrytest.FlipByte(), registrytest.Endless(), registrytest.GzipBomb(1000), registrytest.Truncate(1)))
	c.refused(404, "MANIFEST_UNKNOWN", "GET", "/v2/app/manifests/v2", "")
}

func TestEffect_FlipByte(t *testing.T) {
	c, m := newFaulty(t, registrytest.FlipByte())
	for range 2 { // what is stored stays
		a := c.do(200, "GET", tagPath, "")
		differ := 0
		for i := range min(len(a.body), len(m)) {
			if a.body[i] != m[i] {
				differ++
			}
		}
		if len(a.body) != len(m) || differ != 1 {
			t.Errorf("%d of %d bytes differ from %d", differ, len(a.body), len(m))
		}
		c.header(a, "Docker-Content-Digest", digestOf(m))
	}
}

func TestEffect_ReplaceBody(t *testing.T) {
	c, m := newFaulty(t, registrytest.ReplaceBody([]byte("other")))
	a := c.do(200, "GET", tagPath, "")
	c.body(a, "other")
	c.header(a, "Docker-Content-Digest", digestOf(m))
	c.header(c.do(200, "HEAD", tagPath, ""), "Content-Length", "5")
}

func TestEffect_Headers(t *testing.T) {
	c, m := newFaulty(t, nil)
	for _, method := range []string{"GET", "HEAD"} {
		with := func(do registrytest.Effect) answer {
			t.Helper()
			defer c.r.Inject(registrytest.Fault{Do: do})()
			a := c.do(200, method, tagPath, "")
			if method == "GET" {
				c.body(a, m)
			}
			return a
		}
		c.header(with(registrytest.SetHeader("Content-Type", "text/html")), "Content-Type", "text/html")
		c.header(with(registrytest.DropHeader("Docker-Content-Digest")), "Docker-Content-Digest", "")
		if got := with(registrytest.WrongDigestHeader()).header.Get("Docker-Content-Digest"); got == digestOf(m) || !strings.HasPrefix(got, "sha256:") {
			t.Errorf("Docker-Content-Digest %q", got)
		}
		if got := with(registrytest.HugeHeader(100_000)).header.Get("X-Huge"); len(got) != 100_000 {
			t.Errorf("a header of %d bytes", len(got))
		}
	}
}

func TestEffect_ContentLength(t *testing.T) {
	c, m := newFaulty(t, registrytest.ContentLength(int64(len(manifestOf("one", "")))+10))
	a, err := c.send("GET", tagPath, "")
	if err != nil || !errors.Is(a.err, io.ErrUnexpectedEOF) || a.body != m {
		t.Errorf("longer: %v, %v, %q", err, a.err, a.body)
	}
	c.header(c.do(200, "HEAD", tagPath, ""), "Content-Length", fmt.Sprint(len(m)+10))

	c, m = newFaulty(t, registrytest.ContentLength(7))
	a = c.do(200, "GET", tagPath, "")
	c.header(a, "Content-Length", "7")
	c.body(a, m[:7])
}

func TestEffect_Truncate(t *testing.T) {
	c, m := newFaulty(t, registrytest.Truncate(10))
	a, err := c.send("GET", tagPath, "")
	if err != nil || a.err == nil || a.body != m[:10] {
		t.Errorf("%v, %v, %q", err, a.err, a.body)
	}
	c.header(a, "Content-Length", fmt.Sprint(len(m)))
	c.do(200, "HEAD", tagPath, "")
	if got := c.r.Requests(); len(got) != 2 || got[0].Status != 200 {
		t.Errorf("requests %+v", got)
	}
}

func TestEffect_HangUp(t *testing.T) {
	c, _ := newFaulty(t, registrytest.HangUp())
	if a, err := c.send("GET", tagPath, ""); err == nil {
		t.Errorf("an answer: %+v", a)
	}
	for _, got := range c.r.Requests() { // net/http may have tried again
		if got.Status != 0 {
			t.Errorf("request %+v", got)
		}
	}
}

func TestEffect_Status(t *testing.T) {
	c, _ := newFaulty(t, registrytest.Status(429, "Retry-After", "7", "X-More", "y"))
	a := c.do(429, "GET", tagPath, "")
	c.header(a, "Retry-After", "7")
	c.header(a, "X-More", "y")
	c.refused(429, "TOO_MANY_REQUESTS", "GET", tagPath, "")
	c.do(429, "HEAD", tagPath, "")
}

func TestEffect_Reply(t *testing.T) {
	c, _ := newFaulty(t, registrytest.Reply(registrytest.Answer{Status: 500, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<h1>\x1b[31m")}))
	a := c.do(500, "GET", tagPath, "")
	c.header(a, "Content-Type", "text/html")
	c.body(a, "<h1>\x1b[31m")
}

func TestEffect_Hide(t *testing.T) {
	c, _ := newFaulty(t, nil)
	digest := c.r.PutBlob("app", []byte("content"))
	c.r.Inject(registrytest.Fault{Do: registrytest.Hide()})
	c.refused(404, "MANIFEST_UNKNOWN", "GET", tagPath, "")
	c.refused(404, "BLOB_UNKNOWN", "GET", "/v2/app/blobs/"+digest, "")
	c.refused(404, "NAME_UNKNOWN", "GET", "/v2/app/tags/list", "")
	c.refused(404, "UNSUPPORTED", "GET", "/v2/app/referrers/"+digest, "")
}

// within sends a GET that the client gives up after that time.
func (c *client) within(d time.Duration, path string) (body string, err error) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), d)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+c.host+path, nil)
	if err != nil {
		c.Fatal(err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // read to its end, or failed already
	return string(data), err
}

func TestEffect_Delay(t *testing.T) {
	c, m := newFaulty(t, registrytest.Delay(50*time.Millisecond))
	begun := time.Now()
	c.body(c.do(200, "GET", tagPath, ""), m)
	if took := time.Since(begun); took < 50*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	c, _ = newFaulty(t, registrytest.Delay(time.Hour))
	if _, err := c.within(50*time.Millisecond, tagPath); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an answer, or %v", err)
	}
}

func TestEffect_Drip(t *testing.T) {
	c, m := newFaulty(t, registrytest.Drip(len(manifestOf("one", ""))/4+1, 20*time.Millisecond))
	begun := time.Now()
	c.body(c.do(200, "GET", tagPath, ""), m)
	if took := time.Since(begun); took < 3*20*time.Millisecond {
		t.Errorf("four parts took %v", took)
	}
	c.do(200, "HEAD", tagPath, "")
	for _, size := range []int{0, 10} {
		c, m = newFaulty(t, registrytest.Drip(size, time.Hour))
		body, err := c.within(200*time.Millisecond, tagPath)
		if !errors.Is(err, context.DeadlineExceeded) || body != m[:size] {
			t.Errorf("drops of %d: got %q, error %v", size, body, err)
		}
	}
}

func TestEffect_Endless(t *testing.T) {
	c, m := newFaulty(t, registrytest.Endless())
	res, err := c.http.Get("http://" + c.host + tagPath)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 5<<20)
	if _, err := io.ReadFull(res.Body, head); err != nil || !bytes.HasPrefix(head, []byte(m+"   ")) || res.ContentLength >= 0 {
		t.Errorf("length %d, %q, %v", res.ContentLength, head[:100], err)
	}
	_ = res.Body.Close() // there is no end
	c.do(200, "HEAD", tagPath, "")
}

func TestEffect_EndlessBeneathOtherEffectsIsBounded(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	const bound = 16 << 20
	for name, do := range map[string]registrytest.Effect{
		"rewrite": registrytest.FlipByte(), "header": registrytest.SetHeader("X-Y", "z"), "truncate": registrytest.Truncate(bound), "bomb": registrytest.GzipBomb(10),
	} {
		c, _ := newFaulty(t, registrytest.Chain(do, registrytest.Endless()))
		a := c.do(200, "GET", tagPath, "")
		c.header(a, "Content-Length", "")
		if size := len(a.body); name != "bomb" && size != bound || size > bound {
			t.Errorf("%s: %d bytes", name, size)
		}
		c.header(c.do(200, "HEAD", tagPath, ""), "Content-Length", "")
	}
	large := strings.Repeat("x", bound+1) // a length that is known is no bound
	c, _ := newFaulty(t, nil)
	digest := c.r.PutBlob("app", []byte(large))
	c.r.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.SetHeader("X-Y", "z")})
	a := c.do(200, "GET", "/v2/app/blobs/"+digest, "")
	c.header(a, "Content-Length", fmt.Sprint(len(large)))
	c.body(a, large)
}

func TestEffect_GzipBomb(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	c, m := newFaulty(t, registrytest.GzipBomb(50<<20))
	a := c.do(200, "GET", tagPath, "")
	c.header(a, "Content-Encoding", "gzip")
	if len(a.body) > 1<<20 {
		t.Errorf("the bomb itself has %d bytes", len(a.body))
	}
	zip, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, len(m))
	if _, err := io.ReadFull(zip, head); err != nil || string(head) != m {
		t.Errorf("it begins with %q, %v", head, err)
	}
	if n, err := io.Copy(io.Discard, zip); n != 50<<20 || err != nil {
		t.Errorf("%d bytes follow, %v", n, err)
	}
	c.do(200, "HEAD", tagPath, "")
}

func TestEffect_Redirect(t *testing.T) {
	c, _ := newFaulty(t, registrytest.Redirect("http://10.0.0.1/x"))
	c.header(c.do(307, "GET", tagPath, ""), "Location", "http://10.0.0.1/x")

	other, m := newFaulty(t, nil)
	c, _ = newFaulty(t, registrytest.RedirectBase("http://"+other.host))
	c.header(c.do(307, "GET", tagPath+"?a=b", ""), "Location", "http://"+other.host+tagPath+"?a=b")
	follow := &http.Client{}
	defer follow.CloseIdleConnections()
	res, err := follow.Get("http://" + c.host + tagPath)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // read to its end, or failed already
	if err != nil || string(got) != m {
		t.Errorf("followed to %q, %v", got, err)
	}

	c, _ = newFaulty(t, registrytest.RedirectLoop())
	first := c.do(307, "GET", tagPath, "").header.Get("Location")
	second := c.do(307, "GET", first, "").header.Get("Location")
	if first == second || !strings.HasPrefix(second, tagPath) {
		t.Errorf("redirects to %q, then %q", first, second)
	}
}

func TestEffect_AlternateTag(t *testing.T) {
	c, one := newFaulty(t, nil)
	two := manifestOf("two", "")
	c.r.Put("app", "", ociManifest, []byte(two))
	c.r.Inject(registrytest.Fault{Kind: "manifest", Ref: "v1", Do: registrytest.AlternateTag(digestOf(one), digestOf(two))})
	for _, want := range []string{one, two, one} {
		a := c.do(200, "GET", tagPath, "")
		c.body(a, want)
		c.header(a, "Docker-Content-Digest", digestOf(want))
	}
	c.header(c.do(200, "HEAD", tagPath, ""), "Docker-Content-Digest", digestOf(two))
	c.body(c.do(200, "GET", "/v2/app/manifests/"+digestOf(one), ""), one)
}

// pushAll pushes a manifest by tag and by digest, and a blob in both ways.
func (c *client) pushAll(m, blob string) {
	c.Helper()
	for _, ref := range []string{"pushed", digestOf(m)} {
		a := c.do(201, "PUT", "/v2/app/manifests/"+ref, m, "Content-Type", ociManifest)
		c.header(a, "Docker-Content-Digest", digestOf(m))
		c.header(a, "OCI-Subject", digestOf("subject"))
	}
	at := c.start("app")
	c.do(202, "PATCH", at, blob)
	c.header(c.do(201, "PUT", at+"&digest="+digestOf(blob), ""), "Docker-Content-Digest", digestOf(blob))
	c.do(201, "POST", "/v2/app/blobs/uploads/?digest="+digestOf(blob), blob)
}

func withSubject() string {
	return manifestOf("pushed", fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":1}`, ociManifest, digestOf("subject")))
}

func TestEffect_Swallow(t *testing.T) {
	c, _ := newFaulty(t, nil)
	c.r.Inject(registrytest.Fault{Do: registrytest.Swallow()})
	m := withSubject()
	c.pushAll(m, "content")
	c.do(404, "GET", "/v2/app/manifests/pushed", "")
	c.do(404, "GET", "/v2/app/manifests/"+digestOf(m), "")
	c.do(404, "GET", "/v2/app/blobs/"+digestOf("content"), "")
	if list, _ := c.referrers("/v2/app/referrers/" + digestOf("subject")); len(list) != 0 {
		t.Errorf("referrers %v", list)
	}
	c.do(200, "GET", tagPath, "")
}

func TestEffect_StoreOther(t *testing.T) {
	c, _ := newFaulty(t, nil)
	c.r.Inject(registrytest.Fault{Do: registrytest.StoreOther([]byte("other"))})
	m := withSubject()
	c.pushAll(m, "content")
	a := c.do(200, "GET", "/v2/app/manifests/pushed", "")
	c.body(a, "other")
	c.header(a, "Docker-Content-Digest", digestOf("other"))
	a = c.do(200, "GET", "/v2/app/manifests/"+digestOf(m), "")
	c.body(a, "other")
	c.header(a, "Docker-Content-Digest", digestOf(m))
	c.body(c.do(200, "GET", "/v2/app/blobs/"+digestOf("content"), ""), "other")
}

func TestEffect_PushesThatWouldBeRefused(t *testing.T) {
	c := newClient(t, registrytest.Options{MaxManifest: 10, MaxBlob: 10})
	c.r.Inject(registrytest.Fault{Do: registrytest.Swallow()})
	c.do(413, "PUT", tagPath, strings.Repeat("x", 11), "Content-Type", ociManifest)
	c.do(413, "POST", "/v2/app/blobs/uploads/?digest="+digestOf("x"), strings.Repeat("x", 11))
}

func TestEffect_LyingReferrers(t *testing.T) {
	c, _ := newFaulty(t, nil)
	subject := digestOf("subject")
	c.pushReferrers(subject)
	path := "/v2/app/referrers/" + subject
	real, _ := c.referrers(path)
	invented := registrytest.InventReferrers(2, "a/invented")
	with := func(do registrytest.Effect) ([]v1.Descriptor, answer) {
		t.Helper()
		defer c.r.Inject(registrytest.Fault{Kind: "referrers", Ref: subject, Do: do})()
		return c.referrers(path)
	}

	list, _ := with(registrytest.ReplaceReferrers(invented...))
	if got := artifactTypes(list); got != "a/invented a/invented" || list[0].Digest == list[1].Digest {
		t.Errorf("replaced: %v", list)
	}
	if list, _ = with(registrytest.ReplaceReferrers()); len(list) != 0 {
		t.Errorf("replaced by nothing: %v", list)
	}
	list, _ = with(registrytest.AddReferrers(invented[0], real[0], v1.Descriptor{ArtifactType: "a/malformed", Digest: v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}}))
	if len(list) != 6 || list[3].Digest != invented[0].Digest || list[4].Digest != real[0].Digest || list[5].ArtifactType != "a/malformed" {
		t.Errorf("extended: %v", list)
	}
	list, a := with(registrytest.NextPage("http://other.example/v2/"))
	if c.header(a, "Link", `<http://other.example/v2/>; rel="next"`); len(list) != 3 {
		t.Errorf("with a link: %v", list)
	}
	_, a = with(registrytest.LoopPage())
	c.header(a, "Link", "<"+path+`>; rel="next"`)
}

func TestEffect_EndlessReferrers(t *testing.T) {
	c, _ := newFaulty(t, nil)
	c.r.Inject(registrytest.Fault{Kind: "referrers", Do: registrytest.EndlessReferrers(3)})
	seen := make(map[v1.Hash]bool)
	path := "/v2/app/referrers/" + digestOf("subject")
	for range 10 {
		list, a := c.referrers(path)
		for _, d := range list {
			seen[d.Digest] = true
		}
		if path = nextPage(a); path == "" {
			t.Fatal("there is an end")
		}
	}
	if len(seen) != 30 {
		t.Errorf("%d different referrers on 10 pages, want 30", len(seen))
	}
}

func TestEffect_ReferrersOfARegistryWithoutThem(t *testing.T) {
	c := newClient(t, registrytest.Options{NoReferrers: true})
	c.r.Inject(registrytest.Fault{Kind: "referrers", Do: registrytest.ReplaceReferrers(registrytest.InventReferrers(1, "a/b")...)})
	if list, _ := c.referrers("/v2/app/referrers/" + digestOf("subject")); len(list) != 1 {
		t.Errorf("referrers %v", list)
	}
}

func TestEffect_ServesAnyHandler(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	c, _ := newFaulty(t, nil)
	c.host = registrytest.Start(t, registrytest.Chain(registrytest.Swallow(), registrytest.StoreOther(nil), registrytest.SetHeader("X-Fault", "yes"))(hello))
	a := c.do(200, "PUT", tagPath, "")
	c.body(a, "hello")
	c.header(a, "X-Fault", "yes")
}

func TestServe_EndsConnections(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	r.Inject(registrytest.Fault{Do: registrytest.Delay(time.Hour)})
	host, stop, err := registrytest.Serve(r)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		res, err := http.Get("http://" + host + "/v2/")
		if err == nil {
			_ = res.Body.Close() // it should not be there
		}
		failed <- err
	}()
	for len(r.Requests()) == 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
	if _, err := http.Get("http://" + host + "/v2/"); err == nil {
		t.Error("the registry is still there")
	}
}
