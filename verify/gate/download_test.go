package gate_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// blobs is an upstream that does as it is told where a blob is asked for, and counts.
type blobs struct {
	rest   http.Handler
	prefix string
	asked  atomic.Int64
	do     func(w http.ResponseWriter, r *http.Request)
}

func (b *blobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, b.prefix) {
		b.rest.ServeHTTP(w, r)
		return
	}
	b.asked.Add(1)
	b.do(w, r)
}

// begin asks for something and leaves the body to be read.
func (s *scene) begin(ctx context.Context, path string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+path, nil)
	must(s.t, err)
	resp, err := s.server.Client().Do(req)
	must(s.t, err)
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// Who comes just as the last client of a download leaves is not given the end that
// was meant for that one.
func TestADownloadThatIsGivenUpIsNobodyElses(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, layer := s.bigImage("big", 1<<20)
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.Drip(300<<10, 5*time.Millisecond)})
	s.passes("big")
	path := "/v2/team/app/blobs/" + layer
	for range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		_ = s.begin(ctx, path)
		var wg sync.WaitGroup
		wg.Go(cancel)
		wg.Go(func() {
			if r := s.get(path); r.status != http.StatusOK || r.err != nil {
				t.Errorf("%d, %d bytes, %v", r.status, len(r.body), r.err)
			}
		})
		wg.Wait()
	}
}

// other pushes and signs an image in another repository that lists the layers of one
// here, with sizes of its own choosing.
func (s *scene) other(repository string, layers ...piece) name.Digest {
	s.t.Helper()
	repo, err := name.NewRepository(known + "/" + repository)
	must(s.t, err)
	_, text, _ := s.hosted.Manifest("team/app", s.signed.DigestStr())
	for _, l := range layers {
		old := s.parts(s.signed)[1]
		text = bytes.Replace(text, []byte(old.Digest.String()), []byte(l.Digest), 1)
		text = bytes.Replace(text, []byte(`"size":`+itoa(int(old.Size))+`,`), []byte(`"size":`+itoa(l.Size)+`,`), 1)
	}
	digest := repo.Digest(s.hosted.Put(repository, "v1", manifestType, text))
	s.sign(digest)
	return digest
}

// A tenant's manifest lies about the size of a layer that others download: they go on
// sharing one download.
func TestAttack_P9_ALieAboutASizeCostsOthersNoDownload(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, layer := s.bigImage("big", 1<<20)
	content, _ := s.hosted.Blob("team/app", layer)
	release := make(chan struct{})
	upstream := &blobs{rest: s.hosted, prefix: "/v2/team/app/blobs/" + layer, do: func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write(content) // the client's affair
	}}
	s.hosted.PutBlob("evil/x", content)
	s.other("evil/x", piece{layerType, layer, len(content) + 1})
	s.start(registrytest.Start(t, upstream), nil)
	s.passes("big")
	s.serves("/v2/evil/x/manifests/v1")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if i%2 == 1 {
				s.get("/v2/evil/x/blobs/" + layer) // refused, sooner or later
				return
			}
			if r := s.get("/v2/team/app/blobs/" + layer); r.status != http.StatusOK || !bytes.Equal(r.body, content) {
				t.Errorf("%d, %d bytes, %v", r.status, len(r.body), r.err)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	close(release)
	wg.Wait()
	if n := upstream.asked.Load(); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

// A tenant's repository lists a layer and does not have it, breaks off in it, or has
// something else there. Those who pull it from where it is get it, or at least know
// that they have not.
func TestAttack_P9_OneRepositorysFailureIsNotAnothers(t *testing.T) {
	for label, test := range map[string]struct {
		do   func(w http.ResponseWriter, content []byte)
		good bool
	}{
		"is missing": {func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) }, true},
		"breaks off": {func(w http.ResponseWriter, content []byte) {
			_, _ = w.Write(content[:600<<10])
			panic(http.ErrAbortHandler)
		}, true},
		"is another": {func(w http.ResponseWriter, content []byte) { _, _ = w.Write(bytes.ToUpper(content)) }, false},
		"begins as other": {func(w http.ResponseWriter, content []byte) {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 600<<10))
			panic(http.ErrAbortHandler)
		}, false},
	} {
		t.Run(label, func(t *testing.T) {
			s := newScene(t, registrytest.Options{}, nil)
			_, layer := s.bigImage("big", 1<<20)
			content, _ := s.hosted.Blob("team/app", layer)
			s.hosted.PutBlob("evil/x", content)
			s.other("evil/x", piece{layerType, layer, len(content)})
			release := make(chan struct{})
			upstream := &blobs{rest: s.hosted, prefix: "/v2/evil/x/blobs/" + layer, do: func(w http.ResponseWriter, _ *http.Request) {
				<-release
				test.do(w, content)
			}}
			s.start(registrytest.Start(t, upstream), nil)
			s.passes("big")
			s.serves("/v2/evil/x/manifests/v1")
			var wg sync.WaitGroup
			wg.Go(func() { s.get("/v2/evil/x/blobs/" + layer) })
			eventually(t, "the other's download has begun", func() bool { return upstream.asked.Load() == 1 })
			for range 4 {
				wg.Go(func() {
					r := s.get("/v2/team/app/blobs/" + layer)
					if complete := r.status == http.StatusOK && r.err == nil; complete && !bytes.Equal(r.body, content) || test.good && !complete {
						t.Errorf("%d, %d bytes, %v", r.status, len(r.body), r.err)
					}
				})
			}
			time.Sleep(50 * time.Millisecond)
			close(release)
			wg.Wait()
		})
	}
}

// A client that comes as a download ends, when the blob is in the store already, reads it
// there.
func TestADownloadThatHasJustEndedIsNotBegunAgain(t *testing.T) {
	s := storeScene(t, t.TempDir(), store.Options{})
	for i := range 25 {
		_, layer := s.bigImage("t"+itoa(i), 4<<10)
		s.passes("t" + itoa(i))
		s.hosted.ResetRequests()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if r := s.get("/v2/team/app/blobs/" + layer); r.status != http.StatusOK {
					t.Errorf("%d", r.status)
				}
			})
		}
		wg.Wait()
		if n := len(s.hosted.Requests()); n != 1 {
			t.Fatalf("%d requests for one blob", n)
		}
	}
}

// Without a store a file that is complete is shared as long as a client reads it.
func TestACompleteDownloadIsSharedWhileSomebodyReadsIt(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, layer := s.bigImage("big", 32<<20)
	s.passes("big")
	path := "/v2/team/app/blobs/" + layer
	slow := s.begin(t.Context(), path)
	s.hosted.ResetRequests()
	for range 10 {
		if r := s.drain(path); r.status != http.StatusOK || r.n < 32<<20 {
			t.Fatalf("%d, %d bytes, %v", r.status, r.n, r.err)
		}
	}
	if n := len(s.hosted.Requests()); n != 0 {
		t.Errorf("%d more downloads", n)
	}
	if n, err := io.Copy(io.Discard, slow.Body); err != nil || n < 32<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type panicsAtDownloads struct{}

func (panicsAtDownloads) Event(context.Context, gate.Event)       {}
func (panicsAtDownloads) Download(context.Context, gate.Download) { panic("unforeseen") }

// A download runs apart from the request that began it: no caller catches what
// an observer does.
func TestAnObserverThatPanicsAtADownloadEndsNothing(t *testing.T) {
	log := &lines{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Observer, c.Logger = panicsAtDownloads{}, textLogger(log) })
	s.pulls("with a panic", "signed", s.parts(s.signed))
	eventually(t, "the operator is told", func() bool { return strings.Contains(log.text(), `msg="internal failure" cause=unforeseen`) })
}

func TestAttack_P2_HEADOfABlobThatPassesAsEvidenceIsJudgedAsGET(t *testing.T) {
	for _, stored := range []bool{false, true} {
		s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
			if stored {
				c.Store = openStore(t, t.TempDir(), store.Options{})
			}
		})
		archive, payload := s.blob("application/json", append([]byte("\x1f\x8b"), make([]byte, 600)...)), s.blob("application/json", []byte(`{"x":1}`))
		s.serves("/v2/team/app/manifests/" + s.attach(s.signed.DigestStr(), 1, archive, payload))
		for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodHead} {
			if r := s.ask(method, "/v2/team/app/blobs/"+archive.Digest); r.status != http.StatusForbidden {
				t.Errorf("stored %v: %s of an archive: %d", stored, method, r.status)
			}
			if r := s.ask(method, "/v2/team/app/blobs/"+payload.Digest); r.status != http.StatusOK || r.header.Get("Content-Length") != itoa(payload.Size) {
				t.Errorf("stored %v: %s of evidence: %d %v", stored, method, r.status, r.header)
			}
		}
	}
}
