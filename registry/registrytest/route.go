package registrytest

import (
	"regexp"
	"strings"
)

// Kind is a part of a registry's API.
type Kind string

// The kinds of requests.
const (
	KindPing      Kind = "ping"      // /v2/
	KindManifest  Kind = "manifest"  // /v2/<name>/manifests/<reference>
	KindBlob      Kind = "blob"      // /v2/<name>/blobs/<digest>
	KindUpload    Kind = "upload"    // /v2/<name>/blobs/uploads/...
	KindReferrers Kind = "referrers" // /v2/<name>/referrers/<digest>
	KindTags      Kind = "tags"      // /v2/<name>/tags/list
	KindToken     Kind = "token"     // the path of TokenAuth
	KindOther     Kind = "other"     // anything else
)

// location is what a path means: ref is a tag, a digest or an upload's ID.
type location struct {
	kind      Kind
	repo, ref string
}

// route reads a path from its end, where the endpoint is: a repository's name
// may hold any words, also "manifests" and "blobs".
func (r *Registry) route(path string) location {
	if r.o.Auth != nil && path == r.o.Auth.path() {
		return location{kind: KindToken}
	}
	if path == "/v2/" || path == "/v2" {
		return location{kind: KindPing}
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return location{kind: KindOther}
	}
	front, last := cutLast(rest)
	front, word := cutLast(front)
	switch {
	case word == "manifests":
		return location{KindManifest, front, last}
	case word == "referrers":
		return location{KindReferrers, front, last}
	case word == "tags" && last == "list":
		return location{kind: KindTags, repo: front}
	case word == "blobs" && last == "uploads":
		return location{kind: KindUpload, repo: front}
	case word == "blobs":
		return location{KindBlob, front, last}
	}
	if repo, blobs := cutLast(front); word == "uploads" && blobs == "blobs" {
		return location{KindUpload, repo, last}
	}
	return location{kind: KindOther}
}

// cutLast splits a path before its last segment.
func cutLast(path string) (front, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// Source: OCI Distribution Specification v1.1, "Pulling manifests".
var (
	nameSyntax   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagSyntax    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestSyntax = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	blobSyntax   = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
)

func validName(repo string) bool { return len(repo) <= 255 && nameSyntax.MatchString(repo) }

func isDigest(ref string) bool { return strings.Contains(ref, ":") }

// checkRef refuses what is neither a tag nor a digest.
func checkRef(ref string) *refusal {
	switch {
	case isDigest(ref):
		return checkDigest(ref)
	case !tagSyntax.MatchString(ref):
		return errTag
	}
	return nil
}

func checkBlobDigest(digest string) *refusal {
	if !blobSyntax.MatchString(digest) {
		return errDigest
	}
	return nil
}

func checkDigest(digest string) *refusal {
	if !digestSyntax.MatchString(digest) {
		return errDigest
	}
	return nil
}
