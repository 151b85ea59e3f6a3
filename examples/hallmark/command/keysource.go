package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// keyHelp says what a flag for keys takes.
const keyHelp = `A key is a file, or where no file should hold it:
  env://NAME   the environment variable NAME
  -            stdin, which one flag or argument may read
  fd://N       the open file descriptor N, also /dev/fd/N, as bash's <(COMMAND) gives`

const (
	envPrefix = "env://"
	fdPrefix  = "fd://"
	// maxKey bounds the text of a key that is not in a file, in bytes.
	maxKey = 64 << 10
)

// errKeySource is the error for a key that is named by something that is not there.
var errKeySource = errors.New("the key cannot be read")

const (
	capitals  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	lowerCase = "abcdefghijklmnopqrstuvwxyz"
	digits    = "0123456789"
)

// isVariable reports whether a text may name a variable.
func isVariable(name string) bool {
	return name != "" && len(name) <= 128 && !strings.ContainsAny(name[:1], digits) && strings.Trim(name, capitals+lowerCase+digits) == ""
}

// mayShow reports whether the name of a variable can be no key: it may be one in the place
// of a name.
func mayShow(name string) bool { return len(name) <= 32 && strings.Trim(name, capitals+digits) == "" }

// descriptorOf is the number in the path of a descriptor, or "".
func descriptorOf(path string) string {
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if number, is := strings.CutPrefix(path, dir); is && number != "" && strings.Trim(number, digits) == "" {
			return number
		}
	}
	return ""
}

// keyText returns the text of a key that is not in a file; found is false for a file.
// Errors hold no part of a key, even where it is given in the place of its name.
func (a *app) keyText(ctx context.Context, ref string) (text []byte, found bool, err error) {
	if text, known := a.keyTexts[ref]; known {
		return text, true, nil
	}
	switch {
	case strings.Contains(ref, "-----BEGIN") || strings.ContainsAny(ref, "\r\n"):
		return nil, true, usageError("--key holds a key in place of its name: put it into a variable, and write --key env://NAME")
	case strings.HasPrefix(ref, envPrefix):
		text, err = a.keyInEnv(strings.TrimPrefix(ref, envPrefix))
	case ref == stdinName || ref == "/dev/stdin":
		if err = a.takeStdin("--key"); err == nil {
			text, err = readWithin(ctx, a.stdin)
		}
	case strings.HasPrefix(ref, fdPrefix):
		text, found, err = a.keyInDescriptor(ctx, strings.TrimPrefix(ref, fdPrefix))
		if !found && err == nil {
			err = fmt.Errorf("%w: descriptor %s is a regular file: name the file itself", errKeySource, strings.TrimPrefix(ref, fdPrefix))
		}
	default:
		number := descriptorOf(ref)
		if number == "" {
			return nil, false, a.checkKeyFile(ref)
		}
		if text, found, err = a.keyInDescriptor(ctx, number); !found && err == nil {
			return nil, false, nil
		}
	}
	if err != nil {
		return nil, true, err
	}
	if a.keyTexts == nil {
		a.keyTexts = make(map[string][]byte)
	}
	a.keyTexts[ref] = text
	return text, true, nil
}

// leastKey is how many bytes the shortest encoded key has.
const leastKey = 32

// checkKeyFile fails for a reference that is not a file's, and for a file that is not there
// if its name could be a key, in base64 or hex: later errors show names.
func (a *app) checkKeyFile(path string) error {
	if scheme, is := schemeOf(path); is && (strings.HasPrefix(path[len(scheme):], "://") || projectSigners[scheme] != "" || a.plugins.Signers[scheme] != nil) {
		return fmt.Errorf("%w: --key names one by %s:…, and this takes a file, env://NAME, fd://N or -", errKeySource, scheme)
	}
	const encoding = capitals + lowerCase + digits + "+/=-"
	if len(path) < leastKey || strings.Trim(path, encoding) != "" {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	return fmt.Errorf("%w: --key names no file that is there; its name is not shown, since it could be a key", errKeySource)
}

func (a *app) keyInEnv(name string) ([]byte, error) {
	if !isVariable(name) {
		return nil, usageError("--key env://NAME: what follows env:// is not the name of a variable")
	}
	value, set := a.lookupEnv(name)
	shown := "the variable " + name
	if !mayShow(name) {
		shown = "the variable that env:// names"
	}
	switch {
	case !set:
		return nil, fmt.Errorf("%w: %s is not set", errKeySource, shown)
	case strings.TrimSpace(value) == "":
		return nil, fmt.Errorf("%w: %s is empty", errKeySource, shown)
	case len(value) > maxKey:
		return nil, fmt.Errorf("%w: %s: %w of %d bytes", errKeySource, shown, errTooLarge, maxKey)
	}
	if a.unsetEnv != nil {
		a.unsetEnv(name) // programs that this one starts do not inherit it
	}
	return []byte(value), nil
}

// keyInDescriptor reads a pipe that the caller has opened. Regular files are read by their
// path, with the checks of files; found is then false.
func (a *app) keyInDescriptor(ctx context.Context, number string) (text []byte, found bool, err error) {
	n, err := strconv.ParseUint(number, 10, 16)
	switch {
	case err != nil:
		return nil, true, usageError("--key fd://N: N is the number of an open file descriptor")
	case n == 0:
		if err := a.takeStdin("--key"); err != nil {
			return nil, true, err
		}
		text, err := readWithin(ctx, a.stdin)
		return text, true, err
	case n <= 2:
		return nil, true, usageError("--key: descriptor %d is for output", n)
	}
	file := path.Join("/dev/fd", strconv.FormatUint(n, 10))
	info, err := os.Stat(file)
	if err != nil {
		return nil, true, fmt.Errorf("%w: descriptor %d is not open", errKeySource, n)
	}
	if info.Mode().IsRegular() {
		return nil, false, nil
	}
	if info.Mode()&os.ModeNamedPipe == 0 {
		return nil, true, fmt.Errorf("%w: descriptor %d is neither a pipe nor a file", errKeySource, n)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, true, fmt.Errorf("%w: descriptor %d cannot be read", errKeySource, n)
	}
	defer func() { _ = f.Close() }() // only read from
	text, err = readWithin(ctx, f)
	return text, true, err
}

// readWithin reads a key to its end, or until the context ends. The reader may block then
// for as long as the process lives.
func readWithin(ctx context.Context, r io.Reader) ([]byte, error) {
	type answer struct {
		text []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := readAll(r, maxKey)
		done <- answer{text, err}
	}()
	select {
	case got := <-done:
		if got.err == nil && len(strings.TrimSpace(string(got.text))) == 0 {
			got.err = errors.New("it is empty")
		}
		if got.err != nil {
			return nil, fmt.Errorf("%w: %w", errKeySource, got.err)
		}
		return got.text, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// takeStdin notes who reads stdin. It can be read once.
func (a *app) takeStdin(by string) error {
	if a.stdinOf != "" {
		return usageError("stdin can be read once: %s and %s both name -", a.stdinOf, by)
	}
	a.stdinOf = by
	return nil
}

// stdinOnce fails before anything is read where a flag and a key both name stdin.
func stdinOnce(flag, value string, keys []string) error {
	if value == stdinName && slices.ContainsFunc(keys, func(ref string) bool { return ref == stdinName || ref == "/dev/stdin" || ref == "fd://0" }) {
		return usageError("stdin can be read once: %s and --key both name -", flag)
	}
	return nil
}

// signerOf opens a private key that a flag names.
func (p *passwords) signerOf(ctx context.Context, ref string) (sign.Signer, error) {
	a := p.app
	signer, err := a.plugins.signer(ctx, ref)
	if signer != nil || err != nil {
		return signer, err
	}
	o := sign.LoadOptions{Logger: a.logger(), Password: func(ctx context.Context) ([]byte, error) {
		return p.existing(ctx, "Password for "+ref+": ")
	}}
	text, found, err := a.keyText(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case !found:
		signer, err := sign.Load(ctx, ref, o)
		if errors.Is(err, fs.ErrNotExist) {
			err = noKeyFile{err}
		}
		return signer, err
	}
	if signer, err = sign.LoadPEM(ctx, text, o); err != nil {
		err = fmt.Errorf("private key %s: %w", ref, err)
	}
	return signer, err
}

// checkPrivateKey fails for a private key that cannot be read. One that is not in a file is
// read now, before another program could inherit it.
func (a *app) checkPrivateKey(ctx context.Context, ref string) error {
	scheme, is := schemeOf(ref)
	switch {
	case is && a.plugins.Signers[scheme] != nil:
		return nil
	case is && projectSigners[scheme] != "":
		_, err := a.plugins.signer(ctx, ref)
		return err
	}
	if _, found, err := a.keyText(ctx, ref); found || err != nil {
		return err
	}
	_, err := os.Stat(ref)
	if errors.Is(err, fs.ErrNotExist) {
		err = noKeyFile{err}
	}
	return err
}

// noKeyFile is the error for the file of a private key that is not there.
type noKeyFile struct{ error }

// Unwrap returns the error.
func (e noKeyFile) Unwrap() error { return e.error }

// publicKey reads a public key that a flag names.
func (a *app) publicKey(ctx context.Context, ref string) (policy.PublicKey, error) {
	text, found, err := a.keyText(ctx, ref)
	if err != nil || !found {
		if err == nil {
			return policy.LoadPublicKey(ref)
		}
		return policy.PublicKey{}, err
	}
	key, err := policy.ParsePublicKey(text)
	if err != nil {
		return key, fmt.Errorf("public key %s: %w", ref, err)
	}
	key.Name = ref
	return key, nil
}

// publicKeys reads the keys of --key.
func (a *app) publicKeys(ctx context.Context, refs []string) (keys []policy.PublicKey, err error) {
	for _, ref := range refs {
		key, err := a.publicKey(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
