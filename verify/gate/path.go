package gate

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
)

// endpoint is a part of the distribution API.
type endpoint int

const (
	atPing endpoint = iota
	atManifest
	atBlob
	atReferrers
	atTags
	atOther // known, and never served: uploads, catalogue
)

// location is what a path means. It is all that is used of one: what is asked of
// an upstream is written from it.
type location struct {
	at endpoint
	// repo is the repository, ref the tag or digest.
	repo, ref string
}

// Source: OCI Distribution Specification v1.1, "Pulling manifests".
var (
	nameSyntax   = syntax(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	hostSyntax   = syntax(`^[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*(?:\.[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)*(?::[0-9]{1,5})?$`)
	tagSyntax    = syntax(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestSyntax = syntax(`^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]{32,}$`)
)

// syntax reports whether a text has a form. The expression is compiled when it is first
// used: no program that never asks pays for it.
func syntax(expression string) func(string) bool {
	compiled := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
	return func(text string) bool { return compiled().MatchString(text) }
}

const maxRepository = 255

// locate reads a path from its end, where the endpoint is: a repository may hold
// any words, also "manifests" and "blobs". Percent-encoding is refused: nothing
// of the API needs it, and what it hides could be read in two ways.
func locate(u *url.URL) (location, *refusal) {
	path := u.EscapedPath()
	if strings.ContainsAny(path, "%\\;") || u.Path != path || u.Opaque != "" {
		return location{}, refuse(http.StatusBadRequest, codeName, "the path holds percent-encoding or another character that no image name has")
	}
	if path == "/v2/" || path == "/v2" {
		return location{at: atPing}, nil
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return location{}, refuse(http.StatusNotFound, codeUnsupported, "this is a gate for the pull API of registries, which begins with /v2/")
	}
	l := split(rest)
	if l.at == atOther {
		return l, refuse(http.StatusNotFound, codeUnsupported, "only manifests, blobs, tags and referrers can be read here")
	}
	return l, l.check()
}

func split(rest string) location {
	front, last := cutLast(rest)
	front, word := cutLast(front)
	switch {
	case word == "manifests":
		return location{atManifest, front, last}
	case word == "referrers":
		return location{atReferrers, front, last}
	case word == "tags" && last == "list":
		return location{at: atTags, repo: front}
	case word == "blobs" && last != "uploads":
		return location{atBlob, front, last}
	}
	return location{at: atOther}
}

// cutLast splits a path before its last segment.
func cutLast(path string) (front, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

func (l location) check() *refusal {
	// The first segment may be a registry's host, which has a colon or capitals;
	// whether it is one of ours is looked at later.
	first, more, found := strings.Cut(l.repo, "/")
	named := nameSyntax(l.repo) || found && hostSyntax(first) && nameSyntax(more)
	switch {
	case !named || len(l.repo) > 2*maxRepository:
		return refuse(http.StatusBadRequest, codeName, "the repository's name is malformed")
	case l.at == atTags:
		return nil
	case strings.Contains(l.ref, ":") && l.at == atManifest:
		return checkDigest(l.ref)
	case strings.Contains(l.ref, ":"):
		return checkBlobDigest(l.ref)
	case l.at != atManifest:
		return refuse(http.StatusBadRequest, codeDigest, "want a digest, as in sha256:…")
	case !tagSyntax(l.ref):
		return refuse(http.StatusBadRequest, codeTag, "the tag is malformed")
	}
	return nil
}

// checkDigest refuses all but SHA-256: what is not hashed cannot be judged.
func checkDigest(d string) *refusal {
	switch hex, found := strings.CutPrefix(d, "sha256:"); {
	case found && isHex(hex) && len(hex) == 64:
		return nil
	case !found && digestSyntax(d):
		return refuse(http.StatusBadRequest, codeDigest, "only sha256 digests are supported")
	}
	return refuse(http.StatusBadRequest, codeDigest, "the digest is malformed; want sha256: and 64 lower-case hex digits")
}

// checkBlobDigest also takes SHA-512: a manifest may name blobs by it.
func checkBlobDigest(d string) *refusal {
	if hex, found := strings.CutPrefix(d, "sha512:"); found && isHex(hex) && len(hex) == 128 {
		return nil
	}
	return checkDigest(d)
}

func isHex(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }) < 0
}

// isDigest tells a digest from a tag, in a location that was checked.
func (l location) isDigest() bool { return strings.Contains(l.ref, ":") }

// image is a location in a repository, as text.
func (l location) image(repo name.Repository) string {
	switch {
	case l.ref == "":
		return repo.Name()
	case l.isDigest():
		return repo.Name() + "@" + l.ref
	}
	return repo.Name() + ":" + l.ref
}

// unknown is the code for what is not there.
func (l location) unknown() string {
	switch l.at {
	case atManifest:
		return codeManifest
	case atBlob:
		return codeBlob
	}
	return codeNameUnknown
}
