package tuf

import (
	"bytes"
	_ "embed" // the first roots
)

// publicGoodRoot is version 14 of the root of Sigstore's public instance.
//
//go:embed roots/public-good.json
var publicGoodRoot []byte

// trustedRoot is the name of the target that holds a trust root.
const trustedRoot = "trusted_root.json"

// PublicGood returns Options for the trust root of Sigstore's public instance. The caller
// sets File.
func PublicGood() Options {
	return Options{Root: bytes.Clone(publicGoodRoot), URL: "https://tuf-repo-cdn.sigstore.dev", Target: trustedRoot, Check: checkRoot}
}
