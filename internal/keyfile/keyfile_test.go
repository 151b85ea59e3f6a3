package keyfile_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/crypto/scrypt"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

const secret = "correct horse"

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func block(pemType string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
}

// pair is a P-256 key in PEM.
func pair(t testing.TB) (key *ecdsa.PrivateKey, private, public string) {
	t.Helper()
	key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	private = block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))(t))
	public = block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(key.Public()))(t))
	return key, private, public
}

func open(text string, password func() ([]byte, error)) (crypto.Signer, error) {
	p, err := keyfile.ReadPrivate([]byte(text))
	if err != nil {
		return nil, err
	}
	return p.Open(password)
}

func give(password string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(password), nil }
}

// kindOf is the kind of an error about a key; "" of every other one.
func kindOf(err error) sigkey.Kind {
	var e *sigkey.Error
	if errors.As(err, &e) && errors.Is(err, sigkey.ErrKey) {
		return e.Kind
	}
	return ""
}

func toUTF16(text string, order binary.AppendByteOrder) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

func TestKeysAreReadAsPeopleKeepThem(t *testing.T) {
	key, private, public := pair(t)
	lines := func(f func(line string) string) func(string) string {
		return func(text string) string {
			var out strings.Builder
			for line := range strings.Lines(text) {
				out.WriteString(f(line))
			}
			return out.String()
		}
	}
	for name, change := range map[string]func(string) string{
		"as it is":    func(s string) string { return s },
		"text before": func(s string) string { return "Key of the release: for CI only\n\n" + s },
		"bag attributes": func(s string) string {
			return "Bag Attributes\n    friendlyName: a\nKey Attributes: <No Attributes>\n" + s
		},
		"byte order mark":     func(s string) string { return "\ufeff" + s },
		"mark and comment":    func(s string) string { return "\ufeff# release\r\n" + s },
		"CRLF":                func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"CR":                  func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
		"no last line break":  strings.TrimSpace,
		"blank lines after":   func(s string) string { return s + "\n \n\t\n" },
		"indented":            lines(func(line string) string { return "    " + line }),
		"indented by tabs":    lines(func(line string) string { return "\t" + line }),
		"blanks at line ends": lines(func(line string) string { return strings.TrimRight(line, "\n") + "  \n" }),
		"escaped":             func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) },
		"escaped CRLF":        func(s string) string { return strings.ReplaceAll(s, "\n", `\r\n`) + "\n" },
		"escaped twice":       func(s string) string { return strings.ReplaceAll(s, "\n", `\\n`) },
		"a JSON string": func(s string) string {
			return `"` + strings.ReplaceAll(strings.ReplaceAll(s, "\n", `\n`), "/", `\/`) + `"` + "\n"
		},
		"a variable":  func(s string) string { return "KEY='" + strings.ReplaceAll(s, "\n", `\n`) + "'\n" },
		"one line":    func(s string) string { return strings.ReplaceAll(s, "\n", " ") },
		"UTF-16":      func(s string) string { return toUTF16(strings.ReplaceAll(s, "\n", "\r\n"), binary.LittleEndian) },
		"UTF-16, big": func(s string) string { return toUTF16(s, binary.BigEndian) },
	} {
		k, err := keyfile.ParsePublic([]byte(change(public)))
		if err != nil || !key.PublicKey.Equal(k.Public()) {
			t.Errorf("public key, %s: %v", name, err)
		}
		s, err := open(change(private), nil)
		if err != nil || !key.Equal(s) {
			t.Errorf("private key, %s: %v", name, err)
		}
	}
}

func TestPrivateKeysOfEveryFormAreRead(t *testing.T) {
	key, _, _ := pair(t)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rs := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	sec1 := block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key))(t))
	parameters := block("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(ed))(t)
	for name, text := range map[string]string{
		"SEC 1":                sec1,
		"SEC 1 and parameters": parameters + sec1,
		"a comment between":    parameters + "the key:\n" + sec1,
		"PKCS#1":               block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rs)),
		"PKCS#8 of RSA":        block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rs))(t)),
		"PKCS#8 of Ed25519":    block("PRIVATE KEY", pkcs8),
		"OneAsymmetricKey":     block("PRIVATE KEY", version2(t, pkcs8, ed.Public().(ed25519.PublicKey))),
	} {
		if s, err := open(text, nil); err != nil || s == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// version2 turns PKCS#8 into version 2 with an attribute and the public key (RFC 8410,
// section 10.3).
func version2(t testing.TB, der []byte, public []byte) []byte {
	t.Helper()
	var v1 struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if _, err := asn1.Unmarshal(der, &v1); err != nil {
		t.Fatal(err)
	}
	return must(asn1.Marshal(struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		Key        []byte
		Attributes asn1.RawValue
		Public     asn1.BitString `asn1:"tag:1"`
	}{1, v1.Algorithm, v1.Key, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: []byte{0x30, 0x00}}, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}}))(t)
}

// scheme is one way to encrypt PKCS#8.
type scheme struct {
	hash       func() hash.Hash
	prf        asn1.ObjectIdentifier // nil: the default
	iterations int
	n, r, p    int // of scrypt, in place of PBKDF2
	cipher     asn1.ObjectIdentifier
	keySize    int
	withSize   bool
	des        bool
}

func oid(text string) (id asn1.ObjectIdentifier) {
	for part := range strings.SplitSeq(text, ".") {
		n := 0
		_, _ = fmt.Sscan(part, &n)
		id = append(id, n)
	}
	return id
}

var (
	aes128 = oid("2.16.840.1.101.3.4.1.2")
	aes192 = oid("2.16.840.1.101.3.4.1.22")
	aes256 = oid("2.16.840.1.101.3.4.1.42")
	des3   = oid("1.2.840.113549.3.7")
)

func raw(t testing.TB, v any) asn1.RawValue {
	t.Helper()
	return asn1.RawValue{FullBytes: must(asn1.Marshal(v))(t)}
}

// kdf is the key derivation's identifier.
func (s scheme) kdf(t testing.TB, salt []byte) pkix.AlgorithmIdentifier {
	size := 0
	if s.withSize {
		size = s.keySize
	}
	if s.n > 0 {
		return pkix.AlgorithmIdentifier{Algorithm: oid("1.3.6.1.4.1.11591.4.11"), Parameters: raw(t, struct {
			Salt    []byte
			N, R, P int
			Size    int `asn1:"optional"`
		}{salt, s.n, s.r, s.p, size})}
	}
	prf := pkix.AlgorithmIdentifier{}
	if s.prf != nil {
		prf = pkix.AlgorithmIdentifier{Algorithm: s.prf, Parameters: asn1.NullRawValue}
	}
	return pkix.AlgorithmIdentifier{Algorithm: oid("1.2.840.113549.1.5.12"), Parameters: raw(t, struct {
		Salt       []byte
		Iterations int
		Size       int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}{salt, s.iterations, size, prf})}
}

func (s scheme) seal(t testing.TB, der []byte) string {
	t.Helper()
	salt, blockSize, newCipher := []byte("saltsalt"), aes.BlockSize, aes.NewCipher
	if s.des {
		blockSize, newCipher = des.BlockSize, des.NewTripleDESCipher
	}
	var key []byte
	if s.n > 0 && s.n <= 1<<16 {
		key = must(scrypt.Key([]byte(secret), salt, s.n, s.r, s.p, s.keySize))(t)
	} else if s.n == 0 && s.iterations <= 1<<20 && s.iterations > 0 {
		key = must(pbkdf2.Key(s.hash, secret, salt, s.iterations, s.keySize))(t)
	} else {
		key = make([]byte, s.keySize) // a bomb, which must not go off here either
	}
	iv := bytes.Repeat([]byte{7}, blockSize)
	text := bytes.Clone(der)
	padding := blockSize - len(text)%blockSize
	text = append(text, bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(must(newCipher(key))(t), iv).CryptBlocks(text, text)
	return sealed(t, pkix.AlgorithmIdentifier{Algorithm: oid("1.2.840.113549.1.5.13"), Parameters: raw(t, []pkix.AlgorithmIdentifier{
		s.kdf(t, salt), {Algorithm: s.cipher, Parameters: raw(t, iv)},
	})}, text)
}

func sealed(t testing.TB, algorithm pkix.AlgorithmIdentifier, data []byte) string {
	t.Helper()
	return block("ENCRYPTED PRIVATE KEY", must(asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{algorithm, data}))(t))
}

func TestEncryptedPKCS8IsOpened(t *testing.T) {
	race.Skip(t, "one goroutine derives keys of passwords")
	key, _, _ := pair(t)
	der := must(x509.MarshalPKCS8PrivateKey(key))(t)
	hmac := func(n int) asn1.ObjectIdentifier { return oid(fmt.Sprintf("1.2.840.113549.2.%d", n)) }
	for name, s := range map[string]scheme{
		"the default":            {hash: sha1.New, iterations: 2048, cipher: aes256, keySize: 32},
		"SHA-1, named":           {hash: sha1.New, prf: hmac(7), iterations: 2048, cipher: aes128, keySize: 16},
		"SHA-224":                {hash: sha256.New224, prf: hmac(8), iterations: 1, cipher: aes128, keySize: 16},
		"SHA-256":                {hash: sha256.New, prf: hmac(9), iterations: 2048, cipher: aes192, keySize: 24, withSize: true},
		"SHA-384":                {hash: sha512.New384, prf: hmac(10), iterations: 2048, cipher: aes256, keySize: 32},
		"SHA-512":                {hash: sha512.New, prf: hmac(11), iterations: 20_000, cipher: aes256, keySize: 32, withSize: true},
		"SHA-512/224":            {hash: sha512.New512_224, prf: hmac(12), iterations: 2, cipher: aes256, keySize: 32},
		"SHA-512/256":            {hash: sha512.New512_256, prf: hmac(13), iterations: 2, cipher: aes256, keySize: 32},
		"triple DES":             {hash: sha256.New, prf: hmac(9), iterations: 2048, cipher: des3, keySize: 24, des: true},
		"scrypt":                 {n: 16384, r: 8, p: 1, cipher: aes256, keySize: 32},
		"scrypt, with a size":    {n: 1024, r: 8, p: 16, cipher: aes128, keySize: 16, withSize: true},
		"scrypt, triple DES":     {n: 1024, r: 1, p: 1, cipher: des3, keySize: 24, des: true},
		"scrypt, of much memory": {n: 65536, r: 8, p: 1, cipher: aes256, keySize: 32},
	} {
		text := s.seal(t, der)
		if opened, err := open(text, give(secret)); err != nil || !key.Equal(opened) {
			t.Errorf("%s: %v", name, err)
		}
		for label, wrong := range map[string]func() ([]byte, error){
			"none": nil, "empty": give(""), "wrong": give("wrong"), "with a line break": give(secret + "\n"),
			"failing": func() ([]byte, error) { return nil, errors.New("no terminal") },
		} {
			if s.n > 1<<14 && label != "wrong" {
				continue // it takes long
			}
			opened, err := open(text, wrong)
			if opened != nil || !errors.Is(err, keyfile.ErrPassword) || strings.Contains(err.Error(), "correct") {
				t.Errorf("%s, %s password: %v, want ErrPassword", name, label, err)
			}
		}
	}
	if _, err := open((scheme{hash: sha1.New, iterations: 1, cipher: aes256, keySize: 32}).seal(t, []byte("\x30\x03\x02\x01\x07")), give(secret)); kindOf(err) != sigkey.KindDamaged {
		t.Errorf("opened, and no key: %v", err)
	}
}

func TestAttack_S4_EncryptionThatCostsTooMuchIsRefused(t *testing.T) {
	race.Skip(t, "one goroutine derives keys of passwords")
	der := make([]byte, 64)
	asked := func() ([]byte, error) {
		t.Error("a password was asked for a key that cannot be opened")
		return nil, errors.New("asked")
	}
	pbes1 := func(id string) string {
		return sealed(t, pkix.AlgorithmIdentifier{Algorithm: oid(id), Parameters: raw(t, struct {
			Salt       []byte
			Iterations int
		}{[]byte("saltsalt"), 2048})}, der)
	}
	for name, c := range map[string]struct {
		text string
		kind sigkey.Kind
	}{
		"2^31 iterations":   {scheme{iterations: 1 << 31, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindEncryption},
		"2^62 iterations":   {scheme{iterations: 1 << 62, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindEncryption},
		"no iteration":      {scheme{iterations: 0, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindDamaged},
		"minus one":         {scheme{iterations: -1, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindDamaged},
		"another PRF":       {scheme{iterations: 1, hash: sha1.New, prf: oid("1.2.3"), cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindEncryption},
		"another cipher":    {scheme{iterations: 1, hash: sha1.New, cipher: oid("1.2.3"), keySize: 32}.seal(t, der), sigkey.KindEncryption},
		"single DES":        {scheme{iterations: 1, hash: sha1.New, cipher: oid("1.3.14.3.2.7"), keySize: 24, des: true}.seal(t, der), sigkey.KindEncryption},
		"RC2":               {scheme{iterations: 1, hash: sha1.New, cipher: oid("1.2.840.113549.3.2"), keySize: 24, des: true}.seal(t, der), sigkey.KindEncryption},
		"a size of another": {scheme{iterations: 1, hash: sha1.New, cipher: aes128, keySize: 32, withSize: true}.seal(t, der), sigkey.KindDamaged},
		"an IV of another":  {scheme{iterations: 1, hash: sha1.New, cipher: aes256, keySize: 24, des: true}.seal(t, der), sigkey.KindDamaged},
		"scrypt N=2^30":     {scheme{n: 1 << 30, r: 8, p: 1, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindEncryption},
		"scrypt r=2^30":     {scheme{n: 1 << 20, r: 1 << 30, p: 1, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindEncryption},
		"scrypt p=2^30":     {scheme{n: 1 << 17, r: 8, p: 1 << 30, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindEncryption},
		"scrypt r=2^17":     {scheme{n: 2, r: 1 << 17, p: 9, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindEncryption},
		"scrypt N=3":        {scheme{n: 3 << 20, r: 8, p: 1, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindDamaged},
		"scrypt r=0":        {scheme{n: 1 << 20, r: 0, p: 1, cipher: aes256, keySize: 32}.seal(t, der), sigkey.KindDamaged},
		"PBES1":             {pbes1("1.2.840.113549.1.5.3"), sigkey.KindEncryption},
		"PBES1 of PKCS#12":  {pbes1("1.2.840.113549.1.12.1.3"), sigkey.KindEncryption},
		"another algorithm": {pbes1("1.2.3"), sigkey.KindEncryption},
		"PBES2 of nothing":  {pbes1("1.2.840.113549.1.5.13"), sigkey.KindDamaged},
		"garbage":           {block("ENCRYPTED PRIVATE KEY", []byte("garbage")), sigkey.KindDamaged},
		"data of no block":  {strings.Replace(sealed(t, pkix.AlgorithmIdentifier{Algorithm: oid("1.2.3")}, nil), "x", "x", 1), sigkey.KindEncryption},
	} {
		if _, err := open(c.text, asked); kindOf(err) != c.kind {
			t.Errorf("%s: %v, want kind %s", name, err, c.kind)
		}
	}
}

// legacy encrypts PEM as openssl did before PKCS#8.
func legacy(t testing.TB, pemType string, der []byte, c x509.PEMCipher) string {
	t.Helper()
	//lint:ignore SA1019 openssl's -traditional writes it still
	b := must(x509.EncryptPEMBlock(rand.Reader, pemType, der, []byte(secret), c))(t)
	return string(pem.EncodeToMemory(b))
}

func TestLegacyEncryptedPEMIsOpened(t *testing.T) {
	key, _, _ := pair(t)
	der := must(x509.MarshalECPrivateKey(key))(t)
	for _, c := range []x509.PEMCipher{x509.PEMCipherAES128, x509.PEMCipherAES192, x509.PEMCipherAES256, x509.PEMCipher3DES} {
		text := legacy(t, "EC PRIVATE KEY", der, c)
		for _, text := range []string{text, strings.ReplaceAll(text, "\n", "\r\n"), strings.ReplaceAll(text, "\n", `\n`), "  " + strings.ReplaceAll(text, "\n", "\n  ")} {
			if s, err := open(text, give(secret)); err != nil || !key.Equal(s) {
				t.Errorf("%d: %v", c, err)
			}
		}
		for range 3 {
			if s, err := open(text, give("wrong")); s != nil || !errors.Is(err, keyfile.ErrPassword) {
				t.Errorf("%d, wrong password: %v", c, err)
			}
		}
	}
	for range 300 { // a wrong password often leaves padding that is right
		if s, err := open(legacy(t, "EC PRIVATE KEY", der, x509.PEMCipher3DES), give("wrong")); s != nil || !errors.Is(err, keyfile.ErrPassword) {
			t.Fatalf("wrong password: %v", err)
		}
	}
	good := legacy(t, "EC PRIVATE KEY", der, x509.PEMCipherAES256)
	iv := good[strings.Index(good, "AES-256-CBC,")+len("AES-256-CBC,"):][:32]
	for name, c := range map[string]struct {
		text string
		kind sigkey.Kind
	}{
		"DES":           {legacy(t, "EC PRIVATE KEY", der, x509.PEMCipherDES), sigkey.KindEncryption},
		"CAMELLIA":      {strings.Replace(good, "AES-256-CBC", "CAMELLIA-256-CBC", 1), sigkey.KindEncryption},
		"no IV":         {strings.Replace(good, iv, "", 1), sigkey.KindDamaged},
		"a short IV":    {strings.Replace(good, iv, iv[:16], 1), sigkey.KindDamaged},
		"an IV of text": {strings.Replace(good, iv, "xyz", 1), sigkey.KindDamaged},
	} {
		if _, err := open(c.text, give(secret)); kindOf(err) != c.kind {
			t.Errorf("%s: %v, want kind %s", name, err, c.kind)
		}
	}
}

// foreignFiles are files that hold no key which can be used, with their kinds for
// those who want a public and a private key.
func foreignFiles(t testing.TB) map[string]struct {
	text            string
	public, private sigkey.Kind
} {
	t.Helper()
	key, private, public := pair(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))(t)
	exchange := must(ecdh.X25519().GenerateKey(rand.Reader))(t)
	request := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a"}}
	certificate := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	pkcs8, pkix8 := must(x509.MarshalPKCS8PrivateKey(key))(t), must(x509.MarshalPKIXPublicKey(key.Public()))(t)
	swap := func(der []byte, from, to string) []byte {
		a, b := must(asn1.Marshal(oid(from)))(t), must(asn1.Marshal(oid(to)))(t)
		if len(a) != len(b) || !bytes.Contains(der, a) {
			t.Fatalf("%s is not there, or not as long as %s", from, to)
		}
		return bytes.Replace(der, a, b, 1)
	}
	edPublic := must(x509.MarshalPKIXPublicKey(ed25519.PublicKey(bytes.Repeat([]byte{9}, 32))))(t)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	edPrivate := must(x509.MarshalPKCS8PrivateKey(edKey))(t)
	rsaPublic := must(x509.MarshalPKIXPublicKey(weak.Public()))(t)
	rsaPrivate := must(x509.MarshalPKCS8PrivateKey(weak))(t)
	openSSH := "openssh-key-v1\x00\x00\x00\x00\x04none\x00\x00\x00\x04none\x00\x00\x00\x0bssh-ed25519"
	type file = struct {
		text            string
		public, private sigkey.Kind
	}
	both := func(text string, kind sigkey.Kind) file { return file{text, kind, kind} }
	return map[string]file{
		"nothing":                both("", sigkey.KindEmpty),
		"blanks":                 both("\ufeff \r\n\t", sigkey.KindEmpty),
		"a sentence":             both("the key is in the safe", sigkey.KindUnknown),
		"64 KiB and a byte":      both(strings.Repeat("A", 64<<10+1), sigkey.KindFileSize),
		"the other key, private": {private, sigkey.KindPrivate, ""},
		"the other key, public":  {public, "", sigkey.KindPublic},
		"cosign's key":           {block("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("{}")), sigkey.KindPrivate, sigkey.KindEncryption},
		"cosign's key, no JSON":  {block("ENCRYPTED COSIGN PRIVATE KEY", []byte("x")), sigkey.KindPrivate, sigkey.KindDamaged},
		"two public keys":        both(public+public, sigkey.KindSeveral),
		"a pair":                 both(private+public, sigkey.KindSeveral),
		"text behind":            {public + "and so on", sigkey.KindSeveral, sigkey.KindSeveral},
		"parameters alone":       both(block("EC PARAMETERS", []byte{6, 8}), sigkey.KindDamaged),
		"a certificate":          both(block("CERTIFICATE", certificate), sigkey.KindCertificate),
		"a trusted certificate":  both(block("TRUSTED CERTIFICATE", certificate), sigkey.KindCertificate),
		"a certificate in DER":   both(string(certificate), sigkey.KindCertificate),
		"a request":              both(block("CERTIFICATE REQUEST", request), sigkey.KindRequest),
		"an old request":         both(block("NEW CERTIFICATE REQUEST", request), sigkey.KindRequest),
		"a request in DER":       both(string(request), sigkey.KindRequest),
		"PKCS#7":                 both(block("PKCS7", []byte("x")), sigkey.KindPKCS7),
		"PKCS#7 in DER":          both(string(must(asn1.Marshal([]any{oid("1.2.840.113549.1.7.2")}))(t)), sigkey.KindPKCS7),
		"PKCS#12": both(string(must(asn1.Marshal(struct {
			Version int
			Content []any
		}{3, []any{oid("1.2.840.113549.1.7.1")}}))(t)), sigkey.KindPKCS12),
		"a private key in DER":   both(string(pkcs8), sigkey.KindDER),
		"SEC 1 in DER":           both(string(must(x509.MarshalECPrivateKey(key))(t)), sigkey.KindDER),
		"PKCS#1 in DER":          both(string(x509.MarshalPKCS1PrivateKey(weak)), sigkey.KindDER),
		"a public key in DER":    both(string(pkix8), sigkey.KindDER),
		"DER of something else":  both("\x30\x03\x01\x01\xff", sigkey.KindUnknown),
		"base64 of a key":        both(base64.StdEncoding.EncodeToString(pkcs8)+"\n", sigkey.KindDER),
		"OpenSSH":                both(block("OPENSSH PRIVATE KEY", []byte(openSSH)), sigkey.KindOpenSSH),
		"OpenSSH, public":        both("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 a@b\n", sigkey.KindOpenSSH),
		"OpenSSH, ECDSA":         both("ecdsa-sha2-nistp256 AAAA a@b\n", sigkey.KindOpenSSH),
		"SSH2":                   both("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n", sigkey.KindOpenSSH),
		"PuTTY":                  both("PuTTY-User-Key-File-3: ssh-ed25519\n", sigkey.KindForeign),
		"minisign":               both("untrusted comment: minisign public key\nRWQ=\n", sigkey.KindForeign),
		"age":                    both("AGE-SECRET-KEY-1QQ\n", sigkey.KindForeign),
		"a keystore":             both("\xfe\xed\xfe\xed\x00\x00\x00\x02", sigkey.KindForeign),
		"a TPM's key":            both(block("TSS2 PRIVATE KEY", []byte("x")), sigkey.KindForeign),
		"base64 of PEM":          both(base64.StdEncoding.EncodeToString([]byte("-----BEGIN PUBLIC KEY-----\n")), sigkey.KindForeign),
		"a JWK":                  both(`{"kty":"EC","crv":"P-256"}`, sigkey.KindJWK),
		"a set of JWKs":          both(` {"keys":[{"kty":"EC"}]}`, sigkey.KindJWK),
		"PGP":                    both("-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\nmQ==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n", sigkey.KindPGP),
		"PGP, private":           both("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nmQ==\n-----END PGP PRIVATE KEY BLOCK-----\n", sigkey.KindPGP),
		"DSA":                    both(block("DSA PRIVATE KEY", []byte("x")), sigkey.KindAlgorithm),
		"DSA in PKCS#8":          {block("PRIVATE KEY", swap(pkcs8, "1.2.840.10045.2.1", "1.2.840.10040.4.1")), sigkey.KindPrivate, sigkey.KindAlgorithm},
		"another block":          both(block("CAT", pkcs8), sigkey.KindUnknown),
		"RSA-1024":               {block("PUBLIC KEY", rsaPublic), sigkey.KindRSASize, sigkey.KindPublic},
		"RSA-1024, private":      {block("PRIVATE KEY", rsaPrivate), sigkey.KindPrivate, sigkey.KindRSASize},
		"RSA-1024 in PKCS#1":     {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak)), sigkey.KindPrivate, sigkey.KindRSASize},
		"RSA-PSS":                {block("PUBLIC KEY", swap(rsaPublic, "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10")), sigkey.KindAlgorithm, sigkey.KindPublic},
		"RSA-PSS, private":       {block("PRIVATE KEY", swap(rsaPrivate, "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10")), sigkey.KindPrivate, sigkey.KindAlgorithm},
		"P-224":                  {block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(p224.Public()))(t)), sigkey.KindCurve, sigkey.KindPublic},
		"P-224, private":         {block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(p224))(t)), sigkey.KindPrivate, sigkey.KindCurve},
		"P-192 in SEC 1":         {block("EC PRIVATE KEY", swap(must(x509.MarshalECPrivateKey(key))(t), "1.2.840.10045.3.1.7", "1.2.840.10045.3.1.1")), sigkey.KindPrivate, sigkey.KindCurve},
		"X25519":                 {block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(exchange.Public()))(t)), sigkey.KindAlgorithm, sigkey.KindPublic},
		"X25519, private":        {block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(exchange))(t)), sigkey.KindPrivate, sigkey.KindAlgorithm},
		"Ed448":                  {block("PUBLIC KEY", swap(edPublic, "1.3.101.112", "1.3.101.113")), sigkey.KindAlgorithm, sigkey.KindPublic},
		"Ed448, private":         {block("PRIVATE KEY", swap(edPrivate, "1.3.101.112", "1.3.101.113")), sigkey.KindPrivate, sigkey.KindAlgorithm},
		"X448":                   {block("PRIVATE KEY", swap(edPrivate, "1.3.101.112", "1.3.101.111")), sigkey.KindPrivate, sigkey.KindAlgorithm},
		"another algorithm":      {block("PRIVATE KEY", swap(edPrivate, "1.3.101.112", "1.3.101.99")), sigkey.KindPrivate, sigkey.KindAlgorithm},
		"a damaged key":          {block("PUBLIC KEY", []byte("x")), sigkey.KindDamaged, sigkey.KindPublic},
		"a damaged private key":  {block("PRIVATE KEY", []byte("x")), sigkey.KindPrivate, sigkey.KindDamaged},
		"a damaged Ed25519 key":  {block("PUBLIC KEY", edPublic[:len(edPublic)-1]), sigkey.KindDamaged, sigkey.KindPublic},
		"no end":                 both(public[:len(public)-10], sigkey.KindDamaged),
		"another end":            both(strings.Replace(public, "END PUBLIC", "END PRIVATE", 1), sigkey.KindDamaged),
		"half a first line":      both("-----BEGIN PUBLIC KEY\n", sigkey.KindDamaged),
		"no base64":              both(strings.Replace(public, "M", "!", 1), sigkey.KindDamaged),
		"a header in the middle": both(strings.Replace(public, "\n-----END", "\nA: b\n-----END", 1), sigkey.KindDamaged),
		"an empty block":         both("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", sigkey.KindDamaged),
		"a damaged block before": both("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n"+public, sigkey.KindDamaged),
		"a damaged block after":  both(public+"-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n", sigkey.KindDamaged),
		"two keys in one block":  {block("PUBLIC KEY", append(bytes.Clone(pkix8), pkix8...)), sigkey.KindDamaged, sigkey.KindPublic},
		"secp256k1":              {secp256k1Public, sigkey.KindCurve, sigkey.KindPublic},
		"secp256k1, private":     {secp256k1Private, sigkey.KindPrivate, sigkey.KindCurve},
	}
}

func TestAttack_T8_EachFileIsNamedForWhatItIs(t *testing.T) {
	for name, f := range foreignFiles(t) {
		_, asPublic := keyfile.ParsePublic([]byte(f.text))
		_, asPrivate := open(f.text, give(secret))
		for _, c := range []struct {
			err  error
			want sigkey.Kind
		}{{asPublic, f.public}, {asPrivate, f.private}} {
			if kindOf(c.err) != c.want || c.want == "" && c.err != nil {
				t.Errorf("%s: %v, of kind %q, want %q", name, c.err, kindOf(c.err), c.want)
			}
			if c.err != nil && (len(c.err.Error()) > 400 || strings.Contains(c.err.Error(), "\n")) {
				t.Errorf("%s: %q does not fit a line", name, c.err)
			}
		}
	}
}

// The other file of a pair is asked for only if the file is one of a pair.
func TestAdviceIsThatOfTheCause(t *testing.T) {
	for name, f := range foreignFiles(t) {
		_, err := keyfile.ParsePublic([]byte(f.text))
		_, privateErr := open(f.text, give(secret))
		for _, err := range []error{err, privateErr} {
			var e *sigkey.Error
			if !errors.As(err, &e) {
				continue
			}
			isPair := e.Kind == sigkey.KindPrivate || e.Kind == sigkey.KindPublic
			if said := strings.Contains(e.Advice, "of the pair"); said != isPair && e.Kind != sigkey.KindDER {
				t.Errorf("%s: %v: %q", name, e, e.Advice)
			}
		}
	}
}

func TestAttack_S3_ErrorsHoldNoPartOfAKey(t *testing.T) {
	key, private, _ := pair(t)
	_, body, _ := strings.Cut(private, "\n")
	scalar := must(key.Bytes())(t)
	for _, text := range []string{
		private + private, private + "x", strings.Replace(private, "END", "FIN", 1),
		strings.Replace(private, "PRIVATE KEY", "RSA PRIVATE KEY", 2), strings.Replace(private, "PRIVATE KEY", "CAT", 2), body,
	} {
		for _, err := range []error{
			func() error { _, err := keyfile.ParsePublic([]byte(text)); return err }(),
			func() error { _, err := open(text, nil); return err }(),
		} {
			if err == nil {
				t.Errorf("%q is taken", text[:30])
			} else if strings.Contains(err.Error(), body[:12]) || strings.Contains(err.Error(), hex.EncodeToString(scalar)[:12]) {
				t.Errorf("%v holds a part of the key", err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	_, private, public := pair(f)
	f.Add([]byte(private))
	for _, text := range []string{public, strings.ReplaceAll(public, "\n", `\n`), secp256k1Private, "\x30\x03\x02\x01\x03", "-----BEGIN PUBLIC KEY-----"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := keyfile.ParsePublic(text); err == nil {
			if again, err := keyfile.ParsePublic(k.PEM()); err != nil || again.ID() != k.ID() {
				t.Fatalf("PEM and back: %v", err)
			}
		} else if kindOf(err) == "" {
			t.Fatalf("%v has no kind", err)
		}
		p, err := keyfile.ReadPrivate(text)
		if err != nil {
			if kindOf(err) == "" {
				t.Fatalf("%v has no kind", err)
			}
			return
		}
		if p.Encrypted() {
			return
		}
		if s, err := p.Open(nil); err != nil && kindOf(err) == "" || err == nil && s == nil {
			t.Fatalf("%v, %v", s, err)
		}
	})
}
