package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// Kind is the class of an error of this package. Kinds are errors themselves:
// errors.Is(err, registry.ErrNotFound) asks for one.
type Kind string

// Error returns the kind's text.
func (k Kind) Error() string { return string(k) }

// The kinds. The comment says what to do about each.
const (
	// ErrReference: the reference, repository name, digest or layout path is
	// malformed. Correct it; asking again will not help.
	ErrReference Kind = "bad reference"
	// ErrNotFound: the store answered that the content does not exist.
	ErrNotFound Kind = "not found"
	// ErrUnauthorized: no or wrong credentials. Log in to the registry.
	ErrUnauthorized Kind = "authentication required"
	// ErrDenied: the credentials do not allow this.
	ErrDenied Kind = "access denied"
	// ErrRateLimited: the registry asked for fewer requests; see Error.RetryAfter.
	ErrRateLimited Kind = "rate limited"
	// ErrUnavailable: the network or the store failed. Try again.
	ErrUnavailable Kind = "unavailable"
	// ErrStalled: the store stopped sending, or sent too slowly.
	ErrStalled Kind = "stalled"
	// ErrTooLarge: content exceeds its descriptor's size or the limit set.
	ErrTooLarge Kind = "too large"
	// ErrTooMany: more items, pages or redirects than the limit set allows.
	ErrTooMany Kind = "too many"
	// ErrDigestMismatch: the store returned other bytes than asked for.
	ErrDigestMismatch Kind = "digest mismatch"
	// ErrMalformed: the content or answer is not what its specification allows.
	ErrMalformed Kind = "malformed"
	// ErrUnsupported: a digest algorithm, media type or operation that is not
	// implemented by the store or by this package.
	ErrUnsupported Kind = "unsupported"
	// ErrConflict: a condition of PushOptions did not hold. Read again, and retry.
	ErrConflict Kind = "conflict"
	// ErrImmutable: the registry does not let the tag be changed. Exempt the tags
	// sha256-* from its rule for immutable tags, or choose another tag.
	ErrImmutable Kind = "immutable tag"
	// ErrNoBundles: the registry can hold no list of referrers for the image, and so
	// no bundles. Use the formats that cosign's tags hold.
	ErrNoBundles Kind = "cannot hold bundles"
	// ErrInsecure: the request would send content or credentials in the clear, or
	// to another host than the registry. It was not sent.
	ErrInsecure Kind = "refused as insecure"
	// ErrNotConfirmed: what was written could not be read back, and may not be
	// there. Error.Detail says what was not confirmed. Run the operation again.
	ErrNotConfirmed Kind = "not confirmed"
)

// Error is the error of every operation on a store.
type Error struct {
	// Op is the operation, such as "resolve" or "push blob".
	Op string
	// Ref is the reference that it was about, as text that is safe to print.
	Ref string
	// Kind is the class of the error.
	Kind Kind
	// Host is the registry that was asked, or empty.
	Host string
	// Status is the HTTP status, or 0.
	Status int
	// Code is the first OCI error code of the answer, such as "TAG_INVALID", or empty.
	Code string
	// RetryAfter is how long the registry asked to wait, at most a day, or 0.
	RetryAfter time.Duration
	// Detail explains, as text that is safe to print: without control
	// characters, credentials or query strings.
	Detail string
	// Limit is the field of Limits that was reached. Nil: none was.
	Limit *ReachedLimit
	// Err is the cause, or nil.
	Err error
	// Unanswered is true where the response does not answer the request, such as a
	// login page. Kind then says nothing about the content.
	Unanswered bool
}

// ReachedLimit is a field of Limits that kept evidence from being read.
type ReachedLimit struct {
	// Name is the field's name, such as "MaxPayloadBytes".
	Name string `json:"name"`
	// Value is the limit that held. Needed is the least that would have let the piece
	// be read that was met; zero: not known.
	Value  int64 `json:"value"`
	Needed int64 `json:"needed,omitempty"`
}

// LimitOf returns the field of Limits that an error of Evidence is about; nil: none.
func LimitOf(err error) *ReachedLimit {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Limit
	}
	return nil
}

// errUnanswered asks errors.Is whether a store did not answer the request.
var errUnanswered = errors.New("the request was not answered")

// Error says what failed, on what, and why.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Ref != "" {
		b.WriteString(" " + e.Ref)
	}
	b.WriteString(": " + string(e.Kind))
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + SafeText(e.Err.Error(), maxErrorText))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's kind.
func (e *Error) Is(target error) bool {
	if target == errUnanswered {
		return e.Unanswered || e.Status != 0 && e.Status != http.StatusNotFound
	}
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// KindOf returns the kind of a store's error. A manifest that cannot be parsed is
// ErrMalformed or ErrUnsupported, any other error ErrUnavailable.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	switch {
	case errors.Is(err, oci.ErrUnsupported):
		return ErrUnsupported
	case errors.Is(err, oci.ErrMalformed):
		return ErrMalformed
	}
	return ErrUnavailable
}

// HostOf returns the registry that an error is about, or an empty text: the outermost
// Error.Host in its tree.
func HostOf(err error) string {
	if e, ok := err.(*Error); ok && e.Host != "" {
		return e.Host
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return HostOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			if host := HostOf(cause); host != "" {
				return host
			}
		}
	}
	return ""
}

// caught returns what f returns. f runs in a goroutine of this package and calls
// code that was plugged in: a Reader, a keychain, a transport. Its panic becomes an
// error of the operation.
func caught[T any](op, ref string, f func() (T, error)) (v T, err error) {
	err = panics.Caught(func() (err error) {
		v, err = f()
		return err
	})
	return v, asError(op, ref, err)
}

// asError turns a panic that was caught into an error of this package.
func asError(op, ref string, err error) error {
	if _, ok := err.(*panics.Error); ok {
		return &Error{Op: op, Ref: ref, Kind: ErrUnavailable, Err: err}
	}
	return err
}

// maxErrorText bounds text from outside that an error repeats.
const maxErrorText = 512

func safe(s string) string { return SafeText(s, maxErrorText) }

// text is a reference as errors show it.
func text(ref fmt.Stringer) string { return safe(ref.String()) }

// SafeText returns text from outside in a form that is safe on a terminal or in a log.
// Control characters, formatting characters and invalid UTF-8 become visible escapes.
// Text beyond limit bytes is cut.
func SafeText(s string, limit int) string { return safetext.Of(s, limit) }
