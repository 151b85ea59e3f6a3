package gate_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// known is the name under which images are judged; it is nowhere in the DNS.
const known = "registry.example.test"

// scene is a registry with a signed and an unsigned image, and a gate before it.
type scene struct {
	t      *testing.T
	hosted *registrytest.Registry
	store  registry.Store
	repo   name.Repository
	signer sign.Signer
	key    policy.PublicKey
	// judging are the options of the scene's verifiers.
	judging verify.Options
	// signed and unsigned have the tags of their names.
	signed, unsigned name.Digest
	events           events
	gate             *gate.Handler
	server           *httptest.Server
}

// events is an Observer that remembers.
type events struct {
	mu        sync.Mutex
	all       []gate.Event
	downloads []gate.Download
}

func (e *events) Event(_ context.Context, x gate.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
}

func (e *events) Download(_ context.Context, d gate.Download) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.downloads = append(e.downloads, d)
}

// reasons are those of the events of one kind.
func (e *events) reasons(kind string) (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.all {
		if x.Kind == kind {
			all = append(all, string(x.Reason))
		}
	}
	return all
}

func newSigner(t testing.TB) (sign.Signer, policy.PublicKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	signer, err := sign.New(private, sign.SignerOptions{})
	must(t, err)
	key, err := policy.NewPublicKey(private.Public())
	must(t, err)
	return signer, key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newScene starts all; change may adjust the gate's configuration, and judging is how its
// verifiers work.
func newScene(t *testing.T, o registrytest.Options, change func(*gate.Config), judging ...verify.Options) *scene {
	t.Helper()
	s := &scene{t: t, hosted: registrytest.New(o)}
	for _, o := range judging {
		s.judging = o
	}
	s.signer, s.key = newSigner(t)
	s.store = s.hosted.Store()
	var err error
	s.repo, err = name.NewRepository(known + "/team/app")
	must(t, err)
	ctx := context.Background()
	s.signed, err = registrytest.PushImage(ctx, s.store, s.repo.Tag("signed"), registrytest.ImageOptions{})
	must(t, err)
	s.unsigned, err = registrytest.PushImage(ctx, s.store, s.repo.Tag("unsigned"), registrytest.ImageOptions{Config: v1.Config{User: "evil"}})
	must(t, err)
	s.sign(s.signed)
	s.hosted.ResetRequests()
	s.start(registrytest.Start(t, s.hosted), change)
	return s
}

func (s *scene) sign(subject name.Digest, formats ...registry.Format) {
	s.t.Helper()
	_, err := sign.Image(context.Background(), s.store, subject, sign.ImageOptions{Formats: formats}, s.signer)
	must(s.t, err)
}

func (s *scene) verifier(change func(*policy.Policy)) *verify.Verifier {
	s.t.Helper()
	p := policy.Signatures{Keys: []policy.PublicKey{s.key}, Threshold: 1}.Policy()
	if change != nil {
		change(p)
	}
	v, err := verify.New(p, s.judging)
	must(s.t, err)
	return v
}

// quick are options for upstreams that stall on purpose. The time for an answer is long: on
// a busy machine, a good one may take a while.
var quick = remote.Options{Keychain: nobody{}, MaxAttempts: 1, Timeout: 30 * time.Second, StallTimeout: time.Second}

func (s *scene) start(address string, change func(*gate.Config)) {
	s.t.Helper()
	c := gate.Config{
		Verifier: s.verifier(nil), Upstreams: []gate.Upstream{{Registry: known, Address: address}},
		Client: quick, Observer: &s.events, TempDir: s.t.TempDir(),
	}
	if change != nil {
		change(&c)
	}
	var err error
	s.gate, err = gate.NewHandler(c)
	must(s.t, err)
	s.server = httptest.NewServer(s.gate)
	s.t.Cleanup(s.server.Close)
}

// reply is what a client got.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error // of the body
}

// message is that of the OCI error.
func (r reply) message() string {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(r.body, &e) != nil || len(e.Errors) != 1 {
		return ""
	}
	return e.Errors[0].Code + ": " + e.Errors[0].Message
}

func (s *scene) ask(method, path string, header ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, nil)
	must(s.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return send(s.t, s.server.Client(), req)
}

func send(t *testing.T, client *http.Client, req *http.Request) reply {
	t.Helper()
	resp, err := client.Do(req)
	if denial := (*verify.Error)(nil); errors.As(err, &denial) { // by a transport: as a handler would answer
		text, wrong := json.Marshal(map[string]any{"errors": []map[string]string{{"code": "DENIED", "message": err.Error()}}})
		must(t, wrong)
		return reply{status: http.StatusForbidden, body: text}
	}
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, body, err}
}

func (s *scene) get(path string, header ...string) reply {
	return s.ask(http.MethodGet, path, header...)
}

// passes wants the bytes that the registry has.
func (s *scene) passes(ref string) reply {
	s.t.Helper()
	r := s.get("/v2/team/app/manifests/" + ref)
	_, want, ok := s.hosted.Manifest("team/app", ref)
	if r.status != http.StatusOK || r.err != nil || ok && !bytes.Equal(r.body, want) {
		s.t.Fatalf("%s: %d %s, %v", ref, r.status, r.body, r.err)
	}
	return r
}

// denied wants a refusal by the policy, for a reason.
func (s *scene) denied(path, reason string) reply {
	s.t.Helper()
	r := s.get(path)
	if r.status != http.StatusForbidden || !strings.HasPrefix(r.message(), "DENIED: ") || !strings.Contains(r.message(), reason) {
		s.t.Fatalf("%s: %d %s; want a denial for %s", path, r.status, r.body, reason)
	}
	return r
}

// parts are the config and the layers of an image.
func (s *scene) parts(image name.Digest) []v1.Descriptor {
	s.t.Helper()
	_, text, ok := s.hosted.Manifest("team/app", image.DigestStr())
	if !ok {
		s.t.Fatalf("no manifest %s", image)
	}
	var m v1.Manifest
	must(s.t, json.Unmarshal(text, &m))
	return append([]v1.Descriptor{m.Config}, m.Layers...)
}

func blobPath(d v1.Descriptor) string { return "/v2/team/app/blobs/" + d.Digest.String() }

// manifestPath is where the manifests of the scene's repository are.
const manifestPath = "/v2/team/app/manifests/"
