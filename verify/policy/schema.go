package policy

import (
	"encoding/json"
	"reflect"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
)

// Schema is the JSON Schema (2020-12) of policy files, for editors. Parse checks more than
// the schema says: names, patterns, and fields that exclude one another.
func Schema() ([]byte, error) {
	known := map[reflect.Type]map[string]any{
		reflect.TypeFor[Mode]():            {"type": "string", "enum": []any{string(ModeEnforce), string(ModeWarn)}},
		reflect.TypeFor[json.RawMessage](): {"type": []any{"string", "number", "boolean"}},
		reflect.TypeFor[Duration]():        {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(h|m|s|ms))+$"},
	}
	return jsonschema.Text(jsonschema.Of(reflect.TypeFor[Policy](), "Hallmark policy, version 1", known))
}
