package registry

import (
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// maxReference bounds the text of a reference: a host, a repository of 255
// characters, a tag of 128 and a digest fit.
const maxReference = 1024

// maxRepository bounds a repository's name, as go-containerregistry does.
const maxRepository = 255

// ParseReference parses a reference to an image in a registry, as docker and podman
// do: REPO:TAG or REPO@DIGEST. A REPO without a registry is at Docker Hub, and the tag
// defaults to latest. If there are both a tag and a digest, the digest counts. Other
// text is ErrReference.
func ParseReference(s string) (name.Reference, error) {
	fail := func(why string) (name.Reference, error) {
		return nil, &Error{Op: "read reference", Ref: SafeText(s, 200), Kind: ErrReference, Detail: why}
	}
	switch {
	case s == "":
		return fail("it is empty; want REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:…")
	case len(s) > maxReference:
		return fail("it is too long")
	case strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || r == 0x7f }):
		return fail("it holds a character that no reference has")
	case strings.Contains(s, "://"):
		return fail("leave out the scheme, as in registry.example/team/app:v1")
	}
	for _, part := range strings.Split(s, "/") {
		if part == "" || part == "." || part == ".." {
			return fail("it holds an empty part, or one of dots")
		}
	}
	ref, err := name.ParseReference(s)
	if err != nil {
		return fail(SafeText(strings.TrimPrefix(err.Error(), "could not parse reference: "), maxErrorText))
	}
	if d, ok := ref.(name.Digest); ok {
		if _, err := HashOf(d); err != nil {
			return nil, err
		}
	} else if !oci.IsTag(ref.Identifier()) {
		return fail("malformed tag")
	}
	// go-containerregistry counts before it puts "library/" in front, and a tag
	// behind: what is returned must fit in full.
	if len(ref.Context().RepositoryStr()) > maxRepository || len(ref.Name()) > maxReference {
		return fail("it is too long")
	}
	return ref, nil
}
