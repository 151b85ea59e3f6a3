package verify

import (
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
)

// Inspection is an image and what is attached to it, as JSON for people. It decides
// nothing: only VerifiedBy, Judged and Decision were checked. ResultSchema describes it.
type Inspection struct {
	// Image is the reference as the caller wrote it.
	Image string `json:"image"`
	// Complete is false if something could not be read, and more may be attached.
	Complete bool `json:"complete"`
	InspectedManifest
}

// InspectedManifest is an image, an index, or a manifest that an index lists.
type InspectedManifest struct {
	// Digest includes the repository.
	Digest       string `json:"digest"`
	MediaType    string `json:"mediaType"`
	Size         int64  `json:"size"`
	ArtifactType string `json:"artifactType,omitempty"`
	// Platform is what the index says about it.
	Platform string `json:"platform,omitempty"`
	// AttestationOf is the manifest that BuildKit's unsigned attestations claim to be
	// about.
	AttestationOf string `json:"attestationOf,omitempty"`
	// Statements are BuildKit's unsigned attestations in it.
	Statements []UnsignedStatement `json:"statements,omitempty"`
	// Error says why it could not be read.
	Error string `json:"error,omitempty"`
	// Evidence is what is attached to it. Absent: not read.
	Evidence []InspectedEvidence `json:"evidence,omitzero"`
	// Decision is what a policy decides about it, with the records of evidence that is not
	// in Evidence. Absent: no policy was given.
	Decision *Report `json:"decision,omitempty"`
	// Manifests are those that an index lists.
	Manifests []InspectedManifest `json:"manifests,omitempty"`
}

// UnsignedStatement is a statement that BuildKit put into an index. It is worth as much as
// a signature of the index.
type UnsignedStatement struct {
	PredicateType string                  `json:"predicateType,omitempty"`
	Predicate     []predicate.SummaryLine `json:"predicate,omitempty"`
	// Error says why it does not count, or could not be read.
	Error string `json:"error,omitempty"`
}

// InspectedEvidence is one piece of evidence as it presents itself. All of it is claimed;
// only VerifiedBy and Judged were checked.
type InspectedEvidence struct {
	registry.Description
	// Predicate is what an attestation claims, shortened.
	Predicate []predicate.SummaryLine `json:"predicate,omitempty"`
	// VerifiedBy are those of the given keys that signed it.
	VerifiedBy []Principal `json:"verifiedBy"`
	// Judged says for which requirements of a policy it counts, and why not for others.
	// Absent: the policy does not look at it, or none was given.
	Judged []Evidence `json:"judged,omitempty"`
}
