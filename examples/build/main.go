// Command build shows how a build system integrates Hallmark, with no setup and no network.
//
//	go run ./examples/build
//
// Three parties act, each with what it needs and no more:
//
//   - The build step is a child process. It compiles a Go program. It gets no key,
//     and a cleaned environment; what it says about its builder changes nothing.
//   - The control plane is this process. It watches the step, assembles and pushes
//     the image by digest, and signs provenance and a bill of materials with the
//     provenance key. It cannot release.
//   - The release is another process. It gets a digest, the public key of the
//     control plane and the release key; it checks who built the image, and how,
//     and only then signs it. It cannot make provenance.
//
// The tag is set last, so that it never points at anything unsigned.
//
// # Elsewhere
//
// In a real build system the two keys are in two services (a KMS, or secrets that
// only the control plane and only the release job can read). Where docker buildx
// or ko builds the image, provenance.BuildKitMetadata or KoImages takes the place
// of the recorded command, and provenance.Environment adds what the CI system
// knows.
//
// It exits with 0 only where every step went as it should.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// builderID is by what policies know this build system. It is part of the build
// system, not of any build.
const builderID = "https://ci.example/builder"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	err := command(ctx, os.Args[1:], os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// command runs the control plane, or the release, which the control plane starts
// as a process of its own.
func command(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		return run(ctx, out)
	case args[0] == releaseCommand:
		return release(ctx, args[1:], out)
	}
	return errors.New("this example takes no arguments")
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "hallmark-build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	host, stop, err := registrytest.Serve(registrytest.New(registrytest.Options{}))
	if err != nil {
		return err
	}
	defer stop()
	client, err := newClient()
	if err != nil {
		return err
	}
	repo, err := name.NewRepository(host + "/team/app")
	if err != nil {
		return err
	}
	s := &story{out: out, client: client, repo: repo, dir: dir}
	for _, chapter := range []func(context.Context) error{
		s.makeKeys, s.build, s.push, s.attest, s.scan, s.release, s.verify, s.swapKeys, s.setTag,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	s.say("\nAll steps went as they should.")
	return nil
}

// newClient has no credentials. A real program leaves Keychain out: then those of
// docker login count.
func newClient() (*remote.Client, error) {
	return remote.New(remote.Options{Keychain: anonymous{}})
}

type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// story is what the chapters share.
type story struct {
	out     io.Writer
	client  *remote.Client
	repo    name.Repository
	dir     string
	chapter int

	provenanceKey, releaseKey, scannerKey *sign.KeyPair
	source                                *provenance.Tree // nil where there is none
	recorded                              *provenance.Recording
	binary                                string
	provenance                            *predicate.Provenance
	digest                                name.Digest
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *story) title(text string) {
	s.chapter++
	s.say("\n%d. %s", s.chapter, text)
}

func (s *story) path(name string) string { return filepath.Join(s.dir, name) }

// password protects keys that live as long as this example.
var password = []byte("only for this example")

func (s *story) makeKeys(ctx context.Context) (err error) {
	s.title("Three keys for three duties")
	s.provenanceKey, err = sign.Generate(ctx, sign.KeyOptions{Password: password, PublicPath: s.path("builder.pub")})
	if err != nil {
		return err
	}
	s.releaseKey, err = sign.Generate(ctx, sign.KeyOptions{
		Password: password, PrivatePath: s.path("release.key"), PublicPath: s.path("release.pub"),
	})
	if err != nil {
		return err
	}
	s.scannerKey, err = sign.Generate(ctx, sign.KeyOptions{Password: password, PublicPath: s.path("scanner.pub")})
	if err != nil {
		return err
	}
	s.say("   provenance key %s…: only in the memory of this process, the control plane", s.provenanceKey.ID[:16])
	s.say("   release key    %s…: only read by the release, another process", s.releaseKey.ID[:16])
	return nil
}

// build records the build step. The step gets the environment that a Go build
// needs, and a variable by which it would like to be another builder.
func (s *story) build(ctx context.Context) error {
	s.title("The build step runs, and is recorded")
	tree, err := sourceTree(ctx, s.path("tree"))
	if err != nil {
		return err
	}
	// The source is read before the step runs, which could write to it. Where this
	// runs in no git checkout, it is not known.
	s.source, err = provenance.ReadTree(ctx, provenance.WorkTreeOptions{})
	if err != nil && !errors.Is(err, provenance.ErrNoWorkTree) {
		return err
	}
	env := append(goEnvironment(), "BUILDER_ID=https://evil.example/builder")
	s.recorded, err = provenance.Record(ctx, provenance.RecordOptions{
		Command: []string{"go", "build", "-trimpath", "-o", "out/app", "./" + appPackage},
		Dir:     tree, Env: env, Stdout: s.out, Stderr: s.out, OutputTail: 4096,
	})
	if err != nil {
		return err
	}
	if s.source != nil {
		if err := s.source.Recheck(ctx, provenance.WorkTreeOptions{}); err != nil {
			return err
		}
	}
	if len(s.recorded.Products) != 1 {
		return fmt.Errorf("the build made %d files, want one", len(s.recorded.Products))
	}
	product := s.recorded.Products[0]
	s.binary = filepath.Join(tree, filepath.FromSlash(product.Path))
	s.say("   command    %q", s.recorded.Command)
	s.say("   materials  %d files, hashed before", len(s.recorded.Materials))
	s.say("   product    %s sha256:%s…", product.Path, product.SHA256[:16])
	s.say("   variables  %q: no key among them", variableNames(env))
	return nil
}

// push assembles the image and pushes it by digest. There is no tag yet.
func (s *story) push(ctx context.Context) error {
	s.title("The control plane assembles the image and pushes it by digest")
	image, err := assemble(s.binary)
	if err != nil {
		return err
	}
	if s.digest, err = registry.Push(ctx, s.client, s.repo, image); err != nil {
		return err
	}
	s.say("   %s", s.digest)
	return nil
}

// attest puts the facts together and signs them with the provenance key.
func (s *story) attest(ctx context.Context) error {
	s.title("The control plane attests provenance and a bill of materials")
	facts := []provenance.Facts{s.recorded.Facts()}
	binary, err := os.Open(s.binary)
	if err != nil {
		return err
	}
	defer func() { _ = binary.Close() }() // only read from
	modules, err := provenance.GoBinary(binary)
	if err != nil {
		return err
	}
	if s.source != nil {
		facts = append(facts, s.source.Facts())
	}
	if s.provenance, err = provenance.New(builderID, append(facts, modules)...); err != nil {
		return err
	}
	if err := s.state(ctx, s.provenance); err != nil {
		return err
	}
	text, err := provenance.GoBinarySBOM(binary)
	if err != nil {
		return err
	}
	sbom, err := predicate.Parse("cyclonedx", text)
	if err != nil {
		return err
	}
	if err := s.state(ctx, sbom); err != nil {
		return err
	}
	return s.show(s.provenance)
}

// state attests a predicate about the image.
func (s *story) state(ctx context.Context, p attest.Predicate) error {
	done, err := attest.Image(ctx, s.client, s.digest, p, attest.Options{Replace: true}, s.provenanceKey.Signer)
	if err != nil {
		return err
	}
	s.say("   attested %s in %s", done.PredicateType, done.Attestations[0].Evidence.DigestStr())
	return nil
}

// scan states what a scanner has found: nothing. A real one would attest its own
// report, with package scan, where the build cannot reach its key.
func (s *story) scan(ctx context.Context) error {
	s.title("A scanner, with a key of its own, attests what it found")
	now := time.Now().UTC()
	report := predicate.Vulns{
		Scanner:  predicate.VulnsScanner{URI: "https://scanner.example", Version: "1.0", Result: []predicate.VulnsFinding{}},
		Metadata: predicate.ScanTimes{ScanStartedOn: now, ScanFinishedOn: now},
	}
	done, err := attest.Image(ctx, s.client, s.digest, report, attest.Options{}, s.scannerKey.Signer)
	if err != nil {
		return err
	}
	s.say("   attested %s in %s", done.PredicateType, done.Attestations[0].Evidence.DigestStr())
	return nil
}

func (s *story) verify(ctx context.Context) error {
	s.title("Whoever pulls verifies it all, by examples/policy/production.yaml")
	verifier, err := s.production(ctx)
	if err != nil {
		return err
	}
	result, err := verifier.Image(ctx, s.client, s.digest)
	if err != nil {
		return err
	}
	s.say("   VERIFIED %s", result.Digest)
	for _, met := range result.Requirements {
		s.say("      %s", met.Title)
	}
	s.say("   valid until %s", result.ValidUntil.UTC().Format(time.RFC3339))
	return nil
}

// production is the example's policy, with the keys of this run, about the
// repository of this run.
func (s *story) production(ctx context.Context) (*verify.Verifier, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "examples", "policy", "production.yaml"))
	if err != nil {
		return nil, err
	}
	text = bytes.Replace(text, []byte("registry.example/team/**"), []byte(s.repo.Name()), 1)
	if err := os.WriteFile(s.path("production.yaml"), text, 0o600); err != nil {
		return nil, err
	}
	p, err := policy.Load(s.path("production.yaml"), policy.ParseOptions{})
	if err != nil {
		return nil, err
	}
	return verify.New(p, verify.Options{})
}

// swapKeys shows that neither key can do the other's duty: of another image the
// release key attests provenance, and the provenance key signs a release.
func (s *story) swapKeys(ctx context.Context) error {
	s.title("Neither key does the other's duty")
	image, err := assemble(s.binary, "org.opencontainers.image.description=tampered")
	if err != nil {
		return err
	}
	other, err := registry.Push(ctx, s.client, s.repo, image)
	if err != nil {
		return err
	}
	if _, err := attest.Image(ctx, s.client, other, s.provenance, attest.Options{}, s.releaseKey.Signer); err != nil {
		return err
	}
	if _, err := sign.Image(ctx, s.client, other, sign.ImageOptions{}, s.provenanceKey.Signer); err != nil {
		return err
	}
	verifier, err := s.production(ctx)
	if err != nil {
		return err
	}
	var denied *verify.Error
	if _, err := verifier.Image(ctx, s.client, other); !errors.As(err, &denied) {
		return fmt.Errorf("keys in each other's role: %w, want a denial", err)
	}
	for _, u := range denied.Unmet {
		s.say("   DENIED %s (%s)", u.Title, u.Reason)
	}
	return nil
}

func (s *story) setTag(ctx context.Context) error {
	s.title("The tag is set, last of all")
	m, err := registry.ReadManifest(ctx, s.client, s.digest)
	if err != nil {
		return err
	}
	tag := s.repo.Tag("v1")
	if _, err := s.client.PushManifest(ctx, tag, m, registry.PushOptions{IfAbsent: true}); err != nil {
		return err
	}
	s.say("   %s is %s", tag, s.digest.DigestStr())
	return nil
}
