package verify

import (
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
)

// Inspection is an image and what is attached to it, as JSON for people. It decides
// nothing: only what VerifiedBy says was checked. ResultSchema describes it.
type Inspection struct {
	// Image is what was asked about.
	Image string `json:"image"`
	// Complete is false where something could not be read: then there may be more
	// than is shown.
	Complete bool `json:"complete"`
	InspectedManifest
}

// InspectedManifest is an image, an index, or one of those that it lists.
type InspectedManifest struct {
	// Digest has its repository in front.
	Digest       string `json:"digest"`
	MediaType    string `json:"mediaType"`
	Size         int64  `json:"size"`
	ArtifactType string `json:"artifactType,omitempty"`
	// Platform is what the index says about it.
	Platform string `json:"platform,omitempty"`
	// AttestationOf is the manifest that BuildKit's unsigned attestations claim
	// to be about.
	AttestationOf string `json:"attestationOf,omitempty"`
	// Statements are BuildKit's unsigned attestations in it.
	Statements []UnsignedStatement `json:"statements,omitempty"`
	// Error says why it could not be read.
	Error string `json:"error,omitempty"`
	// Evidence is what is attached to it; absent where it was not looked for.
	Evidence []InspectedEvidence `json:"evidence,omitzero"`
	// Manifests are those that an index lists.
	Manifests []InspectedManifest `json:"manifests,omitempty"`
}

// UnsignedStatement is a statement that BuildKit has put into an index. It is worth
// what a signature of the index is.
type UnsignedStatement struct {
	PredicateType string                  `json:"predicateType,omitempty"`
	Predicate     []predicate.SummaryLine `json:"predicate,omitempty"`
	// Error says why it does not count, or could not be read.
	Error string `json:"error,omitempty"`
}

// InspectedEvidence is one piece of evidence as it presents itself. All of it is
// claimed; only VerifiedBy was checked.
type InspectedEvidence struct {
	registry.Description
	// Predicate is what an attestation says, in short. It is as claimed as the
	// rest.
	Predicate []predicate.SummaryLine `json:"predicate,omitempty"`
	// VerifiedBy are the keys given that have signed it.
	VerifiedBy []Principal `json:"verifiedBy"`
}
