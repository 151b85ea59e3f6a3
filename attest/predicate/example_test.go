package predicate_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// Parse checks a predicate before it is signed.
func ExampleParse() {
	_, err := predicate.Parse("testresult", []byte(`{"result":"passed","configuration":[]}`))
	fmt.Println(errors.Is(err, predicate.ErrInvalid))
	fmt.Println(err)
	// Output:
	// true
	// testresult: predicate is not what its type says: result is "passed", want PASSED, WARNED, FAILED
}

// Summarize shows a predicate of another program to people, as far as it can be read.
func ExampleSummarize() {
	provenance := []byte(`{
		"builder": {"id": ""},
		"buildType": "tekton.dev/v1beta1/TaskRun",
		"metadata": {"buildFinishedOn": "2026-01-31T12:00:00Z"},
		"materials": [{"uri": "git+https://git.example/team/app@refs/heads/main"}]
	}`)
	lines, err := predicate.Summarize(predicate.TypeProvenance02, provenance, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range lines {
		fmt.Println(line.Name + ": " + line.Value)
	}
	// Output:
	// build type: tekton.dev/v1beta1/TaskRun
	// source: git+https://git.example/team/app@refs/heads/main
	// finished: 2026-01-31T12:00:00Z
	// dependencies: 1
}
