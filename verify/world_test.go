package verify_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

var both = sign.ImageOptions{Formats: []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}}

// world is a store with one image, and two keys; the first is trusted.
type world struct {
	t       *testing.T
	store   registry.Store
	repo    name.Repository
	image   name.Digest
	trusted person
	other   person
}

// person has a key.
type person struct {
	crypto crypto.Signer
	sign.Signer
	key policy.PublicKey
}

func newWorld(t *testing.T) *world {
	t.Helper()
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: registrytest.New(registrytest.Options{}).Store(), repo: repo, trusted: newPerson(t), other: newPerson(t)}
	w.image = w.push()
	return w
}

func newPerson(t testing.TB) person {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return personWith(t, key)
}

func personWith(t testing.TB, key crypto.Signer) person {
	t.Helper()
	s, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	k, err := policy.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return person{key, s, k}
}

// push stores another image and returns its digest.
func (w *world) push() name.Digest {
	w.t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	digest, err := registry.Push(context.Background(), w.store, w.repo, image)
	if err != nil {
		w.t.Fatal(err)
	}
	return digest
}

func (w *world) sign(subject name.Digest, o sign.ImageOptions, by ...person) *sign.Signed {
	w.t.Helper()
	var signers []sign.Signer
	for _, p := range by {
		signers = append(signers, p)
	}
	signed, err := sign.Image(context.Background(), w.store, subject, o, signers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
}

func (w *world) attach(subject name.Digest, item registry.Item) {
	w.t.Helper()
	if _, err := registry.Attach(context.Background(), w.store, subject, item); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) verifier(p policy.Signatures) *verify.Verifier {
	w.t.Helper()
	if p.Keys == nil {
		p.Keys = []policy.PublicKey{w.trusted.key}
	}
	if p.Threshold == 0 {
		p.Threshold = 1
	}
	v, err := verify.New(p.Policy(), verify.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) verified(p policy.Signatures) *verify.Result {
	w.t.Helper()
	res, err := w.verifier(p).Image(context.Background(), w.store, w.image)
	if err != nil {
		w.t.Fatalf("not verified: %v", err)
	}
	if res.Digest != w.image {
		w.t.Fatalf("verified %s, asked about %s", res.Digest, w.image)
	}
	return res
}

// denied wants a denial for reason, of evidence whose reasons are because.
func (w *world) denied(p policy.Signatures, reason verify.Reason, because ...verify.Reason) *verify.Error {
	w.t.Helper()
	res, err := w.verifier(p).Image(context.Background(), w.store, w.image)
	return isDenied(w.t, res, err, reason, because...)
}

func isDenied(t testing.TB, res *verify.Result, err error, reason verify.Reason, because ...verify.Reason) *verify.Error {
	t.Helper()
	var denial *verify.Error
	if res != nil || !errors.As(err, &denial) {
		t.Fatalf("got %v, %v; want a denial", res, err)
	}
	var got []verify.Reason
	for _, e := range denial.Evidence {
		got = append(got, e.Reason)
	}
	if denial.Reason != reason || because != nil && fmt.Sprint(got) != fmt.Sprint(because) {
		t.Fatalf("denied as %s because of %s; want %s because of %s\n%v", denial.Reason, got, reason, because, denial)
	}
	return denial
}

// envelope signs a payload as person does, and makes an envelope of it.
func envelope(t testing.TB, payloadType, payload string, by ...person) []byte {
	t.Helper()
	e := &dsse.Envelope{PayloadType: payloadType, Payload: []byte(payload)}
	for _, p := range by {
		sig, err := p.Sign(context.Background(), e.PAE())
		if err != nil {
			t.Fatal(err)
		}
		e.Signatures = append(e.Signatures, sig)
	}
	text, err := e.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

func bundleItem(t testing.TB, payloadType, payload string, by person) registry.Item {
	t.Helper()
	text := fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":""}},"dsseEnvelope":%s}`,
		bundleType, envelope(t, payloadType, payload, by))
	return bundleOf(text)
}

func bundleOf(text string) registry.Item {
	return registry.Item{Format: registry.FormatBundle, Layer: v1.Descriptor{MediaType: bundleType}, Payload: []byte(text)}
}

func statement(predicateType string, subjects ...string) string {
	return fmt.Sprintf(`{"_type":%q,"predicateType":%q,"subject":[%s],"predicate":{}}`, intoto.StatementV1, predicateType, strings.Join(subjects, ","))
}

func about(d name.Digest) string {
	return fmt.Sprintf(`{"digest":{"sha256":%q}}`, strings.TrimPrefix(d.DigestStr(), "sha256:"))
}

const (
	simpleType = "application/vnd.dev.cosign.simplesigning.v1+json"
	sigKey     = "dev.cosignproject.cosign/signature"
)

func (w *world) simple(payload string, by person) registry.Item {
	w.t.Helper()
	return simpleItem(w.t, payload, by)
}

func simpleItem(t testing.TB, payload string, by person) registry.Item {
	t.Helper()
	sig, err := by.Sign(context.Background(), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return registry.Item{
		Format: registry.FormatSimpleSigning, Payload: []byte(payload),
		Layer: v1.Descriptor{MediaType: simpleType, Annotations: map[string]string{sigKey: base64.StdEncoding.EncodeToString(sig)}},
	}
}

func payloadFor(reference, digest string) string {
	return fmt.Sprintf(`{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, reference, digest)
}
