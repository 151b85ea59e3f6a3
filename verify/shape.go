package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// shape reads members that must have the JSON type that their format gives them. It
// keeps the first error. A denying condition denies what it cannot read.
type shape struct{ err error }

func (s *shape) fail(at, format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%s %s", at, fmt.Sprintf(format, args...))
	}
}

// object refuses a value that is not an object, and members whose names differ from
// known ones in case alone. Other readers take those for the known ones.
func (s *shape) object(at string, v strictjson.Value, known ...string) {
	if v.Kind() != strictjson.Object {
		s.fail(at, "is not an object, but %s", kindName(v))
		return
	}
	for member := range v.Members() {
		for _, name := range known {
			if member != name && strings.EqualFold(member, name) {
				s.fail(at, "has the member %.40q, which other readers take for %q", member, name)
			}
		}
	}
}

// licenses refuses members that sound like a licence where the format has none. Other
// readers could take them for one.
func (s *shape) licenses(at string, v strictjson.Value, known ...string) {
	for member := range v.Members() {
		name := strings.ToLower(member)
		if (strings.HasPrefix(name, "licen") || name == "expression") && !slices.Contains(known, member) {
			s.fail(at, "has the member %.40q, which its format does not have", member)
		}
	}
}

// whole is a value with all that it holds, also where the document was too large to
// keep it, or a part of it.
func (s *shape) whole(at string, v strictjson.Value) strictjson.Value {
	if !v.Exists() {
		return v
	}
	whole, err := v.Whole()
	if err != nil {
		s.fail(at, "cannot be read: %v", err)
	}
	return whole
}

// elements is a list with its elements, also where the document was too large to keep
// them.
func (s *shape) elements(at string, list strictjson.Value) strictjson.Value {
	if !list.Opaque() {
		return list
	}
	list, err := strictjson.Unfold(list, 1)
	if err != nil {
		s.fail(at, "cannot be read: %v", err)
	}
	return list
}

// eachOrNull is each for lists that Go programs write as null when they are empty.
func (s *shape) eachOrNull(at string, list strictjson.Value, read func(at string, element strictjson.Value)) {
	if list.Kind() != strictjson.Null {
		s.each(at, list, read)
	}
}

// each reads the elements of a list that may be missing.
func (s *shape) each(at string, list strictjson.Value, read func(at string, element strictjson.Value)) {
	if !list.Exists() {
		return
	}
	if list.Kind() != strictjson.Array {
		s.fail(at, "is not a list, but %s", kindName(list))
		return
	}
	i := 0
	for element := range s.elements(at, list).Elems() {
		if s.err != nil {
			return
		}
		at := fmt.Sprintf("%s[%d]", at, i)
		read(at, s.whole(at, element))
		i++
	}
}

// text reads a string that is not blank.
func (s *shape) text(at string, v strictjson.Value) string {
	text, ok := v.Str()
	switch {
	case !v.Exists():
		s.fail(at, "is missing")
	case !ok:
		s.fail(at, "is not a string, but %s", kindName(v))
	case strings.TrimSpace(text) == "":
		s.fail(at, "is empty")
	}
	return text
}

// given reports whether a value says anything: it is there, and not null.
func (s *shape) given(v strictjson.Value) bool {
	return v.Kind() != strictjson.Missing && v.Kind() != strictjson.Null
}

// maybeText reads a string that may be missing or empty.
func (s *shape) maybeText(at string, v strictjson.Value) string {
	if !v.Exists() || v.Is("") {
		return ""
	}
	return s.text(at, v)
}
