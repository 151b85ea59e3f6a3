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

JSON is one list with one object of the form that verify prints: file, status, sha256,
size, policy, reason, detail, hint, unmet, keys (id, name, annotations), evidence (format,
keyId, requirement, reason, detail). Its schema: hallmark policy schema --of result.`,
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
	verifier, err := verifierOfKeys(policy)
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
	r := verify.ReportOfFile(path, result, err)
	switch r.Status {
	case verify.StatusUndecided:
		return err
	case verify.StatusDenied:
		r.Hint, err = reasonAdviceOnFile[r.Reason], errDenied
	}
	if a.json() {
		return errors.Join(a.out.document([]verify.Report{r}), err)
	}
	a.printReport(r, words{r.File, "sha256:" + r.SHA256}, nil, explain)
	return err
}
