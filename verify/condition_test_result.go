package verify

import (
	"slices"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// judgeTests wants the tests to have passed, unless the policy accepts other results.
func (a attestation) judgeTests(d document) *problem {
	want := a.Result
	if len(want) == 0 {
		want = []string{predicate.TestsPassed}
	}
	result, err := d.at("result").text()
	if err == nil && !slices.Contains([]string{predicate.TestsPassed, predicate.TestsWarned, predicate.TestsFailed}, result) {
		err = d.at("result").wrong("PASSED, WARNED or FAILED")
	}
	switch {
	case err != nil:
		return problemf(ReasonPredicate, "its result cannot be read: %v", err)
	case !slices.Contains(want, result):
		return unwanted(ReasonTests, "result", result, want)
	}
	return nil
}
