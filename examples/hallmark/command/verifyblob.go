package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify"
)

// maxBundle bounds a bundle file, in bytes.
const maxBundle = 32 << 20

// blobVerdict is the JSON of verify-blob.
type blobVerdict struct {
	// File is the argument.
	File   string `json:"file"`
	Status status `json:"status"`
	// SHA256 is the digest of what was read, in hex, and Size its bytes (0
	// where it was denied).
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size,omitempty"`
	opinion
}

type verifyBlobFlags struct {
	policyFlags
	bundles []string
	explain bool
}

func (a *app) verifyBlobCommand() *cobra.Command {
	var f verifyBlobFlags
	cmd := &cobra.Command{
		Use:   "verify-blob FILE --bundle FILE --key FILE",
		Short: "Verify that trusted keys have signed a file",
		Long: `Verify that FILE has been signed by as many distinct trusted keys as
--threshold says, by the bundles that 'hallmark sign-blob' or 'cosign sign-blob
--bundle' wrote. Exit codes are those of verify.

JSON is one object: file, status, sha256, size, reason, detail, advice, keys (id,
name, annotations), evidence (format, keyId, reason, detail; never place, manifest,
requirement and seenAt).`,
		Example: `  hallmark verify-blob app.tar.gz --bundle app.tar.gz.bundle --key release.pub
  hallmark verify-blob app.tar.gz --bundle a.bundle --bundle b.bundle --key a.pub --key b.pub --threshold 2
  hallmark verify-blob --bundle app.tar.gz.bundle --key release.pub -- "$FILE"`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verifyBlob(cmd.Context(), f, args[0]) },
	}
	a.helpAlone(cmd)
	f.flags(cmd)
	cmd.Flags().StringArrayVar(&f.bundles, "bundle", nil, "read the signature from this `FILE` (repeatable)")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "list what was looked at for a verified file too")
	return cmd
}

func (a *app) verifyBlob(ctx context.Context, f verifyBlobFlags, path string) error {
	policy, err := f.policy()
	if err != nil {
		return err
	}
	verifier, err := verify.New(policy.Policy(), verify.Options{})
	if err != nil {
		return err
	}
	if len(f.bundles) == 0 {
		return usageError("--bundle is missing: name the file that holds the signature")
	}
	var bundles [][]byte
	for _, name := range f.bundles {
		text, _, err := readFile(name, maxBundle)
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		bundles = append(bundles, text)
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	blob, closeBlob, err := a.openBlob(path, "verifying")
	if err != nil {
		return err
	}
	defer closeBlob()
	result, err := verifier.Blob(ctx, blob, bundles...)
	return a.concludeBlob(path, result, err, f.explain)
}

func (a *app) concludeBlob(path string, result *verify.BlobResult, err error, explain bool) error {
	v := blobVerdict{File: path, opinion: opinion{Keys: []verify.Principal{}, Evidence: []verify.Evidence{}}}
	var refused *verify.Error
	switch {
	case err == nil:
		v.Status, v.SHA256, v.Size, v.Keys = verified, result.SHA256, result.Size, result.Keys
	case errors.As(err, &refused):
		v.Reason, v.Detail, v.Advice = refused.Reason, refused.Detail, reasonAdviceOnFile[refused.Reason]
		v.Status, v.SHA256, v.Evidence = denied, refused.SHA256, append(v.Evidence, refused.Evidence...)
		err = errDenied
	default:
		return err
	}
	if a.json() {
		return errors.Join(a.out.document(v), err)
	}
	a.printVerdict(v.Status, words{v.File, "sha256:" + v.SHA256}, nil, v.opinion, explain)
	return err
}
