// Command containerd-verifier is an image verifier plugin for containerd 1.7 and later.
// An image runs if a policy allows its digest, and is blocked otherwise.
//
// containerd runs the plugin for each image that it pulls, with the descriptor on stdin:
//
//	containerd-verifier -name REFERENCE -digest DIGEST -stdin-media-type TYPE
//
// The reason is printed on stdout, which containerd logs. The exit codes are:
//
//   - 0: the policy allows the digest.
//   - 1: the policy denies the digest.
//   - 2: the image could not be judged, or the arguments are wrong.
//
// containerd blocks the image for every code but 0.
//
// For an index, the manifest that will run is judged too: the one of this machine's
// platform, or of -platform OS/ARCH[/VARIANT]. The image is denied if the policy denies
// the manifest's digest, if the index lists none for the platform, or several.
//
// The policy is the file that -policy names, or /etc/hallmark/policy.yaml. Keep it out
// of the plugin directory, because containerd runs every file there. The instances
// that identities of the policy name need -trusted-root INSTANCE=FILE each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

const (
	exitAllowed   = 0
	exitDenied    = 1
	exitUndecided = 2

	defaultPolicy = "/etc/hallmark/policy.yaml"
	// descriptorType is the media type that containerd passes for stdin.
	descriptorType = "application/vnd.oci.descriptor.v1+json"
	// maxDescriptor bounds stdin, in bytes.
	maxDescriptor = 1 << 20
	// timeout is less than the 10 seconds after which containerd kills a plugin, so
	// the plugin can print its reason.
	timeout = 9 * time.Second
	// maxReason bounds the printed reason, in bytes; containerd reads 32 KiB.
	maxReason = 2000
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	cancel()
	os.Exit(code)
}

// run judges one image and returns the exit code. A panic blocks the image.
func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) (code int) {
	defer func() {
		if cause := recover(); cause != nil {
			code = exitUndecided
			say(stdout, fmt.Sprintf("blocked: the plugin failed: %v", cause))
		}
	}()
	q, err := asked(args, stdin)
	if err != nil {
		say(stdout, "blocked: "+err.Error())
		return exitUndecided
	}
	result, err := judge(ctx, q)
	var denied *verify.Error
	switch {
	case errors.As(err, &denied):
		say(stdout, fmt.Sprintf("denied: %s: %s", denied.Reason, denied.Error()))
		return exitDenied
	case err != nil:
		say(stdout, fmt.Sprintf("blocked: %s could not be judged: %v", q.image, err))
		return exitUndecided
	case result.Warning != nil:
		say(stdout, fmt.Sprintf("allowed by a rule that only warns: %s: %s", result.Warning.Reason, result.Warning.Error()))
		return exitAllowed
	}
	say(stdout, fmt.Sprintf("verified by the rule for %s of policy %s", result.Rule, result.PolicyDigest))
	return exitAllowed
}

// say prints one line without control characters.
func say(w io.Writer, text string) {
	_, _ = fmt.Fprintln(w, registry.SafeText(text, maxReason)) // containerd no longer reads
}

// question is the image that containerd asks about, and how to judge it.
type question struct {
	image    name.Digest
	policy   string
	roots    roots
	platform v1.Platform
}

// roots are the trust roots that -trusted-root names, by their instances.
type roots map[string]sigstore.Instance

func (r roots) String() string { return "" }

// Set implements flag.Value.
func (r roots) Set(text string) error {
	instance, file, named := strings.Cut(text, "=")
	if _, twice := r[instance]; twice || !named || instance == "" || file == "" {
		return fmt.Errorf("%q: want INSTANCE=FILE, each INSTANCE once", text)
	}
	i := sigstore.Known(instance)
	i.RootFile = file
	r[instance] = i
	return nil
}

// authorities are those that the policy may name.
func (r roots) authorities() (map[string]policy.Authority, error) {
	if len(r) == 0 {
		return map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()}, nil
	}
	a, err := sigstore.New(r)
	if err != nil {
		return nil, fmt.Errorf("-trusted-root: %w", err)
	}
	return map[string]policy.Authority{"sigstore": a}, nil
}

// asked reads the arguments and stdin. It refuses arguments that contradict each other.
func asked(args []string, stdin io.Reader) (q question, err error) {
	flags := flag.NewFlagSet("containerd-verifier", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	reference := flags.String("name", "", "")
	digest := flags.String("digest", "", "")
	mediaType := flags.String("stdin-media-type", "", "")
	platform := flags.String("platform", "", "")
	flags.StringVar(&q.policy, "policy", defaultPolicy, "")
	q.roots = make(roots)
	flags.Var(q.roots, "trusted-root", "")
	switch err := flags.Parse(args); {
	case err != nil:
		return q, fmt.Errorf("the arguments are not those of containerd, -name, -digest and -stdin-media-type: %w", err)
	case flags.NArg() > 0:
		return q, fmt.Errorf("the argument %q is not a flag", flags.Arg(0))
	case *mediaType != descriptorType:
		return q, fmt.Errorf("-stdin-media-type is %q, want %s", *mediaType, descriptorType)
	}
	ref, err := registry.ParseReference(*reference)
	if err != nil {
		return q, err
	}
	if q.platform, err = parsePlatform(*platform); err != nil {
		return q, err
	}
	q.image = ref.Context().Digest(*digest)
	if _, err := registry.HashOf(q.image); err != nil {
		return q, err
	}
	if named, ok := ref.(name.Digest); ok && named.DigestStr() != *digest {
		return q, fmt.Errorf("-name has another digest than -digest, %s", *digest)
	}
	return q, checkDescriptor(stdin, *digest)
}

// checkDescriptor refuses a descriptor of another digest, or of another kind than an
// image.
func checkDescriptor(stdin io.Reader, digest string) error {
	text, err := io.ReadAll(io.LimitReader(stdin, maxDescriptor+1))
	if err == nil && len(text) > maxDescriptor {
		err = fmt.Errorf("it has more than %d bytes", maxDescriptor)
	}
	if err != nil {
		return fmt.Errorf("the descriptor on stdin cannot be read: %w", err)
	}
	d, err := registry.ParseDescriptor(text)
	switch {
	case err != nil:
		return fmt.Errorf("the descriptor on stdin is malformed: %w", err)
	case d.Digest.String() != digest:
		return fmt.Errorf("the descriptor on stdin has another digest than -digest, %s", digest)
	case !d.MediaType.IsImage() && !d.MediaType.IsIndex():
		return fmt.Errorf("the descriptor on stdin is of type %q, which is not an image", d.MediaType)
	case d.Size <= 0:
		return errors.New("the descriptor on stdin has no size")
	}
	return nil
}

// parsePlatform reads -platform. Empty: this machine's platform. linux/arm is that of
// machines of several variants, and which this one has is not known.
func parsePlatform(text string) (v1.Platform, error) {
	if text == "" {
		return v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}, nil
	}
	p, err := registry.ParsePlatform(text)
	if err != nil {
		return v1.Platform{}, fmt.Errorf("-platform: %w", err)
	}
	if p.Architecture == "arm" && strings.Count(text, "/") == 1 {
		p.Variant = ""
	}
	return p, nil
}

// judge judges the digest and the manifest that will run.
func judge(ctx context.Context, q question) (*verify.Result, error) {
	authorities, err := q.roots.authorities()
	if err != nil {
		return nil, err
	}
	p, err := policy.Load(q.policy, policy.ParseOptions{Authorities: authorities})
	if err != nil {
		return nil, err
	}
	v, err := verify.New(p, verify.Options{Authorities: authorities})
	if err != nil {
		return nil, err
	}
	client, err := remote.New(remote.Options{UserAgent: "hallmark-containerd-verifier"})
	if err != nil {
		return nil, err
	}
	image, err := v.Image(ctx, client, q.image)
	if err != nil {
		return nil, err
	}
	return v.Runnable(ctx, client, image, q.platform)
}
