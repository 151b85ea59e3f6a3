package steps

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// Errors of this package, for errors.Is. Errors of signers are sign.ErrSigner and
// sign.ErrKey. A refusal by Verify is an *Error.
var (
	// ErrLink: what is to be a link, or the envelope of one, is none.
	ErrLink = errors.New("malformed link")
	// ErrLayout: what is to be a layout, or the envelope of one, is none, or one
	// that Verify would refuse.
	ErrLayout = errors.New("unusable layout")
	// ErrOptions: the call contradicts itself, or lacks something.
	ErrOptions = attest.ErrOptions
)

// Reason says in one word why Verify refused. The words are stable.
type Reason string

// The reasons of an Error, in the order in which Verify looks.
const (
	// ReasonLayoutMalformed: the layout is no DSSE envelope, or what was signed
	// is no layout.
	ReasonLayoutMalformed Reason = "layout-malformed"
	// ReasonLayoutUnsigned: too few owners have signed the layout.
	ReasonLayoutUnsigned Reason = "layout-unsigned"
	// ReasonLayoutExpired: the layout is past its expiry.
	ReasonLayoutExpired Reason = "layout-expired"
	// ReasonInspection: the layout has inspections, which would run commands.
	ReasonInspection Reason = "inspection"
	// ReasonLayoutUnsupported: the layout uses something that is not judged here
	// (certificates, parameters), or is not sound in itself: no steps, a
	// threshold that its keys cannot reach, a rule that cannot be read.
	ReasonLayoutUnsupported Reason = "layout-unsupported"
	// ReasonThreshold: too few functionaries of a step have signed links that
	// agree.
	ReasonThreshold Reason = "threshold"
	// ReasonImage: the image is not among the products of its step.
	ReasonImage Reason = "image"
	// ReasonRule: the links break a rule.
	ReasonRule Reason = "rule"
	// ReasonTooMany: there were more links, signatures or combinations than are
	// looked at, and those seen were not enough.
	ReasonTooMany Reason = "too-many"
)

// LinkReason says in one word why a link did not count. The words are stable.
type LinkReason string

// The reasons why a link did not count.
const (
	// LinkTooLarge: it has more bytes than the limit.
	LinkTooLarge LinkReason = "too-large"
	// LinkMalformed: it is no DSSE envelope, or what was signed is no link.
	LinkMalformed LinkReason = "malformed"
	// LinkUnsigned: no signature of any of the layout's functionaries is on it.
	LinkUnsigned LinkReason = "unsigned"
	// LinkSublayout: what was signed is a layout, not a link.
	LinkSublayout LinkReason = "sublayout"
	// LinkUnknownStep: it is about a step that the layout does not have.
	LinkUnknownStep LinkReason = "unknown-step"
	// LinkUnauthorized: whoever has signed it may not perform its step.
	LinkUnauthorized LinkReason = "unauthorized"
	// LinkNotUsed: it is sound, but says something else than those that counted,
	// or its step was not met.
	LinkNotUsed LinkReason = "not-used"
	// LinkUnread: the limits were reached before it.
	LinkUnread LinkReason = "unread"
)

// IgnoredLink is a link that did not count.
type IgnoredLink struct {
	// Index is its place in the list that was given.
	Index int `json:"index"`
	// Step is the step that it is about, where it is a signed link.
	Step string `json:"step,omitempty"`
	// Reason says why it did not count.
	Reason LinkReason `json:"reason"`
	// Detail explains, for people. It is fit to be printed.
	Detail string `json:"detail,omitempty"`
}

// Error is a refusal: Verify has judged, and the image has not been made as the
// layout says, or that cannot be seen.
type Error struct {
	// Reason says why, in one word.
	Reason Reason `json:"reason"`
	// Step is the step that it is about, or empty.
	Step string `json:"step,omitempty"`
	// Detail explains, for people. It is fit to be printed.
	Detail string `json:"detail"`
	// Ignored are the links that did not count, in their order.
	Ignored []IgnoredLink `json:"ignored,omitempty"`
}

// Error says what was refused and why, and how many links did not count.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("refused: ")
	if e.Step != "" {
		fmt.Fprintf(&b, "step %s: ", steplayout.Printable(e.Step))
	}
	fmt.Fprintf(&b, "%s (%s)", e.Detail, e.Reason)
	counts := make(map[LinkReason]int)
	var order []LinkReason
	for _, l := range e.Ignored {
		if counts[l.Reason]++; counts[l.Reason] == 1 {
			order = append(order, l.Reason)
		}
	}
	separator := "; links that did not count: "
	for _, r := range order {
		fmt.Fprintf(&b, "%s%d %s", separator, counts[r], r)
		separator = ", "
	}
	return b.String()
}

func refuse(reason Reason, step, format string, args ...any) *Error {
	return &Error{Reason: reason, Step: step, Detail: fmt.Sprintf(format, args...)}
}
