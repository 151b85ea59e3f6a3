package interop

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const blobText = "a file to be signed\n"

// The bundles that we make for files verify with both versions of cosign, and
// only for the file and the key.
func TestCosignVerifiesFilesThatWeSign(t *testing.T) {
	for _, test := range []struct {
		algorithm sign.Algorithm
		options   sign.SignerOptions
		refused   string
	}{
		{algorithm: sign.ECDSAP256},
		{algorithm: sign.ECDSAP384, options: sign.SignerOptions{Hash: crypto.SHA256}},
		{algorithm: sign.ECDSAP521, options: sign.SignerOptions{Hash: crypto.SHA256}},
		{algorithm: sign.RSA2048},
		{algorithm: sign.Ed25519},
		{algorithm: sign.ECDSAP384, refused: "invalid signature"},
		{algorithm: sign.ECDSAP521, refused: "invalid signature"},
		{algorithm: sign.Ed25519, options: sign.SignerOptions{Prehash: true}, refused: "failed to verify signature"},
	} {
		name := string(test.algorithm)
		if test.refused != "" {
			name += "-refused"
		}
		for _, version := range cosigns {
			t.Run(name+"/"+version, func(t *testing.T) {
				t.Parallel()
				release, stranger := newKey(t, "release", test.algorithm), newKey(t, "stranger", test.algorithm)
				c := newCosign(t, version)
				text, err := sign.Blob(t.Context(), strings.NewReader(blobText), release.signer(t, test.options))
				if err != nil {
					t.Fatal(err)
				}
				bundle := writeFile(t, filepath.Join(c.dir, "bundle.json"), text)
				file := writeFile(t, filepath.Join(c.dir, "file"), []byte(blobText))
				other := writeFile(t, filepath.Join(c.dir, "other"), []byte(blobText+"!"))
				expect(t, c.verifyBlob(t, version, release.public, bundle, file), test.refused)
				c.verifyBlob(t, version, release.public, bundle, other).refused(t, "verify")
				c.verifyBlob(t, version, stranger.public, bundle, file).refused(t, "verify")
			})
		}
	}
}

func (c cosignTool) verifyBlob(t testing.TB, version, public, bundle, file string) outcome {
	t.Helper()
	args := []string{"verify-blob", "--insecure-ignore-tlog=true", "--trusted-root", c.trustedRoot}
	if version == "cosign2" {
		args = append(args, "--new-bundle-format")
	}
	return c.run(t, append(args, "--key", public, "--bundle", bundle, file)...)
}

// The bundles that both versions of cosign make for files, with any type of
// key, we verify, and only for the file and the key. cosign2 panics when it is
// asked to sign a file with an Ed25519 key.
func TestWeVerifyFilesThatCosignSigns(t *testing.T) {
	for _, version := range cosigns {
		for _, a := range allTypes {
			if version == "cosign2" && a == sign.Ed25519 {
				continue
			}
			t.Run(version+"/"+string(a), func(t *testing.T) {
				t.Parallel()
				release := newKey(t, "release", a)
				text := cosignSignsBlob(t, version, release)
				result, err := trusting(t, nil, release).Blob(t.Context(), strings.NewReader(blobText), text)
				if err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				if result.Size != int64(len(blobText)) || !signedBy(result.Keys, release) {
					t.Errorf("%+v", result)
				}
				blobDenied(t, release, blobText+"!", text)
				blobDenied(t, newKey(t, "stranger", a), blobText, text)
			})
		}
	}
}

func blobDenied(t *testing.T, k key, blob string, bundle []byte) {
	t.Helper()
	result, err := trusting(t, nil, k).Blob(t.Context(), strings.NewReader(blob), bundle)
	var refusal *verify.Error
	if !errors.As(err, &refusal) || refusal.Reason != verify.ReasonNoTrustedSignature || result != nil {
		t.Errorf("got %+v, %v, want %s", result, err, verify.ReasonNoTrustedSignature)
	}
}

func cosignSignsBlob(t testing.TB, version string, k key) []byte {
	t.Helper()
	c := newCosign(t, version)
	file := writeFile(t, filepath.Join(c.dir, "file"), []byte(blobText))
	bundle := filepath.Join(c.dir, "bundle.json")
	args := append([]string{"sign-blob"}, c.offline(version)...)
	if version == "cosign2" {
		args = append(args, "--new-bundle-format")
	}
	c.run(t, append(args, "--key", k.private, "--bundle", bundle, file)...).accepted(t)
	text, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(text)
}

// Both versions of cosign verify our bundles of larger curves once they are told the
// hash, which the bundle names.
func TestCosignVerifiesOurLargerCurves(t *testing.T) {
	for a, hash := range map[sign.Algorithm]string{sign.ECDSAP384: "sha384", sign.ECDSAP521: "sha512"} {
		for _, version := range cosigns {
			t.Run(string(a)+"/"+version, func(t *testing.T) {
				t.Parallel()
				release := newKey(t, "release", a)
				c := newCosign(t, version)
				text, err := sign.Blob(t.Context(), strings.NewReader(blobText), release.signer(t, sign.SignerOptions{}))
				if err != nil {
					t.Fatal(err)
				}
				if want := `"algorithm":"SHA2_` + hash[3:] + `"`; !bytes.Contains(text, []byte(want)) {
					t.Errorf("%s lacks %s", text, want)
				}
				bundle := writeFile(t, filepath.Join(c.dir, "bundle.json"), text)
				file := writeFile(t, filepath.Join(c.dir, "file"), []byte(blobText))
				args := []string{"verify-blob", "--insecure-ignore-tlog=true", "--trusted-root", c.trustedRoot, "--signature-digest-algorithm", hash}
				if version == "cosign2" {
					args = append(args, "--new-bundle-format")
				}
				c.run(t, append(args, "--key", release.public, "--bundle", bundle, file)...).accepted(t)
			})
		}
	}
}

// cosign2's older bundle and its detached signatures, in base64 and raw, verify here.
// cosign2 panics when it is asked to sign a file with an Ed25519 key.
func TestWeVerifyCosignsOlderSignatures(t *testing.T) {
	for _, a := range allTypes {
		if a == sign.Ed25519 {
			continue
		}
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			release, stranger := newKey(t, "release", a), newKey(t, "stranger", a)
			c := newCosign(t, "cosign2")
			file := writeFile(t, filepath.Join(c.dir, "file"), []byte(blobText))
			for name, flags := range map[string][]string{
				"bundle":   {"--new-bundle-format=false", "--bundle", "out"},
				"base64":   {"--new-bundle-format=false", "--output-signature", "out"},
				"detached": {"--new-bundle-format=false", "--b64=false", "--output-signature", "out"},
			} {
				args := append([]string{"sign-blob"}, c.offline("cosign2")...)
				c.run(t, append(append(args, "--key", release.private, file), flags...)...).accepted(t)
				signature, err := os.ReadFile(filepath.Join(c.dir, "out"))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := trusting(t, nil, release).Blob(t.Context(), strings.NewReader(blobText), signature); err != nil {
					t.Errorf("%s: %v\n%q", name, err, signature)
				}
				blobDenied(t, release, blobText+"!", signature)
				blobDenied(t, stranger, blobText, signature)
				if err := os.Remove(filepath.Join(c.dir, "out")); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// openssl's own signatures of a file verify here.
func TestWeVerifyFilesThatOpenSSLSigns(t *testing.T) {
	for a, hash := range map[sign.Algorithm]string{sign.ECDSAP256: "sha256", sign.ECDSAP384: "sha384", sign.ECDSAP521: "sha512", sign.RSA2048: "sha256"} {
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, "openssl")
			how := []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-" + strings.TrimPrefix(string(a), "ecdsa-p")}
			if a == sign.RSA2048 {
				how = []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}
			}
			p.run(t, append(append([]string{"genpkey"}, how...), "-out", "key.pem")...).accepted(t)
			p.run(t, "pkey", "-in", "key.pem", "-pubout", "-out", "key.pub").accepted(t)
			file := writeFile(t, filepath.Join(p.dir, "file"), []byte(blobText))
			p.run(t, "dgst", "-"+hash, "-sign", "key.pem", "-out", "raw", file).accepted(t)
			p.run(t, "base64", "-in", "raw", "-out", "lines").accepted(t)
			public, err := policy.LoadPublicKey(filepath.Join(p.dir, "key.pub"))
			if err != nil {
				t.Fatal(err)
			}
			v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{public}, Threshold: 1}.Policy(), verify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"raw", "lines"} {
				signature, err := os.ReadFile(filepath.Join(p.dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := v.Blob(t.Context(), strings.NewReader(blobText), signature); err != nil {
					t.Errorf("%s: %v\n%q", name, err, signature)
				}
			}
		})
	}
}
