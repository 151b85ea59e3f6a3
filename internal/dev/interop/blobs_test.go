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
		{algorithm: sign.RSA2048},
		{algorithm: sign.Ed25519},
		{algorithm: sign.ECDSAP384, refused: "invalid signature"},
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
