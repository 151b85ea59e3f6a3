package sigkey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// ecdsaSignature is Ecdsa-Sig-Value (RFC 3279, section 2.2.3).
type ecdsaSignature struct{ R, S *big.Int }

// maxECDSA bounds a signature in DER: P-521 needs at most 139 bytes.
const maxECDSA = 160

// ecdsaDER returns an ECDSA signature in ASN.1 DER. There are two encodings:
//
//   - DER itself
//   - r and s, each of the curve's size (IEEE P1363), as JWS and WebCrypto write them
//
// A signature has one reading: what is strict DER is never read as r and s. The
// result is nil if sig has neither form.
func ecdsaDER(pub *ecdsa.PublicKey, sig []byte) []byte {
	size := coordinateSize(pub)
	if len(sig) != 2*size || isDER(sig) {
		if len(sig) == 0 || len(sig) > maxECDSA || sig[0] != 0x30 {
			return nil
		}
		return sig
	}
	r, s := new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])
	if r.Sign() == 0 || s.Sign() == 0 {
		return nil
	}
	der, err := asn1.Marshal(ecdsaSignature{r, s})
	if err != nil {
		return nil
	}
	return der
}

// coordinateSize returns the size of r and of s, in bytes.
func coordinateSize(pub *ecdsa.PublicKey) int { return (pub.Curve.Params().BitSize + 7) / 8 }

// isDER reports whether sig is a sequence of two integers in DER, and nothing else.
func isDER(sig []byte) bool {
	if len(sig) == 0 || sig[0] != 0x30 {
		return false
	}
	var s ecdsaSignature
	if rest, err := asn1.Unmarshal(sig, &s); err != nil || len(rest) > 0 {
		return false
	}
	again, err := asn1.Marshal(s) // asn1.Unmarshal passes over further elements
	return err == nil && bytes.Equal(again, sig)
}

// Canonical returns a signature in the encoding that every verifier reads: an ECDSA
// signature in DER.
func (k *Key) Canonical(sig []byte) []byte {
	if pub, ok := k.public.(*ecdsa.PublicKey); ok {
		if der := ecdsaDER(pub, sig); der != nil {
			return der
		}
	}
	return sig
}

// Misfit says why a signature cannot be the key's, by its form alone. The result is
// empty if the form fits.
func (k *Key) Misfit(sig []byte) string {
	want := ""
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		size := 2 * coordinateSize(pub)
		switch {
		case isDER(sig), len(sig) == size && ecdsaDER(pub, sig) != nil:
			return ""
		case len(sig) == size:
			return "its r or s is zero"
		}
		want = fmt.Sprintf("ASN.1 DER, or %d bytes of r and s (IEEE P1363)", size)
	case ed25519.PublicKey:
		if len(sig) == ed25519.SignatureSize {
			return ""
		}
		want = fmt.Sprintf("%d bytes", ed25519.SignatureSize)
	case *rsa.PublicKey:
		if len(sig) == pub.Size() {
			return ""
		}
		want = fmt.Sprintf("%d bytes", pub.Size())
	}
	if len(sig) == 0 {
		return "it is empty, or not base64"
	}
	return fmt.Sprintf("it has %d bytes, and a signature of %s is %s", len(sig), k.name, want)
}
