package sigstore_test

import (
	"fmt"
	"strings"

	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// A program links the instances that its policies may name.
func ExampleNew() {
	authority, err := sigstore.New(map[string]sigstore.Instance{
		"public-good": {RootFile: "../../internal/dev/conformance/testdata/roots/public-good.json"},
		"github": {
			RootFile:    "../../internal/dev/conformance/testdata/roots/github.json",
			WithoutLogs: true, WithoutCT: true, // it has none
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	linked := map[string]policy.Authority{"sigstore": authority}
	_, err = policy.Parse([]byte(`version: 1
identities:
  release:
    authority: sigstore
    settings:
      instance: public-good
      issuer: https://token.actions.githubusercontent.com
      uri: https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*
roles:
  release: {identities: [release]}
rules:
  - images: [registry.example/acme/**]
    require:
      - signature: {by: release}
`), policy.ParseOptions{Authorities: linked})
	fmt.Println(err)
	// Output: <nil>
}

// A trust root that lacks what is demanded is refused when it is loaded, not when an image
// is judged.
func ExampleNew_withoutLogs() {
	_, err := sigstore.New(map[string]sigstore.Instance{
		"github": {RootFile: "../../internal/dev/conformance/testdata/roots/github.json"},
	})
	fmt.Println(err)
	// Output: unusable sigstore configuration: instance "github": the trust root has 0 transparency logs, want 1; WithoutLogs demands none
}

// An identity that would match anyone's workflow is refused.
func ExampleAuthority_Matcher() {
	authority, err := sigstore.New(map[string]sigstore.Instance{
		"public-good": {RootFile: "../../internal/dev/conformance/testdata/roots/public-good.json"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = authority.Matcher(map[string]any{
		"issuer": "https://token.actions.githubusercontent.com",
		"uri":    "https://github.com/**",
	})
	fmt.Println(strings.TrimPrefix(err.Error(), sigstore.ErrInvalid.Error()+": "))
	// Output: uri "https://github.com/**" has a wildcard in scheme, host or first segment, so it would match what belongs to anyone
}
