package command

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// publicKeyResult is the JSON of public-key.
type publicKeyResult struct {
	KeyID string `json:"keyId"`
	// PublicKey is the path, or without --out the PEM text.
	PublicKey string `json:"publicKey"`
}

type publicKeyFlags struct {
	keyFlags
	out string
}

func (a *app) publicKeyCommand() *cobra.Command {
	f := publicKeyFlags{keyFlags: keyFlags{passwords: passwords{app: a}}}
	cmd := &cobra.Command{
		Use:   "public-key --key FILE",
		Short: "Print the public key of a private key",
		Long: `Print the public key that belongs to the private key of --key, as PEM. The file of a
public key is printed again, which checks it. The password comes from --password-file,
from ` + passwordVariable + `, or from a prompt.

` + keyHelp + `

JSON is one object: keyId, publicKey (the PEM text, or with --out the path).`,
		Example: `  hallmark public-key --key release.key
  hallmark public-key --key release.key --out release.pub`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.printPublicKey(cmd.Context(), f) },
	}
	a.oneKey(cmd, &f.keyFlags, "print the public key of this private key")
	cmd.Flags().StringVar(&f.out, "out", "", "write the public key to this new `FILE`")
	f.passwords.flag(cmd)
	return cmd
}

// oneKey is --key for a command that takes exactly one.
func (a *app) oneKey(cmd *cobra.Command, f *keyFlags, what string) {
	cmd.Flags().Func("key", what+": `FILE`, env://NAME, fd://N or -", func(ref string) error {
		f.keys = []string{ref}
		return nil
	})
}

func (a *app) printPublicKey(ctx context.Context, f publicKeyFlags) error {
	if len(f.keys) == 0 {
		return usageError("--key is missing: name a private key")
	}
	key, err := f.public(ctx)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	r := publicKeyResult{KeyID: key.ID(), PublicKey: string(text)}
	if f.out != "" {
		if err := createFile(f.out, text, 0o644); err != nil {
			return fmt.Errorf("public key: %w", err)
		}
		r.PublicKey = f.out
	}
	switch {
	case a.json():
		return a.out.document(r)
	case f.out != "":
		a.out.line("", words{"public key ", r.PublicKey})
		a.out.line("", words{"key ID     ", r.KeyID})
	default:
		a.out.put(r.PublicKey)
	}
	return nil
}

// public is the public key of --key, whether that is the private or the public one.
func (f publicKeyFlags) public(ctx context.Context) (policy.PublicKey, error) {
	signer, err := f.passwords.signerOf(ctx, f.keys[0])
	if is := (*sign.KeyError)(nil); errors.As(err, &is) && is.Kind == "public-key" {
		return f.passwords.app.publicKey(ctx, f.keys[0])
	}
	if err != nil {
		return policy.PublicKey{}, err
	}
	return policy.NewPublicKey(signer.Public())
}

type importFlags struct {
	keygenFlags
	keyFlags
	oldPassword passwords
}

func (a *app) importKeyCommand() *cobra.Command {
	f := importFlags{keygenFlags: keygenFlags{passwords: passwords{app: a}}, oldPassword: passwords{app: a}}
	cmd := &cobra.Command{
		Use:   "import-key-pair --key FILE",
		Short: "Encrypt a private key that exists",
		Long: `Encrypt the private key of --key, and write it to PREFIX.key and its public key to
PREFIX.pub. Existing files are never overwritten, and the old file stays: remove it
where nothing else needs it. Other commands read keys as they are.

The new password comes from --password-file, from ` + passwordVariable + `, or from a prompt.
That of an encrypted old key comes from --old-password-file, or from a prompt.

` + keyHelp + `

JSON is one object: privateKey and publicKey (paths), keyId, algorithm.`,
		Example: `  hallmark import-key-pair --key openssl.pem --out release
  hallmark import-key-pair --key env://RELEASE_KEY --out release`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.importKey(cmd.Context(), f) },
	}
	a.oneKey(cmd, &f.keyFlags, "encrypt this private key")
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "hallmark", "write `PREFIX`.key and PREFIX.pub")
	flags.BoolVar(&f.emptyPassword, "insecure-empty-password", false, "let everyone who has the file use the private key")
	flags.StringVar(&f.oldPassword.file, "old-password-file", "", "read the old key's password from the first line of this `FILE`; default: a prompt")
	f.keygenFlags.passwords.flag(cmd)
	return cmd
}

func (a *app) importKey(ctx context.Context, f importFlags) error {
	if len(f.keys) == 0 {
		return usageError("--key is missing: name the private key to encrypt")
	}
	o := sign.KeyOptions{
		PrivatePath: f.out + ".key", PublicPath: f.out + ".pub", InsecureEmptyPassword: f.emptyPassword,
	}
	for _, path := range []string{o.PrivatePath, o.PublicPath} {
		if _, err := os.Lstat(path); err == nil {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
	}
	text, found, err := a.keyText(ctx, f.keys[0])
	if !found && err == nil {
		if text, _, err = readFile(f.keys[0], maxKey); errors.Is(err, fs.ErrNotExist) {
			err = noKeyFile{err}
		}
	}
	if err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	if !f.emptyPassword {
		if o.Password, err = f.keygenFlags.passwords.fresh(ctx); err != nil {
			return err
		}
	}
	from := sign.LoadOptions{Password: func(ctx context.Context) ([]byte, error) {
		if f.oldPassword.file != "" {
			return f.oldPassword.fromFile()
		}
		return f.oldPassword.ask(ctx, "Password of the old key: ")
	}}
	pair, err := sign.Import(ctx, text, from, o)
	if err != nil {
		return fmt.Errorf("private key %s: %w", f.keys[0], err)
	}
	if f.emptyPassword {
		a.console.say("warning: everyone who gets %s can sign with it", o.PrivatePath)
	}
	public, err := policy.NewPublicKey(pair.Signer.Public())
	if err != nil {
		return err
	}
	return a.printKeys(keygenResult{o.PrivatePath, o.PublicPath, pair.ID, public.Algorithm()})
}
