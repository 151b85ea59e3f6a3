package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// floodClients are as many clients as a gate's memory is bounded for.
const floodClients = 1000

// flooded is the policy under floods: unsigned images pass below flood/, once they were
// judged.
const flooded = `version: 1
keys:
  release: {file: release.pub}
roles:
  release: {keys: [release]}
rules:
  - images: [bench.example/flood/**]
    mode: warn
    require:
      - signature: {by: release}
`

// flood is one way of having a gate do much.
type flood struct {
	name, method string
	reads        bool
	path         func(n int) string
}

// floods measures memory while clients ask for as much as they can; see the attack P17.
func (b *bench) floods(ctx context.Context) error {
	policy := filepath.Join(b.dir, "flooded.yaml")
	if err := os.WriteFile(policy, []byte(flooded), 0o600); err != nil {
		return err
	}
	upstream := newSource()
	address, stop, err := registrytest.Serve(upstream)
	if err != nil {
		return err
	}
	defer stop()
	tag := func(prefix string) func(n int) string {
		return func(n int) string { return "/v2/flood/a/manifests/" + prefix + strconv.Itoa(n) }
	}
	list := func(n int) string { return "/v2/flood/a/referrers/" + upstream.lists[n%len(upstream.lists)] }
	for _, f := range []flood{
		{"manifests no rule is about", "GET", true, func(n int) string { return "/v2/other/a/manifests/large" + strconv.Itoa(n) }},
		{"manifests of 3 MiB", "GET", true, tag("large")},
		{"manifests of 3 MiB that are not read", "GET", false, tag("large")},
		{"manifests of 36,000 descriptors", "HEAD", true, tag("tiny")},
		{"evidence of 31 MiB that images share", "GET", true, tag("evident")},
		{"lists of 100 pages", "HEAD", true, list},
	} {
		gate, err := b.startGateWith(filepath.Join(b.dir, "proxy"), address, policy, "error", os.Stderr)
		if err != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, b.o.duration)
		f.play(soon, gate.address)
		cancel()
		peak, err := gate.peakMemory()
		gate.kill()
		if err != nil {
			return err
		}
		b.limit("peak memory, "+f.name, peak, 256, "MB")
	}
	return nil
}

// play asks as 1,000 clients of 200 addresses until a time has passed.
func (f flood) play(ctx context.Context, address string) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for i := range floodClients {
		wg.Go(func() {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%200))}}
			for ctx.Err() == nil {
				conn, err := dialer.DialContext(ctx, "tcp", address)
				if err != nil {
					return
				}
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // it ends the exchange
				_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n", f.method, f.path(int(next.Add(1))))
				if f.reads {
					_, _ = io.Copy(io.Discard, conn)
				} else {
					_, _ = conn.Read(make([]byte, 1))
					<-ctx.Done()
				}
				stop()
				_ = conn.Close() // nothing more is wanted
			}
		})
	}
	wg.Wait()
}

// source is an upstream that has as much of everything as is asked for.
type source struct {
	tiny, evidence string
	blob           []byte
	page           string
	lists          []string // digests of manifests that have one
	byDigest       map[string]string
}

const emptyDigest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

func newSource() *source {
	s := &source{byDigest: make(map[string]string)}
	s.tiny = strings.Repeat(`,{"mediaType":"a","size":1,"digest":"`+emptyDigest+`"}`, 36_000)
	s.blob = []byte(`{"payloadType":"application/vnd.in-toto+json","payload":"` + base64.StdEncoding.EncodeToString(make([]byte, 23<<20)) + `","signatures":[{"sig":"` + strings.Repeat("A", 96) + `"}]}`)
	s.evidence = s.manifest("", `{"mediaType":"application/vnd.dsse.envelope.v1+json","size":`+strconv.Itoa(len(s.blob))+`,"digest":"`+digestOf(s.blob)+`"}`, "")
	entry := `{"mediaType":"` + oci.MediaTypeManifest + `","size":400,"digest":"` + emptyDigest + `","annotations":{"a":"` + strings.Repeat("x", 600) + `"}}`
	s.page = `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeIndex + `","manifests":[` + entry + strings.Repeat(","+entry, 999) + `]}`
	for n := range 50 {
		text := s.tagged("listed" + strconv.Itoa(n))
		s.lists = append(s.lists, digestOf([]byte(text)))
		s.byDigest[digestOf([]byte(text))] = text
	}
	return s
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func (s *source) manifest(tag, layers, filling string) string {
	return `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeManifest + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"` + emptyDigest +
		`"},"layers":[` + layers + `],"annotations":{"tag":"` + tag + `","filling":"` + filling + `"}}`
}

// tagged is a manifest that no other tag has.
func (s *source) tagged(tag string) string {
	layers, filling := `{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":2,"digest":"`+emptyDigest+`"}`, ""
	switch {
	case strings.HasPrefix(tag, "large"):
		filling = strings.Repeat("x", 3<<20)
	case strings.HasPrefix(tag, "tiny"):
		layers += s.tiny
	}
	return s.manifest(tag, layers, filling)
}

// ServeHTTP answers with what the name asks for.
func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	send := func(mediaType, text string) {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, text) // the gate has gone
		}
	}
	_, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/a/")
	kind, ref, _ := strings.Cut(rest, "/")
	switch {
	case kind == "blobs":
		send("application/octet-stream", string(s.blob))
	case kind == "referrers":
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		if n < 99 {
			w.Header().Set("Link", fmt.Sprintf("<%s?n=%d>; rel=\"next\"", r.URL.Path, n+1))
		}
		send(oci.MediaTypeIndex, s.page)
	case kind == "manifests" && s.byDigest[ref] != "":
		send(oci.MediaTypeManifest, s.byDigest[ref])
	case kind == "manifests" && strings.HasSuffix(ref, ".sig"):
		send(oci.MediaTypeManifest, s.evidence)
	case kind == "manifests" && !strings.HasPrefix(ref, "sha256"):
		send(oci.MediaTypeManifest, s.tagged(ref))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// Bounds of what is played beside known decisions.
const (
	expensiveImages = 24
	expensiveKeys   = 20
	expensiveLayers = 1000
)

// known measures what a decision takes inside the gate that was reached before, while
// others are reached that take as many checks of signatures as may be. The generator and
// the upstream have one processor.
func (b *bench) known(ctx context.Context) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		return err
	}
	defer stop()
	policy, err := b.expensive(ctx, hosted, host)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(b.dir, "known.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was only read
	gate, err := b.startGateWith(filepath.Join(b.dir, "proxy"), host, policy, "debug", log)
	if err != nil {
		return err
	}
	defer gate.kill()
	good := "http://" + gate.address + "/v2/team/app/manifests/good"
	if _, err := fetch(ctx, good, io.Discard); err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, 2*b.o.duration)
	defer cancel()
	for n := range expensiveImages {
		go func() {
			_, _ = fetch(soon, fmt.Sprintf("http://%s/v2/team/app/manifests/bad%d", gate.address, n), io.Discard)
		}() // it is denied
	}
	time.Sleep(300 * time.Millisecond)
	for soon.Err() == nil {
		if _, err := fetch(ctx, good, io.Discard); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	all, err := latencies(log.Name())
	if err != nil || len(all) < 100 {
		return fmt.Errorf("%d decisions were logged: %w", len(all), err)
	}
	b.limit("known decision, 24 judgements of 20,000 checks, p99", all[len(all)*99/100], 2, "ms")
	return nil
}

// expensive pushes a good image, and others with so many signatures that none of many
// keys has made, and writes a policy.
func (b *bench) expensive(ctx context.Context, hosted *registrytest.Registry, host string) (policy string, err error) {
	repo, err := name.NewRepository(host + "/team/app")
	if err != nil {
		return "", err
	}
	keys, names := "", []string{"release"}
	for n := range expensiveKeys - 1 {
		pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(b.dir, fmt.Sprintf("k%d.pub", n)), pair.PublicPEM, 0o600); err != nil {
			return "", err
		}
		keys += fmt.Sprintf("  k%d: {file: k%d.pub}\n", n, n)
		names = append(names, fmt.Sprintf("k%d", n))
	}
	policy = filepath.Join(b.dir, "expensive.yaml")
	text := "version: 1\nkeys:\n  release: {file: release.pub}\n" + keys + "roles:\n  release: {keys: [" + strings.Join(names, ", ") +
		"], threshold: 1}\nrules:\n  - images: [bench.example/**]\n    require:\n      - signature: {by: release}\n"
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		return "", err
	}
	good, err := registrytest.PushImage(ctx, hosted.Store(), repo.Tag("good"), registrytest.ImageOptions{Seed: "good"})
	if err == nil {
		_, err = sign.Image(ctx, hosted.Store(), good, sign.ImageOptions{}, b.images.signer)
	}
	if err != nil {
		return "", err
	}
	evidence, err := garbage(hosted)
	if err != nil {
		return "", err
	}
	for n := range expensiveImages {
		digest, err := registrytest.PushImage(ctx, hosted.Store(), repo.Tag(fmt.Sprintf("bad%d", n)), registrytest.ImageOptions{Seed: fmt.Sprint("bad", n)})
		if err != nil {
			return "", err
		}
		hosted.Put("team/app", strings.Replace(digest.DigestStr(), ":", "-", 1)+".sig", oci.MediaTypeManifest, evidence)
	}
	return policy, nil
}

// garbage is a manifest of signatures, each well-formed and over another payload.
func garbage(hosted *registrytest.Registry) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	m.Config = v1.Descriptor{MediaType: types.OCIConfigJSON, Size: 2}
	if m.Config.Digest, err = v1.NewHash(hosted.PutBlob("team/app", []byte("{}"))); err != nil {
		return nil, err
	}
	for n := range expensiveLayers {
		payload := fmt.Appendf(nil, `{"critical":{"type":"cosign container image signature","identity":{"docker-reference":""},"image":{"docker-manifest-digest":"%s"}},"optional":{"n":"%d"}}`, emptyDigest, n)
		sum := sha256.Sum256(payload)
		signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			return nil, err
		}
		layer := v1.Descriptor{MediaType: simplesigning.LayerMediaType, Size: int64(len(payload)), Annotations: map[string]string{simplesigning.AnnotationSignature: base64.StdEncoding.EncodeToString(signature)}}
		if layer.Digest, err = v1.NewHash(hosted.PutBlob("team/app", payload)); err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, layer)
	}
	return json.Marshal(m)
}

// latencies are those of decisions that had been reached before, in milliseconds, in
// their order.
func latencies(path string) ([]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var all []float64
	for lines := json.NewDecoder(f); ; {
		var line struct {
			Message string `json:"msg"`
			Cached  bool   `json:"cached"`
			Latency int64  `json:"latency"`
		}
		if err := lines.Decode(&line); err != nil {
			break // the last line may have been cut off
		}
		if line.Message == "allowed" && line.Cached {
			all = append(all, float64(line.Latency)/1e6)
		}
	}
	slices.Sort(all)
	return all, nil
}

// startGateWith starts the example's server without a store.
func (b *bench) startGateWith(binary, upstream, policy, level string, log io.Writer) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "-listen", address, "-policy", policy, "-upstream", knownAs+"="+upstream, "-log", level)
	cmd.Stderr = log
	return start("gate", address, cmd)
}
