package verify

import (
	"path"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// judgeSummary checks what the specification asks a consumer to check.
//
// Source: SLSA v1.0 and v1.1, verification_summary.md.
func (a attestation) judgeSummary(d document, c *circumstances) *problem {
	resources := a.Resource
	if len(resources) == 0 {
		resources = resourcesOf(c.image)
	}
	for _, x := range []struct {
		reason Reason
		at     string
		want   []string
	}{{ReasonVerifier, "verifier.id", a.Verifier}, {ReasonResource, "resourceUri", resources}} {
		got, err := d.at(x.at).text()
		switch {
		case err != nil:
			return problemf(ReasonPredicate, "it cannot be read: %v", err)
		case !slices.Contains(x.want, got):
			return unwanted(x.reason, x.at, got, x.want)
		}
	}
	if p := a.judgeVerified(d); p != nil {
		return p
	}
	return a.judgeVerifiedPolicy(d)
}

// judgeVerified reads the result, and the levels where the policy wants some. A result
// that the levels contradict is not one.
func (a attestation) judgeVerified(d document) *problem {
	result, err := d.at("verificationResult").text()
	if err == nil && result != predicate.VSAPassed && result != predicate.VSAFailed {
		err = d.at("verificationResult").wrong("PASSED or FAILED")
	}
	if err != nil {
		return problemf(ReasonPredicate, "its result cannot be read: %v", err)
	}
	if result != predicate.VSAPassed {
		return unwanted(ReasonVerificationFailed, "verificationResult", result, []string{predicate.VSAPassed})
	}
	levels, err := d.at("verifiedLevels").stringsOf()
	switch {
	case slices.Contains(levels, predicate.VSAFailed):
		return problemf(ReasonPredicate, "verificationResult is PASSED, and verifiedLevels has FAILED")
	case len(a.VerifiedLevels) == 0:
		return nil
	case err != nil:
		return problemf(ReasonPredicate, "its levels cannot be read: %v", err)
	}
	if track := repeatedTrack(levels); track != "" {
		return problemf(ReasonPredicate, "verifiedLevels has two levels of the track %.100s", track)
	}
	for _, level := range a.VerifiedLevels {
		if !slices.ContainsFunc(levels, func(have string) bool { return reaches(have, level) }) {
			return problemf(ReasonVerificationFailed, "verifiedLevels is %.200q, the policy wants %s", levels, level)
		}
	}
	return nil
}

// repeatedTrack is a track with two levels, or "". It is not known which of them holds.
func repeatedTrack(levels []string) string {
	seen := make(map[string]bool)
	for _, level := range levels {
		track, _, ok := predicate.SplitLevel(level)
		if ok && seen[track] {
			return track
		}
		seen[track] = true
	}
	return ""
}

func (a attestation) judgeVerifiedPolicy(d document) *problem {
	if a.PolicyURI != "" {
		uri, err := d.at("policy.uri").text()
		switch {
		case err != nil:
			return problemf(ReasonPredicate, "its policy cannot be read: %v", err)
		case uri != a.PolicyURI:
			return unwanted(ReasonVerifiedPolicy, "policy.uri", uri, []string{a.PolicyURI})
		}
	}
	if a.PolicyDigest == "" {
		return nil
	}
	digest, err := d.at("policy.digest.sha256").optionalText()
	switch {
	case err != nil:
		return problemf(ReasonPredicate, "its policy cannot be read: %v", err)
	case "sha256:"+digest != a.PolicyDigest:
		return unwanted(ReasonVerifiedPolicy, "policy.digest.sha256", digest, []string{a.PolicyDigest})
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
