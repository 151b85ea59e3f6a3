package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/license"
	"github.com/hallmark-oci/hallmark/internal/pattern"
	"github.com/hallmark-oci/hallmark/internal/purl"
	"github.com/hallmark-oci/hallmark/internal/semver"
	"github.com/hallmark-oci/hallmark/internal/uri"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// kindOf is a group of predicate types with the same conditions.
type kindOf int

const (
	kindOther kindOf = iota
	kindProvenance
	kindScan
	kindSBOM
	kindTest
	kindVSA
	kindVEX
	kindLayout
)

// typeName is the policy's name of both versions of SLSA provenance.
const typeName = "slsaprovenance"

// layoutName is the policy's name of an in-toto layout.
const layoutName = "intoto"

// PredicateTypes are the URIs of the predicate types that meet the requirement; see
// predicate.SameType. Nil: Type is not a type.
func (a *AttestationRequirement) PredicateTypes() []string {
	if a.AsksForLinks() {
		return []string{steplayout.TypeLinkSet}
	}
	if a.Type == typeName {
		return []string{predicate.TypeProvenance, predicate.TypeProvenance02}
	}
	t, known := predicate.Lookup(a.Type)
	if !known {
		return nil
	}
	if t.URI == predicate.TypeVulns {
		return []string{predicate.TypeVulns, predicate.TypeVulns01}
	}
	return []string{t.URI}
}

// AsksForLinks reports whether the requirement is about in-toto links, which LayoutEnvelope
// judges.
func (a *AttestationRequirement) AsksForLinks() bool { return a.Type == layoutName }

// HasOwnConditions reports whether the type has conditions of its own. One without needs
// Where or AcceptAnyContent.
func (a *AttestationRequirement) HasOwnConditions() bool { return a.kind() != kindOther }

func (a *AttestationRequirement) kind() kindOf {
	switch uris := a.PredicateTypes(); {
	case a.AsksForLinks():
		return kindLayout
	case len(uris) == 0:
		return kindOther
	case uris[0] == predicate.TypeProvenance, uris[0] == predicate.TypeProvenance02:
		return kindProvenance
	case uris[0] == predicate.TypeCosignVuln, uris[0] == predicate.TypeVulns, uris[0] == predicate.TypeVulns01:
		return kindScan
	case predicate.SameType(uris[0], predicate.TypeSPDX), predicate.SameType(uris[0], predicate.TypeCycloneDX):
		return kindSBOM
	case uris[0] == predicate.TypeTestResult:
		return kindTest
	case uris[0] == predicate.TypeVSA:
		return kindVSA
	case predicate.SameType(uris[0], predicate.TypeOpenVEX):
		return kindVEX
	}
	return kindOther
}

// check refuses a requirement that cannot be intended.
func (a *AttestationRequirement) check() error {
	kind, uris := a.kind(), a.PredicateTypes()
	switch {
	case a.Type == "" || uris == nil:
		return fmt.Errorf("needs a type: a short name such as %s, vuln, spdx or cyclonedx, or an absolute URI", typeName)
	case slices.Contains(uris, intoto.PredicateSignature):
		return fmt.Errorf("has the predicate type of signatures; write a signature requirement instead")
	}
	if err := a.emptyLists(); err != nil {
		return err
	}
	if err := a.checkAge(kind); err != nil {
		return err
	}
	for _, group := range []struct {
		kinds []kindOf
		set   []string
	}{
		{[]kindOf{kindOther}, setNames(map[string]bool{"acceptAnyContent": a.AcceptAnyContent})},
		{[]kindOf{kindProvenance}, a.ProvenanceConditions.set()},
		{[]kindOf{kindScan}, a.ScanConditions.set()},
		{[]kindOf{kindSBOM}, a.setForBills()},
		{[]kindOf{kindTest}, a.setForTests()},
		{[]kindOf{kindVSA}, a.VSAConditions.set()},
		{[]kindOf{kindLayout}, setNames(map[string]bool{"layout": a.Layout != ""})},
	} {
		if len(group.set) > 0 && !slices.Contains(group.kinds, kind) {
			return fmt.Errorf("has %s, which type %s does not have", strings.Join(group.set, " and "), a.Type)
		}
	}
	if err := a.checkMembers(); err != nil {
		return err
	}
	switch kind {
	case kindOther:
		if !a.AcceptAnyContent && len(a.Where)+len(a.CEL) == 0 {
			return fmt.Errorf("has the type %.200s, which has no conditions of its own: any content would meet it; write conditions in where or cel, or acceptAnyContent: true to allow that", a.Type)
		}
	case kindProvenance:
		return a.ProvenanceConditions.check()
	case kindScan:
		return a.ScanConditions.check()
	case kindSBOM:
		return a.checkBills()
	case kindTest:
		return a.checkTests()
	case kindVSA:
		return a.VSAConditions.check()
	case kindLayout:
		if len(a.LayoutEnvelope) == 0 {
			return fmt.Errorf("needs layout: the file of a signed in-toto layout")
		}
		if _, err := steplayout.Read(a.LayoutEnvelope); err != nil {
			return fmt.Errorf("has an unusable layout: %w", err)
		}
	}
	return nil
}

// checkAge refuses an age that cannot be told.
func (a *AttestationRequirement) checkAge(kind kindOf) error {
	dated := slices.Contains([]kindOf{kindProvenance, kindScan, kindVSA, kindVEX}, kind)
	switch {
	case a.MaxAgeFrom != "" && a.MaxAgeFrom != AgeFromSignature:
		return fmt.Errorf("has maxAgeFrom %.40q, want %s", a.MaxAgeFrom, AgeFromSignature)
	case a.MaxAgeFrom != "" && a.MaxAge == 0:
		return fmt.Errorf("has maxAgeFrom without maxAge")
	case a.MaxAgeFrom != "" && kind == kindLayout:
		return fmt.Errorf("has maxAgeFrom, which type %s does not have", a.Type)
	case a.MaxAge != 0 && a.MaxAgeFrom == "" && !dated:
		return fmt.Errorf("has maxAge, which type %s does not have without maxAgeFrom", a.Type)
	}
	return nil
}

// emptyLists refuses lists that are present and empty. They would accept anything, while
// their author may mean to accept nothing.
func (a *AttestationRequirement) emptyLists() error {
	return emptyLists(map[string]bool{
		"builder": isEmpty(a.Builder), "source": isEmpty(a.Source), "ref": isEmpty(a.Ref), "commit": isEmpty(a.Commit), "buildType": isEmpty(a.BuildType),
		"absentParameters": isEmpty(a.AbsentParameters), "knownParameters": isEmpty(a.KnownParameters), "parameters": a.Parameters != nil && len(a.Parameters) == 0,
		"accept": isEmpty(a.Accept), "denyPackages": isEmpty(a.DenyPackages), "denyLicenses": isEmpty(a.DenyLicenses), "result": isEmpty(a.Result),
		"where": isEmpty(a.Where), "cel": isEmpty(a.CEL), "verifier": isEmpty(a.Verifier), "resource": isEmpty(a.Resource), "verifiedLevels": isEmpty(a.VerifiedLevels),
	})
}

// isEmpty reports whether a list is present and empty.
func isEmpty[T any](list []T) bool { return list != nil && len(list) == 0 }

func emptyLists(empty map[string]bool) error {
	if names := setNames(empty); len(names) > 0 {
		return fmt.Errorf("has an empty %s: leave it out to accept any, or list what is accepted", strings.Join(names, " and "))
	}
	return nil
}

// setNames lists the names of fields that are set.
func setNames(fields map[string]bool) (names []string) {
	for name, set := range fields {
		if set {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkEach refuses a text that is there twice, or that check refuses.
func checkEach(field string, all []string, check func(string) error) error {
	seen := make(map[string]bool, len(all))
	for _, text := range all {
		if err := check(text); err != nil {
			return fmt.Errorf("has in %s %w", field, err)
		}
		if seen[text] {
			return fmt.Errorf("has in %s %.200q twice", field, text)
		}
		seen[text] = true
	}
	return nil
}

// checkText refuses text that is compared exactly, and that none equals.
func checkText(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("an empty text")
	case strings.TrimSpace(text) != text:
		return fmt.Errorf("%.200q, which has a space at its beginning or end", text)
	case uri.HasWildcard(text):
		return fmt.Errorf("%.200q, which holds *, and is compared exactly", text)
	}
	return nil
}

func (q *DocumentConditions) setForBills() []string {
	return setNames(map[string]bool{"denyPackages": q.DenyPackages != nil, "denyLicenses": q.DenyLicenses != nil})
}

func (q *DocumentConditions) setForTests() []string {
	return setNames(map[string]bool{"result": q.Result != nil})
}

// checkBills refuses conditions that could never deny. A % at the end of a package URL
// begins no escape: it matches a bill with the same text.
func (q *DocumentConditions) checkBills() error {
	for _, p := range q.DenyPackages {
		switch name := strings.TrimSpace(p); {
		case name == "":
			return fmt.Errorf("has in denyPackages %.200q, which is not a name", p)
		case purl.Is(name) && (name != p || !purl.Readable(strings.TrimSuffix(p, "%"))):
			return fmt.Errorf("has in denyPackages %.200q, which is not a package URL such as pkg:npm/left-pad", p)
		case purl.Is(name) && purl.Plain(p) != purl.Canonical(p):
			return fmt.Errorf("has in denyPackages %.200q: package URLs stand without version, qualifiers and subpath", p)
		}
	}
	for _, l := range q.DenyLicenses {
		if !license.IsIdentifier(l) {
			return fmt.Errorf("has in denyLicenses %.100q, which is not an SPDX identifier; write identifiers without a trailing +", l)
		}
	}
	return nil
}

func (q *DocumentConditions) checkTests() error {
	for _, r := range q.Result {
		if r != predicate.TestsPassed && r != predicate.TestsWarned && r != predicate.TestsFailed {
			return fmt.Errorf("has in result %.40q, want PASSED, WARNED or FAILED", r)
		}
	}
	return nil
}

func (q *ProvenanceConditions) set() []string {
	return setNames(map[string]bool{
		"builder": q.Builder != nil, "minLevel": q.MinLevel != 0, "source": q.Source != nil, "ref": q.Ref != nil, "commit": q.Commit != nil,
		"buildType": q.BuildType != nil, "parameters": q.Parameters != nil, "absentParameters": q.AbsentParameters != nil,
		"knownParameters": q.KnownParameters != nil, "onlyKnownParameters": q.OnlyKnownParameters, "builtAfter": !q.BuiltAfter.IsZero(),
		"boundToCertificate": q.BoundToCertificate,
	})
}

func (q *ProvenanceConditions) check() error {
	if len(q.Builder) == 0 {
		return fmt.Errorf("needs builder: the builder IDs whose provenance is trusted")
	}
	for _, x := range []struct {
		field string
		list  []string
		check func(string) error
	}{
		{"builder", q.Builder, uri.CheckBuilder}, {"source", q.Source, uri.CheckSource}, {"ref", q.Ref, uri.CheckRef}, {"commit", q.Commit, checkCommit},
		{"buildType", q.BuildType, checkText}, // builders write other text than URIs
		{"absentParameters", q.AbsentParameters, checkName}, {"knownParameters", q.KnownParameters, checkName},
	} {
		if err := checkEach(x.field, x.list, x.check); err != nil {
			return err
		}
	}
	if q.MinLevel < 0 || q.MinLevel > 4 {
		return fmt.Errorf("has minLevel %d, want 1 to 4", q.MinLevel)
	}
	if q.KnownParameters != nil && !q.OnlyKnownParameters {
		return fmt.Errorf("has knownParameters, which says nothing without onlyKnownParameters")
	}
	known := make(map[string]bool, len(q.KnownParameters))
	for _, name := range q.KnownParameters {
		known[name] = true
	}
	for _, name := range q.AbsentParameters {
		if known[name] {
			return fmt.Errorf("wants the parameter %.100q to be known and to be absent", name)
		}
		if _, both := q.Parameters[name]; both {
			return fmt.Errorf("wants the parameter %.100q to have a value and to be absent", name)
		}
	}
	return nil
}

// checkBuilderID refuses what is not the ID of one builder.
func checkBuilderID(id string) error {
	if uri.HasWildcard(id) {
		return fmt.Errorf("%.200q, which holds *: a level is that of one builder", id)
	}
	return uri.CheckBuilder(id)
}

// reachable refuses a level that none of the builders is trusted to reach.
func (q *ProvenanceConditions) reachable(levels map[string]int) error {
	reaches := func(id string) bool { return levels[id] >= q.MinLevel }
	if q.MinLevel == 0 || slices.ContainsFunc(q.Builder, reaches) {
		return nil
	}
	if all := uri.Builders(q.Builder); slices.ContainsFunc(q.Builder, uri.HasWildcard) {
		for id := range maps.Keys(levels) {
			if reaches(id) && all.Has(id) {
				return nil
			}
		}
	}
	return fmt.Errorf("has minLevel %d, which none of its builders is trusted to reach: say so in the policy's builders", q.MinLevel)
}

// checkCommit refuses what is not a commit of git, by SHA-1 or SHA-256.
func checkCommit(text string) error {
	if (len(text) != 40 && len(text) != 64) || strings.Trim(text, "0123456789abcdef") != "" {
		return fmt.Errorf("%.100q, which is not 40 or 64 lower-case hex digits", text)
	}
	return nil
}

// checkName refuses an empty name of a parameter.
func checkName(text string) error {
	if text == "" {
		return errors.New("an empty name")
	}
	return nil
}

// SeverityNone is the maxSeverity that accepts no finding.
const SeverityNone = "none"

func (q *ScanConditions) set() []string {
	return setNames(map[string]bool{"maxSeverity": q.MaxSeverity != "", "accept": q.Accept != nil, "vexBy": q.VEXBy != "", "vexMaxAge": q.VEXMaxAge != 0})
}

func (q *ScanConditions) check() error {
	if _, known := predicate.ParseSeverity(q.MaxSeverity); q.MaxSeverity != SeverityNone && (!known || q.MaxSeverity != strings.ToLower(q.MaxSeverity)) {
		return fmt.Errorf("needs maxSeverity: none, negligible, low, medium, high or critical")
	}
	if q.VEXMaxAge != 0 && q.VEXBy == "" {
		return fmt.Errorf("has vexMaxAge without vexBy")
	}
	for _, a := range q.Accept {
		if a.ID == "" || a.Until.IsZero() || a.Reason == "" {
			return fmt.Errorf("has in accept %.100q: each needs id, until and reason", a.ID)
		}
	}
	return nil
}

func (q *VSAConditions) set() []string {
	return setNames(map[string]bool{
		"verifier": q.Verifier != nil, "resource": q.Resource != nil, "verifiedLevels": q.VerifiedLevels != nil,
		"policyUri": q.PolicyURI != "", "policyDigest": q.PolicyDigest != "",
	})
}

func (q *VSAConditions) check() error {
	if len(q.Verifier) == 0 {
		return fmt.Errorf("needs verifier: the verifier IDs whose summaries are trusted")
	}
	if err := checkEach("verifier", q.Verifier, uri.CheckExact); err != nil {
		return err
	}
	if err := checkEach("resource", q.Resource, checkText); err != nil {
		return err
	}
	if q.PolicyURI != "" {
		if err := checkText(q.PolicyURI); err != nil {
			return fmt.Errorf("has in policyUri %w", err)
		}
	}
	for _, level := range q.VerifiedLevels {
		if strings.HasPrefix(level, "SLSA_") && !isLevel(level) {
			return fmt.Errorf("has in verifiedLevels %.100q, which is not a level such as SLSA_BUILD_LEVEL_3", level)
		}
	}
	if q.PolicyDigest != "" && !isDigest(q.PolicyDigest) {
		return fmt.Errorf("has policyDigest %.100q, want sha256:… with 64 lower-case hex digits", q.PolicyDigest)
	}
	return nil
}

// isLevel reports whether text is a level of a SLSA track.
func isLevel(text string) bool {
	_, _, ok := predicate.SplitLevel(text)
	return ok
}

// check refuses a requirement that cannot be intended.
func (q *ConfigRequirement) check() error {
	if !q.NonRoot && !q.NoSecrets && !q.NoPrivilegedPorts && q.CreatedWithin == 0 && len(q.BaseImages) == 0 && len(q.Platforms) == 0 &&
		len(q.Labels) == 0 && len(q.Annotations) == 0 && q.MinVersion == "" && len(q.CEL) == 0 {
		return fmt.Errorf("is empty: set at least one condition")
	}
	if err := emptyLists(map[string]bool{"baseImages": isEmpty(q.BaseImages), "platforms": isEmpty(q.Platforms), "cel": isEmpty(q.CEL)}); err != nil {
		return err
	}
	for _, p := range q.Platforms {
		if !isPlatform(p) {
			return fmt.Errorf("has in platforms %.100q, want OS/ARCHITECTURE[/VARIANT] as in linux/amd64", p)
		}
	}
	for _, b := range q.BaseImages {
		if _, err := pattern.Parse(b); err != nil && !isDigest(b) {
			return fmt.Errorf("has in baseImages %.200q, which is neither a digest nor a pattern: %w", b, err)
		}
	}
	if _, err := pattern.SetOf(q.BaseImages); err != nil {
		return fmt.Errorf("has baseImages that cannot be compared with one another: %w", err)
	}
	if _, ok := semver.Compare(q.MinVersion, "0.0.0"); q.MinVersion != "" && !ok {
		return fmt.Errorf("has minVersion %.100q, which is not a semantic version such as 1.2.3", q.MinVersion)
	}
	return nil
}

// isPlatform reports whether text is OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT.
func isPlatform(text string) bool {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return false
	}
	for i, more := range []string{"", "_", "."}[:len(parts)] {
		if parts[i] == "" || strings.Trim(parts[i], "abcdefghijklmnopqrstuvwxyz0123456789"+more) != "" {
			return false
		}
	}
	return true
}
