package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keyTexts are the texts of a new pair of keys.
func keyTexts(t *testing.T) (private, public string) {
	t.Helper()
	k := newKey(t)
	for path, text := range map[string]*string{k.private: &private, k.public: &public} {
		read, err := os.ReadFile(path)
		must(t, err)
		*text = string(read)
	}
	return private, public
}

func TestKeysAreReadAsPeopleKeepThem(t *testing.T) {
	c, dir := newCLI(t), t.TempDir()
	private, public := keyTexts(t)
	blob := writeFile(t, filepath.Join(dir, "file"), []byte("content"))
	for name, change := range map[string]func(string) string{
		"comment": func(s string) string { return "# of the release\n" + s },
		"bom":     func(s string) string { return "\ufeff" + s },
		"crlf":    func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"escaped": func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) },
		"indent":  func(s string) string { return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") + "\n" },
	} {
		key := writeFile(t, filepath.Join(dir, name+".key"), []byte(change(private)))
		pub := writeFile(t, filepath.Join(dir, name+".pub"), []byte(change(public)))
		bundle := filepath.Join(dir, name+".bundle")
		c.must("sign-blob", blob, "--bundle", bundle, "--key", key)
		c.must("verify-blob", blob, "--bundle", bundle, "--key", pub)
		file := writeFile(t, filepath.Join(dir, name+".yaml"), []byte(`version: 1
keys: {release: {file: `+name+`.pub}}
roles: {release: {keys: [release]}}
rules: [{images: ["**"], require: [{signature: {by: release}}]}]
`))
		c.must("policy", "check", file)
	}
}

func TestAttack_T8_AdviceOnAKeyFileIsThatOfItsCause(t *testing.T) {
	c, x, dir := newCLI(t), layoutTarget(t), t.TempDir()
	x.push("v1")
	private, public := keyTexts(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(weak)
	must(t, err)
	weakPrivate := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	for name, file := range map[string]struct {
		text, sign, verify string // what is said; empty: it is a key
	}{
		"public.pub":  {public, "hint: give the private key of the pair", ""},
		"private.key": {private, "", "hint: give the public key of the pair; print it with: openssl pkey -in PATH -pubout"},
		"cert.pem":    {certificate, "hint: give the private key that belongs to the certificate", "hint: print its public key with: openssl x509 -in PATH -pubkey -noout"},
		"weak.key":    {weakPrivate, "RSA key of 1024 bits; want 2048 to 4096", "print it with: openssl pkey -in PATH -pubout"},
		"ssh.key":     {"ssh-rsa AAAA a@b\n", "this is an OpenSSH key", "ssh-keygen -e -m PKCS8 -f PATH"},
		"empty.key":   {"", "the file is empty", "the file is empty"},
		"key.jwk":     {`{"kty":"EC"}`, "this is a JSON Web Key", "hint: ask the key's owner for the public key in PEM"},
		"key.der":     {string(pkcs8), "openssl pkey -inform DER -in PATH -out NEW.key", "a private key in DER"},
	} {
		path := writeFile(t, filepath.Join(dir, name), []byte(file.text))
		for says, args := range map[string][]string{
			file.sign:   {"sign", "--key", path, x.tag("v1")},
			file.verify: {"verify", "--key", path, x.tag("v1")},
		} {
			if says == "" {
				continue
			}
			o := c.run(args...).exits(exitUndecided).says(strings.ReplaceAll(says, "PATH", path))
			if isPair := name == "key.der" || name == "public.pub" || name == "private.key" || name == "weak.key"; !isPair && strings.Contains(o.stderr, "of the pair") {
				t.Errorf("%s is of no pair: %s", name, o.stderr)
			}
		}
	}
}

func TestDetachedSignaturesAreVerified(t *testing.T) {
	c, k, dir := newCLI(t), newKey(t), t.TempDir()
	blob := writeFile(t, filepath.Join(dir, "file"), []byte("content"))
	bundle := filepath.Join(dir, "bundle")
	c.must("sign-blob", blob, "--bundle", bundle, "--key", k.private)
	text, err := os.ReadFile(bundle)
	must(t, err)
	var b struct{ MessageSignature struct{ Signature []byte } }
	must(t, json.Unmarshal(text, &b))
	der := b.MessageSignature.Signature
	var rs struct{ R, S *big.Int }
	_, err = asn1.Unmarshal(der, &rs)
	must(t, err)
	for name, content := range map[string]string{
		"raw": string(der), "base64": base64.StdEncoding.EncodeToString(der) + "\n",
		"fixed": string(append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)),
		"older": `{"base64Signature":"` + base64.StdEncoding.EncodeToString(der) + `"}`,
	} {
		path := writeFile(t, filepath.Join(dir, name), []byte(content))
		for _, flag := range []string{"--signature", "--bundle"} {
			c.must("verify-blob", blob, flag, path, "--key", k.public).prints("verified")
		}
		c.run("verify-blob", bundle, "--signature", path, "--key", k.public).exits(exitDenied).prints("untrusted-key")
	}
	c.run("verify-blob", blob, "--signature", filepath.Join(dir, "none"), "--key", k.public).exits(exitUndecided).says("signature: ")
	large := writeFile(t, filepath.Join(dir, "large"), make([]byte, maxSignature+1))
	c.run("verify-blob", blob, "--signature", large, "--key", k.public).exits(exitUndecided).says("exceeds its size limit")
}
