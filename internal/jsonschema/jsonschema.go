// Package jsonschema makes JSON Schemas of Go types, and checks documents against
// the part of JSON Schema that it makes.
//
// Source: JSON Schema 2020-12, core and validation.
package jsonschema

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"time"
)

// Options say what types do not say of themselves. The zero value is usable.
type Options struct {
	// Known describes types that marshal themselves in another way than as text. Nil: none.
	Known map[reflect.Type]map[string]any
	// Struct returns keywords that the schema of a struct has besides its own. Nil: none.
	Struct func(t reflect.Type) map[string]any
	// Field returns such keywords of a field, by the struct that declares it and the
	// field's name in JSON. Nil: none.
	Field func(owner reflect.Type, name string) map[string]any
}

// Of makes the schema of the JSON that encoding/json writes of a type. A schema has the
// fields of the "json" tags and no others; those that are not omitted when empty are
// required. Types that marshal themselves as text are strings.
func Of(t reflect.Type, title string, o Options) map[string]any {
	g := generator{o: o, defs: make(map[string]any)}
	schema := g.schema(t)
	if name, ok := schema["$ref"].(string); ok {
		schema = maps.Clone(g.defs[strings.TrimPrefix(name, "#/$defs/")].(map[string]any))
	}
	schema["$schema"], schema["title"] = dialect, title
	if len(g.defs) > 0 {
		schema["$defs"] = g.defs
	}
	return schema
}

// AnyOf makes the schema of documents that are of one of some types, each as Of
// describes it.
func AnyOf(title string, o Options, types ...reflect.Type) map[string]any {
	g := generator{o: o, defs: make(map[string]any)}
	var all []any
	for _, t := range types {
		all = append(all, g.schema(t))
	}
	return map[string]any{"$schema": dialect, "title": title, "anyOf": all, "$defs": g.defs}
}

const dialect = "https://json-schema.org/draft/2020-12/schema"

type generator struct {
	o    Options
	defs map[string]any
}

var (
	textType = reflect.TypeFor[encoding.TextMarshaler]()
	timeType = reflect.TypeFor[time.Time]()
)

func (g *generator) schema(t reflect.Type) map[string]any {
	if s, ok := g.o.Known[t]; ok {
		return maps.Clone(s)
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
		name := NameOf(f)
		if name == "" {
			continue
		}
		property := g.schema(f.Type)
		if g.o.Field != nil {
			maps.Copy(property, g.o.Field(ownerOf(t, f), name))
		}
		properties[name] = property
		if !strings.Contains(f.Tag.Get("json"), ",omit") {
			required = append(required, name)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	if g.o.Struct != nil {
		maps.Copy(s, g.o.Struct(t))
	}
	g.defs[t.Name()] = s
	return ref
}

// Described is a copy of keywords with a description.
func Described(keywords map[string]any, description string) map[string]any {
	all := maps.Clone(keywords)
	if all == nil {
		all = make(map[string]any)
	}
	if description != "" {
		all["description"] = description
	}
	return all
}

// NameOf is the name that a field has in JSON by its tag. Empty: it stands in no document.
func NameOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !f.IsExported() || name == "-" {
		return ""
	}
	return name
}

// Duration is the schema of a text that time.ParseDuration reads, of more than zero.
func Duration() map[string]any {
	const (
		unit  = `(ns|us|µs|μs|ms|s|m|h)`
		part  = `(([0-9]+(\.[0-9]*)?|\.[0-9]+)` + unit + `)`
		above = `(([0-9]*[1-9][0-9]*(\.[0-9]*)?|[0-9]*\.[0-9]*[1-9][0-9]*)` + unit + `)` // zero
	)
	return map[string]any{"type": "string", "pattern": `^\+?` + part + `*` + above + part + `*$`, "patternErrorMessage": "Write a duration such as 168h or 5m."}
}

// ownerOf is the struct that declares a visible field of t: t, or one embedded in it.
func ownerOf(t reflect.Type, f reflect.StructField) reflect.Type {
	if len(f.Index) == 1 {
		return t
	}
	owner := t.FieldByIndex(f.Index[:len(f.Index)-1]).Type
	if owner.Kind() == reflect.Pointer {
		return owner.Elem()
	}
	return owner
}

// Text writes a schema as a file.
func Text(schema map[string]any) ([]byte, error) {
	text, err := json.MarshalIndent(schema, "", "  ")
	return append(text, '\n'), err
}
