package verify

import (
	"slices"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

func (a attestation) judgeTests(v *predicate.TestResult) *problem {
	want := a.Result
	if len(want) == 0 {
		want = []string{predicate.TestsPassed}
	}
	if !slices.Contains(want, v.Result) {
		return problemf(ReasonTests, "the tests ended with %s", v.Result)
	}
	return nil
}
