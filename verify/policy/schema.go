package policy

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
)

// Schema is the JSON Schema (2020-12) of policy files, for editors. Parse checks more than
// the schema says: names, patterns, and fields that exclude one another.
func Schema() ([]byte, error) { return SchemaWith(nil) }

// SchemaWith is Schema that describes the settings of the authorities that are linked, as
// far as they are each a DescribedAuthority.
func SchemaWith(linked map[string]Authority) ([]byte, error) {
	known := map[reflect.Type]map[string]any{
		reflect.TypeFor[Mode]():            {"type": "string", "enum": []any{string(ModeEnforce), string(ModeWarn)}},
		reflect.TypeFor[AgeFrom]():         {"type": "string", "enum": []any{string(AgeFromSignature)}},
		reflect.TypeFor[json.RawMessage](): {"type": []any{"string", "number", "boolean"}},
		reflect.TypeFor[Duration]():        {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(h|m|s|ms))+$"},
	}
	schema := jsonschema.Of(reflect.TypeFor[Policy](), "Hallmark policy, version 1", known)
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
	def["allOf"] = append(cases, map[string]any{
		"if":   map[string]any{"properties": map[string]any{"authority": map[string]any{"const": authority}}, "required": []any{"authority"}},
		"then": map[string]any{"properties": map[string]any{"settings": settings}},
	})
}
