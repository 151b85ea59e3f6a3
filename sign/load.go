package sign

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// Errors of Load and Generate, for errors.Is.
var (
	// ErrPassword: no password, an empty one, or the wrong one.
	ErrPassword = keyfile.ErrPassword
	// ErrPermissions: others can read a private key that is not encrypted.
	ErrPermissions = errors.New("private key readable by others")
)

// KeyError says why a key, or the file that should hold one, is unusable. It wraps
// ErrKey, and holds no part of the key. Its fields are
//
//   - Kind, a stable string for what was found.
//     Files: "empty", "file-size", "unknown-format", "damaged", "several".
//     The other key of a pair: "private-key", "public-key".
//     Other formats: "certificate", "certificate-request", "pkcs7", "pkcs12", "der",
//     "openssh", "openpgp", "jwk", "foreign-format", "encryption".
//     Keys: "no-key", "algorithm", "curve", "rsa-size", "rsa-exponent", "weak-point".
//   - Detail, a description for people
//   - Advice, what a person can do about it, or ""
type KeyError = sigkey.Error

// LoadOptions set how a key file is read. The zero value reads files that are not
// encrypted.
type LoadOptions struct {
	// Password returns the password. It is called once, and only for an encrypted key
	// that can be opened. Nil: ErrPassword for encrypted keys.
	Password func(context.Context) ([]byte, error)
	// Signer chooses the algorithm. Zero: the key's usual one.
	Signer SignerOptions
	// Logger logs warnings about the file: an encrypted key that others can read, and a
	// symbolic link. Nil: no warnings.
	Logger *slog.Logger
	// InsecurePermissions accepts a private key that is not encrypted and that others
	// than its owner can read. False: ErrPermissions. Windows is not checked.
	InsecurePermissions bool
}

// Load reads a private key from the PEM file at path, a regular file of at most 64
// KiB. The file holds one key in one of these forms:
//
//   - PKCS#8 ("PRIVATE KEY"), SEC 1 ("EC PRIVATE KEY", with or without "EC PARAMETERS"
//     before it), PKCS#1 ("RSA PRIVATE KEY")
//   - cosign's encrypted key ("ENCRYPTED SIGSTORE PRIVATE KEY")
//   - encrypted PKCS#8 ("ENCRYPTED PRIVATE KEY"): PBES2 with PBKDF2 or scrypt, and
//     AES or triple DES in CBC mode
//   - openssl's older encryption of SEC 1 and PKCS#1 ("DEK-Info: AES-256-CBC"), with
//     AES or triple DES
//
// PBKDF2 may take 10 million iterations and scrypt 128 MiB. The text may have what
// policy.ParsePublicKey allows.
//
// Errors are *KeyError, ErrPassword, ErrPermissions and those of the file system. A
// URI of a key service is a *KeyError: make a signer with the package of that service.
func Load(ctx context.Context, path string, o LoadOptions) (Signer, error) {
	if scheme, _, ok := strings.Cut(path, "://"); ok {
		return nil, sigkey.Errorf(sigkey.KindForeign, "%.40q is a key service, which Load does not speak", scheme).
			Advise("make a signer with the package of the key service, and FromSigstore")
	}
	text, info, err := file.Read(path, keyfile.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	s, err := open(ctx, text, o, func(encrypted bool) error { return checkMode(path, info, encrypted, o) })
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", filepath.Base(path), sigkey.InFile(err, path))
	}
	return s, nil
}

// LoadPEM is Load for the text of a key file.
func LoadPEM(ctx context.Context, text []byte, o LoadOptions) (Signer, error) {
	return open(ctx, text, o, func(bool) error { return nil })
}

// open makes a signer of a key file.
func open(ctx context.Context, text []byte, o LoadOptions, allowed func(encrypted bool) error) (Signer, error) {
	key, err := openKey(ctx, text, o, allowed)
	if err != nil {
		return nil, err
	}
	return New(key, o.Signer)
}

// openKey opens a key file. It calls allowed before it asks for a password.
func openKey(ctx context.Context, text []byte, o LoadOptions, allowed func(encrypted bool) error) (crypto.Signer, error) {
	private, err := keyfile.ReadPrivate(text)
	if err != nil {
		return nil, err
	}
	defer private.Clear()
	if err := allowed(private.Encrypted()); err != nil {
		return nil, err
	}
	var password func() ([]byte, error)
	if o.Password != nil {
		password = func() ([]byte, error) { return o.Password(ctx) }
	}
	return private.Open(password)
}

func checkMode(path string, info fs.FileInfo, encrypted bool, o LoadOptions) error {
	readable := runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
	if readable && !encrypted && !o.InsecurePermissions {
		return fmt.Errorf("%w: mode %04o; run chmod 600 on it", ErrPermissions, info.Mode().Perm())
	}
	if o.Logger == nil {
		return nil
	}
	if readable {
		o.Logger.Warn("private key is readable by others", "file", path, "mode", info.Mode().Perm().String())
	}
	if l, err := os.Lstat(path); err == nil && l.Mode()&fs.ModeSymlink != 0 {
		o.Logger.Warn("private key is a symbolic link", "file", path)
	}
	return nil
}
