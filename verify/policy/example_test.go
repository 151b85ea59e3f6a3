package policy_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// A mistake is told with line and column.
func ExampleParse_mistake() {
	_, err := policy.Parse([]byte(`version: 1
rules:
  - images: [registry.example/**]
    deny: true
`), policy.ParseOptions{})
	fmt.Println(err)
	// Output: unusable policy: line 3, column 5: rules[0] denies and needs a reason
}

const exampleFreeze = `version: 1
rules:
  - images: [registry.example/**]
    deny: true
    reason: migration until Monday
`

// Check resolves the names of a policy. The most specific pattern decides.
func ExamplePolicy_Check() {
	p := &policy.Policy{Version: 1, Rules: []policy.Rule{
		{Images: []string{"registry.example/**"}, Deny: true, Reason: "use registry.example/base"},
		{Images: []string{"registry.example/old/*"}, Deny: true, Reason: "retired"},
	}}
	checked, err := p.Check(nil)
	if err != nil {
		log.Fatal(err)
	}
	repo, err := name.NewRepository("registry.example/old/app")
	if err != nil {
		log.Fatal(err)
	}
	index, pattern, found := checked.RuleFor(repo)
	fmt.Println(index, pattern, found)

	p.Rules[1].Reason = ""
	_, err = p.Check(nil)
	fmt.Println(err)
	// Output:
	// 1 registry.example/old/* true
	// unusable policy: rules[1] denies and needs a reason
}

// A file is read again when it changes. A mistake changes nothing: the last good policy
// stays in use.
func ExampleFileSource() {
	dir, err := os.MkdirTemp("", "policy")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is temporary
	path := filepath.Join(dir, "policy.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	write(exampleFreeze)
	source, err := policy.NewFileSource(path, policy.FileSourceOptions{Interval: 1}) // each time it is asked
	if err != nil {
		log.Fatal(err)
	}
	for _, text := range []string{"version: 2\n", exampleFreeze + "serial: 7\n"} {
		write(text)
		checked, err := source.Policy(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("serial", checked.Policy.Serial, "mistake:", source.Err() != nil)
	}
	// Output:
	// serial 0 mistake: true
	// serial 7 mistake: false
}

// An exemption excuses one named requirement of a rule for the digests that it lists.
func ExampleExemption() {
	e := policy.Exemption{
		Images:      []string{"registry.example/team/app"},
		Digests:     []string{"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		Requirement: "scanned",
		Reason:      "the scanner cannot read this image",
		By:          "jane@acme.example",
		Until:       time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
	}
	for _, now := range []time.Time{e.Until.AddDate(0, 0, -100), e.Until.AddDate(0, 0, -10), e.Until} {
		fmt.Printf("%q\n", e.Misfit(now, 0))
	}
	// Output:
	// "is until 2027-01-31T00:00:00Z, more than 90 days ahead, and is not in force"
	// ""
	// "ended on 2027-01-31T00:00:00Z"
}
