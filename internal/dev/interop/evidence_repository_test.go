package interop

import (
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func apart(t testing.TB, host string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(host + "/evidence/all")
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func verifierApart(t testing.TB, at name.Repository, k key) *verify.Verifier {
	t.Helper()
	public, err := policy.LoadPublicKey(k.public)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{public}, Threshold: 1}.Policy(), verify.Options{EvidenceRepository: at})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// COSIGN_REPOSITORY and our evidence repository are one, both ways.
func TestEvidenceRepositoryIsCosigns(t *testing.T) {
	onEach(t, []registryKind{inMemory, inMemoryNoReferrers, distribution}, func(t *testing.T, host string) {
		at := apart(t, host)
		k := newKey(t, "release", sign.ECDSAP256)
		for _, w := range []way{tag2, bundle3} {
			t.Run(w.name, func(t *testing.T) {
				s := newScene(t, host)
				w.env = []string{"COSIGN_REPOSITORY=" + at.Name()}
				w.sign(t, s.image, k.private)
				s.verified(t, verifierApart(t, at, k), s.image, s.image, k)
				if _, err := verifierApart(t, s.repo, k).Image(t.Context(), s.store, s.image); err == nil {
					t.Error("it is beside the image, too")
				}
			})
		}
		for _, set := range formatSets[:2] {
			t.Run("ours-"+set.name, func(t *testing.T) {
				s := newScene(t, host)
				s.sign(t, s.image, sign.ImageOptions{Formats: set.formats, EvidenceRepository: at}, k.pair.Signer)
				for _, version := range cosigns {
					newCosign(t, version, "COSIGN_REPOSITORY="+at.Name()).verify(t, s.image, k.public).accepted(t)
					newCosign(t, version).verify(t, s.image, k.public).refused(t, "no signatures found")
				}
			})
		}
	})
}

// What "cosign save" v3 writes verifies, and what we write cosign and regctl load.
func TestLayoutsGoBothWays(t *testing.T) {
	onEach(t, []registryKind{inMemory, inMemoryNoReferrers}, func(t *testing.T, host string) {
		s := newScene(t, host)
		k := newKey(t, "release", sign.ECDSAP256)
		s.sign(t, s.image, sign.ImageOptions{}, k.pair.Signer)
		v := verifierApart(t, name.Repository{}, k)

		c := newCosign(t, "cosign3")
		saved := filepath.Join(t.TempDir(), "saved")
		c.run(t, "save", "--dir", saved, s.image.String()).accepted(t)
		l, err := layout.Open(saved, layout.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Image(t.Context(), l, l.Repository().Digest(s.image.DigestStr())); err != nil {
			t.Errorf("of cosign save: %v", err)
		}

		dir := filepath.Join(t.TempDir(), "ours")
		ours, err := layout.Open(dir, layout.Options{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Copy(t.Context(), s.store, s.image, ours, ours.Tag("v1"), registry.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		loaded := s.repo.Registry.Repo("loaded", "app")
		c.run(t, "load", "--dir", dir, loaded.Tag("v1").String()).accepted(t)
		if _, err := v.Image(t.Context(), s.store, loaded.Tag("v1")); err != nil {
			t.Errorf("by cosign load: %v", err)
		}
		copied := s.repo.Registry.Repo("regctl", "app")
		regctl := newProgram(t, "regctl")
		regctl.run(t, "registry", "set", host, "--tls", "disabled").accepted(t)
		regctl.run(t, "image", "copy", "--referrers", "ocidir://"+dir+":v1", copied.Tag("v1").String()).accepted(t)
		if _, err := v.Image(t.Context(), s.store, copied.Tag("v1")); err != nil {
			t.Errorf("by regctl: %v", err)
		}
		back := filepath.Join(t.TempDir(), "back")
		regctl.run(t, "image", "copy", "--referrers", copied.Tag("v1").String(), "ocidir://"+back+":v1").accepted(t)
		theirs, err := layout.Open(back, layout.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Image(t.Context(), theirs, theirs.Tag("v1")); err != nil {
			t.Errorf("what regctl wrote: %v", err)
		}
	})
}
