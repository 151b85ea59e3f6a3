package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/sign"
)

// signedBlob is what sign-blob prints as JSON.
type signedBlob struct {
	File   string `json:"file"`
	Bundle string `json:"bundle"`
}

type signBlobFlags struct {
	keyFlags
	bundle string
}

func (a *app) signBlobCommand() *cobra.Command {
	f := signBlobFlags{keyFlags: keyFlags{passwords: passwords{app: a}}}
	cmd := &cobra.Command{
		Use:   "sign-blob FILE --bundle FILE (--key FILE | --keyless)",
		Short: "Sign a file",
		Long: `Sign the bytes of FILE and write the signature to a bundle, which 'hallmark
verify-blob' and 'cosign verify-blob' read. An existing bundle is not overwritten.

` + keylessHelp + `

JSON is one object: file, bundle.`,
		Example: "  hallmark sign-blob app.tar.gz --bundle app.tar.gz.bundle --key release.key",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.signBlob(cmd.Context(), f, args[0]) },
	}
	// One bundle holds one signature.
	cmd.Flags().Func("key", "sign with this private key: `FILE`, env://NAME, fd://N or -", func(path string) error {
		f.keys = []string{path}
		return nil
	})
	cmd.Flags().StringVar(&f.bundle, "bundle", "", "write the signature to this new `FILE`")
	f.passwords.flag(cmd)
	f.keyless.flag(cmd)
	return cmd
}

func (a *app) signBlob(ctx context.Context, f signBlobFlags, path string) error {
	if f.bundle == "" {
		return usageError("--bundle is missing: name the file to write the signature to")
	}
	blob, closeBlob, err := a.openBlob(path, "signing")
	if err != nil {
		return err
	}
	defer closeBlob()
	signers, err := f.signers(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	text, err := sign.Blob(ctx, blob, signers[0])
	if err != nil {
		return err
	}
	if err := createFile(f.bundle, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if a.json() {
		return a.out.document(signedBlob{path, f.bundle})
	}
	a.out.line("", words{good.of("signed"), path, "signature in " + f.bundle})
	return nil
}
