package scan

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// trivySchema is the only version of Trivy's JSON that is read.
const trivySchema = 2

// trivyHead are the members of a report beside its results. Source: Trivy's
// documentation "Reporting" (JSON) and pkg/types/report.go.
type trivyHead struct {
	ArtifactName string
	ArtifactType string
	Trivy        struct{ Version string }
}

type trivyMetadata struct {
	ImageID     string
	RepoDigests []string
}

type trivyVulnerability struct {
	VulnerabilityID  string
	PkgName          string
	PkgIdentifier    struct{ PURL string }
	InstalledVersion string
	FixedVersion     string
	Severity         string
	SeveritySource   string
	DataSource       struct{ ID string }
}

// trivyModified is a finding that Trivy was told to suppress, and lists with
// --show-suppressed.
type trivyModified struct {
	Type    string
	Finding trivyVulnerability
}

// readTrivy reads Trivy's JSON. Vulnerabilities are findings, also suppressed ones.
// Secrets, misconfigurations and licenses are not. The severity UNKNOWN is not known.
func (r *Report) readTrivy(root strictjson.Value) error {
	if version, ok := root.Get("SchemaVersion").Int(); !ok || version != trivySchema {
		return fmt.Errorf("%w: SchemaVersion of Trivy is %.40s, want %d", ErrVersion, root.Get("SchemaVersion").Raw(), trivySchema)
	}
	if err := refuseOtherCase(root, "Results", "CreatedAt", "ArtifactName", "ArtifactType", "Trivy", "Metadata"); err != nil {
		return err
	}
	if err := refuseOtherFindings(root, trivyMembers); err != nil {
		return err
	}
	if err := r.readTrivyHead(root); err != nil {
		return err
	}
	results, err := scanList(root.Get("Results"), "Results")
	if err != nil {
		return err
	}
	for result := range results.Elems() {
		if result.Kind() != strictjson.Object {
			return fmt.Errorf("%w: a result is not an object", ErrInvalid)
		}
		if err := r.readTrivyResult(result); err != nil {
			return err
		}
	}
	return nil
}

// trivyMembers are the lists and objects of a report, trivyResultMembers those of a
// result.
var (
	trivyMembers       = []string{"Trivy", "Metadata", "Results", "BOM"}
	trivyResultMembers = []string{
		"Packages", "Vulnerabilities", "MisconfSummary", "Misconfigurations", "Secrets", "Licenses", "CustomResources", "ExperimentalModifiedFindings",
	}
)

// refuseOtherFindings refuses lists and objects that are not known. They could hold
// findings, as Resources of trivy k8s does.
func refuseOtherFindings(v strictjson.Value, known []string) error {
	for name, member := range v.Members() {
		kind := member.Kind()
		if (kind == strictjson.Array || kind == strictjson.Object) && !slices.Contains(known, name) {
			return fmt.Errorf("%w: %s could hold findings, and is not known", ErrInvalid, safetext.Of(name, 60))
		}
	}
	return nil
}

func (r *Report) readTrivyHead(root strictjson.Value) error {
	var head trivyHead
	for name, into := range map[string]any{
		"ArtifactName": &head.ArtifactName, "ArtifactType": &head.ArtifactType, "Trivy": &head.Trivy,
	} {
		if name == "Trivy" && r.findingsOnly {
			continue
		}
		if err := decodeScan(root.Get(name), name, into); err != nil {
			return err
		}
	}
	if head.ArtifactName == "" {
		// Trivy always names the target. A file without one may have been cut down to
		// look clean.
		return fmt.Errorf("%w: no ArtifactName", ErrInvalid)
	}
	var meta trivyMetadata
	if err := decodeScan(root.Get("Metadata"), "Metadata", &meta); err != nil {
		return err
	}
	r.Scanner = Tool{Name: "trivy", URI: toolPURL("aquasecurity/trivy", head.Trivy.Version), Version: head.Trivy.Version}
	r.Target = Target{Name: publicURL(head.ArtifactName), Type: head.ArtifactType}
	r.Target.addDigests(meta.RepoDigests...)
	if isSHA256(meta.ImageID) {
		r.Target.ImageID = meta.ImageID
	}
	// CreatedAt is when the report was made, at the end of the scan.
	var err error
	r.FinishedOn, err = r.times.read(root.Get("CreatedAt"), "CreatedAt")
	return err
}

func (r *Report) readTrivyResult(result strictjson.Value) error {
	const vulnerabilities, modified = "Vulnerabilities", "ExperimentalModifiedFindings"
	if err := refuseOtherCase(result, vulnerabilities, modified); err != nil {
		return err
	}
	if err := refuseOtherFindings(result, trivyResultMembers); err != nil {
		return err
	}
	list, err := scanList(result.Get(vulnerabilities), vulnerabilities)
	if err != nil {
		return err
	}
	for element := range list.Elems() {
		var v trivyVulnerability
		if err := r.decode(element, "a vulnerability", &v, trivyDetails("")...); err != nil {
			return err
		}
		if err := r.add(v.finding()); err != nil {
			return err
		}
	}
	if list, err = scanList(result.Get(modified), modified); err != nil {
		return err
	}
	for element := range list.Elems() {
		if err := r.addTrivyModified(element); err != nil {
			return err
		}
	}
	return nil
}

func (r *Report) addTrivyModified(element strictjson.Value) error {
	var m trivyModified
	if err := r.decode(element, "a modified finding", &m, trivyDetails("Finding.")...); err != nil {
		return err
	}
	switch m.Type {
	case "misconfiguration", "secret", "license":
		return nil
	}
	return r.addSuppressed(m.Finding.finding())
}

// trivyDetails are the members of a vulnerability that do not say how severe it is.
func trivyDetails(prefix string) (all []string) {
	for _, name := range []string{"PkgName", "PkgIdentifier", "InstalledVersion", "FixedVersion", "SeveritySource", "DataSource"} {
		all = append(all, prefix+name)
	}
	return all
}

func (v trivyVulnerability) finding() Finding {
	f := Finding{
		ID: v.VulnerabilityID, Original: v.Severity, Method: v.SeveritySource,
		Package: v.PkgName, Version: v.InstalledVersion, PURL: v.PkgIdentifier.PURL,
	}
	f.Severity, f.Rated = predicate.ParseSeverity(v.Severity)
	if v.FixedVersion != "" {
		f.FixedIn = strings.Split(v.FixedVersion, ", ")
	}
	if v.DataSource.ID != "" {
		f.Sources = []string{v.DataSource.ID}
	}
	return f
}

// toolPURL is the package URL of a tool's source, as Trivy writes it into its own
// predicates.
func toolPURL(repository, version string) string {
	if version == "" {
		return "pkg:github/" + repository
	}
	return "pkg:github/" + repository + "@" + url.PathEscape(version)
}
