package verify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

// Result is a positive decision. Only a Verifier makes one that its methods
// accept. What it refers to may be shared with other callers, and must not be
// changed. Its JSON is a Report.
type Result struct {
	// Reference is what was asked about, as text.
	Reference string
	// Digest is what was verified, in the repository asked about: run this.
	Digest name.Digest
	// PolicyDigest identifies the policy, and Rule is the pattern of the rule,
	// that decided.
	PolicyDigest string
	Rule         string
	// JudgedAt is the time of the decision, and ValidUntil when the first thing
	// that it rests on ends: a key, an age, an exception. Zero: nothing ends.
	JudgedAt, ValidUntil time.Time
	// Requirements are what was met, and by whom.
	Requirements []Met
	// Keys are the trusted keys that have signed, for each requirement as many
	// as the threshold of its role.
	Keys []Principal
	// Statements are the attestations that requirements were met by, verified.
	Statements []Statement
	// Evidence is what was looked at until everything was met.
	Evidence []Evidence
	// Warning is the denial that a rule with ModeWarn did not enforce: then
	// nothing was verified. Nil: everything was met.
	Warning *Error
	// DeniedChildren are the manifests that this index lists, and the indexes in it,
	// which the policy denies: they must not run, and Child and Platform deny them.
	// Of others it lists at least one. Empty: none is, or it is no index.
	DeniedChildren []DeniedChild
	// Index is the decision about the index that vouches for this manifest;
	// nil where the manifest itself is signed.
	Index *Result
	// Requests is how many requests were sent to registries for this call. Decisions
	// from a cache, and work that another caller had begun, cost none.
	Requests int

	by *Verifier
	// shared: a SharedCache has read it, and by is whoever asked.
	shared bool
}

// Met is a requirement that was met.
type Met struct {
	// Requirement is its path in the policy, such as "rules[0].require[1]", and
	// Title says what it asks for.
	Requirement string `json:"requirement"`
	Title       string `json:"title"`
	// By is the role whose keys count; empty for what is asked of the image.
	By string `json:"by,omitempty"`
	// Keys are those that counted.
	Keys []Principal `json:"keys,omitempty"`
}

// Unmet is a requirement that was not met.
type Unmet struct {
	// Requirement is its path in the policy, and Title says what it asks for.
	Requirement string `json:"requirement"`
	Title       string `json:"title"`
	// Reason says why it is not met, Detail explains, for people.
	Reason Reason `json:"reason"`
	Detail string `json:"detail"`
	// Limit is the limit that kept evidence for it from being read. Nil: none did.
	Limit *registry.ReachedLimit `json:"limit,omitempty"`
}

// Statement is an attestation that counted: a key of the requirement's role has
// signed it, and the image is among its subjects.
type Statement struct {
	PredicateType string `json:"predicateType"`
	// Predicate is the exact text that was signed.
	Predicate json.RawMessage `json:"-"`
	// KeyID is the key that signed it, Evidence the manifest that carries it.
	KeyID    string `json:"keyId"`
	Evidence string `json:"evidence"`
}

// Principal is a trusted key whose signature counted.
type Principal struct {
	// ID is the SHA-256 of the key's SubjectPublicKeyInfo, in hex.
	ID string `json:"id"`
	// Name is the key's name in the policy, or empty.
	Name string `json:"name,omitempty"`
	// Evidence is the digest of the manifest that carries its signature; empty
	// for a file.
	Evidence string `json:"evidence,omitempty"`
	// Annotations are those that were signed along.
	Annotations map[string]string `json:"annotations,omitempty"`
	// SeenAt is when the signature existed at the latest: by an authority of
	// Policy.Timestamps, where that mattered, or by the one that recognised the identity.
	// Zero: that is not known.
	SeenAt time.Time `json:"seenAt,omitzero"`
}

// Evidence is one piece of evidence that was looked at. Text in it may come
// from an attacker, and is fit to be printed.
type Evidence struct {
	// Place is where it was found.
	Place registry.Place `json:"place,omitempty"`
	// Format is what it is; empty where the place itself could not be read.
	Format registry.Format `json:"format,omitempty"`
	// Manifest is the digest of the manifest that carries it.
	Manifest string `json:"manifest,omitempty"`
	// KeyID is the trusted key that signed it, or empty.
	KeyID string `json:"keyId,omitempty"`
	// Requirement is the path of the requirement that it was judged for; empty
	// where it came to none.
	Requirement string `json:"requirement,omitempty"`
	// Reason says why it counted or did not.
	Reason Reason `json:"reason"`
	// Detail explains, for people.
	Detail string `json:"detail,omitempty"`

	// attestation: it says of itself that it is no signature. Nothing rests on that
	// but how a denial is put.
	attestation bool
	// unread: a limit kept it from being read.
	unread bool
}

// Error is a negative decision. Its JSON is a Report.
type Error struct {
	// Reason says why, in one word.
	Reason Reason
	// Reference is what was asked about, as text.
	Reference string
	// Digest is what was judged, in the repository asked about. A file has none.
	Digest name.Digest
	// SHA256 is the digest of the file that was judged, in hex; empty for an image.
	SHA256 string
	// Detail explains, for people, what is missing.
	Detail string
	// PolicyDigest identifies the policy, and Rule is the pattern of the rule,
	// that decided; empty where there is none.
	PolicyDigest string
	Rule         string
	// Limit is the limit that was reached, for ReasonTooLarge and
	// ReasonTooMuchEvidence. Nil: none, or one that no setting raises.
	Limit *registry.ReachedLimit
	// Unmet are the requirements that are not met; empty where none was reached.
	Unmet []Unmet
	// Evidence is everything that was looked at, in order; beyond 2000 pieces only
	// what has counted.
	Evidence []Evidence
	// Requests is as in Result.
	Requests int
}

// Error says what was denied and why, and of each kind of evidence how much was
// seen.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: denied: %s (%s)", e.subject(), e.Detail, e.Reason)
	if s := summary(e.Evidence); s != "" {
		b.WriteString("; evidence seen: " + s)
	}
	return b.String()
}

func (e *Error) subject() string {
	if e.SHA256 != "" {
		return "file sha256:" + e.SHA256
	}
	if e.Digest.DigestStr() == "" {
		return e.Reference
	}
	return e.Digest.String()
}

// summary counts evidence by reason, in order of first appearance.
func summary(all []Evidence) string {
	counts := make(map[Reason]int)
	var order []Reason
	for _, e := range all {
		if counts[e.Reason]++; counts[e.Reason] == 1 {
			order = append(order, e.Reason)
		}
	}
	var parts []string
	for _, r := range order {
		parts = append(parts, fmt.Sprintf("%d %s", counts[r], r))
	}
	return strings.Join(parts, ", ")
}

func digestText(d name.Digest) string {
	if d.DigestStr() == "" {
		return ""
	}
	return d.String()
}

// UndecidedError says that too few signatures were seen to allow, and that asking
// again may give another answer: not everything could be read, or what was seen has
// ended while it was read. It denies like any error. Unwrap gives the causes, and
// errors.Is finds registry.ErrUnavailable, registry.ErrRateLimited and the like. Its
// JSON is a Report.
type UndecidedError struct {
	// Reference and Digest are as in Error.
	Reference string
	Digest    name.Digest
	// Evidence is everything that was looked at, in order; beyond 2000 pieces only
	// what has counted.
	Evidence []Evidence
	// Causes are the errors of what could not be read. Each names its place.
	Causes []error
	// Requests is as in Result.
	Requests int
}

// Error says what could not be decided and why.
func (e *UndecidedError) Error() string {
	var causes []string
	for _, c := range e.Causes {
		causes = append(causes, c.Error())
	}
	return fmt.Sprintf("%s: could not be decided, and is not verified: %s", e.Digest, strings.Join(causes, "; "))
}

// Unwrap returns the causes.
func (e *UndecidedError) Unwrap() []error { return e.Causes }
