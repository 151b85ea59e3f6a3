package policytest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policytest"
)

// The cases of a directory are run as tests of Go: a t.Run for each of report.Cases.
func ExampleTest() {
	report, err := policytest.Test(context.Background(), "../../examples/policy/tests/registry.test.yaml", policytest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range report.Cases[:2] {
		fmt.Println(c.Status, c.Name, "-", c.Found)
	}
	fmt.Println(len(report.Uncovered), "rules and requirements are not tested")
	// Output:
	// passed a base image that two of the platform team have signed - allow
	// passed a base image that one of them has signed - deny (threshold-not-met)
	// 0 rules and requirements are not tested
}

// A freeze denies what the policy before has allowed.
func ExampleCompare() {
	ctx := context.Background()
	store := registrytest.New(registrytest.Options{}).Store()
	pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		log.Fatal(err)
	}
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		log.Fatal(err)
	}
	digest, err := registrytest.PushImage(ctx, store, repo.Tag("v1"), registrytest.ImageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := sign.Image(ctx, store, digest, sign.ImageOptions{}, pair.Signer); err != nil {
		log.Fatal(err)
	}
	key, err := policy.ParsePublicKey(pair.PublicPEM)
	if err != nil {
		log.Fatal(err)
	}
	old, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	freeze, err := verify.New(&policy.Policy{Version: 1, Rules: []policy.Rule{{Images: []string{"**"}, Deny: true, Reason: "frozen"}}}, verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	change, err := policytest.Compare(ctx, old, freeze, store, repo.Tag("v1"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(change.Effect, "from", change.Old.Status, "to", change.New.Status, "-", change.New.Reason)
	// Output: tightened from verified to denied - denied-by-rule
}

// What was pulled from a registry today is a case that holds tomorrow, without it.
func ExampleRecord() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "cases-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // an example's
	freeze := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(freeze, []byte("version: 1\nrules: [{images: [\"**\"], deny: true, reason: frozen}]\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	store := registrytest.New(registrytest.Options{}).Store()
	tag, err := name.NewTag("registry.example/team/app:v1")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := registrytest.PushImage(ctx, store, tag, registrytest.ImageOptions{}); err != nil {
		log.Fatal(err)
	}
	path, err := policytest.Record(ctx, store, tag, policytest.RecordOptions{Dir: dir, Name: "frozen", Policy: freeze})
	if err != nil {
		log.Fatal(err)
	}
	report, err := policytest.Test(ctx, path, policytest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Cases[0].Status, report.Cases[0].Found)
	// Output: passed deny (denied-by-rule)
}
