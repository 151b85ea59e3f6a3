package steps

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// Errors of this package, for errors.Is. Signers add sign.ErrSigner and
// sign.ErrKey. A refusal by Verify is an *Error.
var (
	// ErrLink: the input is not a link, or not the envelope of a link.
	ErrLink = errors.New("malformed link")
	// ErrLayout: the input is not a layout, not the envelope of a layout, or a
	// layout that Verify would refuse.
	ErrLayout = errors.New("unusable layout")
	// ErrOptions: the arguments of the call contradict each other, or one is
	// missing.
	ErrOptions = attest.ErrOptions
)

// Reason is a stable word that says why Verify refused.
type Reason string

// The reasons of an Error, in the order in which Verify examines them.
const (
	// ReasonLayoutMalformed: the layout is not a DSSE envelope, or its payload is
	// not a layout.
	ReasonLayoutMalformed Reason = "layout-malformed"
	// ReasonLayoutUnsigned: fewer owners signed the layout than are needed.
	ReasonLayoutUnsigned Reason = "layout-unsigned"
	// ReasonLayoutExpired: the layout is past its expiry.
	ReasonLayoutExpired Reason = "layout-expired"
	// ReasonInspection: the layout has inspections. An inspection is a command,
	// and Verify runs none.
	ReasonInspection Reason = "inspection"
	// ReasonLayoutUnsupported: the layout has certificates or parameters, which
	// Verify does not judge. Or it contradicts itself: it has no steps, a
	// threshold above the number of keys, or a malformed rule.
	ReasonLayoutUnsupported Reason = "layout-unsupported"
	// ReasonThreshold: fewer functionaries of a step signed links that agree than
	// the step's threshold.
	ReasonThreshold Reason = "threshold"
	// ReasonImage: the image is not a product of the step that makes it.
	ReasonImage Reason = "image"
	// ReasonRule: the links break a rule.
	ReasonRule Reason = "rule"
	// ReasonTooMany: a limit on links, signature checks or combinations was
	// reached, and what was examined until then did not suffice.
	ReasonTooMany Reason = "too-many"
)

// LinkReason is a stable word that says why a link did not count.
type LinkReason string

// The reasons why a link did not count.
const (
	// LinkTooLarge: the link has more bytes than VerifyOptions.MaxLinkBytes.
	LinkTooLarge LinkReason = "too-large"
	// LinkMalformed: the link is not a DSSE envelope, or its payload is not a link.
	LinkMalformed LinkReason = "malformed"
	// LinkUnsigned: no functionary of the layout signed the link.
	LinkUnsigned LinkReason = "unsigned"
	// LinkSublayout: the payload is a layout, not a link.
	LinkSublayout LinkReason = "sublayout"
	// LinkUnknownStep: the link names a step that the layout does not have.
	LinkUnknownStep LinkReason = "unknown-step"
	// LinkUnauthorized: the signer may not perform the step that the link names.
	LinkUnauthorized LinkReason = "unauthorized"
	// LinkNotUsed: the link is valid, and differs from the links that counted, or
	// too few links of its step agree.
	LinkNotUsed LinkReason = "not-used"
	// LinkUnread: a limit was reached before this link.
	LinkUnread LinkReason = "unread"
)

// IgnoredLink is a link that did not count.
type IgnoredLink struct {
	// Index is the link's place in the list that Verify was given.
	Index int `json:"index"`
	// Step is the step that a signed link names. Empty: none was read.
	Step string `json:"step,omitempty"`
	// Reason says why the link did not count.
	Reason LinkReason `json:"reason"`
	// Detail explains the reason to people. It holds printable characters alone.
	Detail string `json:"detail,omitempty"`
}

// Error is a refusal: the layout and the links do not show that the image was made
// as the layout says.
type Error struct {
	// Reason says why Verify refused.
	Reason Reason `json:"reason"`
	// Step is the step that the reason concerns. Empty: none.
	Step string `json:"step,omitempty"`
	// Detail explains the reason to people. It holds printable characters alone.
	Detail string `json:"detail"`
	// Ignored are the links that did not count, in the order of their indexes.
	Ignored []IgnoredLink `json:"ignored,omitempty"`
}

// Error returns the step, the reason, and how many links did not count and why.
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
