package predicate

import "strings"

// Release binds the files of a release to its name and version in a package
// registry.
//
// Source: in-toto Attestation Framework, spec/predicates/release.md v0.1
// ("https://in-toto.io/attestation/release/v0.1").
type Release struct {
	// PURL is the package URL of the release, with a version. Required.
	PURL string `json:"purl"`
	// ReleaseID is the registry's own identifier of the release. Empty: none.
	ReleaseID string `json:"releaseId,omitempty"`
}

// PredicateType is TypeRelease.
func (Release) PredicateType() string { return TypeRelease }

// Validate checks that the package URL has a type, a name and a version.
func (r Release) Validate() error { return validated(r) }

func (r Release) check(c *checks) {
	c.uri("purl", r.PURL)
	if name, version := splitPURL(r.PURL); name == "" {
		c.fail("purl", "is %.200q, want a package URL", r.PURL)
	} else if version == "" {
		c.fail("purl", "has no version: %.200q", r.PURL)
	}
}

// splitPURL cuts a package URL into type/namespace/name and version (purl-spec:
// pkg:type/namespace/name@version?qualifiers#subpath).
func splitPURL(purl string) (name, version string) {
	rest, ok := strings.CutPrefix(purl, "pkg:")
	if !ok {
		return "", ""
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	rest = strings.Trim(rest, "/")
	slash := strings.LastIndexByte(rest, '/')
	if at := strings.LastIndexByte(rest, '@'); at > slash {
		rest, version = rest[:at], rest[at+1:]
	}
	if slash <= 0 || slash == len(rest)-1 {
		return "", ""
	}
	return rest, version
}

func (r Release) summary() summaryLines {
	var l summaryLines
	name, version := splitPURL(r.PURL)
	l.add("release", nameVersion(name, version))
	l.add("purl", r.PURL)
	l.add("release ID", r.ReleaseID)
	return l
}
