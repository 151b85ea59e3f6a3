package scan

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// CosignVuln makes cosign's predicate, which holds the scanner's own report unchanged.
//
// It returns [ErrInvalid] where no time of the scan is known. Where only one time is
// known, it stands for both.
func (r *Report) CosignVuln() (*predicate.CosignVuln, error) {
	times, err := r.span()
	if err != nil {
		return nil, err
	}
	v := &predicate.CosignVuln{
		Scanner: predicate.CosignScanner{
			URI: r.Scanner.URI, Version: r.Scanner.Version,
			DB:     predicate.CosignDB{URI: r.DB.URI, Version: r.DB.Version},
			Result: json.RawMessage(r.raw),
		},
		Metadata: times,
	}
	return v, v.Validate()
}

// Vulns makes in-toto's predicate, which lists every finding with severity, package and
// versions, in one form for all scanners. Suppressed findings are listed, with an
// annotation that says so.
//
// It returns [ErrInvalid] where no time of the scan is known, or where the scanner's URI
// or the time of its database is missing; [Options] can give them. Where only one time is
// known, it stands for both.
func (r *Report) Vulns() (*predicate.Vulns, error) {
	times, err := r.span()
	if err != nil {
		return nil, err
	}
	v := &predicate.Vulns{
		Scanner:  predicate.VulnsScanner{URI: r.Scanner.URI, Version: r.Scanner.Version, Result: make([]predicate.VulnsFinding, len(r.Findings))},
		Metadata: times,
	}
	if r.Scanner.URI == "" {
		return nil, fmt.Errorf("%w: the scanner's URI is not known; give Options.Scanner.URI", ErrInvalid)
	}
	if r.DB != (DB{}) {
		if r.DB.LastUpdate.IsZero() {
			return nil, fmt.Errorf("%w: the time of the vulnerability database is not known; give Options.DB.LastUpdate", ErrInvalid)
		}
		v.Scanner.DB = &predicate.VulnsDB{URI: r.DB.URI, Version: r.DB.Version, LastUpdate: r.DB.LastUpdate}
	}
	for i, f := range r.Findings {
		v.Scanner.Result[i] = predicate.VulnsFinding{ID: f.ID, Ratings: f.ratings(r.Scanner.Name), Annotations: f.annotations()}
	}
	return v, v.Validate()
}

// span are the times of the scan. One may stand for both.
func (r *Report) span() (predicate.ScanTimes, error) {
	start, end := r.StartedOn, r.FinishedOn
	if start.IsZero() {
		start = end
	}
	if end.IsZero() {
		end = start
	}
	if start.IsZero() {
		return predicate.ScanTimes{}, fmt.Errorf("%w: no time of the scan is known; give Options.FinishedOn", ErrInvalid)
	}
	return predicate.ScanTimes{ScanStartedOn: start, ScanFinishedOn: end}, nil
}

// ratings are the severity in the scanner's words, and in this package's words where the
// scanner's do not say it.
func (f Finding) ratings(scanner string) []predicate.VulnsRating {
	rating := predicate.VulnsRating{Method: f.Method, Score: f.Original}
	for _, method := range []string{scanner, "scanner"} {
		if rating.Method == "" {
			rating.Method = method
		}
	}
	if rating.Score == "" {
		rating.Score = "unknown"
	}
	ratings := []predicate.VulnsRating{rating}
	if s, known := rating.Severity(); f.Rated && (!known || s != f.Severity) {
		ratings = append(ratings, predicate.VulnsRating{Method: "severity", Score: f.Severity.String()})
	}
	return ratings
}

func (f Finding) annotations() []map[string]any {
	m := make(map[string]any)
	for name, value := range map[string]string{
		"package": f.Package, "version": f.Version, "purl": f.PURL,
		"fixedIn": strings.Join(f.FixedIn, ", "), "source": strings.Join(f.Sources, ", "),
	} {
		if value != "" {
			m[name] = value
		}
	}
	if f.Suppressed {
		m["suppressed"] = true
	}
	if len(m) == 0 {
		return nil
	}
	return []map[string]any{m}
}
