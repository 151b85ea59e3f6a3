package jsonschema_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
)

type tree struct {
	Name     string            `json:"name"`
	Count    int               `json:"count,omitempty"`
	Yes      bool              `json:"yes,omitempty"`
	When     time.Time         `json:"when,omitzero"`
	Labels   map[string]string `json:"labels,omitempty"`
	Children []tree            `json:"children,omitempty"`
	Any      any               `json:"any,omitempty"`
	Hidden   string            `json:"-"`
	part
}

type part struct {
	Inner string `json:"inner,omitempty"`
}

func TestDocumentsAreHeldToTheSchemaOfTheirType(t *testing.T) {
	schema := jsonschema.Of(reflect.TypeFor[tree](), "a tree", jsonschema.Options{})
	text, err := jsonschema.Text(schema)
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]any
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	for document, wrong := range map[string]string{
		`{"name":"a","count":2,"yes":true,"when":"2026-11-23T00:00:00Z","labels":{"a":"b"},"children":[{"name":"b","inner":"x"}],"any":[1,{}]}`: "",
		`{}`:                            "name is missing",
		`{"name":1}`:                    ".name",
		`{"name":"a","count":1.5}`:      ".count",
		`{"name":"a","yes":"true"}`:     ".yes",
		`{"name":"a","when":"now"}`:     ".when",
		`{"name":"a","labels":{"a":1}}`: ".labels.a",
		`{"name":"a","children":{}}`:    ".children",
		`{"name":"a","children":[{}]}`:  ".children[0]",
		`{"name":"a","Hidden":"x"}`:     "Hidden is not known",
		`{"name":"a","unknown":"x"}`:    "unknown is not known",
		`[]`:                            "want an object",
	} {
		var v any
		if err := json.Unmarshal([]byte(document), &v); err != nil {
			t.Fatal(err)
		}
		// As made, and as read from a file.
		for _, s := range []map[string]any{schema, read} {
			err := jsonschema.Check(s, v)
			if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, want %q", document, err, wrong)
			}
		}
	}
}

func TestAnyOf_OneTypeMustFit(t *testing.T) {
	schema := jsonschema.AnyOf("trees or times", jsonschema.Options{}, reflect.TypeFor[tree](), reflect.TypeFor[[]tree](), reflect.TypeFor[time.Time]())
	text, err := jsonschema.Text(schema)
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]any
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	for document, wrong := range map[string]string{
		`{"name":"a"}`: "",
		`[{"name":"a","children":[{"name":"b"}]}]`: "",
		`[]`:                     "",
		`"2026-11-23T00:00:00Z"`: "",
		`"now"`:                  "none of 3",
		`[{"name":"a"},{"name":"a","unknown":"x"}]`: "unknown is not known",
		`{"name":"a","unknown":"x"}`:                "unknown is not known",
		`7`:                                         "none of 3",
	} {
		var v any
		if err := json.Unmarshal([]byte(document), &v); err != nil {
			t.Fatal(err)
		}
		for _, s := range []map[string]any{schema, read} {
			err := jsonschema.Check(s, v)
			if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, want %q", document, err, wrong)
			}
		}
	}
}

func TestCheck_KeywordsOfItsCallers(t *testing.T) {
	for schema, documents := range map[string]map[string]bool{
		`{"const": 1}`:                                        {`1`: true, `2`: false},
		`{"type": ["string", "number"]}`:                      {`"a"`: true, `1.5`: true, `true`: false},
		`{"minimum": 1, "maximum": 4}`:                        {`1`: true, `4`: true, `0`: false, `5`: false, `"0"`: true},
		`{"pattern": "^a+$", "minLength": 2}`:                 {`"aa"`: true, `"a"`: false, `"bb"`: false},
		`{"minItems": 1, "uniqueItems": true}`:                {`[1]`: true, `[]`: false, `[{"a":1},{"a":1}]`: false},
		`{"minProperties": 1, "maxProperties": 1}`:            {`{"a":1}`: true, `{}`: false, `{"a":1,"b":1}`: false},
		`{"properties": {"a": false}}`:                        {`{"b":1}`: true, `{"a":1}`: false},
		`{"oneOf": [{"required":["a"]},{"required":["b"]}]}`:  {`{"a":1}`: true, `{}`: false, `{"a":1,"b":1}`: false},
		`{"allOf": [{"required":["a"]},{"required":["b"]}]}`:  {`{"a":1}`: false, `{"a":1,"b":1}`: true},
		`{"not": {"const": 1}}`:                               {`1`: false, `2`: true},
		`{"if":{"const":1},"then":false,"else":{"const":2}}`:  {`1`: false, `2`: true, `3`: false},
		`{"dependentRequired": {"a": ["b"]}}`:                 {`{"a":1}`: false, `{"a":1,"b":1}`: true, `{"c":1}`: true},
		`{"$ref": "#/$defs/none"}`:                            {`1`: false},
		`{"$ref": "#/$defs/x", "$defs": {"x": {"const": 1}}}`: {`1`: true, `2`: false},
	} {
		for document, good := range documents {
			var s map[string]any
			var v any
			if err := errors.Join(json.Unmarshal([]byte(schema), &s), json.Unmarshal([]byte(document), &v)); err != nil {
				t.Fatal(err)
			}
			if err := jsonschema.Check(s, v); (err == nil) != good {
				t.Errorf("%s in %s: %v", document, schema, err)
			}
		}
	}
}

func TestDuration_IsWhatGoReadsAboveZero(t *testing.T) {
	schema := jsonschema.Duration()
	for _, text := range []string{
		"168h", "5m", "1h2m3.5s", "+1h", ".5h", "1.h", "100ms", "7us", "7µs", "1ns", "0h1m", "1m0s", "0.10h",
		"", "0h", "0", "0h0m", "0.0s", "h", "1", "-1h", "7d", "1w", "1h ", " 1h", "1 h", "1H", "1h-1m", ".h", "one hour",
	} {
		d, err := time.ParseDuration(text)
		if good := err == nil && d > 0; (jsonschema.Check(schema, text) == nil) != good {
			t.Errorf("%q: Go reads it: %v", text, good)
		}
	}
}
