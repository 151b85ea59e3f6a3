package keyfile

import (
	"crypto/aes"
	"crypto/des"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// openLegacy reads a key that is encrypted as PEM (RFC 1421), as openssl did before
// PKCS#8: with a key of MD5 over the password.
func openLegacy(block *pem.Block) (opener, error) {
	size := aes.BlockSize
	name, iv, _ := strings.Cut(block.Headers["DEK-Info"], ",")
	switch name {
	case "AES-128-CBC", "AES-192-CBC", "AES-256-CBC":
	case "DES-EDE3-CBC":
		size = des.BlockSize
	default:
		return nil, unsupported(fmt.Sprintf("the cipher %.40q", name))
	}
	if raw, err := hex.DecodeString(iv); err != nil || len(raw) != size || len(block.Bytes)%size != 0 {
		return nil, sigkey.Errorf(sigkey.KindDamaged, "malformed encrypted %s", block.Type)
	}
	return func(password []byte) ([]byte, bool) {
		//lint:ignore SA1019 openssl's -traditional writes it still
		der, err := x509.DecryptPEMBlock(block, password)
		return der, err == nil
	}, nil
}

// openCosign reads cosign's encrypted key. It takes only cosign's own parameters:
// others would cost any amount of memory and time.
func openCosign(data []byte) (opener, error) {
	root, err := strictjson.Parse(data)
	if err != nil {
		return nil, sigkey.Errorf(sigkey.KindDamaged, "malformed %s: %v", TypeSigstore, err)
	}
	kdf, cipher := root.Get("kdf"), root.Get("cipher")
	if !kdf.Get("name").Is("scrypt") || !cipher.Get("name").Is("nacl/secretbox") {
		return nil, sigkey.Errorf(sigkey.KindEncryption, "the key is not encrypted with scrypt and nacl/secretbox, as cosign does")
	}
	n, _ := kdf.Get("params").Get("N").Int()
	r, _ := kdf.Get("params").Get("r").Int()
	p, _ := kdf.Get("params").Get("p").Int()
	switch n {
	case 32768, 65536, 131072:
	default:
		return nil, sigkey.Errorf(sigkey.KindEncryption, "the key is encrypted with scrypt N=%d; want 32768, 65536 or 131072", n)
	}
	if r != 8 || p != 1 {
		return nil, sigkey.Errorf(sigkey.KindEncryption, "the key is encrypted with scrypt r=%d p=%d; want r=8 p=1", r, p)
	}
	return func(password []byte) ([]byte, bool) {
		der, err := encrypted.Decrypt(data, password)
		return der, err == nil
	}, nil
}
