//go:build unix

package gate_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// The floods are played against a gate in a process of its own: what the clients and the
// upstream hold is not counted.
const childFloodKey = "HALLMARK_GATE_TEST_FLOOD_KEY"

// Bounds of a gate with default limits, whatever 1,000 clients do.
const (
	maxLiveHeap = 96 << 20
	maxResident = 256 << 20
)

// memoryLimit is that of examples/proxy.
const memoryLimit = 192 << 20

// floodGate is the child: a gate that tells of its memory at /heap.
func floodGate(key string) error {
	debug.SetMemoryLimit(memoryLimit)
	public, err := policy.ParsePublicKey([]byte(key))
	if err != nil {
		return err
	}
	p := policy.Signatures{Keys: []policy.PublicKey{public}, Threshold: 1}.Policy()
	good := p.Rules[0]
	good.Images = []string{known + "/team/**"}
	// What is unsigned passes, and is judged before.
	flooded := good
	flooded.Images, flooded.Mode = []string{known + "/flood/**"}, policy.ModeWarn
	p.Rules = []policy.Rule{good, flooded}
	v, err := verify.New(p, verify.Options{})
	if err != nil {
		return err
	}
	gate, err := gate.NewHandler(gate.Config{
		Verifier: v, Client: quick, JudgeTimeout: 10 * time.Second,
		Upstreams: []gate.Upstream{{Registry: known, Address: os.Getenv(childUpstream)}},
	})
	if err != nil {
		return err
	}
	var most atomic.Uint64
	go func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for range time.Tick(5 * time.Millisecond) {
			metrics.Read(live)
			most.Store(max(most.Load(), live[0].Value.Uint64()))
		}
	}()
	mux := http.NewServeMux()
	mux.Handle("/", gate)
	mux.HandleFunc("/heap", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, most.Swap(0)) })
	server := httptest.NewServer(mux)
	defer server.Close()
	fmt.Println(server.URL)
	select {}
}

// flooding is an upstream that has as much of everything as is asked for below
// /v2/flood/, and beside that a good image.
type flooding struct {
	rest    http.Handler
	attests string // what the tags of evidence hold; empty: there are none
	blob    []byte
	asked   atomic.Int64
	blobs   atomic.Int64
	chunked bool
	pages   int
	listed  map[string]string // tags of manifests by their digests
}

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

func (f *flooding) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ours := strings.CutPrefix(r.URL.Path, "/v2/flood/")
	if !ours {
		f.rest.ServeHTTP(w, r)
		return
	}
	f.asked.Add(1)
	_, what, _ := strings.Cut(path, "/")
	kind, ref, _ := strings.Cut(what, "/")
	switch {
	case kind == "referrers" && f.pages > 0:
		f.page(w, r)
	case kind == "manifests" && f.attests != "" && (strings.HasSuffix(ref, ".att") || strings.HasSuffix(ref, ".sig")):
		f.send(w, r, ociManifest, f.attests)
	case kind == "manifests" && f.listed[ref] != "":
		f.send(w, r, ociManifest, manifestOf(f.listed[ref]))
	case kind == "manifests" && !strings.HasPrefix(ref, "sha256"):
		f.send(w, r, ociManifest, manifestOf(ref))
	case kind == "blobs" && f.blob != nil:
		f.blobs.Add(1)
		w.Header().Set("Content-Length", strconv.Itoa(len(f.blob)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(f.blob)
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (f *flooding) send(w http.ResponseWriter, r *http.Request, mediaType, text string) {
	w.Header().Set("Content-Type", mediaType)
	if !f.chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, text)
	}
}

// page is a page of referrers, with a link to the next.
func (f *flooding) page(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	if n+1 < f.pages {
		w.Header().Set("Link", fmt.Sprintf("<%s?n=%d>; rel=\"next\"", r.URL.Path, n+1))
	}
	filling := strings.Repeat("x", 600)
	entries := make([]string, 1000)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"mediaType":"%s","size":400,"digest":"sha256:%064x","artifactType":"application/other","annotations":{"a":"%s"}}`, ociManifest, 1000*n+i, filling)
	}
	f.send(w, r, indexType, `{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[`+strings.Join(entries, ",")+`]}`)
}

const emptyDigest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

var tiny = strings.Repeat(`,{"mediaType":"a","size":1,"digest":"`+emptyDigest+`"}`, 36_000)

// manifestOf is a manifest that no other tag has: of 3 MiB in an annotation, or, where
// the tag begins with tiny, of as many descriptors as 4 MiB hold.
func manifestOf(tag string) string {
	layers, filling := "", strings.Repeat("x", 3<<20)
	switch {
	case strings.HasPrefix(tag, "tiny"):
		layers, filling = tiny, ""
	case strings.HasPrefix(tag, "small"):
		filling = ""
	}
	return `{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"` + emptyDigest +
		`"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":2,"digest":"` + emptyDigest + `"}` + layers + `],"annotations":{"tag":"` + tag + `","filling":"` + filling + `"}}`
}

// startFloodGate starts the child before an upstream.
func startFloodGate(t *testing.T, s *scene, upstream string) (url string, pid int) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.signer.Public())
	must(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFloodKey+"="+string(public), childUpstream+"="+upstream)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(line), cmd.Process.Pid
}

// flood asks for paths as so many clients, each from one of 200 addresses, until a time
// has passed. Those that do not read take the first bytes of the answer alone.
func flood(ctx context.Context, address, method string, clients int, reads bool, path func(n int) string) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for i := range clients {
		wg.Go(func() {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%200))}}
			for ctx.Err() == nil {
				conn, err := dialer.DialContext(ctx, "tcp", address)
				if err != nil {
					return
				}
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // it ends the exchange
				if tcp, ok := conn.(*net.TCPConn); ok && !reads {
					_ = tcp.SetReadBuffer(4 << 10) // a wish
				}
				_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n", method, path(int(next.Add(1))))
				if reads {
					_, _ = io.Copy(io.Discard, conn)
				} else {
					_, _ = conn.Read(make([]byte, 1))
					<-ctx.Done()
				}
				stop()
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
}

// peaks are the largest resident set since the last call, and the largest live heap.
func peaks(t *testing.T, url string, pid int) (resident, live int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	_, err = fmt.Sscan(string(rest), &resident)
	must(t, err)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) // where that is not allowed, the peak is of all
	resp, err := http.Get(url + "/heap")
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	_, err = fmt.Fscan(resp.Body, &live)
	must(t, err)
	return resident << 10, live
}

func TestAttack_P17_FloodsHoldWithinTheBudget(t *testing.T) {
	race.Skip(t, "memory is measured")
	s, byDigest := newScene(t, registrytest.Options{}, nil), listed()
	blob := []byte(`{"payloadType":"application/vnd.in-toto+json","payload":"` + base64.StdEncoding.EncodeToString(make([]byte, 23<<20)) + `","signatures":[{"sig":"` + strings.Repeat("A", 96) + `"}]}`)
	blobDigest := registryDigest(t, blob)
	attests := `{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"` + emptyDigest +
		`"},"layers":[{"mediaType":"application/vnd.dsse.envelope.v1+json","size":` + itoa(len(blob)) + `,"digest":"` + blobDigest + `"}]}`
	for _, x := range []struct {
		name   string
		with   *flooding
		method string
		reads  bool
		path   func(n int) string
	}{
		{"no rule", &flooding{}, "GET", true, func(n int) string { return "/v2/nowhere/a/manifests/t" + itoa(n) }},
		{"large manifests", &flooding{}, "GET", true, func(n int) string { return "/v2/flood/a/manifests/t" + itoa(n) }},
		{"large manifests of unknown length", &flooding{chunked: true}, "HEAD", true, func(n int) string { return "/v2/flood/a/manifests/t" + itoa(n) }},
		{"manifests of many descriptors", &flooding{chunked: true}, "GET", true, func(n int) string { return "/v2/flood/a/manifests/tiny" + itoa(n) }},
		{"manifests that are not read", &flooding{}, "GET", false, func(n int) string { return "/v2/flood/a/manifests/t" + itoa(n%300) }},
		{"evidence that images share", &flooding{attests: attests, blob: blob}, "GET", true, func(n int) string { return "/v2/flood/a/manifests/small" + itoa(n) }},
		{"long lists", &flooding{pages: 100}, "HEAD", true, func(n int) string {
			return "/v2/flood/a/referrers/" + digestOfManifest("small"+itoa(n%listedImages))
		}},
		{"lists that are not read", &flooding{pages: 4, chunked: true}, "GET", false, func(n int) string {
			return "/v2/flood/a/referrers/" + digestOfManifest("small"+itoa(n%listedImages)) + "?artifactType=application%2Fother"
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			with := x.with
			with.rest, with.listed = s.hosted, byDigest
			url, pid := startFloodGate(t, s, registrytest.Start(t, with))
			good := goodImage{t: t, url: url, want: s.signed.DigestStr()}
			good.passes("before")
			peaks(t, url, pid)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				flood(ctx, strings.TrimPrefix(url, "http://"), x.method, 1000, x.reads, x.path)
			}()
			time.Sleep(2 * time.Second)
			good.passes("during the flood")
			<-done
			good.passes("afterwards")
			resident, live := peaks(t, url, pid)
			t.Logf("resident %d MiB, live heap %d MiB, upstream asked %d times, %d for blobs", resident>>20, live>>20, with.asked.Load(), with.blobs.Load())
			if resident > maxResident || live > maxLiveHeap {
				t.Errorf("resident %d MiB, live heap %d MiB; want at most %d and %d", resident>>20, live>>20, maxResident>>20, maxLiveHeap>>20)
			}
			if x.name == "no rule" && with.asked.Load() > 0 {
				t.Errorf("the upstream was asked %d times", with.asked.Load())
			}
		})
	}
}

// digestOfManifest is the digest of manifestOf's.
func digestOfManifest(tag string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(manifestOf(tag))))
}

// listed are the images that have lists, by their digests.
var listed = func() map[string]string {
	all := make(map[string]string)
	for n := range listedImages {
		all[digestOfManifest("small"+itoa(n))] = "small" + itoa(n)
	}
	return all
}

const listedImages = 50

// goodImage is one that goes on to be served.
type goodImage struct {
	t         *testing.T
	url, want string
}

func (g *goodImage) passes(when string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+manifestPath+"signed", nil)
	must(g.t, err)
	if r := send(g.t, http.DefaultClient, req); r.status != http.StatusOK || r.header.Get("Docker-Content-Digest") != g.want {
		g.t.Errorf("%s: %d %s %v", when, r.status, r.body, r.err)
	}
}
