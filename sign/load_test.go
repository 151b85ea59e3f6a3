package sign_test

import (
	"bytes"
	"context"
	"crypto"
	//lint:ignore SA1019 only to see DSA keys refused
	"crypto/dsa"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/sign"
)

const secret = "correct horse battery staple"

func password(pw string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(pw), nil }
}

func writeFile(t testing.TB, text []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.key")
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func verifies(t testing.TB, s sign.Signer) {
	t.Helper()
	key, err := sigkey.New(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Sign(context.Background(), []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify(&sigkey.Message{Bytes: []byte("message")}, sig); err != nil {
		t.Error(err)
	}
}

func TestGenerateAndLoadEveryAlgorithm(t *testing.T) {
	race.Skip(t, "one goroutine derives keys of passwords")
	for _, a := range sign.Algorithms() {
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := sign.KeyOptions{
				Algorithm: a, Password: []byte(secret),
				PrivatePath: filepath.Join(dir, "k.key"), PublicPath: filepath.Join(dir, "k.pub"),
			}
			pair, err := sign.Generate(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			verifies(t, pair.Signer)
			loaded, err := sign.Load(context.Background(), o.PrivatePath, sign.LoadOptions{Password: password(secret)})
			if err != nil {
				t.Fatal(err)
			}
			verifies(t, loaded)
			public, err := os.ReadFile(o.PublicPath)
			if err != nil {
				t.Fatal(err)
			}
			key, err := keyfile.ParsePublic(public)
			if err != nil || key.ID() != pair.ID {
				t.Errorf("public key %v, %v; want %s", key, err, pair.ID)
			}
			if info, err := os.Stat(o.PrivatePath); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("private key has mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestGenerateNeverOverwritesNorLeavesHalfAPair(t *testing.T) {
	dir := t.TempDir()
	o := sign.KeyOptions{Password: []byte(secret), PrivatePath: filepath.Join(dir, "k.key"), PublicPath: filepath.Join(dir, "k.pub")}
	if err := os.WriteFile(o.PublicPath, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pair, err := sign.Generate(context.Background(), o); pair != nil || !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, %v; want ErrExist", pair, err)
	}
	if _, err := os.Stat(o.PrivatePath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the private key of half a pair stayed: %v", err)
	}
	if text, err := os.ReadFile(o.PublicPath); err != nil || string(text) != "mine" {
		t.Errorf("overwritten: %q, %v", text, err)
	}
}

func TestGenerateThatEndsEarlyWritesNothing(t *testing.T) {
	dir := t.TempDir()
	o := sign.KeyOptions{Password: []byte(secret), PrivatePath: filepath.Join(dir, "k.key"), PublicPath: filepath.Join(dir, "k.pub")}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if pair, err := sign.Generate(ctx, o); pair != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, %v", pair, err)
	}
	if _, err := os.Stat(o.PrivatePath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("cancelled, and there is a key: %v", err)
	}
	if err := os.WriteFile(o.PrivatePath, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pair, err := sign.Generate(t.Context(), o); pair != nil || !errors.Is(err, fs.ErrExist) {
		t.Errorf("the private key exists: %v, %v; want ErrExist", pair, err)
	}
	if text, err := os.ReadFile(o.PrivatePath); err != nil || string(text) != "mine" {
		t.Errorf("overwritten: %q, %v", text, err)
	}
	if _, err := os.Stat(o.PublicPath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a public key without its private one: %v", err)
	}
}

func TestGenerateRefusesWhatIsUnsafe(t *testing.T) {
	if _, err := sign.Generate(context.Background(), sign.KeyOptions{}); !errors.Is(err, sign.ErrPassword) {
		t.Errorf("no password: %v", err)
	}
	if _, err := sign.Generate(context.Background(), sign.KeyOptions{InsecureEmptyPassword: true}); err != nil {
		t.Errorf("no password, on purpose: %v", err)
	}
	if _, err := sign.Generate(context.Background(), sign.KeyOptions{Algorithm: "rsa-1024", Password: []byte(secret)}); !errors.Is(err, sign.ErrKey) {
		t.Errorf("unknown algorithm: %v", err)
	}
}

func TestLoadReadsEveryPlainForm(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8}})
	for name, text := range map[string][]byte{
		"PKCS#8":            pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		"SEC 1":             pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		"SEC 1 as openssl":  append(parameters, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...),
		"PKCS#1":            pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rs)}),
		"cosign's old type": seal(t, "ENCRYPTED COSIGN PRIVATE KEY", pkcs8),
	} {
		s, err := sign.Load(context.Background(), writeFile(t, text, 0o600), sign.LoadOptions{Password: password(secret)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		verifies(t, s)
	}
}

func seal(t testing.TB, pemType string, der []byte) []byte {
	t.Helper()
	sealed, err := encrypted.Encrypt(der, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: sealed})
}

func TestAttack_S3_KeysInTheClearThatOthersCanReadAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no file modes")
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	open := writeFile(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o644)
	if _, err := sign.Load(context.Background(), open, sign.LoadOptions{}); !errors.Is(err, sign.ErrPermissions) {
		t.Errorf("world-readable: %v, want ErrPermissions", err)
	}
	if _, err := sign.Load(context.Background(), open, sign.LoadOptions{InsecurePermissions: true}); err != nil {
		t.Errorf("world-readable, on purpose: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link.key")
	if err := os.Symlink(writeFile(t, seal(t, "ENCRYPTED SIGSTORE PRIVATE KEY", der), 0o640), link); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := sign.LoadOptions{Password: password(secret), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := sign.Load(context.Background(), link, o); err != nil {
		t.Errorf("encrypted, readable by a group, behind a link: %v", err)
	}
	for _, warning := range []string{"readable by others", "symbolic link"} {
		if !strings.Contains(log.String(), warning) {
			t.Errorf("not warned that it is %q: %s", warning, &log)
		}
	}
}

func TestAttack_S3_PasswordsReachNoErrorOrLog(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, seal(t, "ENCRYPTED SIGSTORE PRIVATE KEY", der), 0o600)
	var log bytes.Buffer
	wrong := "not-the-password"
	_, err = sign.Load(context.Background(), path, sign.LoadOptions{
		Password: password(wrong), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if !errors.Is(err, sign.ErrPassword) {
		t.Fatalf("wrong password: %v", err)
	}
	if strings.Contains(err.Error(), wrong) || strings.Contains(log.String(), wrong) {
		t.Errorf("the password stands in %q or %q", err, &log)
	}
	for name, o := range map[string]sign.LoadOptions{
		"none":    {},
		"empty":   {Password: password("")},
		"failing": {Password: func(context.Context) ([]byte, error) { return nil, errors.New("no terminal") }},
	} {
		if _, err := sign.Load(context.Background(), path, o); !errors.Is(err, sign.ErrPassword) {
			t.Errorf("%s password: %v, want ErrPassword", name, err)
		}
	}
}

// sealedOnce is an encrypted text. To derive its key takes seconds under the race detector.
var sealedOnce = sync.OnceValues(func() ([]byte, error) { return encrypted.Encrypt([]byte("der"), []byte(secret)) })

// encryptedWith returns a key file whose JSON has been changed.
func encryptedWith(t testing.TB, change func(map[string]any)) []byte {
	t.Helper()
	sealed, err := sealedOnce()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(sealed, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: text})
}

func TestAttack_S4_HostileKeyFilesCostNothing(t *testing.T) {
	params := func(k string, v any) func(map[string]any) {
		return func(m map[string]any) { m["kdf"].(map[string]any)["params"].(map[string]any)[k] = v }
	}
	asked := false
	o := sign.LoadOptions{Password: func(context.Context) ([]byte, error) { asked = true; return []byte(secret), nil }}
	for name, text := range map[string][]byte{
		"N=2^30":         encryptedWith(t, params("N", 1<<30)),
		"N=1":            encryptedWith(t, params("N", 1)),
		"r=10^6":         encryptedWith(t, params("r", 1_000_000)),
		"p=10^6":         encryptedWith(t, params("p", 1_000_000)),
		"N fraction":     encryptedWith(t, params("N", 65536.5)),
		"other kdf":      encryptedWith(t, func(m map[string]any) { m["kdf"].(map[string]any)["name"] = "md5" }),
		"other cipher":   encryptedWith(t, func(m map[string]any) { m["cipher"].(map[string]any)["name"] = "rot13" }),
		"no cipher":      encryptedWith(t, func(m map[string]any) { delete(m, "cipher") }),
		"truncated JSON": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte(`{"kdf":`)}),
		"two parameters": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY",
			Bytes: []byte(`{"kdf":{"name":"scrypt","params":{"N":65536,"r":8,"p":1,"n":1073741824}},"cipher":{"name":"nacl/secretbox"}}`)}),
	} {
		if _, err := sign.LoadPEM(context.Background(), text, o); !errors.Is(err, sign.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
	if asked {
		t.Error("a password was asked for a key that cannot be opened")
	}
}

func TestMalformedKeyFilesAreRefused(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weakDER, err := x509.MarshalPKCS8PrivateKey(weak)
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	exchangeDER, err := x509.MarshalPKCS8PrivateKey(exchange)
	if err != nil {
		t.Fatal(err)
	}
	block := func(pemType string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
	}
	for name, text := range map[string]string{
		"empty":           "",
		"no PEM":          "secret",
		"garbage":         block("PRIVATE KEY", []byte("garbage")),
		"garbage EC":      block("EC PRIVATE KEY", []byte("garbage")),
		"garbage RSA":     block("RSA PRIVATE KEY", []byte("garbage")),
		"parameters only": block("EC PARAMETERS", []byte{6, 8}),
		"public key":      block("PUBLIC KEY", []byte("x")),
		"PBES2":           block("ENCRYPTED PRIVATE KEY", []byte("x")),
		"unknown":         block("CAT", []byte("x")),
		"RSA-1024":        block("PRIVATE KEY", weakDER),
		"X25519":          block("PRIVATE KEY", exchangeDER), // agrees on secrets, and signs nothing
		"two keys":        block("PRIVATE KEY", weakDER) + block("PRIVATE KEY", weakDER),
		"100 MB":          strings.Repeat("A", 100<<20),
	} {
		_, err := sign.LoadPEM(context.Background(), []byte(text), sign.LoadOptions{})
		if !errors.Is(err, sign.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
	if _, err := sign.Load(context.Background(), "awskms:///alias/x", sign.LoadOptions{}); !errors.Is(err, sign.ErrKey) {
		t.Errorf("URI of a key service: %v", err)
	}
}

func TestAttack_F3_KeyFilesThatAreNoFilesAreRefused(t *testing.T) {
	if _, err := sign.Load(context.Background(), t.TempDir(), sign.LoadOptions{}); !errors.Is(err, file.ErrNotRegular) {
		t.Errorf("directory: %v", err)
	}
	large := writeFile(t, make([]byte, 1<<20), 0o600)
	if _, err := sign.Load(context.Background(), large, sign.LoadOptions{}); !errors.Is(err, limit.ErrExceeded) {
		t.Errorf("large file: %v", err)
	}
	if _, err := sign.Load(context.Background(), filepath.Join(t.TempDir(), "none"), sign.LoadOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

type publicOnly struct{ public crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.public }
func (publicOnly) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no key here")
}

func TestNewRefusesKeysAndHashesThatDoNotFit(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []crypto.Hash{0, crypto.SHA256, crypto.SHA384} {
		s, err := sign.New(p384, sign.SignerOptions{Hash: h})
		if err != nil {
			t.Fatal(err)
		}
		verifies(t, s)
	}
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA512} {
		if _, err := sign.New(p384, sign.SignerOptions{Hash: h}); !errors.Is(err, sign.ErrKey) {
			t.Errorf("P-384 with %s: %v, want ErrKey", h, err)
		}
	}
	for name, key := range map[string]crypto.Signer{"none": nil, "DSA": publicOnly{&dsa.PublicKey{}}} {
		if _, err := sign.New(key, sign.SignerOptions{}); !errors.Is(err, sign.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pss, err := sign.New(rs, sign.SignerOptions{PSS: true})
	if err != nil {
		t.Fatal(err)
	}
	verifies(t, pss)
}

func TestAttack_T8_ADamagedFirstPrivateKeyIsNotPassedOver(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	good := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if _, err := sign.LoadPEM(context.Background(), good, sign.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{"PRIVATE KEY", "EC PARAMETERS"} {
		text := "-----BEGIN " + first + "-----\n!!!!\n-----END " + first + "-----\n" + string(good)
		if _, err := sign.LoadPEM(context.Background(), []byte(text), sign.LoadOptions{}); !errors.Is(err, sign.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", first, err)
		}
	}
}
