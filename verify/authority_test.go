package verify_test

import (
	"context"
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
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dsse"
	"github.com/hallmark-oci/hallmark/internal/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
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

func (ca *houseCA) Identity(settings map[string]any) (verify.Identity, error) {
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

func (i *houseIdentity) Signed(_ context.Context, e verify.SignedEvidence) (verify.Recognized, error) {
	var b struct {
		VerificationMaterial struct {
			Certificate struct{ RawBytes []byte }
		}
	}
	if err := json.Unmarshal(e.Content, &b); err != nil {
		return verify.Recognized{}, err
	}
	leaf, err := x509.ParseCertificate(b.VerificationMaterial.Certificate.RawBytes)
	if err != nil {
		return verify.Recognized{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(i.ca.root)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: e.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}); err != nil {
		return verify.Recognized{}, err
	}
	if len(leaf.EmailAddresses) != 1 || leaf.EmailAddresses[0] != i.address {
		return verify.Recognized{}, fmt.Errorf("it is %v, not %s", leaf.EmailAddresses, i.address)
	}
	sum := sha256.Sum256(e.Message)
	if len(e.Signatures) != 1 || !ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), sum[:], e.Signatures[0]) {
		return verify.Recognized{}, errors.New("the signature is not its key's")
	}
	return verify.Recognized{Who: leaf.EmailAddresses[0], Until: leaf.NotAfter}, nil
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

func (w *world) judgedBy(ca *houseCA, text string, people ...person) (*verify.Result, error) {
	w.t.Helper()
	linked := map[string]verify.Authority{"house": ca}
	p, err := verify.LoadPolicy(written(w.t, text, people...), verify.ParseOptions{Authorities: linked})
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

func TestAttack_T11_IdentitiesThatMatchAnybodyOrNobodyAreRefused(t *testing.T) {
	linked := map[string]verify.Authority{"house": newHouseCA(t)}
	a := newPerson(t)
	for name, x := range map[string]struct{ old, new, says string }{
		"settings of nobody":   {"settings: {address: jane@house.example}", "settings: {}", "want address"},
		"unknown setting":      {"address: jane@house.example", "address: j, regex: '.*'", "want address"},
		"authority not linked": {"authority: house", "authority: fulcio", "not linked"},
		"no authority":         {"authority: house, ", "", "authority"},
		"twice in a policy":    {"ken@", "jane@", "same identity as jane"},
		"twice in a role":      {"[jane, ken]", "[jane, jane]", "a second time"},
		"dangling":             {"[jane, ken]", "[jane, kim]", "not among identities"},
		"name of a key":        {"  ken: ", "  a: ", "name of a key"},
		"threshold":            {"threshold: 2", "threshold: 4", "3 distinct"},
		"files":                {"rules:", "files: {by: release}\nrules:", "for images only"},
	} {
		text := strings.Replace(identityPolicy, x.old, x.new, 1)
		if text == identityPolicy {
			t.Fatalf("%s changes nothing", name)
		}
		_, err := verify.LoadPolicy(written(t, text, a), verify.ParseOptions{Authorities: linked})
		if !errors.Is(err, verify.ErrPolicy) || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, want %q with its line", name, err, x.says)
		}
	}
}
