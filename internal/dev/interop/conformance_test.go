package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// conformance fails the test unless the registry conforms, in all that concerns
// pulls, to the OCI distribution specification, as its own suite sees it. The
// registry holds an image already, in the repository namespace. Since the suite
// is told no more of it than this, it does not look at what bodies hold; see
// TestClientsPull for that.
func conformance(t testing.TB, rootURL, namespace, tag, manifestDigest, blobDigest string) {
	t.Helper()
	for _, failure := range conformanceFailures(t, rootURL, namespace, tag, manifestDigest, blobDigest) {
		t.Error(failure)
	}
}

// conformanceCases are those that must pass, among others: a suite that runs
// none of them finds no fault either.
var conformanceCases = []string{
	"ping",
	"read-only/head/manifest-head-by-tag",
	"read-only/head/manifest-head-by-digest",
	"read-only/head/blob-head",
	"read-only/pull/manifest-by-tag",
	"read-only/pull/manifest-by-digest",
	"read-only/pull/blob-get",
	"missing-manifest/by-digest",
	"missing-manifest/by-tag",
	"invalid-digest-format/manifest-get",
}

// conformanceLine is one case and its status in the suite's report.
var conformanceLine = regexp.MustCompile(`^ *OCI Conformance Test(?:/(.+))?: (Pass|Skip|Disabled|FAIL|Error|Unknown)$`)

// conformanceFailures runs the suite, and returns what is wrong. Of its results
// only the report counts: where pushes are disabled, the suite crashes
// afterwards, or ends well whatever it has found.
func conformanceFailures(t testing.TB, rootURL, namespace, tag, manifestDigest, blobDigest string) (failures []string) {
	t.Helper()
	o := runConformance(t, rootURL, namespace, tag, manifestDigest, blobDigest)
	passed := make(map[string]bool)
	for line := range strings.Lines(o.stdout) {
		line = strings.TrimRight(line, "\n")
		m := conformanceLine.FindStringSubmatch(line)
		switch {
		case m != nil && m[2] == "Pass":
			passed[m[1]] = true
		case m != nil && (m[2] == "FAIL" || m[2] == "Error"):
			failures = append(failures, strings.TrimSpace(line))
		}
	}
	for _, name := range conformanceCases {
		if !passed[name] {
			failures = append(failures, "did not pass: "+name)
		}
	}
	if len(failures) > 0 {
		t.Logf("%s\n%s%s", o.command, o.stdout, o.stderr)
	}
	return failures
}

func runConformance(t testing.TB, rootURL, namespace, tag, manifestDigest, blobDigest string) outcome {
	t.Helper()
	root, err := url.Parse(rootURL)
	if err != nil || root.Scheme != "http" {
		t.Fatalf("%s is not the URL of a registry that speaks plain HTTP", rootURL)
	}
	p := newProgram(t, "oci-conformance",
		"OCI_REGISTRY="+root.Host, "OCI_TLS=disabled", "OCI_REPO1="+namespace, "OCI_VERSION=1.1",
		"OCI_RO_DATA_TAGS="+tag, "OCI_RO_DATA_MANIFESTS="+manifestDigest, "OCI_RO_DATA_BLOBS="+blobDigest)
	for _, api := range []string{"PUSH", "TAGS_LIST", "TAGS_DELETE", "MANIFESTS_DELETE", "BLOBS_DELETE", "REFERRER"} {
		p.env = append(p.env, fmt.Sprintf("OCI_API_%s=false", api))
	}
	return p.run(t)
}

// What the suite finds in a registry that holds the image of a shelf.
func (s shelf) conformanceFailures(t testing.TB) []string {
	t.Helper()
	return conformanceFailures(t, "http://"+serve(t, s), s.repo, "v1", s.image, s.layer(t))
}

// layer is the digest of the image's first layer.
func (s shelf) layer(t testing.TB) string {
	t.Helper()
	var m v1.Manifest
	if _, data, _ := s.Manifest(s.repo, s.image); json.Unmarshal(data, &m) != nil || len(m.Layers) == 0 {
		t.Fatalf("no manifest with a layer: %s", s.image)
	}
	return m.Layers[0].Digest.String()
}

// The registry that most of our tests rely on conforms to the specification.
func TestConformanceOfTheInMemoryRegistry(t *testing.T) {
	s := newShelf(t)
	conformance(t, "http://"+serve(t, s), s.repo, "v1", s.image, s.layer(t))
	for _, r := range s.Requests() {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			t.Errorf("%s %s, where only pulls were to be tested", r.Method, r.Path)
		}
	}
}

// The suite is run such that it notices when a registry does not conform.
func TestConformanceNoticesFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault registrytest.Fault
		want  string
	}{
		{"denied", deny(t), "read-only/pull/manifest-by-tag"},
		{"hidden blob", registrytest.Fault{Method: http.MethodGet, Kind: registrytest.KindBlob, Do: registrytest.Hide()}, "read-only/pull/blob-get"},
		{"wrong digest", registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.WrongDigestHeader()}, "read-only/head/blob-head"},
		{"not served", registrytest.Fault{Do: registrytest.HangUp()}, "ping"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShelf(t)
			s.Inject(test.fault)
			if failures := s.conformanceFailures(t); !slices.ContainsFunc(failures, func(f string) bool {
				return strings.HasSuffix(f, test.want+": FAIL")
			}) {
				t.Errorf("%s is not among the failures: %q", test.want, failures)
			}
		})
	}
}
