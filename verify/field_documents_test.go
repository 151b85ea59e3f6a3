package verify_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/verify"
)

// fieldDocument is a statement in the shape of a real builder or generator, without its
// subject, as testdata/builders holds it.
func fieldDocument(t testing.TB, name string) says {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "builders", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return says{s.PredicateType, string(s.Predicate)}
}

// refusals map conditions to the reason for which a document does not meet them.
type refusals map[string]verify.Reason

// fieldDocuments says of each document by which conditions it counts, which ask for all
// that it says, and by which it does not, since they ask for more.
func fieldDocuments() map[string]struct {
	kind, meets string
	fails       refusals
} {
	const (
		tekton, google = "builder: [https://tekton.dev/chains/v2]", "builder: [https://cloudbuild.googleapis.com/GoogleHostedWorker]"
		runner         = "builder: [https://gitlab.example/team/app/-/runners/12345]"
		commit         = ", commit: [" + someCommit + "]"
		github         = "builder: [https://github.example/team/app/.github/workflows/release.yml@refs/heads/main]"
		generator      = `builder: ["https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.0.0"]`
		any            = "acceptAnyContent: true"
		verifier       = "verifier: [https://bcid.google.example/verifier/bcid_package_enforcer/v0.1]"
		resource       = `, resource: ["gce_image://gke-node-images:app-1"]`
		mayAgain       = ", builtAfter: 2026-11-01T00:00:00Z, maxAge: 48h"
	)
	other := ", builder: [https://other.example]"
	return map[string]struct {
		kind, meets string
		fails       refusals
	}{
		"tekton-chains-v02": {"slsaprovenance", tekton + ", buildType: [tekton.dev/v1beta1/TaskRun], source: [git+https://git.example/team/app.git]" + commit + mayAgain + ", parameters: {CHAINS-GIT_URL: https://git.example/team/app}", refusals{
			other[2:]: verify.ReasonBuilder, tekton + ", buildType: [tekton.dev/v1/TaskRun]": verify.ReasonBuildType, tekton + ", source: [git+https://git.example/team/app]": verify.ReasonSource,
			tekton + ", ref: [refs/heads/main]": verify.ReasonSource, tekton + ", absentParameters: [images]": verify.ReasonParameters, tekton + ", maxAge: 1h": verify.ReasonStale,
		}},
		"tekton-chains-v1": {"slsaprovenance", tekton + `, buildType: ["https://tekton.dev/chains/v2/slsa-tekton"], source: [git+https://git.example/team/app.git]` + commit + mayAgain, refusals{
			tekton + ", onlyKnownParameters: true": verify.ReasonParameters, tekton + ", source: [git+https://git.example/catalog/tasks.git]": verify.ReasonSource, tekton + ", minLevel: 3": verify.ReasonBuilder,
		}},
		"gitlab-runner-v02": {"slsaprovenance", runner + ", source: [https://gitlab.example/team/app]" + commit + mayAgain, refusals{
			runner + ", source: [https://gitlab.example/team/other]": verify.ReasonSource, runner + ", ref: [refs/heads/main]": verify.ReasonSource, runner + `, commit: ["` + strings.Repeat("0", 40) + `"]`: verify.ReasonSource,
			runner + ", parameters: {CI: \"true\"}": verify.ReasonParameters,
		}},
		"gitlab-runner-v1": {"slsaprovenance", runner + ", parameters: {source: https://gitlab.example/team/app, entryPoint: build image}" + mayAgain, refusals{
			runner + ", source: [https://gitlab.example/team/app]": verify.ReasonSource, runner + ", parameters: {source: https://gitlab.example/team/other}": verify.ReasonParameters,
			"builder: [https://gitlab.example/team/app/-/runners/1234]": verify.ReasonBuilder,
		}},
		"github-attest-build-provenance-v1": {"slsaprovenance", github + ", buildType: [https://actions.github.io/buildtypes/workflow/v1], source: [git+https://github.example/team/app], ref: [refs/heads/main]" + commit, refusals{
			github + ", ref: [refs/tags/v1]": verify.ReasonSource, github + ", maxAge: 48h": verify.ReasonStale, github + ", builtAfter: 2026-11-01T00:00:00Z": verify.ReasonStale,
		}},
		"slsa-github-generator-v02": {"slsaprovenance", generator + ", source: [git+https://github.example/team/app], ref: [refs/tags/v1.2.3]" + commit + ", onlyKnownParameters: true", refusals{
			generator + ", parameters: {x: 1}": verify.ReasonParameters, generator + ", maxAge: 48h": verify.ReasonStale, generator + ", ref: [refs/heads/main]": verify.ReasonSource,
		}},
		"google-cloud-build-v01": {"https://slsa.dev/provenance/v0.1", any, nil},
		"google-cloud-build-v1": {"slsaprovenance", google + ", source: [git+https://github.example/team/app], ref: [refs/heads/main]" + commit + mayAgain + ", onlyKnownParameters: true, knownParameters: [buildConfigSource, substitutions]", refusals{
			"builder: [https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3]": verify.ReasonBuilder, google + ", parameters: {substitutions: {a: b}}": verify.ReasonParameters, google + ", maxAge: 1h": verify.ReasonStale,
		}},
		"buildkit-0.31-v02": {"slsaprovenance", "", refusals{
			"builder: [https://ci.example/builder]": verify.ReasonBuilder, "builder: [https://mobyproject.org/buildkit@v1]": verify.ReasonBuilder,
		}},
		"buildkit-0.32-v1": {"slsaprovenance", "builder: [https://ci.example/builder], source: [git+https://github.example/team/app.git], ref: [refs/heads/main]" + commit + mayAgain, refusals{
			"builder: [https://ci.example/builder], source: [git+https://github.example/team/app]": verify.ReasonSource, "builder: [https://ci.example/builder], absentParameters: [request]": verify.ReasonParameters,
		}},
		"witness-collection":       {"https://witness.testifysec.com/attestation-collection/v0.1", any, nil},
		"ko-spdx":                  {"spdx", `denyPackages: ["pkg:golang/example.com/other"], denyLicenses: [MIT]`, refusals{`denyPackages: ["pkg:golang/example.com/app"]`: verify.ReasonDeniedPackage}},
		"syft-spdx":                {"spdx", `denyPackages: ["pkg:apk/alpine/other"], denyLicenses: [GPL-2.0-only]`, refusals{"denyPackages: [musl]": verify.ReasonDeniedPackage, "denyLicenses: [MIT]": verify.ReasonDeniedLicense}},
		"syft-cyclonedx":           {"cyclonedx", `denyPackages: ["pkg:apk/alpine/other"], denyLicenses: [GPL-2.0-only]`, refusals{"denyPackages: [musl]": verify.ReasonDeniedPackage, "denyLicenses: [MIT]": verify.ReasonDeniedLicense}},
		"trivy-cyclonedx":          {"cyclonedx", `denyPackages: [musl], denyLicenses: [MIT]`, refusals{"denyPackages: [org.springframework/spring-core]": verify.ReasonDeniedPackage, "denyLicenses: [GPL-2.0-only]": verify.ReasonDeniedLicense}},
		"trivy-vuln":               {"vuln", "maxSeverity: medium", refusals{"maxSeverity: low": verify.ReasonVulnerable, "maxSeverity: medium, maxAge: 48h": verify.ReasonStale}},
		"cdxgen-cyclonedx":         {"cyclonedx", `denyPackages: [musl], denyLicenses: [GPL-2.0-only]`, refusals{`denyPackages: ["pkg:npm/@babel/core"]`: verify.ReasonDeniedPackage, "denyLicenses: [MIT]": verify.ReasonDeniedLicense}},
		"spdx-sbom-generator-spdx": {"spdx", `denyPackages: [musl], denyLicenses: [GPL-2.0-only]`, refusals{`denyPackages: [example.com/app]`: verify.ReasonDeniedPackage, "denyLicenses: [Apache-2.0]": verify.ReasonDeniedLicense}},
		"cosign1-cyclonedx":        {"cyclonedx", `denyPackages: [musl], denyLicenses: [MIT]`, refusals{"denyPackages: [alpine-baselayout]": verify.ReasonDeniedPackage, "denyLicenses: [GPL-2.0-only]": verify.ReasonDeniedLicense}},
		"cosign1-spdx":             {"spdx", `denyPackages: [other], denyLicenses: [GPL-2.0-only]`, refusals{"denyPackages: [musl]": verify.ReasonDeniedPackage, "denyLicenses: [MIT]": verify.ReasonDeniedLicense}},
		"cosign1-spdx-tag-value":   {"spdx", "", refusals{"denyPackages: [other]": verify.ReasonPredicate, "denyLicenses: [GPL-2.0-only]": verify.ReasonPredicate}},
		"google-vsa": {"vsa", verifier + resource + ", verifiedLevels: [SLSA_BUILD_LEVEL_2, BCID_L1], maxAge: 48h", refusals{
			verifier: verify.ReasonResource, verifier + resource + ", verifiedLevels: [SLSA_BUILD_LEVEL_3]": verify.ReasonVerificationFailed, "verifier: [https://other.example]" + resource: verify.ReasonVerifier,
			verifier + resource + ", policyUri: https://policy.example": verify.ReasonVerifiedPolicy, verifier + resource + `, policyDigest: "sha256:` + strings.Repeat("ab", 32) + `"`: verify.ReasonVerifiedPolicy,
		}},
	}
}

func TestFieldDocuments_CountForWhatTheySay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "builders", "*.json"))
	if err != nil || len(files) != len(fieldDocuments()) {
		t.Fatalf("%d files, %d documents: %v", len(files), len(fieldDocuments()), err)
	}
	for name, d := range fieldDocuments() {
		t.Run(name, func(t *testing.T) {
			s := fieldDocument(t, name)
			requirement := func(conditions string) string {
				if conditions != "" {
					conditions = ", " + conditions
				}
				return "attestation: {type: " + d.kind + ", by: builder" + conditions + "}" + "\nbuilders: {\"https://tekton.dev/chains/v2\": 2, \"https://other.example\": 3}"
			}
			meets := []string{d.meets}
			switch d.kind {
			case "spdx", "cyclonedx":
				meets = append(meets, "")
			case "slsaprovenance":
				builder, _, _ := strings.Cut(d.meets, ", ")
				meets = append(meets, builder)
			}
			for _, conditions := range slices.Compact(meets) {
				if d.kind == "slsaprovenance" && conditions == "" {
					continue // it names no builder
				}
				if _, err := required(t, requirement(conditions), s); err != nil {
					t.Errorf("%s: %v", conditions, err)
				}
			}
			for conditions, reason := range d.fails {
				if conditions == "" {
					continue
				}
				if strings.HasSuffix(conditions, "minLevel: 3") {
					conditions = strings.Replace(conditions, "]", ", https://other.example]", 1)
				}
				_, err := required(t, requirement(conditions), s)
				t.Log(conditions, err)
				wantReason(t, err, reason)
			}
			lines, err := predicate.Summarize(s.uri, []byte(s.text), scan.Count)
			if err != nil || len(lines) == 0 {
				t.Errorf("summary: %v, %v", lines, err)
			}
		})
	}
}
