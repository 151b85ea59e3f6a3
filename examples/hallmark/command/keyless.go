package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
)

// keylessHelp says how to sign without a key.
const keylessHelp = `With --keyless no key is needed: Fulcio certifies a new one for your identity, which
is that of the CI job, of --identity-token, or yours when you log in on a terminal.
A certificate and a log make the identity public, such as an e-mail address.
--signing-config names the services. What they answer is verified by --trusted-root
before anything is attached.`

// Bounds of the file of an identity token, and of a login.
const (
	maxTokenFile = 64 << 10
	loginTimeout = 6 * time.Minute
)

// keylessFlags say how to sign without a key.
type keylessFlags struct {
	on                     bool
	config, root, token    string
	device                 bool
	withoutLogs, withoutCT bool
}

func (f *keylessFlags) flag(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.on, "keyless", false, "sign by a certificate for your identity, which becomes public")
	flags.StringVar(&f.config, "signing-config", "", "with --keyless, the `FILE` that names Sigstore's services, or a ClientTrustConfig")
	flags.StringVar(&f.root, "trusted-root", "", "with --keyless, the `FILE` with the trust root (default: that of the ClientTrustConfig)")
	flags.StringVar(&f.token, "identity-token", "", "with --keyless, the `FILE` that holds the identity token (default: that of the CI job, or a login)")
	flags.BoolVar(&f.device, "device", false, "with --keyless, log in on another device, by a code")
	flags.BoolVar(&f.withoutLogs, "without-logs", false, "with --keyless, for an instance that has no transparency log")
	flags.BoolVar(&f.withoutCT, "without-ct", false, "with --keyless, for an instance that has no log of certificates")
}

// check checks that flags go together. keys are those of --key.
func (f *keylessFlags) check(keys []string) error {
	switch {
	case f.on && len(keys) > 0:
		return usageError("--key and --keyless: sign with a key, or with a certificate")
	case f.on && f.config == "":
		return usageError("--signing-config is missing: name the file that names Sigstore's services")
	case !f.on && (f.config != "" || f.root != "" || f.token != "" || f.device || f.withoutLogs || f.withoutCT):
		return usageError("--keyless is missing, which the flags about certificates go with")
	case !f.on && len(keys) == 0:
		return usageError("--key is missing: name the private key to sign with, or sign by a certificate with --keyless")
	}
	return nil
}

// signer is certified for the identity of this run, and says which that is.
func (f *keylessFlags) signer(ctx context.Context, a *app) (sign.Signer, error) {
	o := keyless.Options{WithoutLogs: f.withoutLogs, WithoutCT: f.withoutCT}
	var err error
	if o.SigningConfig, _, err = readFile(f.config, maxTrustedRoot); err != nil {
		return nil, fmt.Errorf("--signing-config: %w", err)
	}
	if f.root != "" {
		if o.TrustedRoot, _, err = readFile(f.root, maxTrustedRoot); err != nil {
			return nil, fmt.Errorf("--trusted-root: %w", err)
		}
	}
	if o.Identity, err = f.identity(a, o.SigningConfig); err != nil {
		return nil, err
	}
	by, err := keyless.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.within(ctx, loginTimeout)
	defer cancel()
	who, err := by.Identity(ctx)
	if err != nil {
		return nil, err
	}
	a.console.say("hallmark: signing as %s %s by %s, which becomes public", who.SubjectType, who.Subject, who.Issuer)
	return by, nil
}

// identity is where the identity token comes from.
func (f *keylessFlags) identity(a *app, config []byte) (keyless.TokenSource, error) {
	if f.token != "" {
		return keyless.TokenFile(f.token, readToken), nil
	}
	login := keyless.LoginOptions{SigningConfig: config, Show: func(_ context.Context, p keyless.Prompt) error {
		if p.Code != "" {
			a.console.say("hallmark: open %s on any device, and enter the code %s", p.URL, p.Code)
		} else {
			a.console.say("hallmark: open this page in a browser on this machine: %s", p.URL)
		}
		return nil
	}}
	if f.device {
		return keyless.DeviceLogin(login), nil
	}
	source, err := keyless.Ambient(a.variable, keyless.AmbientOptions{ReadFile: os.ReadFile, Run: runProgram})
	if err != nil && a.stderrIsTerminal && a.stdinIsTerminal {
		return keyless.BrowserLogin(login), nil
	}
	return source, err
}

// variable reads the environment.
func (a *app) variable(name string) string {
	value, _ := a.lookupEnv(name)
	return value
}

func readToken(path string) ([]byte, error) {
	text, _, err := readFile(path, maxTokenFile)
	return text, err
}

func runProgram(ctx context.Context, program string, arguments ...string) ([]byte, error) {
	return exec.CommandContext(ctx, program, arguments...).Output()
}
