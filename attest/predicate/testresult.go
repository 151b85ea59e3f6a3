package predicate

// TestResult is the outcome of one run of a test suite.
//
// Source: in-toto Attestation Framework, spec/predicates/test-result.md v0.1
// ("https://in-toto.io/attestation/test-result/v0.1").
type TestResult struct {
	// Result is "PASSED", "WARNED" or "FAILED". Required.
	Result string `json:"result"`
	// Configuration are the resources that configured the tests. Required, may be
	// empty.
	Configuration []ResourceDescriptor `json:"configuration"`
	// URL leads to the run. Empty: not known.
	URL string `json:"url,omitempty"`
	// PassedTests, WarnedTests and FailedTests are names. Empty: not listed.
	PassedTests []string `json:"passedTests,omitempty"`
	WarnedTests []string `json:"warnedTests,omitempty"`
	FailedTests []string `json:"failedTests,omitempty"`
}

// Results of a test run.
const (
	TestsPassed = "PASSED"
	TestsWarned = "WARNED"
	TestsFailed = "FAILED"
)

// PredicateType is TypeTestResult.
func (TestResult) PredicateType() string { return TypeTestResult }

// Validate checks the required fields, the result's spelling, and the descriptors. A run
// may be PASSED and list failed tests.
func (r TestResult) Validate() error { return validated(r) }

func (r TestResult) check(c *checks) {
	c.oneOf("result", r.Result, TestsPassed, TestsWarned, TestsFailed)
	c.need("configuration", r.Configuration != nil)
	c.descriptors("configuration", r.Configuration)
	c.maybeURI("url", r.URL)
}

func (r TestResult) summary() summaryLines {
	var l summaryLines
	l.add("result", r.Result)
	l.add("tests", counted(map[string]int{
		"failed": len(r.FailedTests), "warned": len(r.WarnedTests), "passed": len(r.PassedTests),
	}, []string{"failed", "warned", "passed"}))
	l.add("run", r.URL)
	return l
}
