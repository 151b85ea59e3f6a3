package sign

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Errors of Load and Generate, for errors.Is.
var (
	// ErrPassword: no password, an empty one, or the wrong one.
	ErrPassword = errors.New("wrong or missing password")
	// ErrPermissions: a private key lies in the clear where others can read it.
	ErrPermissions = errors.New("private key readable by others")
)

// PEM types of encrypted private keys (cosign v2, pkg/cosign/keys.go).
const (
	pemSigstore = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemCosign   = "ENCRYPTED COSIGN PRIVATE KEY"
)

// LoadOptions say how a key file is read.
type LoadOptions struct {
	// Password is asked once, and only for a key that is encrypted. Nil: such
	// keys are refused with ErrPassword.
	Password func(context.Context) ([]byte, error)
	// Signer chooses the algorithm. Zero: the key's usual one.
	Signer SignerOptions
	// Logger is warned of doubtful circumstances, such as an encrypted key that
	// others can read. Nil: no warnings.
	Logger *slog.Logger
	// InsecurePermissions accepts an unencrypted private key that others than
	// its owner can read. False: ErrPermissions. Windows is not checked.
	InsecurePermissions bool
}

// Load reads a private key from a file: cosign's encrypted keys, and PEM of
// PKCS#8, SEC 1 ("EC PRIVATE KEY") or PKCS#1 ("RSA PRIVATE KEY"). ref is a
// path; URIs of key services belong to the opt-in packages below sign/kms.
// Errors are ErrKey, ErrPassword, ErrPermissions or those of the file system.
func Load(ctx context.Context, ref string, o LoadOptions) (Signer, error) {
	if scheme, _, ok := strings.Cut(ref, "://"); ok {
		return nil, fmt.Errorf("%w: %q is a key service, which Load does not speak: make a signer of it with its own package, and FromSigstore", ErrKey, scheme)
	}
	text, info, err := file.Read(ref, sigkey.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	key, err := parsePrivate(ctx, text, o, func(encrypted bool) error { return checkMode(ref, info, encrypted, o) })
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", filepath.Base(ref), err)
	}
	return New(key, o.Signer)
}

// LoadPEM is Load for the text of a key file.
func LoadPEM(ctx context.Context, text []byte, o LoadOptions) (Signer, error) {
	if len(text) > sigkey.MaxFileSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKey, sigkey.MaxFileSize)
	}
	key, err := parsePrivate(ctx, text, o, func(bool) error { return nil })
	if err != nil {
		return nil, err
	}
	return New(key, o.Signer)
}

func checkMode(path string, info fs.FileInfo, encrypted bool, o LoadOptions) error {
	open := runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
	if open && !encrypted && !o.InsecurePermissions {
		return fmt.Errorf("%w: mode %04o; run chmod 600 on it", ErrPermissions, info.Mode().Perm())
	}
	if o.Logger == nil {
		return nil
	}
	if open {
		o.Logger.Warn("private key is readable by others", "file", path, "mode", info.Mode().Perm().String())
	}
	if l, err := os.Lstat(path); err == nil && l.Mode()&fs.ModeSymlink != 0 {
		o.Logger.Warn("private key is a symbolic link", "file", path)
	}
	return nil
}

func parsePrivate(ctx context.Context, text []byte, o LoadOptions, allowed func(encrypted bool) error) (crypto.Signer, error) {
	block, rest, err := sigkey.DecodePEM(text)
	if err != nil {
		return nil, err
	}
	// OpenSSL puts the curve's parameters before an EC key.
	if block.Type == "EC PARAMETERS" {
		if block, rest, err = sigkey.DecodePEM(rest); err != nil {
			return nil, err
		}
	}
	defer clear(block.Bytes)
	if strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("%w: something follows the first PEM block; give one key", ErrKey)
	}
	encrypted := block.Type == pemSigstore || block.Type == pemCosign
	if err := allowed(encrypted); err != nil {
		return nil, err
	}
	der := block.Bytes
	if encrypted {
		if der, err = decrypt(ctx, block.Bytes, o.Password); err != nil {
			return nil, err
		}
		defer clear(der)
		return parseDER("PRIVATE KEY", der)
	}
	return parseDER(block.Type, der)
}

func parseDER(pemType string, der []byte) (crypto.Signer, error) {
	var key any
	var err error
	switch pemType {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "ENCRYPTED PRIVATE KEY":
		return nil, fmt.Errorf("%w: encrypted PKCS#8 is not supported; decrypt it with openssl pkcs8 and import it with cosign import-key-pair", ErrKey)
	case "PUBLIC KEY":
		return nil, fmt.Errorf("%w: this is a public key; want the private key of the pair", ErrKey)
	default:
		return nil, fmt.Errorf("%w: PEM block %.40q is no private key", ErrKey, pemType)
	}
	if err != nil {
		// The parser's error may quote what it read.
		return nil, fmt.Errorf("%w: malformed %s", ErrKey, pemType)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a key of this type cannot sign", ErrKey)
	}
	return signer, nil
}

// decrypt opens cosign's encrypted keys. The parameters are checked first:
// others than cosign's own would cost any amount of memory and time.
func decrypt(ctx context.Context, data []byte, password func(context.Context) ([]byte, error)) ([]byte, error) {
	if err := checkEncryption(data); err != nil {
		return nil, err
	}
	if password == nil {
		return nil, fmt.Errorf("%w: the key is encrypted", ErrPassword)
	}
	pw, err := password(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassword, err)
	}
	der, err := encrypted.Decrypt(data, pw)
	if err != nil {
		return nil, fmt.Errorf("%w: the key does not open with it", ErrPassword)
	}
	return der, nil
}

func checkEncryption(data []byte) error {
	root, err := strictjson.Parse(data)
	if err != nil {
		return fmt.Errorf("%w: encrypted key: %w", ErrKey, err)
	}
	kdf, cipher := root.Get("kdf"), root.Get("cipher")
	if !kdf.Get("name").Is("scrypt") || !cipher.Get("name").Is("nacl/secretbox") {
		return fmt.Errorf("%w: encrypted key: want scrypt and nacl/secretbox", ErrKey)
	}
	n, _ := kdf.Get("params").Get("N").Int()
	r, _ := kdf.Get("params").Get("r").Int()
	p, _ := kdf.Get("params").Get("p").Int()
	switch n {
	case 32768, 65536, 131072:
	default:
		return fmt.Errorf("%w: encrypted key: scrypt N=%d, want 32768, 65536 or 131072", ErrKey, n)
	}
	if r != 8 || p != 1 {
		return fmt.Errorf("%w: encrypted key: scrypt r=%d p=%d, want r=8 p=1", ErrKey, r, p)
	}
	return nil
}
