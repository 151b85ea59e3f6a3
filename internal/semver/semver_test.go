package semver_test

import (
	"slices"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/semver"
)

func TestVersionsAreOrderedAsSemanticVersioningSays(t *testing.T) {
	// Source: Semantic Versioning 2.0.0, section 11.
	ordered := []string{
		"0.0.1", "0.9.9", "1.0.0-0", "1.0.0-1", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
		"1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0", "100000000000.0.0",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			order, ok := semver.Compare("v"+a, b+"+build."+a)
			if want := slices.Index([]int{-1, 0, 1}, order) - 1; !ok || want != order || (order < 0) != (i < j) || (order > 0) != (i > j) {
				t.Errorf("%s and %s: %d, %v", a, b, order, ok)
			}
		}
	}
	for _, bad := range []string{"", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3.4", "vv1.2.3", "1.2.3 ", "latest", "-1.2.3"} {
		if _, ok := semver.Compare(bad, "1.0.0"); ok {
			t.Errorf("%q is a version", bad)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1.0.0-alpha.1", "v1.0.0+x", "2.0.0")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, ok := semver.Compare(a, b)
		ba, _ := semver.Compare(b, a)
		if ab != -ba {
			t.Fatalf("%q and %q: %d and %d", a, b, ab, ba)
		}
		bc, ok2 := semver.Compare(b, c)
		if ac, ok3 := semver.Compare(a, c); ok && ok2 && ok3 && ab <= 0 && bc <= 0 && ac > 0 {
			t.Fatalf("%q, %q and %q are in no order", a, b, c)
		}
	})
}
