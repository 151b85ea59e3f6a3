package verify

import (
	"fmt"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// shape reads members that must have the JSON type that their format gives them. It
// keeps the first error: what a denying condition cannot read, it denies.
type shape struct{ err error }

func (s *shape) fail(at, format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%s %s", at, fmt.Sprintf(format, args...))
	}
}

// object refuses what is not an object, and members whose names differ from known
// ones in case alone: other readers would take them for those.
func (s *shape) object(at string, v strictjson.Value, known ...string) {
	if v.Kind() != strictjson.Object {
		s.fail(at, "is not an object")
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

// each reads the elements of a list that may be missing.
func (s *shape) each(at string, list strictjson.Value, read func(at string, element strictjson.Value)) {
	if !list.Exists() {
		return
	}
	if list.Kind() != strictjson.Array {
		s.fail(at, "is not a list")
		return
	}
	i := 0
	for element := range list.Elems() {
		if s.err != nil {
			return
		}
		read(fmt.Sprintf("%s[%d]", at, i), element)
		i++
	}
}

// text reads a string that says something.
func (s *shape) text(at string, v strictjson.Value) string {
	text, ok := v.Str()
	switch {
	case !v.Exists():
		s.fail(at, "is missing")
	case !ok:
		s.fail(at, "is not a string")
	case strings.TrimSpace(text) == "":
		s.fail(at, "is empty")
	}
	return text
}
