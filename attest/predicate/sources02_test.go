package predicate_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// BuildKit's configSource is the context of the build, which may be an archive.
func TestProvenance02_SourcesOfBuildKit(t *testing.T) {
	for uri, want := range map[string]int{
		"https://git.example/team/app.git#refs/heads/main": 1,
		"git+https://git.example/team/app":                 1,
		"https://files.example/app.tar.gz":                 0,
	} {
		p := predicate.Provenance02{
			BuildType:  "https://mobyproject.org/buildkit@v1",
			Invocation: &predicate.Invocation02{ConfigSource: &predicate.ConfigSource02{URI: uri, Digest: map[string]string{"sha1": "0123456789abcdef0123456789abcdef01234567"}}},
		}
		if got := p.Sources(); len(got) != want {
			t.Errorf("%s: %+v, want %d", uri, got, want)
		}
	}
}

func TestParse_VulnsInTwoFormsAtOnceAreRefused(t *testing.T) {
	const text = `{"scanner":{"uri":"x:y","result":[{"id":"CVE-1","vulnerability":{"id":"CVE-2","severity":[]}}]},"metadata":{"scanStartedOn":"2026-03-02T07:00:00Z","scanFinishedOn":"2026-03-02T07:00:12Z"}}`
	if _, err := predicate.Parse("https://in-toto.io/attestation/vulns/v0.1", []byte(text)); err == nil {
		t.Error("a finding in two forms at once is read")
	}
}
