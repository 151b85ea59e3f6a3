package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Bounds of the files that hold signatures, in bytes.
const (
	maxBundle    = 32 << 20
	maxSignature = 64 << 10
)

// digestPrefix begins the digest of a file, in place of its name.
const digestPrefix = "sha256:"

type verifyBlobFlags struct {
	policyFlags
	bundles    []string
	signatures []string
	explain    bool
	audit      auditFlag
}

func (a *app) verifyBlobCommand() *cobra.Command {
	f := verifyBlobFlags{policyFlags: policyFlags{ofFiles: true}}
	cmd := &cobra.Command{
		Use:   "verify-blob (FILE | sha256:HEX) (--bundle FILE | --signature FILE) (--key FILE | --certificate-identity IDENTITY --certificate-oidc-issuer URL --trusted-root FILE | --policy FILE)",
		Short: "Verify a file by a policy, or that trusted keys or identities have signed it",
		Long: `Verify that as many distinct trusted keys and identities have signed FILE as
--threshold says, or that it meets the requirements that --policy has under files. Exit
codes are those of verify. Rules are about images: their patterns match no file.

An attestation about FILE is a bundle with a statement whose subject is its digest. It
counts for --type, or for an attestation that the policy requires of files.

` + certificateHelp + `

FILE may be its digest, as sha256:HEX. Then signatures verify that are over SHA-256; the
caller vouches that the digest is the file's.

` + attestedHelp + `

` + atHelp + `

--bundle takes what 'hallmark sign-blob' and 'cosign sign-blob --bundle' write, of any
version. --signature takes a detached signature, in base64 or raw, as 'cosign
sign-blob' and 'openssl dgst -sign' write it.

JSON is one list with one object of the form that verify prints: file, status, asOf, sha256,
size, policy, judgedAt, validUntil, reason, detail, hint, requirements, unmet, keys (id,
name, annotations), statements, evidence (format, keyId, requirement, reason, detail). Its schema: hallmark policy schema --of result.`,
		Example: `  hallmark verify-blob app.tar.gz --bundle app.tar.gz.bundle --key release.pub
  hallmark verify-blob app.tar.gz --bundle a.bundle --bundle b.bundle --key a.pub --key b.pub --threshold 2
  hallmark verify-blob app.tar.gz --bundle app.tar.gz.bundle --certificate-identity jane@acme.example --certificate-oidc-issuer https://accounts.google.com --trusted-root trusted_root.json
  hallmark verify-blob sha256:HEX --bundle app.tar.gz.bundle --key release.pub
  hallmark verify-blob app.tar.gz --bundle build.bundle --bundle app.tar.gz.bundle --policy production.yaml
  hallmark verify-blob app.tar.gz --bundle build.bundle --key builder.pub --type slsaprovenance --builder https://ci.example/builder
  hallmark verify-blob app.tar.gz --signature app.tar.gz.sig --key release.pub
  hallmark verify-blob --bundle app.tar.gz.bundle --key release.pub -- "$FILE"`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verifyBlob(cmd.Context(), f, args[0]) },
	}
	a.helpAlone(cmd)
	f.flags(cmd)
	cmd.Flags().StringArrayVar(&f.bundles, "bundle", nil, "read the signature from this bundle `FILE` (repeatable)")
	cmd.Flags().StringArrayVar(&f.signatures, "signature", nil, "read a detached signature from this `FILE` (repeatable)")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "list the signatures of a verified file, too")
	f.audit.flag(cmd)
	return cmd
}

func (a *app) verifyBlob(ctx context.Context, f verifyBlobFlags, path string) error {
	f.readKey = func(ref string) (policy.PublicKey, error) { return a.publicKey(ctx, ref) }
	verifier, err := f.verifier(a.plugins, false, verify.Options{})
	if err != nil {
		return err
	}
	signatures, err := f.read()
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	if strings.HasPrefix(path, digestPrefix) {
		result, err := verifier.BlobDigest(ctx, path, signatures...)
		return a.enforce(f.audit, a.concludeBlob(path, result, err, f))
	}
	blob, closeBlob, err := a.openBlob(path, "verifying")
	if err != nil {
		return err
	}
	defer closeBlob()
	result, err := verifier.Blob(ctx, blob, signatures...)
	return a.enforce(f.audit, a.concludeBlob(path, result, err, f))
}

// read reads the files of the signatures.
func (f verifyBlobFlags) read() (signatures [][]byte, err error) {
	if len(f.bundles)+len(f.signatures) == 0 {
		return nil, usageError("--bundle is missing: name the file that holds the signature, or with --signature that of a detached one")
	}
	for _, name := range f.bundles {
		text, _, err := readFile(name, maxBundle)
		if err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		signatures = append(signatures, text)
	}
	for _, name := range f.signatures {
		text, _, err := readFile(name, maxSignature)
		if err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		signatures = append(signatures, text)
	}
	return signatures, nil
}

func (a *app) concludeBlob(path string, result *verify.BlobResult, err error, f verifyBlobFlags) error {
	r := verify.ReportOfFile(path, result, err)
	a.warnOf(f.at)
	a.warnOfAnyContent(f.attested)
	f.at.mark(&r)
	switch r.Status {
	case verify.StatusUndecided:
		return err
	case verify.StatusDenied:
		r.Hint, err = reasonAdviceOnFile[r.Reason], errDenied
	}
	if a.json() {
		return errors.Join(a.out.document([]verify.Report{r}), err)
	}
	a.printReport(r, words{r.File, "sha256:" + r.SHA256}, why(r, f.explain), f.explain)
	return err
}
