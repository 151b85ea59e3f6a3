package policytest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
)

// descriptions are the comments of the types of a case file and of their fields. A test
// writes the file.
//
//go:embed descriptions.json
var descriptions []byte

// Schema is the JSON Schema (2020-12) of case files, for editors.
func Schema() ([]byte, error) {
	var texts map[string]map[string]string
	if err := json.Unmarshal(descriptions, &texts); err != nil {
		return nil, fmt.Errorf("descriptions of the fields of cases: %w", err)
	}
	allow := map[string]any{"properties": map[string]any{"decision": map[string]any{"const": string(DecisionAllow)}}}
	structs := map[string]map[string]any{
		"Case": {
			"oneOf":             []any{map[string]any{"required": []any{"image"}}, map[string]any{"required": []any{"file"}}},
			"dependentRequired": map[string]any{"platform": []any{"layout"}, "layout": []any{"image"}},
			"not":               map[string]any{"required": []any{"layout", "evidence"}},
		},
		"Expectation": {
			"if": allow, "then": map[string]any{"properties": map[string]any{"reason": false, "requirement": false}},
			"else": map[string]any{"required": []any{"reason"}},
		},
	}
	fields := map[string]map[string]any{"File.version": {"const": 1}, "File.cases": {"minItems": 1}, "Case.name": {"minLength": 1}}
	return jsonschema.Text(jsonschema.Of(reflect.TypeFor[File](), "Hallmark policy test cases, version 1", jsonschema.Options{
		Known: map[reflect.Type]map[string]any{
			reflect.TypeFor[Decision](): {"type": "string", "enum": []any{string(DecisionAllow), string(DecisionWarn), string(DecisionDeny)}},
		},
		Field: func(owner reflect.Type, name string) map[string]any {
			return jsonschema.Described(fields[owner.Name()+"."+name], texts[owner.Name()][name])
		},
		Struct: func(t reflect.Type) map[string]any {
			return jsonschema.Described(structs[t.Name()], texts[t.Name()][""])
		},
	}))
}
