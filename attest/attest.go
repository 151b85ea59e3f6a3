// Package attest says, signed, how an image was built and what is known about
// it.
//
// A [Predicate] is what is said; [NewStatement] binds it to subjects, the digests
// that it is about; [Image] signs the statement and attaches it beside an image.
// [Envelope] and [Bundle] sign a statement about anything else. [Claims] lists
// what is attached to an image: claims, not facts, since nothing here verifies
// them. That is the job of package verify.
//
// Package predicate below this one has the predicates, package scan makes some of them from
// scanners' reports. Package provenance makes SLSA provenance from real sources, package
// steps records the steps of a build as in-toto links.
//
// # Concurrency
//
// All functions are safe for concurrent use. A predicate or statement must not
// be changed while a function uses it.
//
// # Sources
//
//   - in-toto Attestation Framework v1.0: spec/v1/statement.md, envelope.md,
//     resource_descriptor.md, digest_set.md, and spec/predicates
//   - DSSE v1.0: protocol.md and envelope.md
//   - Sigstore bundle v0.3, and cosign's ATTESTATION_SPEC (the .att tag)
package attest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// Errors of this package, for errors.Is. Errors of signers are those of package
// sign, errors of the store those of package registry.
var (
	// ErrSubject: a statement is about nothing that can be identified.
	ErrSubject = errors.New("unusable subject")
	// ErrStatement: a text is no in-toto statement.
	ErrStatement = errors.New("malformed statement")
	// ErrOptions: the call contradicts itself, or lacks something.
	ErrOptions = errors.New("wrong use")
	// ErrTooLarge: a predicate or statement is beyond the limit.
	ErrTooLarge = errors.New("too large")
)

// Predicate is what a statement says about its subjects. It is written as
// encoding/json marshals it, which must give an object, or as RawPredicate gives
// it where it has that method.
type Predicate interface {
	// PredicateType is the absolute URI of its type.
	PredicateType() string
}

// Validator is a Predicate that knows its specification. NewStatement asks it.
type Validator interface {
	// Validate returns an error that is ErrInvalid and names what is wrong.
	Validate() error
}

// RawPredicate is a Predicate that is to be signed in exactly the text that it
// has.
type RawPredicate interface {
	// RawPredicate returns a JSON object. The caller does not change it.
	RawPredicate() []byte
}

// Subject is one artifact that a statement is about.
type Subject struct {
	// Name tells it from other subjects for people; nothing rests on it.
	Name string `json:"name,omitempty"`
	// Digest maps algorithms to lower-case hex: sha256, sha512, gitCommit and
	// others (in-toto digest_set.md).
	Digest map[string]string `json:"digest"`
	// Annotations are more about the artifact. Empty: none.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Statement binds a predicate to subjects. It is neither signed nor verified.
type Statement struct {
	// Type is the version of the statement's own form.
	Type string `json:"_type"`
	// Subjects are what it is about; at least one.
	Subjects []Subject `json:"subject"`
	// PredicateType is an absolute URI.
	PredicateType string `json:"predicateType"`
	// Predicate is the exact text of a JSON object; in statements that others
	// wrote it may be a string.
	Predicate json.RawMessage `json:"predicate"`
}

// MaxSubjects bounds the subjects of one statement.
const MaxSubjects = intoto.MaxSubjects

// NewStatement makes a statement (in-toto Statement v1). A predicate that can
// validate itself must be valid. Errors are ErrInvalid and ErrSubject.
func NewStatement(p Predicate, subjects ...Subject) (*Statement, error) {
	if p == nil {
		return nil, fmt.Errorf("%w: there is none", predicate.ErrInvalid)
	}
	if v, ok := p.(Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	if u, err := url.Parse(p.PredicateType()); err != nil || !u.IsAbs() {
		return nil, fmt.Errorf("%w: the type %.200q is no absolute URI", predicate.ErrInvalid, p.PredicateType())
	}
	text, err := predicateText(p)
	if err != nil {
		return nil, err
	}
	if err := checkSubjects(subjects); err != nil {
		return nil, err
	}
	return &Statement{
		Type: intoto.StatementV1, Subjects: slices.Clone(subjects), PredicateType: p.PredicateType(), Predicate: text,
	}, nil
}

// predicateText is the JSON object that stands for a predicate in a statement.
func predicateText(p Predicate) ([]byte, error) {
	var text []byte
	if raw, ok := p.(RawPredicate); ok {
		text = raw.RawPredicate()
	} else {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(p); err != nil {
			return nil, fmt.Errorf("%w: %w", predicate.ErrInvalid, err)
		}
		text = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	v, err := strictjson.ParseShallow(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", predicate.ErrInvalid, err)
	}
	if v.Kind() != strictjson.Object {
		return nil, fmt.Errorf("%w: it is no JSON object", predicate.ErrInvalid)
	}
	return v.Raw(), nil
}

func checkSubjects(subjects []Subject) error {
	if n := len(subjects); n == 0 || n > MaxSubjects {
		return fmt.Errorf("%w: %d subjects, want 1 to %d", ErrSubject, n, MaxSubjects)
	}
	for i, s := range subjects {
		if len(s.Digest) == 0 {
			return fmt.Errorf("%w: subject %d (%.100q) has no digest", ErrSubject, i+1, s.Name)
		}
		if err := intoto.CheckDigests(s.Digest); err != nil {
			return fmt.Errorf("%w: subject %d (%.100q): %w", ErrSubject, i+1, s.Name, err)
		}
	}
	return nil
}
