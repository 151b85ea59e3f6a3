package command

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/sign"
)

// keygenResult is what keygen prints as JSON.
type keygenResult struct {
	PrivateKey string `json:"privateKey"`
	PublicKey  string `json:"publicKey"`
	KeyID      string `json:"keyId"`
	Algorithm  string `json:"algorithm"`
}

type keygenFlags struct {
	out           string
	algorithm     string
	passwords     passwords
	emptyPassword bool
}

func (a *app) keygenCommand() *cobra.Command {
	f := keygenFlags{passwords: passwords{app: a}}
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a key pair",
		Long: `Make a key pair: PREFIX.key, the private key, encrypted with a password, and
PREFIX.pub, the public key to hand out. Existing files are never overwritten.

The password comes from --password-file, from ` + passwordVariable + `, or from a prompt.
cosign reads and writes the same key files.

JSON is one object: privateKey and publicKey (paths), keyId, algorithm.`,
		Example: `  hallmark keygen
  hallmark keygen --out release --algorithm ed25519`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keygen(cmd.Context(), f) },
	}
	var algorithms []string
	for _, algorithm := range sign.Algorithms() {
		algorithms = append(algorithms, string(algorithm))
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "hallmark", "write `PREFIX`.key and PREFIX.pub")
	flags.StringVar(&f.algorithm, "algorithm", string(sign.ECDSAP256), "type of key")
	flags.BoolVar(&f.emptyPassword, "insecure-empty-password", false, "let everyone who has the file use the private key")
	f.passwords.flag(cmd)
	suggest(cmd, "algorithm", algorithms...)
	return cmd
}

func (a *app) keygen(ctx context.Context, f keygenFlags) error {
	o := sign.KeyOptions{
		Algorithm:   sign.Algorithm(f.algorithm),
		PrivatePath: f.out + ".key", PublicPath: f.out + ".pub",
		InsecureEmptyPassword: f.emptyPassword,
	}
	// Before a person makes up a password.
	for _, path := range []string{o.PrivatePath, o.PublicPath} {
		if _, err := os.Lstat(path); err == nil {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
	}
	if !f.emptyPassword {
		var err error
		if o.Password, err = f.passwords.fresh(ctx); err != nil {
			return err
		}
	}
	pair, err := sign.Generate(ctx, o)
	if err != nil {
		return err
	}
	if f.emptyPassword {
		a.console.say("warning: everyone who gets %s can sign with it", o.PrivatePath)
	}
	return a.printKeys(keygenResult{o.PrivatePath, o.PublicPath, pair.ID, f.algorithm})
}

func (a *app) printKeys(r keygenResult) error {
	if a.json() {
		return a.out.document(r)
	}
	a.out.line("", words{"private key", r.PrivateKey})
	a.out.line("", words{"public key ", r.PublicKey})
	a.out.line("", words{"key ID     ", r.KeyID})
	a.console.hint(fmt.Sprintf("hand out %s, and sign: hallmark sign --key %s IMAGE", r.PublicKey, r.PrivateKey))
	return nil
}
