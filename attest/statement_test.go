package attest_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/sign"
)

// unwritable is a predicate that JSON has no form for.
type unwritable struct{ N float64 }

func (unwritable) PredicateType() string { return testType }

func someSubject() attest.Subject {
	return attest.Subject{Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}}
}

func TestStatementsAreAboutSomethingAndCanBeWritten(t *testing.T) {
	good := rawText{testType, `{}`}
	for label, c := range map[string]struct {
		p        attest.Predicate
		subjects []attest.Subject
		want     error
	}{
		"about nothing":      {good, nil, attest.ErrSubject},
		"about too much":     {good, slices.Repeat([]attest.Subject{someSubject()}, attest.MaxSubjects+1), attest.ErrSubject},
		"as much as may be":  {good, slices.Repeat([]attest.Subject{someSubject()}, attest.MaxSubjects), nil},
		"cannot be written":  {unwritable{math.NaN()}, []attest.Subject{someSubject()}, predicate.ErrInvalid},
		"can be written":     {unwritable{1}, []attest.Subject{someSubject()}, nil},
		"one without digest": {good, []attest.Subject{someSubject(), {Name: "x"}}, attest.ErrSubject},
	} {
		if st, err := attest.NewStatement(c.p, c.subjects...); !errors.Is(err, c.want) || (st == nil) == (err == nil) {
			t.Errorf("%s: %v, want %v", label, err, c.want)
		}
	}
}

func TestTextsThatAreNoStatementAreRefused(t *testing.T) {
	const good = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"00"}}],"predicateType":"https://example.com/p","predicate":{}}`
	if _, err := attest.ParseStatement([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		``, `[]`, `{}`, good + good, strings.Replace(good, "Statement/v1", "Statement/v9", 1),
		strings.Replace(good, `"predicate":{}`, `"predicate":{},"predicate":{}`, 1), strings.Replace(good, `{"digest":{"sha256":"00"}}`, ``, 1),
	} {
		if st, err := attest.ParseStatement([]byte(text)); st != nil || !errors.Is(err, attest.ErrStatement) {
			t.Errorf("%s: %v, %v; want ErrStatement", text, st, err)
		}
	}
}

func TestStatementsByNobodyOrBeyondTheLimitAreNotSigned(t *testing.T) {
	ctx, by := context.Background(), newSigner(t)
	small := &attest.Statement{Type: "https://in-toto.io/Statement/v1", Subjects: []attest.Subject{someSubject()}, PredicateType: testType, Predicate: []byte(`{}`)}
	large := *small
	large.Predicate = make([]byte, 128<<20)
	failing := badSigner{by, func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no token") }}
	for label, c := range map[string]struct {
		st   *attest.Statement
		by   sign.Signer
		want error
	}{
		"by a key":         {small, by, nil},
		"by no key":        {small, nil, attest.ErrOptions},
		"by who fails":     {small, failing, sign.ErrSigner},
		"beyond the limit": {&large, by, attest.ErrTooLarge},
	} {
		if text, err := attest.Envelope(ctx, c.st, c.by); !errors.Is(err, c.want) || (text == nil) == (err == nil) {
			t.Errorf("an envelope %s: %v, want %v", label, err, c.want)
		}
		if text, err := attest.Bundle(ctx, c.st, c.by); !errors.Is(err, c.want) || (text == nil) == (err == nil) {
			t.Errorf("a bundle %s: %v, want %v", label, err, c.want)
		}
	}
	if _, err := attest.Envelope(ctx, small); !errors.Is(err, attest.ErrOptions) {
		t.Errorf("an envelope without signers: %v", err)
	}
}

func TestADocumentInAStringThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{`"`, `"{`, `"\ud800"`, `"{}" {}`, `"[]"`, `"not JSON"`} {
		if d, err := predicate.Parse("spdx", []byte(text)); d != nil || !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%s: %v, %v; want ErrPredicate", text, d, err)
		}
	}
}
