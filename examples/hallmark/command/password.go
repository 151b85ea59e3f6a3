package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// passwordVariable is the variable that holds the password of private keys. A flag
// would show the password to every process.
const passwordVariable = "HALLMARK_PASSWORD"

// maxPassword bounds a password file, in bytes.
const maxPassword = 4096

var errNoPassword = errors.New("no password given")

// passwords finds the password of private keys in this order: the file of
// --password-file, the environment, a prompt on the terminal.
type passwords struct {
	app  *app
	file string
}

func (p *passwords) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.file, "password-file", "", "read the key's password from the first line of this `FILE`; default: "+passwordVariable+", or a prompt")
}

// existing returns the password of an existing key.
func (p *passwords) existing(ctx context.Context, prompt string) ([]byte, error) {
	if password, found, err := p.given(); found || err != nil {
		return password, err
	}
	return p.ask(ctx, prompt)
}

// fresh returns the password for a new key. A prompt asks for it twice.
func (p *passwords) fresh(ctx context.Context) ([]byte, error) {
	if password, found, err := p.given(); found || err != nil {
		return password, err
	}
	first, err := p.ask(ctx, "Password for the new private key: ")
	if err != nil || len(first) == 0 {
		return nil, err
	}
	second, err := p.ask(ctx, "The same password again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, errors.New("the two passwords differ; no key was made")
	}
	return first, nil
}

// given returns the password of the file or the environment, if there is one.
func (p *passwords) given() (password []byte, found bool, err error) {
	if p.file != "" {
		password, err := p.fromFile()
		return password, true, err
	}
	text, set := p.app.lookupEnv(passwordVariable)
	return []byte(text), set, nil
}

func (p *passwords) fromFile() ([]byte, error) {
	text, info, err := readFile(p.file, maxPassword)
	if err != nil {
		return nil, fmt.Errorf("password file: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		p.app.console.say("warning: others can read the password file %s; run chmod 600 on it", p.file)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

func (p *passwords) ask(ctx context.Context, prompt string) ([]byte, error) {
	if !p.app.stdinIsTerminal || p.app.stdinOf != "" {
		return nil, errNoPassword
	}
	return p.app.console.prompt(prompt, func() ([]byte, error) { return p.app.readSecret(ctx) })
}
