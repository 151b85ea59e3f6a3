// Package scan reads what vulnerability scanners write (Trivy, Grype, SARIF) and turns it
// into predicates.
//
//	report, err := scan.Read(data, scan.Options{})
//	p, err := report.Vulns()
//
// A report is what a scanner says. That the scanner looked at all, or left nothing out, is
// not to be seen in it.
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
	// ErrInvalid: a file is no scanner output that can be relied on.
	ErrInvalid = errors.New("unusable scanner output")
	// ErrFormat: it is of none of the formats that are read.
	ErrFormat = fmt.Errorf("%w: unknown format", ErrInvalid)
	// ErrVersion: it is of such a format, but of a version that is not known.
	ErrVersion = fmt.Errorf("%w: unknown version", ErrInvalid)
	// ErrTooLarge: it has more bytes or findings than are read.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrInvalid)
)

// Bounds of scanner output.
const (
	// MaxSize is how many bytes a file may have.
	MaxSize = 64 << 20
	// MaxFindings is how many findings a file may hold.
	MaxFindings = 250_000
)

// Format is a format of scanner output.
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

// Options say how to read scanner output, and what the file itself does not
// say. What the file says stands; the options only fill gaps.
type Options struct {
	// Format is what the file must be. Empty: it is recognised.
	Format Format
	// Scanner is who scanned. Zero: only what the file says.
	Scanner Tool
	// DB is the vulnerability database that was used; Trivy's files and SARIF
	// do not name it. Zero: only what the file says.
	DB DB
	// StartedOn and FinishedOn are the times of the scan. Zero: only what the
	// file says.
	StartedOn, FinishedOn time.Time
	// FindingsOnly passes over members that do not say what was found, how severe it
	// is, in what image and when: packages, versions, fixes, databases.
	// Such members may then be of any form, and stay empty in the report. False: all
	// members that are read must be of the form that the scanner gives them.
	FindingsOnly bool
}

// Report is what a scanner found, whichever scanner it was. It comes from
// the file alone: that the scanner looked for vulnerabilities at all, or left
// none out by a filter of its own, is not to be seen there.
type Report struct {
	// Format is what was read.
	Format Format
	// Scanner is who scanned, DB what it knew. Empty fields are not known.
	Scanner Tool
	DB      DB
	// StartedOn and FinishedOn are the times of the scan. Zero: not known.
	StartedOn, FinishedOn time.Time
	// Target is what was scanned.
	Target Target
	// Findings are in the order of the file. Those that the scanner was told to
	// leave out and has listed all the same (by an ignore file, by VEX, in SARIF
	// by suppressions) are among them: who told it is not to be seen in the file,
	// and .trivyignore or .grype.yaml may be part of what was scanned. Of Trivy
	// and Grype, Finding.Suppressed marks them.
	Findings []Finding
	// Suppressed is how many of the findings are marked so.
	Suppressed int

	raw          []byte
	findingsOnly bool
}

// Tool is a scanner.
type Tool struct {
	// Name is what it calls itself, in lower case for those that are known.
	Name string
	// URI identifies it.
	URI string
	// Version is its own.
	Version string
}

// DB is a vulnerability database.
type DB struct {
	// URI is where it is from, without credentials or query.
	URI string
	// Version is its own, or its schema's.
	Version string
	// LastUpdate is when it was built. Zero: not known.
	LastUpdate time.Time
}

// Target is what was scanned.
type Target struct {
	// Name is as the scanner was given it: a reference, a path.
	Name string
	// Type is what the scanner calls its kind: "container_image", "image",
	// "directory". Empty: not known.
	Type string
	// Digests are those of the image's manifest or index ("sha256:…") that the
	// file names. Empty: none.
	Digests []string
	// ImageID is the digest of the image's config. Empty: not named.
	ImageID string
}

// Finding is one vulnerability in one package.
type Finding struct {
	// ID is the vulnerability's, such as "CVE-2026-1234". In SARIF it is that
	// of the rule.
	ID string
	// Severity is by this package's scale; Rated tells whether the scanner gave
	// one that is known. Without, it is critical.
	Severity predicate.Severity
	Rated    bool
	// Original is the severity in the scanner's own words, Method who or what
	// rated it so, such as "nvd".
	Original, Method string
	// Package is what is vulnerable, Version what is installed, PURL both as a
	// package URL. Empty: not said, as in SARIF.
	Package, Version, PURL string
	// FixedIn are the versions without the vulnerability. Empty: none known.
	FixedIn []string
	// Sources are the feeds that know of the vulnerability.
	Sources []string
	// Suppressed is true where the scanner was told to leave the finding out.
	Suppressed bool
}

// Read reads the output of a scanner; see the constants for the formats. The
// report keeps data, which must not change.
//
// Errors are ErrInvalid: ErrFormat, ErrVersion, malformed JSON (duplicate
// keys and keys that differ only in case among it, also from those that are
// known), a finding without an ID, SARIF of which parts are elsewhere, a scan that says itself that it failed, and in SARIF more than 16 rules of one ID
// or an ID of more than 1024 bytes; ErrTooLarge beyond MaxSize or
// MaxFindings; ErrFormat for a Format that does not exist.
func Read(data []byte, o Options) (*Report, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(data), MaxSize)
	}
	// No format has findings deeper than at the fifth level; each is parsed by
	// itself, so that their number is not bounded by that of JSON values.
	root, err := strictjson.ParseShallow(data, 4)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	format, err := scanFormat(root, o.Format)
	if err != nil {
		return nil, err
	}
	r := &Report{Format: format, raw: root.Raw(), findingsOnly: o.FindingsOnly}
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
		return nil, fmt.Errorf("%w: the scan ended before it began", ErrInvalid)
	}
	return r, nil
}

// scanFormat tells formats apart by members that only one of them has.
func scanFormat(root strictjson.Value, asked Format) (Format, error) {
	switch asked {
	case "", Trivy, Grype, SARIF:
	default:
		return "", fmt.Errorf("%w: there is none that is called %.40q", ErrFormat, asked)
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
		return "", fmt.Errorf("%w: not %s but %s", ErrFormat, asked, found[0])
	}
	return found[0], nil
}

// fill adds what the file does not say.
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

// Count counts the findings in the output of a scanner that Read can read.
func Count(data []byte) (predicate.SeverityCounts, error) {
	r, err := Read(data, Options{})
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

// About reports whether the file says that the image with this digest
// ("sha256:…") was scanned: its manifest, its index, or its config. Where known
// is false, the file names no digest that could be compared, as for an image
// that was never in a registry, and nothing follows. A scanner that was given an
// index names the index, or the one manifest of it that it scanned: ask for
// both. Where the name that it was given has a digest, that one counts and no
// other. A file about a directory, or anything else that is no image, is about no
// digest.
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

// addSuppressed appends a finding that the scanner was told to leave out.
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

// scanList returns the list at v. Missing, it is empty; null is not a list, and could
// stand for one that was taken out.
func scanList(v strictjson.Value, what string) (strictjson.Value, error) {
	switch v.Kind() {
	case strictjson.Array, strictjson.Missing:
		return v, nil
	}
	return v, fmt.Errorf("%w: %s is no list", ErrInvalid, what)
}

// decodeScan parses one part of a file by itself.
func decodeScan(part strictjson.Value, what string, into any) error {
	return decodeScanPart(part, what, into, strictjson.DecodeOptions{RefuseOtherCase: true})
}

// decode is decodeScan, and passes over members beside the findings where only those
// are asked for.
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
	v, err := strictjson.Parse(part.Raw())
	if err == nil {
		err = strictjson.Decode(v, into, o)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, what, err)
	}
	return nil
}

// refuseOtherCase refuses members of an object whose names differ from known ones
// in case alone: others would read there what is passed over here.
func refuseOtherCase(v strictjson.Value, known ...string) error {
	for name := range v.Members() {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return fmt.Errorf("%w: %s is not written %s, and would be read as that by some", ErrInvalid, safetext.Of(name, 60), k)
			}
		}
	}
	return nil
}

// scanTime reads a time (RFC 3339). Missing and empty are not known, as is the
// zero time that Go programs write.
func scanTime(text, what string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s is no time: %s", ErrInvalid, what, safetext.Of(text, 60))
	}
	return t, nil
}

// publicURL takes user, password, query and fragment out of a URL. Other text is
// returned as it is.
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
