// Package jsonschema makes JSON Schemas of Go types, and checks documents against
// the part of JSON Schema that it makes.
//
// Source: JSON Schema 2020-12, core and validation.
package jsonschema

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Of makes the schema of the JSON that encoding/json writes of a type. A schema has the
// fields of the "json" tags and no others; those that are not omitted when empty are
// required. Types that marshal themselves as text are strings. Types that marshal
// themselves in another way must be described in known.
func Of(t reflect.Type, title string, known map[reflect.Type]map[string]any) map[string]any {
	g := generator{known: known, defs: make(map[string]any)}
	schema := g.schema(t)
	if name, ok := schema["$ref"].(string); ok {
		inline := g.defs[strings.TrimPrefix(name, "#/$defs/")].(map[string]any)
		schema = map[string]any{}
		for k, v := range inline {
			schema[k] = v
		}
	}
	schema["$schema"], schema["title"] = dialect, title
	if len(g.defs) > 0 {
		schema["$defs"] = g.defs
	}
	return schema
}

// AnyOf makes the schema of documents that are of one of some types, each as Of
// describes it.
func AnyOf(title string, known map[reflect.Type]map[string]any, types ...reflect.Type) map[string]any {
	g := generator{known: known, defs: make(map[string]any)}
	var all []any
	for _, t := range types {
		all = append(all, g.schema(t))
	}
	return map[string]any{"$schema": dialect, "title": title, "anyOf": all, "$defs": g.defs}
}

const dialect = "https://json-schema.org/draft/2020-12/schema"

type generator struct {
	known map[reflect.Type]map[string]any
	defs  map[string]any
}

var (
	textType = reflect.TypeFor[encoding.TextMarshaler]()
	timeType = reflect.TypeFor[time.Time]()
)

func (g *generator) schema(t reflect.Type) map[string]any {
	if s, ok := g.known[t]; ok {
		return s
	}
	switch {
	case t == timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return g.schema(t.Elem())
	case t.Implements(textType):
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Int32:
		return map[string]any{"type": "integer"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": g.schema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": g.schema(t.Elem())}
	case reflect.Struct:
		return g.reference(t)
	}
	return map[string]any{} // anything
}

// reference describes a struct once. A struct may contain itself.
func (g *generator) reference(t reflect.Type) map[string]any {
	ref := map[string]any{"$ref": "#/$defs/" + t.Name()}
	if _, done := g.defs[t.Name()]; done {
		return ref
	}
	g.defs[t.Name()] = nil
	properties, required := make(map[string]any), []any{}
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if !f.IsExported() || f.Anonymous && tag == "" || tag == "-" || name == "" {
			continue
		}
		properties[name] = g.schema(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	g.defs[t.Name()] = s
	return ref
}

// Check reports where a document, as encoding/json decodes it into any, is not what
// a schema of Of says.
func Check(schema map[string]any, document any) error {
	defs, _ := schema["$defs"].(map[string]any)
	return (&checker{defs}).check("", schema, document)
}

type checker struct{ defs map[string]any }

func (c *checker) check(path string, schema map[string]any, v any) error {
	if ref, ok := schema["$ref"].(string); ok {
		schema, _ = c.defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
	}
	if all, ok := schema["enum"].([]any); ok && !slices.Contains(all, v) {
		return fail("%v is not one of %v", v, all)
	}
	if all, ok := schema["anyOf"].([]any); ok {
		return c.anyOf(path, all, v)
	}
	if want, ok := schema["const"]; ok && v != want {
		return fail("%v is not %v", v, want)
	}
	if err := c.cases(path, schema, v); err != nil {
		return err
	}
	switch schema["type"] {
	case "string":
		text, ok := v.(string)
		if !ok {
			return fail("%T, want a string", v)
		}
		if _, err := time.Parse(time.RFC3339, text); schema["format"] == "date-time" && err != nil {
			return fail("%q is not a time", text)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return fail("%T, want true or false", v)
		}
	case "integer":
		if n, ok := v.(float64); !ok || n != math.Trunc(n) {
			return fail("%v, want an integer", v)
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return fail("%T, want a list", v)
		}
		for i, element := range list {
			if err := c.check(fmt.Sprintf("%s[%d]", path, i), schema["items"].(map[string]any), element); err != nil {
				return err
			}
		}
	case "object":
		return c.object(path, schema, v)
	}
	return nil
}

// cases checks what depends on the value itself: the "then" of each "if" that it meets.
func (c *checker) cases(path string, schema map[string]any, v any) error {
	all, _ := schema["allOf"].([]any)
	for _, one := range all {
		one := one.(map[string]any)
		if c.part(path, one["if"].(map[string]any), v) != nil {
			continue
		}
		if err := c.part(path, one["then"].(map[string]any), v); err != nil {
			return err
		}
	}
	return nil
}

// part checks those members of an object that a schema names, and no others.
func (c *checker) part(path string, schema map[string]any, v any) error {
	m, _ := v.(map[string]any)
	for name, member := range schema["properties"].(map[string]any) {
		value, there := m[name]
		if !there {
			if required, _ := schema["required"].([]any); slices.Contains(required, any(name)) {
				return fmt.Errorf("%s: %s is missing", path, name)
			}
			continue
		}
		if err := c.check(path+"."+name, member.(map[string]any), value); err != nil {
			return err
		}
	}
	return nil
}

// anyOf says of each alternative why it is not the one.
func (c *checker) anyOf(path string, all []any, v any) error {
	var failed []error
	for _, schema := range all {
		err := c.check(path, schema.(map[string]any), v)
		if err == nil {
			return nil
		}
		failed = append(failed, err)
	}
	return fmt.Errorf("%s: it is none of %d alternatives: %w", path, len(all), errors.Join(failed...))
}

func (c *checker) object(path string, schema map[string]any, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %T, want an object", path, v)
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, there := m[name.(string)]; !there {
			return fmt.Errorf("%s: %v is missing", path, name)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, value := range m {
		member, known := properties[name].(map[string]any)
		if !known {
			if member, known = schema["additionalProperties"].(map[string]any); !known {
				return fmt.Errorf("%s: %s is not known", path, name)
			}
		}
		if err := c.check(path+"."+name, member, value); err != nil {
			return err
		}
	}
	return nil
}

// Text writes a schema as a file.
func Text(schema map[string]any) ([]byte, error) {
	text, err := json.MarshalIndent(schema, "", "  ")
	return append(text, '\n'), err
}
