package interop

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

// What cosign signs in any of its formats we verify, on any registry. We refuse
// it for another key, another image and other annotations.
func TestWeVerifyWhatCosignSigns(t *testing.T) {
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		for _, w := range allWays {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				verifyCosignSignature(t, host, w, sign.ECDSAP256)
			})
		}
	})
}

// The same with every type of key; P-384, P-521 and Ed25519 too, whose
// signatures cosign makes but does not verify.
func TestWeVerifyWhatCosignSignsWithAnyKey(t *testing.T) {
	host := inMemory.start(t)
	for _, w := range allWays {
		for _, a := range allTypes {
			t.Run(w.name+"/"+string(a), func(t *testing.T) {
				t.Parallel()
				verifyCosignSignature(t, host, w, a)
			})
		}
	}
}

func verifyCosignSignature(t *testing.T, host string, w way, a sign.Algorithm) {
	s := newScene(t, host)
	release, stranger := newKey(t, "release", a), newKey(t, "stranger", a)
	w.sign(t, s.image, release.private, annotate("env", "prod")...)
	if w.name != oci2.name { // which only cosign2 finds, when told to
		o := newCosign(t, w.version).verify(t, s.image, release.public)
		if cosignVerifies := a == sign.ECDSAP256 || a == sign.RSA2048; cosignVerifies != (o.code == 0) {
			t.Errorf("cosign verifies what it has signed: %t, want %t\n%s", o.code == 0, cosignVerifies, o.stderr)
		}
	}

	result := s.verified(t, trusting(t, nil, release), s.tag, s.image, release)
	s.denied(t, trusting(t, nil, stranger), s.image, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
	s.denied(t, trusting(t, nil, release), s.other, verify.ReasonNoSignature, "")
	s.denied(t, trusting(t, map[string]string{"env": "test"}, release), s.image, verify.ReasonNoTrustedSignature, verify.ReasonAnnotations)
	prod := trusting(t, map[string]string{"env": "prod"}, release)
	if w.noAnnotations {
		s.denied(t, prod, s.image, verify.ReasonNoTrustedSignature, verify.ReasonAnnotations)
		return
	}
	s.verified(t, prod, s.image, s.image, release)
	if got := result.Keys[0].Annotations["env"]; got != "prod" {
		t.Errorf("annotation env is %q, want prod", got)
	}
}

// After cosign sign --recursive each child verifies by itself.
func TestWeVerifyWhatCosignSignsRecursively(t *testing.T) {
	onEach(t, []registryKind{inMemory, distribution}, func(t *testing.T, host string) {
		for _, w := range allWays {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				index, children := s.pushIndex(t)
				release := newKey(t, "release", sign.ECDSAP256)
				w.sign(t, index, release.private, "--recursive")
				for _, d := range append(children, index) {
					s.verified(t, trusting(t, nil, release), d, d, release)
				}
			})
		}
	})
}

// Where cosign has signed the index alone, a child counts through the index,
// and not by itself. cosign itself finds no signature on the child.
func TestWeVerifyChildrenOfIndexThatCosignSigned(t *testing.T) {
	host := inMemory.start(t)
	for _, w := range allWays {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			index, children := s.pushIndex(t)
			release := newKey(t, "release", sign.ECDSAP256)
			w.sign(t, index, release.private)
			v := trusting(t, nil, release)
			result := s.verified(t, v, index, index, release)
			for _, child := range children {
				s.denied(t, v, child, verify.ReasonNoSignature, "")
				through, err := v.Child(t.Context(), s.store, result, child)
				if err != nil || through.Digest != child || through.Index == nil {
					t.Fatalf("child %s: %+v, %v", child, through, err)
				}
				newCosign(t, w.version).verify(t, child, release.public).refused(t, "no signatures found")
			}
			if _, err := v.Child(t.Context(), s.store, result, s.image); err == nil {
				t.Error("an image that the index does not list was verified as its child")
			}
		})
	}
}

// Signatures of several keys by several versions of cosign count together.
func TestWeCountSignaturesOfSeveralCosignVersions(t *testing.T) {
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		s := newScene(t, host)
		var keys []key
		for _, w := range allWays {
			k := newKey(t, w.name, sign.ECDSAP256)
			w.sign(t, s.image, k.private)
			keys = append(keys, k)
		}
		s.verified(t, trusting(t, nil, keys...), s.tag, s.image, keys...)
		s.denied(t, trusting(t, nil, append(keys, newKey(t, "stranger", sign.ECDSAP256))...), s.image, verify.ReasonThreshold, "")
	})
}

// E2: the signature that cosign made for one image is attached to another.
func TestAttack_E2_CosignSignatureCopiedToAnotherImage(t *testing.T) {
	host := inMemory.start(t)
	for _, w := range allWays {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			release := newKey(t, "release", sign.ECDSAP256)
			w.sign(t, s.image, release.private)
			copied := 0
			for item, err := range registry.Evidence(t.Context(), s.store, s.image, registry.Limits{}) {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := registry.Attach(t.Context(), s.store, s.other, item); err != nil {
					t.Fatal(err)
				}
				copied++
			}
			if copied == 0 {
				t.Fatal("no evidence to copy")
			}
			s.denied(t, trusting(t, nil, release), s.other, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject)
		})
	}
}

// E2: the signature that cosign made in one repository is copied to another, by
// cosign itself. Where the policy binds the repository, it does not count.
func TestAttack_E2_CosignSignatureCopiedToAnotherRepository(t *testing.T) {
	host := inMemory.start(t)
	s := newScene(t, host)
	release := newKey(t, "release", sign.ECDSAP256)
	tag2.sign(t, s.image, release.private)
	s.verified(t, bound(t, release), s.tag, s.image, release)
	elsewhere, err := name.NewRepository(host + "/team/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	newCosign(t, "cosign2").run(t, "copy", s.tag.Name(), elsewhere.Tag("v1").Name()).accepted(t)
	copied := elsewhere.Digest(s.image.DigestStr())
	s.verified(t, trusting(t, nil, release), copied, copied, release)
	s.denied(t, bound(t, release), copied, verify.ReasonNoTrustedSignature, verify.ReasonWrongRepository)
}

// E3: cosign3 takes any attestation for a signature of the image. We do not.
func TestAttack_E3_CosignAttestationIsNoSignature(t *testing.T) {
	host := inMemory.start(t)
	for _, test := range []struct {
		name, version   string
		flags           []string
		cosign3Verifies bool
	}{
		{"cosign2-att-tag", "cosign2", nil, false},
		{"cosign2-bundle", "cosign2", []string{"--new-bundle-format"}, true},
		{"cosign3-bundle", "cosign3", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			release := newKey(t, "release", sign.ECDSAP256)
			c := newCosign(t, test.version)
			predicate := writeFile(t, c.dir+"/predicate.json", []byte(`{"verificationResult":"FAILED"}`))
			args := append([]string{"attest"}, c.offline(test.version)...)
			args = append(args, test.flags...)
			c.run(t, append(args, "--type", "https://slsa.dev/verification_summary/v1", "--predicate", predicate,
				"--key", release.private, s.image.String())...).accepted(t)

			accepted := newCosign(t, "cosign3").verify(t, s.image, release.public).code == 0
			if accepted != test.cosign3Verifies {
				t.Errorf("cosign3 verify: accepted is %t, want %t", accepted, test.cosign3Verifies)
			}
			because := verify.ReasonWrongType
			if test.name == "cosign2-att-tag" {
				because = "" // not read, since nothing there could count
			}
			s.denied(t, trusting(t, nil, release), s.image, verify.ReasonNoSignature, because)
		})
	}
}
