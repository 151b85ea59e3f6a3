// Command quickstart shows Hallmark's main job from push to denial, with no setup and no
// network.
//
//	go run ./examples/quickstart
//
// It starts a registry on loopback, and then:
//
//   - pushes an image for two platforms, signs it, and verifies it
//   - copies it with its evidence to a directory, and verifies it there
//   - plays the attacker, and shows each denial
//
// It exits with 0 only if every step succeeded and every attack was denied.
package main

import (
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
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	err := run(ctx, os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run tells the story to out; an error says what went other than it should.
func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "hallmark-quickstart-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		return err
	}
	defer stop()
	// A real program leaves Keychain out: then the logins of docker login count.
	client, err := remote.New(remote.Options{Keychain: anonymous{}})
	if err != nil {
		return err
	}
	repo, err := name.NewRepository(host + "/team/app")
	if err != nil {
		return err
	}
	s := &story{out: out, hosted: hosted, client: client, repo: repo, tag: repo.Tag("v1"), dir: dir}
	for _, chapter := range []func(context.Context) error{
		s.makeKeys, s.pushAndSign, s.verifyTag, s.copyToDisk,
		s.replaceImage, s.moveSignature, s.signWithWrongKey, s.stripSignature,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	s.say("\nAll steps went as they should: the signed image was accepted, every attack was denied.")
	return nil
}

// anonymous has no credentials.
type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// story is what the chapters share.
type story struct {
	out      io.Writer
	hosted   *registrytest.Registry
	client   *remote.Client
	repo     name.Repository
	tag      name.Tag
	dir      string
	keys     *sign.KeyPair
	verifier *verify.Verifier
	signed   *sign.Signed
	chapter  int
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *story) title(format string, args ...any) {
	s.chapter++
	s.say("\n%d. %s", s.chapter, fmt.Sprintf(format, args...))
}

func (s *story) makeKeys(ctx context.Context) (err error) {
	s.say("Hallmark quickstart: a registry is running at %s, in this process.", s.repo.RegistryStr())
	s.title("Make a key pair")
	private, public := filepath.Join(s.dir, "release.key"), filepath.Join(s.dir, "release.pub")
	s.keys, err = sign.Generate(ctx, sign.KeyOptions{Password: []byte("only for this example"), PrivatePath: private, PublicPath: public})
	if err != nil {
		return err
	}
	trusted, err := policy.LoadPublicKey(public)
	if err != nil {
		return err
	}
	trusted.Name = "release.pub"
	s.say("   release.key is encrypted and stays with the team that releases; release.pub goes to everyone who pulls.")
	s.say("   key ID %s…, derived from the key itself", s.keys.ID[:16])
	s.verifier, err = verify.New(policy.Signatures{Keys: []policy.PublicKey{trusted}, Threshold: 1}.Policy(), verify.Options{})
	return err
}

func (s *story) pushAndSign(ctx context.Context) error {
	s.title("Push an image for linux/amd64 and linux/arm64, sign it, and only then set the tag")
	image, err := twoPlatforms("Hello from the real app")
	if err != nil {
		return err
	}
	s.signed, err = sign.PushAndSign(ctx, s.client, s.tag, image, sign.ImageOptions{}, s.keys.Signer)
	if err != nil {
		return err
	}
	s.say("   pushed and signed %s", s.signed.Digest)
	s.say("   the signature is %s", short(s.signed.Signatures[0].Evidence.DigestStr()))
	s.say("   %s is set: at no moment did it point at anything unsigned", s.tag)
	return nil
}

func (s *story) verifyTag(ctx context.Context) error {
	s.title("Verify what the tag points at, as a program that pulls it would")
	res, err := s.verifier.Image(ctx, s.client, s.tag)
	if err != nil {
		return err
	}
	if res.Digest != s.signed.Digest {
		return fmt.Errorf("verified %s, but %s was signed", res.Digest, s.signed.Digest)
	}
	s.say("   VERIFIED %s", res.Digest)
	s.say("   signed by %s; run this digest, not the tag, which may move", res.Keys[0].Name)
	arm, err := s.verifier.Platform(ctx, s.client, res, v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil {
		return err
	}
	s.say("   VERIFIED %s for linux/arm64, because the signed index lists it", short(arm.Digest.DigestStr()))
	return nil
}

func (s *story) copyToDisk(ctx context.Context) error {
	s.title("Copy it with its evidence to a directory, and verify it there, offline")
	images, err := layout.Open(filepath.Join(s.dir, "layout"), layout.Options{Create: true})
	if err != nil {
		return err
	}
	to := images.Repository().Tag("v1")
	if _, err := registry.Copy(ctx, s.client, s.tag, images, to, registry.CopyOptions{}); err != nil {
		return err
	}
	res, err := s.verifier.Image(ctx, images, to)
	if err != nil {
		return err
	}
	s.say("   VERIFIED %s in an OCI layout on disk", short(res.Digest.DigestStr()))
	return nil
}

func (s *story) replaceImage(ctx context.Context) error {
	s.title("Attack: a writer to the registry moves the tag to another image")
	evil, err := s.pushEvil(ctx, "replaced")
	if err != nil {
		return err
	}
	return s.denied(ctx, s.tag, evil, verify.ReasonNoSignature, "")
}

func (s *story) moveSignature(ctx context.Context) error {
	s.title("Attack: they also attach the real image's signature to theirs")
	evil, err := s.pushEvil(ctx, "with a borrowed signature")
	if err != nil {
		return err
	}
	for item, err := range registry.Evidence(ctx, s.client, s.signed.Digest, registry.Limits{}) {
		if err != nil {
			return err
		}
		if _, err := registry.Attach(ctx, s.client, evil, item); err != nil {
			return err
		}
	}
	return s.denied(ctx, s.tag, evil, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject)
}

func (s *story) signWithWrongKey(ctx context.Context) error {
	s.title("Attack: they sign their image with a key of their own")
	evil, err := s.pushEvil(ctx, "signed by another key")
	if err != nil {
		return err
	}
	theirs, err := sign.Generate(ctx, sign.KeyOptions{Password: []byte("theirs")})
	if err != nil {
		return err
	}
	if _, err := sign.Image(ctx, s.client, evil, sign.ImageOptions{}, theirs.Signer); err != nil {
		return err
	}
	return s.denied(ctx, s.tag, evil, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
}

func (s *story) stripSignature(ctx context.Context) error {
	s.title("Attack: they put the real image back, and delete its signature")
	for _, signature := range s.signed.Signatures {
		s.hosted.Delete(s.repo.RepositoryStr(), signature.Evidence.DigestStr())
	}
	m, err := s.client.Manifest(ctx, s.signed.Digest)
	if err != nil {
		return err
	}
	if _, err := s.client.PushManifest(ctx, s.tag, m, registry.PushOptions{}); err != nil {
		return err
	}
	return s.denied(ctx, s.tag, s.signed.Digest, verify.ReasonNoSignature, "")
}

// pushEvil puts an image of the attacker's under the tag.
func (s *story) pushEvil(ctx context.Context, text string) (name.Digest, error) {
	image, err := twoPlatforms("Mining coins for me, " + text)
	if err != nil {
		return name.Digest{}, err
	}
	digest, err := registry.Push(ctx, s.client, s.repo, image)
	if err != nil {
		return name.Digest{}, err
	}
	m, err := s.client.Manifest(ctx, digest)
	if err != nil {
		return name.Digest{}, err
	}
	_, err = s.client.PushManifest(ctx, s.tag, m, registry.PushOptions{})
	return digest, err
}

// denied verifies ref and wants a denial of that digest for exactly this
// reason, and, where because is set, evidence that did not count because of it.
func (s *story) denied(ctx context.Context, ref name.Reference, digest name.Digest, reason, because verify.Reason) error {
	res, err := s.verifier.Image(ctx, s.client, ref)
	if err == nil {
		return fmt.Errorf("the attack succeeded: %s was verified", res.Digest)
	}
	var denial *verify.Error
	if !errors.As(err, &denial) {
		return fmt.Errorf("wanted a denial: %w", err)
	}
	if denial.Reason != reason || denial.Digest != digest {
		return fmt.Errorf("wanted %s for %s, got: %w", reason, digest, denial)
	}
	found := because == ""
	for _, e := range denial.Evidence {
		found = found || e.Reason == because
	}
	if !found {
		return fmt.Errorf("wanted evidence that did not count because of %s, got: %w", because, denial)
	}
	s.say("   DENIED %s", short(digest.DigestStr()))
	s.say("   %s (%s)", denial.Detail, denial.Reason)
	for _, e := range denial.Evidence {
		s.say("   - %s %s: %s (%s)", e.Format, short(e.Manifest), e.Detail, e.Reason)
	}
	return nil
}

// short cuts a digest to what a reader can compare.
func short(digest string) string {
	const n = len("sha256:") + 12
	if len(digest) <= n {
		return digest
	}
	return digest[:n] + "…"
}
