package jsonschema_test

import (
	"encoding/json"
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
	schema := jsonschema.Of(reflect.TypeFor[tree](), "a tree", nil)
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
	schema := jsonschema.AnyOf("trees or times", nil, reflect.TypeFor[tree](), reflect.TypeFor[[]tree](), reflect.TypeFor[time.Time]())
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
