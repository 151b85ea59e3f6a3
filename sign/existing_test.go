package sign_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// bundled is a statement of exactly this text, signed.
func bundled(t *testing.T, by sign.Signer, payload string) registry.Item {
	t.Helper()
	sig, err := by.Sign(t.Context(), dsse.PAE(dsse.PayloadTypeInToto, []byte(payload)))
	if err != nil {
		t.Fatal(err)
	}
	item := registry.Item{Format: registry.FormatBundle, Payload: fmt.Appendf(nil,
		`{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payloadType":%q,"payload":%q,"signatures":[{"sig":%q}]}}`,
		bundleType, dsse.PayloadTypeInToto, base64.StdEncoding.EncodeToString([]byte(payload)), base64.StdEncoding.EncodeToString(sig))}
	item.Layer.MediaType = bundleType
	return item
}

// What the signer's key has signed is its signature of this image only if it says
// just that.
func TestWhatIsNotTheSameSignatureIsNotTakenForIt(t *testing.T) {
	const statement = `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://sigstore.dev/cosign/sign/v1","subject":[%s],"predicate":{}}`
	about := func(hex, more string) string { return `{"digest":{"sha256":"` + hex + `"}` + more + `}` }
	for label, payload := range map[string]func(hex string) string{
		"garbage": func(string) string { return "garbage" },
		"an attestation": func(hex string) string {
			return strings.Replace(fmt.Sprintf(statement, about(hex, "")), "sign/v1", "vuln/v1", 1)
		},
		"of two images": func(hex string) string {
			return fmt.Sprintf(statement, about(hex, "")+","+about(strings.Repeat("0", 64), ""))
		},
		"of another image":       func(string) string { return fmt.Sprintf(statement, about(strings.Repeat("0", 64), "")) },
		"with other annotations": func(hex string) string { return fmt.Sprintf(statement, about(hex, `,"annotations":{"a":"b"}`)) },
	} {
		t.Run(label, func(t *testing.T) {
			store, repo := newStore(t)
			subject, by := pushRandom(t, store, repo), newSigner(t)
			if _, err := registry.Attach(t.Context(), store, subject, bundled(t, by, payload(subject.DigestStr()[len("sha256:"):]))); err != nil {
				t.Fatal(err)
			}
			for round := range 2 {
				signed, err := sign.Image(t.Context(), store, subject, sign.ImageOptions{}, by)
				if err != nil || len(signed.Signatures) != 1 || signed.Signatures[0].Existed != (round > 0) {
					t.Fatalf("round %d: %+v, %v", round, signed, err)
				}
			}
		})
	}
}

// Garbage that any writer can attach keeps no signer from signing.
func TestGarbageDoesNotKeepASignatureFromBeingMade(t *testing.T) {
	store, repo := newStore(t)
	subject, by := pushRandom(t, store, repo), newSigner(t)
	large := registry.Item{Format: registry.FormatBundle, Payload: bytes.Repeat([]byte("x"), 5000)}
	large.Layer.MediaType = bundleType
	if _, err := registry.Attach(t.Context(), store, subject, large); err != nil {
		t.Fatal(err)
	}
	o := sign.ImageOptions{Limits: registry.Limits{MaxPayloadBytes: 4000}}
	if signed, err := sign.Image(t.Context(), store, subject, o, by); err != nil || signed.Signatures[0].Existed {
		t.Errorf("%+v, %v", signed, err)
	}
	// But where not all can be seen, a signature may be there already.
	o.Limits.MaxItems = 1
	if signed, err := sign.Image(t.Context(), store, subject, o, by); signed != nil || !errors.Is(err, registry.ErrTooMany) {
		t.Errorf("%+v, %v; want ErrTooMany", signed, err)
	}
}

// refer pushes a manifest that refers to subject, with one layer.
func refer(t *testing.T, store registry.Store, subject name.Digest, layer registry.Item) {
	t.Helper()
	about, err := store.Resolve(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	config, size, err := v1.SHA256(strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for digest, content := range map[v1.Hash][]byte{config: []byte("{}"), layer.Layer.Digest: layer.Payload} {
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
		if err := store.PushBlob(t.Context(), subject.Context().Digest(digest.String()), int64(len(content)), open); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: "application/vnd.oci.image.manifest.v1+json", ArtifactType: string(layer.Layer.MediaType),
		Config: v1.Descriptor{MediaType: "application/vnd.oci.empty.v1+json", Digest: config, Size: size}, Layers: []v1.Descriptor{layer.Layer},
		Subject: &v1.Descriptor{MediaType: about.MediaType, Digest: about.Digest, Size: about.Size},
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := registry.NewManifest("application/vnd.oci.image.manifest.v1+json", text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.PushManifest(t.Context(), subject.Context().Digest(m.Descriptor.Digest.String()), m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
}

// A simple signing payload is looked for under the .sig tag, and nowhere else.
func TestASimpleSignatureWhereNobodyLooksIsNotTakenForOne(t *testing.T) {
	store, repo := newStore(t)
	elsewhere, _ := newStore(t)
	image, by := pushRandom(t, store, repo), newSigner(t)
	m, err := store.Manifest(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.PushManifest(t.Context(), image, m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	o := sign.ImageOptions{Formats: []registry.Format{registry.FormatSimpleSigning}}
	if _, err := sign.Image(t.Context(), elsewhere, image, o, by); err != nil {
		t.Fatal(err)
	}
	for item, err := range registry.Evidence(t.Context(), elsewhere, image, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		refer(t, store, image, item)
	}
	if n := signedBy(t, store, image, by); n[registry.FormatSimpleSigning] != 1 {
		t.Fatalf("%v, want the one that refers to it", n)
	}
	for round := range 2 {
		signed, err := sign.Image(t.Context(), store, image, o, by)
		if err != nil || signed.Signatures[0].Existed != (round > 0) {
			t.Fatalf("round %d: %+v, %v", round, signed, err)
		}
	}
}

func TestAnIndexThatListsNoManifestIsNotSignedWithItsParts(t *testing.T) {
	store, repo := newStore(t)
	m, err := registry.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"layers":[]}`)) // no config
	if err != nil {
		t.Fatal(err)
	}
	bad := repo.Digest(m.Descriptor.Digest.String())
	if _, err := store.PushManifest(t.Context(), bad, m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if signed, err := sign.Image(t.Context(), store, bad, sign.ImageOptions{Recursive: true}, newSigner(t)); signed != nil || !errors.Is(err, registry.ErrMalformed) {
		t.Errorf("%+v, %v; want ErrMalformed", signed, err)
	}
}
