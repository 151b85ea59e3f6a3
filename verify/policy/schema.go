package policy

import (
	"reflect"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
)

// Schema is the JSON Schema (2020-12) of policy files, for editors. It says
// less than Parse checks: names that lead nowhere, patterns, and what does
// not go together are not told by it.
func Schema() ([]byte, error) {
	known := map[reflect.Type]map[string]any{
		reflect.TypeFor[Mode]():     {"type": "string", "enum": []any{string(ModeEnforce), string(ModeWarn)}},
		reflect.TypeFor[Duration](): {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(h|m|s|ms))+$"},
	}
	return jsonschema.Text(jsonschema.Of(reflect.TypeFor[Policy](), "Hallmark policy, version 1", known))
}
