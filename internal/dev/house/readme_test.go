package house_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// The functions below hold the README's snippets, each between a line that names it and
// a line that ends it.

func readmeClient() error {
	// README: client
	client, err := remote.New(remote.Options{})
	if err != nil {
		return err
	}
	// end
	_ = client
	return nil
}

func readmeBuild(ctx context.Context, client registry.Store, tag name.Tag, image v1.Image, askPassword func(context.Context) ([]byte, error)) error {
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

	// README: attest
	built, err := provenance.FromEnvironment(ctx, provenance.Options{BuilderID: "https://ci.example/builder"})
	if err != nil {
		return err
	}
	attested, err := attest.Image(ctx, client, signed.Digest, built, attest.Options{}, signer)
	if err != nil {
		return err
	}
	fmt.Println("attested", attested.PredicateType)
	// end
	return nil
}

func readmeDeploy(ctx context.Context, client registry.Store, tag name.Tag) error {
	// README: verify
	key, err := policy.LoadPublicKey("release.pub")
	if err != nil {
		return err
	}
	trusted := policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}
	verifier, err := verify.New(trusted.Policy(), verify.Options{})
	if err != nil {
		return err
	}
	result, err := verifier.Image(ctx, client, tag)
	if err != nil {
		return err // a *verify.Error is a denial; any other error means that nothing was judged
	}
	fmt.Println("run", result.Digest)
	// end
	return nil
}

func readmeJudge(ctx context.Context, client registry.Store, tag name.Tag) (*verify.FileSource, error) {
	var read *verify.FileSource
	err := func() error {
		// README: policy
		certificates := map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()}
		policies, err := verify.NewFileSource("policy.yaml", verify.FileSourceOptions{Options: verify.Options{Authorities: certificates}})
		if err != nil {
			return err // names the line and column
		}
		judge, err := policies.Verifier(ctx)
		if err != nil {
			return err
		}
		judged, err := judge.Image(ctx, client, tag)
		if err != nil {
			return err
		}
		// end
		fmt.Println("met", len(judged.Requirements), "requirement")
		read = policies
		return nil
	}()
	return read, err
}

func readmeGuard(policies verify.Source) error {
	// README: gate
	guard, err := gate.NewHandler(gate.Config{
		Verifier:  policies,
		Upstreams: []gate.Upstream{{Registry: "registry.example"}},
	})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: "127.0.0.1:5000", Handler: guard, ReadHeaderTimeout: 10 * time.Second}
	// end
	fmt.Println("would listen on", server.Addr)
	return nil
}

// The README's snippets, in their order.
func Example_readme() {
	leave, err := enterEmptyDirectory()
	if err != nil {
		log.Fatal(err)
	}
	defer leave()
	ctx := context.Background()
	hosted := registrytest.New(registrytest.Options{}).Store()
	tag, err := name.NewTag("registry.example/team/app:v1")
	if err != nil {
		log.Fatal(err)
	}
	image, err := mutate.Config(empty.Image, v1.Config{User: "65532", Entrypoint: []string{"/app"}})
	if err != nil {
		log.Fatal(err)
	}
	password := []byte("correct horse")
	if _, err := sign.Generate(ctx, sign.KeyOptions{Password: password, PrivatePath: "release.key", PublicPath: "release.pub"}); err != nil {
		log.Fatal(err)
	}
	askPassword := func(context.Context) ([]byte, error) { return password, nil }

	if err := readmeClient(); err != nil {
		log.Fatal(err)
	}
	if err := readmeBuild(ctx, hosted, tag, image, askPassword); err != nil {
		log.Fatal(err)
	}
	if err := readmeDeploy(ctx, hosted, tag); err != nil {
		log.Fatal(err)
	}
	policies, err := readmeJudge(ctx, hosted, tag)
	if err != nil {
		log.Fatal(err)
	}
	if err := readmeGuard(policies); err != nil {
		log.Fatal(err)
	}
	// Output:
	// signed registry.example/team/app@sha256:8c1241880bfb617261458a74f0c22842ea2b9df4fccf56e31ae4301fe53473c6
	// attested https://slsa.dev/provenance/v1
	// run registry.example/team/app@sha256:8c1241880bfb617261458a74f0c22842ea2b9df4fccf56e31ae4301fe53473c6
	// met 1 requirement
	// would listen on 127.0.0.1:5000
}

// enterEmptyDirectory changes to a new directory that holds only a policy, and gives the
// process the environment of one build system. The function that it returns undoes both.
func enterEmptyDirectory() (leave func(), err error) {
	single, err := os.ReadFile("../../../examples/policy/single-key.yaml")
	if err != nil {
		return nil, err
	}
	before, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hallmark-readme-")
	if err != nil {
		return nil, err
	}
	undo := []func(){func() { _ = os.RemoveAll(dir) }, func() { _ = os.Chdir(before) }}
	leave = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	set := func(variable, value string) {
		old, was := os.LookupEnv(variable)
		undo = append(undo, func() {
			if _ = os.Unsetenv(variable); was {
				_ = os.Setenv(variable, old)
			}
		})
		_ = os.Setenv(variable, value)
	}
	for _, system := range provenance.Systems() {
		for _, variable := range provenance.Variables(system) {
			if variable != "PATH" {
				set(variable, "")
			}
		}
	}
	for variable, value := range buildOnGitHub {
		set(variable, value)
	}
	if err := os.Chdir(dir); err != nil {
		return nil, err
	}
	return leave, os.WriteFile("policy.yaml", single, 0o600)
}

var buildOnGitHub = map[string]string{
	"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "team/app", "GITHUB_EVENT_NAME": "push",
	"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": strings.Repeat("ab", 20), "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1",
	"GITHUB_WORKFLOW_REF": "team/app/.github/workflows/ci.yml@refs/heads/main",
}

func readReadme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(topLevel(t), "README.md"))
	must(t, err)
	return string(text)
}

func TestReadme_SnippetsAreTheCodeThatIsTested(t *testing.T) {
	code, err := os.ReadFile("readme_test.go")
	must(t, err)
	tested := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?s)\n(\t+)// README: (\w+)\n(.*?)\n\t+// end\n`).FindAllStringSubmatch(string(code), -1) {
		tested[m[2]] = strings.ReplaceAll("\n"+m[3], "\n"+m[1], "\n")[1:]
	}
	shown := regexp.MustCompile("(?s)<!-- code: (\\w+) -->\n```go\n(.*?)\n```").FindAllStringSubmatch(readReadme(t), -1)
	if len(shown) != len(tested) || len(shown) < 4 {
		t.Errorf("the README shows %d snippets, %d are tested", len(shown), len(tested))
	}
	for _, m := range shown {
		if tested[m[1]] != m[2] {
			t.Errorf("snippet %q of the README is not the tested code:\n%s\n---\n%s", m[1], m[2], tested[m[1]])
		}
		if lines := strings.Count(m[2], "\n") + 1; lines > 16 {
			t.Errorf("snippet %q of the README has %d lines", m[1], lines)
		}
	}
}

func TestReadme_PolicyIsValid(t *testing.T) {
	m := regexp.MustCompile("(?s)<!-- policy -->\n```yaml\n(.*?\n)```").FindStringSubmatch(readReadme(t))
	if m == nil {
		t.Fatal("the README shows no policy")
	}
	dir := t.TempDir()
	for _, key := range []string{"release", "builder", "scanner"} {
		_, err := sign.Generate(t.Context(), sign.KeyOptions{
			InsecureEmptyPassword: true, PrivatePath: filepath.Join(dir, key+".key"), PublicPath: filepath.Join(dir, key+".pub"),
		})
		must(t, err)
	}
	root, err := os.ReadFile("../conformance/testdata/roots/public-good.json")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "trusted_root.json"), root, 0o600))
	file := filepath.Join(dir, "policy.yaml")
	must(t, os.WriteFile(file, []byte(m[1]), 0o600))
	linked := map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()}
	p, err := policy.Load(file, policy.ParseOptions{Authorities: linked})
	must(t, err)
	_, err = verify.New(p, verify.Options{Authorities: linked})
	must(t, err)
}

// longestReadme is how many bytes a stranger reads before leaving.
const longestReadme = 9 << 10

func TestReadme_FitsNineKilobytes(t *testing.T) {
	size := len(readReadme(t))
	fmt.Printf("documents: README.md has %d bytes (at most %d)\n", size, longestReadme)
	if size > longestReadme {
		t.Errorf("README.md has %d bytes, more than %d: move details to a package's documentation or to a guide", size, longestReadme)
	}
}

// The README must not show better figures than were measured.
func TestReadme_FiguresAreThoseOfTheBenchmark(t *testing.T) {
	rows := func(text string) []string {
		_, table, found := strings.Cut(text, "<!-- benchmark -->\n")
		table, _, ends := strings.Cut(table, "<!-- end of benchmark -->")
		if !found || !ends {
			t.Fatal("no table between the comments for the benchmark")
		}
		return strings.Split(table[strings.Index(table, "|---"):], "\n")[1:]
	}
	measured, err := os.ReadFile(filepath.Join(topLevel(t), "internal", "dev", "bench", "README.md"))
	must(t, err)
	all := make(map[string]bool)
	for _, row := range rows(string(measured)) {
		all[row] = true
	}
	shown := rows(readReadme(t))
	for _, row := range shown {
		if !all[row] {
			t.Errorf("the README shows a row that internal/dev/bench/README.md lacks: %s", row)
		}
	}
	if n := len(shown) - 1; n != 3 {
		t.Errorf("the README shows %d rows of the benchmark", n)
	}
}
