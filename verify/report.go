package verify

import (
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/registry"
)

// Status is a decision in one word.
type Status string

// The statuses.
const (
	StatusVerified Status = "verified"
	// StatusWarned: the rule only warns, and would have denied.
	StatusWarned Status = "warned"
	// StatusExempted: exemptions of the policy excuse what is not met; see
	// Report.Exemptions.
	StatusExempted Status = "exempted"
	StatusDenied   Status = "denied"
	// StatusUndecided: no decision was reached. It does not allow.
	StatusUndecided Status = "undecided"
)

// Report is a decision as JSON. It has the same form everywhere: as the JSON of Result,
// BlobResult, Error and UndecidedError, in the output of commands, and in the audit log of
// package gate. ResultSchema describes it.
type Report struct {
	// Image is the reference as the caller wrote it. File is the name of a file instead.
	Image string `json:"image,omitempty"`
	File  string `json:"file,omitempty"`
	// Status is the decision.
	Status Status `json:"status"`
	// Digest is the digest that was judged, with its repository: run this. Empty: not
	// known. SHA256 is the digest of a file, in hex. Size is the size of a verified file.
	Digest string `json:"digest,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size,omitempty"`
	// Policy is the digest of the policy, Rule the pattern of the rule that decided.
	Policy string `json:"policy,omitempty"`
	Rule   string `json:"rule,omitempty"`
	// Team is the team whose file has the rule. Absent: the rule is the policy's own.
	Team string `json:"team,omitempty"`
	// JudgedAt is the time of the decision. ValidUntil is when the first thing that it
	// rests on ends. Absent: nothing ends.
	JudgedAt   time.Time `json:"judgedAt,omitzero"`
	ValidUntil time.Time `json:"validUntil,omitzero"`
	// AsOf is a time that was asked about in place of the present: the decision is not one
	// of today. Commands set it; this package does not.
	AsOf time.Time `json:"asOf,omitzero"`
	// Reason says in one word why the image or file is not verified, Detail explains. In an
	// audit log, Reason may be a word of package gate.
	Reason Reason `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Limit is the limit that kept evidence from being read. Absent: none did.
	Limit *registry.ReachedLimit `json:"limit,omitempty"`
	// Hint says what to do. Commands set it; this package does not.
	Hint string `json:"hint,omitempty"`
	// Causes are the errors of what could not be read. Only if no decision was reached.
	Causes []string `json:"causes,omitempty"`
	// Requirements are those that were met, Unmet those that were not.
	Requirements []Met   `json:"requirements,omitempty"`
	Unmet        []Unmet `json:"unmet,omitempty"`
	// Exemptions are the requirements that are not met and that the policy excuses.
	Exemptions []Exempted `json:"exemptions,omitempty"`
	// Keys are the trusted keys that signed. Absent: not recorded.
	Keys []Principal `json:"keys,omitzero"`
	// Statements are the attestations that met requirements.
	Statements []Statement `json:"statements,omitempty"`
	// Evidence is what was read, and why each piece counted or did not. Absent: not
	// recorded.
	Evidence []Evidence `json:"evidence,omitzero"`
	// DeniedChildren are the manifests that an index lists and the policy denies.
	DeniedChildren []DeniedChild `json:"deniedChildren,omitempty"`
	// Requests is how many requests were sent to registries for the decision.
	Requests int `json:"requests,omitempty"`
	// Index is the decision about the index that vouches for Digest.
	Index *Report `json:"index,omitempty"`
}

// ReportOf is the report on what a verify method returned for an image. image is the
// reference as the caller wrote it. Empty: the reference in res or err.
func ReportOf(image string, res *Result, err error) Report {
	if err != nil {
		return failed(Report{Image: image}, err)
	}
	r := Report{
		Image: image, Status: res.status(), Digest: digestText(res.Digest), Policy: res.PolicyDigest, Rule: res.Rule, Team: res.Team,
		JudgedAt: res.JudgedAt.UTC(), ValidUntil: res.ValidUntil.UTC(), Requirements: res.Requirements, Keys: written(res.Keys),
		Exemptions: res.Exemptions, Statements: res.Statements, Evidence: written(res.Evidence), DeniedChildren: res.DeniedChildren, Requests: res.Requests,
	}
	if image == "" {
		r.Image = res.Reference
	}
	if w := res.Warning; w != nil {
		r.Reason, r.Detail, r.Unmet, r.Limit = w.Reason, w.Detail, w.Unmet, w.Limit
	}
	if res.Index != nil {
		index := ReportOf("", res.Index, nil)
		r.Index = &index
	}
	return r
}

func (r *Result) status() Status {
	switch {
	case r.Warning != nil:
		return StatusWarned
	case len(r.Exemptions) > 0:
		return StatusExempted
	}
	return StatusVerified
}

// ReportOfFile is the report on what Verifier.Blob returned for a file.
func ReportOfFile(file string, res *BlobResult, err error) Report {
	if err != nil {
		return failed(Report{File: file}, err)
	}
	return Report{
		File: file, Status: StatusVerified, SHA256: res.SHA256, Size: res.Size, Policy: res.PolicyDigest,
		JudgedAt: res.JudgedAt.UTC(), ValidUntil: res.ValidUntil.UTC(), Requirements: res.Requirements, Keys: written(res.Keys),
		Statements: res.Statements, Evidence: written(res.Evidence),
	}
}

// failed completes the report on an image or file that is not verified.
func failed(r Report, err error) Report {
	var denied *Error
	var undecided *UndecidedError
	asked := ""
	r.Keys, r.Evidence = []Principal{}, []Evidence{}
	switch {
	case errors.As(err, &denied):
		r.Status, r.Digest, r.SHA256, r.Policy, r.Rule, r.Team = StatusDenied, digestText(denied.Digest), denied.SHA256, denied.PolicyDigest, denied.Rule, denied.Team
		r.Reason, r.Detail, r.Unmet, r.Evidence = denied.Reason, denied.Detail, denied.Unmet, written(denied.Evidence)
		r.Limit = denied.Limit
		asked, r.Requests = denied.Reference, denied.Requests
	case errors.As(err, &undecided):
		r.Status, r.Detail, r.Digest, r.Evidence = StatusUndecided, err.Error(), digestText(undecided.Digest), written(undecided.Evidence)
		for _, c := range undecided.Causes {
			r.Causes = append(r.Causes, c.Error())
		}
		asked, r.Requests = undecided.Reference, undecided.Requests
	default:
		r.Status, r.Detail, r.Causes = StatusUndecided, err.Error(), []string{err.Error()}
	}
	if r.Image == "" && r.File == "" {
		r.Image = asked
	}
	return r
}

// written is a list that is written to JSON even if it is empty.
func written[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// MarshalJSON writes the Report of the result.
func (r *Result) MarshalJSON() ([]byte, error) { return json.Marshal(ReportOf("", r, nil)) }

// MarshalJSON writes the Report of the result.
func (r *BlobResult) MarshalJSON() ([]byte, error) { return json.Marshal(ReportOfFile("", r, nil)) }

// MarshalJSON writes the Report of the denial.
func (e *Error) MarshalJSON() ([]byte, error) { return json.Marshal(ReportOf("", nil, e)) }

// MarshalJSON writes the Report of what could not be decided.
func (e *UndecidedError) MarshalJSON() ([]byte, error) { return json.Marshal(ReportOf("", nil, e)) }

// Request is the request that a line of a gate's audit log is about.
type Request struct {
	// Method and Path are those of the request, without its query.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Client is the client's address, Agent its User-Agent header.
	Client string `json:"client,omitempty"`
	Agent  string `json:"agent,omitempty"`
	// Status is the HTTP status of the response.
	Status int `json:"status,omitempty"`
	// Latency is the time until the decision, in nanoseconds.
	Latency time.Duration `json:"latencyNanoseconds,omitempty"`
	// Cached: the decision was reached before.
	Cached bool `json:"cached,omitempty"`
	// Message is the sentence that the client was sent.
	Message string `json:"message,omitempty"`
}

// auditEvent has the form of gate.Event, which this package cannot import. A test of the
// project compares the two.
type auditEvent struct {
	Time time.Time `json:"time"`
	Kind string    `json:"event"`
	Report
	Request Request `json:"request,omitzero"`
}

// ResultSchema is the JSON Schema (2020-12) of a Report, a list of Reports, a line of a
// gate's audit log, and an Inspection.
func ResultSchema() ([]byte, error) {
	known := map[reflect.Type]map[string]any{
		reflect.TypeFor[Status](): {"type": "string", "enum": []any{
			string(StatusVerified), string(StatusWarned), string(StatusExempted), string(StatusDenied), string(StatusUndecided),
		}},
	}
	return jsonschema.Text(jsonschema.AnyOf("Hallmark decisions and inspections, version 1", jsonschema.Options{Known: known},
		reflect.TypeFor[Report](), reflect.TypeFor[[]Report](), reflect.TypeFor[auditEvent](), reflect.TypeFor[Inspection]()))
}
