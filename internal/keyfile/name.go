package keyfile

import (
	"bytes"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// role is what a file should hold.
type role string

const (
	wantPublic  role = "public key"
	wantPrivate role = "private key"
)

// advice is what to do with a file of some kind, for each role.
type advice struct{ public, private string }

func (a advice) as(want role) string {
	if want == wantPublic {
		return a.public
	}
	return a.private
}

// Advice on public keys, which only their owners can replace.
const (
	askForPEM     = "ask the key's owner for the public key in PEM"
	askForAnother = "ask the key's owner for a public key that can be used: ECDSA P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 4096 bits"
)

// is is the error about a file that holds something else.
func is(kind sigkey.Kind, what string, want role, a advice) *sigkey.Error {
	return sigkey.Errorf(kind, "this is %s; want a %s in PEM", what, want).Advise(a.as(want))
}

func pgp(want role) *sigkey.Error {
	return is(sigkey.KindPGP, "an OpenPGP key", want, advice{public: askForPEM})
}

// form is a flag of openssl for the form of a file.
type form string

const (
	inPEM form = ""
	asDER form = "-inform DER "
)

func certificate(want role, f form) *sigkey.Error {
	return is(sigkey.KindCertificate, "a certificate", want, advice{
		public:  "print its public key with: openssl x509 " + string(f) + "-in FILE -pubkey -noout",
		private: "give the private key that belongs to the certificate",
	})
}

func request(want role, f form) *sigkey.Error {
	return is(sigkey.KindRequest, "a certificate request", want, advice{
		public:  "print its public key with: openssl req " + string(f) + "-in FILE -pubkey -noout",
		private: "give the private key that belongs to the request",
	})
}

func pkcs7(want role, f form) *sigkey.Error {
	return is(sigkey.KindPKCS7, "a PKCS#7 bundle of certificates", want, advice{
		public:  "print its certificates with: openssl pkcs7 " + string(f) + "-in FILE -print_certs",
		private: "give the private key that belongs to the certificate",
	})
}

func pkcs12(want role) *sigkey.Error {
	return is(sigkey.KindPKCS12, "a PKCS#12 archive", want, advice{
		public:  "take the certificate out with: openssl pkcs12 -in FILE -nokeys",
		private: "take the key out with: openssl pkcs12 -in FILE -nocerts -out NEW.key",
	})
}

func openSSH(content []byte, want role) *sigkey.Error {
	a := advice{public: "convert it with: ssh-keygen -e -m PKCS8 -f FILE", private: "convert a copy of it with: ssh-keygen -p -m PKCS8 -f COPY"}
	if bytes.Contains(content, []byte("ed25519")) { // which ssh-keygen does not convert
		a = advice{public: askForPEM}
	}
	return is(sigkey.KindOpenSSH, "an OpenSSH key", want, a)
}

// misplaced is the error about the other key of a pair.
func misplaced(want role, pemType string) *sigkey.Error {
	switch {
	case want == wantPrivate:
		return is(sigkey.KindPublic, "a public key", want, advice{private: "give the private key of the pair"})
	case pemType == TypeSigstore || pemType == typeCosign:
		return is(sigkey.KindPrivate, "a private key", want, advice{public: "give the public key of the pair"})
	}
	return is(sigkey.KindPrivate, "a private key", want, advice{public: "give the public key of the pair; print it with: openssl pkey -in FILE -pubout"})
}

// ofType names a PEM block of a type that is not wanted.
func ofType(block *pem.Block, want role) *sigkey.Error {
	switch t := block.Type; {
	case t == "OPENSSH PRIVATE KEY" || strings.HasPrefix(t, "SSH2 "):
		return openSSH(block.Bytes, want)
	case t == "DSA PRIVATE KEY" || t == "DSA PUBLIC KEY" || t == "DSA PARAMETERS":
		return sigkey.Errorf(sigkey.KindAlgorithm, "a DSA key; use ECDSA P-256, P-384 or P-521, Ed25519 or RSA")
	case t == "CERTIFICATE" || t == "X509 CERTIFICATE" || t == "TRUSTED CERTIFICATE":
		return certificate(want, inPEM)
	case strings.HasSuffix(t, "CERTIFICATE REQUEST"):
		return request(want, inPEM)
	case t == "PKCS7" || t == "CMS":
		return pkcs7(want, inPEM)
	case strings.HasPrefix(t, "TSS2 "):
		return is(sigkey.KindForeign, "a key that only a TPM can use", want, advice{public: askForPEM})
	case strings.HasSuffix(t, "PRIVATE KEY") && want == wantPublic:
		return misplaced(want, t)
	case strings.HasSuffix(t, "PUBLIC KEY") && want == wantPrivate:
		return misplaced(want, t)
	default:
		return sigkey.Errorf(sigkey.KindUnknown, "a PEM block of type %.40q; want a %s", t, want)
	}
}

// foreign names a file that has no PEM block.
func foreign(text []byte, want role) *sigkey.Error {
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	starts := func(all ...string) bool {
		for _, s := range all {
			if bytes.HasPrefix(trimmed, []byte(s)) {
				return true
			}
		}
		return false
	}
	switch {
	case len(trimmed) == 0:
		return sigkey.Errorf(sigkey.KindEmpty, "there is no PEM block: the file is empty")
	case starts("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"):
		return openSSH(trimmed, want)
	case starts("---- BEGIN SSH2 "):
		return is(sigkey.KindOpenSSH, "an SSH key (RFC 4716)", want, advice{public: askForPEM})
	case starts("PuTTY-User-Key-File-"):
		return is(sigkey.KindForeign, "a PuTTY key", want, advice{public: askForPEM, private: "convert it with: puttygen FILE -O private-openssh -o NEW.key"})
	case starts("untrusted comment:"):
		return is(sigkey.KindForeign, "a minisign or signify key", want, advice{public: askForPEM})
	case starts("AGE-SECRET-KEY-", "age1", "# created:"):
		return is(sigkey.KindForeign, "an age key, which encrypts and cannot sign", want, advice{public: askForPEM})
	case starts("\xfe\xed\xfe\xed", "\xce\xce\xce\xce"):
		return is(sigkey.KindForeign, "a Java keystore", want, advice{
			public: askForPEM, private: "turn it into PKCS#12 with: keytool -importkeystore -srckeystore FILE -destkeystore NEW.p12 -deststoretype PKCS12",
		})
	case starts("{") && bytes.Contains(trimmed, []byte(`"kty"`)):
		return is(sigkey.KindJWK, "a JSON Web Key", want, advice{public: askForPEM})
	case len(sequence(text)) > 0:
		return inDER(text, want)
	}
	der, err := base64.StdEncoding.DecodeString(string(trimmed))
	switch {
	case err != nil:
	case bytes.Contains(der, []byte(beginMark)):
		const decode = "decode it with: base64 -d FILE, and write the output to a file"
		return is(sigkey.KindForeign, "base64 of a PEM file, as variables of build systems hold it", want, advice{decode, decode})
	case len(sequence(der)) > 0:
		return sigkey.Errorf(sigkey.KindDER, "there is no PEM block: the lines %s...%s and %s...%s are missing", beginMark, dashes, endMark, dashes)
	}
	return sigkey.Errorf(sigkey.KindUnknown, "there is no PEM block; want a %s between lines %s...%s and %s...%s", want, beginMark, dashes, endMark, dashes)
}

// inDER names a file that is DER.
func inDER(der []byte, want role) *sigkey.Error {
	e := sequence(der)
	tags := make([]int, 3)
	for i := range min(len(e), 3) {
		tags[i] = e[i].Tag
	}
	const whole, list, bits, octets = asn1.TagInteger, asn1.TagSequence, asn1.TagBitString, asn1.TagOctetString
	private := sigkey.Errorf(sigkey.KindDER, "this is a private key in DER; want a %s in PEM", want).
		Advise(advice{"give the public key of the pair; print it with: openssl pkey -inform DER -in FILE -pubout", "convert it with: openssl pkey -inform DER -in FILE -out NEW.key"}.as(want))
	switch {
	case tags[0] == asn1.TagOID:
		return pkcs7(want, asDER)
	case tags[0] == whole && tags[1] == list && bytes.Equal(e[0].Bytes, []byte{3}):
		return pkcs12(want)
	case tags[0] == list && tags[1] == list && tags[2] == bits:
		if first := sequence(e[0].FullBytes); len(first) > 0 && len(first) <= 4 && first[0].Tag == whole && first[0].Class == asn1.ClassUniversal {
			return request(want, asDER)
		}
		return certificate(want, asDER)
	case tags[0] == list && tags[1] == bits:
		return sigkey.Errorf(sigkey.KindDER, "this is a public key in DER; want a %s in PEM", want).
			Advise(advice{"convert it with: openssl pkey -pubin -inform DER -in FILE -out NEW.pub", "give the private key of the pair"}.as(want))
	case tags[0] == list && tags[1] == octets, tags[0] == whole && (tags[1] == list || tags[1] == octets || tags[1] == whole):
		return private
	}
	return sigkey.Errorf(sigkey.KindUnknown, "there is no PEM block, and the file is in DER, but not a key")
}

// ofDER names a key that cannot be read, by its algorithm; otherwise is what it is
// if that says nothing.
func ofDER(der []byte, want role, otherwise string) *sigkey.Error {
	for _, e := range sequence(der) {
		switch {
		case e.Class == asn1.ClassUniversal && e.Tag == asn1.TagSequence: // PKCS#8 and PKIX: the algorithm
			if named := ofAlgorithm(sequence(e.FullBytes), der, want); named != nil {
				return named
			}
		case e.Class == asn1.ClassContextSpecific && e.Tag == 0: // SEC 1: the curve
			if named := ofCurve(e.Bytes, want); named != nil {
				return named
			}
		}
	}
	if named := ofModulus(der); named != nil {
		return named
	}
	return sigkey.Errorf(sigkey.KindDamaged, "%s", otherwise)
}

// ofAlgorithm names the algorithm of a key: an object identifier and its parameters.
func ofAlgorithm(algorithm []asn1.RawValue, der []byte, want role) *sigkey.Error {
	var id asn1.ObjectIdentifier
	if len(algorithm) == 0 {
		return nil
	}
	if _, err := asn1.Unmarshal(algorithm[0].FullBytes, &id); err != nil {
		return nil
	}
	name := ""
	switch id.String() {
	case "1.2.840.10045.2.1":
		if len(algorithm) > 1 {
			return ofCurve(algorithm[1].FullBytes, want)
		}
		return nil
	case "1.2.840.113549.1.1.1":
		return ofWrappedModulus(der)
	case "1.3.101.112": // Ed25519
		return nil
	case "1.2.840.113549.1.1.10":
		return sigkey.Errorf(sigkey.KindAlgorithm, "an RSA-PSS key, which is bound to PSS; use an RSA key that is not").
			Advise(advice{private: "make the key with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out NEW.key"}.as(want))
	case "1.2.840.10040.4.1":
		name = "a DSA key"
	case "1.2.840.113549.1.3.1", "1.2.840.10046.2.1":
		name = "a Diffie-Hellman key, which cannot sign"
	case "1.3.101.110":
		name = "an X25519 key, which cannot sign"
	case "1.3.101.111":
		name = "an X448 key, which cannot sign"
	case "1.3.101.113":
		name = "an Ed448 key"
	case "2.16.840.1.101.3.4.3.17", "2.16.840.1.101.3.4.3.18", "2.16.840.1.101.3.4.3.19":
		name = "an ML-DSA key"
	default:
		name = "a key of the algorithm " + id.String()
	}
	return sigkey.Errorf(sigkey.KindAlgorithm, "%s; use ECDSA P-256, P-384 or P-521, Ed25519 or RSA", name)
}

// ofCurve names the curve of an elliptic key, by its parameters in DER.
func ofCurve(parameters []byte, want role) *sigkey.Error {
	var id asn1.ObjectIdentifier
	if len(sequence(parameters)) > 0 {
		return sigkey.Errorf(sigkey.KindCurve, "the key spells out its curve in place of naming it").
			Advise(advice{
				public:  "name the curve with: openssl pkey -pubin -in FILE -ec_param_enc named_curve -out NEW.pub",
				private: "name the curve with: openssl pkey -in FILE -ec_param_enc named_curve -out NEW.key",
			}.as(want))
	}
	if _, err := asn1.Unmarshal(parameters, &id); err != nil {
		return nil
	}
	name := id.String()
	switch name {
	case "1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35": // P-256, P-384, P-521
		return nil
	case "1.3.132.0.10":
		name = "secp256k1"
	case "1.2.840.10045.3.1.1":
		name = "P-192"
	case "1.3.132.0.33":
		name = elliptic.P224().Params().Name
	case "1.3.36.3.3.2.8.1.1.7":
		name = "brainpoolP256r1"
	case "1.3.36.3.3.2.8.1.1.11":
		name = "brainpoolP384r1"
	case "1.3.36.3.3.2.8.1.1.13":
		name = "brainpoolP512r1"
	case "1.2.156.10197.1.301":
		name = "SM2"
	}
	return sigkey.Errorf(sigkey.KindCurve, "an ECDSA key on the curve %s; use P-256, P-384 or P-521", name)
}

// ofWrappedModulus finds the RSA key within PKCS#8 or PKIX.
func ofWrappedModulus(der []byte) *sigkey.Error {
	for _, e := range sequence(der) {
		inner := e.Bytes
		if e.Tag == asn1.TagBitString && len(inner) > 0 {
			inner = inner[1:]
		}
		if named := ofModulus(inner); named != nil {
			return named
		}
	}
	return nil
}

// ofModulus names an RSA key in PKCS#1 that is too small or too large: the modulus is
// its first integer, or its second, after a version.
func ofModulus(der []byte) *sigkey.Error {
	for i, e := range sequence(der) {
		if i > 1 || e.Class != asn1.ClassUniversal || e.Tag != asn1.TagInteger {
			return nil
		}
		if len(e.Bytes) > 1 {
			return sigkey.CheckRSASize(new(big.Int).SetBytes(e.Bytes).BitLen())
		}
	}
	return nil
}
