package verify

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

func (q *DocumentConditions) setForBills() []string {
	return setNames(map[string]bool{"denyPackages": q.DenyPackages != nil, "denyLicenses": q.DenyLicenses != nil})
}

func (q *DocumentConditions) setForTests() []string {
	return setNames(map[string]bool{"result": q.Result != nil})
}

// licenseForm is an SPDX identifier of a licence (SPDX specification, annex D).
var licenseForm = regexp.MustCompile(`^(?:DocumentRef-[A-Za-z0-9.-]+:)?[A-Za-z0-9.-]+$`)

// checkBills refuses what could never deny anything. A % at the end of a package URL
// begins no escape: it is found where a bill has it too.
func (q *DocumentConditions) checkBills() error {
	for _, p := range q.DenyPackages {
		switch name := strings.TrimSpace(p); {
		case name == "":
			return fmt.Errorf("has in denyPackages %.200q, which is not a name", p)
		case isPURL(name) && (name != p || !purlReadable(strings.TrimSuffix(p, "%"))):
			return fmt.Errorf("has in denyPackages %.200q, which is not a package URL such as pkg:npm/left-pad", p)
		case isPURL(name) && plainPURL(p) != canonicalPURL(p):
			return fmt.Errorf("has in denyPackages %.200q: package URLs stand without version, qualifiers and subpath", p)
		}
	}
	for _, l := range q.DenyLicenses {
		if !licenseForm.MatchString(l) {
			return fmt.Errorf("has in denyLicenses %.100q, which is no SPDX identifier; those that end in + are written without", l)
		}
	}
	return nil
}

// testPassed is what tests must have ended with where nothing else is asked for.
const testPassed = "PASSED"

func (q *DocumentConditions) checkTests() error {
	for _, r := range q.Result {
		if r != testPassed && r != "WARNED" && r != "FAILED" {
			return fmt.Errorf("has in result %.40q, want PASSED, WARNED or FAILED", r)
		}
	}
	return nil
}

func (q *DocumentConditions) judgeTests(v *predicate.TestResult) *problem {
	want := q.Result
	if len(want) == 0 {
		want = []string{testPassed}
	}
	if !slices.Contains(want, v.Result) {
		return problemf(ReasonTests, "the tests ended with %s", v.Result)
	}
	return nil
}
