package predicate

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// VSA is a SLSA verification summary: the result of another verifier. A summary that says
// FAILED is as valid as one that says PASSED; read VerificationResult.
//
// Source: SLSA v1.0 and v1.1, verification_summary.md
// ("https://slsa.dev/verification_summary/v1").
type VSA struct {
	// Verifier is the program or service that verified. Required.
	Verifier Verifier `json:"verifier"`
	// TimeVerified is when it verified. Required.
	TimeVerified time.Time `json:"timeVerified"`
	// ResourceURI names the artifact as it was verified. A summary for one place does
	// not count in another. Required.
	ResourceURI string `json:"resourceUri"`
	// Policy is the policy that the artifact was verified against. Its URI is required.
	Policy ResourceDescriptor `json:"policy"`
	// InputAttestations are all attestations that the verifier used, each with a
	// digest. Empty: not known.
	InputAttestations []ResourceDescriptor `json:"inputAttestations,omitempty"`
	// VerificationResult is "PASSED" or "FAILED". Required.
	VerificationResult string `json:"verificationResult"`
	// VerifiedLevels are the highest level of each SLSA track, such as
	// "SLSA_BUILD_LEVEL_3", and properties under names that do not begin with "SLSA_";
	// or "FAILED". Required, may be empty.
	VerifiedLevels []string `json:"verifiedLevels"`
	// DependencyLevels count the transitive dependencies at each level. Empty: not
	// known.
	DependencyLevels map[string]uint64 `json:"dependencyLevels,omitempty"`
	// SLSAVersion is the version of SLSA, such as "1.0". Empty: some 1.x.
	SLSAVersion string `json:"slsaVersion,omitempty"`
}

// Verifier is a program or service that verifies artifacts.
type Verifier struct {
	// ID is the URI by which policies name the verifier. Required.
	ID string `json:"id"`
	// Version maps the verifier's components to their versions. Empty: not known.
	Version map[string]string `json:"version,omitempty"`
}

// Verification results of a VSA.
const (
	VSAPassed = "PASSED"
	VSAFailed = "FAILED"
)

// PredicateType is TypeVSA.
func (VSA) PredicateType() string { return TypeVSA }

// Validate checks the required fields, absolute URIs, well-formed digests, the
// form of the levels, and that the levels do not contradict the result.
func (v VSA) Validate() error { return validated(v) }

func (v VSA) check(c *checks) {
	c.uri("verifier.id", v.Verifier.ID)
	c.time("timeVerified", v.TimeVerified)
	c.uri("resourceUri", v.ResourceURI)
	c.uri("policy.uri", v.Policy.URI)
	c.descriptor("policy", v.Policy)
	c.descriptors("inputAttestations", v.InputAttestations)
	for i, a := range v.InputAttestations {
		c.need(indexed("inputAttestations", i)+".digest", len(a.Digest) > 0)
	}
	c.oneOf("verificationResult", v.VerificationResult, VSAPassed, VSAFailed)
	c.need("verifiedLevels", v.VerifiedLevels != nil)
	c.levels("verifiedLevels", v.VerifiedLevels)
	if v.VerificationResult == VSAPassed && slices.Contains(v.VerifiedLevels, VSAFailed) {
		c.fail("verifiedLevels", "say FAILED, and verificationResult says PASSED")
	}
	for _, level := range slices.Sorted(maps.Keys(v.DependencyLevels)) {
		if !isLevel(level) {
			c.fail("dependencyLevels", "has the level %.100q, which SLSA does not have", level)
		}
	}
	if v.SLSAVersion != "" && !isMajorMinor(v.SLSAVersion) {
		c.fail("slsaVersion", "is %.100q, want MAJOR.MINOR", v.SLSAVersion)
	}
}

// levels refuses names that SLSA keeps for itself and does not define, and two
// levels of one track.
func (c *checks) levels(field string, levels []string) {
	tracks := make(map[string]bool)
	for _, level := range levels {
		if !isLevel(level) {
			c.fail(field, "have the level %.100q, which SLSA does not have", level)
		}
		if track := slsaTrack(level); track != "" {
			if tracks[track] {
				c.fail(field, "have two levels of the track %.100s", track)
			}
			tracks[track] = true
		}
	}
}

// SplitLevel splits a level of a SLSA track: "SLSA_BUILD_LEVEL_3" is level 3 of the track
// "SLSA_BUILD". ok is false for every other text, such as FAILED, and for levels that
// were not evaluated.
func SplitLevel(text string) (track string, level int, ok bool) {
	track, number := cutLevel(text)
	ok = strings.HasPrefix(track, "SLSA_") && len(track) > len("SLSA_") && strings.Trim(track, upperCase+"_") == "" &&
		len(number) == 1 && strings.Contains(digits, number)
	if !ok {
		return "", 0, false
	}
	return track, int(number[0] - '0'), true
}

const (
	upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
)

// cutLevel returns the text before and after the last "_LEVEL_".
func cutLevel(text string) (track, level string) {
	const between = "_LEVEL_"
	i := strings.LastIndex(text, between)
	if i < 0 {
		return "", ""
	}
	return text[:i], text[i+len(between):]
}

// slsaTrack is the track of a level in the form that SLSA gives levels, or "".
func slsaTrack(level string) string {
	track, value := cutLevel(level)
	words := strings.Split(track, "_")
	if len(words) < 2 || words[0] != "SLSA" || value != "UNEVALUATED" && (len(value) != 1 || !strings.Contains(digits, value)) {
		return ""
	}
	for _, word := range words[1:] {
		if word == "" || strings.Trim(word, upperCase) != "" {
			return ""
		}
	}
	return track
}

// isMajorMinor reports whether text is two numbers of up to four digits, with a dot
// between them.
func isMajorMinor(text string) bool {
	major, minor, found := strings.Cut(text, ".")
	return found && isShortNumber(major, 4) && isShortNumber(minor, 4)
}

func isShortNumber(text string, most int) bool {
	return text != "" && len(text) <= most && strings.Trim(text, digits) == ""
}

// isLevel reports whether a level is allowed in a VSA. Names that begin with "SLSA_" are
// reserved for SLSA.
func isLevel(level string) bool {
	return level != "" && (!strings.HasPrefix(level, "SLSA_") || slsaTrack(level) != "")
}

// MarshalJSON writes the time in UTC, as in-toto demands.
func (v VSA) MarshalJSON() ([]byte, error) {
	type plain VSA
	v.TimeVerified = v.TimeVerified.UTC()
	return marshalJSON(plain(v))
}

func (v VSA) summary() summaryLines {
	var l summaryLines
	l.add("verifier", v.Verifier.ID)
	l.add("result", v.VerificationResult)
	l.add("levels", strings.Join(v.VerifiedLevels, ", "))
	l.add("resource", v.ResourceURI)
	l.add("policy", v.Policy.URI)
	l.time("verified", &v.TimeVerified)
	return l
}
