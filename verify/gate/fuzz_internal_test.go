package gate

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// What is accepted of a path says the same when it is written again.
func FuzzLocate(f *testing.F) {
	f.Add("/v2/team/app/manifests/../x")
	f.Add("/v2/00000000../0/tags/list")
	for _, path := range []string{
		"/v2/", "/v2/team/app/manifests/v1", "/v2/a/blobs/sha256:" + strings.Repeat("0", 64), "/v2/manifests/manifests/v1", "/v2/registry.example:5000/a/tags/list",
		"/v2/a/referrers/sha256:" + strings.Repeat("f", 64), "/v2/a/../b/manifests/v1", "/v2/a%2fb/manifests/v1", "//v2/a/manifests/x", "/v2/a/blobs/uploads/",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.ParseRequestURI(text)
		if err != nil {
			return
		}
		l, refused := locate(u)
		if refused != nil {
			if refused.status < 400 || refused.message == "" {
				t.Fatalf("%+v", refused)
			}
			return
		}
		word := map[endpoint]string{atManifest: "/manifests/" + l.ref, atBlob: "/blobs/" + l.ref, atReferrers: "/referrers/" + l.ref, atTags: "/tags/list"}[l.at]
		again := "/v2/" + l.repo + word
		if l.at == atPing {
			again = strings.TrimSuffix("/v2/", "/") + strings.TrimPrefix(u.Path, "/v2")
		}
		if again != u.Path || strings.Contains(l.repo, "..") || strings.ContainsAny(u.EscapedPath(), "%\\") {
			t.Fatalf("%q was read as %+v", text, l)
		}
	})
}

// What the transport leaves alone names no content, neither as it stands nor as
// a program might read it that cleans paths first.
func FuzzJudged(f *testing.F) {
	f.Add("/v2/team/blobs/uploads/app/manifests/v1")
	for _, seed := range []string{
		"/v2/", "/v2/_catalog", "/v2/team/app/blobs/uploads/0123?x=y", "/v2/team/app/tags/list", "/token", "/v2/a/blobs/uploads/../../manifests/x", "/v2/a/manifests/x/blobs/uploads/..",
		"/v2/blobs/uploads/blobs/uploads/manifests", "/v2/a/blobs%2fuploads/x", "/V2/a/manifests/x", "//v2/a/manifests/x", "/v2/_catalog/manifests/x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.ParseRequestURI(text)
		if err != nil || u.Host != "" || judged(&http.Request{Method: http.MethodGet, URL: u}) {
			return
		}
		for _, read := range []string{u.Path, path.Clean(u.Path)} {
			rest, is := strings.CutPrefix(strings.ToLower(read), "/v2/")
			if l := split(rest); is && (l.at == atManifest || l.at == atBlob || l.at == atReferrers) {
				t.Fatalf("%q is not judged, and is %+v", text, l)
			}
		}
	})
}

// What is accepted of a range lies within the blob.
func FuzzSpan(f *testing.F) {
	f.Add("bytes=1-2", int64(3))
	for _, header := range []string{"bytes=0-", "bytes=-5", "bytes=3-9", "bytes=9-3", "bytes=0-0,2-3", "bytes=9223372036854775807-", "bytes=-9223372036854775807", "bytes=0-9223372036854775807", "items=0-1"} {
		f.Add(header, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		s, refused := spanOf(header, size)
		if refused == nil && (s.from < 0 || s.to > size || s.from > s.to || s.part && s.from == s.to) {
			t.Fatalf("%q of %d: %+v", header, size, s)
		}
	})
}

// Nothing that a shared store gives back is believed that was not put there under
// that key.
func FuzzOpenPermit(f *testing.F) {
	kept := make(keeping)
	v := sharing(f, kept)
	key := permitKey{"sha256:p", "registry.example/a", "sha256:d", asManifest}
	remember(f.Context(), v, key.parts(), permit{Allowed: true, Until: time.Unix(1, 0), Size: 5}, time.Hour)
	var sealed []byte
	for _, value := range kept {
		sealed = value
	}
	f.Add(sealed, key.repo, string(asManifest))
	f.Add(sealed[:20], key.repo, string(asManifest))
	f.Add(sealed, "registry.example/b", string(asManifest))
	f.Add(sealed, key.repo, string(asBlob))
	f.Fuzz(func(t *testing.T, value []byte, repo, as string) {
		asked := permitKey{key.policy, repo, key.digest, role(as)}
		_, ok := recall[permit](t.Context(), sharing(t, answering(value)), asked.parts())
		if genuine := asked == key && string(value) == string(sealed); ok != genuine {
			t.Fatalf("%v for %+v", ok, asked)
		}
	})
}

// sharing is a verifier that shares what it decides through a store.
func sharing(t testing.TB, in verify.DecisionStore) *verify.Verifier {
	t.Helper()
	cache, err := verify.NewSharedCache(in, []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(&policy.Policy{Version: 1, Rules: []policy.Rule{{Images: []string{"**"}, Deny: true, Reason: "frozen"}}}, verify.Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// keeping is a shared store.
type keeping map[string][]byte

func (k keeping) Get(_ context.Context, name string) ([]byte, bool) { v, ok := k[name]; return v, ok }

func (k keeping) Put(_ context.Context, name string, value []byte, _ time.Duration) { k[name] = value }

// answering is a shared store that has one value under every name.
type answering []byte

func (a answering) Get(context.Context, string) ([]byte, bool)       { return a, true }
func (answering) Put(context.Context, string, []byte, time.Duration) {}
