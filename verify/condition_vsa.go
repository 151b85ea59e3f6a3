package verify

import (
	"path"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// judgeSummary checks what FORMATS and the specification ask a consumer to check.
func (a attestation) judgeSummary(v *predicate.VSA, c *circumstances) *problem {
	if !slices.Contains(a.Verifier, v.Verifier.ID) {
		return problemf(ReasonVerifier, "it is by %q", v.Verifier.ID)
	}
	want := a.Resource
	if len(want) == 0 {
		want = resourcesOf(c.image)
	}
	if !slices.Contains(want, v.ResourceURI) {
		return problemf(ReasonResource, "it is about %q", v.ResourceURI)
	}
	if v.VerificationResult != predicate.VSAPassed {
		return problemf(ReasonVerificationFailed, "it says %s", v.VerificationResult)
	}
	for _, level := range a.VerifiedLevels {
		if !slices.ContainsFunc(v.VerifiedLevels, func(have string) bool { return reaches(have, level) }) {
			return problemf(ReasonVerificationFailed, "it does not reach %s", level)
		}
	}
	if a.PolicyURI != "" && v.Policy.URI != a.PolicyURI {
		return problemf(ReasonVerifiedPolicy, "it is by the policy %q", v.Policy.URI)
	}
	if a.PolicyDigest != "" && "sha256:"+v.Policy.Digest["sha256"] != a.PolicyDigest {
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

// reaches reports whether a level is another one, or a higher one of its track.
func reaches(have, want string) bool {
	track, level, ok := predicate.SplitLevel(have)
	wantTrack, wantLevel, wantOK := predicate.SplitLevel(want)
	if !ok || !wantOK || track != wantTrack {
		return have == want
	}
	return level >= wantLevel
}
