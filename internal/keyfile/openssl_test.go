package keyfile_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// openSSL is the program of a machine, with a directory to work in.
type openSSL struct {
	t    *testing.T
	path string
	dir  string
}

func newOpenSSL(t *testing.T) *openSSL {
	t.Helper()
	path, err := exec.LookPath("openssl")
	switch {
	case err == nil:
		return &openSSL{t, path, t.TempDir()}
	case os.Getenv("HALLMARK_REQUIRE_TOOLS") == "1":
		t.Fatal("openssl not found, and HALLMARK_REQUIRE_TOOLS=1")
	default:
		t.Skip("openssl not found")
	}
	return nil
}

// run runs a command line, in which SECRET is the password.
func (o *openSSL) run(line string) {
	o.t.Helper()
	var args []string
	for _, word := range strings.Fields(line) {
		args = append(args, strings.ReplaceAll(word, "SECRET", "pass:"+secret))
	}
	cmd := exec.CommandContext(o.t.Context(), o.path, args...)
	cmd.Dir = o.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Fatalf("openssl %s: %v\n%s", line, err, out)
	}
}

func (o *openSSL) read(name string) string {
	o.t.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

// keys makes one key of each type that is supported, in PKCS#8, with its public key.
func (o *openSSL) keys() []string {
	o.t.Helper()
	all := map[string]string{
		"p256": "EC -pkeyopt ec_paramgen_curve:P-256", "p384": "EC -pkeyopt ec_paramgen_curve:P-384", "p521": "EC -pkeyopt ec_paramgen_curve:P-521",
		"rsa": "RSA -pkeyopt rsa_keygen_bits:2048", "ed": "ED25519",
	}
	var names []string
	for name, how := range all {
		o.run("genpkey -algorithm " + how + " -out " + name + ".key")
		o.run("pkey -in " + name + ".key -pubout -out " + name + ".pub")
		names = append(names, name)
	}
	return names
}

// opens checks that a file is the private key of a pair.
func (o *openSSL) opens(what, file, pair string) {
	o.t.Helper()
	s, err := open(o.read(file), give(secret))
	if err != nil {
		o.t.Errorf("%s: %v\n%s", what, err, o.read(file))
		return
	}
	k, err := sigkey.New(s.Public())
	if err != nil {
		o.t.Fatal(err)
	}
	o.isPublic(what, k, pair)
}

func (o *openSSL) isPublic(what string, k *sigkey.Key, pair string) {
	o.t.Helper()
	public, err := keyfile.ParsePublic([]byte(o.read(pair + ".pub")))
	if err != nil || k.ID() != public.ID() {
		o.t.Errorf("%s: another key than that of %s: %v", what, pair, err)
	}
}

func TestKeysThatOpenSSLWritesAreRead(t *testing.T) {
	race.Skip(t, "one goroutine derives keys of passwords")
	o := newOpenSSL(t)
	for _, name := range o.keys() {
		o.opens(name, name+".key", name)
		for _, how := range []string{
			"-v2 aes-128-cbc -v2prf hmacWithSHA1", "-v2 aes-192-cbc -v2prf hmacWithSHA256", "-v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 20000",
			"-v2 des3", "-v2 aes-256-cbc -v2prf hmacWithSHA384", "-scrypt", "-scrypt -scrypt_N 1024 -scrypt_r 8 -scrypt_p 16", "",
		} {
			o.run("pkcs8 -topk8 -in " + name + ".key -out sealed " + how + " -passout SECRET")
			o.opens(name+", pkcs8 "+how, "sealed", name)
			if s, err := open(o.read("sealed"), give("wrong")); s != nil || !errors.Is(err, keyfile.ErrPassword) {
				t.Errorf("%s, %s, wrong password: %v", name, how, err)
			}
		}
		o.run("pkcs8 -topk8 -in " + name + ".key -out sealed -passout pass:")
		if _, err := open(o.read("sealed"), give("")); err != nil {
			t.Errorf("%s, an empty password: %v", name, err)
		}
		o.run("req -x509 -new -key " + name + ".key -subj /CN=a -out cert.pem")
		o.run("pkcs12 -export -inkey " + name + ".key -in cert.pem -passout SECRET -out archive.p12")
		o.run("pkcs12 -in archive.p12 -passin SECRET -nocerts -nodes -out bag.pem")
		o.opens(name+", out of PKCS#12", "bag.pem", name)
		o.run("pkcs12 -in archive.p12 -passin SECRET -nocerts -passout SECRET -out bag.pem")
		o.opens(name+", out of PKCS#12, encrypted", "bag.pem", name)
	}
	for _, name := range []string{"p256", "p384", "p521", "rsa"} {
		tool := "ec"
		if name == "rsa" {
			tool = "rsa -traditional"
			o.run("rsa -pubin -in rsa.pub -RSAPublicKey_out -out pkcs1.pub")
			k, err := keyfile.ParsePublic([]byte(o.read("pkcs1.pub")))
			if err != nil {
				t.Fatal(err)
			}
			o.isPublic("PKCS#1", k, name)
		}
		for _, cipher := range []string{"", "-aes128", "-aes192", "-aes256", "-des3"} {
			o.run(tool + " -in " + name + ".key -out legacy -passout SECRET " + cipher)
			o.opens(name+", legacy "+cipher, "legacy", name)
		}
	}
	o.run("ecparam -name prime256v1 -genkey -out both.key")
	if text := o.read("both.key"); !strings.Contains(text, "EC PARAMETERS") {
		t.Error("openssl writes no parameters any more")
	} else if _, err := open(text, nil); err != nil {
		t.Errorf("with parameters: %v", err)
	}
}

// What openssl writes that cannot be used is named, and where a command is advised, it
// makes a file that can.
func TestAttack_T8_FilesOfOpenSSLAreNamed(t *testing.T) {
	o := newOpenSSL(t)
	o.keys()
	for _, c := range []struct {
		what, make string
		kind       sigkey.Kind // as a private key
		public     sigkey.Kind // as a public key
	}{
		{"RSA-1024", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out FILE", sigkey.KindRSASize, sigkey.KindPrivate},
		{"RSA-512", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:512 -out FILE", sigkey.KindRSASize, sigkey.KindPrivate},
		{"RSA-512, PKCS#1", "rsa -traditional -in RSA-512 -out FILE", sigkey.KindRSASize, sigkey.KindPrivate},
		{"RSA-512, public", "pkey -in RSA-512 -pubout -out FILE", sigkey.KindPublic, sigkey.KindRSASize},
		{"Diffie-Hellman", "genpkey -algorithm DH -pkeyopt group:ffdhe2048 -out FILE", sigkey.KindAlgorithm, sigkey.KindPrivate},
		{"Diffie-Hellman, public", "pkey -in Diffie-Hellman -pubout -out FILE", sigkey.KindPublic, sigkey.KindAlgorithm},
		{"DSA", "dsaparam -genkey -noout -out FILE 1024", sigkey.KindAlgorithm, sigkey.KindPrivate},
		{"DSA, public", "pkey -in DSA -pubout -out FILE", sigkey.KindPublic, sigkey.KindAlgorithm},
		{"RSA-PSS", "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out FILE", sigkey.KindAlgorithm, sigkey.KindPrivate},
		{"secp256k1", "ecparam -name secp256k1 -genkey -noout -out FILE", sigkey.KindCurve, sigkey.KindPrivate},
		{"secp256k1, PKCS#8", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out FILE", sigkey.KindCurve, sigkey.KindPrivate},
		{"P-224", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-224 -out FILE", sigkey.KindCurve, sigkey.KindPrivate},
		{"brainpool", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1 -out FILE", sigkey.KindCurve, sigkey.KindPrivate},
		{"SM2", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out FILE", sigkey.KindCurve, sigkey.KindPrivate},
		{"explicit parameters", "pkey -in p256.key -ec_param_enc explicit -out FILE", sigkey.KindCurve, sigkey.KindPrivate},
		{"explicit, SEC 1", "ec -in p256.key -param_enc explicit -out FILE", sigkey.KindCurve, sigkey.KindPrivate},
		{"secp256k1, public", "pkey -in secp256k1 -pubout -out FILE", sigkey.KindPublic, sigkey.KindCurve},
		{"explicit, public", "pkey -in explicit-parameters -pubout -out FILE", sigkey.KindPublic, sigkey.KindCurve},
		{"Ed448", "genpkey -algorithm ED448 -out FILE", sigkey.KindAlgorithm, sigkey.KindPrivate},
		{"X25519", "genpkey -algorithm X25519 -out FILE", sigkey.KindAlgorithm, sigkey.KindPrivate},
		{"X448", "genpkey -algorithm X448 -out FILE", sigkey.KindAlgorithm, sigkey.KindPrivate},
		{"certificate", "req -x509 -new -key p256.key -subj /CN=a -out FILE", sigkey.KindCertificate, sigkey.KindCertificate},
		{"trusted certificate", "x509 -in certificate -trustout -out FILE", sigkey.KindCertificate, sigkey.KindCertificate},
		{"certificate in DER", "x509 -in certificate -outform DER -out FILE", sigkey.KindCertificate, sigkey.KindCertificate},
		{"request", "req -new -key p256.key -subj /CN=a -out FILE", sigkey.KindRequest, sigkey.KindRequest},
		{"request in DER", "req -in request -outform DER -out FILE", sigkey.KindRequest, sigkey.KindRequest},
		{"PKCS#7", "crl2pkcs7 -nocrl -certfile certificate -out FILE", sigkey.KindPKCS7, sigkey.KindPKCS7},
		{"PKCS#7 in DER", "crl2pkcs7 -nocrl -certfile certificate -outform DER -out FILE", sigkey.KindPKCS7, sigkey.KindPKCS7},
		{"PKCS#12", "pkcs12 -export -inkey p256.key -in certificate -passout SECRET -out FILE", sigkey.KindPKCS12, sigkey.KindPKCS12},
		{"private DER", "pkey -in p256.key -outform DER -out FILE", sigkey.KindDER, sigkey.KindDER},
		{"SEC 1 in DER", "ec -in p256.key -outform DER -out FILE", sigkey.KindDER, sigkey.KindDER},
		{"PKCS#1 in DER", "rsa -traditional -in rsa.key -outform DER -out FILE", sigkey.KindDER, sigkey.KindDER},
		{"encrypted DER", "pkcs8 -topk8 -in p256.key -outform DER -passout SECRET -out FILE", sigkey.KindDER, sigkey.KindDER},
		{"public DER", "pkey -in p256.key -pubout -outform DER -out FILE", sigkey.KindDER, sigkey.KindDER},
		{"public key", "pkey -in p256.key -pubout -out FILE", sigkey.KindPublic, ""},
		{"private key", "pkey -in ed.key -out FILE", "", sigkey.KindPrivate},
		{"PBES1 of PKCS#12", "pkcs8 -topk8 -in p256.key -v1 PBE-SHA1-3DES -passout SECRET -out FILE", sigkey.KindEncryption, sigkey.KindPrivate},
		{"Camellia", "ec -in p256.key -camellia256 -passout SECRET -out FILE", sigkey.KindEncryption, sigkey.KindPrivate},
		{"Camellia, PKCS#8", "pkcs8 -topk8 -in p256.key -v2 camellia-256-cbc -passout SECRET -out FILE", sigkey.KindEncryption, sigkey.KindPrivate},
		{"key and text", "pkey -in p256.key -text -out FILE", sigkey.KindSeveral, sigkey.KindSeveral},
		{"parameters", "ecparam -name prime256v1 -out FILE", sigkey.KindDamaged, sigkey.KindDamaged},
	} {
		file := strings.NewReplacer(" ", "-", "#", "", ",", "").Replace(c.what)
		o.run(strings.ReplaceAll(c.make, "FILE", file))
		text := o.read(file)
		_, err := open(text, give(secret))
		if kindOf(err) != c.kind || c.kind == "" && err != nil {
			t.Errorf("%s as a private key: %v of kind %q, want %q", c.what, err, kindOf(err), c.kind)
		}
		o.follow(c.what, file, err, func(text string) error { _, err := open(text, give(secret)); return err })
		_, err = keyfile.ParsePublic([]byte(text))
		if kindOf(err) != c.public || c.public == "" && err != nil {
			t.Errorf("%s as a public key: %v of kind %q, want %q", c.what, err, kindOf(err), c.public)
		}
		o.follow(c.what, file, err, func(text string) error { _, err := keyfile.ParsePublic([]byte(text)); return err })
	}
}

// follow runs the openssl command that an error advises, and checks what it makes.
func (o *openSSL) follow(what, file string, err error, usable func(text string) error) {
	o.t.Helper()
	var e *sigkey.Error
	if !errors.As(sigkey.InFile(err, file), &e) {
		return
	}
	_, line, found := strings.Cut(e.Advice, ": openssl ")
	if !found || e.Kind == sigkey.KindPKCS7 {
		return // it prints certificates to look at
	}
	prints := !strings.Contains(line, " -out NEW")
	line = strings.NewReplacer("NEW.key", "made", "NEW.pub", "made").Replace(line)
	if prints {
		line += " -out made"
	}
	if strings.HasPrefix(line, "pkcs8") || strings.HasPrefix(line, "pkcs12 ") || strings.Contains(what, "encrypted") || e.Kind == sigkey.KindPrivate {
		line += " -passin SECRET"
	}
	if strings.HasPrefix(line, "pkcs8") || strings.Contains(line, "-nocerts") {
		line += " -passout SECRET"
	}
	o.run(line)
	made := usable(o.read("made"))
	if strings.Contains(line, "-nokeys") && kindOf(made) == sigkey.KindCertificate {
		return // whose public key the next advice prints
	}
	switch kind := kindOf(made); kind {
	case "", sigkey.KindRSASize, sigkey.KindAlgorithm, sigkey.KindCurve: // of what was in the file
	default:
		o.t.Errorf("%s: %q makes what cannot be used: %v", what, e.Advice, made)
	}
}
