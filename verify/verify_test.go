package verify_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestAnImageSignedByATrustedKeyIsVerifiedInEveryFormat(t *testing.T) {
	for _, format := range both.Formats {
		w := newWorld(t)
		w.denied(policy.Signatures{}, verify.ReasonNoSignature)
		signed := w.sign(w.image, sign.ImageOptions{Formats: []registry.Format{format}, Annotations: map[string]string{"k": "v"}}, w.trusted)
		res := w.verified(policy.Signatures{})
		if len(res.Keys) != 1 || res.Keys[0].ID != w.trusted.key.ID() || res.Keys[0].Annotations["k"] != "v" ||
			res.Keys[0].Evidence != signed.Signatures[0].Evidence.DigestStr() {
			t.Errorf("%s: %+v", format, res.Keys)
		}
		w.denied(policy.Signatures{Keys: []policy.PublicKey{w.other.key}}, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
	}
}

func TestATagIsResolvedOnceAndTheDigestIsTheAnswer(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, both, w.trusted)
	m, err := w.store.Manifest(context.Background(), w.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.PushManifest(context.Background(), w.repo.Tag("v1"), m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	res, err := w.verifier(policy.Signatures{}).Image(context.Background(), w.store, w.repo.Tag("v1"))
	if err != nil || res.Digest != w.image {
		t.Fatalf("%v, %v", res, err)
	}
	_, err = w.verifier(policy.Signatures{}).Image(context.Background(), w.store, w.repo.Tag("none"))
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a tag that is not there: %v", err)
	}
}

func TestThresholdCountsDistinctKeys(t *testing.T) {
	w := newWorld(t)
	third := newPerson(t)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key, w.other.key, third.key}, Threshold: 2}
	w.sign(w.image, both, w.trusted)
	w.denied(p, verify.ReasonThreshold, verify.ReasonCounted, verify.ReasonRepeated)
	w.sign(w.image, sign.ImageOptions{}, third)
	if res := w.verified(p); len(res.Keys) != 2 {
		t.Errorf("keys %+v", res.Keys)
	}
}

func TestRequiredAnnotationsMustBeSigned(t *testing.T) {
	for _, format := range both.Formats {
		w := newWorld(t)
		w.sign(w.image, sign.ImageOptions{Formats: []registry.Format{format}, Annotations: map[string]string{"stage": "prod"}}, w.trusted)
		w.verified(policy.Signatures{Annotations: map[string]string{"stage": "prod"}})
		for _, want := range []map[string]string{{"stage": "test"}, {"Stage": "prod"}, {"stage": "prod", "more": ""}} {
			w.denied(policy.Signatures{Annotations: want}, verify.ReasonNoTrustedSignature, verify.ReasonAnnotations)
		}
	}
}

func TestAttack_E1_PayloadAboutAnotherDigestIsIgnored(t *testing.T) {
	w := newWorld(t)
	another := w.push()
	w.attach(w.image, w.simple(payloadFor(w.repo.Name(), another.DigestStr()), w.trusted))
	w.attach(w.image, bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(another)), w.trusted))
	w.denied(policy.Signatures{}, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject, verify.ReasonWrongSubject)
}

func TestAttack_E2_SignatureCopiedFromAnotherImageIsIgnored(t *testing.T) {
	w := newWorld(t)
	signed := w.push()
	w.sign(signed, both, w.trusted)
	for item, err := range registry.Evidence(context.Background(), w.store, signed, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		w.attach(w.image, item)
	}
	w.denied(policy.Signatures{}, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject, verify.ReasonWrongSubject)
}

func TestAttack_E2_BoundPolicyIgnoresAnotherRepository(t *testing.T) {
	w := newWorld(t)
	bound := policy.Signatures{SameRepository: true}
	w.attach(w.image, w.simple(payloadFor("registry.example/other/app", w.image.DigestStr()), w.trusted))
	w.verified(policy.Signatures{})
	w.denied(bound, verify.ReasonNoTrustedSignature, verify.ReasonWrongRepository)
	w.sign(w.image, sign.ImageOptions{}, w.trusted) // a bundle names no repository
	w.denied(bound, verify.ReasonNoTrustedSignature, verify.ReasonWrongRepository, verify.ReasonWrongRepository)
	w.sign(w.image, both, w.trusted)
	w.verified(bound)
}

func TestAttack_E3_NothingCountsAsWhatItIsNot(t *testing.T) {
	vsa := fmt.Sprintf(`{"_type":%q,"predicateType":"https://slsa.dev/verification_summary/v1","subject":[%%s],"predicate":{"verificationResult":"FAILED"}}`, intoto.StatementV1)
	for name, c := range map[string]struct {
		item    func(w *world) registry.Item
		because verify.Reason
	}{
		"attestation as a bundle": {func(w *world) registry.Item {
			return bundleItem(t, dsse.PayloadTypeInToto, statement("https://slsa.dev/provenance/v1", about(w.image)), w.trusted)
		}, verify.ReasonWrongType},
		"VSA that says FAILED": {func(w *world) registry.Item {
			return bundleItem(t, dsse.PayloadTypeInToto, fmt.Sprintf(vsa, about(w.image)), w.trusted)
		}, verify.ReasonWrongType},
		"other payloadType": {func(w *world) registry.Item {
			return bundleItem(t, "application/json", statement(intoto.PredicateSignature, about(w.image)), w.trusted)
		}, verify.ReasonWrongType},
		"prefix of the predicate type": {func(w *world) registry.Item {
			return bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature+"/x", about(w.image)), w.trusted)
		}, verify.ReasonWrongType},
		"statement as a simple signing payload": {func(w *world) registry.Item {
			return w.simple(statement(intoto.PredicateSignature, about(w.image)), w.trusted)
		}, verify.ReasonMalformed},
		"simple signing payload in an envelope": {func(w *world) registry.Item {
			return bundleItem(t, dsse.PayloadTypeInToto, payloadFor(w.repo.Name(), w.image.DigestStr()), w.trusted)
		}, verify.ReasonMalformed},
		"payload of another type": {func(w *world) registry.Item {
			return w.simple(strings.Replace(payloadFor(w.repo.Name(), w.image.DigestStr()), "cosign container", "atomic container", 1), w.trusted)
		}, verify.ReasonMalformed},
		"signature over the bytes": {func(w *world) registry.Item {
			return bundleOf(`{"mediaType":"` + bundleType + `","verificationMaterial":{"publicKey":{}},"messageSignature":{"signature":"AQI="}}`)
		}, verify.ReasonWrongType},
		"certificate": {func(w *world) registry.Item {
			return bundleOf(`{"mediaType":"` + bundleType + `","verificationMaterial":{"certificate":{"rawBytes":"AQI="}},"dsseEnvelope":` +
				string(envelope(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(w.image)), w.trusted)) + `}`)
		}, verify.ReasonCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.attach(w.image, c.item(w))
			reason := verify.ReasonNoTrustedSignature
			if c.because == verify.ReasonWrongType {
				reason = verify.ReasonNoSignature
			}
			w.denied(policy.Signatures{}, reason, c.because)
		})
	}
}

func TestAttack_E4_EvidenceForAnotherSubjectIsIgnored(t *testing.T) {
	w := newWorld(t)
	signed := w.push()
	evidence := w.sign(signed, sign.ImageOptions{}, w.trusted).Signatures[0].Evidence
	m, err := w.store.Manifest(context.Background(), evidence)
	if err != nil {
		t.Fatal(err)
	}
	lying := liar{Store: w.store, referrers: []v1.Descriptor{m.Descriptor}}
	res, err := w.verifier(policy.Signatures{}).Image(context.Background(), lying, w.image)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonMalformed)
}

func TestAttack_E5_AmbiguousEvidenceIsMalformed(t *testing.T) {
	w := newWorld(t)
	good := string(bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(w.image)), w.trusted).Payload)
	for name, text := range map[string]string{
		"duplicate key":         strings.Replace(good, `"payloadType"`, `"payloadType":"x","payloadType"`, 1),
		"case variant":          strings.Replace(good, `"payload":`, `"Payload":`, 1),
		"case variant beside":   strings.Replace(good, `"payload":`, `"Payload":"e30=","payload":`, 1),
		"trailing data":         good + "{}",
		"byte order mark":       "\ufeff" + good,
		"invalid UTF-8":         strings.Replace(good, `"hint":""`, "\"hint\":\"\xff\"", 1),
		"NaN":                   strings.Replace(good, `"hint":""`, `"x":NaN`, 1),
		"number beyond 64 bits": strings.Replace(good, `"hint":""`, `"x":99999999999999999999`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldLike(t, w)
			w.attach(w.image, bundleOf(text))
			w.denied(policy.Signatures{}, verify.ReasonNoTrustedSignature, verify.ReasonMalformed)
			w.attach(w.image, bundleOf(good))
			w.verified(policy.Signatures{})
		})
	}
	inner := statement(intoto.PredicateSignature, about(w.image))
	t.Run("duplicate key in a signed statement", func(t *testing.T) {
		w := newWorldLike(t, w)
		w.attach(w.image, bundleItem(t, dsse.PayloadTypeInToto, `{"subject":[],`+inner[1:], w.trusted))
		w.denied(policy.Signatures{}, verify.ReasonNoTrustedSignature, verify.ReasonMalformed)
	})
}

// newWorldLike is the same image and keys, with nothing attached.
// Which tags are read depends on what a rule requires, and what counts must not.
func TestAttack_E3_NothingCountsUnderTheTagOfTheOtherKind(t *testing.T) {
	const anyType = "https://example.com/own"
	for name, test := range map[string]struct {
		place         registry.Format
		predicateType string
		require       policy.Requirement
	}{
		"signature under .att": {registry.FormatEnvelope, intoto.PredicateSignature,
			policy.Requirement{Signature: &policy.SignatureRequirement{By: "release"}}},
		"attestation under .sig": {registry.FormatSimpleSigning, anyType,
			policy.Requirement{Attestation: &policy.AttestationRequirement{Type: anyType, By: "release", AcceptAnyContent: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.attach(w.image, registry.Item{Format: test.place, Layer: v1.Descriptor{MediaType: "application/vnd.dsse.envelope.v1+json"},
				Payload: envelope(t, dsse.PayloadTypeInToto, statement(test.predicateType, about(w.image)), w.trusted)})
			alone := []policy.Requirement{test.require}
			both := append(alone[:1:1], policy.Requirement{Signature: &policy.SignatureRequirement{By: "release"}},
				policy.Requirement{Attestation: &policy.AttestationRequirement{Type: anyType, By: "release", AcceptAnyContent: true}})
			for _, require := range [][]policy.Requirement{alone, both} {
				v, err := verify.New(&policy.Policy{
					Version: 1, Keys: map[string]policy.Key{"key": {Public: w.trusted.key}}, Roles: map[string]policy.Role{"release": {Keys: []string{"key"}}},
					Rules: []policy.Rule{{Images: []string{"**"}, Require: require}},
				}, verify.Options{})
				if err != nil {
					t.Fatal(err)
				}
				var denied *verify.Error
				if res, err := v.Image(t.Context(), w.store, w.image); !errors.As(err, &denied) {
					t.Fatalf("%v, %v; want a denial", res, err)
				}
				for _, e := range denied.Evidence {
					if e.Reason != verify.ReasonWrongType {
						t.Errorf("%+v, want %s", e, verify.ReasonWrongType)
					}
				}
			}
		})
	}
}

func newWorldLike(t *testing.T, like *world) *world {
	t.Helper()
	w := *like
	w.t, w.store = t, registrytest.New(registrytest.Options{}).Store()
	m, err := like.store.Manifest(context.Background(), like.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.PushManifest(context.Background(), w.image, m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	return &w
}

func TestAttack_E6_DeepAndWideEvidenceIsBoundedAndIgnored(t *testing.T) {
	for name, text := range map[string]string{
		"deep": strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		"wide": "[" + strings.Repeat("0,", 1_100_000) + "0]",
		"long": `"` + strings.Repeat("a", 20_000_000) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.attach(w.image, bundleOf(text))
			w.denied(policy.Signatures{}, verify.ReasonNoTrustedSignature, verify.ReasonMalformed)
			w.sign(w.image, sign.ImageOptions{}, w.trusted)
			w.verified(policy.Signatures{})
		})
	}
}

func TestAttack_E7_EveryBase64OfTheSpecificationCountsAndNoOther(t *testing.T) {
	w := newWorld(t)
	text := statement(intoto.PredicateSignature, about(w.image))
	text = strings.Replace(text, `"predicate":{}`, `"predicate":{"x":"ü>?"}`, 1) // whose base64 differs by alphabet
	sig, err := w.trusted.Sign(context.Background(), dsse.PAE(dsse.PayloadTypeInToto, []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	write := func(payload string) registry.Item {
		return bundleOf(fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q}]}}`,
			bundleType, payload, dsse.PayloadTypeInToto, base64.StdEncoding.EncodeToString(sig)))
	}
	std := base64.StdEncoding.EncodeToString([]byte(text))
	for name, payload := range map[string]string{
		"standard": std, "URL-safe": base64.URLEncoding.EncodeToString([]byte(text)), "without padding": base64.RawStdEncoding.EncodeToString([]byte(text)),
		"line breaks": std[:40] + "\n" + std[40:],
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldLike(t, w)
			w.attach(w.image, write(payload))
			w.verified(policy.Signatures{})
		})
	}
	for name, payload := range map[string]string{"blanks": std[:40] + " " + std[40:], "garbage behind": std + "!"} {
		t.Run(name, func(t *testing.T) {
			w := newWorldLike(t, w)
			w.attach(w.image, write(payload))
			w.denied(policy.Signatures{}, verify.ReasonNoTrustedSignature, verify.ReasonMalformed)
		})
	}
}

func TestAttack_E8_GarbageHidesNothingAndNoKeyCountsTwice(t *testing.T) {
	w := newWorld(t)
	garbage := bundleOf(`{"mediaType":"` + bundleType + `"}`)
	text := statement(intoto.PredicateSignature, about(w.image))
	w.attach(w.image, garbage)
	w.attach(w.image, bundleItem(t, dsse.PayloadTypeInToto, text, w.other))
	w.attach(w.image, bundleItem(t, dsse.PayloadTypeInToto, text, w.trusted))
	w.attach(w.image, bundleItem(t, dsse.PayloadTypeInToto, text, w.trusted)) // another signature by the same key
	w.verified(policy.Signatures{})
	third := newPerson(t)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key, third.key}, Threshold: 2}
	w.denied(p, verify.ReasonThreshold, verify.ReasonMalformed, verify.ReasonUntrustedKey, verify.ReasonCounted, verify.ReasonRepeated)

	many := envelope(t, dsse.PayloadTypeInToto, text, w.other, w.trusted, w.trusted)
	many = []byte(strings.Replace(string(many), `"signatures":[`, `"signatures":[{"sig":"!"},{"sig":"AAAA","keyid":"x"},`, 1))
	w = newWorldLike(t, w)
	if _, err := registrytest.PushReferrer(t.Context(), w.store, w.image, "application/vnd.dsse.envelope.v1+json", many, nil); err != nil {
		t.Fatal(err)
	}
	w.verified(policy.Signatures{})
	w.denied(p, verify.ReasonThreshold, verify.ReasonCounted)
	w.verified(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key, w.other.key}, Threshold: 2})
}

func TestAttack_E9_TooMuchEvidenceIsDeniedNeverCut(t *testing.T) {
	w := newWorld(t)
	garbage := bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(w.image)), w.other)
	for i := range 5 {
		garbage.ManifestAnnotations = map[string]string{"n": fmt.Sprint(i)}
		w.attach(w.image, garbage)
	}
	for name, limits := range map[string]registry.Limits{
		"items":     {MaxItems: 3},
		"referrers": {MaxReferrers: 3},
		"bytes":     {MaxTotalBytes: 1500},
	} {
		v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy(), verify.Options{Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		res, err := v.Image(context.Background(), w.store, w.image)
		t.Log(name, err)
		isDenied(t, res, err, verify.ReasonTooMuchEvidence)
	}
	huge := v1.Descriptor{MediaType: types.OCIManifestSchema1, ArtifactType: bundleType, Size: 10 << 30, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}}
	res, err := w.verifier(policy.Signatures{}).Image(context.Background(), liar{Store: w.store, endless: &huge}, w.image)
	isDenied(t, res, err, verify.ReasonTooMuchEvidence)
}

func TestAttack_E9_OnePieceBeyondItsLimitIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.attach(w.image, bundleOf(`"`+strings.Repeat("a", 2000)+`"`))
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{w.other.key}, Threshold: 1}.Policy(), verify.Options{Limits: registry.Limits{MaxPayloadBytes: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Image(context.Background(), w.store, w.image)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonTooLarge, verify.ReasonUntrustedKey)
}

func TestAttack_E10_EvidenceCannotChooseTheKeysAlgorithm(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, prehash := range []bool{false, true} {
		w := newWorld(t)
		w.trusted = personWith(t, ed)
		s, err := sign.New(ed, sign.SignerOptions{Prehash: prehash})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sign.Image(context.Background(), w.store, w.image, both, s); err != nil {
			t.Fatal(err)
		}
		w.verified(policy.Signatures{})
		w.denied(policy.Signatures{Keys: []policy.PublicKey{w.other.key}}, verify.ReasonNoTrustedSignature)
	}
}

func TestAttack_E11_SubjectsMatchByEveryKnownDigest(t *testing.T) {
	w := newWorld(t)
	another := w.push()
	hex := strings.TrimPrefix(w.image.DigestStr(), "sha256:")
	m, err := w.store.Manifest(context.Background(), w.image)
	if err != nil {
		t.Fatal(err)
	}
	h := crypto.SHA512.New()
	h.Write(m.Bytes)
	sha512 := fmt.Sprintf("%x", h.Sum(nil))
	for name, c := range map[string]struct {
		subjects []string
		ok       bool
	}{
		"two, one matches":     {[]string{about(another), about(w.image)}, true},
		"sha512 agrees":        {[]string{fmt.Sprintf(`{"digest":{"sha256":%q,"sha512":%q}}`, hex, sha512)}, true},
		"sha512 contradicts":   {[]string{fmt.Sprintf(`{"digest":{"sha256":%q,"sha512":%q}}`, hex, strings.Repeat("0", 128))}, false},
		"upper case":           {[]string{fmt.Sprintf(`{"digest":{"sha256":%q}}`, strings.ToUpper(hex))}, false},
		"wrong length":         {[]string{fmt.Sprintf(`{"digest":{"sha256":%q}}`, hex[:60])}, false},
		"no digest":            {[]string{`{"name":"x"}`}, false},
		"unknown digests only": {[]string{fmt.Sprintf(`{"digest":{"md5":%q}}`, hex)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldLike(t, w)
			w.attach(w.image, bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, c.subjects...), w.trusted))
			if c.ok {
				w.verified(policy.Signatures{})
			} else {
				w.denied(policy.Signatures{}, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject)
			}
		})
	}
}

func TestAttack_E12_HidingEvidenceAtWorstDenies(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, both, w.trusted)
	hidden := liar{Store: w.store, hideTags: true, referrers: []v1.Descriptor{}}
	res, err := w.verifier(policy.Signatures{}).Image(context.Background(), hidden, w.image)
	isDenied(t, res, err, verify.ReasonNoSignature)
	// Hiding one place leaves the others.
	if _, err := w.verifier(policy.Signatures{}).Image(context.Background(), liar{Store: w.store, hideTags: true}, w.image); err != nil {
		t.Error(err)
	}
	if _, err := w.verifier(policy.Signatures{}).Image(context.Background(), liar{Store: w.store, referrers: []v1.Descriptor{}}, w.image); err != nil {
		t.Error(err)
	}
}

func TestEvidenceThatCannotBeReadNeverBecomesAVerdict(t *testing.T) {
	w := newWorld(t)
	down := &registry.Error{Op: "referrers", Kind: registry.ErrUnavailable}
	res, err := w.verifier(policy.Signatures{}).Image(context.Background(), liar{Store: w.store, referrersErr: down}, w.image)
	var undecided *verify.UndecidedError
	if res != nil || !errors.As(err, &undecided) || !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("%v, %v; want UndecidedError for ErrUnavailable", res, err)
	}
	// What could be read is enough to allow.
	w.sign(w.image, sign.ImageOptions{Formats: []registry.Format{registry.FormatSimpleSigning}}, w.trusted)
	if _, err := w.verifier(policy.Signatures{}).Image(context.Background(), liar{Store: w.store, referrersErr: down}, w.image); err != nil {
		t.Error(err)
	}
}

func TestACancelledContextIsNoVerdict(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, both, w.trusted)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	res, err := w.verifier(policy.Signatures{}).Image(ctx, w.store, w.image)
	var denial *verify.Error
	if res != nil || !errors.Is(err, context.Canceled) || errors.As(err, &denial) {
		t.Errorf("%v, %v; want context.Canceled", res, err)
	}
}

func TestAttack_E18_EvidenceThatChangesIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	res, err := w.verifier(policy.Signatures{}).Image(context.Background(), liar{Store: w.store, changeManifests: true}, w.image)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonDigestMismatch)
}

func TestAttack_I5_DigestsThatAreNotSHA256AreTypedErrors(t *testing.T) {
	w := newWorld(t)
	for _, d := range []string{"sha512:" + strings.Repeat("ab", 64), "sha256:" + strings.Repeat("AB", 32), "sha256:ab", "md5:ab", ""} {
		res, err := w.verifier(policy.Signatures{}).Image(context.Background(), w.store, w.repo.Digest(d))
		if res != nil || !errors.Is(err, registry.ErrReference) {
			t.Errorf("%q: %v, %v; want ErrReference", d, res, err)
		}
	}
}

func TestAttack_R2_TheDigestJudgedIsTheDigestReturned(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, both, w.trusted)
	evil := w.push()
	moving := &movingTag{Store: w.store, answers: []name.Digest{w.image, evil, evil}}
	res, err := w.verifier(policy.Signatures{}).Image(context.Background(), moving, w.repo.Tag("v1"))
	if err != nil || res.Digest != w.image || moving.asked != 1 {
		t.Errorf("%v, %v after %d questions", res, err, moving.asked)
	}
	res, err = w.verifier(policy.Signatures{}).Image(context.Background(), moving, w.repo.Tag("v1"))
	if denial := isDenied(t, res, err, verify.ReasonNoSignature); denial.Digest != evil {
		t.Errorf("denied %s, judged %s", denial.Digest, evil)
	}
}

func TestAttack_T1_PoliciesThatTrustNobodyAreRefused(t *testing.T) {
	a, b := newPerson(t).key, newPerson(t).key
	named := a
	named.Name = "the same under another name"
	for name, p := range map[string]policy.Signatures{
		"zero":                {},
		"no keys":             {Threshold: 1},
		"a zero key":          {Keys: []policy.PublicKey{{}}, Threshold: 1},
		"T4: no threshold":    {Keys: []policy.PublicKey{a}},
		"T4: negative":        {Keys: []policy.PublicKey{a}, Threshold: -1},
		"T4: above the keys":  {Keys: []policy.PublicKey{a, b}, Threshold: 3},
		"T4: one key twice":   {Keys: []policy.PublicKey{a, a}, Threshold: 2},
		"T4: under two names": {Keys: []policy.PublicKey{a, named}, Threshold: 1},
	} {
		if v, err := verify.New(p.Policy(), verify.Options{}); v != nil || !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v, %v; want ErrPolicy", name, v, err)
		}
	}
}

func TestDecisionsAreStableJSON(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	res := w.verified(policy.Signatures{})
	denial := w.denied(policy.Signatures{Keys: []policy.PublicKey{w.other.key}}, verify.ReasonNoTrustedSignature)
	e, key := res.Evidence[0], res.Keys[0]
	for name, c := range map[string]struct {
		v    any
		want string
	}{
		"result": {res, fmt.Sprintf(`{"image":%[1]q,"status":"verified","digest":%[1]q,"policy":%[2]q,"rule":"**","judgedAt":%[3]q,`+
			`"requirements":[{"requirement":"rules[0].require[0]","title":"signature by signers","by":"signers","keys":[{"id":%[4]q,"name":"key 0","evidence":%[5]q}]}],`+
			`"keys":[{"id":%[4]q,"name":"key 0","evidence":%[5]q}],`+
			`"evidence":[{"place":"referrers","format":"bundle","manifest":%[5]q,"keyId":%[4]q,"requirement":"rules[0].require[0]","reason":"counted"}]}`,
			w.image, res.PolicyDigest, res.JudgedAt.UTC().Format(time.RFC3339Nano), key.ID, e.Manifest)},
		"denial": {denial, fmt.Sprintf(`{"image":%[1]q,"status":"denied","digest":%[1]q,"policy":%[2]q,"rule":"**","reason":"no-trusted-signature","detail":%[3]q,`+
			`"unmet":[{"requirement":"rules[0].require[0]","title":"signature by signers","reason":"no-trusted-signature","detail":%[3]q}],"keys":[],`+
			`"evidence":[{"place":"referrers","format":"bundle","manifest":%[4]q,"reason":"untrusted-key","detail":"no trusted key has made its signature"}]}`,
			w.image, denial.PolicyDigest, denial.Detail, e.Manifest)},
	} {
		got, err := json.Marshal(c.v)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", name, err, got, c.want)
		}
	}
}
