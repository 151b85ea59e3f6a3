package command

import (
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry"
)

// What a piece of evidence presents itself as.
const (
	kindSignature     = "signature"
	kindAttestation   = "attestation"
	kindBlobSignature = "signature of bytes"
	kindOther         = "other"
)

// maxShown is how many subjects and annotations of one piece are shown.
const maxShown = 20

// piece is one piece of evidence as it presents itself. All of it is claimed;
// only VerifiedBy was checked.
type piece struct {
	// Kind is "signature", "attestation", "signature of bytes" or "other".
	Kind   string `json:"kind"`
	Format string `json:"format,omitempty"`
	Place  string `json:"place"`
	// Manifest is the digest of the manifest that carries it, and ArtifactType
	// that manifest's; MediaType is the layer's.
	Manifest     string `json:"manifest,omitempty"`
	ArtifactType string `json:"artifactType,omitempty"`
	MediaType    string `json:"mediaType,omitempty"`
	Signer       signer `json:"signer,omitzero"`
	// PredicateType is that of a statement.
	PredicateType string `json:"predicateType,omitempty"`
	// Predicate is what an attestation says, in short. It is as claimed as the
	// rest.
	Predicate []fact `json:"predicate,omitempty"`
	// Subjects are the digests that it is about, at most 20 of them, and
	// SubjectMatches is true where the manifest inspected is one of all.
	Subjects       []string `json:"subjects,omitempty"`
	SubjectMatches bool     `json:"subjectMatches"`
	// Repository is the one that a simple signing payload names.
	Repository string `json:"repository,omitempty"`
	// Annotations are those that were signed along.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Created is the time that its manifest states, which is not signed.
	Created string `json:"created,omitempty"`
	// VerifiedBy are the keys given that have signed it.
	VerifiedBy []keyRef `json:"verifiedBy"`
	// Error says why it could not be read or understood.
	Error string `json:"error,omitempty"`
}

// signer is who a piece of evidence says has signed it.
type signer struct {
	// KeyID is the key's ID in hex, or Hint what stands in place of one.
	KeyID string `json:"keyId,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// Certificate is true where a certificate is offered instead of a key; its
	// identities and the issuer of the identity follow.
	Certificate bool     `json:"certificate,omitempty"`
	Identities  []string `json:"identities,omitempty"`
	Issuer      string   `json:"issuer,omitempty"`
}

// fact is one line about a predicate.
type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type keyRef struct {
	Name  string `json:"name"`
	KeyID string `json:"keyId"`
}

// pieceOf describes an item without its content.
func pieceOf(item registry.Item) piece {
	p := piece{
		Kind: kindOther, Format: string(item.Format), Place: string(item.Place),
		ArtifactType: item.Manifest.ArtifactType, MediaType: string(item.Layer.MediaType),
		Created:    item.ManifestAnnotations["org.opencontainers.image.created"],
		VerifiedBy: []keyRef{},
	}
	if item.Manifest.Digest.Hex != "" {
		p.Manifest = item.Manifest.Digest.String()
	}
	return p
}

// describe reads an item for people, which is more lenient than judging it:
// what a certificate vouches for is shown too.
func describe(item registry.Item, subject intoto.Digester, keys []namedKey) piece {
	p := pieceOf(item)
	var err error
	switch item.Format {
	case registry.FormatSimpleSigning:
		err = p.readSimple(item, subject)
	case registry.FormatEnvelope:
		err = p.readEnvelope(item, subject)
	case registry.FormatBundle:
		err = p.readBundle(item, subject)
	}
	if err != nil {
		p.Error = err.Error()
	}
	if claim, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload); err == nil {
		for _, k := range keys {
			if claim.VerifiedBy(k.Key) {
				p.VerifiedBy = append(p.VerifiedBy, keyRef{k.name, k.ID()})
			}
		}
	}
	return p
}

func (p *piece) readSimple(item registry.Item, subject intoto.Digester) error {
	p.Kind = kindSignature
	p.Signer = signerOfLayer(item)
	payload, err := simplesigning.Parse(item.Payload)
	if err != nil {
		return err
	}
	p.Repository, p.Annotations, p.Subjects = payload.DockerReference, payload.Annotations, []string{payload.ManifestDigest}
	sum, _, err := subject("sha256")
	p.SubjectMatches = payload.ManifestDigest == "sha256:"+sum
	return err
}

func (p *piece) readEnvelope(item registry.Item, subject intoto.Digester) error {
	p.Signer = signerOfLayer(item)
	root, err := strictjson.Parse(item.Payload)
	if err != nil {
		return err
	}
	e, err := dsse.Parse(root)
	if err != nil {
		return err
	}
	return p.readStatement(e, subject)
}

func (p *piece) readBundle(item registry.Item, subject intoto.Digester) error {
	b, err := bundle.Parse(item.Payload)
	if err != nil {
		return err
	}
	if b.Certificate {
		p.Signer = signerOfCertificate(bundleCertificate(item.Payload))
	} else {
		p.Signer = signerOfHint(b.Hint)
	}
	if b.Envelope == nil {
		p.Kind = kindBlobSignature
		return nil
	}
	return p.readStatement(b.Envelope, subject)
}

func (p *piece) readStatement(e *dsse.Envelope, subject intoto.Digester) error {
	if e.PayloadType != dsse.PayloadTypeInToto {
		return fmt.Errorf("its payload is of type %q, no in-toto statement", e.PayloadType)
	}
	s, err := intoto.Parse(e.Payload)
	if err != nil {
		return err
	}
	p.Kind, p.PredicateType = kindAttestation, s.PredicateType
	if s.PredicateType == intoto.PredicateSignature {
		p.Kind = kindSignature
	} else {
		p.summarize(s.Predicate)
	}
	for _, about := range s.Subjects[:min(len(s.Subjects), maxShown)] {
		for _, algorithm := range slices.Sorted(maps.Keys(about.Digest)) {
			p.Subjects = append(p.Subjects, algorithm+":"+about.Digest[algorithm])
		}
	}
	match, err := s.Match(subject)
	if match != nil {
		p.SubjectMatches, p.Annotations = true, match.Annotations
	}
	return err
}

// summarize says what a predicate says. One that is not what its type says is
// no less evidence of somebody having signed it.
func (p *piece) summarize(text []byte) {
	lines, err := predicate.Summarize(p.PredicateType, text, scan.Count)
	for _, line := range lines {
		p.Predicate = append(p.Predicate, fact(line))
	}
	if err != nil {
		p.Error = err.Error()
	}
}

// signerOfHint turns the hint of a bundle into a key ID where it is one, so that
// people can compare it with what keygen printed.
func signerOfHint(hint string) signer {
	if sum, err := base64.StdEncoding.DecodeString(hint); err == nil && len(sum) == 32 {
		return signer{KeyID: hex.EncodeToString(sum)}
	}
	return signer{Hint: hint}
}

// signerOfLayer is what cosign's layers say about their signer: a certificate,
// or nothing.
func signerOfLayer(item registry.Item) signer {
	text := item.Layer.Annotations[simplesigning.AnnotationCertificate]
	if text == "" {
		return signer{}
	}
	var der []byte
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der = block.Bytes
	}
	return signerOfCertificate(der)
}

// bundleCertificate finds the signer's certificate in a well-formed bundle.
//
// Source: sigstore/protobuf-specs, sigstore_bundle.proto, VerificationMaterial.
func bundleCertificate(text []byte) []byte {
	root, err := strictjson.Parse(text)
	if err != nil {
		return nil
	}
	material := root.Get("verificationMaterial")
	certificate := material.Get("certificate")
	for first := range material.Get("x509CertificateChain").Get("certificates").Elems() {
		certificate = first
		break
	}
	raw, _ := certificate.Get("rawBytes").StrBytes()
	der, err := b64.Decode(raw)
	if err != nil {
		return nil
	}
	return der
}

// Extensions in which Fulcio states who vouched for the identity, the newer one
// first.
//
// Source: sigstore/fulcio docs/oid-info.md.
var issuerExtensions = []string{"1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1"}

func signerOfCertificate(der []byte) signer {
	s := signer{Certificate: true}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return s
	}
	s.Identities = append(s.Identities, c.EmailAddresses...)
	s.Identities = append(s.Identities, c.DNSNames...)
	for _, u := range c.URIs {
		s.Identities = append(s.Identities, u.String())
	}
	for _, oid := range issuerExtensions {
		for _, e := range c.Extensions {
			if e.Id.String() == oid && s.Issuer == "" {
				s.Issuer = extensionText(e.Value)
			}
		}
	}
	return s
}

// extensionText reads a UTF8String; the older extension holds bare text.
func extensionText(value []byte) string {
	var text string
	if rest, err := asn1.Unmarshal(value, &text); err == nil && len(rest) == 0 {
		return text
	}
	return string(value)
}

// tree shows a piece to people. checked says that keys were given to verify it
// with.
func (p piece) tree(checked bool) node {
	n := node{words: words{p.Kind, p.PredicateType, cmp.Or(p.Format, p.MediaType), "in " + p.Place, p.Manifest}}
	if p.Kind == kindOther {
		n.words = words{p.Kind, cmp.Or(p.ArtifactType, p.MediaType), "in " + p.Place, p.Manifest}
	}
	if p.Error != "" {
		n.add(bad.of("not understood"), p.Error)
	}
	if p.Kind != kindOther {
		n.add(p.Signer.words()...)
		n.add(p.subject()...)
	}
	if p.Repository != "" {
		n.add("repository", p.Repository)
	}
	for _, f := range p.Predicate {
		n.add(f.Name, f.Value)
	}
	for i, key := range slices.Sorted(maps.Keys(p.Annotations)) {
		if i == maxShown {
			n.add(fmt.Sprintf("and %d more annotations", len(p.Annotations)-maxShown))
			break
		}
		n.add("annotation", key+"="+p.Annotations[key])
	}
	if p.Created != "" {
		n.add("created", p.Created, faint.of("not signed"))
	}
	if p.Kind != kindOther {
		n.add(p.verification(checked))
	}
	return n
}

func (s signer) words() words {
	switch {
	case s.Certificate:
		issuer := ""
		if s.Issuer != "" {
			issuer = "identity from " + s.Issuer
		}
		return words{"says it is signed with a certificate", "of " + cmp.Or(strings.Join(s.Identities, ", "), "nobody named"), issuer}
	case s.KeyID != "":
		return words{"says it is signed with key " + s.KeyID}
	case s.Hint != "":
		return words{"says it is signed with key " + s.Hint}
	}
	return words{"does not say which key signed it"}
}

func (p piece) subject() words {
	switch {
	case p.SubjectMatches:
		return words{"about this digest"}
	case len(p.Subjects) > 0:
		return words{bad.of("about another digest"), strings.Join(p.Subjects, ", ")}
	}
	return words{doubt.of("does not say what it is about")}
}

func (p piece) verification(checked bool) styled {
	var names []string
	for _, k := range p.VerifiedBy {
		names = append(names, k.Name+" ("+shortID(k.KeyID)+")")
	}
	switch {
	case len(names) > 0:
		return good.of("signed by %s", strings.Join(names, ", "))
	case p.Signer.Certificate:
		return doubt.of("not verified: certificates are not checked")
	case checked:
		return doubt.of("not verified: no key given has signed it")
	}
	return doubt.of("not verified")
}
