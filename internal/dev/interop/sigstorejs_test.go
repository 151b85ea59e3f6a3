package interop

import (
	"crypto"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/sign"
)

// sigstore-js compares the digest that a bundle names with the file's, by the algorithm
// that the bundle names. It verifies the files that we sign with any key that it knows, and
// only for the file and the key.
func TestSigstoreJSVerifiesFilesThatWeSign(t *testing.T) {
	for _, test := range []struct {
		algorithm sign.Algorithm
		options   sign.SignerOptions
	}{
		{algorithm: sign.ECDSAP256},
		{algorithm: sign.ECDSAP384},
		{algorithm: sign.ECDSAP384, options: sign.SignerOptions{Hash: crypto.SHA256}},
		{algorithm: sign.ECDSAP521},
		{algorithm: sign.RSA2048},
	} {
		name := string(test.algorithm)
		if test.options.Hash != 0 {
			name += "-" + test.options.Hash.String()
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release, stranger := newKey(t, "release", test.algorithm), newKey(t, "stranger", test.algorithm)
			text, err := sign.Blob(t.Context(), strings.NewReader(blobText), release.signer(t, test.options))
			if err != nil {
				t.Fatal(err)
			}
			p := newProgram(t, "sigstore-js")
			bundle := writeFile(t, filepath.Join(p.dir, "bundle.json"), text)
			file := writeFile(t, filepath.Join(p.dir, "file"), []byte(blobText))
			other := writeFile(t, filepath.Join(p.dir, "other"), []byte(blobText+"!"))
			p.run(t, bundle, file, release.public).accepted(t)
			p.run(t, bundle, other, release.public).refused(t, "sigstore-js: ")
			p.run(t, bundle, file, stranger.public).refused(t, "sigstore-js: ")
		})
	}
}
