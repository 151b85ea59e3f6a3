package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func platform(t *testing.T, text string) *v1.Platform {
	t.Helper()
	p, err := registry.ParsePlatform(text)
	must(t, err)
	return &p
}

// leftOut copies with an option for the events about what is not copied.
func leftOut(o registry.CopyOptions) (registry.CopyOptions, *[]string) {
	var all []string
	o.Progress = func(e registry.CopyEvent) {
		if e.Action == registry.CopyIgnored {
			all = append(all, e.Content.Digest.String()+" "+e.Detail)
		}
	}
	return o, &all
}

func TestCopyOfAPlatform_TakesOneManifestAndItsEvidence(t *testing.T) {
	s := newScene(t)
	inner := s.root
	image := pushImage(t, s.src, nil, "layer for riscv64", nil)
	proof := pushImage(t, s.src, nil, "attestation of BuildKit", nil)
	entry, about, nested := image.Descriptor, proof.Descriptor, inner.Descriptor
	entry.Platform = &v1.Platform{OS: "linux", Architecture: "riscv64"}
	about.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	about.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": s.children[0].Descriptor.Digest.String()}
	outer := testIndex(t, entry, about, nested, nested)
	push(t, s.src, s.src.Tag("outer"), outer)
	for _, text := range []string{"linux/amd64", "Linux/X86_64"} {
		h := host(t, registrytest.Options{}, remote.Options{})
		o, left := leftOut(registry.CopyOptions{Platform: platform(t, text)})
		at, err := registry.Copy(t.Context(), s.src, s.src.Tag("outer"), h.client, h.repo.Tag("copy"), o)
		must(t, err)
		want := s.children[0].Descriptor.Digest
		if got, err := h.client.Resolve(t.Context(), h.repo.Tag("copy")); err != nil || got.Digest != want || at.DigestStr() != want.String() {
			t.Errorf("%s: the tag is %s, returned is %s, want %s: %v", text, got.Digest, at, want, err)
		}
		for _, d := range s.referrers[want] {
			if _, _, there := h.Manifest("team/app", d.String()); !there {
				t.Errorf("%s: the referrer %s is missing", text, d)
			}
		}
		for _, m := range []registry.Manifest{outer, inner, s.children[1], image, proof} {
			if _, _, there := h.Manifest("team/app", m.Descriptor.Digest.String()); there {
				t.Errorf("%s: %s is copied", text, m.Descriptor.Digest)
			}
			if !slices.ContainsFunc(*left, func(e string) bool { return strings.HasPrefix(e, m.Descriptor.Digest.String()) }) {
				t.Errorf("%s: %s is left out in silence: %q", text, m.Descriptor.Digest, *left)
			}
		}
		if _, err := registry.Copy(t.Context(), s.src, s.src.Tag("outer"), h.client, h.repo.Digest(outer.Descriptor.Digest.String()), o); err == nil {
			t.Errorf("%s: one manifest is copied under the digest of the index", text)
		}
	}
}

func TestCopyOfAPlatform_RefusesWhatIsNotOneManifest(t *testing.T) {
	s := newScene(t)
	again := s.children[1].Descriptor
	again.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
	first := s.children[0].Descriptor
	first.Platform = again.Platform
	push(t, s.src, s.src.Tag("two"), testIndex(t, first, again))
	for label, c := range map[string]struct{ from, platform, words string }{
		"none":    {"v1", "linux/s390x", "no manifest for platform linux/s390x"},
		"two":     {"two", "linux/amd64", "name the digest"},
		"variant": {"v1", "linux/arm64/v9", "no manifest for platform"},
	} {
		dst, _ := newLayout(t)
		_, err := registry.Copy(t.Context(), s.src, s.src.Tag(c.from), dst, dst.Tag("v1"), registry.CopyOptions{Platform: platform(t, c.platform)})
		wantError(t, label, err, registry.ErrReference)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", label, err)
		}
	}
	dst, _ := newLayout(t)
	_, err := registry.Copy(t.Context(), s.src, s.src.Digest(first.Digest), dst, dst.Tag("v1"), registry.CopyOptions{Platform: platform(t, "linux/amd64")})
	wantError(t, "one image", err, registry.ErrReference)
}

// containerd takes arm64/v9 for arm64 as well, and a plain arm64 before it.
func TestCopyOfAPlatform_PrefersTheVariantThatIsAsked(t *testing.T) {
	s := newScene(t)
	plain, newer := s.children[0].Descriptor, s.children[1].Descriptor
	plain.Platform, newer.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}, &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v9"}
	push(t, s.src, s.src.Tag("arm"), testIndex(t, newer, plain))
	dst, _ := newLayout(t)
	o, left := leftOut(registry.CopyOptions{Platform: platform(t, "linux/arm64")})
	at, err := registry.Copy(t.Context(), s.src, s.src.Tag("arm"), dst, dst.Tag("v1"), o)
	must(t, err)
	if at.DigestStr() != plain.Digest.String() || !strings.Contains(fmt.Sprint(*left), newer.Digest.String()) {
		t.Errorf("%s is copied, and left out are %q", at, *left)
	}
}

// An attacker may nest indexes, or list manifests, without end.
func TestAttack_R6_CopyOfAPlatformIsBounded(t *testing.T) {
	l, _ := newLayout(t)
	var nested, wide []v1.Descriptor
	for i := range 25 {
		m := testIndex(t, v1.Descriptor{MediaType: ociManifest, Size: int64(i), Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}, Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}})
		push(t, l, l.Digest(m.Descriptor.Digest), m)
		nested = append(nested, m.Descriptor)
		wide = append(wide, v1.Descriptor{MediaType: ociManifest, Size: 1, Digest: m.Descriptor.Digest, Platform: &v1.Platform{OS: "plan9", Architecture: "amd64"}})
	}
	push(t, l, l.Tag("deep"), testIndex(t, nested...))
	push(t, l, l.Tag("wide"), testIndex(t, wide...))
	for tag, o := range map[string]registry.CopyOptions{"deep": {}, "wide": {MaxManifests: 10}} {
		dst, _ := newLayout(t)
		o.Platform = platform(t, "linux/amd64")
		_, err := registry.Copy(t.Context(), l, l.Tag(tag), dst, dst.Tag("v1"), o)
		wantError(t, tag, err, registry.ErrTooMany)
	}
}

func TestCopy_EvidenceMayBeApartOnEitherSide(t *testing.T) {
	for _, noReferrers := range []bool{false, true} {
		from, to := host(t, registrytest.Options{NoReferrers: noReferrers}, remote.Options{}), host(t, registrytest.Options{NoReferrers: noReferrers}, remote.Options{})
		client := from.client
		apart, other := mustRepo(from.host+"/evidence/all"), mustRepo(to.host+"/signatures")
		for _, item := range []registry.Item{simpleItem("s"), envelopeItem("e"), bundleItem("b")} {
			item.Repository = apart
			attach(t, client, from.image, item)
		}
		attach(t, client, from.image, simpleItem("beside"))
		for label, c := range map[string]struct {
			source, destination name.Repository
			tag                 string
			want                int
		}{
			"beside, apart": {name.Repository{}, other, "a", 1}, "apart, beside": {apart, name.Repository{}, "b", 3},
			"apart, apart": {apart, mustRepo(to.host + "/more/signatures"), "c", 3}, "beside, beside": {name.Repository{}, name.Repository{}, "d", 1},
		} {
			image := mustRepo(to.host + "/team/" + c.tag)
			at, err := registry.Copy(t.Context(), client, from.tag, client, image.Tag("v1"), registry.CopyOptions{SourceEvidence: c.source, DestinationEvidence: c.destination})
			must(t, err)
			words, errs := gather(t.Context(), client, registry.EvidenceIn(c.destination, at), registry.Limits{})
			if len(words) != c.want || len(errs) != 0 {
				t.Errorf("%s: %v, %v, want %d", label, words, errs, c.want)
			}
			if words, errs := gather(t.Context(), client, at, registry.Limits{}); c.destination != (name.Repository{}) && (len(words) != 0 || len(errs) != 0) {
				t.Errorf("%s: beside the image too: %v, %v", label, words, errs)
			}
		}
	}
}
