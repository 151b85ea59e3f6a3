package policy_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

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

// A team's rule stands beside the policy's own, which holds as well.
func ExampleTeam() {
	deny := func(images string) []policy.Rule {
		return []policy.Rule{{Images: []string{images}, Deny: true, Reason: "an example"}}
	}
	p := &policy.Policy{Version: 1, Rules: deny("registry.example/base/*"), Teams: map[string]policy.Team{
		"payments": {Images: []string{"registry.example/payments/**"}, Policy: &policy.Policy{Version: 1, Rules: deny("registry.example/payments/old/*")}},
	}}
	checked, err := p.Check(nil)
	if err != nil {
		log.Fatal(err)
	}
	repo, err := name.NewRepository("registry.example/payments/old/app")
	if err != nil {
		log.Fatal(err)
	}
	index, pattern, _ := checked.RuleFor(repo)
	fmt.Println(checked.Origin(index).Rule, pattern)

	p.Teams["payments"].Policy.Rules = deny("registry.example/web/*")
	_, err = p.Check(nil)
	fmt.Println(err)
	// Output:
	// teams.payments.rules[0] registry.example/payments/old/*
	// unusable policy: teams.payments.rules[0].images[0] is "registry.example/web/*", and the policy gives the team ["registry.example/payments/**"]
}
