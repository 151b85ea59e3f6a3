package predicate_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

func TestSplitLevel(t *testing.T) {
	type split struct {
		track string
		level int
		ok    bool
	}
	for text, want := range map[string]split{
		"SLSA_BUILD_LEVEL_3": {"SLSA_BUILD", 3, true}, "SLSA_A_LEVEL_LEVEL_0": {"SLSA_A_LEVEL", 0, true},
		"": {}, "FAILED": {}, "SLSA_BUILD_LEVEL_": {}, "SLSA_BUILD_LEVEL_10": {}, "SLSA_BUILD_LEVEL_UNEVALUATED": {}, "SLSA__LEVEL_": {}, "SLSA_LEVEL_1": {},
		"slsa_build_LEVEL_3": {}, "OWN_BUILD_LEVEL_3": {}, "SLSA_BUILD_LEVEL_3 ": {},
	} {
		track, level, ok := predicate.SplitLevel(text)
		if got := (split{track, level, ok}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestSameType(t *testing.T) {
	for text, want := range map[string]bool{
		predicate.TypeSPDX: true, predicate.TypeSPDX + "/v2.3": true, predicate.TypeSPDX + "2": false, predicate.TypeSPDX + "/2.3": false, "": false,
	} {
		if got := predicate.SameType(text, predicate.TypeSPDX); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if predicate.SameType(predicate.TypeVSA+"/v2", predicate.TypeVSA) {
		t.Error("summaries have no versions")
	}
}
