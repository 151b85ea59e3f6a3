package registrytest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
)

// client sends requests to one registry as they are: it follows no redirects and
// unpacks nothing.
type client struct {
	testing.TB
	r    *registrytest.Registry
	host string
	http *http.Client
}

func newClient(t testing.TB, o registrytest.Options) *client {
	t.Helper()
	r := registrytest.New(o)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{TB: t, r: r, host: registrytest.Start(t, r), http: &http.Client{
		Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// send sends a request; path may be a URL. headers are names and values in turn.
func (c *client) send(method, path, body string, headers ...string) (answer, error) {
	c.Helper()
	if strings.HasPrefix(path, "/") {
		path = "http://" + c.host + path
	}
	req, err := http.NewRequestWithContext(c.Context(), method, path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	data, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // read to its end, or failed already
	return answer{res.StatusCode, res.Header, string(data), err}, nil
}

// do sends a request that must be answered in full with that status.
func (c *client) do(status int, method, path, body string, headers ...string) answer {
	c.Helper()
	a, err := c.send(method, path, body, headers...)
	if err != nil {
		c.Fatalf("%s %s: %v", method, path, err)
	}
	if a.err != nil {
		c.Fatalf("%s %s: reading the body: %v", method, path, a.err)
	}
	if a.status != status {
		c.Fatalf("%s %s: status %d, want %d; body %.300s", method, path, a.status, status, a.body)
	}
	return a
}

// refused sends a request that must be refused with that status and code.
func (c *client) refused(status int, code, method, path, body string, headers ...string) {
	c.Helper()
	a := c.do(status, method, path, body, headers...)
	var parsed struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.body), &parsed); err != nil || len(parsed.Errors) != 1 || parsed.Errors[0].Code != code || parsed.Errors[0].Message == "" {
		c.Errorf("%s %s: body %q, want code %s", method, path, a.body, code)
	}
}

func (c *client) header(a answer, name, want string) {
	c.Helper()
	if got := a.header.Get(name); got != want {
		c.Errorf("%s is %q, want %q", name, got, want)
	}
}

func (c *client) body(a answer, want string) {
	c.Helper()
	if a.body != want {
		c.Errorf("body is %.200q, want %.200q", a.body, want)
	}
}

func digestOf(data string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(data))) }

// manifestOf is a manifest with a comment; extra are more fields.
func manifestOf(comment, extra string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.example.config","digest":%q,"size":2},"layers":[],"annotations":{"comment":%q}%s}`,
		ociManifest, digestOf("{}"), comment, extra)
}

func TestHandler_Ping(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	for _, path := range []string{"/v2/", "/v2"} {
		c.header(c.do(200, "GET", path, ""), "Docker-Distribution-API-Version", "registry/2.0")
	}
	c.do(200, "HEAD", "/v2/", "")
	c.refused(405, "UNSUPPORTED", "POST", "/v2/", "")
}

func TestHandler_Manifests(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	m := manifestOf("one", "")
	digest := digestOf(m)
	for _, ref := range []string{"v1", digest} {
		path := "/v2/team/app/manifests/" + ref
		a := c.do(201, "PUT", path, m, "Content-Type", ociManifest)
		c.header(a, "Docker-Content-Digest", digest)
		c.header(a, "Location", path)
		c.header(a, "OCI-Subject", "")
		for _, method := range []string{"GET", "HEAD"} {
			a := c.do(200, method, path, "")
			c.header(a, "Content-Type", ociManifest)
			c.header(a, "Content-Length", fmt.Sprint(len(m)))
			c.header(a, "Docker-Content-Digest", digest)
			c.header(a, "ETag", `"`+digest+`"`)
			if method == "GET" {
				c.body(a, m)
			}
		}
	}
	c.do(304, "GET", "/v2/team/app/manifests/v1", "", "If-None-Match", `"`+digest+`"`)
	c.refused(404, "MANIFEST_UNKNOWN", "GET", "/v2/team/app/manifests/v2", "")
	c.refused(404, "MANIFEST_UNKNOWN", "GET", "/v2/team/app/manifests/"+digestOf("other"), "")
	c.refused(404, "MANIFEST_UNKNOWN", "GET", "/v2/other/manifests/v1", "")

	c.do(202, "DELETE", "/v2/team/app/manifests/v1", "")
	c.do(404, "GET", "/v2/team/app/manifests/v1", "")
	c.do(200, "GET", "/v2/team/app/manifests/"+digest, "")
	c.do(202, "DELETE", "/v2/team/app/manifests/"+digest, "")
	c.do(404, "GET", "/v2/team/app/manifests/"+digest, "")
	c.refused(404, "MANIFEST_UNKNOWN", "DELETE", "/v2/team/app/manifests/"+digest, "")
}

func TestHandler_RefusesBadManifests(t *testing.T) {
	c := newClient(t, registrytest.Options{MaxManifest: 1000, RequireContent: true})
	m := manifestOf("one", "")
	put := func(status int, code, ref, body, mediaType string) {
		t.Helper()
		c.refused(status, code, "PUT", "/v2/app/manifests/"+ref, body, "Content-Type", mediaType)
	}
	put(400, "DIGEST_INVALID", digestOf("other"), m, ociManifest)
	put(400, "DIGEST_INVALID", "sha256:abc", m, ociManifest)
	put(400, "MANIFEST_INVALID", "bad!tag", m, ociManifest)
	put(400, "MANIFEST_INVALID", "v1", "no JSON", ociManifest)
	put(400, "MANIFEST_INVALID", "v1", "[]", ociManifest)
	put(400, "MANIFEST_INVALID", "v1", "null", ociManifest)
	put(400, "MANIFEST_INVALID", "v1", m, ociIndex)
	put(400, "MANIFEST_INVALID", "v1", m, "")
	put(413, "SIZE_INVALID", "v1", m+strings.Repeat(" ", 1000), ociManifest)
	put(404, "MANIFEST_BLOB_UNKNOWN", "v1", m, ociManifest)
	c.refused(405, "UNSUPPORTED", "POST", "/v2/app/manifests/v1", m)
	if tags := c.r.Tags("app"); len(tags) != 0 {
		t.Errorf("tags %v were set", tags)
	}
	c.r.PutBlob("app", []byte("{}"))
	c.do(201, "PUT", "/v2/app/manifests/v1", m, "Content-Type", ociManifest)
}

func TestHandler_ConditionalPushes(t *testing.T) {
	one, two := manifestOf("one", ""), manifestOf("two", "")
	for _, conditional := range []bool{false, true} {
		t.Run(fmt.Sprint(conditional), func(t *testing.T) {
			c := newClient(t, registrytest.Options{Conditional: conditional})
			put := func(holds bool, body, name, value string) {
				t.Helper()
				status := 201
				if conditional && !holds {
					status = 412
				}
				c.do(status, "PUT", "/v2/app/manifests/v1", body, "Content-Type", ociManifest, name, value)
			}
			put(false, one, "If-Match", `"`+digestOf(one)+`"`)
			put(false, one, "If-Match", "*")
			c.r.DeleteTag("app", "v1")
			put(true, one, "If-None-Match", "*")
			put(false, two, "If-None-Match", "*")
			c.do(201, "PUT", "/v2/app/manifests/v1", one, "Content-Type", ociManifest)
			put(false, two, "If-Match", `"`+digestOf(two)+`"`)
			c.do(201, "PUT", "/v2/app/manifests/v1", one, "Content-Type", ociManifest)
			put(true, two, "If-Match", `"x", "`+digestOf(one)+`"`)
			put(true, one, "If-Match", "*")
		})
	}
}

func TestHandler_Blobs(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	digest := c.r.PutBlob("app", []byte("0123456789"))
	path := "/v2/app/blobs/" + digest
	for _, method := range []string{"GET", "HEAD"} {
		a := c.do(200, method, path, "")
		c.header(a, "Content-Length", "10")
		c.header(a, "Docker-Content-Digest", digest)
		c.header(a, "Accept-Ranges", "bytes")
	}
	a := c.do(206, "GET", path, "", "Range", "bytes=3-5")
	c.header(a, "Content-Range", "bytes 3-5/10")
	c.body(a, "345")
	c.body(c.do(206, "GET", path, "", "Range", "bytes=7-"), "789")
	c.do(416, "GET", path, "", "Range", "bytes=10-")
	c.refused(404, "BLOB_UNKNOWN", "GET", "/v2/app/blobs/"+digestOf("other"), "")
	c.refused(404, "BLOB_UNKNOWN", "GET", "/v2/other/blobs/"+digest, "")
	c.refused(400, "DIGEST_INVALID", "GET", "/v2/app/blobs/sha256:0", "")
	c.refused(405, "UNSUPPORTED", "PUT", path, "")
	c.do(202, "DELETE", path, "")
	c.do(404, "GET", path, "")
}

func TestHandler_DeletesABlobOrAManifestOfOneDigest(t *testing.T) {
	for kind, other := range map[string]string{"blobs": "manifests", "manifests": "blobs"} {
		c := newClient(t, registrytest.Options{})
		m := manifestOf("both", fmt.Sprintf(`,"subject":{"digest":%q}`, digestOf("subject")))
		digest := c.r.Put("app", "v1", ociManifest, []byte(m))
		c.r.PutBlob("app", []byte(m))
		c.do(202, "DELETE", "/v2/app/"+kind+"/"+digest, "")
		c.do(404, "GET", "/v2/app/"+kind+"/"+digest, "")
		c.body(c.do(200, "GET", "/v2/app/"+other+"/"+digest, ""), m)
		list, _ := c.referrers("/v2/app/referrers/" + digestOf("subject"))
		if there := other == "manifests"; slices.Equal(c.r.Tags("app"), []string{"v1"}) != there || (len(list) == 1) != there {
			t.Errorf("after the deletion in %s: tags %v, referrers %v", kind, c.r.Tags("app"), list)
		}
	}
}

func TestHandler_UploadsInOneRequest(t *testing.T) {
	c := newClient(t, registrytest.Options{MaxBlob: 100})
	digest := digestOf("content")
	a := c.do(201, "POST", "/v2/app/blobs/uploads/?digest="+digest, "content")
	c.header(a, "Location", "/v2/app/blobs/"+digest)
	c.header(a, "Docker-Content-Digest", digest)
	c.body(c.do(200, "GET", "/v2/app/blobs/"+digest, ""), "content")

	c.refused(400, "DIGEST_INVALID", "POST", "/v2/app/blobs/uploads/?digest="+digestOf("other"), "content")
	c.refused(400, "DIGEST_INVALID", "POST", "/v2/app/blobs/uploads/?digest=md5:0", "content")
	large := strings.Repeat("x", 101)
	c.refused(413, "SIZE_INVALID", "POST", "/v2/app/blobs/uploads/?digest="+digestOf(large), large)
	c.do(404, "GET", "/v2/app/blobs/"+digestOf("other"), "")
}

// start opens an upload and returns its URL, and with a digest.
func (c *client) start(repo string) string {
	c.Helper()
	return c.do(202, "POST", "/v2/"+repo+"/blobs/uploads/", "").header.Get("Location")
}

func TestHandler_UploadsInChunks(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	digest := digestOf("onetwothree")
	at := c.start("app")
	a := c.do(202, "PATCH", at, "one", "Content-Range", "0-2")
	c.header(a, "Range", "0-2")
	c.do(416, "PATCH", at, "three", "Content-Range", "6-10")
	a = c.do(202, "PATCH", a.header.Get("Location"), "two")
	c.header(a, "Range", "0-5")
	a = c.do(204, "GET", at, "")
	c.header(a, "Range", "0-5")
	c.do(201, "PUT", at+"&digest="+digest, "three")
	c.body(c.do(200, "GET", "/v2/app/blobs/"+digest, ""), "onetwothree")
	c.refused(404, "BLOB_UPLOAD_UNKNOWN", "PUT", at+"&digest="+digest, "")

	at = c.start("app")
	c.do(202, "PATCH", at, "content")
	c.refused(400, "DIGEST_INVALID", "PUT", at+"&digest="+digestOf("other"), "")
	at = c.start("app")
	c.do(204, "DELETE", at, "")
	c.refused(404, "BLOB_UPLOAD_UNKNOWN", "PATCH", at, "x")
}

func TestHandler_UploadURLsAreTakenAsTheyAre(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	at, err := url.Parse(c.start("app"))
	if err != nil {
		t.Fatal(err)
	}
	c.refused(400, "BLOB_UPLOAD_INVALID", "PUT", at.Path+"?digest="+digestOf("x"), "x")
	c.refused(404, "BLOB_UPLOAD_UNKNOWN", "PUT", strings.Replace(at.String(), "/app/", "/other/", 1)+"&digest="+digestOf("x"), "x")
}

func TestHandler_BoundsUploads(t *testing.T) {
	c := newClient(t, registrytest.Options{MaxBlob: 10})
	at := c.start("app")
	c.do(202, "PATCH", at, "123456")
	c.refused(413, "SIZE_INVALID", "PATCH", at, "123456")
	for range 999 {
		c.start("app")
	}
	c.refused(429, "TOOMANYREQUESTS", "POST", "/v2/app/blobs/uploads/", "")
}

func TestHandler_Mounts(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	digest := c.r.PutBlob("from", []byte("content"))
	c.do(202, "POST", "/v2/to/blobs/uploads/?mount="+digest, "")
	c.do(202, "POST", "/v2/to/blobs/uploads/?mount="+digest+"&from=elsewhere", "")
	c.do(404, "GET", "/v2/to/blobs/"+digest, "")
	a := c.do(201, "POST", "/v2/to/blobs/uploads/?mount="+digest+"&from=from", "")
	c.header(a, "Location", "/v2/to/blobs/"+digest)
	c.body(c.do(200, "GET", "/v2/to/blobs/"+digest, ""), "content")
}

func (c *client) tags(path string) (tags []string, next string) {
	c.Helper()
	a := c.do(200, "GET", path, "")
	var list struct {
		Name string
		Tags []string
	}
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || list.Tags == nil {
		c.Fatalf("body %q: %v", a.body, err)
	}
	return list.Tags, nextPage(a)
}

// nextPage returns the path of the next page, or "".
func nextPage(a answer) string {
	link, ok := strings.CutSuffix(a.header.Get("Link"), `>; rel="next"`)
	if !ok {
		return ""
	}
	return strings.TrimPrefix(link, "<")
}

func TestHandler_Tags(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	c.refused(404, "NAME_UNKNOWN", "GET", "/v2/app/tags/list", "")
	for _, tag := range []string{"c", "a", "b"} {
		c.r.SetTag("app", tag, digestOf("x"))
	}
	for path, want := range map[string]string{
		"/v2/app/tags/list":            "a b c",
		"/v2/app/tags/list?n=0":        "",
		"/v2/app/tags/list?n=3":        "a b c",
		"/v2/app/tags/list?last=a":     "b c",
		"/v2/app/tags/list?last=aa":    "b c",
		"/v2/app/tags/list?last=c":     "",
		"/v2/app/tags/list?n=9&last=b": "c",
	} {
		if got, next := c.tags(path); strings.Join(got, " ") != want || next != "" {
			t.Errorf("%s: %v, next %q, want %q", path, got, next, want)
		}
	}
	var all []string
	for path := "/v2/app/tags/list?n=2"; path != ""; {
		var page []string
		page, path = c.tags(path)
		all = append(all, page...)
	}
	if !slices.Equal(all, []string{"a", "b", "c"}) {
		t.Errorf("pages together: %v", all)
	}
	c.refused(405, "UNSUPPORTED", "POST", "/v2/app/tags/list", "")
}

func (c *client) referrers(path string) (list []v1.Descriptor, a answer) {
	c.Helper()
	a = c.do(200, "GET", path, "")
	c.header(a, "Content-Type", ociIndex)
	index, err := v1.ParseIndexManifest(strings.NewReader(a.body))
	if err != nil || index.Manifests == nil {
		c.Fatalf("body %q: %v", a.body, err)
	}
	return index.Manifests, a
}

// artifactTypes lists those of descriptors.
func artifactTypes(list []v1.Descriptor) string {
	var all []string
	for _, d := range list {
		all = append(all, d.ArtifactType)
	}
	return strings.Join(all, " ")
}

// pushReferrers pushes three manifests that refer to subject: two with an
// artifactType, one without.
func (c *client) pushReferrers(subject string) {
	c.Helper()
	field := fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":1}`, ociManifest, subject)
	for _, m := range []string{
		manifestOf("one", field+`,"artifactType":"a/sig"`), manifestOf("two", field+`,"artifactType":"a/sbom"`), manifestOf("three", field),
	} {
		c.header(c.do(201, "PUT", "/v2/app/manifests/"+digestOf(m), m, "Content-Type", ociManifest), "OCI-Subject", subject)
	}
}

func TestHandler_Referrers(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	subject := digestOf("subject")
	path := "/v2/app/referrers/" + subject
	if list, _ := c.referrers(path); len(list) != 0 {
		t.Errorf("an unknown repository has referrers %v", list)
	}
	c.pushReferrers(subject)
	list, a := c.referrers(path)
	if got := artifactTypes(list); got != "a/sig a/sbom application/vnd.example.config" {
		t.Errorf("artifact types %q", got)
	}
	if list[0].Annotations["comment"] != "one" || list[0].MediaType != ociManifest || list[0].Size == 0 {
		t.Errorf("descriptor %+v", list[0])
	}
	c.header(a, "OCI-Filters-Applied", "")
	list, a = c.referrers(path + "?artifactType=a%2Fsbom")
	if got := artifactTypes(list); got != "a/sbom" {
		t.Errorf("filtered artifact types %q", got)
	}
	c.header(a, "OCI-Filters-Applied", "artifactType")

	c.r.Delete("app", list[0].Digest.String())
	if list, _ = c.referrers(path); len(list) != 2 {
		t.Errorf("after one was deleted: %v", list)
	}
	c.refused(400, "DIGEST_INVALID", "GET", "/v2/app/referrers/sha256:0", "")
	c.refused(405, "UNSUPPORTED", "POST", path, "")
}

func TestHandler_ReferrersOverPages(t *testing.T) {
	c := newClient(t, registrytest.Options{ReferrersPageSize: 1})
	subject := digestOf("subject")
	c.pushReferrers(subject)
	c.pushReferrers(subject) // which changes nothing
	for query, want := range map[string]string{
		"":                      "a/sig a/sbom application/vnd.example.config",
		"?artifactType=a%2Fsig": "a/sig",
	} {
		var all []v1.Descriptor
		for path := "/v2/app/referrers/" + subject + query; path != ""; {
			page, a := c.referrers(path)
			if len(page) != 1 {
				t.Fatalf("a page of %d", len(page))
			}
			all = append(all, page...)
			path = nextPage(a)
		}
		if got := artifactTypes(all); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

func TestHandler_RegistryWithoutReferrers(t *testing.T) {
	c := newClient(t, registrytest.Options{NoReferrers: true})
	subject := digestOf("subject")
	m := manifestOf("one", fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":1}`, ociManifest, subject))
	a := c.do(201, "PUT", "/v2/app/manifests/v1", m, "Content-Type", ociManifest)
	c.header(a, "OCI-Subject", "")
	c.refused(404, "UNSUPPORTED", "GET", "/v2/app/referrers/"+subject, "")
}

func TestHandler_RegistryThatListsConfigTypes(t *testing.T) {
	c := newClient(t, registrytest.Options{ConfigAsArtifactType: true})
	subject := digestOf("subject")
	c.pushReferrers(subject)
	list, a := c.referrers("/v2/app/referrers/" + subject + "?artifactType=a%2Fsig")
	const config = "application/vnd.example.config"
	if got := artifactTypes(list); got != config+" "+config+" "+config {
		t.Errorf("artifact types %q", got)
	}
	c.header(a, "OCI-Filters-Applied", "")

	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"a/index","manifests":[],"subject":{"digest":%q}}`, ociIndex, digestOf("another"))
	c.do(201, "PUT", "/v2/app/manifests/index", index, "Content-Type", ociIndex)
	list, _ = c.referrers("/v2/app/referrers/" + digestOf("another"))
	if got := artifactTypes(list); len(list) != 1 || got != "" {
		t.Errorf("artifact type %q of what has no config, want none", got)
	}
}

func TestHandler_Names(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	m := manifestOf("one", "")
	for _, repo := range []string{"a", "a/b/c/d", "manifests", "blobs", "a/manifests/b", "blobs/uploads", "a/tags/list", "a-b__c.d/e0", "referrers/x"} {
		c.do(201, "PUT", "/v2/"+repo+"/manifests/v1", m, "Content-Type", ociManifest)
		c.do(200, "GET", "/v2/"+repo+"/manifests/v1", "")
		if tags, _ := c.tags("/v2/" + repo + "/tags/list"); !slices.Equal(tags, []string{"v1"}) {
			t.Errorf("tags of %s: %v", repo, tags)
		}
		digest := digestOf("content")
		c.do(201, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest, "content")
		c.do(200, "GET", "/v2/"+repo+"/blobs/"+digest, "")
		c.do(202, "PATCH", c.start(repo), "x")
	}
	for _, repo := range []string{"A", "a//b", "a_", "-a", "..", "a/../b", "a%20b", strings.Repeat("a", 256)} {
		c.refused(400, "NAME_INVALID", "GET", "/v2/"+repo+"/manifests/v1", "")
	}
	for _, path := range []string{"/", "/v1/", "/v2/_catalog", "/v2/a/b", "/token", "/v2/a/blobs/other/id"} {
		c.refused(404, "UNSUPPORTED", "GET", path, "")
	}
}

func TestHandler_RemembersRequests(t *testing.T) {
	c := newClient(t, registrytest.Options{MaxRequests: 3})
	before := time.Now()
	c.do(404, "GET", "/v2/team/app/manifests/v1?x=y", "", "User-Agent", "tester", "Authorization", "Basic eDp5")
	c.do(200, "GET", "/v2/team/app/referrers/"+digestOf("x"), "")
	all := c.r.Requests()
	if len(all) != 2 {
		t.Fatalf("%d requests, want 2", len(all))
	}
	got := all[0]
	want := registrytest.Request{
		Method: "GET", Path: "/v2/team/app/manifests/v1", Query: "x=y", Kind: registrytest.KindManifest, Repo: "team/app", Ref: "v1",
		AuthScheme: "Basic", UserAgent: "tester", Status: 404,
	}
	if got.Header.Get("User-Agent") != "tester" || got.Start.Before(before) || got.Start.After(time.Now()) {
		t.Errorf("request %+v", got)
	}
	got.Header, got.Start, got.End = nil, time.Time{}, time.Time{}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("request\n%+v, want\n%+v", got, want)
	}
	if all[1].Kind != registrytest.KindReferrers || all[1].Status != 200 || all[1].AuthScheme != "" {
		t.Errorf("request %+v", all[1])
	}
	for range 5 {
		c.do(200, "GET", "/v2/", "")
	}
	if n := len(c.r.Requests()); n != 3 {
		t.Errorf("%d requests are remembered, the bound is 3", n)
	}
	c.r.ResetRequests()
	if n := len(c.r.Requests()); n != 0 {
		t.Errorf("%d requests after reset", n)
	}
}

func TestHandler_ServesWhatAnAttackerPut(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	claimed := digestOf("claimed")
	c.r.Put("app", claimed, ociManifest, []byte("other"))
	a := c.do(200, "GET", "/v2/app/manifests/"+claimed, "")
	c.body(a, "other")
	c.header(a, "Docker-Content-Digest", claimed)

	c.r.SetTag("app", "v1", claimed)
	c.body(c.do(200, "GET", "/v2/app/manifests/v1", ""), "other")
	if got := c.r.Put("app", "v1", "text/plain", []byte("third")); got != digestOf("third") {
		t.Errorf("Put returned %s", got)
	}
	a = c.do(200, "GET", "/v2/app/manifests/v1", "")
	c.body(a, "third")
	c.header(a, "Content-Type", "text/plain")

	c.r.PutBlobAs("app", claimed, []byte("evil"))
	c.body(c.do(200, "GET", "/v2/app/blobs/"+claimed, ""), "evil")
	if data, ok := c.r.Blob("app", claimed); !ok || string(data) != "evil" {
		t.Errorf("Blob returned %q, %v", data, ok)
	}
	if mediaType, data, ok := c.r.Manifest("app", "v1"); !ok || mediaType != "text/plain" || !bytes.Equal(data, []byte("third")) {
		t.Errorf("Manifest returned %q, %q, %v", mediaType, data, ok)
	}

	if !c.r.Delete("app", claimed) || c.r.Delete("app", claimed) {
		t.Error("Delete does not tell whether there was anything")
	}
	c.do(404, "GET", "/v2/app/manifests/"+claimed, "")
	c.do(404, "GET", "/v2/app/blobs/"+claimed, "")
	if !c.r.DeleteTag("app", "v1") || c.r.DeleteTag("app", "v1") {
		t.Error("DeleteTag does not tell whether there was a tag")
	}
	c.do(200, "GET", "/v2/app/manifests/"+digestOf("third"), "")

	digest := c.r.Put("app", "", "text/plain", []byte("untagged"))
	c.do(200, "GET", "/v2/app/manifests/"+digest, "")
	if tags := c.r.Tags("app"); len(tags) != 0 {
		t.Errorf("tags %v", tags)
	}
}

func TestHandler_RequiresAllContentThatAManifestLists(t *testing.T) {
	c := newClient(t, registrytest.Options{RequireContent: true})
	config := c.r.PutBlob("app", []byte("{}"))
	child := c.r.Put("app", "", ociManifest, []byte(manifestOf("child", "")))
	manifest := func(layer string) string {
		return fmt.Sprintf(`{"config":{"digest":%q},"layers":[%s],"subject":{"digest":%q}}`, config, layer, digestOf("absent"))
	}
	for body, status := range map[string]int{
		manifest(""): 201,
		manifest(fmt.Sprintf(`{"digest":%q}`, config)):                                       201,
		manifest(fmt.Sprintf(`{"digest":%q}`, digestOf("absent"))):                           404,
		manifest(fmt.Sprintf(`{"digest":%q,"urls":["http://x.example/"]}`, digestOf("abs"))): 201,
		fmt.Sprintf(`{"manifests":[{"digest":%q}]}`, child):                                  201,
		fmt.Sprintf(`{"manifests":[{"digest":%q},{"digest":%q}]}`, child, config):            404,
	} {
		c.do(status, "PUT", tagPath, body, "Content-Type", ociManifest)
	}
	c.refused(405, "UNSUPPORTED", "PUT", "/v2/app/blobs/uploads/", "")
	c.refused(405, "UNSUPPORTED", "POST", c.start("app"), "")
}
