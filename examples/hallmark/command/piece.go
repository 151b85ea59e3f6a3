package command

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Kinds of evidence; see registry.Description.
const (
	kindSignature   = "signature"
	kindAttestation = "attestation"
	kindSBOM        = "unsigned sbom"
	kindOther       = "other"
)

// maxShown is how many annotations of one piece are shown.
const maxShown = 20

// piece prints one piece of evidence.
type piece struct{ verify.InspectedEvidence }

// describe describes an item for people, and says which keys signed it. The error is
// the context's.
func describe(ctx context.Context, item registry.Item, subject registry.Manifest, keys []policy.PublicKey) (verify.InspectedEvidence, error) {
	p := verify.InspectedEvidence{Description: registry.Describe(item, subject), VerifiedBy: []verify.Principal{}}
	if p.Kind == kindAttestation {
		var problem string
		p.Predicate, problem = summarized(p.Description)
		p.Error = cmp.Or(p.Error, problem)
	}
	for _, k := range keys {
		made, err := verify.SignedBy(ctx, item, k)
		if err != nil {
			return p, err
		}
		if made {
			p.VerifiedBy = append(p.VerifiedBy, verify.Principal{ID: k.ID(), Name: k.Name})
		}
	}
	return p, nil
}

// summarized returns the summary of an attestation's predicate, or the problem of a
// predicate that breaks the rules of its type.
func summarized(d registry.Description) (facts []predicate.SummaryLine, problem string) {
	facts, err := predicate.Summarize(d.PredicateType, d.Predicate, scan.Count)
	if err != nil {
		problem = err.Error()
	}
	return facts, problem
}

// isManifest reports whether a descriptor is for a manifest or an index.
func isManifest(d v1.Descriptor) bool { return d.MediaType.IsImage() || d.MediaType.IsIndex() }

// tree returns what is printed of a piece. checked says that keys were given to verify
// it.
func (p piece) tree(checked bool) node {
	n := node{words: words{p.Kind, p.PredicateType, cmp.Or(string(p.Format), p.MediaType), "in " + string(p.Place), p.Manifest}}
	if p.Kind == kindOther {
		n.words = words{p.Kind, cmp.Or(p.ArtifactType, p.MediaType), "in " + string(p.Place), p.Manifest}
	}
	if p.Kind == kindSBOM {
		n.words = words{p.Kind, p.MediaType, "in " + string(p.Place), p.Manifest, doubt.of("anyone who can push here may have written it")}
	}
	if p.Error != "" {
		n.add(bad.of("not understood"), p.Error)
	}
	if p.isSigned() {
		n.add(signerWords(p.Signer)...)
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
	if p.isSigned() && (checked || len(p.Judged) == 0) {
		n.add(p.verification(checked))
	}
	return n
}

// isSigned reports whether a piece is of a kind that is signed.
func (p piece) isSigned() bool { return p.Kind != kindOther && p.Kind != kindSBOM }

func signerWords(s registry.SignerHint) words {
	all := makerWords(s)
	if s.SourceRepository != "" {
		all = append(all, "built from "+s.SourceRepository)
	}
	if s.LogIndex != nil {
		logged := fmt.Sprintf("log index %d", *s.LogIndex)
		if !s.LoggedAt.IsZero() {
			logged += " of " + s.LoggedAt.Format(time.RFC3339)
		}
		all = append(all, logged)
	}
	return all
}

func makerWords(s registry.SignerHint) words {
	switch {
	case s.Certificate:
		issuer := ""
		if s.Issuer != "" {
			issuer = "identity from " + s.Issuer
		}
		return words{"says it is signed with a certificate", "of " + cmp.Or(strings.Join(s.Identities, ", "), "an identity that it does not name"), issuer}
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
		names = append(names, k.Name+" ("+shortID(k.ID)+")")
	}
	switch {
	case len(names) > 0:
		return good.of("signed by %s", strings.Join(names, ", "))
	case p.Signer.Certificate:
		return doubt.of("not verified: certificates are not checked here; verify judges them")
	case checked:
		return doubt.of("not verified: no key given has signed it")
	}
	return doubt.of("not verified")
}
