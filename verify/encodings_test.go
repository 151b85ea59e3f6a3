package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// fixed writes an ECDSA signature in DER as r and s of so many bytes.
func fixed(t testing.TB, der []byte, size int) []byte {
	t.Helper()
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	return append(sig.R.FillBytes(make([]byte, size)), sig.S.FillBytes(make([]byte, size))...)
}

// broken breaks text into lines.
func broken(text, with string) string {
	var out strings.Builder
	for len(text) > 20 {
		out.WriteString(text[:20] + with)
		text = text[20:]
	}
	return out.String() + text + with
}

// encodings are ways to write a signature in base64 within JSON; ok: each reader takes
// it. change makes the signature from DER.
var encodings = map[string]struct {
	text   func(sig []byte) string
	change func(t testing.TB, der []byte) []byte
	ok     bool
}{
	"DER":                   {ok: true},
	"r and s":               {ok: true, change: func(t testing.TB, der []byte) []byte { return fixed(t, der, 32) }},
	"line feeds":            {ok: true, text: func(sig []byte) string { return broken(base64.StdEncoding.EncodeToString(sig), "\n") }},
	"CRLF":                  {ok: true, text: func(sig []byte) string { return broken(base64.StdEncoding.EncodeToString(sig), "\r\n") }},
	"URL-safe, line feeds":  {ok: true, text: func(sig []byte) string { return broken(base64.RawURLEncoding.EncodeToString(sig), "\n") }},
	"no padding":            {ok: true, text: base64.RawStdEncoding.EncodeToString},
	"a line feed before":    {ok: true, text: func(sig []byte) string { return "\n" + base64.StdEncoding.EncodeToString(sig) }},
	"a blank within":        {text: func(sig []byte) string { return broken(base64.StdEncoding.EncodeToString(sig), " ") }},
	"a blank before":        {text: func(sig []byte) string { return " " + base64.StdEncoding.EncodeToString(sig) }},
	"a tab behind":          {text: func(sig []byte) string { return base64.StdEncoding.EncodeToString(sig) + "\t" }},
	"hex":                   {text: hex.EncodeToString},
	"wider r and s":         {change: func(t testing.TB, der []byte) []byte { return fixed(t, der, 48) }},
	"r and s, and a byte":   {change: func(t testing.TB, der []byte) []byte { return append(fixed(t, der, 32), 27) }},
	"DER, and a byte":       {change: func(_ testing.TB, der []byte) []byte { return append(bytes.Clone(der), 0) }},
	"DER, and a line break": {change: func(_ testing.TB, der []byte) []byte { return append(bytes.Clone(der), '\n') }},
}

func TestAttack_E7_SignaturesAreReadAsOthersWriteThem(t *testing.T) {
	w := newWorld(t)
	payload := statement(intoto.PredicateSignature, about(w.image))
	simple := payloadFor(w.repo.Name(), w.image.DigestStr())
	file := []byte("a release")
	made := func(message []byte) []byte {
		sig, err := w.trusted.Sign(t.Context(), message)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	for name, c := range encodings {
		text := func(message []byte) string {
			sig := made(message)
			if c.change != nil {
				sig = c.change(t, sig)
			}
			if c.text != nil {
				return c.text(sig)
			}
			return base64.StdEncoding.EncodeToString(sig)
		}
		quoted := func(message []byte) string {
			q, err := json.Marshal(text(message))
			if err != nil {
				t.Fatal(err)
			}
			return string(q)
		}
		pae := dsse.PAE(dsse.PayloadTypeInToto, []byte(payload))
		bundled := bundleOf(fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payloadType":%q,"payload":%q,"signatures":[{"sig":%s}]}}`,
			bundleType, dsse.PayloadTypeInToto, base64.StdEncoding.EncodeToString([]byte(payload)), quoted(pae)))
		tagged := simpleItem(t, simple, w.trusted)
		tagged.Layer.Annotations[sigKey] = text([]byte(simple))
		for format, item := range map[string]registry.Item{"bundle": bundled, "simple signing": tagged} {
			image := newWorldLike(t, w)
			image.attach(w.image, item)
			res, err := image.verifier(policy.Signatures{}).Image(t.Context(), image.store, w.image)
			if c.ok != (err == nil && res != nil) {
				t.Errorf("%s, %s: %v, want ok=%v", format, name, err, c.ok)
			}
		}
		sum := sha256.Sum256(file)
		over := fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":%q},"signature":%s}}`,
			bundleType, base64.StdEncoding.EncodeToString(sum[:]), quoted(file))
		older := fmt.Appendf(nil, `{"base64Signature":%s,"rekorBundle":null}`, quoted(file))
		for format, bundle := range map[string][]byte{"over bytes": over, "cosign's older bundle": older} {
			if _, err := w.verifier(policy.Signatures{}).Blob(t.Context(), bytes.NewReader(file), bundle); (err == nil) != c.ok {
				t.Errorf("%s, %s: %v, want ok=%v", format, name, err, c.ok)
			}
		}
	}
}

func TestPayloadsInLinesAreRead(t *testing.T) {
	w := newWorld(t)
	payload := statement(intoto.PredicateSignature, about(w.image))
	key, err := sigkey.New(w.trusted.Public())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := w.trusted.Sign(t.Context(), dsse.PAE(dsse.PayloadTypeInToto, []byte(payload)))
	if err != nil {
		t.Fatal(err)
	}
	for _, with := range []string{`\n`, `\r\n`} {
		text := fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":"%s"}},"dsseEnvelope":{"payloadType":%q,"payload":"%s","signatures":[{"sig":"%s"}]}}`,
			bundleType, broken(key.Hint(), with), dsse.PayloadTypeInToto, broken(base64.StdEncoding.EncodeToString([]byte(payload)), with), broken(base64.StdEncoding.EncodeToString(sig), with))
		if _, err := w.verifier(policy.Signatures{}).Bundles(t.Context(), w.image, []byte(text)); err != nil {
			t.Errorf("%s: %v", with, err)
		}
	}
}

// One signature in two encodings is one key's, and counts once.
func TestAttack_E4_TwoEncodingsOfOneSignatureCountOnce(t *testing.T) {
	w := newWorld(t)
	file := []byte("a release")
	der, err := w.trusted.Sign(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key, w.other.key}, Threshold: 2}
	res, err := w.verifier(p).Blob(t.Context(), bytes.NewReader(file), der, fixed(t, der, 32), overBytes(file, der, ""), overBytes(file, fixed(t, der, 32), ""))
	blobDenied(t, res, err, verify.ReasonThreshold, verify.ReasonCounted, verify.ReasonRepeated, verify.ReasonRepeated, verify.ReasonRepeated)
}

func TestAWrongEncodingIsNamed(t *testing.T) {
	w := newWorld(t)
	der, err := w.trusted.Sign(t.Context(), []byte(hello))
	if err != nil {
		t.Fatal(err)
	}
	for says, sig := range map[string][]byte{
		"96 bytes, and a signature of ECDSA P-256 is ASN.1 DER, or 64 bytes of r and s (IEEE P1363)": fixed(t, der, 48),
		"r or s is zero": make([]byte, 64),
	} {
		_, err := w.verifier(policy.Signatures{}).Blob(t.Context(), strings.NewReader(hello), overBytes([]byte(hello), sig, ""))
		var denied *verify.Error
		if !errors.As(err, &denied) || len(denied.Evidence) != 1 || !strings.Contains(denied.Evidence[0].Detail, says) {
			t.Errorf("%+v, want %q", denied, says)
		}
	}
}

// keysOfEveryType are keys, with the hash that each signs by itself.
func keysOfEveryType(t *testing.T) map[string]struct {
	key  crypto.Signer
	hash crypto.Hash
} {
	t.Helper()
	type signer = struct {
		key  crypto.Signer
		hash crypto.Hash
	}
	all := make(map[string]signer)
	for _, c := range []struct {
		curve elliptic.Curve
		hash  crypto.Hash
	}{{elliptic.P256(), crypto.SHA256}, {elliptic.P384(), crypto.SHA384}, {elliptic.P521(), crypto.SHA512}} {
		key, err := ecdsa.GenerateKey(c.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		all[c.curve.Params().Name] = signer{key, c.hash}
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all["RSA"], all["Ed25519"] = signer{rs, crypto.SHA256}, signer{ed, 0}
	return all
}

func TestDetachedSignaturesOfFilesAreRead(t *testing.T) {
	w := newWorld(t)
	for name, c := range keysOfEveryType(t) {
		by := personWith(t, c.key)
		sig, err := by.Sign(t.Context(), []byte(hello))
		if err != nil {
			t.Fatal(err)
		}
		text := base64.StdEncoding.EncodeToString(sig)
		v := w.verifier(policy.Signatures{Keys: []policy.PublicKey{by.key}})
		for label, detached := range map[string]string{
			"raw": string(sig), "base64": text, "a line": text + "\n", "a line of Windows": text + "\r\n", "lines": broken(text, "\n"),
			"URL-safe": base64.RawURLEncoding.EncodeToString(sig), "blanks around": "  " + text + " \n\n",
		} {
			if res, err := v.Blob(t.Context(), strings.NewReader(hello), []byte(detached)); err != nil || len(res.Keys) != 1 {
				t.Errorf("%s, %s: %v", name, label, err)
			}
			res, err := v.Blob(t.Context(), strings.NewReader(hello+"!"), []byte(detached))
			blobDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
		}
		for label, garbage := range map[string]string{"raw, and a line break": string(sig) + "\n", "half": text[:len(text)/2], "inner blanks": broken(text, " ")} {
			if res, err := v.Blob(t.Context(), strings.NewReader(hello), []byte(garbage)); err == nil {
				t.Errorf("%s, %s: %+v", name, label, res)
			}
		}
	}
	// A signature's first byte may be that of JSON.
	for range 2000 {
		if sig, err := w.trusted.Sign(t.Context(), []byte(hello)); err != nil {
			t.Fatal(err)
		} else if sig = fixed(t, sig, 32); sig[0] == '{' {
			if _, err := w.verifier(policy.Signatures{}).Blob(t.Context(), strings.NewReader(hello), sig); err != nil {
				t.Error(err)
			}
			break
		}
	}
	for _, garbage := range [][]byte{nil, {}, []byte("\n"), []byte("short"), make([]byte, 7), make([]byte, 513), make([]byte, 4096), []byte("{"), []byte("[]")} {
		res, err := w.verifier(policy.Signatures{}).Blob(t.Context(), strings.NewReader(hello), garbage)
		blobDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonMalformed)
	}
}

func TestAttack_E3_ADetachedSignatureOfAnImageIsNoFiles(t *testing.T) {
	w := newWorld(t)
	simple := []byte(payloadFor(w.repo.Name(), w.image.DigestStr()))
	sig, err := w.trusted.Sign(t.Context(), simple)
	if err != nil {
		t.Fatal(err)
	}
	for _, given := range [][]byte{sig, fmt.Appendf(nil, `{"base64Signature":%q}`, base64.StdEncoding.EncodeToString(sig))} {
		res, err := w.verifier(policy.Signatures{}).Blob(t.Context(), bytes.NewReader(simple), given)
		blobDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongType)
	}
}

func TestCosignsOlderBundleIsRead(t *testing.T) {
	w := newWorld(t)
	sig, err := w.trusted.Sign(t.Context(), []byte(hello))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sigkey.New(w.trusted.Public())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := sigkey.New(w.other.Public())
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	rekor := `"rekorBundle":{"SignedEntryTimestamp":"AQI=","Payload":{"body":"e30=","integratedTime":1,"logIndex":2,"logID":"ab"}}`
	certificate := "-----BEGIN CERTIFICATE-----\nAQI=\n-----END CERTIFICATE-----\n"
	for name, c := range map[string]struct {
		text   string
		reason verify.Reason
	}{
		"signature alone":           {fmt.Sprintf(`{"base64Signature":%q}`, b64(sig)), ""},
		"with a log entry":          {fmt.Sprintf(`{"base64Signature":%q,"cert":"",%s}`, b64(sig), rekor), ""},
		"with its key":              {fmt.Sprintf(`{"base64Signature":%q,"cert":%q}`, b64(sig), b64(key.PEM())), ""},
		"with its key in PEM":       {fmt.Sprintf(`{"base64Signature":%q,"cert":%q}`, b64(sig), key.PEM()), ""},
		"with another's key":        {fmt.Sprintf(`{"base64Signature":%q,"cert":%q}`, b64(sig), b64(stranger.PEM())), ""}, // a hint, and no more
		"with a certificate":        {fmt.Sprintf(`{"base64Signature":%q,"cert":%q}`, b64(sig), b64([]byte(certificate))), verify.ReasonCertificate},
		"with a certificate in PEM": {fmt.Sprintf(`{"base64Signature":%q,"cert":%q}`, b64(sig), certificate), verify.ReasonCertificate},
		"with garbage for one":      {fmt.Sprintf(`{"base64Signature":%q,"cert":"garbage"}`, b64(sig)), verify.ReasonCertificate},
		"without a signature":       {`{"base64Signature":""}`, verify.ReasonMalformed},
		"a number for one":          {`{"base64Signature":7}`, verify.ReasonMalformed},
		"two signatures":            {fmt.Sprintf(`{"base64Signature":%q,"base64Signature":%q}`, b64(sig), b64(sig)), verify.ReasonMalformed},
		"more behind":               {fmt.Sprintf(`{"base64Signature":%q}{}`, b64(sig)), verify.ReasonMalformed},
		"of another file":           {fmt.Sprintf(`{"base64Signature":%q}`, b64(sig[:len(sig)-1])), verify.ReasonUntrustedKey},
		"both kinds of bundle":      {fmt.Sprintf(`{"mediaType":%q,"base64Signature":%q}`, bundleType, b64(sig)), verify.ReasonMalformed},
	} {
		res, err := w.verifier(policy.Signatures{}).Blob(t.Context(), strings.NewReader(hello), []byte(c.text))
		if c.reason == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.reason != "" {
			t.Log(name)
			blobDenied(t, res, err, verify.ReasonNoTrustedSignature, c.reason)
		}
	}
}

func TestAttack_E1_TheNamedDigestOfAFileMustBeItsOwn(t *testing.T) {
	w := newWorld(t)
	s256, s384, s512 := sha256.Sum256([]byte(hello)), sha512.Sum384([]byte(hello)), sha512.Sum512([]byte(hello))
	other := sha256.Sum256([]byte("another"))
	b64 := base64.StdEncoding.EncodeToString
	for name, c := range keysOfEveryType(t) {
		by := personWith(t, c.key)
		sig, err := by.Sign(t.Context(), []byte(hello))
		if err != nil {
			t.Fatal(err)
		}
		v := w.verifier(policy.Signatures{Keys: []policy.PublicKey{by.key}})
		for digest, ok := range map[string]bool{
			"":                      true,
			`"messageDigest":null,`: true,
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA2_256","digest":%q},`, b64(s256[:])):                                    true,
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA2_384","digest":%q},`, b64(s384[:])):                                    true,
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA2_512","digest":%q},`, b64(s512[:])):                                    true,
			fmt.Sprintf(`"messageDigest":{"algorithm":1,"digest":%q},`, b64(s256[:])):                                             true,
			fmt.Sprintf(`"messageDigest":{"algorithm":3,"digest":"%s"},`, broken(b64(s512[:]), `\n`)):                             true,
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA3_256","digest":%q},`, b64(other[:])):                                   true, // which is not read
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA2_256","digest":%q},`, b64(other[:])):                                   false,
			fmt.Sprintf(`"messageDigest":{"algorithm":1,"digest":%q},`, b64(other[:])):                                            false,
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA2_512","digest":%q},`, b64(s256[:])):                                    false,
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA2_256","digest":%q},`, b64(s384[:])):                                    false,
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA2_256","digest":%q},`, b64(s256[:31])):                                  false,
			fmt.Sprintf(`"messageDigest":{"algorithm":"SHA2_384","digest":%q},`, b64(append(bytes.Clone(s384[:47]), s384[47]^1))): false,
		} {
			text := fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"messageSignature":{%s"signature":%q}}`, bundleType, digest, b64(sig))
			res, err := v.Blob(context.Background(), strings.NewReader(hello), []byte(text))
			if ok && err != nil {
				t.Errorf("%s, %s: %v", name, digest, err)
			} else if !ok {
				t.Log(name, digest)
				blobDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject)
			}
		}
		bundle, err := sign.Blob(t.Context(), strings.NewReader(hello), by)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Blob(t.Context(), strings.NewReader(hello), bundle); err != nil {
			t.Errorf("%s, ours: %v", name, err)
		}
	}
}
