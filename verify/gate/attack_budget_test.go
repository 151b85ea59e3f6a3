package gate_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const simpleType = "application/vnd.dev.cosign.simplesigning.v1+json"

// upstreamOf counts the bytes of all answers whose path holds a word.
type upstreamOf struct {
	rest  http.Handler
	word  string
	bytes atomic.Int64
	gets  atomic.Int64
}

func (u *upstreamOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, u.word) {
		u.rest.ServeHTTP(w, r)
		return
	}
	u.gets.Add(1)
	u.rest.ServeHTTP(&countedWriter{w, &u.bytes}, r)
}

// A client asks for an unsigned image whose evidence is large and slow, and goes away.
// Other images with large evidence are judged as before.
func TestAttack_P17_AClientThatGoesAwayLeavesTheBudgetAsItWas(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	tag := func(digest, suffix string) string { return strings.Replace(digest, ":", "-", 1) + suffix }
	plant := func(digest string, content []byte) string {
		layer := s.blob(simpleType, content)
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": s.blob(emptyType, []byte("{}")), "layers": []piece{layer}})
		must(t, err)
		s.hosted.Put("team/app", tag(digest, ".sig"), manifestType, text)
		return layer.Digest
	}
	slow := plant(s.unsigned.DigestStr(), bytes.Repeat([]byte("x"), 24<<20))
	plant(s.signed.DigestStr(), bytes.Repeat([]byte("y"), 1<<20)) // before its good bundle
	began := make(chan struct{}, 1)
	s.start(registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+slow) {
			began <- struct{}{}
			<-r.Context().Done()
			return
		}
		s.hosted.ServeHTTP(w, r)
	})), func(c *gate.Config) { c.JudgeTimeout = 3 * time.Second; c.Client.StallTimeout = 20 * time.Second })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	s.askFrom(ctx, "192.0.2.66:1", manifestPath+"unsigned")
	time.Sleep(200 * time.Millisecond)
	if w := s.askFrom(t.Context(), "198.51.100.1:1", manifestPath+"signed"); w.Code != http.StatusOK {
		t.Errorf("after one client has gone away, a good image is never judged again: %d %s", w.Code, w.Body)
	}
}

// behindEvidence is a scene with a blob of evidence that a client has learnt of.
func behindEvidence(t *testing.T, mediaType string, content []byte, claimed int) (s *scene, up *upstreamOf, path string) {
	t.Helper()
	s = newScene(t, registrytest.Options{}, nil)
	layer := s.blob(mediaType, content)
	if claimed > 0 {
		layer.Size = claimed
	}
	digest := s.attach(s.signed.DigestStr(), 1, layer)
	up = &upstreamOf{rest: s.hosted, word: layer.Digest}
	s.start(registrytest.Start(t, up), nil)
	s.serves(manifestPath + digest)
	return s, up, "/v2/team/app/blobs/" + layer.Digest
}

func jsonBlob(size int) []byte {
	return append(append([]byte(`{"a":"`), bytes.Repeat([]byte("x"), size)...), `"}`...)
}

func TestAttack_P18_ManyEvidenceRangesCostOneTransfer(t *testing.T) {
	content := jsonBlob(8 << 20)
	s, up, path := behindEvidence(t, "application/json", content, 0)
	for i := range 6 {
		if r := s.get(path, "Range", fmt.Sprintf("bytes=%d-%d", i, i)); r.status != http.StatusPartialContent || len(r.body) != 1 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if n := up.bytes.Load(); n > int64(len(content))+1<<20 {
		t.Errorf("six requests for one byte of %d cost %d bytes of the upstream in %d answers", len(content), n, up.gets.Load())
	}
}

// What is refused is not fetched for each who asks.
func TestAttack_P18_ABlobThatIsNoEvidenceIsNotFetchedEachTime(t *testing.T) {
	content := bytes.Repeat([]byte("\x00"), 8<<20)
	s, up, path := behindEvidence(t, "application/json", content, 0)
	for range 6 {
		if r := s.get(path); r.status != http.StatusForbidden {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if n := up.bytes.Load(); n > int64(len(content))+1<<20 {
		t.Errorf("six refusals cost %d bytes of the upstream in %d answers", n, up.gets.Load())
	}
}

// A blob that is larger than evidence may be, which its manifest denies, costs no
// transfer for each HEAD.
func TestAttack_P18_HeadOfABlobThatIsTooLargeCostsNoTransferEach(t *testing.T) {
	content := jsonBlob(40 << 20)
	s, up, path := behindEvidence(t, "application/json", content, 100)
	for range 4 {
		if r := s.ask(http.MethodHead, path); r.status/100 == 2 {
			t.Fatalf("%d", r.status)
		}
	}
	if n := up.bytes.Load(); n > 40<<20 {
		t.Errorf("four HEAD requests cost %d bytes of the upstream in %d answers", n, up.gets.Load())
	}
}

// HEAD of a blob of evidence does not read the manifests that list it each time.
func TestAttack_P18_HeadOfABlobReadsNoManifestEachTime(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	layer := s.blob("application/json", []byte("{}"))
	var digests []string
	for i := range 4 {
		text, err := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": manifestType, "config": s.blob(emptyType, []byte("{}")), "layers": []piece{layer},
			"subject": piece{manifestType, s.signed.DigestStr(), 1}, "annotations": map[string]string{"n": itoa(i) + strings.Repeat("x", 3<<20)},
		})
		must(t, err)
		digests = append(digests, s.hosted.Put("team/app", "", manifestType, text))
	}
	up := &upstreamOf{rest: s.hosted, word: "/manifests/sha256:"}
	s.start(registrytest.Start(t, up), nil)
	s.passes(s.signed.DigestStr())
	for _, d := range digests {
		s.serves(manifestPath + d)
	}
	up.bytes.Store(0)
	const asked = 5
	for range asked {
		if r := s.ask(http.MethodHead, "/v2/team/app/blobs/"+layer.Digest); r.status != http.StatusOK {
			t.Fatal(r.status)
		}
	}
	if n := up.bytes.Load(); n > 16<<20 {
		t.Errorf("%d HEADs of a blob of 2 bytes cost %d bytes", asked, n)
	}
}

// liveHeap is the most that is in use while something is done, as the collector sees it.
func liveHeap(f func()) uint64 {
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		for {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-stop:
				done <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	f()
	close(stop)
	return <-done
}

// nonRoot is a rule that asks something of the image itself.
func nonRoot(p *policy.Policy) {
	p.Rules[0].Require = append(slices.Clone(p.Rules[0].Require), policy.Requirement{Config: &policy.ConfigRequirement{NonRoot: true}})
}

// configs pushes an index of images whose configs hold very many entries of a history.
func (s *scene) configs(tag string, images, size int) {
	var entries []map[string]any
	config := []byte(`{"os":"linux","architecture":"amd64","config":{"User":"1"},"history":[` + strings.TrimSuffix(strings.Repeat("{},", size/3), ",") + `]}`)
	c := s.blob(configType, config)
	layer := s.blob(layerType, []byte("layer"))
	for i := range images {
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": c, "layers": []piece{layer}, "annotations": map[string]string{"n": tag + itoa(i)}})
		must(s.t, err)
		digest := s.hosted.Put("team/app", "", manifestType, text)
		entries = append(entries, map[string]any{"mediaType": manifestType, "digest": digest, "size": len(text)})
	}
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": entries})
	must(s.t, err)
	s.hosted.Put("team/app", tag, indexType, text)
}

// The memory of unsigned configs is bounded, as that of manifests is.
func TestAttack_P17_ConfigsOfUnsignedImagesAreWithinTheBudget(t *testing.T) {
	race.Skip(t, "memory and time are measured")
	for name, c := range map[string]struct{ clients, images, size int }{"large": {1, 10, 5 << 19}, "many small": {8, 90, 15 << 10}} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, registrytest.Options{}, nil)
			for i := range c.clients {
				s.configs("crowd"+itoa(i), c.images, c.size)
			}
			s.start(registrytest.Start(t, s.hosted), func(p *gate.Config) { p.Verifier = s.verifier(nonRoot) })
			before := liveHeap(func() {})
			most := liveHeap(func() {
				var wg sync.WaitGroup
				for i := range c.clients {
					wg.Go(func() {
						w := s.askFrom(t.Context(), "192.0.2."+itoa(i+1)+":1", manifestPath+"crowd"+itoa(i))
						t.Logf("%d %.300s", w.Code, w.Body)
					})
				}
				wg.Wait()
			})
			if most > before+96<<20 {
				t.Errorf("%d clients: %d MiB live", c.clients, int64(most-before)>>20)
			}
		})
	}
}

// One image is judged once, however many pieces of its evidence are asked for at once.
func TestAttack_P17_EvidenceOfOneImageHasItJudgedOnce(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	var digests []string
	for i := range 20 {
		digests = append(digests, s.attach(s.signed.DigestStr(), i, s.blob("application/json", []byte("{}"))))
	}
	var lists atomic.Int64
	s.start(registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/referrers/") {
			lists.Add(1)
			time.Sleep(100 * time.Millisecond)
		}
		s.hosted.ServeHTTP(w, r)
	})), nil)
	var wg sync.WaitGroup
	for i, d := range digests {
		wg.Go(func() {
			if w := s.askFrom(t.Context(), "192.0.2."+itoa(i+1)+":1", manifestPath+d); w.Code != http.StatusOK {
				t.Error(w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if n := lists.Load(); n > 2 {
		t.Errorf("one image was judged %d times at once", n)
	}
}

// What is read of an index to find denied children is within the budget, too.
func TestAttack_P17_ChildrenOfUnsignedIndexesAreWithinTheBudget(t *testing.T) {
	race.Skip(t, "memory and time are measured")
	const clients = 20
	s := newScene(t, registrytest.Options{}, nil)
	index := func(tag string, entries ...string) piece {
		text := []byte(`{"schemaVersion":2,"mediaType":"` + indexType + `","annotations":{"n":"` + tag + `"},"manifests":[` + strings.Join(entries, ",") + `]}`)
		return piece{indexType, s.hosted.Put("team/app", tag, indexType, text), len(text)}
	}
	entry := func(p piece) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{}}`, p.MediaType, p.Digest, p.Size)
	}
	slow := index("slow", entry(piece{manifestType, s.unsigned.DigestStr(), 1}))
	other := entry(piece{manifestType, s.unsigned.DigestStr(), 1})
	for i := range clients {
		entries := append([]string{entry(slow)}, slices.Repeat([]string{other}, 22_000)...)
		index("crowd"+itoa(i), entry(index("below"+itoa(i), entries...)))
	}
	waiting := make(chan struct{})
	s.start(registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, slow.Digest) {
			select {
			case <-waiting:
			case <-time.After(8 * time.Second):
			}
		}
		s.hosted.ServeHTTP(w, r)
	})), func(c *gate.Config) {
		c.Client.Timeout = 20 * time.Second
		c.Verifier = s.verifier(func(p *policy.Policy) {
			p.DenyDigests = []policy.DeniedDigest{{Digest: "sha256:" + strings.Repeat("0", 64), Reason: "stolen key"}}
		})
	})
	before := liveHeap(func() {})
	most := liveHeap(func() {
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() { s.askFrom(t.Context(), "192.0.2."+itoa(i+1)+":1", manifestPath+"crowd"+itoa(i)) })
		}
		wg.Wait()
	})
	if most > before+96<<20 {
		t.Errorf("%d clients: %d MiB live", clients, int64(most-before)>>20)
	}
}

// A disk that clients have filled takes no memory in its place.
func TestAttack_P17_EvidenceThatNoFileHoldsIsWithinTheBudget(t *testing.T) {
	race.Skip(t, "memory and time are measured")
	const blobs = 200
	s := newScene(t, registrytest.Options{}, nil)
	var layers []piece
	for i := range blobs {
		layers = append(layers, s.blob("application/json", append(fmt.Appendf(nil, `{"n%d":"`, i), append(bytes.Repeat([]byte("x"), 1<<20-20), `"}`...)...)))
	}
	digest := s.attach(s.signed.DigestStr(), 1, layers...)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.TempDir = t.TempDir() + "/none" })
	s.serves(manifestPath + digest)
	before := liveHeap(func() {})
	most := liveHeap(func() {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i, l := range layers {
			wg.Go(func() {
				req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v2/team/app/blobs/"+l.Digest, nil)
				req.RemoteAddr = "198.18." + itoa(i/8) + ".1:1"
				s.gate.ServeHTTP(&unread{httptest.NewRecorder(), ctx}, req)
			})
		}
		time.Sleep(4 * time.Second)
		cancel()
		wg.Wait()
	})
	if most > before+96<<20 {
		t.Errorf("%d clients that do not read: %d MiB live", blobs, int64(most-before)>>20)
	}
}

// unread is a client that does not read its answer.
type unread struct {
	*httptest.ResponseRecorder
	ctx context.Context
}

func (u *unread) Write(p []byte) (int, error) {
	<-u.ctx.Done()
	return len(p), nil
}

// Evidence that waits for cheaper evidence is within the budget, too: an attacker has
// named a key of the policy in bundles that it has not signed.
func TestAttack_P17_EvidenceThatWaitsIsWithinTheBudget(t *testing.T) {
	race.Skip(t, "memory and time are measured")
	const clients = 28
	s := newScene(t, registrytest.Options{}, nil)
	var bundle map[string]any
	for item, err := range registry.Evidence(t.Context(), s.store, s.signed, registry.Limits{}) {
		must(t, err)
		must(t, json.Unmarshal(item.Payload, &bundle))
	}
	envelope := bundle["dsseEnvelope"].(map[string]any)
	payload, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
	must(t, err)
	const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	var layers []piece
	for i := range 75 {
		envelope["payload"] = base64.StdEncoding.EncodeToString(append(payload, bytes.Repeat([]byte(" "), 40<<10+i)...))
		text, err := json.Marshal(bundle)
		must(t, err)
		layers = append(layers, s.blob(bundleType, text))
	}
	slow := s.blob(bundleType, bytes.Repeat([]byte("x"), 60<<10))
	layers = append(layers, slow)
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": s.blob(emptyType, []byte("{}")), "layers": layers})
	must(t, err)
	for i := range clients {
		image, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("crowd"+itoa(i)), registrytest.ImageOptions{Seed: itoa(i)})
		must(t, err)
		s.hosted.Put("team/app", strings.Replace(image.DigestStr(), ":", "-", 1)+".sig", manifestType, text)
	}
	done := make(chan struct{})
	var reached atomic.Int64
	s.start(registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, slow.Digest) {
			reached.Add(1)
			select {
			case <-done:
			case <-time.After(10 * time.Second):
			}
		}
		s.hosted.ServeHTTP(w, r)
	})), func(c *gate.Config) {
		c.Client.Timeout, c.Client.StallTimeout = 20*time.Second, 20*time.Second
		_, other := newSigner(t)
		p := policy.Signatures{Keys: []policy.PublicKey{s.key, other}, Threshold: 1}.Policy()
		v, err := verify.New(p, verify.Options{})
		must(t, err)
		c.Verifier = v
	})
	before := liveHeap(func() {})
	most := liveHeap(func() {
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() { s.askFrom(t.Context(), "192.0.2."+itoa(i+1)+":1", manifestPath+"crowd"+itoa(i)) })
		}
		wg.Wait()
	})
	t.Logf("%d have reached the last piece, %d MiB live", reached.Load(), int64(most-before)>>20)
	if most > before+96<<20 {
		t.Errorf("%d clients: %d MiB live", clients, int64(most-before)>>20)
	}
}

// An upstream that stalls holds up no judgement before another upstream, large ones
// included.
func TestAttack_P17_StalledUpstreamHoldsUpNoOtherJudgement(t *testing.T) {
	race.Skip(t, "memory and time are measured")
	s := newScene(t, registrytest.Options{}, nil)
	for i := range 80 { // a list of more than 16 KiB, the good bundle somewhere in it
		s.attach(s.signed.DigestStr(), i, s.blob("application/json", []byte("{}")))
	}
	var entries []string
	for i := range 200 {
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:%064d","size":100}`, manifestType, i))
	}
	slowImage := []byte(`{"schemaVersion":2,"mediaType":"` + manifestType + `","config":{"mediaType":"` + configType + `","digest":"sha256:` + strings.Repeat("1", 64) + `","size":2},"layers":[]}`)
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/referrers/"):
			w.Header().Set("Content-Type", indexType)
			_, _ = w.Write([]byte(`{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[` + strings.Join(entries, ",") + `]}`))
		case strings.HasSuffix(r.URL.Path, ".sig"):
			w.WriteHeader(http.StatusNotFound)
		case strings.Contains(r.URL.Path, "/manifests/t"):
			w.Header().Set("Content-Type", manifestType)
			_, _ = w.Write(bytes.Replace(slowImage, []byte(`"layers"`), []byte(`"annotations":{"n":"`+r.URL.Path+`"},"layers"`), 1))
		default:
			<-r.Context().Done()
		}
	})
	begin := func() {
		s.start(registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(60 * time.Millisecond)
			s.hosted.ServeHTTP(w, r)
		})), func(c *gate.Config) {
			c.JudgeTimeout = 3 * time.Second
			c.Client.Timeout = 20 * time.Second
			c.Upstreams = append(c.Upstreams, gate.Upstream{Registry: "slow.example.test", Address: registrytest.Start(t, slow)})
		})
	}
	begin()
	began := time.Now()
	s.serves("/v2/" + known + "/team/app/manifests/signed")
	alone := time.Since(began)
	begin()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i := range 30 {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			for n := 0; ctx.Err() == nil; n++ {
				s.askFrom(ctx, "192.0.2."+itoa(i+1)+":1", "/v2/slow.example.test/a/b/manifests/t"+itoa(i)+"-"+itoa(n))
			}
		})
	}
	time.Sleep(3500 * time.Millisecond)
	began = time.Now()
	if w := s.askFrom(t.Context(), "198.51.100.1:1", "/v2/"+known+"/team/app/manifests/signed"); w.Code != http.StatusOK || time.Since(began) > alone+time.Second {
		t.Errorf("a good image whose upstream is well takes %v while another upstream stalls, and %v before: %d %s", time.Since(began), alone, w.Code, w.Body)
	}
}

// No answer names an address inside the operator's network, whatever an upstream says.
func TestAttack_P19_NoDenialNamesWhereAnUpstreamLeads(t *testing.T) {
	const secret = "vault.corp.internal"
	for name, do := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"link": func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/referrers/") {
				return false
			}
			w.Header().Set("Content-Type", indexType)
			w.Header().Set("Link", `<http://`+secret+`/v2/x>; rel="next"`)
			_, _ = w.Write([]byte(`{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[]}`))
			return true
		},
		"redirected blob": func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			http.Redirect(w, r, "ftp://"+secret+"/x", http.StatusTemporaryRedirect)
			return true
		},
		"redirected tag": func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, ".sig") {
				return false
			}
			http.Redirect(w, r, "https://u:p@"+secret+"/x", http.StatusTemporaryRedirect)
			return true
		},
		"error": func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte(`{"errors":[{"code":"DENIED","message":"see http://` + secret + `/"}]}`))
			return true
		},
	} {
		for _, mode := range []policy.Mode{policy.ModeEnforce, policy.ModeWarn} {
			s := newScene(t, registrytest.Options{}, nil)
			s.start(registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !do(w, r) {
					s.hosted.ServeHTTP(w, r)
				}
			})), func(c *gate.Config) {
				c.Verifier = s.verifier(func(p *policy.Policy) { p.Rules[0].Mode = mode })
			})
			for _, path := range []string{manifestPath + "signed", manifestPath + "unsigned", "/v2/team/app/referrers/" + s.signed.DigestStr(), "/v2/team/app/referrers/" + s.unsigned.DigestStr(), blobPath(s.parts(s.signed)[1])} {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					r := s.ask(method, path)
					if text := fmt.Sprint(r.header, string(r.body)); strings.Contains(text, secret) || strings.Contains(text, "127.0.0.1") {
						t.Errorf("%s, %s: %s %s: %d %s", name, mode, method, path, r.status, text)
					}
				}
			}
		}
	}
}
