// Command build shows how a build system uses Hallmark: it builds a program, attests
// provenance and an SBOM, releases the image, and verifies it. It needs no setup and no
// network:
//
//	go run ./examples/build
//
// With an argument it also keeps the image with its evidence, and the policy with its
// keys, in a new directory:
//
//	go run ./examples/build ./kept
//	hallmark inspect -o html --policy kept/production.yaml --layout-name registry.example/team/app oci:kept/layout:v1 > report.html
//
// Each of three parties has the keys for its own duty alone:
//
//   - The build step is a child process that compiles a Go program. It gets no key
//     and a cleaned environment. It cannot choose the builder ID.
//   - The control plane is this process. It records the step, assembles the image,
//     and pushes it by digest. It signs provenance and an SBOM with the provenance
//     key, and cannot release.
//   - The release is another process. It gets a digest, the public key of the
//     control plane, and the release key. It verifies the provenance, and then
//     signs the image. It cannot make provenance.
//
// The tag is set last, so it never points at an unsigned image.
//
// # Elsewhere
//
// In a real build system the two keys are in two services, such as a KMS, or secrets
// that one job alone can read. If docker buildx or ko builds the image, built.Images
// reads its digest, and provenance.BuildKitMetadata replaces the recorded command.
// provenance.Environment adds the facts of the CI system.
//
// The exit code is 0 if every step succeeded, and 1 otherwise.
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

// builderID is the URI by which policies name this build system. The build system sets
// it, and no build can.
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

// command runs the control plane, or the release if the control plane started this
// process.
func command(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		return run(ctx, out, "")
	case args[0] == releaseCommand:
		return release(ctx, args[1:], out)
	case len(args) == 1:
		return run(ctx, out, args[0])
	}
	return errors.New("this example takes at most one argument: a new directory that keeps what it makes")
}

// run tells the story. keep is the directory that keeps what it makes; empty: none.
func run(ctx context.Context, out io.Writer, keep string) (err error) {
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
	if keep != "" {
		if err := s.keep(ctx, keep); err != nil {
			return err
		}
	}
	s.say("\nAll steps succeeded.")
	return nil
}

// newClient returns a client without credentials. A real program leaves Keychain out,
// and the client uses the logins of docker login.
func newClient() (*remote.Client, error) {
	return remote.New(remote.Options{Keychain: anonymous{}})
}

type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// story holds what the chapters share.
type story struct {
	out     io.Writer
	client  *remote.Client
	repo    name.Repository
	dir     string
	chapter int

	provenanceKey, releaseKey, scannerKey *sign.KeyPair
	source                                *provenance.Tree // nil: there is no work tree
	unsourced                             provenance.Facts // why there is none
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

// password encrypts keys that live as long as this example.
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

// build records the build step. The step gets the environment that a Go build needs,
// and a variable that names another builder, which has no effect.
func (s *story) build(ctx context.Context) error {
	s.title("The build step runs, and is recorded")
	tree, err := sourceTree(ctx, s.path("tree"))
	if err != nil {
		return err
	}
	// The source is read before the step, which could change it. Outside of a git
	// checkout there is none.
	if s.source, err = provenance.ReadTree(ctx, provenance.WorkTreeOptions{}); err != nil {
		if s.unsourced, err = provenance.WithoutTree(err); err != nil {
			return err
		}
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

// push assembles the image and pushes it by digest, without a tag.
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

// attest joins the facts and signs the provenance with the provenance key.
func (s *story) attest(ctx context.Context) error {
	s.title("The control plane attests provenance and a bill of materials")
	source := s.unsourced
	if s.source != nil {
		source = s.source.Facts()
	}
	for _, w := range source.Warnings {
		s.say("   warning: %s", w)
	}
	binary, err := os.Open(s.binary)
	if err != nil {
		return err
	}
	defer func() { _ = binary.Close() }() // nothing was written
	modules, err := provenance.GoBinary(binary)
	if err != nil {
		return err
	}
	if s.provenance, err = provenance.New(builderID, s.recorded.Facts(), source, modules); err != nil {
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

// state attaches an attestation of a predicate to the image.
func (s *story) state(ctx context.Context, p attest.Predicate) error {
	done, err := attest.Image(ctx, s.client, s.digest, p, attest.Options{Replace: true}, s.provenanceKey.Signer)
	if err != nil {
		return err
	}
	s.say("   attested %s in %s", done.PredicateType, done.Attestations[0].Evidence.DigestStr())
	return nil
}

// scan attests that a scanner found nothing. A real scanner attests its own report with
// package scan, and keeps its key out of the build's reach.
func (s *story) scan(ctx context.Context) error {
	s.title("A scanner attests what it found, with a key of its own")
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
	s.title("The user verifies all of it, by examples/policy/production.yaml")
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

// production returns a verifier for the example's policy, with the keys and the
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

// swapKeys shows that neither key can do the other's duty. For another image, the
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
	s.title("The tag is set last")
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
