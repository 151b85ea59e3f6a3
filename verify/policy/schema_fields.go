package policy

import (
	"maps"
	"reflect"
	"slices"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// absoluteURI is the pattern of absolute URIs in ASCII.
const absoluteURI = `^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$`

// fieldKeywords are what the schema says of fields besides their types and comments.
func fieldKeywords() map[string]map[string]any {
	digest := shaped(`^sha256:[0-9a-f]{64}$`, "sha256: and 64 lower-case hex digits")
	count := map[string]any{"minimum": 1} // a zero would count as not given
	filled := map[string]any{"minItems": 1}
	uri := map[string]any{"minItems": 1, "items": withType(shaped(absoluteURI, "https://ci.example/builder"))}
	level := map[string]any{"type": "integer", "minimum": 1, "maximum": 4}
	return map[string]map[string]any{
		"Policy.version":  {"const": 1},
		"Policy.serial":   count,
		"Policy.builders": {"additionalProperties": level},
		"Policy.rules":    filled,
		"Policy.files":    filled,

		"Role.threshold":      count,
		"DeniedDigest.digest": digest,

		"Limits.maxItems":        count,
		"Limits.maxReferrers":    count,
		"Limits.maxPayloadBytes": {"minimum": 1, "maximum": maxPayloadBytes},
		"Limits.maxTotalBytes":   count,

		"Rule.images":       filled,
		"Rule.require":      filled,
		"Requirement.anyOf": filled,
		"Requirement.allOf": filled,

		"AttestationRequirement.type": {"anyOf": []any{
			map[string]any{"enum": texts(typeNames())}, shaped(absoluteURI, "https://acme.example/approval/v1"),
		}},
		"AttestationRequirement.where": filled,
		"MemberCondition.pointer":      shaped(`^/([^~]|~[01])*$`, "/ticket/state, with ~1 for / and ~0 for ~"),
		"MemberCondition.in":           filled,
		"MemberCondition.matches":      filled,
		"MemberCondition.atMost":       {"type": "number"},
		"MemberCondition.atLeast":      {"type": "number"},

		"ProvenanceConditions.builder":          uri,
		"ProvenanceConditions.minLevel":         level,
		"ProvenanceConditions.source":           filled,
		"ProvenanceConditions.ref":              filled,
		"ProvenanceConditions.commit":           {"minItems": 1, "items": withType(shaped(`^([0-9a-f]{40}|[0-9a-f]{64})$`, "40 or 64 lower-case hex digits"))},
		"ProvenanceConditions.buildType":        filled,
		"ProvenanceConditions.parameters":       {"minProperties": 1},
		"ProvenanceConditions.absentParameters": filled,
		"ProvenanceConditions.knownParameters":  filled,

		"ScanConditions.maxSeverity":      oneOfTexts(severities()...),
		"ScanConditions.accept":           filled,
		"DocumentConditions.denyPackages": filled,
		"DocumentConditions.denyLicenses": filled,
		"DocumentConditions.result":       {"minItems": 1, "items": oneOfTexts(predicate.TestsPassed, predicate.TestsWarned, predicate.TestsFailed)},
		"VSAConditions.verifier":          uri,
		"VSAConditions.resource":          filled,
		"VSAConditions.verifiedLevels":    filled,
		"VSAConditions.policyDigest":      digest,

		"ConfigRequirement.baseImages": filled,
		"ConfigRequirement.platforms":  {"minItems": 1, "items": withType(shaped(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$`, "linux/amd64"))},
	}
}

func withType(text map[string]any) map[string]any {
	typed := maps.Clone(text)
	typed["type"] = "string"
	return typed
}

// severities are the values of maxSeverity, the best first.
func severities() []string {
	all := []string{SeverityNone}
	for s := predicate.SeverityNegligible; s >= predicate.SeverityCritical; s-- {
		all = append(all, s.String())
	}
	return all
}

// structKeywords are what the schema says of structs besides their fields.
func structKeywords() map[string]map[string]any {
	key, role, member := reflect.TypeFor[Key](), reflect.TypeFor[Role](), reflect.TypeFor[MemberCondition]()
	keySource, members := []string{"pem", "file"}, namesOf(role, "threshold")
	operators := namesOf(member, "pointer", "absent")
	several := map[string]any{"minItems": 2}
	return map[string]map[string]any{
		"Policy": {
			"if":   map[string]any{"properties": map[string]any{"rules": map[string]any{"items": isTrue("deny")}}},
			"then": map[string]any{"properties": without([]string{"files"})},
			"else": map[string]any{"required": []any{"roles"}, "anyOf": atLeastOne([]string{"keys", "identities"})},
		},
		key.Name(): {"oneOf": atLeastOne(keySource), "dependentRequired": needs(map[string][]string{"standsBefore": {"revoked"}})},
		role.Name(): {"anyOf": atLeastOne(members), "allOf": []any{
			when(members[0], several, map[string]any{"required": []any{"threshold"}}), when(members[1], several, map[string]any{"required": []any{"threshold"}}),
			map[string]any{"if": map[string]any{"required": texts(members)}, "then": map[string]any{"required": []any{"threshold"}}},
		}},
		"Rule": {
			"if": map[string]any{"properties": map[string]any{"deny": map[string]any{"not": map[string]any{"const": false}}}, "required": []any{"deny"}},
			"then": map[string]any{"required": []any{"reason"}, "properties": map[string]any{
				"require": false, "evidenceRepository": false, "separateDuties": map[string]any{"const": false}, "mode": map[string]any{"const": string(ModeEnforce)},
			}},
			"else": map[string]any{"required": []any{"require"}, "properties": without([]string{"reason"})},
		},
		"Requirement":       {"minProperties": 1, "maxProperties": 1},
		"ConfigRequirement": {"minProperties": 1},
		member.Name(): {
			"if": isTrue("absent"), "then": map[string]any{"properties": without(operators)}, "else": map[string]any{"anyOf": atLeastOne(operators)},
		},
		"AttestationRequirement": {"allOf": conditionsByType(), "dependentRequired": needs(map[string][]string{
			"maxAgeFrom": {"maxAge"}, "vexMaxAge": {"vexBy"}, "knownParameters": {"onlyKnownParameters"},
		})},
	}
}

// isTrue is the schema of objects with a member that is true.
func isTrue(member string) map[string]any {
	return map[string]any{"properties": map[string]any{member: map[string]any{"const": true}}, "required": []any{member}}
}

// conditionsOf are the groups of conditions that only some types have, and the ones of
// these without which the requirement is refused.
func conditionsOf() map[kindOf]struct{ has, needed []string } {
	documents := namesOf(reflect.TypeFor[DocumentConditions](), "result")
	return map[kindOf]struct{ has, needed []string }{
		kindProvenance: {namesOf(reflect.TypeFor[ProvenanceConditions]()), []string{"builder"}},
		kindScan:       {namesOf(reflect.TypeFor[ScanConditions]()), []string{"maxSeverity"}},
		kindSBOM:       {documents, nil},
		kindTest:       {[]string{"result"}, nil},
		kindVSA:        {namesOf(reflect.TypeFor[VSAConditions]()), []string{"verifier"}},
		kindVEX:        {nil, nil},
		kindLayout:     {namesOf(reflect.TypeFor[LinkConditions]()), []string{"layout"}},
		kindOther:      {[]string{"acceptAnyContent"}, nil},
	}
}

// conditionsByType are the cases of a requirement's type: what each needs, and what it
// must not have.
func conditionsByType() []any {
	var cases, known []any
	groups := conditionsOf()
	for kind := kindOther + 1; kind <= kindLayout; kind++ {
		is := typesOf(kind)
		known = append(known, is...)
		cases = append(cases, when("type", map[string]any{"anyOf": is}, groupOf(kind, groups[kind].needed)))
	}
	other := groupOf(kindOther, nil)
	// Conditions on content are all that a requirement itself declares, but for these.
	other["anyOf"] = atLeastOne(namesOf(reflect.TypeFor[AttestationRequirement](), "type", "by", "maxAge", "maxAgeFrom"))
	unknown := map[string]any{"not": map[string]any{"anyOf": known}, "pattern": absoluteURI}
	return append(cases, when("type", map[string]any{"anyOf": append(typesOf(kindOther), unknown)}, other))
}

// groupOf is the schema of a requirement of a kind: without the conditions of others.
func groupOf(kind kindOf, needed []string) map[string]any {
	var others []string
	for other, group := range conditionsOf() {
		if other != kind {
			others = append(others, group.has...)
		}
	}
	schema := map[string]any{"properties": without(others)}
	switch kind {
	case kindOther, kindSBOM, kindTest: // nothing in them tells their age
		schema["dependentRequired"] = needs(map[string][]string{"maxAge": {"maxAgeFrom"}})
	case kindLayout:
		schema["properties"] = without(append(others, "maxAge", "maxAgeFrom", "where"))
	}
	if len(needed) > 0 {
		schema["required"] = texts(needed)
	}
	return schema
}

// typesOf are schemas of the types of a kind: their names, and the URIs of versions.
func typesOf(kind kindOf) []any {
	var versions []any
	names := slices.DeleteFunc(typeNames(), func(name string) bool { return (&AttestationRequirement{Type: name}).kind() != kind })
	for _, t := range predicate.Types() {
		if (&AttestationRequirement{Type: t.URI}).kind() != kind {
			continue
		}
		names = append(names, t.URI)
		if predicate.SameType(t.URI+"/v1", t.URI) {
			versions = append(versions, map[string]any{"pattern": "^" + t.URI + "/v"})
		}
	}
	return append([]any{map[string]any{"enum": texts(names)}}, versions...)
}

// typeNames are the short names that a requirement may give as its type.
func typeNames() []string {
	names := []string{typeName, layoutName}
	for _, t := range predicate.Types() {
		for _, name := range append([]string{t.Name}, t.Aliases...) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
