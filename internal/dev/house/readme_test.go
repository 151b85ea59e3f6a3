package house_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// The functions below hold the README's snippets, each between a line that
// names it and a line that ends it.

func readmeClient() (*registry.Client, error) {
	var result *registry.Client
	err := func() error {
		// README: client
		client, err := registry.NewClient(registry.Options{})
		if err != nil {
			return err
		}
		// end
		result = client
		return nil
	}()
	return result, err
}

func readmeSign(ctx context.Context, client *registry.Client, tag name.Tag, image v1.Image, askPassword func(context.Context) ([]byte, error)) error {
	// README: sign
	signer, err := sign.Load(ctx, "release.key", sign.LoadOptions{Password: askPassword})
	if err != nil {
		return err
	}
	signed, err := sign.PushAndSign(ctx, client, tag, image, sign.ImageOptions{}, signer)
	if err != nil {
		return err
	}
	fmt.Println("signed", signed.Digest)
	// end
	return nil
}

func readmeAttest(ctx context.Context, client *registry.Client, digest name.Digest, signer sign.Signer) error {
	// README: attest
	built, err := provenance.FromEnvironment(ctx, provenance.Options{BuilderID: "https://ci.example/builder"})
	if err != nil {
		return err
	}
	attested, err := attest.Image(ctx, client, digest, built, attest.Options{}, signer)
	if err != nil {
		return err
	}
	fmt.Println("attested", attested.PredicateType, "of", attested.Digest)
	// end
	return nil
}

func readmeVerify(ctx context.Context, client *registry.Client, tag name.Tag) (*verify.Verifier, error) {
	var made *verify.Verifier
	err := func() error {
		// README: verify
		key, err := policy.LoadPublicKey("release.pub")
		if err != nil {
			return err
		}
		verifier, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
		if err != nil {
			return err
		}
		result, err := verifier.Image(ctx, client, tag)
		var denied *verify.Error
		switch {
		case errors.As(err, &denied):
			return fmt.Errorf("do not run it: %w", denied) // judged, and refused: denied.Reason says why
		case err != nil:
			return err // not judged, so do not run it either
		}
		fmt.Println("run", result.Digest)
		// end
		made = verifier
		return nil
	}()
	return made, err
}

func readmePolicy(ctx context.Context, client *registry.Client, tag name.Tag) error {
	// README: policy
	policies, err := verify.NewFileSource("policy.yaml", verify.FileSourceOptions{Options: verify.Options{
		Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{}),
	}})
	if err != nil {
		return err // refused, with line and column
	}
	judge, err := policies.Verifier(ctx) // the policy that holds now: a new file is taken whole or not at all
	if err != nil {
		return err
	}
	result, err := judge.Image(ctx, client, tag)
	// end
	if err == nil {
		fmt.Println("by policy", result.Digest)
	}
	return err
}

func readmeCopy(ctx context.Context, client *registry.Client, tag name.Tag, verifier *verify.Verifier) error {
	// README: copy
	layout, err := registry.OpenLayout("app-v1", registry.LayoutOptions{Create: true})
	if err != nil {
		return err
	}
	offline := layout.Repository().Tag("v1")
	if _, err := registry.Copy(ctx, client, tag, layout, offline, registry.CopyOptions{}); err != nil {
		return err
	}
	result, err := verifier.Image(ctx, layout, offline)
	// end
	if err == nil {
		fmt.Println("offline", result.Digest)
	}
	return err
}

func TestReadmeSnippetsDoWhatTheySay(t *testing.T) {
	host := registrytest.Start(t, registrytest.New(registrytest.Options{}))
	p, err := os.ReadFile("../../../examples/policy/single-key.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	ctx, password := context.Background(), []byte("secret")
	if _, err := sign.Generate(ctx, sign.KeyOptions{Password: password, PrivatePath: "release.key", PublicPath: "release.pub"}); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(host + "/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	client, err := readmeClient()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(context.Context) ([]byte, error) { return password, nil }
	if err := readmeSign(ctx, client, tag, image, ask); err != nil {
		t.Fatal(err)
	}
	pretendToBeGitHub(t)
	desc, err := client.Resolve(ctx, tag)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sign.Load(ctx, "release.key", sign.LoadOptions{Password: ask})
	if err != nil {
		t.Fatal(err)
	}
	if err := readmeAttest(ctx, client, tag.Context().Digest(desc.Digest.String()), signer); err != nil {
		t.Fatal(err)
	}
	verifier, err := readmeVerify(ctx, client, tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("policy.yaml", p, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readmePolicy(ctx, client, tag); err != nil {
		t.Fatal(err)
	}
	if err := readmeCopy(ctx, client, tag, verifier); err != nil {
		t.Fatal(err)
	}
	if err := readmeTransport(verifier, tag); err != nil {
		t.Fatal(err)
	}
	gate, err := readmeGate(verifier, tag.RegistryStr())
	if err != nil {
		t.Fatal(err)
	}
	behind, err := name.NewTag(registrytest.Start(t, gate) + "/" + tag.RepositoryStr() + ":" + tag.TagStr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Manifest(ctx, behind); err != nil {
		t.Fatal(err)
	}
}

// pretendToBeGitHub gives this process the environment of one build system,
// whichever it runs in.
func pretendToBeGitHub(t *testing.T) {
	for _, system := range provenance.Systems() {
		for _, variable := range provenance.Variables(system) {
			if variable != "PATH" {
				t.Setenv(variable, "")
			}
		}
	}
	for variable, value := range map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "team/app", "GITHUB_EVENT_NAME": "push",
		"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": strings.Repeat("ab", 20), "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1",
		"GITHUB_WORKFLOW_REF": "team/app/.github/workflows/ci.yml@refs/heads/main",
	} {
		t.Setenv(variable, value)
	}
}

func readmeGate(policies verify.Source, host string) (http.Handler, error) {
	var result http.Handler
	err := func() error {
		// README: gate
		gate, err := gate.New(gate.Config{
			Verifier:  policies,
			Upstreams: []gate.Upstream{{Registry: host}},
		})
		if err != nil {
			return err
		}
		server := &http.Server{Addr: "127.0.0.1:5000", Handler: gate, ReadHeaderTimeout: 10 * time.Second}
		// end
		result = server.Handler
		return nil
	}()
	return result, err
}

func readmeTransport(policies verify.Source, tag name.Tag) error {
	// README: transport
	guarded, err := gate.NewTransport(gate.Config{Verifier: policies})
	if err != nil {
		return err
	}
	image, err := remote.Image(tag, remote.WithTransport(guarded)) // go-containerregistry's, as an example
	if err != nil {
		return err
	}
	// end
	_, err = image.Digest()
	return err
}

func TestReadmeSnippetsAreTheCodeThatIsTested(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tested := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?s)\n(\t+)// README: (\w+)\n(.*?)\n\t+// end\n`).FindAllStringSubmatch(string(code), -1) {
		tested[m[2]] = strings.ReplaceAll("\n"+m[3], "\n"+m[1], "\n")[1:]
	}
	shown := regexp.MustCompile("(?s)<!-- code: (\\w+) -->\n```go\n(.*?)\n```").FindAllStringSubmatch(string(readme), -1)
	if len(shown) != len(tested) || len(shown) < 4 {
		t.Errorf("the README shows %d snippets, %d are tested", len(shown), len(tested))
	}
	for _, m := range shown {
		if tested[m[1]] != m[2] {
			t.Errorf("snippet %q of the README is not the tested code:\n%s\n---\n%s", m[1], m[2], tested[m[1]])
		}
	}
}
