package registry

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// maxDescribed is how many subjects of one piece of evidence are described.
const maxDescribed = 20

// Description is what a piece of evidence says about itself, for people. Nothing in it
// is verified: anyone who can push to the repository may have written it. Base no
// decision on it; package verify decides.
type Description struct {
	// Kind is "signature", "attestation", "signature of bytes" (about a file), "unsigned
	// sbom" (of the .sbom tag) or "other".
	Kind   string `json:"kind"`
	Format Format `json:"format,omitempty"`
	Place  Place  `json:"place"`
	// Manifest and ArtifactType are those of the manifest that carries it, MediaType
	// is that of the layer.
	Manifest     string `json:"manifest,omitempty"`
	ArtifactType string `json:"artifactType,omitempty"`
	MediaType    string `json:"mediaType,omitempty"`
	// Signer is who claims to have signed it.
	Signer SignerHint `json:"signer,omitzero"`
	// PredicateType is that of a statement. Predicate is the exact text of an
	// attestation's predicate.
	PredicateType string `json:"predicateType,omitempty"`
	Predicate     []byte `json:"-"`
	// Subjects are the digests of its first 20 subjects. SubjectMatches is true if
	// the manifest asked about is any of its subjects.
	Subjects       []string `json:"subjects,omitempty"`
	SubjectMatches bool     `json:"subjectMatches"`
	// Repository is the one that a simple signing payload names.
	Repository string `json:"repository,omitempty"`
	// Annotations are those that the signature covers.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Created is the time that its manifest states, which is not signed.
	Created string `json:"created,omitempty"`
	// Error says why it, or a part of it, could not be read.
	Error string `json:"error,omitempty"`
}

// SignerHint is who claims to have signed a piece of evidence.
type SignerHint struct {
	// KeyID is the key's ID in hex. Hint is the text in its place, if it is not an ID.
	KeyID string `json:"keyId,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// Certificate is true where a certificate is offered instead of a key; its
	// identities and the issuer of the identity follow.
	Certificate bool     `json:"certificate,omitempty"`
	Identities  []string `json:"identities,omitempty"`
	Issuer      string   `json:"issuer,omitempty"`
	// SourceRepository is the repository that was built, as the certificate says.
	SourceRepository string `json:"sourceRepository,omitempty"`
	// LogIndex and LoggedAt are where and when a transparency log has recorded it, as the
	// first log entry that comes with it says. Nil and zero: it does not say.
	LogIndex *int64    `json:"logIndex,omitempty"`
	LoggedAt time.Time `json:"loggedAt,omitzero"`
}

// Describe returns what an item of Evidence or IndexEvidence says about itself. subject
// is the manifest that the item was found with; if it is zero, SubjectMatches is false.
//
// Describe is more lenient than package verify. It describes the readable parts of
// malformed evidence, and Error says what is wrong. An item that came with an error has
// no content; Describe returns its place and manifest.
func Describe(item Item, subject Manifest) Description {
	d := Description{
		Kind: "other", Format: item.Format, Place: item.Place,
		ArtifactType: item.Manifest.ArtifactType, MediaType: string(item.Layer.MediaType),
		Created: item.ManifestAnnotations["org.opencontainers.image.created"],
	}
	if item.Manifest.Digest.Hex != "" {
		d.Manifest = item.Manifest.Digest.String()
	}
	if item.Place == PlaceSBOMTag {
		d.Kind = "unsigned sbom"
	}
	if item.Payload == nil {
		return d
	}
	found, err := evidence.Describe(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
	d.Signer = SignerHint(found.Signer)
	switch {
	case item.Format == FormatSimpleSigning:
		d.Kind = "signature"
	case found.OverBytes:
		d.Kind = "signature of bytes"
	}
	digests := digestsOf(subject)
	if err == nil && found.Simple != nil {
		err = d.payload(found, digests)
	} else if err == nil && found.Statement != nil {
		err = d.statement(found.Statement, digests)
	}
	if err != nil {
		d.Error = err.Error()
	}
	return d
}

func (d *Description) payload(found evidence.Description, digests intoto.Digester) error {
	p := found.Simple
	d.Repository, d.Annotations, d.Subjects = p.DockerReference, p.Annotations, []string{p.ManifestDigest}
	sum, known, err := digests("sha256")
	d.SubjectMatches = known && p.ManifestDigest == "sha256:"+sum
	return err
}

func (d *Description) statement(s *intoto.Statement, digests intoto.Digester) error {
	d.Kind, d.PredicateType = "signature", s.PredicateType
	if s.PredicateType != intoto.PredicateSignature {
		d.Kind, d.Predicate = "attestation", s.Predicate
	}
	for _, about := range s.Subjects[:min(len(s.Subjects), maxDescribed)] {
		for _, algorithm := range slices.Sorted(maps.Keys(about.Digest)) {
			d.Subjects = append(d.Subjects, algorithm+":"+about.Digest[algorithm])
		}
	}
	match, err := s.Match(digests)
	if match != nil {
		d.SubjectMatches, d.Annotations = true, match.Annotations
	}
	return err
}

// digestsOf computes digests of a manifest.
func digestsOf(m Manifest) intoto.Digester {
	return func(algorithm string) (string, bool, error) {
		var sum []byte
		switch {
		case len(m.Bytes) == 0:
			return "", false, nil
		case algorithm == "sha256":
			s := sha256.Sum256(m.Bytes)
			sum = s[:]
		case algorithm == "sha384":
			s := sha512.Sum384(m.Bytes)
			sum = s[:]
		case algorithm == "sha512":
			s := sha512.Sum512(m.Bytes)
			sum = s[:]
		}
		return hex.EncodeToString(sum), sum != nil, nil
	}
}
