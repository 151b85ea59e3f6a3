package jsonschema

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Check reports where a document, as encoding/json decodes it into any, is not what
// a schema says. It knows the keywords that Of and its callers write, and no others.
func Check(schema map[string]any, document any) error {
	defs, _ := schema["$defs"].(map[string]any)
	return (&checker{defs}).check("", schema, document)
}

type checker struct{ defs map[string]any }

func failf(path, format string, args ...any) error {
	return fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
}

// check holds a value to a schema, which is an object, true or false.
func (c *checker) check(path string, schema, v any) error {
	s, ok := schema.(map[string]any)
	if !ok {
		if schema == false {
			return failf(path, "is not allowed")
		}
		return nil
	}
	if ref, ok := s["$ref"].(string); ok {
		def, known := c.defs[strings.TrimPrefix(ref, "#/$defs/")]
		if !known {
			return failf(path, "the schema refers to %s, which it does not have", ref)
		}
		if err := c.check(path, def, v); err != nil {
			return err
		}
	}
	if want, ok := s["const"]; ok && !same(v, want) {
		return failf(path, "%v is not %v", v, want)
	}
	if all, ok := s["enum"].([]any); ok && !slices.ContainsFunc(all, func(want any) bool { return same(v, want) }) {
		return failf(path, "%v is not one of %v", v, all)
	}
	if err := checkType(path, s["type"], v); err != nil {
		return err
	}
	if err := c.combined(path, s, v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		return checkText(path, s, v)
	case float64:
		if least, ok := number(s["minimum"]); ok && v < least {
			return failf(path, "%v is less than %v", v, least)
		}
		if most, ok := number(s["maximum"]); ok && v > most {
			return failf(path, "%v is more than %v", v, most)
		}
	case []any:
		return c.list(path, s, v)
	case map[string]any:
		return c.object(path, s, v)
	}
	return nil
}

// number is a number of a schema, as Go code or encoding/json writes it.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func same(v, want any) bool {
	if n, ok := number(want); ok {
		return v == n
	}
	return v == want
}

// checkType compares the type of a value with a name of one, or a list of names.
func checkType(path string, want, v any) error {
	if want == nil {
		return nil
	}
	names, ok := want.([]any)
	if !ok {
		names = []any{want}
	}
	var is []any
	switch v := v.(type) {
	case string:
		is = []any{"string"}
	case bool:
		is = []any{"boolean"}
	case float64:
		if is = []any{"number"}; v == math.Trunc(v) {
			is = append(is, "integer")
		}
	case []any:
		is = []any{"array"}
	case map[string]any:
		is = []any{"object"}
	}
	if !slices.ContainsFunc(names, func(name any) bool { return slices.Contains(is, name) }) {
		return failf(path, "is %T, want an %v", v, want)
	}
	return nil
}

func checkText(path string, schema map[string]any, text string) error {
	if _, err := time.Parse(time.RFC3339, text); schema["format"] == "date-time" && err != nil {
		return failf(path, "%q is not a time", text)
	}
	if least, ok := number(schema["minLength"]); ok && utf8.RuneCountInString(text) < int(least) {
		return failf(path, "%q is too short", text)
	}
	if pattern, ok := schema["pattern"].(string); ok {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return failf(path, "the schema's pattern: %v", err)
		}
		if !compiled.MatchString(text) {
			return failf(path, "%q does not match %s", text, pattern)
		}
	}
	return nil
}

// combined checks the keywords that hold other schemas for the same value.
func (c *checker) combined(path string, schema map[string]any, v any) error {
	for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
		all, ok := schema[keyword].([]any)
		if !ok {
			continue
		}
		var failed []error
		for _, one := range all {
			if err := c.check(path, one, v); err != nil {
				failed = append(failed, err)
			}
		}
		meets := len(all) - len(failed)
		if keyword == "allOf" && len(failed) > 0 || meets == 0 || keyword == "oneOf" && meets > 1 {
			return fmt.Errorf("%s: is %s of %d alternatives, want %s: %w", path, orNone(meets), len(all), keyword, errors.Join(failed...))
		}
	}
	if not, ok := schema["not"]; ok && c.check(path, not, v) == nil {
		return failf(path, "is what it must not be: %v", not)
	}
	if condition, ok := schema["if"]; ok {
		branch := "then"
		if c.check(path, condition, v) != nil {
			branch = "else"
		}
		if then, ok := schema[branch]; ok {
			return c.check(path, then, v)
		}
	}
	return nil
}

func orNone(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

func (c *checker) list(path string, schema map[string]any, list []any) error {
	if least, ok := number(schema["minItems"]); ok && len(list) < int(least) {
		return failf(path, "has %d elements, want %v or more", len(list), least)
	}
	items, ok := schema["items"]
	for i, element := range list {
		if schema["uniqueItems"] == true && slices.ContainsFunc(list[:i], func(v any) bool { return reflect.DeepEqual(v, element) }) {
			return failf(path, "has %v twice", element)
		}
		if !ok {
			continue
		}
		if err := c.check(fmt.Sprintf("%s[%d]", path, i), items, element); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) object(path string, schema, object map[string]any) error {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, there := object[name.(string)]; !there {
			return failf(path, "%v is missing", name)
		}
	}
	dependent, _ := schema["dependentRequired"].(map[string]any)
	for member, needed := range dependent {
		if _, there := object[member]; !there {
			continue
		}
		for _, name := range needed.([]any) {
			if _, there := object[name.(string)]; !there {
				return failf(path, "%v is missing, which %s needs", name, member)
			}
		}
	}
	if least, ok := number(schema["minProperties"]); ok && len(object) < int(least) {
		return failf(path, "has %d members, want %v or more", len(object), least)
	}
	if most, ok := number(schema["maxProperties"]); ok && len(object) > int(most) {
		return failf(path, "has %d members, want %v or less", len(object), most)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, value := range object {
		member, known := properties[name]
		if !known {
			if member, known = schema["additionalProperties"]; known && member == false {
				return failf(path, "%s is not known", name)
			}
		}
		if err := c.check(path+"."+name, member, value); err != nil {
			return err
		}
	}
	return nil
}
