package interop

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/sign"
)

// What "cosign signing-config create" and "cosign trusted-root create" write
// without arguments: no services at all.
const (
	emptySigningConfig = `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}`
	emptyTrustedRoot   = `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`
)

// cosignTool is one version of the program, with neither services nor network.
type cosignTool struct {
	program
	signingConfig, trustedRoot string
}

func newCosign(t testing.TB, version string, env ...string) cosignTool {
	t.Helper()
	// Without a root of its own, cosign 2 and 3 would ask the TUF mirror.
	p := newProgram(t, version, append([]string{"COSIGN_PASSWORD=" + password, "SIGSTORE_NO_CACHE=true", "TUF_MIRROR=" + nowhere}, env...)...)
	return cosignTool{
		program:       p,
		signingConfig: writeFile(t, filepath.Join(p.dir, "signing-config.json"), []byte(emptySigningConfig)),
		trustedRoot:   writeFile(t, filepath.Join(p.dir, "trusted-root.json"), []byte(emptyTrustedRoot)),
	}
}

// way is a way of signing with cosign.
type way struct {
	name    string
	version string
	env     []string
	flags   []string
	// noAnnotations is true where cosign drops what -a gives.
	noAnnotations bool
}

var (
	tag2     = way{name: "cosign2-sig-tag", version: "cosign2"}
	oci2     = way{name: "cosign2-oci11-referrer", version: "cosign2", env: []string{"COSIGN_EXPERIMENTAL=1"}, flags: []string{"--registry-referrers-mode=oci-1-1"}}
	bundle2  = way{name: "cosign2-bundle", version: "cosign2", flags: []string{"--new-bundle-format"}, noAnnotations: true}
	bundle3  = way{name: "cosign3-bundle", version: "cosign3"}
	allWays  = []way{tag2, oci2, bundle2, bundle3}
	allTypes = []sign.Algorithm{sign.ECDSAP256, sign.ECDSAP384, sign.ECDSAP521, sign.Ed25519, sign.RSA2048}
)

// sign signs with the file of a private key.
func (w way) sign(t testing.TB, subject name.Digest, private string, args ...string) {
	t.Helper()
	c := newCosign(t, w.version, w.env...)
	c.run(t, slices.Concat([]string{"sign"}, c.offline(w.version), w.flags, args,
		[]string{"--key", private, subject.String()})...).accepted(t)
}

// offline are the flags of sign, attest and sign-blob that keep cosign from
// asking services. cosign3 would verify what it has signed if it were given a
// trusted root, and fail for Ed25519, which it signs in one way and verifies in
// another.
func (c cosignTool) offline(version string) []string {
	if version == "cosign2" {
		return []string{"--yes", "--tlog-upload=false"}
	}
	return []string{"--yes", "--signing-config", c.signingConfig}
}

// verify verifies an image with the file of a public key. The trusted root is
// empty; with one at hand, cosign2 reads bundles too.
func (c cosignTool) verify(t testing.TB, ref name.Reference, public string, args ...string) outcome {
	t.Helper()
	return c.run(t, slices.Concat([]string{"verify", "--insecure-ignore-tlog=true", "--trusted-root", c.trustedRoot},
		args, []string{"--key", public, ref.String()})...)
}

func annotate(key, value string) []string { return []string{"-a", fmt.Sprintf("%s=%s", key, value)} }
