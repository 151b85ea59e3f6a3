package verify

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

func (q *VSAConditions) set() []string {
	return setNames(map[string]bool{
		"verifier": q.Verifier != nil, "resource": q.Resource != nil, "verifiedLevels": q.VerifiedLevels != nil,
		"policyUri": q.PolicyURI != "", "policyDigest": q.PolicyDigest != "",
	})
}

func (q *VSAConditions) check() error {
	if len(q.Verifier) == 0 {
		return fmt.Errorf("needs verifier: a summary by whatever verifier says nothing")
	}
	if err := checkURIs("verifier", q.Verifier); err != nil {
		return err
	}
	for _, level := range q.VerifiedLevels {
		if strings.HasPrefix(level, "SLSA_") && !levelForm.MatchString(level) {
			return fmt.Errorf("has in verifiedLevels %.100q, which no summary reaches; want one as in SLSA_BUILD_LEVEL_3", level)
		}
	}
	if q.PolicyDigest != "" && !isDigest(q.PolicyDigest) {
		return fmt.Errorf("has policyDigest %.100q, want sha256:… with 64 lower-case hex digits", q.PolicyDigest)
	}
	return nil
}

// judge checks what FORMATS and the specification ask a consumer to check.
func (q *VSAConditions) judge(v *predicate.VSA, c *circumstances) *problem {
	if !slices.Contains(q.Verifier, v.Verifier.ID) {
		return problemf(ReasonVerifier, "it is by %q", v.Verifier.ID)
	}
	want := q.Resource
	if len(want) == 0 {
		want = resourcesOf(c.image)
	}
	if !slices.Contains(want, v.ResourceURI) {
		return problemf(ReasonResource, "it is about %q", v.ResourceURI)
	}
	if v.VerificationResult != predicate.VSAPassed {
		return problemf(ReasonVerificationFailed, "it says %s", v.VerificationResult)
	}
	for _, level := range q.VerifiedLevels {
		if !slices.ContainsFunc(v.VerifiedLevels, func(have string) bool { return reaches(have, level) }) {
			return problemf(ReasonVerificationFailed, "it does not reach %s", level)
		}
	}
	if q.PolicyURI != "" && v.Policy.URI != q.PolicyURI {
		return problemf(ReasonVerifiedPolicy, "it is by the policy %q", v.Policy.URI)
	}
	if q.PolicyDigest != "" && "sha256:"+v.Policy.Digest["sha256"] != q.PolicyDigest {
		return problemf(ReasonVerifiedPolicy, "it is by another version of the policy")
	}
	return nil
}

// resourcesOf are the forms in which a summary may name an image.
func resourcesOf(image name.Digest) []string {
	repo, digest := image.Context().Name(), image.DigestStr()
	return []string{
		repo, repo + "@" + digest, "oci://" + repo, "oci://" + repo + "@" + digest, "https://" + repo, "docker://" + repo,
		"pkg:oci/" + path.Base(repo) + "@" + digest + "?repository_url=" + repo, "pkg:docker/" + repo + "@" + digest,
	}
}

// levelForm is a level of a SLSA track.
var levelForm = regexp.MustCompile(`^(SLSA_[A-Z_]+_LEVEL_)([0-9])$`)

// reaches reports whether a level is another one, or a higher one of its track.
func reaches(have, want string) bool {
	h, w := levelForm.FindStringSubmatch(have), levelForm.FindStringSubmatch(want)
	if h == nil || w == nil || h[1] != w[1] {
		return have == want
	}
	a, _ := strconv.Atoi(h[2])
	b, _ := strconv.Atoi(w[2])
	return a >= b
}
