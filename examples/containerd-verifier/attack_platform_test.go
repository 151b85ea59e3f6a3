package main

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// containerd normalises the platforms of an index's entries before it compares them
// (containerd/platforms, Normalize): x86_64 is amd64, Linux is linux. Of several that
// match it runs the first.
func TestAttack_P23_PlatformsAreComparedAsContainerdDoes(t *testing.T) {
	for _, p := range []v1.Platform{
		{OS: "linux", Architecture: "x86_64"}, {OS: "linux", Architecture: "x86-64"}, {OS: "linux", Architecture: "AMD64"}, {OS: "Linux", Architecture: "amd64"},
		{OS: "linux", Architecture: "amd64", Variant: "V1"}, {OS: "LINUX", Architecture: "X86_64", Variant: "v1"}, {Architecture: "amd64"},
	} {
		s := newPlatforms(t)
		bad, good := s.entry(t, "linux/amd64"), s.entry(t, "linux/amd64")
		bad.Platform = &p
		index := s.index(t, bad, good)
		s.deny(t, bad)
		if code, said := s.run(t, index, "linux/amd64"); code != exitDenied {
			t.Errorf("%+v: exit %d: %s", p, code, said)
		}
	}
	for _, c := range []struct {
		platform string
		bad      v1.Platform
	}{
		{"linux/arm64", v1.Platform{OS: "linux", Architecture: "aarch64"}}, {"linux/arm64", v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8.0"}}, {"linux/arm64", v1.Platform{OS: "linux", Architecture: "aarch64", Variant: "8"}},
		{"linux/arm/v7", v1.Platform{OS: "linux", Architecture: "armhf"}}, {"linux/arm/v6", v1.Platform{OS: "linux", Architecture: "armel"}}, {"linux/386", v1.Platform{OS: "linux", Architecture: "i386"}},
		{"linux/arm/v6", v1.Platform{OS: "linux", Architecture: "arm", Variant: "6"}},
	} {
		s := newPlatforms(t)
		bad, good := s.entry(t, c.platform), s.entry(t, c.platform)
		bad.Platform = &c.bad
		index := s.index(t, bad, good)
		s.deny(t, bad)
		if code, said := s.run(t, index, c.platform); code != exitDenied {
			t.Errorf("%s, %+v: exit %d: %s", c.platform, c.bad, code, said)
		}
	}
}

// A manifest that is listed once for the platform and once, in an index of the index, for a
// variant of it may run as well.
func TestAttack_P23_AManifestListedTwiceStaysWhatFits(t *testing.T) {
	s := newPlatforms(t)
	bad, good := s.entry(t, "linux/amd64"), s.entry(t, "linux/amd64")
	other := bad
	other.Platform = &v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}
	nested := s.index(t, other, s.entry(t, "linux/arm64"))
	index := s.index(t, bad, nested, good)
	s.deny(t, bad)
	if code, said := s.run(t, index, "linux/amd64"); code != exitDenied {
		t.Errorf("exit %d: %s", code, said)
	}
}

// Which variant this machine has is not known from its architecture: what containerd
// would run there is denied in any case.
func TestAttack_P23_AVariantOfThisMachineIsNotGuessed(t *testing.T) {
	s := newPlatforms(t)
	bad, good := s.entry(t, "linux/arm/v6"), s.entry(t, "linux/arm/v7")
	index := s.index(t, bad, good)
	s.deny(t, bad)
	if code, said := s.run(t, index, "linux/arm"); code != exitDenied {
		t.Errorf("exit %d: %s", code, said)
	}
}
