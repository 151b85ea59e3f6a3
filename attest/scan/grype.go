package scan

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// grypeDescriptor names the program that wrote the document. Source: Grype's documentation
// "Working with JSON" and grype/presenter/models (document.go, descriptor.go).
type grypeDescriptor struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	DB      grypeDB `json:"db"`
}

// grypeDB is the database as Grype wrote it up to schema 5. Since schema 6 the same
// members are in Status.
type grypeDB struct {
	grypeDBStatus
	Status *grypeDBStatus `json:"status"`
}

type grypeDBStatus struct {
	SchemaVersion any    `json:"schemaVersion"` // 5, or "v6.0.2"
	From          string `json:"from"`
	Built         string `json:"built"`
	Valid         *bool  `json:"valid"`
	Error         any    `json:"error"`
}

type grypeSource struct {
	Type   string          `json:"type"`
	Target json.RawMessage `json:"target"`
}

// grypeImage is a source's target where that is an image.
type grypeImage struct {
	UserInput      string   `json:"userInput"`
	ImageID        string   `json:"imageID"`
	ManifestDigest string   `json:"manifestDigest"`
	RepoDigests    []string `json:"repoDigests"`
}

type grypeMatch struct {
	Vulnerability struct {
		ID        string `json:"id"`
		Namespace string `json:"namespace"`
		Severity  string `json:"severity"`
		Fix       struct {
			Versions []string `json:"versions"`
		} `json:"fix"`
	} `json:"vulnerability"`
	Artifact struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		PURL    string `json:"purl"`
	} `json:"artifact"`
}

// readGrype reads Grype's JSON. The severity Unknown is not known. Ignored matches are
// findings too.
func (r *Report) readGrype(root strictjson.Value) error {
	if err := refuseOtherCase(root, "matches", "ignoredMatches", "descriptor", "source"); err != nil {
		return err
	}
	if err := r.readGrypeDescriptor(root.Get("descriptor")); err != nil {
		return err
	}
	if err := r.readGrypeSource(root.Get("source")); err != nil {
		return err
	}
	if root.Get("matches").Kind() != strictjson.Array {
		// Grype writes an empty list where it finds nothing.
		return fmt.Errorf("%w: matches is not a list", ErrInvalid)
	}
	ignored, err := scanList(root.Get("ignoredMatches"), "ignoredMatches")
	if err != nil {
		return err
	}
	if err := r.readGrypeMatches(root.Get("matches"), r.add); err != nil {
		return err
	}
	return r.readGrypeMatches(ignored, r.addSuppressed)
}

func (r *Report) readGrypeMatches(list strictjson.Value, add func(Finding) error) error {
	for element := range list.Elems() {
		var m grypeMatch
		if err := r.decode(element, "a match", &m, "vulnerability.namespace", "vulnerability.fix", "artifact"); err != nil {
			return err
		}
		if err := add(m.finding()); err != nil {
			return err
		}
	}
	return nil
}

func (r *Report) readGrypeDescriptor(v strictjson.Value) error {
	var d grypeDescriptor
	if err := r.decode(v, "descriptor", &d, "db.from", "db.built", "db.schemaVersion", "db.status.from", "db.status.built", "db.status.schemaVersion"); err != nil {
		return err
	}
	if d.Name != "grype" {
		return fmt.Errorf("%w: descriptor.name is %s, want grype", ErrFormat, safetext.Of(d.Name, 40))
	}
	// The document has no version of its own. Builds between releases have versions that
	// are not numbers.
	major, _, _ := strings.Cut(strings.TrimPrefix(d.Version, "v"), ".")
	if n, err := strconv.Atoi(major); err == nil && n != 0 {
		return fmt.Errorf("%w: descriptor.version is %s, want 0.x", ErrVersion, safetext.Of(d.Version, 40))
	}
	r.Scanner = Tool{Name: "grype", URI: toolPURL("anchore/grype", d.Version), Version: d.Version}
	var err error
	if err := refuseOtherCase(v, "timestamp"); err != nil {
		return err
	}
	if r.FinishedOn, err = r.times.read(v.Get("timestamp"), "timestamp"); err != nil {
		return err
	}
	r.DB, err = d.DB.read()
	return err
}

func (db grypeDB) read() (DB, error) {
	status := db.grypeDBStatus
	if db.Status != nil {
		status = *db.Status
	}
	if status.Valid != nil && !*status.Valid || status.Error != nil && status.Error != "" {
		return DB{}, fmt.Errorf("%w: Grype's database was not valid", ErrInvalid)
	}
	var built time.Time
	var err error
	if status.Built != "" {
		built, err = scanTime(status.Built, "the database's time")
	}
	out := DB{URI: publicURL(status.From), LastUpdate: built}
	if status.SchemaVersion != nil {
		out.Version = fmt.Sprint(status.SchemaVersion)
	}
	return out, err
}

func (r *Report) readGrypeSource(v strictjson.Value) error {
	var source grypeSource
	if err := decodeScan(v, "source", &source); err != nil {
		return err
	}
	r.Target.Type = source.Type
	if len(source.Target) == 0 {
		return nil
	}
	target, err := strictjson.Parse(source.Target)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if path, ok := target.Str(); ok {
		r.Target.Name = publicURL(path)
		return nil
	}
	var image grypeImage
	if err := decodeScan(target, "the source's target", &image); err != nil {
		return err
	}
	r.Target.Name = publicURL(image.UserInput)
	r.Target.addDigests(image.RepoDigests...)
	r.Target.addDigests(image.ManifestDigest)
	if isSHA256(image.ImageID) {
		r.Target.ImageID = image.ImageID
	}
	return nil
}

func (m grypeMatch) finding() Finding {
	v, a := m.Vulnerability, m.Artifact
	f := Finding{
		ID: v.ID, Original: v.Severity, Method: v.Namespace,
		Package: a.Name, Version: a.Version, PURL: a.PURL, FixedIn: v.Fix.Versions,
	}
	f.Severity, f.Rated = predicate.ParseSeverity(v.Severity)
	if v.Namespace != "" {
		f.Sources = []string{v.Namespace}
	}
	return f
}
