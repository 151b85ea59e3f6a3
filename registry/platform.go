package registry

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// ParsePlatform reads a platform as users write it, OS/ARCH[/VARIANT], and returns the form
// that containerd compares: "Linux/x86_64" is linux/amd64, "linux/arm64/v8" is linux/arm64,
// "linux/arm" and "linux/armhf" are linux/arm/v7. The version of the OS may follow the OS in
// brackets, or the whole after a colon: windows(10.0.17763)/amd64. Errors are
// ErrReference.
//
// Source: containerd's package platforms, Parse and Normalize.
func ParsePlatform(text string) (v1.Platform, error) {
	p, err := oci.ParsePlatform(text)
	if err != nil {
		return p, &Error{Op: "read platform", Ref: safe(text), Kind: ErrReference, Err: err}
	}
	return p, nil
}
