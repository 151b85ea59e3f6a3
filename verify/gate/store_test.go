package gate_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// bigImage pushes and signs an image whose layer has a size.
func (s *scene) bigImage(tag string, size int64) (name.Digest, string) {
	s.t.Helper()
	image, err := registrytest.PushImage(context.Background(), s.store, s.repo.Tag(tag), registrytest.ImageOptions{Seed: tag, LayerSize: size})
	must(s.t, err)
	s.sign(image)
	return image, s.parts(image)[1].Digest.String()
}

func storeScene(t *testing.T, dir string, o store.Options) *scene {
	t.Helper()
	return newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Store = openStore(t, dir, o) })
}

func blobFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	must(t, err)
	for _, e := range all {
		names = append(names, "sha256:"+e.Name())
	}
	return names
}

// eventually waits for what happens after an answer.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 500 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it never came to this: %s", what)
}

// stored waits until a blob comes out of the store: its file is there a moment before,
// and while it is downloaded, it comes from there.
func (s *scene) stored(dir, digest string) {
	s.t.Helper()
	eventually(s.t, "the layer is a file", func() bool { return slices.Contains(blobFiles(s.t, dir), digest) })
	remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.HangUp()})
	defer remove()
	eventually(s.t, "the layer is stored", func() bool {
		r := s.get("/v2/team/app/blobs/" + digest)
		return r.status == http.StatusOK && r.err == nil
	})
}

func TestStoredContentIsServedWhileTheUpstreamIsDown(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{})
	_, layer := s.bigImage("big", 1<<20)
	s.passes("big")
	blob := "/v2/team/app/blobs/" + layer
	want := s.get(blob).body
	s.stored(dir, layer)

	s.hosted.Inject(registrytest.Fault{Do: registrytest.HangUp()})
	for _, header := range [][]string{nil, {"Range", "bytes=10-19"}, {"Range", "bytes=-5"}, {"Range", "bytes=1048000-"}} {
		r := s.get(blob, header...)
		if r.err != nil || r.status != http.StatusOK && r.status != http.StatusPartialContent || !bytes.Contains(want, r.body) {
			t.Errorf("%v: %d, %d bytes", header, r.status, len(r.body))
		}
	}
	if r := s.get(blob, "Range", "bytes=10-19"); r.status != http.StatusPartialContent || !bytes.Equal(r.body, want[10:20]) || !strings.HasPrefix(r.header.Get("Content-Range"), "bytes 10-19/") {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r := s.get(blob, "Range", "bytes=99999999-"); r.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("%d", r.status)
	}
	s.passes("big")
	// What was never judged is not served because it is stored.
	if r := s.get("/v2/team/app/manifests/unsigned"); r.status != http.StatusServiceUnavailable {
		t.Errorf("%d", r.status)
	}
}

func TestAttack_P8_StoredContentThatWasChangedIsNeverServed(t *testing.T) {
	for _, always := range []bool{false, true} {
		dir := t.TempDir()
		s := storeScene(t, dir, store.Options{AlwaysVerify: always})
		image, layer := s.bigImage("big", 1<<20)
		s.passes("big")
		blob := "/v2/team/app/blobs/" + layer
		want := s.get(blob).body
		s.stored(dir, layer)
		for i, digest := range []string{layer, image.DigestStr()} {
			path := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
			content, err := os.ReadFile(path)
			must(t, err)
			content[len(content)/2] ^= 1
			must(t, os.WriteFile(path, content, 0o600))
			if r := s.get(blob); r.status != http.StatusOK && r.status != 0 || r.err == nil && !bytes.Equal(r.body, want) {
				t.Errorf("%d: %d, %d bytes", i, r.status, len(r.body))
			}
			if r := s.get(blob); r.status != http.StatusOK || !bytes.Equal(r.body, want) {
				t.Errorf("%d: it is not fetched again: %d, %d bytes", i, r.status, len(r.body))
			}
			s.passes(image.DigestStr())
		}
		// At the next start, too.
		path := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(layer, "sha256:"))
		eventually(t, "the layer is stored", func() bool { _, err := os.Stat(path); return err == nil })
		must(t, os.WriteFile(path, []byte("something else"), 0o600))
		s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Store = openStore(t, dir, store.Options{AlwaysVerify: always}) })
		s.passes("big")
		if r := s.get(blob); r.status != http.StatusOK || !bytes.Equal(r.body, want) {
			t.Errorf("after a start: %d, %d bytes", r.status, len(r.body))
		}
	}
}

// A disk that changes content and leaves size and time as they were is found out
// where all is hashed each time it is read.
func TestAttack_P8_ChangeWithoutATimeIsFoundByHashing(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{AlwaysVerify: true})
	_, layer := s.bigImage("big", 1<<20)
	s.passes("big")
	blob := "/v2/team/app/blobs/" + layer
	want := s.get(blob).body
	path := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(layer, "sha256:"))
	s.stored(dir, layer)
	s.get(blob) // hashed, and known by its size and time
	info, err := os.Stat(path)
	must(t, err)
	content, err := os.ReadFile(path)
	must(t, err)
	content[len(content)/2] ^= 1
	must(t, os.WriteFile(path, content, 0o600))
	must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	if r := s.get(blob); r.err == nil {
		t.Errorf("%d, %d bytes arrived in full", r.status, len(r.body))
	}
	if got := s.events.reasons(gate.EventMismatch); len(got) != 1 || got[0] != "digest-mismatch" {
		t.Errorf("told of %v", got)
	}
	if r := s.get(blob); r.status != http.StatusOK || !bytes.Equal(r.body, want) {
		t.Errorf("it is not fetched again: %d, %d bytes", r.status, len(r.body))
	}
}

func TestTheStoreKeepsWhatWasUsedLast(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{MaxBytes: 5 << 20})
	var layers []string
	for _, tag := range []string{"a", "b", "c", "d", "e"} {
		_, layer := s.bigImage(tag, 2<<20)
		layers = append(layers, layer)
		s.passes(tag)
		s.get("/v2/team/app/blobs/" + layer)
		eventually(t, "the layer is stored", func() bool { return strings.Contains(strings.Join(blobFiles(t, dir), " "), layer) })
	}
	eventually(t, "no more than the limit is kept", func() bool {
		var used int64
		for _, f := range blobFiles(t, dir) {
			if info, err := os.Stat(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(f, "sha256:"))); err == nil {
				used += info.Size()
			}
		}
		return used <= 5<<20
	})
	if held := strings.Join(blobFiles(t, dir), " "); strings.Contains(held, layers[0]) || !strings.Contains(held, layers[4]) {
		t.Error(held)
	}
}

func TestAttack_P9_2000ColdPullsAreOneJudgementAndOneDownload(t *testing.T) {
	for _, withStore := range []bool{true, false} {
		const size = 4 << 20
		s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
			c.MaxRequests, c.MaxPerClient = 10_000, 10_000
			c.TagTTL = time.Hour                          // a loaded machine takes longer than the default
			c.Client = remote.Options{Keychain: nobody{}} // patient: all share this machine
			if withStore {
				c.Store = openStore(t, t.TempDir(), store.Options{})
			}
		})
		_, layer := s.bigImage("big", size)
		want, _ := s.hosted.Blob("team/app", layer)
		s.hosted.ResetRequests()
		// The upstream is slow: all are there before it has ended.
		s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Ref: layer, Do: registrytest.Delay(1500 * time.Millisecond)})
		s.server.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
		pulls := 2000
		if race.Enabled {
			pulls = 200
		}
		var wg sync.WaitGroup
		var good atomic.Int64
		var most atomic.Uint64
		stop := make(chan struct{})
		go watchMemory(&most, stop)
		for range pulls {
			wg.Go(func() {
				if r := s.drain("/v2/team/app/manifests/big"); r.status != http.StatusOK {
					return
				}
				if r := s.drain("/v2/team/app/blobs/" + layer); r.status == http.StatusOK && r.err == nil && r.n == int64(len(want)) {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		close(stop)
		var manifests, blobs, referrers int
		for _, r := range s.hosted.Requests() {
			switch {
			case r.Kind == registrytest.KindManifest && r.Ref == "big":
				manifests++
			case r.Kind == registrytest.KindBlob && r.Ref == layer:
				blobs++
			case r.Kind == registrytest.KindReferrers:
				referrers++
			}
		}
		if good.Load() != int64(pulls) || manifests != 1 || blobs != 1 || referrers != 1 {
			t.Errorf("store %v: %d of %d came through; %d requests for the manifest, %d for the blob, %d judgements", withStore, good.Load(), pulls, manifests, blobs, referrers)
		}
		t.Logf("store %v: %d pulls, peak of client, gate and upstream together %d MB", withStore, pulls, most.Load()>>20)
		// No body is held whole: 2,000 of them would be 8 GB.
		if most.Load() > 700<<20 {
			t.Errorf("store %v: %d MB", withStore, most.Load()>>20)
		}
	}
}

func watchMemory(most *atomic.Uint64, stop chan struct{}) {
	var m runtime.MemStats
	for {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse+m.StackInuse))
		}
	}
}

// drained is an answer whose body was only counted.
type drained struct {
	status int
	n      int64
	err    error
}

func (s *scene) drain(path string) drained {
	resp, err := s.server.Client().Get(s.server.URL + path)
	if err != nil {
		return drained{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	return drained{resp.StatusCode, n, err}
}

func TestAttack_P10_AStoreThatCannotBeWrittenIsAnErrorAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := store.Open(file, store.Options{}); err == nil {
		t.Error("a file is a store")
	}
	// One that can no longer be written later passes content through.
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{})
	must(t, os.RemoveAll(filepath.Join(dir, "ingest")))
	_, layer := s.bigImage("big", 1<<20)
	want, _ := s.hosted.Blob("team/app", layer)
	s.passes("big")
	for _, header := range [][]string{nil, {"Range", "bytes=5-"}} {
		r := s.get("/v2/team/app/blobs/"+layer, header...)
		if r.err != nil || !bytes.HasSuffix(want, r.body) || len(r.body) < len(want)-5 {
			t.Errorf("%v: %d, %d bytes, %v", header, r.status, len(r.body), r.err)
		}
	}
}

func TestAStoreIsOpenedWithWhatIsItsOwn(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{})
	s.passes("signed")
	eventually(t, "the manifest is stored", func() bool { return len(blobFiles(t, dir)) > 0 })
	blobs, left := filepath.Join(dir, "blobs", "sha256"), filepath.Join(dir, "ingest", "blob-123")
	must(t, os.WriteFile(left, []byte("of a crash"), 0o600))
	must(t, os.Mkdir(filepath.Join(blobs, strings.Repeat("a", 64)), 0o700))
	for _, name := range []string{"readme", strings.Repeat("A", 64), strings.Repeat("b", 63)} {
		must(t, os.WriteFile(filepath.Join(blobs, name), []byte("not ours"), 0o600))
	}
	held := openStore(t, dir, store.Options{MaxBytes: 1}) // for which all must make room but the last
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash has left stays: %v", err)
	}
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Store = held })
	s.passes(s.signed.DigestStr())
	for _, name := range []string{"readme", strings.Repeat("A", 64), strings.Repeat("b", 63)} {
		if _, err := os.Stat(filepath.Join(blobs, name)); err != nil {
			t.Errorf("what is not the store's was touched: %v", err)
		}
	}
}

// A blob is asked for as a manifest: neither is it taken for one, nor is it lost.
func TestStoredContentThatIsNoManifestIsNotReadAsOne(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{})
	_, big := s.bigImage("big", 5<<20)
	s.passes("big")
	s.passes("signed")
	config := s.parts(s.signed)[0].Digest.String()
	for _, digest := range []string{big, config} {
		s.serves("/v2/team/app/blobs/" + digest)
		eventually(t, "the blob is stored", func() bool { return strings.Contains(strings.Join(blobFiles(t, dir), " "), digest) })
		if r := s.get("/v2/team/app/manifests/" + digest); r.status != http.StatusNotFound {
			t.Errorf("%s: %d %.100s", digest, r.status, r.body)
		}
		s.hosted.ResetRequests()
		s.serves("/v2/team/app/blobs/" + digest)
		if n := len(s.hosted.Requests()); n != 0 {
			t.Errorf("%s was fetched again: %d requests", digest, n)
		}
	}
}

// A manifest lies about the size of a layer that is stored: the file of the true size
// is not it, and neither is what the upstream has.
func TestAStoredBlobOfAnotherSizeThanListedIsNotServed(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{})
	_, layer := s.bigImage("big", 100_000)
	s.passes("big")
	content := s.serves("/v2/team/app/blobs/" + layer).body
	eventually(t, "the layer is stored", func() bool { return strings.Contains(strings.Join(blobFiles(t, dir), " "), layer) })
	s.hosted.PutBlob("evil/x", content)
	for _, size := range []int{len(content) + 1, len(content) - 1} {
		s.other("evil/x", piece{layerType, layer, size})
		s.serves("/v2/evil/x/manifests/v1")
		if r := s.get("/v2/evil/x/blobs/" + layer); r.status == http.StatusOK && r.err == nil {
			t.Errorf("of %d bytes: %d arrived", size, len(r.body))
		}
	}
	if r := s.serves("/v2/team/app/blobs/" + layer); len(r.body) != len(content) {
		t.Errorf("%d bytes", len(r.body))
	}
}
