package main

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

// releaseCommand starts the release, as a process of its own.
const releaseCommand = "release"

// release is what the control plane does about the release: it starts it, and
// hands over a digest, the public key of its own, and where the release key is.
func (s *story) release(ctx context.Context) error {
	s.title("The release, in another process, checks who built the image and signs it")
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, releaseCommand, s.digest.String(), s.path("provenance.pub"), s.path("release.key"))
	cmd.Env = append(goEnvironment(), "HALLMARK_PASSWORD="+string(password))
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the release: %w", err)
	}
	return nil
}

// release runs in the process of the release.
func release(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("release wants a digest, a public key and a private key")
	}
	digest, err := name.NewDigest(args[0])
	if err != nil {
		return err
	}
	client, err := newClient()
	if err != nil {
		return err
	}
	if err := checkProvenance(ctx, client, digest, args[1], out); err != nil {
		return err
	}
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

var errNoProvenance = errors.New("no provenance of the expected builder, signed by the provenance key")

// checkProvenance wants provenance of this build system about the image, signed
// with the provenance key, in which the build succeeded.
func checkProvenance(ctx context.Context, r registry.Reader, digest name.Digest, keyFile string, out io.Writer) error {
	key, err := loadVerifier(keyFile)
	if err != nil {
		return err
	}
	for claim, err := range attest.Claims(ctx, r, digest, registry.Limits{}) {
		if err != nil || !claim.Names || claim.Statement.PredicateType != attest.TypeProvenance || !signedBy(claim.Envelope, key) {
			continue
		}
		document, err := attest.ParsePredicate(attest.TypeProvenance, claim.Statement.Predicate)
		if err != nil {
			continue
		}
		p, ok := document.Value().(*attest.Provenance)
		if !ok || p.RunDetails.Builder.ID != builderID || fmt.Sprint(p.BuildDefinition.InternalParameters["exitCode"]) != "0" {
			continue
		}
		fmt.Fprintf(out, "   provenance by %s, started %s: %d dependencies, command %v\n", p.RunDetails.Builder.ID,
			p.RunDetails.Metadata.StartedOn.Format("2006-01-02 15:04:05Z"), len(p.BuildDefinition.ResolvedDependencies),
			p.BuildDefinition.ExternalParameters["command"])
		return nil
	}
	return errors.Join(errNoProvenance, ctx.Err())
}

func loadVerifier(keyFile string) (signature.Verifier, error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return nil, err
	}
	return signature.LoadVerifier(public, crypto.SHA256)
}

// signedBy reports whether one of an envelope's signatures is the key's.
func signedBy(envelope []byte, key signature.Verifier) bool {
	var e dsse.Envelope
	if json.Unmarshal(envelope, &e) != nil {
		return false
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		return false
	}
	signed := string(dsse.PAE(e.PayloadType, payload))
	for _, s := range e.Signatures {
		sig, err := base64.StdEncoding.DecodeString(s.Sig)
		if err == nil && key.VerifySignature(strings.NewReader(string(sig)), strings.NewReader(signed)) == nil {
			return true
		}
	}
	return false
}
