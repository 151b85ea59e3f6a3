package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// releaseCommand is the argument that makes this program the release.
const releaseCommand = "release"

// release starts the release from the control plane. It passes the digest, the control
// plane's public key, and the path of the release key.
func (s *story) release(ctx context.Context) error {
	s.title("The release verifies who built the image and signs it, in another process")
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, releaseCommand, s.digest.String(), s.path("builder.pub"), s.path("release.key"))
	cmd.Env = append(goEnvironment(), "HALLMARK_PASSWORD="+string(password))
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the release: %w", err)
	}
	return nil
}

// release is the release's own process: it verifies the provenance, and signs.
func release(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("release needs three arguments: a digest, a public key and a private key")
	}
	digest, err := name.NewDigest(args[0])
	if err != nil {
		return err
	}
	client, err := newClient()
	if err != nil {
		return err
	}
	built, err := wellBuilt(args[1])
	if err != nil {
		return err
	}
	result, err := built.Image(ctx, client, digest)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "   built by %s, as key %s… says\n", builderID, result.Keys[0].ID[:16])
	key, err := sign.Load(ctx, args[2], sign.LoadOptions{
		Password: func(context.Context) ([]byte, error) { return []byte(os.Getenv("HALLMARK_PASSWORD")), nil },
	})
	if err != nil {
		return err
	}
	signed, err := sign.Image(ctx, client, digest, sign.ImageOptions{}, key)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "   signed %s in %s\n", signed.Digest.DigestStr(), signed.Signatures[0].Evidence.DigestStr())
	return nil
}

// wellBuilt returns a verifier for the release's policy: provenance of this build system,
// signed with the provenance key.
func wellBuilt(keyFile string) (*verify.Verifier, error) {
	key, err := policy.LoadPublicKey(keyFile)
	if err != nil {
		return nil, err
	}
	return verify.New(&policy.Policy{
		Version: 1,
		Keys:    map[string]policy.Key{"provenance": {Public: key}},
		Roles:   map[string]policy.Role{"builder": {Keys: []string{"provenance"}}},
		Rules: []policy.Rule{{Images: []string{"**"}, Require: []policy.Requirement{{
			Attestation: &policy.AttestationRequirement{
				Type: "slsaprovenance", By: "builder", ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{builderID}},
			},
		}}}},
	}, verify.Options{})
}
