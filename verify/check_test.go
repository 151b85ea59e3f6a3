package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// hinted is the bundle of a signature that says which key has made it.
func hinted(t *testing.T, w *world, claims, by person) registry.Item {
	t.Helper()
	key, err := sigkey.New(claims.Public())
	if err != nil {
		t.Fatal(err)
	}
	item := bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(w.image)), by)
	return bundleOf(strings.Replace(string(item.Payload), `"hint":""`, fmt.Sprintf(`"hint":%q`, key.Hint()), 1))
}

func TestASignatureThatClaimsATrustedKeyIsToldFromAStrangers(t *testing.T) {
	w := newWorld(t)
	w.attach(w.image, hinted(t, w, w.trusted, w.other))
	w.attach(w.image, hinted(t, w, w.other, w.other))
	w.denied(policy.Signatures{}, verify.ReasonNoTrustedSignature, verify.ReasonBadSignature, verify.ReasonUntrustedKey)
	// Whom the hint names is no matter where the signature is good.
	w.attach(w.image, hinted(t, w, w.other, w.trusted))
	w.verified(policy.Signatures{})
}

// A hint spares no checks: what names a slow key as often as it likes is bounded.
func TestChecksOfSignaturesThatNameTheirKeyAreBounded(t *testing.T) {
	slow, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.trusted = personWith(t, slow)
	forged := hinted(t, w, w.trusted, w.trusted).Payload
	start := strings.Index(string(forged), `"sig":"`) + len(`"sig":"`)
	forged = append(forged[:start:start], `AQI="}]}}`...)
	v := w.verifier(policy.Signatures{})
	res, err := v.Bundles(t.Context(), w.image, slices.Repeat([][]byte{forged}, 625)...)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature)
	res, err = v.Bundles(t.Context(), w.image, slices.Repeat([][]byte{forged}, 626)...)
	isDenied(t, res, err, verify.ReasonTooMuchEvidence)
}

// What a revoked key has signed is asked of the clocks only as often as may be
// checked.
func TestRevokedKeysAttestationsAreCheckedWithinTheBound(t *testing.T) {
	w, a, n := newWorld(t), newPerson(t), newNotary(t)
	text := statement(testType, about(w.image))
	sig, err := a.Sign(t.Context(), dsse.PAE(dsse.PayloadTypeInToto, []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	signatures := fmt.Sprintf(`{"sig":%q}`, base64.StdEncoding.EncodeToString(sig)) + strings.Repeat(`,{"sig":"AQI="}`, dsse.MaxSignatures-1)
	flood := piece{"64 signatures, one by the key", ".att", registry.Item{
		Layer: v1.Descriptor{MediaType: "application/vnd.dsse.envelope.v1+json"},
		Payload: fmt.Appendf(nil, `{"payloadType":%q,"payload":%q,"signatures":[%s]}`, dsse.PayloadTypeInToto,
			base64.StdEncoding.EncodeToString([]byte(text)), signatures),
	}}
	linked := map[string]policy.Authority{"house": n}
	given := strings.NewReplacer(
		signatureRequired, "attestation: {type: "+testType+", by: release, acceptAnyContent: true}", "  b: {file: b.pub}\n  c: {file: c.pub}\n", "",
		"  pair: {keys: [a, b], threshold: 2}\n  builder: {keys: [c]}\n", "",
	).Replace(stampPolicy)
	p, err := policy.Load(written(t, given, a), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	// Each takes 64 checks to know that it is the key's, another 64 to know which of
	// its signatures are, and 4 for the clock: 151 fit.
	var floods []piece
	for i := range 200 {
		floods = append(floods, flood.padded(i))
	}
	res, err := v.Image(t.Context(), newPile(t, w.image, floods[:151]...), w.image)
	isDenied(t, res, err, verify.ReasonNoTrustedAttestation, slices.Repeat([]verify.Reason{verify.ReasonRevokedKey}, 151)...)
	res, err = v.Image(t.Context(), newPile(t, w.image, floods...), w.image)
	isDenied(t, res, err, verify.ReasonTooMuchEvidence, append(slices.Repeat([]verify.Reason{verify.ReasonRevokedKey}, 151), verify.ReasonTooMuchEvidence)...)
}

// A subject that is named by another digest alone needs the manifest itself.
func TestBundlesThatNameTheImageByAnotherDigestAreUndecided(t *testing.T) {
	w := newWorld(t)
	m, err := w.store.Manifest(t.Context(), w.image)
	if err != nil {
		t.Fatal(err)
	}
	item := bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, fmt.Sprintf(`{"digest":{"sha512":"%x"}}`, sha512.Sum512(m.Bytes))), w.trusted)
	v := w.verifier(policy.Signatures{})
	var undecided *verify.UndecidedError
	if res, err := v.Bundles(t.Context(), w.image, item.Payload); res != nil || !errors.As(err, &undecided) || !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("%v, %v; want it undecided", res, err)
	} else if len(undecided.Evidence) != 1 || undecided.Evidence[0].Reason != verify.ReasonUnreadable {
		t.Errorf("%+v", undecided.Evidence)
	}
	w.attach(w.image, item)
	w.verified(policy.Signatures{})
}

func TestBundlesAreJudgedOfADigestAlone(t *testing.T) {
	w := newWorld(t)
	for _, digest := range []string{"sha512:" + strings.Repeat("ab", 64), "sha256:ab", ""} {
		if res, err := w.verifier(policy.Signatures{}).Bundles(t.Context(), w.repo.Digest(digest), []byte("{}")); res != nil || !errors.Is(err, registry.ErrReference) {
			t.Errorf("%q: %v, %v; want ErrReference", digest, res, err)
		}
	}
}

// Where the image itself could not be read, too much evidence is no denial either: asked
// again, the image may be there.
func TestAnImageThatCannotBeReadIsUndecidedBeyondALimit(t *testing.T) {
	w := newWorld(t)
	for i := range 2 {
		w.attach(w.image, w.simple(payloadFor(fmt.Sprintf("x/%d", i), w.image.DigestStr()), w.other))
	}
	v, err := verify.New(loaded(t, policyText+"      - "+configText+"\n", newPerson(t), newPerson(t), newPerson(t)), verify.Options{Limits: registry.Limits{MaxItems: 1}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Image(t.Context(), panickingBlobs{w.store}, w.image)
	var undecided *verify.UndecidedError
	if res != nil || !errors.As(err, &undecided) || !strings.Contains(err.Error(), "read image") {
		t.Errorf("%+v, %v; want *UndecidedError that names the image", res, err)
	}
}

func TestConfigsOfIndexesThatNestTooDeepAreNotJudged(t *testing.T) {
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "1"}, nil, now, "")
	text := strings.Replace(policyText, signatureRequired, configText, 1)
	for depth := range 6 {
		res, err := w.judged(text, now, newPerson(t), newPerson(t), newPerson(t))
		if depth <= 4 && err != nil {
			t.Errorf("%d indexes: %v", depth, err)
		} else if depth > 4 {
			isDenied(t, res, err, verify.ReasonConfig)
		}
		w.indexOf(w.listed(w.image))
	}
}

func TestWhatIsSignedAndNoManifestVouchesForNothing(t *testing.T) {
	w := newWorld(t)
	child := w.image
	w.pushText("application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}`) // no config
	w.attach(w.image, bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(w.image)), w.trusted))
	v := w.verifier(policy.Signatures{})
	index, err := v.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Child(t.Context(), w.store, index, child)
	isDenied(t, res, err, verify.ReasonNotIndex)
	res, err = v.Platform(t.Context(), w.store, index, amd64)
	isDenied(t, res, err, verify.ReasonNotIndex)
}

func TestLinksThatCannotBeReadAreTold(t *testing.T) {
	l := newLayoutWorld(t)
	for _, predicate := range []string{`{"links":"x"}`, `{}`, `{"links":[1]}`} {
		bundle := bundleItem(t, dsse.PayloadTypeInToto, fmt.Sprintf(`{"_type":%q,"predicateType":%q,"subject":[%s],"predicate":%s}`,
			intoto.StatementV1, steps.TypeLinkSet, about(l.image), predicate), l.stranger).Payload
		res, err := l.v.Bundles(t.Context(), l.image, bundle)
		t.Log(predicate, err)
		isDenied(t, res, err, verify.ReasonNoTrustedAttestation, verify.ReasonPredicate)
	}
}

func TestALayoutWhoseOwnersCountNoMoreIsMetByNothing(t *testing.T) {
	for _, key := range []string{
		"{file: a.pub, notAfter: " + now.Add(-time.Second).Format(time.RFC3339) + "}",
		"{file: a.pub, revoked: 2026-01-01T00:00:00Z}",
	} {
		l := newLayoutWorld(t, "{file: a.pub}", key)
		bundle := l.carry(l.link(l.builder, map[string]string{"image": strings.TrimPrefix(l.image.DigestStr(), "sha256:")}))
		res, err := l.v.Bundles(t.Context(), l.image, bundle)
		if denied := isDenied(t, res, err, verify.ReasonLayout, verify.ReasonLayout); !strings.Contains(denied.Detail, "too few keys of the role release") {
			t.Errorf("%s: %s", key, denied.Detail)
		}
	}
}

// An unreadable layout that a program gives is met by no links.
func TestALayoutThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{`{"payload":"e30="}`, "{}", "x"} {
		p := requiring(t, policy.Requirement{Attestation: &policy.AttestationRequirement{Type: "intoto", By: "signers", LinkConditions: policy.LinkConditions{LayoutEnvelope: []byte(text)}}})
		if _, err := verify.New(p, verify.Options{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "layout") {
			t.Errorf("%q: %v; want it to be refused", text, err)
		}
	}
}
