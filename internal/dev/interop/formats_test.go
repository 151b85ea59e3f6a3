package interop

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ssldsse "github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

// Our pre-authentication encoding is go-securesystemslib's, byte for byte.
func TestPAEIsThatOfSecureSystemsLib(t *testing.T) {
	for _, payloadType := range []string{"", dsse.PayloadTypeInToto, "tÿpe with spaces"} {
		for _, body := range []string{"", "{}", "a b\nc\x00", strings.Repeat("x", 100_000), "é"} {
			if ours, theirs := dsse.PAE(payloadType, []byte(body)), ssldsse.PAE(payloadType, []byte(body)); !bytes.Equal(ours, theirs) {
				t.Errorf("PAE(%q, %.20q): %.60q, want %.60q", payloadType, body, ours, theirs)
			}
		}
	}
}

// Our simple signing payload is sigstore's, byte for byte.
func TestSimpleSigningPayloadIsThatOfSigstore(t *testing.T) {
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		t.Fatal(err)
	}
	image := repo.Digest("sha256:" + strings.Repeat("0a", 32))
	for what, annotations := range map[string]map[string]string{
		"none": nil, "one": {"env": "prod"}, "sorted": {"b": "1", "a": "2", "C": "3"}, "empty": {"": ""},
		"escaped": {"html": "<a href='x'>&amp;</a>", "quote": `"\` + "\n\t\x01", "unicode": "é\u2028\u2029😀"},
	} {
		t.Run(what, func(t *testing.T) {
			theirs := payload.Cosign{Image: image}
			for k, v := range annotations {
				if theirs.Annotations == nil {
					theirs.Annotations = make(map[string]any)
				}
				theirs.Annotations[k] = v
			}
			want, err := theirs.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			got, err := (&simplesigning.Payload{
				DockerReference: repo.Name(), ManifestDigest: image.DigestStr(), Annotations: annotations,
			}).Marshal()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %s, %v\nwant %s", got, err, want)
			}
			back, err := simplesigning.Parse(want)
			if err != nil || !maps.Equal(back.Annotations, annotations) || back.ManifestDigest != image.DigestStr() {
				t.Errorf("parsed %+v, %v", back, err)
			}
		})
	}
}

// twins are two registries at one address, one after the other: what is written
// to each can be compared although it holds the address.
type twins struct {
	current atomic.Pointer[http.Handler]
	host    string
}

func newTwins(t testing.TB) *twins {
	w := new(twins)
	w.renew()
	w.host = serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.current.Load()).ServeHTTP(rw, r) }))
	return w
}

// renew forgets everything that has been written.
func (w *twins) renew() {
	h := ggcr.New(ggcr.Logger(discard), ggcr.WithReferrersSupport(true))
	w.current.Store(&h)
}

// With an RSA key, whose signatures are the same each time, the manifest that
// we write under the .sig tag is cosign's: the same fields, the same layers,
// the same config, for one signature and for several. But for one field: we repeat
// the payload in the layer's descriptor.
func TestSigTagManifestIsThatOfCosign(t *testing.T) {
	keys := []key{newKey(t, "release", sign.RSA2048), newKey(t, "second", sign.RSA2048)}
	for n := 1; n <= len(keys); n++ {
		w := newTwins(t)
		s := newScene(t, w.host)
		for _, k := range keys[:n] {
			tag2.sign(t, s.image, k.private, annotate("env", "prod")...)
		}
		wantManifest, wantConfig := sigTag(t, s)

		w.renew()
		s = newScene(t, w.host)
		for _, k := range keys[:n] {
			s.sign(t, s.image, sign.ImageOptions{Formats: onlyTag, Annotations: map[string]string{"env": "prod"}}, k.pair.Signer)
		}
		manifest, config := sigTag(t, s)
		sameJSON(t, "manifest", withoutData.ReplaceAll(manifest, nil), wantManifest)
		if !withoutData.Match(manifest) {
			t.Errorf("no payload is repeated in %s", manifest)
		}
		sameJSON(t, "config", config, wantConfig)
	}
}

// withoutData finds the content that descriptors carry.
var withoutData = regexp.MustCompile(`"data":"[^"]*",`)

func sigTag(t testing.TB, s *scene) (manifest, config []byte) {
	t.Helper()
	image, err := remote.Image(s.repo.Tag(strings.Replace(s.image.DigestStr(), ":", "-", 1)+".sig"), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if manifest, err = image.RawManifest(); err != nil {
		t.Fatal(err)
	}
	if config, err = image.RawConfigFile(); err != nil {
		t.Fatal(err)
	}
	return manifest, config
}

func sameJSON(t *testing.T, what string, got, want []byte) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want, &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s differs\nours:   %s\ntheirs: %s", what, got, want)
	}
}

// The manifest of our bundle equals cosign3's, except for:
//
//   - the time, and the bundle's bytes and digest
//   - "data", and an annotation that repeats the bundle in lists of referrers
//   - a field in cosign's config descriptor that the specification does not have
//
// The signed statements are equal.
func TestBundleManifestIsThatOfCosign(t *testing.T) {
	release := newKey(t, "release", sign.ECDSAP256)
	w := newTwins(t)
	s := newScene(t, w.host)
	bundle3.sign(t, s.image, release.private, annotate("env", "prod")...)
	wantManifest, wantBundle := s.bundleManifest(t)

	w.renew()
	s = newScene(t, w.host)
	s.sign(t, s.image, sign.ImageOptions{Annotations: map[string]string{"env": "prod"}}, release.pair.Signer)
	manifest, text := s.bundleManifest(t)
	sameJSON(t, "manifest", manifest, wantManifest)

	ours, err := bundle.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := bundle.Parse(wantBundle)
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "statement", ours.Envelope.Payload, theirs.Envelope.Payload)
	if a, b := ours.Envelope, theirs.Envelope; a.PayloadType != b.PayloadType || len(a.Signatures) != len(b.Signatures) {
		t.Errorf("envelope differs\nours:   %s, %d signatures\ntheirs: %s, %d signatures", a.PayloadType, len(a.Signatures), b.PayloadType, len(b.Signatures))
	}
	ours.Envelope, theirs.Envelope = nil, nil
	ours.EnvelopeText, theirs.EnvelopeText = nil, nil
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("bundle differs\nours:   %+v\ntheirs: %+v", ours, theirs)
	}
}

// bundleManifest returns the manifest that carries the bundle, without what may
// differ, and the bundle.
func (s *scene) bundleManifest(t testing.TB) (manifest, text []byte) {
	t.Helper()
	item := s.onlyEvidence(t, s.image)
	m, err := s.store.Manifest(t.Context(), s.repo.Digest(item.Manifest.Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(m.Bytes, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields["config"].(map[string]any), "artifactType")
	annotations := fields["annotations"].(map[string]any)
	if annotations["org.opencontainers.image.created"] == "" {
		t.Error("no time of creation")
	}
	for _, free := range []string{"org.opencontainers.image.created", registry.AnnotationContent} {
		delete(annotations, free)
	}
	layer := fields["layers"].([]any)[0].(map[string]any)
	for _, free := range []string{"digest", "size", "data"} {
		delete(layer, free)
	}
	if manifest, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	return manifest, item.Payload
}
