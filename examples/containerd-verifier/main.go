// Command containerd-verifier is an image verifier plugin for containerd: it lets
// an image run only where a policy allows its digest.
//
// containerd (1.7 and later) runs it for each image that it pulls, as
//
//	containerd-verifier -name REFERENCE -digest DIGEST -stdin-media-type TYPE
//
// with the descriptor on stdin. It exits with 0 where the policy allows the
// digest, with 1 where it denies it, and with 2 where it could not decide, or was
// called in another way; everything but 0 blocks the image. It says why on stdout,
// which containerd logs and shows.
//
// What will run must be what was judged. Of an index that the policy allows, the
// manifest for this machine's platform, or the one that -platform names
// (OS/ARCH[/VARIANT]), is judged too: it is denied where the policy denies its digest,
// where there is none, and where there are several.
//
// The policy is the file that -policy names, or /etc/hallmark/policy.yaml. It must
// not lie in the directory of plugins: containerd runs all that lies there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const (
	exitAllowed   = 0
	exitDenied    = 1
	exitUndecided = 2

	defaultPolicy = "/etc/hallmark/policy.yaml"
	// descriptorType is what containerd says that stdin holds.
	descriptorType = "application/vnd.oci.descriptor.v1+json"
	// maxDescriptor bounds stdin.
	maxDescriptor = 1 << 20
	// timeout is less than the 10 seconds after which containerd ends a plugin:
	// so that it says why.
	timeout = 9 * time.Second
	// maxReason bounds what is said; containerd reads 32 KiB.
	maxReason = 2000
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	cancel()
	os.Exit(code)
}

// run judges one image. What happens unforeseen blocks it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) (code int) {
	defer func() {
		if cause := recover(); cause != nil {
			code = exitUndecided
			say(stdout, fmt.Sprintf("blocked: this program failed: %v", cause))
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

// say writes one line that is safe to show.
func say(w io.Writer, text string) {
	_, _ = fmt.Fprintln(w, registry.SafeText(text, maxReason)) // whoever asked has gone
}

// question is what is asked.
type question struct {
	image    name.Digest
	policy   string
	platform v1.Platform
}

// asked reads what containerd passes: the image, by its digest, and nothing that
// contradicts it.
func asked(args []string, stdin io.Reader) (q question, err error) {
	flags := flag.NewFlagSet("containerd-verifier", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	reference := flags.String("name", "", "")
	digest := flags.String("digest", "", "")
	mediaType := flags.String("stdin-media-type", "", "")
	platform := flags.String("platform", "", "")
	flags.StringVar(&q.policy, "policy", defaultPolicy, "")
	switch err := flags.Parse(args); {
	case err != nil:
		return q, fmt.Errorf("want -name, -digest and -stdin-media-type, as containerd passes them: %w", err)
	case flags.NArg() > 0:
		return q, fmt.Errorf("what is %q?", flags.Arg(0))
	case *mediaType != descriptorType:
		return q, fmt.Errorf("stdin is said to hold %q, want %s", *mediaType, descriptorType)
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
		return q, fmt.Errorf("the name has another digest than %s", *digest)
	}
	return q, checkDescriptor(stdin, *digest)
}

// checkDescriptor refuses a descriptor of something else.
func checkDescriptor(stdin io.Reader, digest string) error {
	text, err := io.ReadAll(io.LimitReader(stdin, maxDescriptor+1))
	if err == nil && len(text) > maxDescriptor {
		err = fmt.Errorf("more than %d bytes", maxDescriptor)
	}
	if err != nil {
		return fmt.Errorf("the descriptor on stdin cannot be read: %w", err)
	}
	d, err := registry.ParseDescriptor(text)
	switch {
	case err != nil:
		return fmt.Errorf("the descriptor on stdin is malformed: %w", err)
	case d.Digest.String() != digest:
		return fmt.Errorf("the descriptor on stdin is about another digest than %s", digest)
	case !d.MediaType.IsImage() && !d.MediaType.IsIndex():
		return fmt.Errorf("the descriptor on stdin is about a %q, which is no image", d.MediaType)
	case d.Size <= 0:
		return errors.New("the descriptor on stdin has no size")
	}
	return nil
}

// parsePlatform reads -platform; empty: this machine's.
func parsePlatform(text string) (v1.Platform, error) {
	if text == "" {
		return v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}, nil
	}
	p, err := registry.ParsePlatform(text)
	if err != nil {
		return v1.Platform{}, fmt.Errorf("-platform: %w", err)
	}
	return p, nil
}

// judge judges the digest, and what will run of it.
func judge(ctx context.Context, q question) (*verify.Result, error) {
	p, err := policy.Load(q.policy, policy.ParseOptions{})
	if err != nil {
		return nil, err
	}
	v, err := verify.New(p, verify.Options{})
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
