package registrytest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

var update = flag.Bool("update", false, "write the table of registries as it is now")

const productTable = "../REGISTRIES.md"

const productIntro = `# Registries

What works on imitations of registries. No product was run. Each imitation is a small
registry in the memory of a test, made from the documentation and the reports that the
table links. A product, or another version of one, may differ: a row says how Hallmark
copes with what was reported.

The table is generated: the tests of registry/registrytest run each operation on each
imitation.

| column | operation |
|---|---|
| sign | sign an image with one key, in the default format |
| bundle | sign an image with two keys, as bundles |
| .sig | sign an image with two keys, under cosign's tag |
| attest | attest an image twice, in the default format |
| verify | verify the image signed in the default format |
| copy to | copy an image with two bundles, two signatures under .sig, and an SBOM to the registry |
| copy from | copy an image with two signatures from the registry |
| detach | remove one signature |
| inspect | list all evidence of a signed image |

"yes: sig" and "yes: att" say that the default format, the bundle, cannot be held there,
and that the tag .sig or .att was written. "yes: incomplete" says that the registry refuses
to read places that hold nothing, so it cannot be told whether that is all. A "no" is
followed by the kind of the error.

`

type note struct{ Text string }

func (note) PredicateType() string { return "https://example.com/note/v1" }

type basicLogin struct{}

func (basicLogin) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: "user", Password: "password"}), nil
}

// stand is a product on loopback, and what is needed to try it.
type stand struct {
	t        *testing.T
	registry *registrytest.Registry
	client   *remote.Client
	host     string
	signers  []sign.Signer
	verifier *verify.Verifier
}

func newStand(t *testing.T, r *registrytest.Registry, signers []sign.Signer, v *verify.Verifier) *stand {
	client, err := remote.New(remote.Options{Keychain: basicLogin{}, RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return &stand{t: t, registry: r, client: client, host: registrytest.Start(t, r), signers: signers, verifier: v}
}

// image pushes an image of its own for an operation.
func (s *stand) image(operation string) name.Digest {
	repo, err := name.NewRepository(s.host + "/team/" + strings.ReplaceAll(strings.Trim(operation, "."), " ", "-"))
	if err != nil {
		s.t.Fatal(err)
	}
	image, err := registrytest.PushImage(s.t.Context(), s.registry.Store(), repo.Tag("v1"), registrytest.ImageOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return image
}

func (s *stand) sign(image name.Digest, n int, formats ...registry.Format) (string, error) {
	signed, err := sign.Image(s.t.Context(), s.client, image, sign.ImageOptions{Formats: formats}, s.signers[:n]...)
	if err != nil || len(formats) > 0 || signed.Signatures[0].Format == registry.FormatBundle {
		return "", err
	}
	return ": sig", nil
}

// operations are the columns of the table.
var operations = []struct {
	name string
	do   func(*stand, name.Digest) (string, error)
}{
	{"sign", func(s *stand, image name.Digest) (string, error) { return s.sign(image, 1) }},
	{"bundle", func(s *stand, image name.Digest) (string, error) { return s.sign(image, 2, registry.FormatBundle) }},
	{".sig", func(s *stand, image name.Digest) (string, error) {
		return s.sign(image, 2, registry.FormatSimpleSigning)
	}},
	{"attest", func(s *stand, image name.Digest) (how string, err error) {
		for _, text := range []string{"one", "two"} {
			made, err := attest.Image(s.t.Context(), s.client, image, note{text}, attest.Options{}, s.signers[0])
			if err != nil {
				return "", err
			}
			if made.Attestations[0].Format == registry.FormatEnvelope {
				how = ": att"
			}
		}
		return how, nil
	}},
	{"verify", func(s *stand, image name.Digest) (string, error) {
		if _, err := s.sign(image, 1); err != nil {
			return "", err
		}
		result, err := s.verifier.Image(s.t.Context(), s.client, image.Context().Tag("v1"))
		if err == nil && (result.Digest != image || result.Requests == 0) {
			err = fmt.Errorf("verified %s with %d requests", result.Digest, result.Requests)
		}
		return "", err
	}},
	{"copy to", func(s *stand, image name.Digest) (string, error) {
		src := newStand(s.t, registrytest.New(registrytest.Options{}), s.signers, s.verifier)
		from := src.image("source")
		if _, err := src.sign(from, 2, registry.FormatBundle, registry.FormatSimpleSigning); err != nil {
			s.t.Fatal(err)
		}
		if _, err := registrytest.PushReferrer(s.t.Context(), src.client, from, "application/spdx+json", []byte("{}"), nil); err != nil {
			s.t.Fatal(err)
		}
		return s.copied(src.client, from, s.client, image.Context().Tag("copy"), 5)
	}},
	{"copy from", func(s *stand, image name.Digest) (string, error) {
		if _, err := s.sign(image, 1); err != nil {
			return "", err
		}
		dst := newStand(s.t, registrytest.New(registrytest.Options{}), s.signers, s.verifier)
		return s.copied(s.client, image, dst.client, dst.image("destination").Context().Tag("copy"), 1)
	}},
	{"detach", func(s *stand, image name.Digest) (string, error) {
		if _, err := s.sign(image, 1); err != nil {
			return "", err
		}
		for item, err := range registry.Evidence(s.t.Context(), s.client, image, registry.Limits{}) {
			if err == nil {
				return "", registry.Detach(s.t.Context(), s.client, image, item)
			}
		}
		return "", errors.New("no evidence was found")
	}},
	{"inspect", func(s *stand, image name.Digest) (string, error) {
		if _, err := s.sign(image, 1); err != nil {
			return "", err
		}
		return s.lists(s.client, image, 1)
	}},
}

// copied copies an image, and looks for its evidence.
func (s *stand) copied(src registry.Reader, from name.Digest, dst registry.Store, to name.Tag, evidence int) (string, error) {
	at, err := registry.Copy(s.t.Context(), src, from, dst, to, registry.CopyOptions{})
	if err == nil {
		_, err = s.lists(dst, at, evidence)
	}
	return "", err
}

// lists looks for so many pieces of evidence. A place that the registry refuses to read
// hides none of the others.
func (s *stand) lists(r registry.Reader, image name.Digest, want int) (how string, err error) {
	n := 0
	for item, err := range registry.Evidence(s.t.Context(), r, image, registry.Limits{}) {
		switch {
		case err == nil:
			n++
		case item.Format == "" && registry.Refused(err):
			how = ": incomplete"
		default:
			return "", err
		}
	}
	if n != want {
		return "", fmt.Errorf("%d pieces of evidence, want %d", n, want)
	}
	return how, nil
}

// The table says what a person may expect of a registry, so it is kept.
func TestTheTableOfRegistriesSaysWhatWorks(t *testing.T) {
	signers, verifier := trustedSigners(t)
	products := registrytest.Products()
	rows := make([]string, len(products))
	var all sync.WaitGroup
	for i, p := range products {
		all.Go(func() {
			s := newStand(t, p.New(), signers, verifier)
			cells := make([]string, len(operations))
			var row sync.WaitGroup
			for j, o := range operations {
				row.Go(func() { cells[j] = cell(o.do(s, s.image(o.name))) })
			}
			row.Wait()
			source := p.Source
			if strings.HasPrefix(source, "https://") {
				source = "[report](" + source + ")"
			}
			rows[i] = fmt.Sprintf("| %s | %s (%s) | %s |\n", p.Name, p.Deviates, source, strings.Join(cells, " | "))
		})
	}
	all.Wait()
	var text strings.Builder
	text.WriteString(productIntro + "| registry | what differs |")
	for _, o := range operations {
		text.WriteString(" " + o.name + " |")
	}
	text.WriteString("\n|---|---" + strings.Repeat("|---", len(operations)) + "|\n" + strings.Join(rows, ""))
	if *update {
		if err := os.WriteFile(productTable, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(productTable)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, []byte(text.String())) {
		t.Errorf("%s is out of date; run go test ./registry/registrytest -run TheTable -update:\n%s", productTable, text.String())
	}
}

func cell(how string, err error) string {
	switch {
	case err == nil:
		return "yes" + how
	case errors.Is(err, context.DeadlineExceeded):
		return "no: too slow"
	}
	var undecided *verify.UndecidedError
	if errors.As(err, &undecided) {
		return "no: undecided"
	}
	var e *registry.Error
	if errors.As(err, &e) {
		return "no: " + string(e.Kind)
	}
	return "no: " + err.Error()
}

func trustedSigners(t *testing.T) (signers []sign.Signer, v *verify.Verifier) {
	t.Helper()
	var keys []policy.PublicKey
	for range 2 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := sign.New(key, sign.SignerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		trusted, err := policy.ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		if err != nil {
			t.Fatal(err)
		}
		keys, signers = append(keys, trusted), append(signers, signer)
	}
	v, err := verify.New(policy.Signatures{Keys: keys, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return signers, v
}
