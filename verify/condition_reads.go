package verify

import (
	"slices"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// read parses a statement of a type that has conditions. What no condition of the
// requirement reads may be of any form; all else must be what the type says.
func (a attestation) read(s *statement) (*predicate.Document, *problem) {
	if a.AcceptAnyContent {
		s := predicate.Raw{Type: s.predicateType, JSON: s.predicate}
		if err := s.Validate(); err != nil {
			return nil, &problem{ReasonPredicate, err.Error()}
		}
		return nil, nil
	}
	document, err := predicate.Read(s.predicateType, s.predicate, a.unread(s.predicateType)...)
	if err != nil {
		return nil, &problem{ReasonPredicate, err.Error()}
	}
	return document, nil
}

// unread are the paths of members that no condition reads. Of bills, judgeBill reads
// what it needs itself.
func (a attestation) unread(predicateType string) []string {
	switch {
	case predicateType == predicate.TypeProvenance:
		return a.unreadOfProvenance()
	case predicateType == predicate.TypeProvenance02:
		return a.unreadOfProvenance02()
	case slices.Contains([]string{predicate.TypeCosignVuln, predicate.TypeVulns, predicate.TypeVulns01}, predicateType):
		return []string{"invocation", "scanner.uri", "scanner.version", "scanner.db", "scanner.result[].annotations", "metadata.scanStartedOn"}
	case predicate.SameType(predicateType, predicate.TypeSPDX), predicate.SameType(predicateType, predicate.TypeCycloneDX):
		return []string{
			"SPDXID", "dataLicense", "name", "documentNamespace", "creationInfo", "packages", "files", "snippets", "relationships", "@graph",
			"serialNumber", "version", "metadata", "components", "services", "externalReferences", "dependencies", "compositions", "vulnerabilities",
		}
	case predicateType == predicate.TypeTestResult:
		return []string{"configuration", "url", "passedTests", "warnedTests", "failedTests"}
	case predicateType == predicate.TypeVSA:
		return a.unreadOfVSA()
	case isVEX(predicateType):
		return []string{"@id", "author", "version", "statements"}
	}
	return nil
}

func (a attestation) readsSources() bool {
	return len(a.Source) > 0 || len(a.Ref) > 0 || len(a.Commit) > 0
}

func (a attestation) readsParameters() bool {
	return a.Parameters != nil || a.AbsentParameters != nil || a.OnlyKnownParameters
}

func (a attestation) unreadOfProvenance() []string {
	const dependencies, parameters = "buildDefinition.resolvedDependencies", "buildDefinition.externalParameters"
	unread := []string{
		"buildDefinition.internalParameters", "runDetails.byproducts",
		"runDetails.builder.builderDependencies", "runDetails.builder.version", "runDetails.metadata.invocationId",
	}
	if a.readsSources() {
		return append(unread, dependencies+"[].name", dependencies+"[].mediaType", dependencies+"[].downloadLocation", dependencies+"[].content")
	}
	unread = append(unread, dependencies)
	if !a.readsParameters() {
		unread = append(unread, parameters)
	}
	return unread
}

func (a attestation) unreadOfProvenance02() []string {
	unread := []string{
		"buildConfig", "invocation.environment", "invocation.configSource.entryPoint",
		"metadata.buildInvocationId", "metadata.completeness", "metadata.reproducible",
	}
	if !a.readsSources() {
		unread = append(unread, "invocation.configSource", "materials")
		if !a.readsParameters() {
			unread = append(unread, "invocation")
		}
	}
	return unread
}

func (a attestation) unreadOfVSA() []string {
	unread := []string{"inputAttestations", "dependencyLevels", "slsaVersion", "verifier.version"}
	if a.PolicyURI == "" && a.PolicyDigest == "" {
		return append(unread, "policy")
	}
	return slices.Concat(unread, []string{"policy.name", "policy.mediaType", "policy.downloadLocation", "policy.content", "policy.annotations"})
}
