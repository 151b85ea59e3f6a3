package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/decimal"
	"github.com/hallmark-oci/hallmark/internal/segments"
)

// maxMembers bounds the conditions on members of one requirement.
const maxMembers = 100

// MemberCondition is a condition on one member of the predicate. All of its operators
// must hold. A member that the pointer does not reach because a value on its way has
// another type, such as a string or null, fails every operator, Absent included. So does
// a member for which the predicate has another name that differs in case alone.
type MemberCondition struct {
	// Pointer leads from the predicate to the member, such as /ticket/state or /files/0
	// (RFC 6901). Required.
	Pointer string `json:"pointer"`
	// Equals is a string, a number, true or false, which the member must be. Numbers are
	// compared by their values: 1 is 1.0. Empty: any value.
	Equals json.RawMessage `json:"equals,omitempty"`
	// In are such values. The member must be one of them. Empty: any value.
	In []json.RawMessage `json:"in,omitempty"`
	// Present requires that the member is there and not null. False: it may be missing,
	// unless another operator reads it.
	Present bool `json:"present,omitempty"`
	// Absent requires that the member is not there; null is there. False: it may be there.
	Absent bool `json:"absent,omitempty"`
	// AtMost is the greatest number that the member, a number, may be. It is compared
	// without rounding. Empty: no bound.
	AtMost json.RawMessage `json:"atMost,omitempty"`
	// AtLeast is the least such number. Empty: no bound.
	AtLeast json.RawMessage `json:"atLeast,omitempty"`
	// Before is a time that the member, a time by RFC 3339, must lie before. Zero: no
	// bound.
	Before time.Time `json:"before,omitzero"`
	// After is a time that such a member must lie after. Zero: no bound.
	After time.Time `json:"after,omitzero"`
	// Matches are patterns. The member must be a string that matches one. They are
	// compared by segments between slashes: * is one whole segment, ** any number of them,
	// at the end at least one. Empty: any value.
	Matches []string `json:"matches,omitempty"`
}

// check refuses conditions that cannot be intended, or that nothing can meet.
func (m *MemberCondition) check() error {
	if !isPointer(m.Pointer) {
		return fmt.Errorf("needs pointer: a JSON pointer such as /ticket/state, in which ~1 stands for / and ~0 for ~")
	}
	reads := m.Equals != nil || m.In != nil || m.Present || m.AtMost != nil || m.AtLeast != nil || !m.Before.IsZero() || !m.After.IsZero() || m.Matches != nil
	switch {
	case m.Absent && reads:
		return fmt.Errorf("wants the member to be absent, and to have a value")
	case !m.Absent && !reads:
		return fmt.Errorf("has no operator: write equals, in, present, absent, atMost, atLeast, before, after or matches")
	}
	if err := emptyLists(map[string]bool{"in": isEmpty(m.In), "matches": isEmpty(m.Matches)}); err != nil {
		return err
	}
	if err := m.checkValues(); err != nil {
		return err
	}
	if !m.Before.IsZero() && !m.After.IsZero() && !m.After.Before(m.Before) {
		return fmt.Errorf("can never be met: after is not before before")
	}
	for _, p := range m.Matches {
		if _, err := segments.Parse(p); err != nil {
			return fmt.Errorf("has in matches %w", err)
		}
	}
	return nil
}

func (m *MemberCondition) checkValues() error {
	values := m.In
	if m.Equals != nil {
		values = append([]json.RawMessage{m.Equals}, values...)
	}
	for _, v := range values {
		if text := string(v); text != "true" && text != "false" && !decimal.Is(text) && (!strings.HasPrefix(text, `"`) || !json.Valid(v)) {
			return fmt.Errorf("compares with %.100s, want a string, a number, true or false", text)
		}
	}
	for name, bound := range map[string]json.RawMessage{"atMost": m.AtMost, "atLeast": m.AtLeast} {
		if bound != nil && !decimal.Is(string(bound)) {
			return fmt.Errorf("has in %s %.100s, want a number", name, bound)
		}
	}
	if m.AtMost != nil && m.AtLeast != nil {
		if order, _ := decimal.Compare(string(m.AtLeast), string(m.AtMost)); order > 0 {
			return fmt.Errorf("can never be met: atLeast is more than atMost")
		}
	}
	return nil
}

// isPointer reports whether text is a JSON pointer to something below the document.
func isPointer(text string) bool {
	return strings.HasPrefix(text, "/") && !strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(text), "~")
}

// checkMembers checks the conditions on members, which a requirement may have besides
// those of its type.
func (a *AttestationRequirement) checkMembers() error {
	switch {
	case len(a.Where) > maxMembers:
		return faultf("where", "has more than %d conditions", maxMembers)
	case len(a.Where)+len(a.CEL) > 0 && a.AcceptAnyContent:
		return fmt.Errorf("has %s and acceptAnyContent: conditions accept less than any content", a.setForMembers())
	case len(a.Where)+len(a.CEL) > 0 && a.kind() == kindLayout:
		return fmt.Errorf("has %s, which type %s does not have", a.setForMembers(), a.Type)
	}
	for i := range a.Where {
		if err := a.Where[i].check(); err != nil {
			return &fault{fmt.Sprintf("where[%d]", i), err}
		}
	}
	return nil
}

func (a *AttestationRequirement) setForMembers() string {
	return strings.Join(setNames(map[string]bool{"where": len(a.Where) > 0, "cel": len(a.CEL) > 0}), " and ")
}
