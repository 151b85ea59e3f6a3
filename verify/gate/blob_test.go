package gate_test

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// withoutFiles is a scene whose gate can make no temporary file any more once it has
// begun.
func withoutFiles(t *testing.T) (s *scene, begin func()) {
	dir := filepath.Join(t.TempDir(), "temporary")
	must(t, os.Mkdir(dir, 0o700))
	s = newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TempDir = dir })
	return s, func() { must(t, os.RemoveAll(dir)) }
}

// What shows before anything was sent is an answer of its own, and no broken blob.
func TestWithoutTemporaryFilesASmallBlobThatIsAnotherIsAnError(t *testing.T) {
	s, begin := withoutFiles(t)
	s.passes("signed")
	begin()
	layer := s.parts(s.signed)[1]
	for what, c := range map[string]struct {
		do   registrytest.Effect
		want int
	}{
		"flipped": {registrytest.FlipByte(), http.StatusBadGateway},
		"cut off": {registrytest.Truncate(10), http.StatusServiceUnavailable},
		"longer":  {registrytest.Endless(), http.StatusBadGateway},
		"gone":    {registrytest.Hide(), http.StatusNotFound},
	} {
		remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: c.do})
		if r := s.get(blobPath(layer)); r.status != c.want || r.err != nil || r.message() == "" {
			t.Errorf("%s: %d %s, %v", what, r.status, r.body, r.err)
		}
		remove()
	}
	s.serves(blobPath(layer))
}

func TestWithoutTemporaryFilesAnArchivePassesForNoEvidence(t *testing.T) {
	s, begin := withoutFiles(t)
	good := s.blob("application/json", []byte(`{"good":true}`))
	archive := s.blob("application/json", archives()["zstd behind a skippable frame"])
	s.serves("/v2/team/app/manifests/" + s.attach(s.signed.DigestStr(), 1, good, archive))
	begin()
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		if r := s.ask(method, "/v2/team/app/blobs/"+archive.Digest); r.status != http.StatusForbidden || bytes.Contains(r.body, []byte("\x50\x2a\x4d\x18")) {
			t.Errorf("%s: %d %q", method, r.status, r.body)
		}
	}
	r := s.ask(http.MethodHead, "/v2/team/app/blobs/"+good.Digest)
	if r.status != http.StatusOK || len(r.body) != 0 || r.header.Get("Content-Length") != itoa(good.Size) {
		t.Errorf("HEAD: %d %v", r.status, r.header)
	}
	if r := s.serves("/v2/team/app/blobs/" + good.Digest); string(r.body) != `{"good":true}` {
		t.Errorf("%q", r.body)
	}
}

func TestBlobsThatNoManifestListsAreAskedForWhereTheyAre(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.InsecureOpenBlobs = true })
	missing := "/v2/team/app/blobs/sha256:" + strings.Repeat("0", 64)
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		if r := s.ask(method, missing); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", method, r.status)
		}
	}
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.Status(http.StatusInternalServerError)})
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		if r := s.ask(method, missing); r.status != http.StatusBadGateway {
			t.Errorf("%s where the upstream fails: %d", method, r.status)
		}
	}
}

// leaving is a client that takes so many bytes of a body.
type leaving struct {
	*httptest.ResponseRecorder
	takes int
}

func (l *leaving) Write(p []byte) (int, error) {
	if l.takes -= len(p); l.takes < 0 {
		return 0, errors.New("the client has gone")
	}
	return l.ResponseRecorder.Write(p)
}

func TestABlobForAClientThatHasGoneIsBrokenOff(t *testing.T) {
	for _, shared := range []bool{true, false} {
		s, begin := withoutFiles(t)
		_, layer := s.bigImage("big", 1<<20)
		s.passes("big")
		if !shared {
			begin()
		}
		w := &leaving{httptest.NewRecorder(), 100_000}
		cause := func() (cause any) {
			defer func() { cause = recover() }()
			s.gate.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/team/app/blobs/"+layer, nil))
			return nil
		}()
		if cause != http.ErrAbortHandler || w.Body.Len() > 100_000 {
			t.Errorf("shared %v: %v after %d bytes", shared, cause, w.Body.Len())
		}
	}
}

// The other's download breaks off in the middle of what is sent, and then the
// upstream fails: half a blob must not look whole.
func TestABlobThatCannotBeGoneOnWithIsBrokenOff(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, layer := s.bigImage("big", 1<<20)
	content, _ := s.hosted.Blob("team/app", layer)
	s.hosted.PutBlob("evil/x", content)
	s.other("evil/x", piece{layerType, layer, len(content)})
	release := make(chan struct{})
	upstream := &blobs{prefix: "/v2/evil/x/blobs/" + layer, do: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", itoa(len(content)))
		_, _ = w.Write(content[:600<<10])
		_ = http.NewResponseController(w).Flush()
		<-release
		panic(http.ErrAbortHandler)
	}}
	upstream.rest = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/team/app/blobs/"+layer) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		s.hosted.ServeHTTP(w, r)
	})
	s.start(registrytest.Start(t, upstream), nil)
	s.passes("big")
	s.serves("/v2/evil/x/manifests/v1")
	first := s.begin(t.Context(), "/v2/evil/x/blobs/"+layer)
	defer func() { _ = first.Body.Close() }()
	second := s.begin(t.Context(), "/v2/team/app/blobs/"+layer)
	buffer := make([]byte, 1<<10)
	if _, err := second.Body.Read(buffer); err != nil || second.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", second.StatusCode, err)
	}
	time.AfterFunc(10*time.Millisecond, func() { close(release) })
	n, err := bytes.NewBuffer(nil).ReadFrom(second.Body)
	if err == nil || n >= int64(len(content)) {
		t.Errorf("%d of %d bytes, and no error", n, len(content))
	}
}

func TestARefusalOfABlobDoesNotSayThatItIsTheBlob(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.InsecureOpenBlobs = true })
	r := s.get("/v2/team/app/blobs/sha256:" + strings.Repeat("0", 64))
	if r.status != http.StatusNotFound || r.header.Get("Docker-Content-Digest") != "" {
		t.Errorf("%d %v", r.status, r.header)
	}
}

// A manifest may name blobs by SHA-512. Its bytes are hashed as others are, with a store
// and without.
func TestBlobsMayHaveSHA512Digests(t *testing.T) {
	for label, dir := range map[string]string{"no store": "", "store": t.TempDir()} {
		s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
			if dir != "" {
				c.Store = openStore(t, dir, store.Options{})
			}
		}, verify.Options{DeniedTTL: time.Nanosecond})
		layer := []byte("a layer")
		digest := fmt.Sprintf("sha512:%x", sha512.Sum512(layer))
		s.hosted.PutBlobAs("team/app", digest, layer)
		config := s.hosted.PutBlob("team/app", []byte("{}"))
		image := s.hosted.Put("team/app", "sha512", "application/vnd.oci.image.manifest.v1+json", fmt.Appendf(nil,
			`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":%q},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":%d,"digest":%q}]}`,
			config, len(layer), digest))
		s.denied("/v2/team/app/manifests/"+image, "no-signature")
		if got := s.get("/v2/team/app/blobs/" + digest); got.status != http.StatusForbidden {
			t.Errorf("%s: not judged: %d", label, got.status)
		}
		s.sign(s.signed.Context().Digest(image))
		s.passes(image)
		for range 2 {
			if got := s.get("/v2/team/app/blobs/" + digest); got.status != http.StatusOK || string(got.body) != string(layer) {
				t.Errorf("%s: %d %q", label, got.status, got.body)
			}
		}
	}
}
