package readers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// upstreams are the registries behind the gate.
var upstreams = []struct {
	name string
	// listing is true where it has the referrers API.
	listing bool
	make    func() http.Handler
}{
	{"with-referrers-API", true, func() http.Handler { return registrytest.New(registrytest.Options{}) }},
	{"without-referrers-API", false, func() http.Handler { return registrytest.New(registrytest.Options{NoReferrers: true}) }},
	{"go-containerregistry", false, func() http.Handler { return ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))) }},
}

// stage is a registry, and the two faces of a gate before it. What is signed by one
// key passes.
type stage struct {
	upstream string
	listing  bool
	store    registry.Store
	// gate is the address of the handler. guarded is the transport.
	gate    string
	guarded http.RoundTripper
	signer  sign.Signer
}

func newSigner(t *testing.T) (sign.Signer, policy.PublicKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	signer, err := sign.New(private, sign.SignerOptions{})
	must(t, err)
	key, err := policy.NewPublicKey(private.Public())
	must(t, err)
	return signer, key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStage(t *testing.T, hosted http.Handler, listing bool) *stage {
	t.Helper()
	anonymous := registry.Options{Keychain: authn.NewMultiKeychain()}
	client, err := registry.NewClient(anonymous)
	must(t, err)
	s := &stage{upstream: registrytest.Start(t, hosted), listing: listing, store: client}
	var key policy.PublicKey
	s.signer, key = newSigner(t)
	judge, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	must(t, err)
	c := gate.Config{Verifier: judge, Client: anonymous, TempDir: t.TempDir()}
	s.guarded, err = gate.NewTransport(c)
	must(t, err)
	c.Upstreams = []gate.Upstream{{Registry: s.upstream}}
	gate, err := gate.New(c)
	must(t, err)
	server := httptest.NewServer(gate)
	t.Cleanup(server.Close)
	s.gate = strings.TrimPrefix(server.URL, "http://")
	return s
}

// ways lead through the gate to a repository.
func (s *stage) ways(repository string) map[string]access {
	return map[string]access{
		"handler":   {s.gate, repository, &watched{RoundTripper: http.DefaultTransport}},
		"transport": {s.upstream, repository, &watched{RoundTripper: s.guarded}},
	}
}

// around is the way that leads around the gate.
func (s *stage) around(repository string) access {
	return access{s.upstream, repository, &watched{RoundTripper: http.DefaultTransport}}
}

// target is a repository with one signed image, to which an attacker may push.
type target struct {
	t      *testing.T
	stage  *stage
	repo   name.Repository
	signed name.Digest
	// parts are the digests of the signed image's manifest, config and layers.
	parts []string
}

// newTarget signs in two formats: an attacker who overwrites one of them leaves
// the other.
func (s *stage) newTarget(t *testing.T, repository string) *target {
	t.Helper()
	repo, err := name.NewRepository(s.upstream + "/" + repository)
	must(t, err)
	a := &target{t: t, stage: s, repo: repo}
	a.signed, err = registrytest.PushImage(t.Context(), s.store, repo.Tag("signed"), registrytest.ImageOptions{Seed: repository, Layers: 2})
	must(t, err)
	a.sign(s.signer)
	m, err := s.store.Manifest(t.Context(), a.signed)
	must(t, err)
	var image ocispec.Manifest
	must(t, json.Unmarshal(m.Bytes, &image))
	a.parts = []string{a.signed.DigestStr()}
	for _, d := range append(image.Layers, image.Config) {
		a.parts = append(a.parts, d.Digest.String())
	}
	return a
}

func (a *target) sign(by sign.Signer) {
	a.t.Helper()
	formats := []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}
	_, err := sign.Image(a.t.Context(), a.stage.store, a.signed, sign.ImageOptions{Formats: formats}, by)
	must(a.t, err)
}

// tag is the tag for the signed image that ends in a suffix: of cosign, or, where
// that is empty, of the referrers API.
func (a *target) tag(suffix string) string {
	return strings.Replace(a.signed.DigestStr(), ":", "-", 1) + suffix
}

// subject describes the signed image.
func (a *target) subject() *ocispec.Descriptor {
	a.t.Helper()
	d, err := a.stage.store.Resolve(a.t.Context(), a.signed)
	must(a.t, err)
	return &ocispec.Descriptor{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size}
}

// put pushes a manifest as it is, whatever it is.
func (a *target) put(ref, mediaType string, content []byte) {
	a.t.Helper()
	if !a.offer(ref, mediaType, content) {
		a.t.Fatalf("the registry takes no %s", ref)
	}
}

// offer says whether the registry took a manifest.
func (a *target) offer(ref, mediaType string, content []byte) bool {
	a.t.Helper()
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s", a.stage.upstream, a.repo.RepositoryStr(), ref)
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPut, url, bytes.NewReader(content))
	must(a.t, err)
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	must(a.t, err)
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusCreated
}

func (a *target) putBlob(content []byte) {
	a.t.Helper()
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	must(a.t, a.stage.store.PushBlob(a.t.Context(), a.repo.Digest(digest.FromBytes(content).String()), int64(len(content)), open))
}

// listed are the entries that the fallback tag has.
func (a *target) listed() []ocispec.Descriptor {
	a.t.Helper()
	m, err := a.stage.store.Manifest(a.t.Context(), a.repo.Tag(a.tag("")))
	if err != nil {
		return nil // the tag is made where there is something to list, and no API
	}
	var list ocispec.Index
	must(a.t, json.Unmarshal(m.Bytes, &list))
	return list.Manifests
}

func describe(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// version is that of every manifest.
func version() specs.Versioned { return specs.Versioned{SchemaVersion: 2} }

func encode(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return text
}

// pulled fails the test unless the signed image was had as a whole.
func (a *target) pulled(t *testing.T, got *haul) {
	t.Helper()
	for _, part := range a.parts {
		if !got.has(part) {
			t.Errorf("%s of the signed image did not arrive: %v", part, got.errs)
		}
	}
}
