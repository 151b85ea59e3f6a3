// Package attest signs statements about images and attaches them: how an image was
// built, what it contains, what a scanner found.
//
//	p, err := predicate.Parse("cyclonedx", bill)
//	attached, err := attest.Image(ctx, store, digest, p, attest.Options{}, signer)
//
// A [Predicate] is the content of a statement. The functions are:
//
//   - [NewStatement] binds a predicate to subjects, the digests that it is about.
//   - [Image] signs a statement about an image and attaches it beside the image.
//   - [Envelope] and [Bundle] sign a statement about anything else.
//   - [Claims] lists the statements that are attached to an image.
//   - [ParseStatement] reads one statement.
//
// Nothing here verifies a signature of others; package verify does. What Claims
// returns may have been written by anyone who can write to the repository.
//
// Packages below this one make predicates:
//
//   - predicate holds their types,
//   - scan reads the reports of vulnerability scanners,
//   - provenance makes SLSA provenance from real sources,
//   - steps records the steps of a build as in-toto links.
//
// # Limits
//
// A statement has 1 to [MaxSubjects] subjects and at most 128 MiB; see
// Options.MaxBytes. A predicate nests at most 63 levels deep.
//
// # Concurrency
//
// All functions are safe for concurrent use. A caller must not change a predicate or
// statement while a function uses it.
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
	// ErrSubject: a subject has no digest that could identify an artifact.
	ErrSubject = errors.New("unusable subject")
	// ErrStatement: a text is not an in-toto statement.
	ErrStatement = errors.New("malformed statement")
	// ErrOptions: the call contradicts itself, or lacks something.
	ErrOptions = errors.New("wrong use")
	// ErrTooLarge: a predicate or statement is beyond the limit.
	ErrTooLarge = errors.New("too large")
)

// Predicate is what a statement says about its subjects. Its text is that of
// RawPredicate where it has this method, and otherwise that of encoding/json. The
// text must be a JSON object.
type Predicate interface {
	// PredicateType is the absolute URI of its type.
	PredicateType() string
}

// Validator is a Predicate that can check itself. NewStatement calls Validate.
type Validator interface {
	// Validate returns predicate.ErrInvalid, and names what is wrong.
	Validate() error
}

// RawPredicate is a Predicate whose own text is signed, byte for byte.
type RawPredicate interface {
	// RawPredicate returns the text of a JSON object, which callers do not change.
	RawPredicate() []byte
}

// Subject is one artifact that a statement is about.
type Subject struct {
	// Name is for people. Nothing depends on it.
	Name string `json:"name,omitempty"`
	// Digest maps algorithms to lower-case hex: sha256, sha512, gitCommit and
	// others (in-toto digest_set.md).
	Digest map[string]string `json:"digest"`
	// Annotations are further properties of the artifact. Empty: none.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Statement binds a predicate to subjects. It is neither signed nor verified.
type Statement struct {
	// Type is the URI of the statement's version.
	Type string `json:"_type"`
	// Subjects are the artifacts that the statement is about; at least one.
	Subjects []Subject `json:"subject"`
	// PredicateType is an absolute URI.
	PredicateType string `json:"predicateType"`
	// Predicate is the exact text of a JSON object. In statements by other programs it
	// may be a string.
	Predicate json.RawMessage `json:"predicate"`
}

// MaxSubjects bounds the subjects of one statement.
const MaxSubjects = intoto.MaxSubjects

// NewStatement makes a statement (in-toto Statement v1). A predicate that is a
// [Validator] must be valid. Errors are predicate.ErrInvalid and [ErrSubject].
func NewStatement(p Predicate, subjects ...Subject) (*Statement, error) {
	if p == nil {
		return nil, fmt.Errorf("%w: no predicate is given", predicate.ErrInvalid)
	}
	if v, ok := p.(Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	if u, err := url.Parse(p.PredicateType()); err != nil || !u.IsAbs() {
		return nil, fmt.Errorf("%w: the type is %.200q, want an absolute URI", predicate.ErrInvalid, p.PredicateType())
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
		return nil, fmt.Errorf("%w: it is not a JSON object", predicate.ErrInvalid)
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
