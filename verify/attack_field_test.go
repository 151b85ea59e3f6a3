package verify_test

import (
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

// A bill that lists nothing, or leaves its list to another document, shows no absence.
func TestAttack_E23_BillsWithoutTheirListAreDenied(t *testing.T) {
	cdx := func(more string) says {
		return says{predicate.TypeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6"` + more + `}`}
	}
	spdx := func(more string) says { return says{predicate.TypeSPDX, `{"spdxVersion":"SPDX-2.3"` + more + `}`} }
	const other = `"externalReferences":[{"type":"website","url":"https://a.example"},{"type":"bom","url":"urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1"}]`
	for label, c := range map[string]struct {
		s     says
		words string
	}{
		"cyclonedx without lists":       {cdx(""), "lists nothing"},
		"cyclonedx, empty list":         {cdx(`,"components":[]`), "lists nothing"},
		"cyclonedx elsewhere":           {cdx(`,"components":[{"name":"a"}],` + other), "externalReferences[1] refers to another bill"},
		"cyclonedx, component":          {cdx(`,"components":[{"name":"a",` + other + `}]`), "components[0].externalReferences[1] refers to another bill"},
		"cyclonedx, nested":             {cdx(`,"components":[{"name":"a","components":[{"name":"b",` + other + `}]}]`), "components[0].components[0].externalReferences[1]"},
		"cyclonedx, its subject":        {cdx(`,"components":[{"name":"a"}],"metadata":{"component":{"name":"b",` + other + `}}`), "metadata.component.externalReferences[1]"},
		"cyclonedx, service":            {cdx(`,"services":[{"name":"a",` + other + `}]`), "services[0].externalReferences[1]"},
		"cyclonedx, one reference":      {cdx(`,"components":[{"name":"a"}],"externalReferences":{"type":" BOM "}`), "refers to another bill"},
		"cyclonedx, Type":               {cdx(`,"components":[{"name":"a"}],"externalReferences":[{"Type":"bom"}]`), "other readers take for"},
		"cyclonedx, second document":    {cdx(`,"components":[{"name":"a"}],"data":{"components":[{"name":"left-pad"}]}`), "second document in data"},
		"cyclonedx, document in a text": {cdx(`,"components":[{"name":"a"}],"DATA":"{}"`), "second document in DATA"},
		"spdx without lists":            {spdx(""), "lists nothing"},
		"spdx, empty list":              {spdx(`,"packages":[],"files":[]`), "lists nothing"},
		"spdx elsewhere":                {spdx(`,"packages":[{"name":"a"}],"externalDocumentRefs":[{"externalDocumentId":"DocumentRef-x","spdxDocument":"https://a.example"}]`), "externalDocumentRefs[0] refers to another document"},
		"spdx, ExternalDocumentRefs":    {spdx(`,"packages":[{"name":"a"}],"ExternalDocumentRefs":[]`), "other readers take for"},
	} {
		for _, condition := range []string{"denyPackages: [left-pad]", "denyLicenses: [AGPL-3.0-only]"} {
			t.Run(label+" "+condition, func(t *testing.T) { denied(t, billRequired(c.s, condition), c.s, verify.ReasonPredicate, c.words) })
		}
		bare := "attestation: {type: " + map[bool]string{true: "spdx", false: "cyclonedx"}[c.s.uri == predicate.TypeSPDX] + ", by: builder}"
		if _, err := required(t, bare, c.s); err != nil {
			t.Errorf("%s, nothing denied: %v", label, err)
		}
	}
	for _, s := range []says{
		cdx(`,"components":[{"name":"a","externalReferences":[{"type":"vcs","url":"https://a.example"}]}],"externalReferences":null`),
		spdx(`,"packages":[{"name":"a"}],"externalDocumentRefs":null`), spdx(`,"packages":[{"name":"a"}],"externalDocumentRefs":[]`),
	} {
		if _, err := required(t, billRequired(s, "denyPackages: [left-pad], denyLicenses: [AGPL-3.0-only]"), s); err != nil {
			t.Errorf("%s: %v", s.text, err)
		}
	}
}

// Programs that read JSON without regard to case would take one parameter for another.
func TestAttack_E23_ParametersInAnotherCaseAreNotAbsent(t *testing.T) {
	require := func(more string) string {
		return "attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder], " + more + "}"
	}
	v02 := func(parameters string) says {
		return says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"x","invocation":{"parameters":` + parameters + `}}`}
	}
	v1 := func(parameters string) says {
		return says{predicate.TypeProvenance, `{"buildDefinition":{"buildType":"x","externalParameters":` + parameters + `},"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`}
	}
	for _, make := range []func(string) says{v02, v1} {
		for _, c := range []struct {
			require, parameters string
			reason              verify.Reason
		}{
			{"absentParameters: [target]", `{"Target":"debug"}`, verify.ReasonParameters},
			{"absentParameters: [Target]", `{"TARGET":null}`, verify.ReasonParameters},
			{"absentParameters: [task]", `{"ta\u017fk":1}`, verify.ReasonParameters},
			{"absentParameters: [target]", `{"targets":1}`, ""},
			{"parameters: {target: prod}", `{"Target":"prod"}`, verify.ReasonParameters},
		} {
			s := make(c.parameters)
			_, err := required(t, require(c.require), s)
			wantReason(t, err, c.reason)
		}
	}
}

// A large member beside the commit leaves it readable.
func TestSources_ReadBesideLargeMembers(t *testing.T) {
	large := `"` + strings.Repeat("x", 20<<10) + `"`
	const git, digest = `"git+https://git.example/team/app@refs/heads/main"`, `{"sha1":"` + someCommit + `"}`
	for label, s := range map[string]says{
		"v0.2, configSource": {predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"x","invocation":{"configSource":{"uri":` + git + `,"digest":` + digest + `,"entryPoint":` + large + `}}}`},
		"v0.2, materials":    {predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"x","materials":[{"uri":` + git + `,"digest":` + digest + `,"x":` + large + `}]}`},
		"v1, dependencies":   {predicate.TypeProvenance, `{"buildDefinition":{"buildType":"x","externalParameters":{"x":` + large + `},"resolvedDependencies":[{"uri":` + git + `,"digest":` + digest + `,"x":` + large + `}]},"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`},
	} {
		if _, err := required(t, "attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder], commit: ["+someCommit+"]}", s); err != nil {
			t.Errorf("%s: %v", label, err)
		}
	}
}

// No program means the year 0: such a time is not older than others, but not known.
func TestAttack_E23_VEXOfTheYearZeroIsUndated(t *testing.T) {
	x := newVEXWorld(t, "")
	found := x.bundled(scanWith("high", recently), x.c)
	in := func(document, statement string) func(says) says {
		return func(s says) says {
			s.text = strings.Replace(s.text, `"statements":[{`, document+`"statements":[{`+statement, 1)
			return s
		}
	}
	const zero = `"0000-01-01T00:00:00Z"`
	for label, c := range map[string]struct{ excuse, doubt says }{
		"excuse, statement":     {in("", `"timestamp":`+zero+`,`)(dated(vex("not_affected"), recently)), dated(vex("affected"), earlierOn)},
		"excuse, last updated":  {in("", `"last_updated":`+zero+`,`)(dated(vex("not_affected"), recently)), dated(vex("affected"), earlierOn)},
		"excuse, document":      {in(`"last_updated":`+zero+`,`, "")(dated(vex("not_affected"), recently)), dated(vex("affected"), earlierOn)},
		"doubt, statement":      {dated(vex("not_affected"), recently), in("", `"timestamp":`+zero+`,`)(dated(vex("affected"), earlierOn))},
		"doubt, document":       {dated(vex("not_affected"), recently), in(`"last_updated":`+zero+`,`, "")(dated(vex("affected"), earlierOn))},
		"excuse, without doubt": {in("", `"timestamp":`+zero+`,`)(dated(vex("not_affected"), recently)), dated(vex("not_affected"), "0000-01-01T00:00:00Z")},
	} {
		_, err := x.v.Bundles(t.Context(), x.image, found, x.bundled(c.excuse, x.a), x.bundled(c.doubt, x.a))
		if e, ok := err.(*verify.Error); !ok || e.Reason != verify.ReasonVulnerable {
			t.Errorf("%s: %v\n%s\n%s", label, err, c.excuse.text, c.doubt.text)
		}
	}
}
