package registry

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// maxDescribed is how many subjects of one piece of evidence are described.
const maxDescribed = 20

// Description is a piece of evidence as it presents itself, for people. All of it is
// claimed, and nothing is verified: anyone who can push to the repository may have
// written it. Decide nothing by it; that is the job of package verify.
type Description struct {
	// Kind is "signature", "attestation", "signature of bytes" (about a file), "unsigned
	// sbom" (of the .sbom tag) or "other".
	Kind   string `json:"kind"`
	Format Format `json:"format,omitempty"`
	Place  Place  `json:"place"`
	// Manifest is the digest of the manifest that carries it, and ArtifactType
	// that manifest's; MediaType is the layer's.
	Manifest     string `json:"manifest,omitempty"`
	ArtifactType string `json:"artifactType,omitempty"`
	MediaType    string `json:"mediaType,omitempty"`
	// Signer is who it says has signed it.
	Signer SignerHint `json:"signer,omitzero"`
	// PredicateType is that of a statement, and Predicate the exact text of what an
	// attestation says.
	PredicateType string `json:"predicateType,omitempty"`
	Predicate     []byte `json:"-"`
	// Subjects are the digests that it is about, those of 20 subjects at most, and
	// SubjectMatches is true where the manifest asked about is one of all.
	Subjects       []string `json:"subjects,omitempty"`
	SubjectMatches bool     `json:"subjectMatches"`
	// Repository is the one that a simple signing payload names.
	Repository string `json:"repository,omitempty"`
	// Annotations are those that were signed along.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Created is the time that its manifest states, which is not signed.
	Created string `json:"created,omitempty"`
	// Error says why it, or a part of it, could not be read.
	Error string `json:"error,omitempty"`
}

// SignerHint is who a piece of evidence says has signed it.
type SignerHint struct {
	// KeyID is the key's ID in hex, or Hint what stands in place of one.
	KeyID string `json:"keyId,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// Certificate is true where a certificate is offered instead of a key; its
	// identities and the issuer of the identity follow.
	Certificate bool     `json:"certificate,omitempty"`
	Identities  []string `json:"identities,omitempty"`
	Issuer      string   `json:"issuer,omitempty"`
}

// Describe says what an item of Evidence, or IndexEvidence, says about itself. It is
// more lenient than judging: what can be read of malformed evidence is described, and
// Error says what is wrong. subject is the manifest that the item was found with; where
// it is zero, SubjectMatches is false. An item that came with an error has no content,
// and is described as far as it is known.
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
