package gate_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// A client that takes a cold blob at a good pace has WriteTimeout for each piece of
// it, however much is there already.
func TestAColdBlobTakesLongerThanOneWriteTimeout(t *testing.T) {
	const size, timeout = 96 << 20, 2 * time.Second
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.WriteTimeout = timeout })
	_, layer := s.bigImage("big", size)
	s.passes("big")
	path := "/v2/team/app/blobs/" + layer
	_ = s.begin(t.Context(), path) // keeps the file for the others
	if r := s.drain(path); r.n < size {
		t.Fatalf("%d, %d bytes, %v", r.status, r.n, r.err)
	}
	resp := s.begin(t.Context(), path) // all of it is there
	began := time.Now()
	for got := int64(0); ; time.Sleep(30 * time.Millisecond) { // 4 MiB take 120 ms
		n, err := io.CopyN(io.Discard, resp.Body, 1<<20)
		if got += n; err == io.EOF && got >= size {
			break
		}
		if err != nil {
			t.Fatalf("broken off after %d MiB and %v: %v", got>>20, time.Since(began), err)
		}
	}
	if time.Since(began) < timeout {
		t.Errorf("it took only %v: nothing was tested", time.Since(began))
	}
}

// A server's own WriteTimeout, which bounds what the gate does not send, does not cut
// off what it does.
func TestAServersWriteTimeoutCutsOffNoBlob(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, layer := s.bigImage("big", 1<<20)
	s.passes("big")
	server := httptest.NewUnstartedServer(s.gate)
	server.Config.WriteTimeout = 300 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	s.server = server
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.Drip(256<<10, 200*time.Millisecond)})
	for _, header := range [][]string{nil, {"Range", "bytes=1000000-"}} {
		if r := s.get("/v2/team/app/blobs/"+layer, header...); r.err != nil || r.status >= 400 {
			t.Errorf("%v: %d, %d bytes, %v", header, r.status, len(r.body), r.err)
		}
	}
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Delay(500 * time.Millisecond)})
	for _, ref := range []string{"signed", "unsigned", "none"} {
		if r := s.ask(http.MethodHead, "/v2/team/app/manifests/"+ref); r.err != nil {
			t.Errorf("%s: %v", ref, r.err)
		}
	}
}

// A client that sends requests and reads no answers loses its connection, whatever it
// asks for.
func TestAttack_P11_AClientThatReadsNoAnswersLosesItsConnection(t *testing.T) {
	for _, request := range []string{"GET /v2/", "GET /v2/team/app/manifests/signed", "GET /v2/team/app/manifests/unsigned", "PUT /v2/team/app/manifests/signed"} {
		s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.WriteTimeout = 200 * time.Millisecond })
		var closed atomic.Int64
		server := httptest.NewUnstartedServer(s.gate)
		server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				_ = conn.(*net.TCPConn).SetWriteBuffer(4096) // soon full
			case http.StateClosed:
				closed.Add(1)
			}
		}
		server.Start()
		t.Cleanup(server.Close)
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		must(t, err)
		must(t, conn.(*net.TCPConn).SetReadBuffer(4096))
		many := []byte(strings.Repeat(request+" HTTP/1.1\r\nHost: gate\r\n\r\n", 1000))
		must(t, conn.SetWriteDeadline(time.Now().Add(30*time.Second)))
		for err == nil {
			_, err = conn.Write(many)
		}
		eventually(t, request+": the gate has closed the connection", func() bool { return closed.Load() == 1 })
		_ = conn.Close()
	}
}

// pausing is an upstream that pauses in the middle of blobs.
type pausing struct {
	rest http.Handler
	d    time.Duration
}

func (p *pausing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		w = &halting{w, p.d}
	}
	p.rest.ServeHTTP(w, r)
}

type halting struct {
	http.ResponseWriter
	d time.Duration
}

func (h *halting) Write(b []byte) (all int, err error) {
	for len(b) > 0 && err == nil {
		var n int
		n, err = h.ResponseWriter.Write(b[:min(len(b), 300<<10)])
		all, b = all+n, b[n:]
		h.ResponseWriter.(http.Flusher).Flush()
		if len(b) > 0 {
			time.Sleep(h.d)
		}
	}
	return all, err
}

// A client has WriteTimeout for what is sent, and not for what an upstream is slow to
// give, whatever version of HTTP it speaks.
func TestASlowUpstreamIsNotTakenForASlowClient(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	big, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("big"), registrytest.ImageOptions{LayerSize: 700 << 10})
	must(t, err)
	s.sign(big)
	s.start(registrytest.Start(t, &pausing{s.hosted, 3 * time.Second}), func(c *gate.Config) {
		c.WriteTimeout, c.Client.StallTimeout = 2*time.Second, 20*time.Second
	})
	s.passes("big")
	for _, two := range []bool{false, true} {
		server := httptest.NewUnstartedServer(s.gate)
		server.EnableHTTP2 = two
		server.StartTLS()
		t.Cleanup(server.Close)
		resp, err := server.Client().Get(server.URL + blobPath(s.parts(big)[1]))
		must(t, err)
		if n, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("%s: %d bytes of %d, %v", resp.Proto, n, resp.ContentLength, err)
		}
		_ = resp.Body.Close() // it was read to its end
	}
}
