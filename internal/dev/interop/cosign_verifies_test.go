package interop

import (
	"crypto"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

var (
	onlyTag    = []registry.Format{registry.FormatSimpleSigning}
	onlyBundle = []registry.Format{registry.FormatBundle}
	both       = []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}
)

// formatSet is what we write, and a name for it.
type formatSet struct {
	name    string
	formats []registry.Format
}

var formatSets = []formatSet{{"sig-tag", onlyTag}, {"bundle", onlyBundle}, {"both", both}}

var cosigns = []string{"cosign2", "cosign3"}

func (s *scene) sign(t testing.TB, subject name.Digest, o sign.ImageOptions, signers ...sign.Signer) *sign.Signed {
	t.Helper()
	signed, err := sign.Image(t.Context(), s.store, subject, o, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// What we sign with a P-256 key both versions of cosign verify, in every format
// and on any registry, and refuse for another key and another image. Both check
// the annotations, but for cosign2 in bundles, where it ignores what it is asked.
func TestCosignVerifiesWhatWeSign(t *testing.T) {
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		for _, set := range formatSets {
			t.Run(set.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				release, stranger := newKey(t, "release", sign.ECDSAP256), newKey(t, "stranger", sign.ECDSAP256)
				s.sign(t, s.image, sign.ImageOptions{Formats: set.formats, Annotations: map[string]string{"env": "prod"}},
					release.pair.Signer)
				for _, version := range cosigns {
					t.Run(version, func(t *testing.T) {
						c := newCosign(t, version)
						c.verify(t, s.image, release.public).accepted(t)
						c.verify(t, s.tag, release.public, annotate("env", "prod")...).accepted(t)
						c.verify(t, s.image, stranger.public).refused(t, "no matching")
						c.verify(t, s.other, release.public).refused(t, "no signatures found")
						wrong := c.verify(t, s.image, release.public, annotate("env", "test")...)
						if version == "cosign2" && set.name != "sig-tag" {
							wrong.accepted(t)
						} else {
							wrong.refused(t, "missing or incorrect annotation")
						}
					})
				}
			})
		}
	})
}

const noMatch = "no matching"

// algorithmTests say which of our algorithms cosign verifies.
var algorithmTests = []struct {
	name      string
	algorithm sign.Algorithm
	options   sign.SignerOptions
	// flags are given to cosign2, the only one that has them.
	flags []string
	// cosign2 and cosign3 are what each refuses with, or "" where it accepts.
	cosign2, cosign3 string
}{
	{name: "p256", algorithm: sign.ECDSAP256},
	{name: "p384-sha256", algorithm: sign.ECDSAP384, options: sign.SignerOptions{Hash: crypto.SHA256}},
	{name: "p521-sha256", algorithm: sign.ECDSAP521, options: sign.SignerOptions{Hash: crypto.SHA256}},
	{name: "p384-natural", algorithm: sign.ECDSAP384, cosign2: noMatch, cosign3: noMatch},
	{name: "p521-natural", algorithm: sign.ECDSAP521, cosign2: noMatch, cosign3: noMatch},
	{name: "p384-natural-told", algorithm: sign.ECDSAP384, flags: []string{"--signature-digest-algorithm", "sha384"}, cosign3: noMatch},
	{name: "p521-natural-told", algorithm: sign.ECDSAP521, flags: []string{"--signature-digest-algorithm", "sha512"}, cosign3: noMatch},
	{name: "ed25519", algorithm: sign.Ed25519},
	{name: "ed25519ph", algorithm: sign.Ed25519, options: sign.SignerOptions{Prehash: true}, cosign2: noMatch, cosign3: noMatch},
	{name: "rsa2048", algorithm: sign.RSA2048},
	{name: "rsa3072", algorithm: sign.RSA3072},
	{name: "rsa4096", algorithm: sign.RSA4096},
	{name: "rsa2048-pss", algorithm: sign.RSA2048, options: sign.SignerOptions{PSS: true}, cosign2: noMatch, cosign3: noMatch},
}

// What cosign does not verify it alone refuses: sign.SignerOptions chooses
// something that it takes.
func TestCosignVerifiesOurAlgorithms(t *testing.T) {
	host := inMemory.start(t)
	for _, test := range algorithmTests {
		for _, set := range formatSets[:2] {
			t.Run(test.name+"/"+set.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				release := newKey(t, "release", test.algorithm)
				s.sign(t, s.image, sign.ImageOptions{Formats: set.formats}, release.signer(t, test.options))
				expect(t, newCosign(t, "cosign2").verify(t, s.image, release.public, test.flags...), test.cosign2)
				expect(t, newCosign(t, "cosign3").verify(t, s.image, release.public), test.cosign3)
				s.verified(t, trusting(t, nil, release), s.image, s.image, release)
			})
		}
	}
}

// expect wants a refusal for the reason given, or none.
func expect(t *testing.T, o outcome, why string) {
	t.Helper()
	if why == "" {
		o.accepted(t)
		return
	}
	o.refused(t, why)
}

// Signing again with an algorithm that cosign verifies must help, although the
// key's signature over the same digest is there already.
func TestSigningAgainWithAnotherAlgorithmSatisfiesCosign(t *testing.T) {
	host := inMemory.start(t)
	for _, set := range formatSets {
		t.Run(set.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			release := newKey(t, "release", sign.ECDSAP384)
			o := sign.ImageOptions{Formats: set.formats}
			s.sign(t, s.image, o, release.pair.Signer)
			s.sign(t, s.image, o, release.signer(t, sign.SignerOptions{Hash: crypto.SHA256}))
			for _, version := range cosigns {
				newCosign(t, version).verify(t, s.image, release.public).accepted(t)
			}
		})
	}
}

// Several signers sign at once: cosign verifies with the key of each.
func TestCosignVerifiesEachOfOurSigners(t *testing.T) {
	onEach(t, []registryKind{inMemory, distribution}, func(t *testing.T, host string) {
		for _, set := range formatSets {
			t.Run(set.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				keys := []key{newKey(t, "a", sign.ECDSAP256), newKey(t, "b", sign.RSA2048), newKey(t, "c", sign.Ed25519)}
				var signers []sign.Signer
				for _, k := range keys {
					signers = append(signers, k.pair.Signer)
				}
				s.sign(t, s.image, sign.ImageOptions{Formats: set.formats}, signers...)
				for _, k := range keys {
					for _, version := range cosigns {
						newCosign(t, version).verify(t, s.image, k.public).accepted(t)
					}
				}
				s.verified(t, trusting(t, nil, keys...), s.image, s.image, keys...)
			})
		}
	})
}

// Each child of an index that we have signed recursively verifies with cosign.
func TestCosignVerifiesWhatWeSignRecursively(t *testing.T) {
	onEach(t, []registryKind{inMemory, distribution}, func(t *testing.T, host string) {
		for _, set := range formatSets {
			t.Run(set.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				index, children := s.pushIndex(t)
				release := newKey(t, "release", sign.ECDSAP256)
				s.sign(t, index, sign.ImageOptions{Formats: set.formats, Recursive: true}, release.pair.Signer)
				for _, version := range cosigns {
					c := newCosign(t, version)
					for _, d := range append(children, index) {
						c.verify(t, d, release.public).accepted(t)
					}
					c.verify(t, s.image, release.public).refused(t, "no signatures found")
				}
			})
		}
	})
}

// We add to what cosign has signed, and cosign adds to what we have signed;
// no signature is lost, and each verifies the other's.
func TestSignaturesOfOursAndCosignsLiveTogether(t *testing.T) {
	onEach(t, []registryKind{inMemory, distribution}, func(t *testing.T, host string) {
		for _, w := range []way{tag2, bundle2, bundle3} {
			for _, oursFirst := range []bool{true, false} {
				t.Run(w.name+map[bool]string{true: "-after-ours", false: "-before-ours"}[oursFirst], func(t *testing.T) {
					t.Parallel()
					addToEachOther(t, newScene(t, host), w, oursFirst)
				})
			}
		}
	})
}

func addToEachOther(t *testing.T, s *scene, w way, oursFirst bool) {
	ours, theirs := newKey(t, "ours", sign.ECDSAP256), newKey(t, "theirs", sign.ECDSAP256)
	set := onlyBundle
	if w.name == tag2.name {
		set = onlyTag
	}
	signOurs := func() {
		s.sign(t, s.image, sign.ImageOptions{Formats: set}, ours.pair.Signer)
	}
	if oursFirst {
		signOurs()
	}
	w.sign(t, s.image, theirs.private)
	if !oursFirst {
		signOurs()
	}
	s.verified(t, trusting(t, nil, ours, theirs), s.image, s.image, ours, theirs)
	for _, version := range cosigns {
		c := newCosign(t, version)
		c.verify(t, s.image, ours.public).accepted(t)
		c.verify(t, s.image, theirs.public).accepted(t)
	}
}

// A signature that cosign has made with our key and our annotations is ours:
// signing again finds it and adds nothing.
func TestWeRecogniseOurKeysSignatureMadeByCosign(t *testing.T) {
	host := inMemory.start(t)
	for _, w := range []way{tag2, bundle3} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			release := newKey(t, "release", sign.ECDSAP256)
			w.sign(t, s.image, release.private, annotate("env", "prod")...)
			o := sign.ImageOptions{Formats: onlyBundle, Annotations: map[string]string{"env": "prod"}}
			if w.name == tag2.name {
				o.Formats = onlyTag
			}
			if signed := s.sign(t, s.image, o, release.pair.Signer); !signed.Signatures[0].Existed {
				t.Errorf("signed again: %+v", signed)
			}
			o.Annotations["env"] = "test"
			if signed := s.sign(t, s.image, o, release.pair.Signer); signed.Signatures[0].Existed {
				t.Errorf("a signature with other annotations was taken for this one: %+v", signed)
			}
			s.verified(t, trusting(t, map[string]string{"env": "test"}, release), s.image, s.image, release)
		})
	}
}

// E12: an unrelated bundle hides .sig signatures from cosign; not from us.
func TestAttack_E12_UnrelatedBundleHidesNoSignatureFromUs(t *testing.T) {
	s := newScene(t, inMemory.start(t))
	release, stranger := newKey(t, "release", sign.ECDSAP256), newKey(t, "stranger", sign.ECDSAP256)
	tag2.sign(t, s.image, release.private)
	newCosign(t, "cosign3").verify(t, s.image, release.public).accepted(t)
	bundle3.sign(t, s.image, stranger.private)
	for _, version := range cosigns {
		newCosign(t, version).verify(t, s.image, release.public).refused(t, "no matching")
	}
	s.verified(t, trusting(t, nil, release), s.image, s.image, release)
	s.denied(t, trusting(t, nil, newKey(t, "third", sign.ECDSAP256)), s.image, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
}
