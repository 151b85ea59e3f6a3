package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

// cosignType is a predicate type by cosign's short name, and the sample of package
// attest that stands for it.
type cosignType struct {
	name, uri, sample string
	// text is true where cosign puts any text into the predicate as a string, in
	// which case the predicate is not an object.
	text bool
}

var cosignTypes = []cosignType{
	{"slsaprovenance", predicate.TypeProvenance02, "slsaprovenance02", false},
	{"slsaprovenance02", predicate.TypeProvenance02, "slsaprovenance02", false},
	{"slsaprovenance1", predicate.TypeProvenance, "slsaprovenance1", false},
	{"link", predicate.TypeLink, "link", false},
	{"spdx", predicate.TypeSPDX, "spdx", true},
	{"spdxjson", predicate.TypeSPDX, "spdx", false},
	{"cyclonedx", predicate.TypeCycloneDX, "cyclonedx", false},
	{"vuln", predicate.TypeCosignVuln, "vuln", false},
	{"openvex", predicate.TypeOpenVEX, "openvex", false},
	{"custom", predicate.TypeCustom, "custom", false},
	{"https://example.com/own/v1", "https://example.com/own/v1", "release", false},
}

func (c cosignType) label() string { return strings.NewReplacer("/", "-", ":", "").Replace(c.name) }

// file is the sample's path.
func (c cosignType) file(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", "attest", "predicate", "testdata", "predicates", c.sample+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// predicate is the sample as we attest it.
func (c cosignType) predicate(t testing.TB) attest.Predicate {
	t.Helper()
	text, err := os.ReadFile(c.file(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.name == "custom" {
		return predicate.Custom{Data: string(text), Timestamp: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	}
	p, err := predicate.Parse(c.uri, text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// attestWays are the ways in which cosign attests.
var attestWays = []way{
	{name: "cosign2-att-tag", version: "cosign2"},
	{name: "cosign2-bundle", version: "cosign2", flags: []string{"--new-bundle-format"}},
	{name: "cosign3-bundle", version: "cosign3"},
}

func (w way) attest(t testing.TB, subject name.Digest, kind cosignType, private string, args ...string) {
	t.Helper()
	c := newCosign(t, w.version)
	c.run(t, slices.Concat([]string{"attest"}, c.offline(w.version), w.flags, args,
		[]string{"--type", kind.name, "--predicate", kind.file(t), "--key", private, subject.String()})...).accepted(t)
}

// verifyAttestation verifies with the file of a public key.
func (c cosignTool) verifyAttestation(t testing.TB, ref name.Reference, kind, public string, args ...string) outcome {
	t.Helper()
	return c.run(t, slices.Concat([]string{"verify-attestation", "--insecure-ignore-tlog=true", "--type", kind}, args,
		[]string{"--key", public, ref.String()})...)
}

// claimsBy lists the attestations on an image that the key has signed.
func claimsBy(t testing.TB, s *scene, subject name.Digest, k key) []attest.Claim {
	t.Helper()
	trusted, err := keyfile.ParsePublic(k.pair.PublicPEM)
	if err != nil {
		t.Fatal(err)
	}
	var all []attest.Claim
	for claim, err := range attest.Claims(t.Context(), s.store, subject, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		opened, err := evidence.Open(string(claim.Item.Layer.MediaType), claim.Item.Layer.Annotations, claim.Item.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if made, err := opened.VerifiedWithin(t.Context(), trusted); err == nil && made {
			all = append(all, claim)
		}
	}
	return all
}

// What cosign attests, of any of its types and in any of its formats, we read:
// the signature is the key's and of no other key, the subject is the image, and the
// predicate is what its type says.
func TestWeReadWhatCosignAttests(t *testing.T) {
	onEach(t, []registryKind{inMemory, distribution}, func(t *testing.T, host string) {
		for _, w := range attestWays {
			for _, kind := range cosignTypes {
				t.Run(w.name+"/"+kind.label(), func(t *testing.T) {
					t.Parallel()
					s := newScene(t, host)
					builder, stranger := newKey(t, "builder", sign.ECDSAP256), newKey(t, "stranger", sign.ECDSAP256)
					w.attest(t, s.image, kind, builder.private)
					claims := claimsBy(t, s, s.image, builder)
					if len(claims) != 1 || !claims[0].Names || claims[0].Statement.PredicateType != kind.uri {
						t.Fatalf("%d claims: %+v", len(claims), claims)
					}
					if n := len(claimsBy(t, s, s.image, stranger)); n != 0 {
						t.Errorf("%d claims are said to be by another key", n)
					}
					if isText := claims[0].Statement.Predicate[0] == '"'; isText != kind.text {
						t.Errorf("cosign wrote %.40s", claims[0].Statement.Predicate)
					}
					if _, err := predicate.Parse(kind.uri, claims[0].Statement.Predicate); err != nil {
						t.Errorf("%v\n%s", err, claims[0].Statement.Predicate)
					}
				})
			}
		}
	})
}

// attestSets are the formats that we write, and which version of cosign reads
// each.
var attestSets = []struct {
	name    string
	formats []registry.Format
	version string
	flags   []string
}{
	{"att-tag", []registry.Format{registry.FormatEnvelope}, "cosign2", nil},
	{"att-tag", []registry.Format{registry.FormatEnvelope}, "cosign3", nil},
	{"bundle", []registry.Format{registry.FormatBundle}, "cosign2", []string{"--new-bundle-format"}},
	{"bundle", []registry.Format{registry.FormatBundle}, "cosign3", nil},
	{"both", []registry.Format{registry.FormatEnvelope, registry.FormatBundle}, "cosign2", nil},
	{"both", []registry.Format{registry.FormatEnvelope, registry.FormatBundle}, "cosign3", nil},
}

func (s *scene) attest(t testing.TB, subject name.Digest, p attest.Predicate, o attest.Options, k key) *attest.Attached {
	t.Helper()
	done, err := attest.Image(t.Context(), s.store, subject, p, o, k.pair.Signer)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// What we attest cosign verifies, of any of its types, and refuses for another
// key, another type and another image.
func TestCosignVerifiesWhatWeAttest(t *testing.T) {
	onEach(t, []registryKind{inMemory, distribution}, func(t *testing.T, host string) {
		for _, set := range attestSets {
			for _, kind := range cosignTypes {
				if kind.text {
					continue // we write SPDX documents as objects only
				}
				t.Run(fmt.Sprintf("%s/%s/%s", set.version, set.name, kind.label()), func(t *testing.T) {
					t.Parallel()
					s := newScene(t, host)
					builder, stranger := newKey(t, "builder", sign.ECDSAP256), newKey(t, "stranger", sign.ECDSAP256)
					s.attest(t, s.image, kind.predicate(t), attest.Options{Formats: set.formats}, builder)
					c := newCosign(t, set.version)
					flags := append([]string{"--trusted-root", c.trustedRoot}, set.flags...)
					c.verifyAttestation(t, s.image, kind.name, builder.public, flags...).accepted(t)
					if kind.name != "slsaprovenance1" {
						return // the refusals are the same for all
					}
					c.verifyAttestation(t, s.tag, kind.uri, builder.public, flags...).accepted(t)
					c.verifyAttestation(t, s.image, kind.name, stranger.public, flags...).refused(t, "")
					c.verifyAttestation(t, s.image, "cyclonedx", builder.public, flags...).refused(t, "")
					c.verifyAttestation(t, s.other, kind.name, builder.public, flags...).refused(t, "")
				})
			}
		}
	})
}

// The same with other types of key, as far as cosign verifies them.
func TestCosignVerifiesWhatWeAttestWithOtherKeys(t *testing.T) {
	host := inMemory.start(t)
	kind := cosignTypes[2]
	for _, algorithm := range []sign.Algorithm{sign.RSA2048, sign.Ed25519} {
		for _, set := range attestSets[:4] {
			t.Run(fmt.Sprintf("%s/%s/%s", algorithm, set.version, set.name), func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				builder := newKey(t, "builder", algorithm)
				s.attest(t, s.image, kind.predicate(t), attest.Options{Formats: set.formats}, builder)
				c := newCosign(t, set.version)
				c.verifyAttestation(t, s.image, kind.name, builder.public, append([]string{"--trusted-root", c.trustedRoot}, set.flags...)...).accepted(t)
			})
		}
	}
}

// What we replaced cosign sees no more; what cosign replaced we still read.
func TestReplacedAttestationsAreGoneForCosignToo(t *testing.T) {
	onEach(t, []registryKind{inMemory, distribution}, func(t *testing.T, host string) {
		for _, w := range []way{attestWays[0], attestWays[2]} {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				builder := newKey(t, "builder", sign.ECDSAP256)
				kind := cosignTypes[2]
				w.attest(t, s.image, kind, builder.private)
				format := registry.FormatBundle
				if w.version == "cosign2" {
					format = registry.FormatEnvelope
				}
				done := s.attest(t, s.image, kind.predicate(t), attest.Options{Formats: []registry.Format{format}, Replace: true}, builder)
				if len(done.Superseded) != 1 || !done.Superseded[0].Removed {
					t.Fatalf("superseded: %+v", done.Superseded)
				}
				if n := len(claimsBy(t, s, s.image, builder)); n != 1 {
					t.Errorf("%d attestations are left", n)
				}
				c := newCosign(t, w.version)
				o := c.run(t, "download", "attestation", s.image.String()).accepted(t)
				if n := strings.Count(strings.TrimSpace(o.stdout), "\n") + 1; n != 1 {
					t.Errorf("cosign sees %d attestations:\n%s", n, o.stdout)
				}
			})
		}
	})
}

// cosign's --replace leaves what we read.
func TestWeReadWhatCosignReplaced(t *testing.T) {
	s := newScene(t, inMemory.start(t))
	builder := newKey(t, "builder", sign.ECDSAP256)
	kind := cosignTypes[2]
	s.attest(t, s.image, kind.predicate(t), attest.Options{Formats: []registry.Format{registry.FormatEnvelope}}, builder)
	attestWays[0].attest(t, s.image, kind, builder.private, "--replace")
	if claims := claimsBy(t, s, s.image, builder); len(claims) != 1 || claims[0].Statement.PredicateType != kind.uri {
		t.Errorf("%+v", claims)
	}
}

// cosign lists and downloads what we attest.
func TestCosignDownloadsWhatWeAttest(t *testing.T) {
	s := newScene(t, inMemory.start(t))
	builder := newKey(t, "builder", sign.ECDSAP256)
	kind := cosignTypes[2]
	s.attest(t, s.image, kind.predicate(t), attest.Options{Formats: []registry.Format{registry.FormatEnvelope, registry.FormatBundle}}, builder)
	for _, version := range cosigns {
		t.Run(version, func(t *testing.T) {
			c := newCosign(t, version)
			o := c.run(t, "download", "attestation", s.image.String()).accepted(t)
			if !strings.Contains(o.stdout, "payload") {
				t.Errorf("%s", o.stdout)
			}
		})
	}
}
