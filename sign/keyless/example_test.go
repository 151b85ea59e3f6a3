package keyless_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/sign/keyless"
)

// A CI job of GitHub Actions that may not ask for an identity token is told so.
func ExampleAmbient() {
	variables := map[string]string{"GITHUB_ACTIONS": "true"}
	getenv := func(name string) string { return variables[name] } // os.Getenv in a program
	_, err := keyless.Ambient(getenv, keyless.AmbientOptions{})
	fmt.Println(err)
	// Output:
	// no usable identity token: the job lacks the permission "id-token: write"
}

// A signing configuration that cannot sign is refused before anything is sent.
func ExampleNew() {
	config := `{
	  "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
	  "caUrls": [{"url": "http://fulcio.example", "majorApiVersion": 1, "validFor": {"start": "2026-01-01T00:00:00Z"}}]
	}`
	_, err := keyless.New(keyless.Options{
		SigningConfig: []byte(config),
		TrustedRoot:   []byte(`{}`),
		Identity:      keyless.Token("..."),
	})
	fmt.Println(errors.Is(err, keyless.ErrConfig), err)
	// Output:
	// true unusable signing configuration: caUrls: http://fulcio.example: https is required
}

// A person logs in by a browser. Show opens it, or prints where to go.
func ExampleBrowserLogin() {
	identity := keyless.BrowserLogin(keyless.LoginOptions{
		Issuer: "http://idp.example",
		Show: func(_ context.Context, p keyless.Prompt) error {
			fmt.Println("open", p.URL)
			return nil
		},
	})
	_, err := identity(context.Background())
	fmt.Println(err)
	// Output:
	// identity provider http://idp.example/.well-known/openid-configuration: https is required
}
