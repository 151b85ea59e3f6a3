package verify

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// kindOf is what an attestation requirement is about, by the conditions that its
// type has.
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

// typeName is how a policy calls both versions of SLSA provenance.
const typeName = "slsaprovenance"

// layoutName is how a policy calls an in-toto layout.
const layoutName = "intoto"

// versionedTypes have URIs that may end in the document's version.
var versionedTypes = []string{predicate.TypeSPDX, predicate.TypeCycloneDX, predicate.TypeOpenVEX}

// uris are the predicate types that meet the requirement.
func (a *AttestationRequirement) uris() []string {
	if a.Type == layoutName {
		return []string{steps.TypeLinkSet}
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

// isOfType reports whether a predicate type is the one of a URI, or, where that
// type is versioned, a version of it.
func isOfType(predicateType, uri string) bool {
	rest, begins := strings.CutPrefix(predicateType, uri)
	return begins && (rest == "" || strings.HasPrefix(rest, "/v") && slices.Contains(versionedTypes, uri))
}

func (a *AttestationRequirement) kind() kindOf {
	switch uris := a.uris(); {
	case a.Type == layoutName:
		return kindLayout
	case len(uris) == 0:
		return kindOther
	case uris[0] == predicate.TypeProvenance, uris[0] == predicate.TypeProvenance02:
		return kindProvenance
	case uris[0] == predicate.TypeCosignVuln, uris[0] == predicate.TypeVulns, uris[0] == predicate.TypeVulns01:
		return kindScan
	case isOfType(uris[0], predicate.TypeSPDX), isOfType(uris[0], predicate.TypeCycloneDX):
		return kindSBOM
	case uris[0] == predicate.TypeTestResult:
		return kindTest
	case uris[0] == predicate.TypeVSA:
		return kindVSA
	case isOfType(uris[0], predicate.TypeOpenVEX):
		return kindVEX
	}
	return kindOther
}

// check refuses a requirement that cannot mean what it says.
func (a *AttestationRequirement) check() error {
	kind, uris := a.kind(), a.uris()
	switch {
	case a.Type == "" || uris == nil:
		return fmt.Errorf("needs a type: a short name such as %s, vuln, spdx or cyclonedx, or an absolute URI", typeName)
	case slices.Contains(uris, intoto.PredicateSignature):
		return fmt.Errorf("has the type of signatures, which are no attestations: require a signature")
	}
	if err := a.emptyLists(); err != nil {
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
		{[]kindOf{kindProvenance, kindScan, kindVSA, kindVEX}, setNames(map[string]bool{"maxAge": a.MaxAge != 0})},
	} {
		if len(group.set) > 0 && !slices.Contains(group.kinds, kind) {
			return fmt.Errorf("has %s, which type %s does not have", strings.Join(group.set, " and "), a.Type)
		}
	}
	switch kind {
	case kindOther:
		if !a.AcceptAnyContent {
			return fmt.Errorf("has the type %.200s, which has no conditions: whatever such a statement says would meet it; write acceptAnyContent: true if that is meant", a.Type)
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
		if _, err := steps.ReadLayout(a.LayoutEnvelope); err != nil {
			return fmt.Errorf("has no usable layout: %w", err)
		}
	}
	return nil
}

// emptyLists refuses lists that are given and empty. They would mean that anything
// is accepted, and whoever empties a list may mean that nothing is.
func (a *AttestationRequirement) emptyLists() error {
	return emptyLists(map[string]bool{
		"builder": isEmpty(a.Builder), "source": isEmpty(a.Source), "ref": isEmpty(a.Ref), "commit": isEmpty(a.Commit), "buildType": isEmpty(a.BuildType),
		"absentParameters": isEmpty(a.AbsentParameters), "knownParameters": isEmpty(a.KnownParameters), "parameters": a.Parameters != nil && len(a.Parameters) == 0,
		"accept": isEmpty(a.Accept), "denyPackages": isEmpty(a.DenyPackages), "denyLicenses": isEmpty(a.DenyLicenses), "result": isEmpty(a.Result),
		"verifier": isEmpty(a.Verifier), "resource": isEmpty(a.Resource), "verifiedLevels": isEmpty(a.VerifiedLevels),
	})
}

// isEmpty reports whether a list is given, with nothing in it.
func isEmpty[T any](list []T) bool { return list != nil && len(list) == 0 }

func emptyLists(empty map[string]bool) error {
	if names := setNames(empty); len(names) > 0 {
		return fmt.Errorf("has nothing in %s: leave it out for any, or say what is accepted", strings.Join(names, " and "))
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

// judge says whether a verified statement about the image meets the requirement;
// until is when it stops to, by itself.
func (a *AttestationRequirement) judge(s *statement, c *circumstances) (until time.Time, p *problem) {
	document, p := a.read(s)
	if p != nil {
		return time.Time{}, p
	}
	if document == nil {
		return a.judgeAge(time.Time{}, c)
	}
	var stated time.Time
	switch v := document.Value().(type) {
	case *predicate.Provenance, *predicate.Provenance02:
		view := viewProvenance(v)
		view.unreadable = view.unreadable || a.readsParameters() && hidesParameters(v, s.predicate)
		stated, p = view.finished, a.ProvenanceConditions.judge(view, c)
	case *predicate.CosignVuln:
		stated = v.Metadata.ScanFinishedOn
		until, p = a.judgeReport(v, c)
	case *predicate.Vulns:
		stated = v.Metadata.ScanFinishedOn
		until, p = a.judgeFindings(findingsOf(v), c)
	case *predicate.VSA:
		stated, p = v.TimeVerified, a.VSAConditions.judge(v, c)
	case *predicate.TestResult:
		p = a.judgeTests(v)
	case *predicate.SPDX, *predicate.CycloneDX:
		p = a.judgeBill(document)
	case *predicate.OpenVEX:
		stated, _ = time.Parse(time.RFC3339, v.Timestamp)
	}
	if p != nil {
		return time.Time{}, p
	}
	ends, p := a.judgeAge(stated, c)
	return earlier(until, ends), p
}

// judgeAge compares the time that a statement states with the clock. A time that
// is stated must not lie in the future, also where no age is asked for.
func (a *AttestationRequirement) judgeAge(stated time.Time, c *circumstances) (time.Time, *problem) {
	if !stated.IsZero() && stated.After(c.now.Add(c.skew)) {
		return time.Time{}, problemf(ReasonFuture, "it states the time %s, and now is %s", stated.UTC().Format(time.RFC3339), c.now.UTC().Format(time.RFC3339))
	}
	if a.MaxAge == 0 {
		return time.Time{}, nil
	}
	if stated.IsZero() {
		return time.Time{}, problemf(ReasonStale, "it does not say how old it is")
	}
	ends := stated.Add(time.Duration(a.MaxAge))
	if !c.now.Before(ends) {
		return time.Time{}, problemf(ReasonStale, "it is of %s, older than %s", stated.UTC().Format(time.RFC3339), time.Duration(a.MaxAge))
	}
	return ends, nil
}

// uriForm is an absolute URI in ASCII.
var uriForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$`)

// checkURIs refuses what no URI in a statement could be equal to.
func checkURIs(field string, all []string) error {
	for _, u := range all {
		if !uriForm.MatchString(u) {
			return fmt.Errorf("has in %s %.200q, which is no absolute URI", field, u)
		}
	}
	return nil
}
