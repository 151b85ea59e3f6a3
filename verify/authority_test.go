package verify_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// houseCA is an authority: certificates of one root, told apart by an address.
type houseCA struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newHouseCA(t *testing.T) *houseCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "house"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &houseCA{root, key}
}

// issue certifies a person's key.
func (ca *houseCA) issue(t *testing.T, to person, address string, until time.Time) []byte {
	t.Helper()
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), EmailAddresses: []string{address}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca.root, to.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (ca *houseCA) Matcher(settings map[string]any) (policy.Matcher, error) {
	address, _ := settings["address"].(string)
	if address == "" || len(settings) != 1 {
		return nil, errors.New("want address, and nothing else")
	}
	return &houseIdentity{ca, address}, nil
}

type houseIdentity struct {
	ca      *houseCA
	address string
}

func (i *houseIdentity) ID() string { return "house:" + i.address }

func (i *houseIdentity) Signed(_ context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	var b struct {
		VerificationMaterial struct {
			Certificate struct{ RawBytes []byte }
		}
	}
	if err := json.Unmarshal(e.Content, &b); err != nil {
		return policy.Recognized{}, err
	}
	leaf, err := x509.ParseCertificate(b.VerificationMaterial.Certificate.RawBytes)
	if err != nil {
		return policy.Recognized{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(i.ca.root)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: e.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}); err != nil {
		return policy.Recognized{}, err
	}
	if len(leaf.EmailAddresses) != 1 || leaf.EmailAddresses[0] != i.address {
		return policy.Recognized{}, fmt.Errorf("it is %v, not %s", leaf.EmailAddresses, i.address)
	}
	sum := sha256.Sum256(e.Message)
	if len(e.Signatures) != 1 || !ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), sum[:], e.Signatures[0]) {
		return policy.Recognized{}, errors.New("the signature is not its key's")
	}
	return policy.Recognized{Principal: leaf.EmailAddresses[0], Until: leaf.NotAfter}, nil
}

const identityPolicy = `version: 1
keys:
  a: {file: a.pub}
identities:
  jane: {authority: house, settings: {address: jane@house.example}}
  ken: {authority: house, settings: {address: ken@house.example}}
roles:
  release: {identities: [jane]}
  pair: {keys: [a], identities: [jane, ken], threshold: 2}
rules:
  - images: [registry.example/team/**]
    require:
      - signature: {by: release}
`

// certified is a signature of the image with a certificate.
func (w *world) certified(cert []byte, by person) registry.Item {
	return bundleOf(`{"mediaType":"` + bundleType + `","verificationMaterial":{"certificate":{"rawBytes":"` + base64.StdEncoding.EncodeToString(cert) + `"}},"dsseEnvelope":` +
		string(envelope(w.t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(w.image)), by)) + `}`)
}

func (w *world) judgedBy(ca policy.Authority, text string, people ...person) (*verify.Result, error) {
	w.t.Helper()
	linked := map[string]policy.Authority{"house": ca}
	p, err := policy.Load(written(w.t, text, people...), policy.ParseOptions{Authorities: linked})
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked})
	if err != nil {
		w.t.Fatal(err)
	}
	return v.Image(context.Background(), w.store, w.image)
}

func TestIdentitiesOfALinkedAuthorityCountInRoles(t *testing.T) {
	w, ca, a, jane := newWorld(t), newHouseCA(t), newPerson(t), newPerson(t)
	ends := time.Now().Add(time.Hour).Truncate(time.Second)
	w.attach(w.image, w.certified(ca.issue(t, jane, "ken@house.example", ends), jane))
	w.attach(w.image, w.certified(newHouseCA(t).issue(t, jane, "jane@house.example", ends), jane))
	w.attach(w.image, w.certified(ca.issue(t, newPerson(t), "jane@house.example", ends), jane))
	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", time.Now().Add(-time.Minute)), jane))
	res, err := w.judgedBy(ca, identityPolicy, a)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongRole, verify.ReasonCertificate, verify.ReasonCertificate, verify.ReasonCertificate)

	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", ends), jane))
	res, err = w.judgedBy(ca, identityPolicy, a)
	if err != nil || len(res.Keys) != 1 || res.Keys[0].ID != "house:jane@house.example" || res.Keys[0].Name != "jane" || !res.ValidUntil.Equal(ends) {
		t.Fatalf("%+v, %v", res, err)
	}
	revoked := strings.Replace(identityPolicy, "jane@house.example}}", "jane@house.example}, revoked: 2026-01-01T00:00:00Z}", 1)
	res, err = w.judgedBy(ca, revoked, a)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongRole, verify.ReasonCertificate, verify.ReasonCertificate, verify.ReasonCertificate, verify.ReasonRevokedKey)
}

func TestIdentitiesAndKeysAddUpToAThreshold(t *testing.T) {
	w, ca, a, jane := newWorld(t), newHouseCA(t), newPerson(t), newPerson(t)
	text := strings.Replace(identityPolicy, "by: release", "by: pair", 1)
	ends := time.Now().Add(time.Hour)
	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", ends), jane))
	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", ends.Add(time.Minute)), jane))
	res, err := w.judgedBy(ca, text, a)
	isDenied(t, res, err, verify.ReasonThreshold, verify.ReasonCounted, verify.ReasonRepeated)
	w.sign(w.image, sign.ImageOptions{}, a)
	if res, err = w.judgedBy(ca, text, a); err != nil || len(res.Keys) != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}

// domainCA also knows identities of whole domains.
type domainCA struct{ *houseCA }

func (a domainCA) Matcher(settings map[string]any) (policy.Matcher, error) {
	if domain, _ := settings["domain"].(string); domain != "" {
		return domainIdentity{a.houseCA, domain}, nil
	}
	return a.houseCA.Matcher(settings)
}

type domainIdentity struct {
	ca     *houseCA
	domain string
}

func (i domainIdentity) ID() string { return "house domain:" + i.domain }

func (i domainIdentity) Signed(ctx context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	for _, who := range []string{"jane", "ken"} {
		if known, err := (&houseIdentity{i.ca, who + "@" + i.domain}).Signed(ctx, e); err == nil {
			return known, nil
		}
	}
	return policy.Recognized{}, errors.New("no person of the domain")
}

const overlappingPolicy = `version: 1
identities:
  jane: {authority: house, settings: {address: jane@house.example}}
  anyone: {authority: house, settings: {domain: house.example}}
roles:
  pair: {identities: [jane, anyone], threshold: 2}
  one: {identities: [jane, anyone], threshold: 1}
rules:
  - images: [registry.example/team/**]
    require:
      - signature: {by: pair}
`

func TestAttack_T11_OnePersonWhomTwoIdentitiesRecogniseCountsOnce(t *testing.T) {
	ca, jane, ken := newHouseCA(t), newPerson(t), newPerson(t)
	ends := time.Now().Add(time.Hour)
	byJane, byKen := ca.issue(t, jane, "jane@house.example", ends), ca.issue(t, ken, "ken@house.example", ends)
	alone := newWorld(t)
	alone.attach(alone.image, alone.certified(byJane, jane))
	res, err := alone.judgedBy(domainCA{ca}, overlappingPolicy)
	isDenied(t, res, err, verify.ReasonThreshold, verify.ReasonCounted, verify.ReasonRepeated)
	alone.attach(alone.image, alone.certified(ca.issue(t, ken, "jane@house.example", ends), ken))
	res, err = alone.judgedBy(domainCA{ca}, overlappingPolicy)
	isDenied(t, res, err, verify.ReasonThreshold, verify.ReasonCounted, verify.ReasonRepeated, verify.ReasonRepeated, verify.ReasonRepeated)

	// Jane's may count for either identity, and Ken's for one: the order decides
	// nothing.
	for _, janeFirst := range []bool{true, false} {
		w := newWorld(t)
		pieces := []registry.Item{w.certified(byJane, jane), w.certified(byKen, ken)}
		if !janeFirst {
			pieces[0], pieces[1] = pieces[1], pieces[0]
		}
		for _, p := range pieces {
			w.attach(w.image, p)
		}
		if res, err := w.judgedBy(domainCA{ca}, overlappingPolicy); err != nil || len(res.Keys) != 2 {
			t.Errorf("Jane first: %t: %+v, %v", janeFirst, res, err)
		}
	}
}

// The same scan, signed by two people of one identity, is two people's, also where it
// has to wait for OpenVEX documents.
func TestScanOfTwoPrincipalsCountsForBothUnderAnyIdentity(t *testing.T) {
	ca, a, jane, ken := newHouseCA(t), newPerson(t), newPerson(t), newPerson(t)
	ends := time.Now().Add(time.Hour)
	text := strings.NewReplacer("version: 1\n", "version: 1\nkeys:\n  a: {file: a.pub}\n", "roles:\n", "roles:\n  excusers: {keys: [a]}\n",
		"signature: {by: pair}", "attestation: {type: vulns, by: pair, maxSeverity: low, vexBy: excusers}").Replace(overlappingPolicy)
	for _, janeFirst := range []bool{true, false} {
		w := newWorld(t)
		scanned := scanWith("high", recently)
		payload := fmt.Sprintf(`{"_type":%q,"predicateType":%q,"subject":[%s],"predicate":%s}`, intoto.StatementV1, scanned.uri, about(w.image), scanned.text)
		by := func(p person, address string) registry.Item {
			return bundleOf(`{"mediaType":"` + bundleType + `","verificationMaterial":{"certificate":{"rawBytes":"` + base64.StdEncoding.EncodeToString(ca.issue(t, p, address, ends)) + `"}},"dsseEnvelope":` +
				string(envelope(t, dsse.PayloadTypeInToto, payload, p)) + `}`)
		}
		pieces := []registry.Item{by(jane, "jane@house.example"), by(ken, "ken@house.example")}
		if !janeFirst {
			pieces[0], pieces[1] = pieces[1], pieces[0]
		}
		for _, p := range pieces {
			w.attach(w.image, p)
		}
		state(t, w, w.image, vex("not_affected"), a)
		if res, err := w.judgedBy(domainCA{ca}, text, a); err != nil || len(res.Keys) != 2 {
			t.Errorf("Jane first: %t: %+v, %v", janeFirst, res, err)
		}
	}
}

func TestAttack_T7_PrincipalInTwoSeparateRolesCountsInNeither(t *testing.T) {
	ca, jane, ken := newHouseCA(t), newPerson(t), newPerson(t)
	ends := time.Now().Add(time.Hour)
	text := strings.NewReplacer("pair: {identities: [jane, anyone], threshold: 2}", "narrow: {identities: [jane]}", "one: {identities: [jane, anyone], threshold: 1}", "wide: {identities: [anyone]}",
		"- signature: {by: pair}", "- signature: {by: narrow}\n      - signature: {by: wide}").Replace(overlappingPolicy)
	separate := strings.Replace(text, "    require:", "    separateDuties: true\n    require:", 1)
	w := newWorld(t)
	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", ends), jane))
	if _, err := w.judgedBy(domainCA{ca}, text); err != nil {
		t.Fatal(err)
	}
	res, err := w.judgedBy(domainCA{ca}, separate)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongRole, verify.ReasonWrongRole) // for each identity
	w.attach(w.image, w.certified(ca.issue(t, ken, "ken@house.example", ends), ken))
	res, err = w.judgedBy(domainCA{ca}, separate)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongRole, verify.ReasonWrongRole, verify.ReasonWrongRole, verify.ReasonCounted)
}

func TestAttack_T11_ARevokedIdentityCountsUnderNoOther(t *testing.T) {
	w, ca, jane := newWorld(t), newHouseCA(t), newPerson(t)
	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", time.Now().Add(time.Hour)), jane))
	text := strings.Replace(overlappingPolicy, "by: pair", "by: one", 1)
	if _, err := w.judgedBy(domainCA{ca}, text); err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(text, "jane@house.example}}", "jane@house.example}, revoked: 2026-01-01T00:00:00Z}", 1)
	res, err := w.judgedBy(domainCA{ca}, text)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonRevokedKey)
}

func TestAttack_E9_CertificatesAreLookedAtWithinTheBoundOfChecks(t *testing.T) {
	w, ca, mallory := newWorld(t), newHouseCA(t), newPerson(t)
	foreign := w.certified(newHouseCA(t).issue(t, mallory, "jane@house.example", time.Now().Add(time.Hour)), mallory)
	text := "version: 1\nidentities:\n"
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("p%d", i))
		text += fmt.Sprintf("  p%d: {authority: house, settings: {address: p%d@house.example}}\n", i, i)
	}
	text += "roles:\n  release: {threshold: 1, identities: [" + strings.Join(names, ", ") + "]}\nrules:\n  - images: ['**']\n    require:\n      - signature: {by: release}\n"
	linked := map[string]policy.Authority{"house": ca}
	p, err := policy.Load(written(t, text), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	bundles := make([][]byte, 200)
	for i := range bundles {
		bundles[i] = foreign.Payload
	}
	res, err := v.Bundles(context.Background(), w.image, bundles...)
	if denied := isDenied(t, res, err, verify.ReasonTooMuchEvidence); len(denied.Evidence) != 51 {
		t.Errorf("%d pieces were looked at, want 50 and the one that was too much", len(denied.Evidence))
	}
}

func TestAttack_T11_IdentitiesThatMatchAnybodyOrNobodyAreRefused(t *testing.T) {
	linked := map[string]policy.Authority{"house": newHouseCA(t)}
	a := newPerson(t)
	for name, x := range map[string]struct{ old, new, says string }{
		"settings of no one":   {"settings: {address: jane@house.example}", "settings: {}", "want address"},
		"unknown setting":      {"address: jane@house.example", "address: j, regex: '.*'", "want address"},
		"authority not linked": {"authority: house", "authority: fulcio", "not linked"},
		"no authority":         {"authority: house, ", "", "authority"},
		"twice in a policy":    {"ken@", "jane@", "same identity as jane"},
		"twice in a role":      {"[jane, ken]", "[jane, jane]", "a second time"},
		"dangling":             {"[jane, ken]", "[jane, kim]", "not among identities"},
		"name of a key":        {"  ken: ", "  a: ", "name of a key"},
		"threshold":            {"threshold: 2", "threshold: 4", "3 distinct"},
	} {
		text := strings.Replace(identityPolicy, x.old, x.new, 1)
		if text == identityPolicy {
			t.Fatalf("%s changes nothing", name)
		}
		_, err := policy.Load(written(t, text, a), policy.ParseOptions{Authorities: linked})
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, want %q with its line", name, err, x.says)
		}
	}
}

// forgetful recognises people, and does not say whom.
type forgetful struct{ *houseCA }

func (f forgetful) Matcher(settings map[string]any) (policy.Matcher, error) {
	known, err := f.houseCA.Matcher(settings)
	return forgetfulIdentity{known}, err
}

type forgetfulIdentity struct{ policy.Matcher }

func (i forgetfulIdentity) Signed(ctx context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	known, err := i.Matcher.Signed(ctx, e)
	known.Principal = ""
	return known, err
}

func TestSomebodyWhomAnAuthorityDoesNotNameCountsNot(t *testing.T) {
	w, ca, jane := newWorld(t), newHouseCA(t), newPerson(t)
	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", time.Now().Add(time.Hour)), jane))
	res, err := w.judgedBy(forgetful{ca}, identityPolicy, newPerson(t))
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonCertificate)
}

func TestExplanationsNameIdentities(t *testing.T) {
	linked := map[string]policy.Authority{"house": newHouseCA(t)}
	p, err := policy.Load(written(t, strings.Replace(identityPolicy, "by: release", "by: pair", 1), newPerson(t)), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		t.Fatal(err)
	}
	if text := v.Explain(repo).Requirements[0].Text; text != "a signature by pair: 2 of a, jane, ken" {
		t.Errorf("%q", text)
	}
	p, err = policy.Load(written(t, strings.Replace(identityPolicy, "by: release", "by: release, maxAge: 24h", 1), newPerson(t)), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	if v, err = verify.New(p, verify.Options{Authorities: linked}); err != nil {
		t.Fatal(err)
	}
	if conditions := v.Explain(repo).Requirements[0].Conditions; !slices.Contains(conditions, "made at most 24h0m0s ago") {
		t.Errorf("%q", conditions)
	}
}

// A writer who pushes certificates must not be able to have so many identities asked
// that those which count are not.
func TestAttack_E9_IdentitiesThatCannotCountUseUpNoChecks(t *testing.T) {
	w, ca, a, jane := newWorld(t), newHouseCA(t), newPerson(t), newPerson(t)
	var many strings.Builder
	for i := range 600 {
		fmt.Fprintf(&many, "  other-%d: {authority: house, settings: {address: other-%d@house.example}}\n", i, i)
	}
	text := strings.Replace(identityPolicy, "roles:\n", many.String()+"roles:\n", 1)
	ends := time.Now().Add(time.Hour)
	for range 20 {
		w.attach(w.image, w.certified(newHouseCA(t).issue(t, jane, "mallory@house.example", ends), jane))
	}
	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", ends), jane))
	if _, err := w.judgedBy(ca, text, a); err != nil {
		t.Errorf("%.300v", err)
	}
}

// layoutOf is identityPolicy with an in-toto layout whose owners are of a role, and
// a link that meets it.
func layoutOf(t *testing.T, w *world, ca *houseCA, role string) (v *verify.Verifier, payload string, err error) {
	t.Helper()
	owner, builder := newPerson(t), newPerson(t)
	layout, err := steps.SignLayout(t.Context(), steps.Layout{
		Expires: time.Now().Add(24 * time.Hour),
		Steps:   []steps.Step{{Name: "build", Functionaries: []crypto.PublicKey{builder.Public()}, Products: []steps.Rule{steps.Allow("*")}}},
	}, owner)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(identityPolicy, "signature: {by: release}", "attestation: {type: intoto, by: "+role+", layout: layout.json}", 1)
	path := written(t, strings.Replace(text, "roles:\n", "roles:\n  owner: {keys: [a]}\n", 1), owner)
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "layout.json"), layout, 0o600); err != nil {
		t.Fatal(err)
	}
	link, err := steps.SignLink(t.Context(), steps.Link{Name: "build", Products: steps.SHA256(map[string]string{"image": strings.TrimPrefix(w.image.DigestStr(), "sha256:")})}, builder)
	if err != nil {
		t.Fatal(err)
	}
	payload = fmt.Sprintf(`{"_type":%q,"predicateType":%q,"subject":[%s],"predicate":%s}`, intoto.StatementV1, steps.TypeLinkSet, about(w.image), steps.LinkPredicate{Links: [][]byte{link}}.RawPredicate())
	linked := map[string]policy.Authority{"house": ca}
	p, err := policy.Load(path, policy.ParseOptions{Authorities: linked})
	if err != nil {
		return nil, "", err
	}
	v, err = verify.New(p, verify.Options{Authorities: linked})
	return v, payload, err
}

// Links count by their functionaries; who attached them, and how, does not matter.
func TestLinksCountUnderACertificateAsUnderAKey(t *testing.T) {
	w, ca, carrier := newWorld(t), newHouseCA(t), newPerson(t)
	v, payload, err := layoutOf(t, w, ca, "owner")
	if err != nil {
		t.Fatal(err)
	}
	cert := ca.issue(t, carrier, "mallory@house.example", time.Now().Add(time.Hour))
	byCertificate := bundleOf(`{"mediaType":"` + bundleType + `","verificationMaterial":{"certificate":{"rawBytes":"` + base64.StdEncoding.EncodeToString(cert) + `"}},"dsseEnvelope":` +
		string(envelope(t, dsse.PayloadTypeInToto, payload, carrier)) + `}`)
	for _, item := range []registry.Item{bundleItem(t, dsse.PayloadTypeInToto, payload, carrier), byCertificate} {
		if _, err := v.Bundles(t.Context(), w.image, item.Payload); err != nil {
			t.Error(err)
		}
	}
}

func TestALayoutThatIdentitiesWouldHaveToOwnIsRefused(t *testing.T) {
	for _, role := range []string{"release", "pair"} {
		if _, _, err := layoutOf(t, newWorld(t), newHouseCA(t), role); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "cannot own a layout") {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// thriftyCA has the certificates of the house verified once for all of its identities.
type thriftyCA struct {
	*houseCA
	effort  int
	checked *int
}

func (ca thriftyCA) Matcher(settings map[string]any) (policy.Matcher, error) {
	m, err := ca.houseCA.Matcher(settings)
	return thriftyIdentity{m, ca}, err
}

type thriftyIdentity struct {
	policy.Matcher
	ca thriftyCA
}

func (i thriftyIdentity) Signed(ctx context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	_, err := e.Once(i.ca, i.ca.effort, func() (any, error) {
		*i.ca.checked++
		return nil, nil
	})
	if err != nil {
		return policy.Recognized{}, err
	}
	known, err := i.Matcher.Signed(ctx, e)
	known.SignedAt = e.Now.Add(-time.Minute)
	return known, err
}

func TestWorkForIdentitiesIsDoneOncePerEvidence(t *testing.T) {
	w, a, jane := newWorld(t), newPerson(t), newPerson(t)
	ca := thriftyCA{newHouseCA(t), 16, new(int)}
	for range 2 {
		w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", time.Now().Add(time.Duration(2+*ca.checked)*time.Hour)), jane))
	}
	res, err := w.judgedBy(ca, strings.Replace(identityPolicy, "by: release", "by: pair", 1), a)
	isDenied(t, res, err, verify.ReasonThreshold, verify.ReasonCounted, verify.ReasonRepeated)
	if *ca.checked != 2 {
		t.Errorf("%d checks for two pieces of evidence and two identities, want 2", *ca.checked)
	}
	if res, err = w.judgedBy(ca, identityPolicy, a); err != nil || len(res.Keys) != 1 || res.Keys[0].SeenAt.IsZero() {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAttack_T20_WorkForIdentitiesIsCharged(t *testing.T) {
	w, a, jane := newWorld(t), newPerson(t), newPerson(t)
	ca := thriftyCA{newHouseCA(t), 1 << 20, new(int)}
	w.attach(w.image, w.certified(ca.issue(t, jane, "jane@house.example", time.Now().Add(time.Hour)), jane))
	res, err := w.judgedBy(ca, identityPolicy, a)
	isDenied(t, res, err, verify.ReasonTooMuchEvidence, verify.ReasonTooMuchEvidence)
	if *ca.checked != 0 {
		t.Errorf("%d checks that cost more than there are", *ca.checked)
	}
}
