package command

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

var (
	//go:embed report.html
	reportTemplate string
	//go:embed report.css
	reportStyle string
)

// outputHTML is the value of --output for a report.
const outputHTML = "html"

// Bounds of a report. What is left out is counted in it.
const (
	maxReportPieces    = 300 // of the whole tree
	maxReportManifests = 200
	maxReportClaims    = 10 // of each section
	maxReportFacts     = 30 // of one piece
	maxConfigBytes     = 4 << 20
)

// report is what the page shows. All texts are inert, see shown; the template escapes
// them for their place in the page.
type report struct {
	Style     template.CSS
	StyleHash string

	Image, Digest string
	Complete      bool
	// Checked says by what evidence was verified; empty: by nothing.
	Checked    string
	Decision   *reportDecision
	About      []fact
	Provenance reportSection
	Bills      reportSection
	Scans      reportSection
	Tree       reportManifest
	Pieces     int
	LeftOut    int
	Made       string
}

type fact struct{ Name, Value string }

// badge is a judgement in a word. Class is good, bad or doubt.
type badge struct{ Class, Word string }

type reportDecision struct {
	Badge                           badge
	Reason, Detail, AsOf            string
	Rule, Team, Policy, Until, When string
	Requirements                    []reportRequirement
	Excused                         []reportExcuse
	Denied, Unread                  []string
	// Exempted says that the image does not meet a requirement from which it is exempt.
	Exempted bool
}

// reportExcuse is a vulnerability that did not count.
type reportExcuse struct{ ID, Severity, By, Reason string }

type reportRequirement struct {
	Badge       badge
	Title, Path string
	By          []reportKey
	Detail      string
}

type reportKey struct{ Name, ID string }

// reportSection are the claims of one kind, those that count first.
type reportSection struct {
	Claims  []reportClaim
	LeftOut int
}

// reportClaim is what one attestation says.
type reportClaim struct {
	Badge    badge
	Signer   string
	Sentence []span
	Facts    []fact
	Figures  []figure
	Manifest string
}

// span is a part of a sentence: words of ours, or a text of the claim.
type span struct {
	Text  string
	Claim bool
}

type figure struct{ Count, Of, Class string }

type reportManifest struct {
	Digest, Title, Error string
	Facts                []fact
	Statements           []reportStatement
	Pieces               []reportPiece
	Manifests            []reportManifest
	Read                 bool
}

type reportStatement struct {
	Type, Error string
	Facts       []fact
}

type reportPiece struct {
	Title, Type, Error string
	Badge              badge
	Facts              []fact
	Claims             []fact
	Judged             []reportRequirement
}

// shown is text from outside as the report shows it.
func shown(text string) string { return registry.SafeText(text, maxText) }

// reporting builds a report from an inspection.
type reporting struct {
	inspector    *inspector
	requirements map[string]string
	names        map[string]string // of keys, by ID
	pieces       int
	manifests    int
	leftOut      int
}

// writeReport writes an inspection as one HTML page.
func (a *app) writeReport(ctx context.Context, i *inspector, r verify.Inspection, digest name.Digest) error {
	t, err := template.New("report").Parse(reportTemplate)
	if err != nil {
		return err
	}
	made := newReporting(i, r).report(r)
	made.About = append(made.About, i.configFacts(ctx, digest)...)
	made.Made = timeOf(time.Now())
	var page bytes.Buffer
	if err := t.Execute(&page, made); err != nil {
		return err
	}
	_, err = a.out.w.Write(page.Bytes())
	return err
}

func newReporting(i *inspector, r verify.Inspection) *reporting {
	b := &reporting{inspector: i, names: make(map[string]string)}
	for _, k := range i.keys {
		b.names[k.ID()] = k.Name
	}
	if i.examiner != nil {
		b.requirements = i.examiner.requirementsOf(i.place.ref.Context())
		for _, k := range i.examiner.Keys() {
			b.names[k.ID] = signers([]verify.Principal{k})
		}
	}
	if r.Decision != nil {
		for _, k := range r.Decision.Keys {
			b.names[k.ID] = signers([]verify.Principal{k})
		}
	}
	return b
}

func (b *reporting) report(r verify.Inspection) *report {
	sum := sha256.Sum256([]byte(reportStyle))
	out := &report{
		Style: template.CSS(reportStyle), StyleHash: base64.StdEncoding.EncodeToString(sum[:]),
		Image: shown(r.Image), Digest: shown(r.Digest), Complete: r.Complete, Checked: b.checkedBy(),
		About: []fact{{"Media type", shown(r.MediaType)}, {"Manifest size", size(r.Size)}},
	}
	if r.ArtifactType != "" {
		out.About = append(out.About, fact{"Artifact type", shown(r.ArtifactType)})
	}
	if platforms := platformsOf(r.Manifests); platforms != "" {
		out.About = append(out.About, fact{"Platforms", platforms})
	}
	if r.Decision != nil {
		out.Decision = b.decision(r.Decision)
	}
	out.Provenance = b.section(r.Evidence, provenanceSentence, provenanceTypes)
	out.Bills = b.section(r.Evidence, billSentence, billTypes)
	out.Scans = b.section(r.Evidence, scanSentence, scanTypes)
	out.Tree = b.manifest(r.InspectedManifest, "This image")
	out.Pieces, out.LeftOut = b.pieces, b.leftOut
	return out
}

// checkedBy says by what evidence was verified.
func (b *reporting) checkedBy() string {
	switch {
	case b.inspector.examiner != nil && len(b.inspector.keys) > 0:
		return "the policy and the given keys"
	case b.inspector.examiner != nil:
		return "the policy"
	case len(b.inspector.keys) > 0:
		return "the given keys"
	}
	return ""
}

func platformsOf(all []verify.InspectedManifest) string {
	var names []string
	for _, m := range all[:min(len(all), maxReportManifests)] {
		if m.Platform != "" && m.AttestationOf == "" {
			names = append(names, shown(m.Platform))
		}
	}
	return shown(strings.Join(names, ", "))
}

func (b *reporting) decision(r *verify.Report) *reportDecision {
	d := &reportDecision{
		Badge: badgeOf(r.Status), Reason: shown(string(r.Reason)), Detail: shown(r.Detail), Rule: shown(r.Rule), Team: shown(r.Team), Policy: shown(r.Policy),
		AsOf: timeOf(r.AsOf), Until: timeOf(r.ValidUntil), When: timeOf(r.JudgedAt),
	}
	d.Exempted = len(r.Exemptions) > 0
	for _, m := range r.Requirements {
		q := reportRequirement{Badge: badge{"good", "met"}, Title: shown(m.Title), Path: shown(m.Requirement)}
		for _, k := range m.Keys[:min(len(m.Keys), maxShown)] {
			q.By = append(q.By, keyOf(k))
		}
		d.Requirements = append(d.Requirements, q)
	}
	for _, u := range r.Unmet {
		d.Requirements = append(d.Requirements, reportRequirement{
			Badge: badge{"bad", "not met"}, Title: shown(u.Title), Path: shown(u.Requirement), Detail: shown(string(u.Reason) + ": " + u.Detail),
		})
	}
	for _, x := range r.Exemptions[:min(len(r.Exemptions), maxEvidenceShown)] {
		d.Requirements = append(d.Requirements, reportRequirement{
			Badge: badge{"doubt", "exempted"}, Title: shown(x.Name), Path: shown(x.Requirement),
			Detail: shown(fmt.Sprintf("until %s, by %s: %s", timeOf(x.Until), x.By, x.Reason)),
		})
	}
	excused := excusedOf(*r)
	for _, x := range excused[:min(len(excused), maxEvidenceShown)] {
		d.Excused = append(d.Excused, reportExcuse{shown(x.ID), shown(x.Severity), shown(excuseWords(x)), shown(x.Reason)})
	}
	for _, c := range r.DeniedChildren[:min(len(r.DeniedChildren), maxEvidenceShown)] {
		d.Denied = append(d.Denied, shown(strings.TrimSpace(c.Platform+" "+c.Digest)+": "+c.Reason))
	}
	for _, e := range r.Evidence[:min(len(r.Evidence), maxEvidenceShown)] {
		d.Unread = append(d.Unread, shown(strings.Join(nonEmpty(string(e.Place), e.Manifest, string(e.Reason), e.Detail), " · ")))
	}
	return d
}

// keyOf names a key with its ID, or the identity that was recognised.
func keyOf(k verify.Principal) reportKey {
	if who := identityOf(k); who != "" {
		return reportKey{Name: shown(who)}
	}
	return reportKey{shown(k.Name), shown(k.ID)}
}

func badgeOf(s verify.Status) badge {
	switch s {
	case verify.StatusVerified:
		return badge{"good", "verified"}
	case verify.StatusDenied:
		return badge{"bad", "denied"}
	}
	return badge{"doubt", string(s)}
}

// The types that have a section of their own.
var (
	provenanceTypes = []string{predicate.TypeProvenance, predicate.TypeProvenance02}
	billTypes       = []string{predicate.TypeSPDX, predicate.TypeCycloneDX}
	scanTypes       = []string{predicate.TypeCosignVuln, predicate.TypeVulns, predicate.TypeVulns01}
)

func isOf(uri string, types []string) bool {
	return slices.ContainsFunc(types, func(t string) bool { return predicate.SameType(uri, t) })
}

func hasSection(uri string) bool {
	return isOf(uri, provenanceTypes) || isOf(uri, billTypes) || isOf(uri, scanTypes)
}

// section collects the attestations of some types. Those that count come first.
func (b *reporting) section(all []verify.InspectedEvidence, sentence func(facts []fact) []span, types []string) (s reportSection) {
	for _, e := range all {
		if !e.SubjectMatches || !isOf(e.PredicateType, types) {
			continue
		}
		facts := factsOf(e.Predicate)
		s.Claims = append(s.Claims, reportClaim{
			Badge: b.worth(e), Signer: shown(b.signedBy(e)), Sentence: sentence(facts), Facts: facts, Figures: figuresOf(facts), Manifest: shown(e.Manifest),
		})
	}
	slices.SortStableFunc(s.Claims, func(x, y reportClaim) int { return cmp.Compare(rankOf(x.Badge), rankOf(y.Badge)) })
	if len(s.Claims) > maxReportClaims {
		s.LeftOut = len(s.Claims) - maxReportClaims
		s.Claims = s.Claims[:maxReportClaims]
	}
	return s
}

func rankOf(b badge) int { return slices.Index([]string{"good", "doubt", "bad"}, b.Class) }

// worth says in a word what a piece of evidence is worth.
func (b *reporting) worth(e verify.InspectedEvidence) badge {
	switch {
	case slices.ContainsFunc(e.Judged, func(j verify.Evidence) bool { return j.Reason == verify.ReasonCounted }):
		return badge{"good", "counts"}
	case slices.ContainsFunc(e.Judged, func(j verify.Evidence) bool { return j.Reason == verify.ReasonRepeated }):
		return badge{"good", "verified, counts once"}
	case !e.SubjectMatches && len(e.Subjects) > 0:
		return badge{"bad", "about another digest"}
	case len(e.VerifiedBy) > 0 && e.SubjectMatches:
		return badge{"good", "signed by a given key"}
	case b.inspector.examiner != nil && len(e.Judged) > 0:
		return badge{"bad", "does not count"}
	}
	return badge{"doubt", "not verified"}
}

// signedBy says who made a piece, as far as that was verified; else whom it names.
func (b *reporting) signedBy(e verify.InspectedEvidence) string {
	for _, k := range e.VerifiedBy {
		return "Signed by " + signers([]verify.Principal{k})
	}
	for _, j := range e.Judged {
		if j.KeyID == "" {
			continue
		}
		if known := b.names[j.KeyID]; known != "" {
			return "Signed by " + known
		}
		return "Signed by a key or identity of the policy, " + j.KeyID
	}
	return "Not verified: it " + claimedSigner(e.Signer)
}

// claimedSigner is whom a piece names, in one sentence without a subject.
func claimedSigner(s registry.SignerHint) string {
	var parts []string
	for _, w := range makerWords(s) {
		parts = append(parts, fmt.Sprint(w))
	}
	return strings.Join(nonEmpty(parts...), " ")
}

func nonEmpty(parts ...string) []string {
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" })
}

func factsOf(lines []predicate.SummaryLine) (all []fact) {
	for i, l := range lines {
		if i == maxReportFacts {
			return append(all, fact{"not shown", fmt.Sprintf("%d more lines", len(lines)-i)})
		}
		all = append(all, fact{shown(l.Name), shown(l.Value)})
	}
	return all
}

// manifest is a node of the tree. What its root's attestations say may stand in a section
// of its own.
func (b *reporting) manifest(m verify.InspectedManifest, title string) reportManifest {
	isRoot := b.manifests == 0
	b.manifests++
	out := reportManifest{Digest: shown(digestPart(m.Digest)), Title: title, Error: shown(m.Error), Read: m.Evidence != nil}
	if m.AttestationOf != "" {
		out.Facts = append(out.Facts, fact{"unsigned attestations", "said to be about " + shown(m.AttestationOf)})
	}
	for _, s := range m.Statements[:min(len(m.Statements), maxShown)] {
		out.Statements = append(out.Statements, reportStatement{shown(cmp.Or(s.PredicateType, "of no known type")), shown(s.Error), factsOf(s.Predicate)})
	}
	for _, e := range m.Evidence {
		if b.pieces++; b.pieces > maxReportPieces {
			b.leftOut++
			continue
		}
		piece := b.piece(e)
		if !isRoot || !e.SubjectMatches || !hasSection(e.PredicateType) {
			piece.Claims = factsOf(e.Predicate)
		}
		out.Pieces = append(out.Pieces, piece)
	}
	for _, child := range m.Manifests {
		if b.manifests >= maxReportManifests {
			b.leftOut++
			continue
		}
		out.Manifests = append(out.Manifests, b.manifest(child, shown(cmp.Or(child.Platform, child.ArtifactType, child.MediaType, "a manifest"))))
	}
	return out
}

func (b *reporting) piece(e verify.InspectedEvidence) reportPiece {
	p := piece{e}
	out := reportPiece{Title: shown(e.Kind), Type: shown(cmp.Or(e.PredicateType, e.ArtifactType, e.MediaType)), Error: shown(e.Error), Badge: b.worth(e)}
	add := func(name, value string) {
		if value != "" {
			out.Facts = append(out.Facts, fact{name, shown(value)})
		}
	}
	add("found in", strings.Join(nonEmpty(string(e.Place), string(e.Format)), ", "))
	add("manifest", e.Manifest)
	if p.isSigned() {
		add("signer", b.signedBy(e))
		var about []string
		for _, w := range p.subject() {
			if s, is := w.(styled); is {
				w = s.text
			}
			about = append(about, fmt.Sprint(w))
		}
		add("subject", strings.Join(about, " "))
	} else {
		out.Badge = badge{"doubt", "not signed"}
	}
	add("names the repository", e.Repository)
	for i, key := range slices.Sorted(maps.Keys(e.Annotations)) {
		if i == maxShown {
			add("not shown", fmt.Sprintf("%d more annotations", len(e.Annotations)-maxShown))
			break
		}
		add("annotation", key+"="+e.Annotations[key])
	}
	for _, j := range e.Judged[:min(len(e.Judged), maxShown)] {
		q := reportRequirement{Badge: badge{"bad", "does not count"}, Title: shown(b.requirements[j.Requirement]), Path: shown(j.Requirement), Detail: shown(string(j.Reason) + ": " + j.Detail)}
		if j.Reason == verify.ReasonCounted {
			q.Badge, q.Detail = badge{"good", "counts"}, shown(j.Detail)
		}
		out.Judged = append(out.Judged, q)
	}
	return out
}

// configFacts are some of the image's own config: what it runs, and as whom. What
// cannot be read is left out: the report says what inspect has found, and no more.
func (i *inspector) configFacts(ctx context.Context, digest name.Digest) (all []fact) {
	m, err := registry.ReadManifest(ctx, i.place.store, digest)
	if err != nil {
		return nil
	}
	image, err := v1.ParseManifest(bytes.NewReader(m.Bytes))
	if err != nil || !image.Config.MediaType.IsConfig() || image.Config.Size > maxConfigBytes {
		return nil
	}
	text, err := registry.ReadBlob(ctx, i.place.store, digest.Context().Digest(image.Config.Digest.String()), image.Config.Size)
	if err != nil {
		return nil
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	var layers int64
	for _, l := range image.Layers {
		layers += max(l.Size, 0)
	}
	add := func(name, value string) {
		if value != "" {
			all = append(all, fact{name, shown(value)})
		}
	}
	if p := config.Platform(); p != nil {
		add("Platform", p.String())
	}
	add("Created", timeOf(config.Created.Time))
	add("User", cmp.Or(config.Config.User, "not set: root, unless the base says otherwise"))
	add("Entrypoint", quoted(config.Config.Entrypoint))
	add("Command", quoted(config.Config.Cmd))
	add("Exposed ports", strings.Join(slices.Sorted(maps.Keys(config.Config.ExposedPorts)), ", "))
	add("Layers", fmt.Sprintf("%d, %s compressed", len(image.Layers), size(layers)))
	return all
}

// quoted is a command line, each word in quotes.
func quoted(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("%.*q", maxText, words[:min(len(words), maxShown)])
}

// timeOf is a time for people; empty: none.
func timeOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006, 15:04:05 UTC")
}
