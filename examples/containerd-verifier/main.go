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
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/oci"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
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
	image, policy, err := asked(args, stdin)
	if err != nil {
		say(stdout, "blocked: "+err.Error())
		return exitUndecided
	}
	result, err := judge(ctx, image, policy)
	var denied *verify.Error
	switch {
	case errors.As(err, &denied):
		say(stdout, fmt.Sprintf("denied: %s: %s", denied.Reason, denied.Error()))
		return exitDenied
	case err != nil:
		say(stdout, fmt.Sprintf("blocked: %s could not be judged: %v", image, err))
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

// asked reads what containerd passes: the image, by its digest, and nothing that
// contradicts it.
func asked(args []string, stdin io.Reader) (image name.Digest, policy string, err error) {
	flags := flag.NewFlagSet("containerd-verifier", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	reference := flags.String("name", "", "")
	digest := flags.String("digest", "", "")
	mediaType := flags.String("stdin-media-type", "", "")
	flags.StringVar(&policy, "policy", defaultPolicy, "")
	switch err := flags.Parse(args); {
	case err != nil:
		return image, "", fmt.Errorf("want -name, -digest and -stdin-media-type, as containerd passes them: %w", err)
	case flags.NArg() > 0:
		return image, "", fmt.Errorf("what is %q?", flags.Arg(0))
	case *mediaType != descriptorType:
		return image, "", fmt.Errorf("stdin is said to hold %q, want %s", *mediaType, descriptorType)
	}
	ref, err := registry.ParseReference(*reference)
	if err != nil {
		return image, "", err
	}
	image = ref.Context().Digest(*digest)
	if _, err := registry.HashOf(image); err != nil {
		return image, "", err
	}
	if named, ok := ref.(name.Digest); ok && named.DigestStr() != *digest {
		return image, "", fmt.Errorf("the name has another digest than %s", *digest)
	}
	return image, policy, checkDescriptor(stdin, *digest)
}

// checkDescriptor refuses a descriptor of something else.
func checkDescriptor(stdin io.Reader, digest string) error {
	text, err := limit.ReadAll(stdin, maxDescriptor)
	if err != nil {
		return fmt.Errorf("the descriptor on stdin cannot be read: %w", err)
	}
	root, err := strictjson.Parse(text)
	if err != nil {
		return fmt.Errorf("the descriptor on stdin is malformed: %w", err)
	}
	mediaType, _ := root.Get("mediaType").Str()
	size, sized := root.Get("size").Int()
	switch {
	case !root.Get("digest").Is(digest):
		return fmt.Errorf("the descriptor on stdin is about another digest than %s", digest)
	case !oci.IsManifestType(mediaType):
		return fmt.Errorf("the descriptor on stdin is about a %q, which is no image", mediaType)
	case !sized || size <= 0:
		return errors.New("the descriptor on stdin has no size")
	}
	return nil
}

// judge judges the digest.
func judge(ctx context.Context, image name.Digest, path string) (*verify.Result, error) {
	policy, err := verify.LoadPolicy(path, verify.ParseOptions{})
	if err != nil {
		return nil, err
	}
	v, err := verify.New(policy, verify.Options{})
	if err != nil {
		return nil, err
	}
	client, err := registry.NewClient(registry.Options{UserAgent: "hallmark-containerd-verifier"})
	if err != nil {
		return nil, err
	}
	return v.Image(ctx, client, image)
}
