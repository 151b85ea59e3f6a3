package policy

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
)

// descriptions are the comments of the types of a policy file and of their fields, as the
// reference prints them. A test writes the file.
//
//go:embed descriptions.json
var descriptions []byte

// Schema is the JSON Schema (2020-12) of policy files, for editors. Parse checks more than
// the schema says, such as names, patterns and bounds.
func Schema() ([]byte, error) { return SchemaWith(nil) }

// SchemaWith is Schema that describes the settings of the authorities that are linked, as
// far as they are each a DescribedAuthority.
func SchemaWith(linked map[string]Authority) ([]byte, error) {
	var texts map[string]map[string]string
	if err := json.Unmarshal(descriptions, &texts); err != nil {
		return nil, fmt.Errorf("descriptions of the policy's fields: %w", err)
	}
	fields, structs := fieldKeywords(), structKeywords()
	schema := jsonschema.Of(reflect.TypeFor[Policy](), "Hallmark policy, version 1", jsonschema.Options{
		Known: map[reflect.Type]map[string]any{
			reflect.TypeFor[Mode]():            oneOfTexts(string(ModeEnforce), string(ModeWarn)),
			reflect.TypeFor[AgeFrom]():         oneOfTexts(string(AgeFromSignature)),
			reflect.TypeFor[json.RawMessage](): {"type": []any{"string", "number", "boolean"}},
			reflect.TypeFor[Duration]():        jsonschema.Duration(),
		},
		Field: func(owner reflect.Type, name string) map[string]any {
			return jsonschema.Described(fields[owner.Name()+"."+name], texts[owner.Name()][name])
		},
		Struct: func(t reflect.Type) map[string]any {
			return jsonschema.Described(structs[t.Name()], texts[t.Name()][""])
		},
	})
	for _, name := range slices.Sorted(maps.Keys(linked)) {
		if a, ok := linked[name].(DescribedAuthority); ok {
			identities, timestamps := a.SettingsSchema()
			describe(schema, "Identity", name, identities)
			describe(schema, "Timestamps", name, timestamps)
		}
	}
	return jsonschema.Text(schema)
}

// describe adds to the definition of a type what its settings are for an authority.
func describe(schema map[string]any, of, authority string, settings map[string]any) {
	if settings == nil {
		return
	}
	def := schema["$defs"].(map[string]any)[of].(map[string]any)
	cases, _ := def["allOf"].([]any)
	def["allOf"] = append(cases, when("authority", map[string]any{"const": authority}, map[string]any{"properties": map[string]any{"settings": settings}}))
}

// when is the schema of objects that are as then says if a member is as is says.
func when(member string, is, then map[string]any) map[string]any {
	return map[string]any{"if": map[string]any{"properties": map[string]any{member: is}, "required": []any{member}}, "then": then}
}

func oneOfTexts(all ...string) map[string]any {
	return map[string]any{"type": "string", "enum": texts(all)}
}

func texts(all []string) []any {
	list := make([]any, 0, len(all))
	for _, text := range all {
		list = append(list, text)
	}
	return list
}

// shaped is a string of a form, which an editor explains with an example.
func shaped(pattern, example string) map[string]any {
	return map[string]any{"pattern": pattern, "patternErrorMessage": "Write it as in " + example + "."}
}

// needs are the members without which an object lacks what others of its members need.
func needs(fields map[string][]string) map[string]any {
	all := make(map[string]any)
	for member, needed := range fields {
		all[member] = texts(needed)
	}
	return all
}

// namesOf are the names of the fields in files that a struct itself declares.
func namesOf(t reflect.Type, but ...string) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if name := jsonschema.NameOf(f); name != "" && !f.Anonymous && !slices.Contains(but, name) {
			names = append(names, name)
		}
	}
	return names
}

// without refuses members of an object.
func without(names []string) map[string]any {
	none := make(map[string]any)
	for _, name := range names {
		none[name] = false
	}
	return none
}

// atLeastOne is the schema of objects that have one or more of some members.
func atLeastOne(names []string) []any {
	var all []any
	for _, name := range names {
		all = append(all, map[string]any{"required": []any{name}})
	}
	return all
}
