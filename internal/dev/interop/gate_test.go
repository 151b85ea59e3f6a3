package interop

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// guarded is a gate before a registry with a signed image and a signed index, and
// an image and an index that nobody has signed: by tag, signed, signed-index,
// unsigned and unsigned-index.
type guarded struct {
	gate http.Handler
	// hosted is the registry, where it is the in-memory one.
	hosted *registrytest.Registry
	// digests are by tag.
	digests map[string]string
	layer   string // of signed
	release key
}

// newGuarded fills a registry at an address and puts a gate before it.
func newGuarded(t testing.TB, store registry.Store, address string) *guarded {
	t.Helper()
	repo, err := name.NewRepository(address + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{digests: make(map[string]string), release: newKey(t, "release", sign.ECDSAP256)}
	platforms := []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
	for _, tag := range []string{"signed", "unsigned"} {
		image, err := registrytest.PushImage(t.Context(), store, repo.Tag(tag), registrytest.ImageOptions{Seed: tag, Platform: platform(), Layers: 2})
		if err != nil {
			t.Fatal(err)
		}
		index, _, err := registrytest.PushIndex(t.Context(), store, repo.Tag(tag+"-index"), platforms...)
		if err != nil {
			t.Fatal(err)
		}
		g.digests[tag], g.digests[tag+"-index"] = image.DigestStr(), index.DigestStr()
		if tag == "unsigned" {
			continue
		}
		g.layer = layerOf(t, store, image)
		for _, subject := range []name.Digest{image, index} {
			if _, err := sign.Image(t.Context(), store, subject, sign.ImageOptions{}, g.release.pair.Signer); err != nil {
				t.Fatal(err)
			}
		}
	}
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{publicKey(t, g.release.pair.PublicPEM)}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	content, err := gate.OpenStore(t.TempDir(), gate.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g.gate, err = gate.New(gate.Config{Verifier: v, Store: content, Upstreams: []gate.Upstream{{Registry: elsewhere, Address: address}}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func layerOf(t testing.TB, store registry.Store, image name.Digest) string {
	t.Helper()
	m, err := store.Manifest(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := v1.ParseManifest(strings.NewReader(string(m.Bytes)))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Layers[0].Digest.String()
}

// inMemoryGuarded has the in-memory registry behind the gate.
func inMemoryGuarded(t testing.TB) *guarded {
	t.Helper()
	hosted := registrytest.New(registrytest.Options{})
	g := newGuarded(t, hosted.Store(), registrytest.Start(t, hosted))
	g.hosted = hosted
	return g
}

// distributionGuarded has distribution, which lacks the referrers API.
func distributionGuarded(t testing.TB) *guarded {
	t.Helper()
	client, err := registry.NewClient(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newGuarded(t, client, distribution.start(t))
}

// Each client pulls through the gate what is signed, and is refused what is not:
// by tag and by digest, single images and indexes, over HTTP and HTTPS, with the
// gate as the registry and as the configured mirror of another name. Each shows
// why.
func TestClientsPullThroughTheGateOnlyWhatIsSigned(t *testing.T) {
	onEachClient(t, func(t *testing.T, c client, r route) {
		g := inMemoryGuarded(t)
		spec := r.serve(t, g.gate)
		for _, tag := range []string{"signed", "signed-index"} {
			for how, ref := range map[string]string{"tag": ":" + tag, "digest": "@" + g.digests[tag]} {
				t.Run(tag+"-by-"+how, func(t *testing.T) {
					c.pull(t, spec("team/app"+ref)).accepted(t)
				})
			}
		}
		g.hosted.ResetRequests()
		for _, tag := range []string{"unsigned", "unsigned-index"} {
			for how, ref := range map[string]string{"tag": ":" + tag, "digest": "@" + g.digests[tag]} {
				t.Run(tag+"-by-"+how, func(t *testing.T) {
					o := c.pull(t, spec("team/app"+ref))
					t.Logf("client %s shows: %s", c.name, o.sentence())
					o.refused(t, "no-signature")
				})
			}
		}
		for _, request := range g.hosted.Requests() {
			if request.Kind == registrytest.KindBlob && request.Method == http.MethodGet {
				t.Errorf("%s was fetched, although its image was refused", request.Path)
			}
		}
	})
}

// The same before a registry without the referrers API, which this project has
// not written.
func TestClientsPullThroughTheGateBeforeDistribution(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := distributionGuarded(t)
			host := serve(t, g.gate)
			for _, tag := range []string{"signed", "signed-index"} {
				c.pull(t, pullSpec{ref: host + "/team/app:" + tag}).accepted(t)
			}
			for _, tag := range []string{"unsigned", "unsigned-index"} {
				o := c.pull(t, pullSpec{ref: host + "/team/app:" + tag})
				t.Logf("client %s shows: %s", c.name, o.sentence())
				o.refused(t, "no-signature")
			}
		})
	}
}

// What verifies behind the gate still can: it finds signatures by the referrers
// API and by the tags.
func TestCosignVerifiesThroughTheGate(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *guarded{"in-memory": inMemoryGuarded, "distribution": distributionGuarded} {
		t.Run(name, func(t *testing.T) {
			g := start(t)
			host := serve(t, g.gate)
			for _, version := range []string{"cosign3"} {
				p := newProgram(t, version)
				args := []string{"verify", "--key", g.release.public, "--insecure-ignore-tlog=true", "--allow-http-registry"}
				p.run(t, append(args, host+"/team/app:signed")...).accepted(t)
				p.run(t, append(args, host+"/team/app@"+g.digests["signed-index"])...).accepted(t)
				p.run(t, append(args, host+"/team/app:unsigned")...).refused(t, "no-signature")
			}
		})
	}
}

// The OCI distribution-spec conformance suite, pull category, against the handler.
func TestConformanceOfTheGate(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *guarded{"in-memory": inMemoryGuarded, "distribution": distributionGuarded} {
		t.Run(name, func(t *testing.T) {
			g := start(t)
			conformance(t, "http://"+serve(t, g.gate), "team/app", "signed", g.digests["signed"], g.layer)
		})
	}
}
