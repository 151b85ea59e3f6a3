package verify

import (
	"slices"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// read parses a statement of a type that has conditions. What no condition of the
// requirement reads may be of any form; all else must be what the type says.
func (a *AttestationRequirement) read(s *statement) (*predicate.Document, *problem) {
	if a.kind() == kindOther { // whatever it says
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
func (a *AttestationRequirement) unread(predicateType string) []string {
	switch a.kind() {
	case kindProvenance:
		if predicateType == predicate.TypeProvenance02 {
			return a.unreadOfProvenance02()
		}
		return a.unreadOfProvenance()
	case kindScan:
		return []string{"invocation", "scanner.uri", "scanner.version", "scanner.db", "scanner.result[].annotations", "metadata.scanStartedOn"}
	case kindSBOM:
		return []string{
			"SPDXID", "dataLicense", "name", "documentNamespace", "creationInfo", "packages", "files", "snippets", "relationships", "@graph",
			"serialNumber", "version", "metadata", "components", "services", "externalReferences", "dependencies", "compositions", "vulnerabilities",
		}
	case kindTest:
		return []string{"configuration", "url", "passedTests", "warnedTests", "failedTests"}
	case kindVSA:
		return a.unreadOfVSA()
	case kindVEX:
		return []string{"@id", "author", "version", "statements"}
	}
	return nil
}

func (q *ProvenanceConditions) readsSources() bool {
	return len(q.Source) > 0 || len(q.Ref) > 0 || len(q.Commit) > 0
}

func (q *ProvenanceConditions) readsParameters() bool {
	return q.Parameters != nil || q.AbsentParameters != nil || q.OnlyKnownParameters
}

func (q *ProvenanceConditions) unreadOfProvenance() []string {
	const dependencies, parameters = "buildDefinition.resolvedDependencies", "buildDefinition.externalParameters"
	unread := []string{
		"buildDefinition.internalParameters", "runDetails.byproducts",
		"runDetails.builder.builderDependencies", "runDetails.builder.version", "runDetails.metadata.invocationId",
	}
	if q.readsSources() {
		return append(unread, dependencies+"[].name", dependencies+"[].mediaType", dependencies+"[].downloadLocation", dependencies+"[].content")
	}
	unread = append(unread, dependencies)
	if !q.readsParameters() {
		unread = append(unread, parameters)
	}
	return unread
}

func (q *ProvenanceConditions) unreadOfProvenance02() []string {
	unread := []string{
		"buildConfig", "invocation.environment", "invocation.configSource.entryPoint",
		"metadata.buildInvocationId", "metadata.completeness", "metadata.reproducible",
	}
	if !q.readsSources() {
		unread = append(unread, "invocation.configSource", "materials")
		if !q.readsParameters() {
			unread = append(unread, "invocation")
		}
	}
	return unread
}

func (q *VSAConditions) unreadOfVSA() []string {
	unread := []string{"inputAttestations", "dependencyLevels", "slsaVersion", "verifier.version"}
	if q.PolicyURI == "" && q.PolicyDigest == "" {
		return append(unread, "policy")
	}
	return slices.Concat(unread, []string{"policy.name", "policy.mediaType", "policy.downloadLocation", "policy.content", "policy.annotations"})
}
