package interop

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"
	sgbundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sgverify "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

// sigstoreVerifier is the key as sigstore's libraries verify with it.
func (k key) sigstoreVerifier(t testing.TB) signature.Verifier {
	t.Helper()
	public, err := cryptoutils.UnmarshalPEMToPublicKey(k.pair.PublicPEM)
	if err != nil {
		t.Fatal(err)
	}
	v, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func checkOpts(t testing.TB, k key) *cosign.CheckOpts {
	t.Helper()
	none, err := root.NewTrustedRootFromJSON([]byte(emptyTrustedRoot))
	if err != nil {
		t.Fatal(err)
	}
	return &cosign.CheckOpts{SigVerifier: k.sigstoreVerifier(t), IgnoreTlog: true, Offline: true, TrustedMaterial: none}
}

func libraryVerifiesTag(ctx context.Context, ref name.Reference, o *cosign.CheckOpts) (int, error) {
	o.ClaimVerifier = cosign.SimpleClaimVerifier
	found, _, err := cosign.VerifyImageSignatures(ctx, ref, o)
	return len(found), err
}

func libraryVerifiesBundle(ctx context.Context, ref name.Reference, o *cosign.CheckOpts) (int, error) {
	o.ClaimVerifier, o.NewBundleFormat = cosign.IntotoSubjectClaimVerifier, true
	found, _, err := cosign.VerifyImageAttestations(ctx, ref, o)
	return len(found), err
}

// cosign/v2, linked as a library, verifies what we sign, and nothing else.
func TestCosignLibraryVerifiesWhatWeSign(t *testing.T) {
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		for _, test := range []struct {
			name    string
			formats []registry.Format
			verify  func(context.Context, name.Reference, *cosign.CheckOpts) (int, error)
		}{{"sig-tag", onlyTag, libraryVerifiesTag}, {"bundle", onlyBundle, libraryVerifiesBundle}} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				release := newKey(t, "release", sign.ECDSAP256)
				s.sign(t, s.image, sign.ImageOptions{Formats: test.formats}, release.pair.Signer)
				if n, err := test.verify(t.Context(), s.image, checkOpts(t, release)); err != nil || n != 1 {
					t.Errorf("%d signatures, %v, want 1", n, err)
				}
				if n, err := test.verify(t.Context(), s.image, checkOpts(t, newKey(t, "stranger", sign.ECDSAP256))); err == nil {
					t.Errorf("another key: %d signatures", n)
				}
				if n, err := test.verify(t.Context(), s.other, checkOpts(t, release)); err == nil {
					t.Errorf("another image: %d signatures", n)
				}
			})
		}
	})
}

// What cosign/v2 signs as a library, with an encrypted key of ours that it
// opens, we verify: P-384 and Ed25519ph too.
func TestWeVerifyWhatCosignLibrarySigns(t *testing.T) {
	onEach(t, []registryKind{inMemory, distribution}, func(t *testing.T, host string) {
		for _, a := range allTypes {
			t.Run(string(a), func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				release := newKey(t, "release", a)
				librarySigns(t, s.image, release)
				s.verified(t, trusting(t, map[string]string{"env": "prod"}, release), s.tag, s.image, release)
				s.denied(t, trusting(t, nil, newKey(t, "stranger", a)), s.image, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
			})
		}
	})
}

func librarySigns(t testing.TB, image name.Digest, k key) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	signer, err := cosign.LoadPrivateKey(k.pair.PrivatePEM, []byte(password), nil)
	check(err)
	message, err := payload.Cosign{Image: image, Annotations: map[string]any{"env": "prod"}}.MarshalJSON()
	check(err)
	sig, err := signer.SignMessage(bytes.NewReader(message))
	check(err)
	layer, err := static.NewSignature(message, base64.StdEncoding.EncodeToString(sig))
	check(err)
	entity, err := ociremote.SignedEntity(image)
	check(err)
	entity, err = mutate.AttachSignatureToEntity(entity, layer)
	check(err)
	check(ociremote.WriteSignatures(image.Context(), entity))
}

// A bundle of ours that cosign/v2 attaches is found and verified by us. So are
// garbage bundles found that it attaches before and after, and passed over.
func TestWeFindOurBundleWhereCosignLibraryAttachesIt(t *testing.T) {
	made := newScene(t, inMemory.start(t))
	release := newKey(t, "release", sign.ECDSAP256)
	made.sign(t, made.image, sign.ImageOptions{}, release.pair.Signer)
	text := made.onlyEvidence(t, made.image).Payload
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		s := newScene(t, host)
		for _, data := range [][]byte{[]byte("garbage"), text, []byte(`{"mediaType":"` + bundle.MediaTypeV03 + `"}`)} {
			if err := ociremote.WriteAttestationNewBundleFormat(s.image, data, types.CosignSignPredicateType); err != nil {
				t.Fatal(err)
			}
		}
		s.verified(t, trusting(t, nil, release), s.tag, s.image, release)
	})
}

// onlyEvidence returns the one piece of evidence that is attached.
func (s *scene) onlyEvidence(t testing.TB, subject name.Digest) registry.Item {
	t.Helper()
	var all []registry.Item
	for item, err := range registry.Evidence(t.Context(), s.store, subject, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, item)
	}
	if len(all) != 1 {
		t.Fatalf("%d pieces of evidence, want 1", len(all))
	}
	return all[0]
}

// sigstore-go reads our bundles as we do, and verifies them with the key that
// their hint names.
func TestSigstoreGoVerifiesOurBundles(t *testing.T) {
	host := inMemory.start(t)
	for _, test := range []struct {
		algorithm sign.Algorithm
		options   sign.SignerOptions
	}{
		{algorithm: sign.ECDSAP256}, {algorithm: sign.RSA2048}, {algorithm: sign.Ed25519},
		{algorithm: sign.ECDSAP384, options: sign.SignerOptions{Hash: crypto.SHA256}},
	} {
		t.Run(string(test.algorithm), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			release := newKey(t, "release", test.algorithm)
			s.sign(t, s.image, sign.ImageOptions{}, release.signer(t, test.options))
			item := s.onlyEvidence(t, s.image)
			theirs := sigstoreBundle(t, item.Payload)
			sameMeaning(t, theirs, item.Payload, release)

			if err := sigstoreGoVerifies(t, theirs, release, s.image); err != nil {
				t.Errorf("sigstore-go: %v", err)
			}
			if err := sigstoreGoVerifies(t, theirs, release, s.other); err == nil {
				t.Error("sigstore-go verified the bundle for another image")
			}
			if err := sigstoreGoVerifies(t, theirs, newKey(t, "stranger", test.algorithm), s.image); err == nil {
				t.Error("sigstore-go verified the bundle with another key")
			}
		})
	}
}

func sigstoreBundle(t testing.TB, text []byte) *sgbundle.Bundle {
	t.Helper()
	b := new(sgbundle.Bundle)
	if err := b.UnmarshalJSON(text); err != nil {
		t.Fatalf("sigstore-go reads our bundle: %v\n%s", err, text)
	}
	return b
}

// sameMeaning compares what the two parsers have read.
func sameMeaning(t *testing.T, theirs *sgbundle.Bundle, text []byte, k key) {
	t.Helper()
	ours, err := bundle.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	id, err := hex.DecodeString(k.pair.ID)
	if err != nil {
		t.Fatal(err)
	}
	hint := theirs.GetVerificationMaterial().GetPublicKey().GetHint()
	if hint != ours.Hint || hint != base64.StdEncoding.EncodeToString(id) {
		t.Errorf("hint %q, we read %q", hint, ours.Hint)
	}
	if theirs.GetMediaType() != ours.MediaType {
		t.Errorf("media type %q, we read %q", theirs.GetMediaType(), ours.MediaType)
	}
	envelope := theirs.GetDsseEnvelope()
	if !bytes.Equal(envelope.GetPayload(), ours.Envelope.Payload) || envelope.GetPayloadType() != ours.Envelope.PayloadType {
		t.Errorf("envelope %v, we read %+v", envelope, ours.Envelope)
	}
	if n := len(envelope.GetSignatures()); n != 1 || !bytes.Equal(envelope.GetSignatures()[0].GetSig(), ours.Envelope.Signatures[0]) {
		t.Errorf("%d signatures, or another one than we read", n)
	}
}

func sigstoreGoVerifies(t testing.TB, b sgverify.SignedEntity, k key, image name.Digest) error {
	t.Helper()
	id, err := hex.DecodeString(k.pair.ID)
	if err != nil {
		t.Fatal(err)
	}
	material := root.NewTrustedPublicKeyMaterial(func(hint string) (root.TimeConstrainedVerifier, error) {
		if hint != base64.StdEncoding.EncodeToString(id) {
			return nil, os.ErrNotExist
		}
		return root.NewExpiringKey(k.sigstoreVerifier(t), time.Time{}, time.Time{}), nil
	})
	v, err := sgverify.NewVerifier(material, sgverify.WithNoObserverTimestamps())
	if err != nil {
		t.Fatal(err)
	}
	digest, err := hex.DecodeString(strings.TrimPrefix(image.DigestStr(), "sha256:"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(b, sgverify.NewPolicy(sgverify.WithArtifactDigest("sha256", digest), sgverify.WithKey()))
	return err
}
