package attest

import (
	"context"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/signer"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/sign"
)

// defaultMaxBytes is the limit where the caller gives none.
const defaultMaxBytes = 128 << 20

// ParseStatement reads the text of a statement, v1 or v0.1. JSON that two parsers could
// read differently is ErrStatement. The result shares memory with text. Nothing is
// verified.
func ParseStatement(text []byte) (*Statement, error) {
	s, err := intoto.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	return fromInternal(s), nil
}

func fromInternal(s *intoto.Statement) *Statement {
	out := &Statement{Type: s.Type, PredicateType: s.PredicateType, Predicate: s.Predicate}
	for _, subject := range s.Subjects {
		out.Subjects = append(out.Subjects, Subject(subject))
	}
	return out
}

// Marshal writes the statement. The predicate's text is in it byte for byte.
func (s *Statement) Marshal() ([]byte, error) { return s.internal(s.Type).Marshal() }

func (s *Statement) internal(version string) *intoto.Statement {
	out := &intoto.Statement{Type: version, PredicateType: s.PredicateType, Predicate: s.Predicate}
	for _, subject := range s.Subjects {
		out.Subjects = append(out.Subjects, intoto.Subject(subject))
	}
	return out
}

// envelope is the statement in the given version, not yet signed.
func (s *Statement) envelope(version string, maxBytes int64) (*dsse.Envelope, error) {
	if maxBytes <= 0 {
		maxBytes = defaultMaxBytes
	}
	parts, err := s.internal(version).Parts()
	if err != nil {
		return nil, err
	}
	size := int64(0)
	for _, p := range parts {
		size += int64(len(p))
	}
	if size > maxBytes {
		return nil, fmt.Errorf("%w: the statement has %d bytes, and MaxBytes is %d", ErrTooLarge, size, maxBytes)
	}
	return dsse.New(dsse.PayloadTypeInToto, parts...), nil
}

// Envelope signs a statement that is not attached to an image. It returns a DSSE
// envelope in JSON, with one signature for each signer's key. Every signature is
// verified before it is returned. The limit is 128 MiB. Errors are [ErrOptions],
// [ErrTooLarge], sign.ErrSigner and sign.ErrKey.
func Envelope(ctx context.Context, s *Statement, signers ...sign.Signer) ([]byte, error) {
	checked, err := checkSigners(signers)
	if err != nil {
		return nil, err
	}
	e, err := s.envelope(s.Type, 0)
	if err != nil {
		return nil, err
	}
	for _, by := range checked {
		sig, err := by.SignChecked(ctx, e.PAE())
		if err != nil {
			return nil, err
		}
		e.Signatures = append(e.Signatures, sig)
	}
	text, err := e.TextWithKeyID()
	if err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// Bundle signs a statement as [Envelope] does, with one signer. It returns a Sigstore
// bundle v0.3, as cosign attest-blob writes it.
func Bundle(ctx context.Context, s *Statement, by sign.Signer) ([]byte, error) {
	checked, err := checkSigners([]sign.Signer{by})
	if err != nil {
		return nil, err
	}
	e, err := s.envelope(s.Type, 0)
	if err != nil {
		return nil, err
	}
	signed, err := checked[0].SignEnvelope(ctx, e, false)
	if err != nil {
		return nil, err
	}
	e.Signatures = [][]byte{signed.Signature}
	text, err := bundle.NewEnvelope(signed.Bundle(), e)
	if err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

func checkSigners(signers []sign.Signer) ([]signer.Checked, error) {
	checked, err := signer.Check(signers)
	if errors.Is(err, signer.ErrNone) {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return checked, err
}
