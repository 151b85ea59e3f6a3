package verify_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// unitCA is an authority that also tells apart in which unit a person acts, as
// others do by workflow; the person is the same in each.
type unitCA struct{ *houseCA }

func (a unitCA) Matcher(settings map[string]any) (policy.Matcher, error) {
	address, _ := settings["address"].(string)
	unit, _ := settings["unit"].(string)
	return unitIdentity{a.houseCA, address, unit}, nil
}

type unitIdentity struct {
	ca            *houseCA
	address, unit string
}

func (i unitIdentity) ID() string { return "unit:" + i.address + "/" + i.unit }

func (i unitIdentity) Signed(ctx context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	known, err := (&houseIdentity{i.ca, i.address}).Signed(ctx, e)
	if err != nil {
		return known, err
	}
	var b struct {
		VerificationMaterial struct{ Certificate struct{ RawBytes []byte } }
	}
	if err := json.Unmarshal(e.Content, &b); err != nil {
		return policy.Recognized{}, err
	}
	leaf, err := x509.ParseCertificate(b.VerificationMaterial.Certificate.RawBytes)
	if err != nil || !slices.Contains(leaf.Subject.OrganizationalUnit, i.unit) {
		return policy.Recognized{}, errors.New("it is of another unit")
	}
	return known, nil
}

const dutiesPolicy = `version: 1
identities:
  jane-builds: {authority: house, settings: {address: jane@house.example, unit: build}}
  kim-builds: {authority: house, settings: {address: kim@house.example, unit: build}}
  jane-releases: {authority: house, settings: {address: jane@house.example, unit: release}}
  ken-releases: {authority: house, settings: {address: ken@house.example, unit: release}}
roles:
  builder: {identities: [jane-builds, kim-builds], threshold: 1}
  releaser: {identities: [jane-releases, ken-releases], threshold: 1}
rules:
  - images: [registry.example/team/**]
    separateDuties: true
    require:
      - signature: {by: builder}
      - signature: {by: releaser}
`

// duties is an image that people of several units have signed.
type duties struct {
	*world
	linked map[string]policy.Authority
	ca     *houseCA
	person person // whose key all certificates are about: it tells no persons apart
}

func newDuties(t *testing.T) *duties {
	t.Helper()
	ca := newHouseCA(t)
	return &duties{newWorld(t), map[string]policy.Authority{"house": unitCA{ca}}, ca, newPerson(t)}
}

// signed is a statement by a person, "jane build", or in several units "jane build+release".
func (d *duties) signed(by string, predicateType, predicate string, about name.Digest) []byte {
	d.t.Helper()
	who, units, _ := strings.Cut(by, " ")
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{OrganizationalUnit: strings.Split(units, "+")}, EmailAddresses: []string{who + "@house.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}, d.ca.root, d.person.Public(), d.ca.key)
	if err != nil {
		d.t.Fatal(err)
	}
	payload := fmt.Sprintf(`{"_type":%q,"predicateType":%q,"subject":[{"digest":{"sha256":%q}}],"predicate":%s}`,
		intoto.StatementV1, predicateType, strings.TrimPrefix(about.DigestStr(), "sha256:"), predicate)
	return bundleOf(`{"mediaType":"` + bundleType + `","verificationMaterial":{"certificate":{"rawBytes":"` + base64.StdEncoding.EncodeToString(der) + `"}},"dsseEnvelope":` +
		string(envelope(d.t, dsse.PayloadTypeInToto, payload, d.person)) + `}`).Payload
}

func (d *duties) signature(by string) []byte {
	d.t.Helper()
	return d.signed(by, intoto.PredicateSignature, "{}", d.image)
}

func (d *duties) verifierOf(text string, o verify.Options, people ...person) *verify.Verifier {
	d.t.Helper()
	p, err := policy.Load(written(d.t, text, people...), policy.ParseOptions{Authorities: d.linked})
	if err != nil {
		d.t.Fatal(err)
	}
	o.Authorities = d.linked
	v, err := verify.New(p, o)
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

func TestAttack_T7_PrincipalOfManyCertificatesFillsOneRole(t *testing.T) {
	d := newDuties(t)
	separate, together := d.verifierOf(dutiesPolicy, verify.Options{}), d.verifierOf(strings.Replace(dutiesPolicy, "    separateDuties: true\n", "", 1), verify.Options{})
	const wrongRole = verify.ReasonWrongRole
	for label, x := range map[string]struct {
		by      []string
		counts  []string // under separate; nil: denied
		because []verify.Reason
	}{
		"two people":                               {[]string{"jane build", "ken release"}, []string{"jane-builds", "ken-releases"}, nil},
		"one person twice":                         {[]string{"jane build", "jane release"}, nil, []verify.Reason{wrongRole, wrongRole}},
		"one person and one releaser":              {[]string{"jane build", "jane release", "ken release"}, nil, nil},
		"one person and two others":                {[]string{"jane build", "jane release", "ken release", "kim build"}, []string{"kim-builds", "ken-releases"}, nil},
		"one certificate for both and one for one": {[]string{"jane build+release", "jane build", "ken release"}, nil, nil},
		"the same role twice":                      {[]string{"jane build", "jane build", "ken release"}, []string{"jane-builds", "ken-releases"}, nil},
	} {
		var pieces [][]byte
		for _, by := range x.by {
			pieces = append(pieces, d.signature(by))
		}
		for _, order := range orders(len(pieces)) {
			var given [][]byte
			for _, i := range order {
				given = append(given, pieces[i])
			}
			if _, err := together.Bundles(t.Context(), d.image, given...); err != nil {
				t.Fatalf("%s: duties are not separate, and %v", label, err)
			}
			res, err := separate.Bundles(t.Context(), d.image, given...)
			if x.counts == nil {
				isDenied(t, res, err, verify.ReasonNoTrustedSignature, x.because...)
				continue
			}
			if err != nil {
				t.Fatalf("%s, in the order %v: %v", label, order, err)
			}
			var counts []string
			for _, k := range res.Keys {
				counts = append(counts, k.Name)
			}
			if !slices.Equal(counts, x.counts) {
				t.Errorf("%s, in the order %v: %v count, want %v", label, order, counts, x.counts)
			}
			for _, e := range res.Evidence {
				if slices.Contains(x.by, "jane release") && strings.HasPrefix(e.KeyID, "unit:jane@") && e.Reason != wrongRole {
					t.Errorf("%s, in the order %v: %+v", label, order, e)
				}
			}
		}
	}
}

// badges is an authority that knows people by other names than the house does.
type badges struct{ unitCA }

func (b badges) Matcher(settings map[string]any) (policy.Matcher, error) {
	i, err := b.unitCA.Matcher(settings)
	return badge{i}, err
}

type badge struct{ policy.Matcher }

func (b badge) ID() string { return "badge of " + b.Matcher.ID() }

func (b badge) Signed(ctx context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	known, err := b.Matcher.Signed(ctx, e)
	known.Principal = "badge of " + known.Principal
	return known, err
}

// Two authorities have a name of their own for one person: who has made one signature
// is one person.
func TestAttack_T7_PrincipalOfTwoAuthoritiesFillsOneRole(t *testing.T) {
	d := newDuties(t)
	d.linked["badges"] = badges{unitCA{d.ca}}
	v := d.verifierOf(strings.Replace(dutiesPolicy, "jane-releases: {authority: house", "jane-releases: {authority: badges", 1), verify.Options{})
	both, one, ken := d.signature("jane build+release"), d.signature("jane build"), d.signature("ken release")
	other, kim := d.signature("jane release"), d.signature("kim build")
	for _, given := range [][][]byte{{both}, {both, one, ken}, {ken, one, both}, {both, other, kim}, {kim, other, both}} {
		res, err := v.Bundles(t.Context(), d.image, given...)
		isDenied(t, res, err, verify.ReasonNoTrustedSignature)
	}
	if _, err := v.Bundles(t.Context(), d.image, one, ken); err != nil {
		t.Error(err)
	}
}

// The same goes for the person who excuses what a scan has found.
func TestAttack_T7_ScannerExcusesNothingUnderSeparateDuties(t *testing.T) {
	d := newDuties(t)
	text := dutiesPolicy[:strings.Index(dutiesPolicy, "    require:")] + "    require:\n      - attestation: {type: vulns, by: builder, maxSeverity: low, vexBy: releaser}\n"
	v := d.verifierOf(text, verify.Options{})
	today := time.Now().UTC().Format(time.RFC3339)
	about := func(by string, s says) []byte {
		return d.signed(by, s.uri, strings.ReplaceAll(s.text, recently, today), d.image)
	}
	found, jane, ken := about("jane build", scanWith("high", recently)), about("jane release", vex("not_affected")), about("ken release", vex("not_affected"))
	kim := about("kim build", scanWith("high", recently))
	for _, given := range [][][]byte{{found, jane}, {jane, found}} {
		res, err := v.Bundles(t.Context(), d.image, given...)
		isDenied(t, res, err, verify.ReasonNoAttestation, verify.ReasonWrongRole, verify.ReasonWrongRole)
	}
	// Jane's own scan counts no more for what Ken excuses, and her excuse is none of
	// Kim's scan.
	res, err := v.Bundles(t.Context(), d.image, found, jane, ken)
	isDenied(t, res, err, verify.ReasonNoAttestation, verify.ReasonWrongRole, verify.ReasonWrongRole, verify.ReasonCounted)
	res, err = v.Bundles(t.Context(), d.image, kim, found, jane)
	isDenied(t, res, err, verify.ReasonVulnerable, verify.ReasonWrongRole, verify.ReasonWrongRole, verify.ReasonVulnerable)
	for _, given := range [][][]byte{{found, ken}, {ken, jane, kim, found}} {
		if _, err := v.Bundles(t.Context(), d.image, given...); err != nil {
			t.Error(err)
		}
	}
}

// Where a piece of evidence is missing, it may be the one that shows a person in two
// roles.
func TestAttack_E12_MissingEvidenceFillsNoSeparateRole(t *testing.T) {
	d := newDuties(t)
	for _, by := range []string{"jane build", "ken release"} {
		d.attach(d.image, bundleOf(string(d.signature(by))))
	}
	v := d.verifierOf(dutiesPolicy, verify.Options{})
	if _, err := v.Image(t.Context(), d.store, d.image); err != nil {
		t.Fatal(err)
	}
	res, err := v.Image(t.Context(), brokenTag{d.store}, d.image)
	if _, undecided := err.(*verify.UndecidedError); !undecided || res != nil {
		t.Errorf("%+v, %v; want it undecided", res, err)
	}
	bounded := d.verifierOf(dutiesPolicy, verify.Options{Limits: registry.Limits{MaxItems: 2}})
	all := [][]byte{d.signature("jane build"), d.signature("ken release"), d.signature("jane release")}
	if _, err := bounded.Bundles(t.Context(), d.image, all[:2]...); err != nil {
		t.Error(err)
	}
	res, err = bounded.Bundles(t.Context(), d.image, all...)
	isDenied(t, res, err, verify.ReasonTooMuchEvidence, verify.ReasonTooMuchEvidence, verify.ReasonTooMuchEvidence, verify.ReasonTooMuchEvidence)
	for n := range 12 {
		if res, err := v.Bundles(&endsAfter{t.Context(), n}, d.image, all...); res != nil || n < 3 && !errors.Is(err, context.Canceled) {
			t.Errorf("ended after %d: %+v, %v", n, res, err)
		}
	}
}

// endsAfter is a context that ends once it was asked so often.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A writer who pushes a copy of what a person has signed for another image must not be
// able to shut them out by that.
func TestAttack_E2_CopiedSignatureShutsOutNoSeparateRole(t *testing.T) {
	d := newDuties(t)
	v := d.verifierOf(dutiesPolicy, verify.Options{})
	copied := d.signed("jane release", intoto.PredicateSignature, "{}", d.push())
	res, err := v.Bundles(t.Context(), d.image, copied, d.signature("jane build"), d.signature("ken release"))
	if err != nil || len(res.Keys) != 2 || res.Evidence[0].Reason != verify.ReasonWrongSubject {
		t.Errorf("%+v, %v", res, err)
	}
}

// Keys are in one role each, as the policy is loaded, so what they have signed
// waits for nothing.
func TestKeysCountAtOnceWhereDutiesAreSeparate(t *testing.T) {
	d, a, b := newDuties(t), newPerson(t), newPerson(t)
	text := strings.NewReplacer("identities:\n", "keys:\n  a: {file: a.pub}\n  b: {file: b.pub}\nidentities:\n",
		"builder: {", "builder: {keys: [a], ", "releaser: {", "releaser: {keys: [b], ").Replace(dutiesPolicy)
	payload := statement(intoto.PredicateSignature, about(d.image))
	given := [][]byte{bundleItem(t, dsse.PayloadTypeInToto, payload, a).Payload, bundleItem(t, dsse.PayloadTypeInToto, payload, b).Payload, []byte("never looked at")}
	res, err := d.verifierOf(text, verify.Options{}, a, b).Bundles(t.Context(), d.image, given...)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range res.Evidence {
		if e.Reason == verify.ReasonMalformed {
			t.Errorf("it was looked at after enough was there: %+v", e)
		}
	}
}
