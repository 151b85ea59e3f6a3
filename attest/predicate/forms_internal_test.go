package predicate

import "testing"

func TestForms_TextsThatAreAlmostRight(t *testing.T) {
	const context, uuid = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79"
	if got := spdx3Version(context); got != "3.0.1" {
		t.Errorf("%s is of version %q", context, got)
	}
	for _, url := range []string{"https://spdx.org/rdf/3.x/spdx-context.jsonld", "https://spdx.org/rdf/2.3/spdx-context.jsonld", "https://spdx.org/rdf/3.0.1/", ""} {
		if got := spdx3Version(url); got != "" {
			t.Errorf("%s is of version %q", url, got)
		}
	}
	if !isUUID(uuid) {
		t.Errorf("%s is refused", uuid)
	}
	for _, text := range []string{uuid[:len(uuid)-1], "urn:uuid:3E671687-395b-41f5-a30f-a58921a69b79", uuid[len("urn:uuid:"):], "urn:uuid:1-2-3-4-5"} {
		if isUUID(text) {
			t.Errorf("%s passes", text)
		}
	}
	for level, want := range map[string]string{
		"SLSA_BUILD_LEVEL_3": "SLSA_BUILD", "SLSA_BUILD_LEVEL_UNEVALUATED": "SLSA_BUILD",
		"SLSA_build_LEVEL_3": "", "SLSA__LEVEL_3": "", "SLSA_BUILD_LEVEL_33": "", "BUILD_LEVEL_3": "",
	} {
		if got := slsaTrack(level); got != want {
			t.Errorf("%s is of track %q, want %q", level, got, want)
		}
	}
}
