// Package scan reads the reports of vulnerability scanners (Trivy, Grype, SARIF) and makes
// predicates of them.
//
//	report, err := scan.Read(data, scan.Options{})
//	p, err := report.Vulns()
//
// A report is the word of a scanner. It does not show:
//
//   - whether the scanner looked for vulnerabilities at all,
//   - whether a filter of its own left findings out of the file.
//
// Limits are [MaxSize] and [MaxFindings]. All functions are safe for concurrent use.
//
// Sources: Trivy's documentation "Reporting" and pkg/types/report.go; Grype's
// documentation "Working with JSON" and grype/presenter/models; SARIF 2.1.0 (OASIS).
package scan

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// Errors of Read, for errors.Is. Each is ErrInvalid too.
var (
	// ErrInvalid: a file is not a report, or one that cannot be relied on.
	ErrInvalid = errors.New("unusable scanner output")
	// ErrFormat: it has none of the formats that are read.
	ErrFormat = fmt.Errorf("%w: unknown format", ErrInvalid)
	// ErrVersion: it has such a format, in a version that is not known.
	ErrVersion = fmt.Errorf("%w: unknown version", ErrInvalid)
	// ErrTooLarge: it has more bytes or findings than are read.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrInvalid)
)

// Limits of a report.
const (
	// MaxSize is the limit in bytes.
	MaxSize = 64 << 20
	// MaxFindings is the limit of findings.
	MaxFindings = 250_000
)

// Format is the format of a report.
type Format string

// The formats.
const (
	// Trivy is Trivy's own JSON, SchemaVersion 2.
	Trivy Format = "trivy"
	// Grype is Grype's own JSON, of versions 0.x.
	Grype Format = "grype"
	// SARIF is SARIF 2.1.0 by any tool.
	SARIF Format = "sarif"
)

// Options say how to read a report, and fill its gaps. A fact in the file takes
// precedence over the option.
type Options struct {
	// Format is the format that the file must have. Empty: it is recognised.
	Format Format
	// Scanner is the scanner. Zero: as the file says.
	Scanner Tool
	// DB is the vulnerability database, which Trivy's files and SARIF do not name. Zero:
	// as the file says.
	DB DB
	// StartedOn and FinishedOn are the times of the scan. Zero: as the file says.
	StartedOn, FinishedOn time.Time
	// FindingsOnly reads what was found, how severe it is, in what image, and when.
	// All other members (packages, versions, fixes, databases) may then be of any form,
	// and are empty in the report. Times that cannot be read are in
	// Report.UnreadTimes. False: all members that are read must have the form that the
	// scanner gives them.
	FindingsOnly bool
}

// Report is a scanner's report, in one form for all scanners.
type Report struct {
	// Format is the format that was read.
	Format Format
	// Scanner is the scanner, DB its database. Empty fields are not known.
	Scanner Tool
	DB      DB
	// StartedOn and FinishedOn are the times of the scan. Zero: not known.
	StartedOn, FinishedOn time.Time
	// UnreadTimes says why a time in the file could not be read, where
	// Options.FindingsOnly passed over it. Nil: all times were read.
	UnreadTimes error
	// Target is the image that was scanned, or another thing.
	Target Target
	// Findings are in the order of the file. Findings that the scanner was told to
	// suppress, and lists, are among them: by an ignore file, by VEX, by SARIF's
	// suppressions. An attacker may have written .trivyignore or .grype.yaml, which can
	// be part of the image. Finding.Suppressed marks those of Trivy and Grype.
	Findings []Finding
	// Suppressed counts the findings that are marked.
	Suppressed int

	raw          []byte
	findingsOnly bool
	times        times
}

// times reads the times of a report.
type times struct {
	// passOver keeps an error for callers who may not need the times, in unread.
	passOver bool
	unread   error
}

func (t *times) pass(err error) error {
	if err == nil || !t.passOver {
		return err
	}
	t.unread = err
	return nil
}

// read reads a time (RFC 3339). A time that is missing, null or empty is not known, as is
// the zero time that Go programs write.
func (t *times) read(v strictjson.Value, what string) (time.Time, error) {
	if !v.Exists() || v.Kind() == strictjson.Null || v.Is("") {
		return time.Time{}, nil
	}
	text, _ := v.Str()
	at, err := scanTime(text, what)
	return at, t.pass(err)
}

// Tool is a scanner.
type Tool struct {
	// Name is the scanner's name for itself; in lower case for Trivy and Grype.
	Name string
	// URI identifies it.
	URI string
	// Version is the scanner's.
	Version string
}

// DB is a vulnerability database.
type DB struct {
	// URI is its origin, without credentials or query.
	URI string
	// Version is the database's, or its schema's.
	Version string
	// LastUpdate is when it was built. Zero: not known.
	LastUpdate time.Time
}

// Target is the image, directory or other thing that was scanned.
type Target struct {
	// Name is the argument of the scanner: a reference, a path.
	Name string
	// Type is the scanner's word for its kind: "container_image", "image", "directory".
	// Empty: not known.
	Type string
	// Digests are the digests ("sha256:…") of the image's manifest or index that the
	// file names. Empty: none.
	Digests []string
	// ImageID is the digest of the image's config. Empty: not named.
	ImageID string
}

// Finding is one vulnerability in one package.
type Finding struct {
	// ID is the vulnerability's, such as "CVE-2026-1234". In SARIF it is the rule's.
	ID string
	// Severity is critical where Rated is false.
	Severity predicate.Severity
	// Rated says that the scanner gave a severity that is known.
	Rated bool
	// Original is the severity in the scanner's own words, Method the source of the
	// rating, such as "nvd".
	Original, Method string
	// Package is the vulnerable package, Version the installed version, PURL both as a
	// package URL. Empty: not known, as in SARIF.
	Package, Version, PURL string
	// FixedIn are the versions without the vulnerability. Empty: none known.
	FixedIn []string
	// Sources are the feeds that know of the vulnerability.
	Sources []string
	// Suppressed says that the scanner was told to leave the finding out.
	Suppressed bool
}

// Read reads the report of a scanner; see [Format] for the formats. The result keeps data,
// which must not change. Errors are:
//
//   - [ErrFormat] and [ErrVersion] for other files, and ErrFormat for an Options.Format
//     that does not exist;
//   - [ErrTooLarge] beyond [MaxSize] or [MaxFindings];
//   - [ErrInvalid] for malformed JSON, which includes duplicate keys and keys that
//     differ from known ones in case alone; for a finding without an ID; for SARIF with
//     parts in other files; for a scan that says that it failed; for more than 16 rules
//     of one ID in SARIF, or an ID of more than 1024 bytes.
func Read(data []byte, o Options) (*Report, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(data), MaxSize)
	}
	// No format has findings deeper than at the fifth level. Each is parsed by itself:
	// there may be more of them than a parsed value may hold.
	parse := strictjson.ParseShallow
	if o.FindingsOnly {
		parse = strictjson.ParseOthers
	}
	root, err := parse(data, 4)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	format, err := scanFormat(root, o.Format)
	if err != nil {
		return nil, err
	}
	r := &Report{Format: format, raw: root.Raw(), findingsOnly: o.FindingsOnly, times: times{passOver: o.FindingsOnly}}
	switch format {
	case Trivy:
		err = r.readTrivy(root)
	case Grype:
		err = r.readGrype(root)
	case SARIF:
		err = r.readSARIF(root)
	}
	if err != nil {
		return nil, err
	}
	r.fill(o)
	if !r.StartedOn.IsZero() && !r.FinishedOn.IsZero() && r.FinishedOn.Before(r.StartedOn) {
		err = r.times.pass(fmt.Errorf("%w: the scan ended before it began", ErrInvalid))
	}
	if err != nil {
		return nil, err
	}
	r.UnreadTimes = r.times.unread
	return r, nil
}

// scanFormat tells formats apart by their members.
func scanFormat(root strictjson.Value, asked Format) (Format, error) {
	switch asked {
	case "", Trivy, Grype, SARIF:
	default:
		return "", fmt.Errorf("%w: no format is called %.40q", ErrFormat, asked)
	}
	if root.Kind() == strictjson.Array && asked != Grype && asked != SARIF {
		return "", fmt.Errorf("%w: a list, as Trivy wrote it before SchemaVersion 2; known is 2", ErrVersion)
	}
	var found []Format
	if root.Get("SchemaVersion").Exists() {
		found = append(found, Trivy)
	}
	if root.Get("matches").Exists() && root.Get("descriptor").Exists() {
		found = append(found, Grype)
	}
	if root.Get("runs").Exists() && root.Get("version").Exists() {
		found = append(found, SARIF)
	}
	switch {
	case len(found) > 1:
		return "", fmt.Errorf("%w: it could be %s or %s", ErrFormat, found[0], found[1])
	case len(found) == 0:
		return "", fmt.Errorf("%w: neither Trivy's JSON, Grype's JSON nor SARIF", ErrFormat)
	case asked != "" && asked != found[0]:
		return "", fmt.Errorf("%w: the file is %[3]s, want %[2]s", ErrFormat, asked, found[0])
	}
	return found[0], nil
}

// fill fills the gaps of the file.
func (r *Report) fill(o Options) {
	for _, gap := range []struct {
		into *string
		from string
	}{
		{&r.Scanner.Name, o.Scanner.Name}, {&r.Scanner.URI, o.Scanner.URI}, {&r.Scanner.Version, o.Scanner.Version},
		{&r.DB.URI, o.DB.URI}, {&r.DB.Version, o.DB.Version},
	} {
		if *gap.into == "" {
			*gap.into = gap.from
		}
	}
	for _, gap := range []struct {
		into *time.Time
		from time.Time
	}{{&r.DB.LastUpdate, o.DB.LastUpdate}, {&r.StartedOn, o.StartedOn}, {&r.FinishedOn, o.FinishedOn}} {
		if gap.into.IsZero() {
			*gap.into = gap.from
		}
		*gap.into = gap.into.UTC()
	}
}

// Count counts the findings in a report that Read can read.
func Count(data []byte) (predicate.SeverityCounts, error) {
	r, err := Read(data, Options{FindingsOnly: true})
	if err != nil {
		return predicate.SeverityCounts{}, err
	}
	return r.Counts(), nil
}

// Counts returns how many findings there are of each severity.
func (r *Report) Counts() predicate.SeverityCounts {
	var c predicate.SeverityCounts
	for _, f := range r.Findings {
		c.Add(f.Severity, f.Rated)
	}
	return c
}

// About reports whether the report is about the image with this digest ("sha256:…"): its
// manifest, its index, or its config.
//
//   - known is false where the file names no digest, as for an image that was never in a
//     registry. Then about says nothing.
//   - A scanner that was given an index names the index, or the one manifest of it that
//     it scanned: ask for both.
//   - Where the scanner was given a name with a digest, that digest counts and no other.
//   - A report about a directory, or another thing that is not an image, is about no
//     digest.
func (r *Report) About(digest string) (about, known bool) {
	switch r.Target.Type {
	case "", "container_image", "image": // not said, Trivy, Grype
	default:
		return false, true
	}
	if digest != "" && digest == r.Target.ImageID {
		return true, true
	}
	if _, named, found := strings.Cut(r.Target.Name, "@"); found && strings.HasPrefix(named, "sha256:") {
		return named == digest, true
	}
	for _, d := range r.Target.Digests {
		if d == digest {
			return true, true
		}
	}
	return false, len(r.Target.Digests) > 0
}

// add appends a finding.
func (r *Report) add(f Finding) error {
	if f.ID == "" {
		return fmt.Errorf("%w: finding %d has no ID", ErrInvalid, len(r.Findings)+1)
	}
	if len(r.Findings) >= MaxFindings {
		return fmt.Errorf("%w: more than %d findings", ErrTooLarge, MaxFindings)
	}
	r.Findings = append(r.Findings, f)
	return nil
}

// addSuppressed appends a finding that the scanner was told to suppress.
func (r *Report) addSuppressed(f Finding) error {
	f.Suppressed = true
	r.Suppressed++
	return r.add(f)
}

// addDigests keeps the digests of "name@sha256:…" or "sha256:…".
func (t *Target) addDigests(references ...string) {
	for _, reference := range references {
		digest := reference[strings.LastIndexByte(reference, '@')+1:]
		if isSHA256(digest) {
			t.Digests = append(t.Digests, digest)
		}
	}
}

func isSHA256(digest string) bool {
	text, ok := strings.CutPrefix(digest, "sha256:")
	return ok && len(text) == 64 && intoto.IsLowerHex(text)
}

// scanList returns the list at v, which is empty where it is missing. null is refused: it
// could stand for a list that was taken out.
func scanList(v strictjson.Value, what string) (strictjson.Value, error) {
	switch v.Kind() {
	case strictjson.Array, strictjson.Missing:
		return v, nil
	}
	return v, fmt.Errorf("%w: %s is not a list", ErrInvalid, what)
}

// decodeScan parses one part of a file by itself.
func decodeScan(part strictjson.Value, what string, into any) error {
	return decodeScanPart(part, what, into, strictjson.DecodeOptions{RefuseOtherCase: true})
}

// decode is decodeScan, and passes over the members beside the findings where only
// findings are asked for.
func (r *Report) decode(part strictjson.Value, what string, into any, beside ...string) error {
	o := strictjson.DecodeOptions{RefuseOtherCase: true}
	if r.findingsOnly {
		o.PassOver = func(path string) bool {
			return slices.ContainsFunc(beside, func(b string) bool { return strings.EqualFold(b, path) })
		}
	}
	return decodeScanPart(part, what, into, o)
}

func decodeScanPart(part strictjson.Value, what string, into any, o strictjson.DecodeOptions) error {
	if !part.Exists() {
		return nil
	}
	v, err := part.Whole()
	if err == nil {
		err = strictjson.Decode(v, into, o)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, what, err)
	}
	return nil
}

// refuseOtherCase refuses members of an object whose names differ from known ones in case
// alone. Other readers take them for the known ones.
func refuseOtherCase(v strictjson.Value, known ...string) error {
	for name := range v.Members() {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return fmt.Errorf("%w: %s differs from %s in case alone", ErrInvalid, safetext.Of(name, 60), k)
			}
		}
	}
	return nil
}

func scanTime(text, what string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s is %s, want a time such as 2026-01-31T12:00:00Z", ErrInvalid, what, safetext.Of(text, 60))
	}
	return t, nil
}

// publicURL removes user, password, query and fragment from a URL. Other text is returned
// as it is.
func publicURL(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}
