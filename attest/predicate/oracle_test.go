package predicate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	link "github.com/in-toto/attestation/go/predicates/link/v0"
	slsa02 "github.com/in-toto/attestation/go/predicates/provenance/v02"
	slsa1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	release "github.com/in-toto/attestation/go/predicates/release/v0"
	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	vsa "github.com/in-toto/attestation/go/predicates/vsa/v1"
	vulns "github.com/in-toto/attestation/go/predicates/vulns/v02"
	"github.com/in-toto/in-toto-golang/in_toto"
	golang02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
)

func someTimes() (start, end time.Time) {
	east := time.FixedZone("east", 2*60*60)
	return time.Date(2026, 3, 1, 12, 0, 0, 0, east), time.Date(2026, 3, 1, 12, 4, 31, 250_000_000, east)
}

func someResource() predicate.ResourceDescriptor {
	return predicate.ResourceDescriptor{
		URI: "git+https://git.example/team/app@refs/heads/main", Digest: map[string]string{"gitCommit": strings.Repeat("0a", 20)},
		Name: "source", DownloadLocation: "https://git.example/team/app.tar.gz", MediaType: "application/x-tar",
		Content: []byte("<&>"), Annotations: map[string]any{"dirty": false, "size": int64(3)},
	}
}

// written are predicates with every field that there is.
func written() map[string]attest.Predicate {
	start, end := someTimes()
	rd := someResource()
	pinned := predicate.ResourceDescriptor{URI: "https://gate.example/x?a=1&b=2", Digest: map[string]string{"sha256": strings.Repeat("0b", 32)}}
	material := predicate.Material02{URI: rd.URI, Digest: map[string]string{"sha1": strings.Repeat("0a", 20)}}
	files := map[string]map[string]string{"a\nb": {"sha256": strings.Repeat("0b", 32)}}
	times := predicate.ScanTimes{ScanStartedOn: start, ScanFinishedOn: end}
	return map[string]attest.Predicate{
		"provenance": predicate.Provenance{
			BuildDefinition: predicate.BuildDefinition{
				BuildType: "https://ci.example/type", ExternalParameters: map[string]any{"ref": "<main>", "n": int64(1)},
				InternalParameters: map[string]any{"a": []any{true, nil, 1.5}}, ResolvedDependencies: []predicate.ResourceDescriptor{rd},
			},
			RunDetails: predicate.RunDetails{
				Builder:    predicate.Builder{ID: "https://ci.example/builder", BuilderDependencies: []predicate.ResourceDescriptor{rd}, Version: map[string]string{"a": "1"}},
				Metadata:   &predicate.BuildMetadata{InvocationID: "https://ci.example/run?a=1&b=2", StartedOn: &start, FinishedOn: &end},
				Byproducts: []predicate.ResourceDescriptor{rd},
			},
		},
		"provenance02": predicate.Provenance02{
			Builder: predicate.Builder02{ID: "https://ci.example/builder"}, BuildType: "https://ci.example/type",
			Invocation: &predicate.Invocation02{
				ConfigSource: &predicate.ConfigSource02{URI: material.URI, Digest: material.Digest, EntryPoint: "build"},
				Parameters:   map[string]any{"a": "b"}, Environment: map[string]any{"arch": "amd64"},
			},
			BuildConfig: map[string]any{"steps": []any{"make"}},
			Metadata: &predicate.BuildMetadata02{
				BuildInvocationID: "1&2", BuildStartedOn: &start, BuildFinishedOn: &end, Completeness: predicate.Completeness02{Materials: true}, Reproducible: true,
			},
			Materials: []predicate.Material02{material},
		},
		"vsa": predicate.VSA{
			Verifier: predicate.Verifier{ID: "https://gate.example"}, TimeVerified: end, ResourceURI: "pkg:oci/app", Policy: pinned,
			InputAttestations: []predicate.ResourceDescriptor{pinned}, VerificationResult: predicate.VSAPassed, VerifiedLevels: []string{"SLSA_BUILD_LEVEL_3"},
			DependencyLevels: map[string]uint64{"SLSA_BUILD_LEVEL_3": 5}, SLSAVersion: "1.0",
		},
		"vulns": predicate.Vulns{
			Scanner: predicate.VulnsScanner{
				URI: "https://scanner.example", Version: "1", DB: &predicate.VulnsDB{URI: "https://scanner.example/db", Version: "2", LastUpdate: start},
				Result: []predicate.VulnsFinding{{
					ID: "CVE-2026-1111", Ratings: []predicate.VulnsRating{{Method: "nvd", Score: "high"}}, Annotations: []map[string]any{{"package": "busybox"}},
				}},
			},
			Metadata: times,
		},
		"vuln": predicate.CosignVuln{
			Invocation: predicate.CosignInvocation{Parameters: []any{"-q"}, URI: "https://ci.example", EventID: "1", BuilderID: "ci"},
			Scanner: predicate.CosignScanner{
				URI: "https://scanner.example", Version: "1", DB: predicate.CosignDB{URI: "https://scanner.example/db", Version: "2"},
				Result: json.RawMessage(`{"matches": ["<&>"]}`),
			},
			Metadata: times,
		},
		"testresult": predicate.TestResult{
			Result: predicate.TestsPassed, Configuration: []predicate.ResourceDescriptor{rd}, URL: "https://ci.example/run",
			PassedTests: []string{"a"}, WarnedTests: []string{"b"}, FailedTests: []string{"c"},
		},
		"link": predicate.Link{
			Type: "link", Name: "build", Materials: files, Products: files, ByProducts: map[string]any{"return-value": int64(0)},
			Command: []string{"make"}, Environment: map[string]any{},
		},
		"link03": predicate.Link03{
			Name: "build", Command: []string{"make"}, Materials: []predicate.ResourceDescriptor{rd},
			ByProducts: map[string]any{"return-value": int64(0)}, Environment: map[string]any{"a": "b"},
		},
		"release": predicate.Release{PURL: "pkg:npm/app@1.0.0", ReleaseID: "17"},
		"custom":  predicate.Custom{Data: "a\nb", Timestamp: end},
	}
}

func writtenText(t *testing.T, name string) []byte {
	t.Helper()
	statement, err := attest.NewStatement(written()[name], anImage())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return statement.Predicate
}

// The tests with cosign's code, in internal/dev/interop, read what is written here from
// these files.
func TestWrittenPredicatesAreInFiles(t *testing.T) {
	for name := range written() {
		file := filepath.Join("testdata", "written", name+".json")
		want, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		if got := writtenText(t, name); !bytes.Equal(got, bytes.TrimSpace(want)) {
			t.Errorf("%s holds\n%s\nwant\n%s", file, want, got)
		}
	}
}

// The Go types of in-toto/attestation reject fields that they do not know.
func TestInTotoAcceptsWhatWeWrite(t *testing.T) {
	for name, message := range map[string]proto.Message{
		"provenance": &slsa1.Provenance{}, "provenance02": &slsa02.Provenance{}, "vsa": &vsa.VerificationSummary{}, "vulns": &vulns.Vulns{},
		"testresult": &testresult.TestResult{}, "link03": &link.Link{}, "release": &release.Release{},
	} {
		text := writtenText(t, name)
		if err := protojson.Unmarshal(text, message); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		if v, ok := message.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		readBack(t, name, message, text)
	}
}

// readBack lets in-toto write what it read, reads that, and expects the same.
// protobuf writes 64-bit numbers as strings, which SLSA does not.
func readBack(t *testing.T, name string, message proto.Message, text []byte) {
	t.Helper()
	theirs, err := protojson.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	theirs = bytes.ReplaceAll(theirs, []byte(`"5"`), []byte("5"))
	uri := written()[name].PredicateType()
	doc, err := predicate.Parse(uri, theirs)
	if err != nil {
		t.Errorf("%s as in-toto writes it: %v", name, err)
		return
	}
	ours, err := predicate.Parse(uri, text)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := marshalTree(t, doc.Value()), marshalTree(t, ours.Value()); normal(t, got) != normal(t, want) {
		t.Errorf("%s as in-toto writes it:\n%s\nwant\n%s", name, got, want)
	}
}

func TestInTotoGolangAcceptsWhatWeWrite(t *testing.T) {
	for name, value := range map[string]any{
		"provenance02": &golang02.ProvenancePredicate{}, "link": &in_toto.Link{},
	} {
		d := json.NewDecoder(bytes.NewReader(writtenText(t, name)))
		d.DisallowUnknownFields()
		if err := d.Decode(value); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		doc, err := predicate.Parse(written()[name].PredicateType(), marshalTree(t, value))
		if err != nil {
			t.Errorf("%s as in-toto-golang writes it: %v", name, err)
			continue
		}
		statement, err := attest.NewStatement(doc.Value().(attest.Predicate), anImage())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := normal(t, statement.Predicate), normal(t, writtenText(t, name)); got != want {
			t.Errorf("%s as in-toto-golang writes it:\n%s\nwant\n%s", name, got, want)
		}
	}
}
