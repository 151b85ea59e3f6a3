package predicate_test

import (
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// The names are those of cosign. A URI finds the same type.
func ExampleLookup_nameOrURI() {
	for _, text := range []string{"slsaprovenance1", "https://slsa.dev/provenance/v1", "nonsense"} {
		t, known := predicate.Lookup(text)
		fmt.Println(known, t.Name, t.URI)
	}
	// Output:
	// true slsaprovenance1 https://slsa.dev/provenance/v1
	// true slsaprovenance1 https://slsa.dev/provenance/v1
	// false
}

// Validate refuses a predicate that its type's specification does not allow.
func ExampleTestResult_Validate() {
	err := predicate.TestResult{Result: "GOOD", Configuration: []predicate.ResourceDescriptor{}}.Validate()
	fmt.Println(errors.Is(err, predicate.ErrInvalid))
	// Output: true
}

// An unknown severity counts as the worst.
func ExampleParseSeverity_unknown() {
	for _, text := range []string{"HIGH", "low", "terrible"} {
		severity, known := predicate.ParseSeverity(text)
		fmt.Println(severity, known)
	}
	// Output:
	// high true
	// low true
	// critical false
}
