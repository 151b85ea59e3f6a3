package sign_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

var simpleOnly = sign.ImageOptions{Formats: []registry.Format{registry.FormatSimpleSigning}}

// Two signers share the payload of a .sig layer; the store forgets the second.
func TestAttack_S2_AStoreThatForgetsTheSecondSignatureIsNoticed(t *testing.T) {
	store, repo := newStore(t)
	subject := pushRandom(t, store, repo)
	if _, err := sign.Image(context.Background(), store, subject, simpleOnly, newSigner(t)); err != nil {
		t.Fatal(err)
	}
	forgets := registrytest.Faulty(store, registrytest.Hooks{PushManifest: func(context.Context, name.Reference, registry.Manifest, registry.PushOptions) (registry.PushReport, error) {
		return registry.PushReport{SubjectIndexed: true, Atomic: true}, nil
	}})
	if _, err := sign.Image(context.Background(), forgets, subject, simpleOnly, newSigner(t)); !errors.Is(err, registry.ErrNotConfirmed) {
		t.Errorf("%v, want ErrNotConfirmed", err)
	}
}

// Who may push puts a manifest about another image under the tag before the signer comes.
func TestAttack_E4_SignatureIsNotHiddenInAForeignManifest(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	store := r.Store()
	repo := newRepo(t)
	image, other, signer := pushRandom(t, store, repo), pushRandom(t, store, repo), newSigner(t)
	r.Put("team/app", "sha256-"+image.DigestStr()[7:]+".sig", manifestType, []byte(fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":%q},"layers":[],"subject":{"mediaType":%q,"size":1,"digest":%q}}`,
		manifestType, r.PutBlob("team/app", []byte("{}")), manifestType, other.DigestStr())))
	if _, err := sign.Image(context.Background(), store, image, simpleOnly, signer); err != nil {
		t.Fatal(err)
	}
	if n := signedBy(t, store, image, signer); n[registry.FormatSimpleSigning] != 1 {
		t.Errorf("it is said to be there, and is not: %v", n)
	}
}

// A writer writes the tag again, with the same layers as another media type.
func TestAttack_S2_ASignatureOfAnotherMediaTypeIsNotThere(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	store := r.Store()
	image := pushRandom(t, store, newRepo(t))
	_, key, err := ed25519.GenerateKey(rand.Reader) // it signs twice alike
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Image(context.Background(), store, image, simpleOnly, signer); err != nil {
		t.Fatal(err)
	}
	tag := "sha256-" + image.DigestStr()[7:] + ".sig"
	_, data, _ := r.Manifest("team/app", tag)
	r.Put("team/app", tag, manifestType, []byte(strings.ReplaceAll(string(data), "application/vnd.dev.cosign.simplesigning.v1+json", "application/octet-stream")))
	if _, err := sign.Image(context.Background(), store, image, simpleOnly, signer); err != nil {
		t.Fatal(err)
	}
	if n := signedBy(t, store, image, signer); n[registry.FormatSimpleSigning] != 1 {
		t.Errorf("it is said to be there, and is not: %v", n)
	}
}

// Who may push copies a bundle from another repository under the tag of attestations.
func TestAttack_E2_ABundleUnderAnotherTagIsSignedAgain(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	store := r.Store()
	signer := newSigner(t)
	image := pushRandom(t, store, newRepo(t))
	m, err := store.Manifest(context.Background(), image)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := image.Context().Registry.Repo("others", "app").Digest(image.DigestStr())
	if _, err := store.PushManifest(context.Background(), elsewhere, m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Image(context.Background(), store, elsewhere, sign.ImageOptions{}, signer); err != nil {
		t.Fatal(err)
	}
	for item := range registry.Evidence(context.Background(), store, elsewhere, registry.Limits{}) {
		layer := r.PutBlob("team/app", item.Payload)
		r.Put("team/app", "sha256-"+image.DigestStr()[7:]+".att", manifestType, []byte(fmt.Sprintf(
			`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":%q},"layers":[{"mediaType":%q,"size":%d,"digest":%q}]}`,
			manifestType, r.PutBlob("team/app", []byte("{}")), item.Layer.MediaType, len(item.Payload), layer)))
	}
	signed, err := sign.Image(context.Background(), store, image, sign.ImageOptions{}, signer)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range store.Referrers(context.Background(), image) {
		n++
	}
	if n != 1 || signed.Signatures[0].Existed {
		t.Errorf("%d referrers: %+v", n, signed.Signatures)
	}
}

func newRepo(t testing.TB) name.Repository {
	t.Helper()
	_, repo := newStore(t)
	return repo
}

// The store gives other bytes for the image when the tag is to be set.
func TestAttack_R2_PushAndSignTagsOnlyWhatWasSigned(t *testing.T) {
	store, repo := newStore(t)
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := registrytest.Faulty(store, registrytest.Hooks{Manifest: func(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
		m, err := store.Manifest(ctx, ref)
		if _, byDigest := ref.(name.Digest); err == nil && byDigest && !bytes.Contains(m.Bytes, []byte("subject")) {
			return registry.NewManifest(string(m.Descriptor.MediaType), append(m.Bytes, ' '))
		}
		return m, err
	}})
	_, err = sign.PushAndSign(context.Background(), s, repo.Tag("v1"), image, sign.ImageOptions{}, newSigner(t))
	if !errors.Is(err, registry.ErrDigestMismatch) {
		t.Errorf("%v, want ErrDigestMismatch", err)
	}
	if d, err := store.Resolve(context.Background(), repo.Tag("v1")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the tag was set to %v, %v", d.Digest, err)
	}
}
