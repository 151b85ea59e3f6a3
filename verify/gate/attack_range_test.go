package gate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// counted is an upstream that counts the bytes of its answers about blobs.
type counted struct {
	rest  http.Handler
	bytes atomic.Int64
	gets  atomic.Int64
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
		c.rest.ServeHTTP(w, r)
		return
	}
	c.gets.Add(1)
	c.rest.ServeHTTP(&countedWriter{w, &c.bytes}, r)
}

type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// behindCounted is a scene with a large image before an upstream that is counted.
func behindCounted(t *testing.T, size int64) (s *scene, upstream *counted, layer string) {
	t.Helper()
	s = newScene(t, registrytest.Options{}, nil)
	_, layer = s.bigImage("big", size)
	upstream = &counted{rest: s.hosted}
	s.start(registrytest.Start(t, upstream), func(*gate.Config) {})
	s.passes("big")
	return s, upstream, "/v2/team/app/blobs/" + layer
}

func TestAttack_P18_ManyRangesCostTheUpstreamOneTransfer(t *testing.T) {
	const size = 16 << 20
	s, upstream, layer := behindCounted(t, size)
	want, _ := s.hosted.Blob("team/app", strings.TrimPrefix(layer, "/v2/team/app/blobs/"))
	whole := len(want)
	for i := range 12 {
		at := i * (whole / 12)
		r := s.get(layer, "Range", fmt.Sprintf("bytes=%d-%d", at, at))
		if r.status != http.StatusPartialContent || !bytes.Equal(r.body, want[at:at+1]) {
			t.Errorf("byte %d: %d, %d bytes", at, r.status, len(r.body))
		}
	}
	if r := s.get(layer, "Range", "bytes=-1"); r.status != http.StatusPartialContent || !bytes.Equal(r.body, want[whole-1:]) {
		t.Errorf("the last byte: %d", r.status)
	}
	if n, gets := upstream.bytes.Load(), upstream.gets.Load(); n > int64(whole)+1<<20 || gets > 1 {
		t.Errorf("the upstream sent %d bytes in %d answers for a blob of %d", n, gets, whole)
	}
}

// A client that takes a byte and goes away, again and again, has the upstream send no
// more than that needs, and never the blob twice.
func TestAttack_P18_ClientsThatGoAwayCostNoTransferEach(t *testing.T) {
	const size = 24 << 20
	s, upstream, layer := behindCounted(t, size)
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+layer, nil)
		must(t, err)
		if i%2 == 0 {
			req.Header.Set("Range", "bytes=0-0")
		}
		resp, err := s.server.Client().Do(req)
		must(t, err)
		if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
			t.Error(err)
		}
		cancel()
		_ = resp.Body.Close()
		time.Sleep(10 * time.Millisecond)
	}
	if n, gets := upstream.bytes.Load(), upstream.gets.Load(); n > size+1<<20 || gets > 1 {
		t.Errorf("the upstream sent %d bytes in %d answers", n, gets)
	}
	// Who wants all gets all, from where that was left.
	want, _ := s.hosted.Blob("team/app", strings.TrimPrefix(layer, "/v2/team/app/blobs/"))
	if r := s.get(layer); r.status != http.StatusOK || !bytes.Equal(r.body, want) {
		t.Errorf("%d, %d bytes, %v", r.status, len(r.body), r.err)
	}
	if gets := upstream.gets.Load(); gets != 1 {
		t.Errorf("the upstream was asked %d times", gets)
	}
}

// What is resumed is the rest, as clients that lost their connection ask for it.
func TestAttack_P18_ADownloadCanStillBeResumed(t *testing.T) {
	const size = 4 << 20
	s, upstream, layer := behindCounted(t, size)
	want, _ := s.hosted.Blob("team/app", strings.TrimPrefix(layer, "/v2/team/app/blobs/"))
	var got []byte
	for len(got) < len(want) {
		r := s.get(layer, "Range", fmt.Sprintf("bytes=%d-%d", len(got), min(len(got)+1<<20, len(want))-1))
		if r.status != http.StatusPartialContent || r.err != nil {
			t.Fatalf("%d, %v", r.status, r.err)
		}
		got = append(got, r.body...)
	}
	if !bytes.Equal(got, want) || upstream.gets.Load() != 1 {
		t.Errorf("%d bytes in %d answers", len(got), upstream.gets.Load())
	}
}
