package keyfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"hash"

	"golang.org/x/crypto/scrypt"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// Bounds of what a password's key may cost. openssl uses 2048 iterations, or scrypt
// with N=16384, r=8, p=1.
const (
	maxIterations   = 10_000_000
	maxScryptMemory = 128 << 20 // bytes, which are 128*N*r
	maxScryptP      = 16
	maxSalt         = 1 << 10
)

// encryptedKey is EncryptedPrivateKeyInfo (RFC 5958, section 3).
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// Parameters of PBES2, PBKDF2 (RFC 8018, appendix A) and scrypt (RFC 7914, section 7).
type (
	pbes2Parameters  struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	pbkdf2Parameters struct {
		Salt       []byte
		Iterations int
		KeySize    int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	scryptParameters struct {
		Salt    []byte
		N, R, P int
		KeySize int `asn1:"optional"`
	}
)

func damagedPKCS8() *sigkey.Error {
	return sigkey.Errorf(sigkey.KindDamaged, "malformed ENCRYPTED PRIVATE KEY")
}

// unsupported is the error about an encryption that is not opened here.
func unsupported(what string) *sigkey.Error {
	return sigkey.Errorf(sigkey.KindEncryption, "the key is encrypted with %s; use PBES2 with AES", what).
		Advise("encrypt it again with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW.key")
}

// openPKCS8 reads an encrypted PKCS#8 key: PBES2 with PBKDF2 or scrypt, and AES or
// triple DES in CBC mode.
func openPKCS8(der []byte) (opener, error) {
	var key encryptedKey
	var p pbes2Parameters
	if !unmarshal(der, &key) {
		return nil, damagedPKCS8()
	}
	if id := key.Algorithm.Algorithm.String(); id != "1.2.840.113549.1.5.13" {
		return nil, unsupported(nameOfPBES1(id))
	}
	if !unmarshal(key.Algorithm.Parameters.FullBytes, &p) {
		return nil, damagedPKCS8()
	}
	decrypt, size, err := openCBC(p.Cipher, key.Data)
	if err != nil {
		return nil, err
	}
	derive, err := derivation(p.KDF, size)
	if err != nil {
		return nil, err
	}
	return func(password []byte) ([]byte, bool) {
		secret, err := derive(password)
		if err != nil {
			return nil, false
		}
		defer clear(secret)
		return decrypt(secret)
	}, nil
}

// unmarshal reads DER that is all of data.
func unmarshal(data []byte, to any) bool {
	rest, err := asn1.Unmarshal(data, to)
	return err == nil && len(rest) == 0
}

func nameOfPBES1(id string) string {
	switch id {
	case "1.2.840.113549.1.5.1", "1.2.840.113549.1.5.3", "1.2.840.113549.1.5.4",
		"1.2.840.113549.1.5.6", "1.2.840.113549.1.5.10", "1.2.840.113549.1.5.11":
		return "PBES1, which is weak"
	case "1.2.840.113549.1.12.1.1", "1.2.840.113549.1.12.1.2", "1.2.840.113549.1.12.1.3",
		"1.2.840.113549.1.12.1.4", "1.2.840.113549.1.12.1.5", "1.2.840.113549.1.12.1.6":
		return "PBES1 of PKCS#12, which is weak"
	}
	return "the algorithm " + id
}

// derivation returns the function that derives a key of so many bytes from a password.
func derivation(kdf pkix.AlgorithmIdentifier, size int) (func(password []byte) ([]byte, error), error) {
	switch id := kdf.Algorithm.String(); id {
	case "1.2.840.113549.1.5.12":
		return ofPBKDF2(kdf.Parameters.FullBytes, size)
	case "1.3.6.1.4.1.11591.4.11":
		return ofScrypt(kdf.Parameters.FullBytes, size)
	default:
		return nil, unsupported("the key derivation " + id)
	}
}

func ofPBKDF2(parameters []byte, size int) (func(password []byte) ([]byte, error), error) {
	var p pbkdf2Parameters
	switch {
	case !unmarshal(parameters, &p), p.Iterations < 1, p.KeySize != 0 && p.KeySize != size, len(p.Salt) > maxSalt:
		return nil, damagedPKCS8()
	case p.Iterations > maxIterations:
		return nil, sigkey.Errorf(sigkey.KindEncryption, "the key is encrypted with %d iterations of PBKDF2, more than %d", p.Iterations, maxIterations)
	}
	var h func() hash.Hash
	switch id := p.PRF.Algorithm.String(); id {
	case "", "1.2.840.113549.2.7":
		h = sha1.New
	case "1.2.840.113549.2.8":
		h = sha256.New224
	case "1.2.840.113549.2.9":
		h = sha256.New
	case "1.2.840.113549.2.10":
		h = sha512.New384
	case "1.2.840.113549.2.11":
		h = sha512.New
	case "1.2.840.113549.2.12":
		h = sha512.New512_224
	case "1.2.840.113549.2.13":
		h = sha512.New512_256
	default:
		return nil, unsupported("PBKDF2 over the function " + id)
	}
	return func(password []byte) ([]byte, error) {
		return pbkdf2.Key(h, string(password), p.Salt, p.Iterations, size)
	}, nil
}

func ofScrypt(parameters []byte, size int) (func(password []byte) ([]byte, error), error) {
	var p scryptParameters
	switch {
	case !unmarshal(parameters, &p), p.N < 2, p.N&(p.N-1) != 0, p.R < 1, p.P < 1, p.KeySize != 0 && p.KeySize != size, len(p.Salt) > maxSalt:
		return nil, damagedPKCS8()
	case p.N > maxScryptMemory/128/p.R || p.P > maxScryptMemory/128/p.R || p.P > maxScryptP:
		return nil, sigkey.Errorf(sigkey.KindEncryption, "the key is encrypted with scrypt N=%d r=%d p=%d, which takes more than %d MiB or p=%d", p.N, p.R, p.P, maxScryptMemory>>20, maxScryptP)
	}
	return func(password []byte) ([]byte, error) {
		return scrypt.Key(password, p.Salt, p.N, p.R, p.P, size)
	}, nil
}

// openCBC returns the function that decrypts data with a key of the size that it
// returns too.
func openCBC(algorithm pkix.AlgorithmIdentifier, data []byte) (decrypt opener, size int, err error) {
	newCipher := aes.NewCipher
	blockSize := aes.BlockSize
	switch id := algorithm.Algorithm.String(); id {
	case "2.16.840.1.101.3.4.1.2":
		size = 16
	case "2.16.840.1.101.3.4.1.22":
		size = 24
	case "2.16.840.1.101.3.4.1.42":
		size = 32
	case "1.2.840.113549.3.7":
		newCipher, size, blockSize = des.NewTripleDESCipher, 24, des.BlockSize
	case "1.3.14.3.2.7":
		return nil, 0, unsupported("DES")
	case "1.2.840.113549.3.2":
		return nil, 0, unsupported("RC2")
	default:
		return nil, 0, unsupported("the cipher " + id)
	}
	var iv []byte
	if !unmarshal(algorithm.Parameters.FullBytes, &iv) || len(iv) != blockSize || len(data) == 0 || len(data)%blockSize != 0 {
		return nil, 0, damagedPKCS8()
	}
	return func(key []byte) ([]byte, bool) {
		block, err := newCipher(key)
		if err != nil {
			return nil, false
		}
		text := bytes.Clone(data)
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, text)
		return unpadded(text, blockSize)
	}, size, nil
}

// unpadded removes the padding of a whole number of blocks (RFC 8018, section 6.1.1).
func unpadded(text []byte, blockSize int) ([]byte, bool) {
	n := int(text[len(text)-1])
	if n == 0 || n > blockSize || !bytes.HasSuffix(text, bytes.Repeat([]byte{byte(n)}, n)) {
		clear(text)
		return nil, false
	}
	return text[:len(text)-n], true
}
