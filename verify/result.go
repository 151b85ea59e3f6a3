package verify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

// Result is a positive decision. Only a Verifier makes one that its methods accept. Its
// members may be shared between callers, and must not be changed. Its JSON is a Report.
type Result struct {
	// Reference is the reference as the caller wrote it.
	Reference string
	// Digest is the digest that was verified, in the caller's repository: run this.
	Digest name.Digest
	// PolicyDigest identifies the policy. Rule is the pattern of the rule that decided.
	PolicyDigest string
	Rule         string
	// Team is the team whose file has the rule. Requirements of the policy itself hold as
	// well. Empty: the rule is the policy's own.
	Team string
	// JudgedAt is the time of the decision. ValidUntil is when the first thing that it
	// rests on ends: a key, an age, an exception, an exemption. Zero: nothing ends.
	JudgedAt, ValidUntil time.Time
	// Requirements are those that were met, with the keys that met them.
	Requirements []Met
	// Keys are the trusted keys that signed: for each requirement as many as its threshold.
	Keys []Principal
	// Statements are the verified attestations that met requirements.
	Statements []Statement
	// Evidence is what was read until every requirement was met.
	Evidence []Evidence
	// Exemptions are the requirements that are not met and that the policy excuses. An image
	// that a verified index lists has those that its own digest is listed for. Empty: every
	// requirement was met.
	Exemptions []Exempted
	// Warning is the denial that a rule with ModeWarn did not enforce: nothing was
	// verified. Nil: every requirement was met.
	Warning *Error
	// DeniedChildren are the manifests of this index, and of its nested indexes, that the
	// policy denies. They must not run, and Child and Platform deny them. At least one
	// other manifest is listed. Empty: none is denied, or Digest is not an index.
	DeniedChildren []DeniedChild
	// Index is the decision about the index that vouches for this manifest. Nil: the
	// manifest itself is signed.
	Index *Result
	// Requests is how many requests were sent to registries for this call. Decisions
	// from a cache, and work that another caller had begun, cost none.
	Requests int

	by *Verifier
	// shared: a SharedCache returned it, and by is the verifier that asked.
	shared bool
}

// Met is a requirement that was met.
type Met struct {
	// Requirement is its path in the policy, such as "rules[0].require[1]". Title names it
	// in words.
	Requirement string `json:"requirement"`
	Title       string `json:"title"`
	// Team is the team whose file requires it. Empty: the policy itself does.
	Team string `json:"team,omitempty"`
	// By is the role whose keys count. Empty: the requirement is about the image itself.
	By string `json:"by,omitempty"`
	// Keys are those that counted.
	Keys []Principal `json:"keys,omitempty"`
	// Excused are the vulnerabilities that its scans have found and that did not count, at
	// most 500.
	Excused []Excused `json:"excused,omitempty"`
}

// Unmet is a requirement that was not met.
type Unmet struct {
	// Requirement is its path in the policy. Title names it in words.
	Requirement string `json:"requirement"`
	Title       string `json:"title"`
	// Team is the team whose file requires it. Empty: the policy itself does.
	Team string `json:"team,omitempty"`
	// Reason says why it is not met, Detail explains.
	Reason Reason `json:"reason"`
	Detail string `json:"detail"`
	// Found is what was found. One of Wanted in its place would have met the condition.
	// Both are shortened: to 200 bytes a value, and ten values. Nil Wanted: Detail says all.
	Found  string   `json:"found,omitempty"`
	Wanted []string `json:"wanted,omitempty"`
	// Limit is the limit that kept evidence for it from being read. Nil: none did.
	Limit *registry.ReachedLimit `json:"limit,omitempty"`
	// Excused are as in Met, of the scan that Detail is about.
	Excused []Excused `json:"excused,omitempty"`
	// Exemption is the one that does not excuse it, as Detail says: it has ended, for
	// example. Nil: none lists the image.
	Exemption *Exempted `json:"exemption,omitempty"`
}

// Statement is an attestation that counted: a key of the requirement's role signed it, and
// the image is among its subjects.
type Statement struct {
	PredicateType string `json:"predicateType"`
	// Predicate is the exact text that was signed.
	Predicate json.RawMessage `json:"-"`
	// KeyID is the key that signed it. Evidence is the digest of the manifest that carries
	// it.
	KeyID    string `json:"keyId"`
	Evidence string `json:"evidence"`
}

// Principal is a trusted key, or an identity, whose signature counted.
type Principal struct {
	// ID is the SHA-256 of the key's SubjectPublicKeyInfo, in hex. For an identity, it is
	// the Matcher's ID.
	ID string `json:"id"`
	// Name is its name in the policy, or empty.
	Name string `json:"name,omitempty"`
	// Evidence is the digest of the manifest that carries its signature. Empty: the
	// signature of a file.
	Evidence string `json:"evidence,omitempty"`
	// Annotations are those that were signed.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Signer is whom the identity's authority has recognised, in its words, such as subject
	// and issuer of a certificate. Empty: a key.
	Signer string `json:"signer,omitempty"`
	// SeenAt is when the signature existed at the latest: by an authority of
	// Policy.Timestamps, where that mattered, or by the one that recognised the identity.
	// Zero: that is not known.
	SeenAt time.Time `json:"seenAt,omitzero"`
	// Claims are what the authority vouches for beside the signer, such as issuer, source
	// repository and log index, by the policy.Claim constants and names of its own. Of a key,
	// they are what a log says that had to have its signature. Nil: nothing.
	Claims map[string]string `json:"claims,omitempty"`
}

// Evidence is one piece of evidence that was read. Its text may come from an attacker, and
// is safe to print.
type Evidence struct {
	// Place is where it was found.
	Place registry.Place `json:"place,omitempty"`
	// Format is what it is. Empty: the place itself could not be read.
	Format registry.Format `json:"format,omitempty"`
	// Manifest is the digest of the manifest that carries it.
	Manifest string `json:"manifest,omitempty"`
	// KeyID is the trusted key that signed it, or empty.
	KeyID string `json:"keyId,omitempty"`
	// Requirement is the path of the requirement that it was judged for. Empty: it was
	// judged for none.
	Requirement string `json:"requirement,omitempty"`
	// Reason says why it counted or did not.
	Reason Reason `json:"reason"`
	// Detail explains.
	Detail string `json:"detail,omitempty"`
	// Item is the ID of the registry.Item. Only Examine sets it.
	Item string `json:"-"`

	// attestation: it claims to be an attestation. Only the wording of a denial rests on
	// it.
	attestation bool
	// unread: a limit kept it from being read.
	unread bool
}

// Error is a denial. Its JSON is a Report.
type Error struct {
	// Reason says why, in one word.
	Reason Reason
	// Reference is the reference as the caller wrote it.
	Reference string
	// Digest is the digest that was judged, in the caller's repository. A file has none.
	Digest name.Digest
	// SHA256 is the digest of the file that was judged, in hex. Empty: an image.
	SHA256 string
	// Detail says what is missing.
	Detail string
	// PolicyDigest identifies the policy. Rule is the pattern of the rule that decided.
	// Empty: no rule matched. Team is as in Result.
	PolicyDigest string
	Rule         string
	Team         string
	// Limit is the limit that was reached, for ReasonTooLarge and
	// ReasonTooMuchEvidence. Nil: none, or one that no setting raises.
	Limit *registry.ReachedLimit
	// Unmet are the requirements that are not met. Empty: none was judged.
	Unmet []Unmet
	// Evidence is what was read, in order. After 2000 pieces, only what counted is added.
	Evidence []Evidence
	// Requests is as in Result.
	Requests int
}

// Error says what was denied and why, and counts the evidence by reason.
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

// UndecidedError says that no decision was reached: too little evidence counted, and
// something could not be read, or ended while it was read. Trying again may give another
// answer. It does not allow. errors.Is finds the causes, such as registry.ErrUnavailable
// and registry.ErrRateLimited. Its JSON is a Report.
type UndecidedError struct {
	// Reference and Digest are as in Error.
	Reference string
	Digest    name.Digest
	// Evidence is what was read, in order. After 2000 pieces, only what counted is added.
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
	return fmt.Sprintf("%s: undecided, not verified: %s", e.Digest, strings.Join(causes, "; "))
}

// Unwrap returns the causes.
func (e *UndecidedError) Unwrap() []error { return e.Causes }
