package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/decimal"
	"github.com/hallmark-oci/hallmark/internal/segments"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// judgeMembers judges members of the predicate by the requirement's Where.
func (a attestation) judgeMembers(d document) *problem {
	for _, condition := range a.Where {
		m := d.pointed(condition.Pointer)
		if m.err != nil {
			return problemf(ReasonPredicate, "a condition cannot read it: %v", m.err)
		}
		if p := (memberCondition{condition}).judge(m); p != nil {
			return p
		}
	}
	return nil
}

// memberCondition is a condition on one member.
type memberCondition struct{ policy.MemberCondition }

// judge says whether a member meets all operators:
//
//   - Absent: it is missing;
//   - every other: it is there, and not null;
//   - Equals, In: it has the value, or one of them;
//   - AtMost, AtLeast: it is a number in the bounds;
//   - Before, After: it is a time in the bounds, which do not belong to them;
//   - Matches: it is a string that one of the patterns matches.
func (c memberCondition) judge(m member) *problem {
	there := m.value.Exists()
	switch {
	case c.Absent && there:
		return problemf(ReasonMember, "%s is %s, the policy wants it to be absent", m.path, m.shown()).compared(m.shown(), c.words())
	case c.Absent:
		return nil
	case !m.given():
		return problemf(ReasonMember, "%s is %s, the policy wants %s", m.path, kindName(m.value), c.words()).compared(kindName(m.value), c.words())
	}
	for _, meets := range []func(member) (bool, error){c.equals, c.inBounds, c.inTime, c.matches} {
		met, err := meets(m)
		switch {
		case err != nil:
			return problemf(ReasonPredicate, "a condition cannot read it: %v", err)
		case !met:
			return problemf(ReasonMember, "%s is %s, the policy wants %s", m.path, m.valueShown(), c.words()).compared(m.valueShown(), c.words())
		}
	}
	return nil
}

func (c memberCondition) equals(m member) (bool, error) {
	is := func(want json.RawMessage) bool { return isValue(m.value, want) }
	return (c.Equals == nil || is(c.Equals)) && (c.In == nil || slices.ContainsFunc(c.In, is)), nil
}

// isValue compares a value with one of the policy. Values of two types differ.
func isValue(v strictjson.Value, want json.RawMessage) bool {
	switch v.Kind() {
	case strictjson.String:
		var text string
		return want[0] == '"' && json.Unmarshal(want, &text) == nil && v.Is(text)
	case strictjson.Number:
		order, ok := decimal.Compare(string(v.Raw()), string(want))
		return ok && order == 0
	case strictjson.Bool:
		return string(v.Raw()) == string(want)
	}
	return false
}

func (c memberCondition) inBounds(m member) (bool, error) {
	if c.AtMost == nil && c.AtLeast == nil {
		return true, nil
	}
	got := string(m.value.Raw())
	if m.value.Kind() != strictjson.Number || !decimal.Is(got) {
		return false, m.wrong("a number")
	}
	within := func(bound json.RawMessage, sign int) bool {
		order, ok := decimal.Compare(got, string(bound))
		return bound == nil || ok && order*sign <= 0
	}
	return within(c.AtMost, 1) && within(c.AtLeast, -1), nil
}

func (c memberCondition) inTime(m member) (bool, error) {
	if c.Before.IsZero() && c.After.IsZero() {
		return true, nil
	}
	text, err := m.text()
	if err != nil {
		return false, err
	}
	at, err := parseTime(text)
	if err != nil {
		return false, m.wrong("a time such as 2026-01-31T12:00:00Z")
	}
	return (c.Before.IsZero() || at.Before(c.Before)) && (c.After.IsZero() || at.After(c.After)), nil
}

func (c memberCondition) matches(m member) (bool, error) {
	if c.Matches == nil {
		return true, nil
	}
	text, err := m.text()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(c.Matches, func(pattern string) bool {
		p, err := segments.Parse(pattern) // it was parsed when the policy was checked
		return err == nil && p.Match(text, segments.Separators)
	}), nil
}

// words say what the condition wants.
func (c memberCondition) words() string {
	var all []string
	add := func(set bool, format string, args ...any) {
		if set {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	in := make([]string, 0, len(c.In))
	for _, v := range c.In {
		in = append(in, string(v))
	}
	add(c.Absent, "it to be absent")
	add(c.Present, "it to be present")
	add(c.Equals != nil, "%s", c.Equals)
	add(len(in) > 0, "%s", strings.Join(in, " or "))
	add(c.AtMost != nil, "at most %s", c.AtMost)
	add(c.AtLeast != nil, "at least %s", c.AtLeast)
	add(!c.Before.IsZero(), "a time before %s", utc(c.Before))
	add(!c.After.IsZero(), "a time after %s", utc(c.After))
	add(len(c.Matches) > 0, "a text like %s", strings.Join(c.Matches, " or "))
	return strings.Join(all, " and ")
}

// valueShown is the member's value in a message, shortened.
func (m member) valueShown() string {
	switch m.value.Kind() {
	case strictjson.Bool, strictjson.Number:
		return fmt.Sprintf("%.64s", m.value.Raw())
	}
	return m.shown()
}

// pointed is the member that a JSON pointer leads to (RFC 6901, section 4). Its err says
// that a value on the way is neither an object nor a list with such an index, or that the
// member has another name in another case.
func (d *document) pointed(pointer string) member {
	m := member{path: pointer, value: d.root}
	if d.tagValue {
		m.err = fmt.Errorf("%s cannot be read: the document is not JSON", pointer)
		return m
	}
	walked := ""
	for token := range strings.SplitSeq(pointer[1:], "/") {
		if !m.value.Exists() {
			return m
		}
		var next strictjson.Value
		if next, m.err = d.child(m.value, walked, strings.NewReplacer("~1", "/", "~0", "~").Replace(token)); m.err != nil {
			return m
		}
		walked += "/" + token
		if m.value, m.err = d.unfolded(walked, next); m.err != nil {
			return m
		}
	}
	return m
}

// child is a member of an object, or an element of a list.
func (d *document) child(v strictjson.Value, at, token string) (strictjson.Value, error) {
	switch v.Kind() {
	case strictjson.Object:
		if like, misspelt := v.Misspelt([]string{token}); misspelt {
			return v, fmt.Errorf("%s has the member %.40q, which differs from %.40q in case alone", whereOr(at), like, token)
		}
		return v.Get(token), nil
	case strictjson.Array:
		i, err := strconv.ParseUint(token, 10, 31)
		if err != nil || strconv.FormatUint(i, 10) != token {
			return v, fmt.Errorf("%s is a list, and %.40q is not the index of an element", whereOr(at), token)
		}
		for element := range v.Elems() {
			if i == 0 {
				return element, nil
			}
			i--
		}
		return strictjson.Value{}, nil
	}
	return v, fmt.Errorf("%s is %s, want an object or a list", whereOr(at), kindName(v))
}
