package interop

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

// What we push and sign, we verify, in every format and on any registry, by tag
// and by digest; and once a tag is set, it never names something unsigned.
func TestWeVerifyWhatWePushAndSign(t *testing.T) {
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		for _, set := range formatSets {
			t.Run(set.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, host)
				release := newKey(t, "release", sign.ECDSAP256)
				tag := s.repo.Tag("pushed")
				o := sign.ImageOptions{Formats: set.formats, Annotations: map[string]string{"env": "prod"}}
				signed, err := sign.PushAndSign(t.Context(), s.store, tag, newImage(t, "arm64", "pushed"), o, release.pair.Signer)
				if err != nil {
					t.Fatal(err)
				}
				s.verified(t, trusting(t, o.Annotations, release), tag, signed.Digest, release)
				s.denied(t, trusting(t, nil, release), s.image, verify.ReasonNoSignature, "")

				again, err := sign.Image(t.Context(), s.store, signed.Digest, o, release.pair.Signer)
				if err != nil {
					t.Fatal(err)
				}
				if i := slices.IndexFunc(again.Signatures, func(s sign.Signature) bool { return !s.Existed }); i >= 0 {
					t.Errorf("signed once more: %+v", again.Signatures[i])
				}
			})
		}
	})
}

// R11: several signers, each with a client of its own, attach at once, in each
// format. Every signature is found afterwards, by us and by cosign.
func TestAttack_R11_ConcurrentSignersLoseNothing(t *testing.T) {
	for _, kind := range allRegistries() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			host := kind.start(t)
			for _, set := range formatSets {
				t.Run(set.name, func(t *testing.T) {
					t.Parallel()
					s := newScene(t, host)
					var keys []key
					for i := range 4 {
						keys = append(keys, newKey(t, fmt.Sprintf("signer-%d", i), sign.ECDSAP256))
					}
					signAtOnce(t, kind, s.image, sign.ImageOptions{Formats: set.formats}, keys)
					s.verified(t, trusting(t, nil, keys...), s.image, s.image, keys...)
					if got, want := s.count(t, s.image), len(keys)*len(set.formats); got != want {
						t.Errorf("%d pieces of evidence, want %d", got, want)
					}
					t.Run("cosign3", func(t *testing.T) {
						for _, k := range keys[:2] {
							newCosign(t, "cosign3").verify(t, s.image, k.public).accepted(t)
						}
					})
				})
			}
		})
	}
}

// signAtOnce fails the test if any signer fails, but for a racy registry: there
// a signer may be told that it failed, and signs again.
func signAtOnce(t *testing.T, kind registryKind, image name.Digest, o sign.ImageOptions, keys []key) {
	t.Helper()
	attempts := 1
	if kind.racy {
		attempts = 10
	}
	errs := make([]error, len(keys))
	var together sync.WaitGroup
	for i, k := range keys {
		store := newStore(t)
		together.Add(1)
		go func() {
			defer together.Done()
			for range attempts {
				if _, errs[i] = sign.Image(t.Context(), store, image, o, k.pair.Signer); errs[i] == nil {
					return
				}
			}
		}()
	}
	together.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("signer %d: %v", i, err)
		}
	}
}

func (s *scene) count(t testing.TB, subject name.Digest) int {
	t.Helper()
	n := 0
	for _, err := range registry.Evidence(t.Context(), s.store, subject, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// An image that cosign has signed in every format is copied by us, from any
// registry to any other and through a layout on disk: its signatures verify
// there with cosign and with us.
func TestCopyKeepsWhatCosignHasSigned(t *testing.T) {
	target := inMemoryNoReferrers.start(t)
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		s := newScene(t, host)
		var keys []key
		for _, w := range allWays {
			k := newKey(t, w.name, sign.ECDSAP256)
			w.sign(t, s.image, k.private)
			keys = append(keys, k)
		}
		dir, err := layout.Open(t.TempDir(), layout.Options{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		onDisk := dir.Repository().Tag("v1")
		if _, err := registry.Copy(t.Context(), s.store, s.tag, dir, onDisk, registry.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		v := trusting(t, nil, keys...)
		if _, err := v.Image(t.Context(), dir, onDisk); err != nil {
			t.Fatalf("on disk: %v\n%s", err, evidenceOf(err))
		}
		there := newScene(t, target)
		arrived := there.repo.Tag("arrived")
		digest, err := registry.Copy(t.Context(), dir, onDisk, there.store, arrived, registry.CopyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		there.verified(t, v, arrived, digest, keys...)
		for i, w := range allWays {
			c := newCosign(t, w.version)
			switch w.name {
			case tag2.name: // bundles hide it from cosign
				libraryFinds(t, digest, keys[i])
			case oci2.name:
			default:
				c.verify(t, digest, keys[i].public).accepted(t)
			}
		}
	})
}

// libraryFinds wants one signature under the .sig tag.
func libraryFinds(t testing.TB, image name.Digest, k key) {
	t.Helper()
	if n, err := libraryVerifiesTag(t.Context(), image, checkOpts(t, k)); err != nil || n != 1 {
		t.Errorf("%d signatures under the .sig tag, %v, want 1", n, err)
	}
}

// What we have signed cosign copies, and it verifies there.
func TestCosignCopiesWhatWeSign(t *testing.T) {
	for _, version := range cosigns {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s, there := newScene(t, inMemory.start(t)), newScene(t, distribution.start(t))
			release := newKey(t, "release", sign.ECDSAP256)
			s.sign(t, s.image, sign.ImageOptions{Formats: both}, release.pair.Signer)
			arrived := there.repo.Tag("arrived")
			newCosign(t, version).run(t, "copy", s.tag.Name(), arrived.Name()).accepted(t)
			there.verified(t, trusting(t, nil, release), arrived, there.repo.Digest(s.image.DigestStr()), release)
		})
	}
}

// An index that we push and sign go-containerregistry pulls whole, as crane
// does: it checks manifests, configs and layers by their digests.
func TestGoContainerRegistryPullsWhatWePush(t *testing.T) {
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		s := newScene(t, host)
		index, children := newIndex(t)
		tag := s.repo.Tag("pushed")
		signed, err := sign.PushAndSign(t.Context(), s.store, tag, index, sign.ImageOptions{Recursive: true},
			newKey(t, "release", sign.ECDSAP256).pair.Signer)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(signed.Signatures), 1+len(children); got != want {
			t.Errorf("%d signatures, want %d", got, want)
		}
		found, err := remote.Index(tag, remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if got := digestIn(t, s.repo, found); got != signed.Digest {
			t.Errorf("%s, want %s", got, signed.Digest)
		}
		for _, child := range children {
			pulled, err := found.Image(digestOf(t, child))
			if err != nil {
				t.Fatal(err)
			}
			if err := tarball.Write(tag, pulled, io.Discard); err != nil {
				t.Error(err)
			}
		}
	})
}
