package verify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// member is a member of a document, as a condition asks for it.
type member struct {
	path  string
	value strictjson.Value
	// err says why the member cannot be reached.
	err error
}

// given reports whether the member says anything: it is there, and not null.
func (m member) given() bool {
	return m.err == nil && m.value.Kind() != strictjson.Missing && m.value.Kind() != strictjson.Null
}

// wrong says what the member is, and what it is to be.
func (m member) wrong(want string) error {
	if m.err != nil {
		return m.err
	}
	return fmt.Errorf("%s is %s, want %s", whereOr(m.path), m.shown(), want)
}

// shown is the member in a message.
func (m member) shown() string {
	if text, ok := m.value.Str(); ok {
		return fmt.Sprintf("%.200q", text)
	}
	return kindName(m.value)
}

// text is a string, which must be there.
func (m member) text() (string, error) {
	text, ok := m.value.Str()
	if m.err != nil || !ok {
		return "", m.wrong("a string")
	}
	return text, nil
}

// optionalText is a string, or "" where there is none.
func (m member) optionalText() (string, error) {
	if m.err == nil && !m.given() {
		return "", nil
	}
	return m.text()
}

// moment is a time that a document states.
type moment struct {
	path string
	// time is zero where none is stated.
	time time.Time
	// missing says what it means that none is stated. Empty: the document says none.
	missing string
	// err says why the time cannot be read. Only a condition that needs it fails.
	err error
}

// moment reads a time by RFC 3339. The zero time of Go programs states nothing.
func (m member) moment() moment {
	stated := moment{path: m.path, err: m.err}
	if m.err != nil || !m.given() {
		return stated
	}
	text, _ := m.value.Str()
	var err error
	if stated.time, err = parseTime(text); err != nil {
		stated.time, stated.err = time.Time{}, m.wrong("a time such as 2026-01-31T12:00:00Z")
	}
	return stated
}

// parseTime reads a time by RFC 3339. Unlike time.Parse it refuses what other readers
// refuse: hours of one digit, a comma before a fraction, offsets of a day.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, err
	}
	offset, utc := text[len(text)-len("+07:00"):], strings.HasSuffix(text, "Z")
	if text[len("2006-01-02T15")] != ':' || strings.Contains(text, ",") || !utc && (offset[1:3] > "23" || offset[4:] > "59") {
		return time.Time{}, errTime
	}
	return t, nil
}

var errTime = errors.New("not a time by RFC 3339")

// or is the other moment where this one states nothing.
func (m moment) or(other moment) moment {
	if m.err == nil && m.time.IsZero() {
		return other
	}
	return m
}

// stringsOf reads a list of strings.
func (m member) stringsOf() (all []string, err error) {
	var s shape
	if m.err != nil || m.value.Kind() != strictjson.Array {
		return nil, m.wrong("a list of strings")
	}
	s.each(m.path, m.value, func(at string, v strictjson.Value) { all = append(all, s.text(at, v)) })
	return all, s.err
}

// kindName says what a value is, in a message.
func kindName(v strictjson.Value) string {
	switch v.Kind() {
	case strictjson.Missing:
		return "missing"
	case strictjson.Null:
		return "null"
	case strictjson.Bool:
		return string(v.Raw())
	case strictjson.Number:
		return "the number " + safetext.Of(string(v.Raw()), 40)
	case strictjson.String:
		return "a string"
	case strictjson.Array:
		return "a list"
	}
	return "an object"
}

func whereOr(path string) string {
	if path == "" {
		return "the predicate"
	}
	return path
}

// unwanted says that a member has none of the values that the policy wants.
func unwanted(reason Reason, at, got string, want []string) *problem {
	const shown = 3
	quoted := make([]string, 0, shown)
	for _, w := range want[:min(len(want), shown)] {
		quoted = append(quoted, fmt.Sprintf("%q", w))
	}
	more := ""
	if len(want) > shown {
		more = fmt.Sprintf(" or one of %d more", len(want)-shown)
	}
	return problemf(reason, "%s is %.200q, the policy wants %s%s", at, got, strings.Join(quoted, " or "), more).compared(got, want...)
}
