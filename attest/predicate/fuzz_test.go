package predicate_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// Whatever is read as a predicate makes a statement that is read again, with the
// same text; and so does what the Go value says.
func FuzzParsePredicate(f *testing.F) {
	f.Add("https://example.com/own/v1", []byte(`{"a":[1,{"b":null}]}`))
	f.Add("custom", []byte(`{"Data":[{"x":"\ud83d\ude00"}],"Timestamp":"0000-01-01T00:00:00.000000001+23:59"}`))
	f.Add("slsaprovenance1", []byte(`{"buildDefinition":{"buildType":"x:y","externalParameters":{"n":1e300,"m":-0.0}},"runDetails":{"builder":{"id":"x:y"}}}`))
	for _, s := range samples() {
		f.Add(s.typ, read(f, s.file))
	}
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		if _, err := predicate.Summarize(typ, data, scan.Count); err != nil && !errors.Is(err, predicate.ErrInvalid) && !errors.Is(err, predicate.ErrType) {
			t.Errorf("untyped error: %v", err)
		}
		doc, err := predicate.Parse(typ, data)
		if err != nil {
			if !errors.Is(err, predicate.ErrInvalid) && !errors.Is(err, predicate.ErrType) {
				t.Errorf("untyped error: %v", err)
			}
			return
		}
		if got := stated(t, doc); !bytes.Equal(got, bytes.Trim(data, " \t\r\n")) {
			t.Errorf("signed is %q", got)
		}
		if p, ok := doc.Value().(attest.Predicate); ok {
			again, err := predicate.Parse(p.PredicateType(), stated(t, p))
			if err != nil {
				t.Fatalf("what the value says is refused: %v", err)
			}
			stated(t, again)
		}
	})
}

// stated makes a statement of a predicate and returns the predicate in it, as a
// verifier reads it.
func stated(t *testing.T, p attest.Predicate) []byte {
	t.Helper()
	s, err := attest.NewStatement(p, anImage())
	if err != nil {
		t.Fatalf("what was read makes no statement: %v", err)
	}
	text, err := (&intoto.Statement{
		Type: s.Type, Subjects: []intoto.Subject{{Name: "a", Digest: s.Subjects[0].Digest}}, PredicateType: s.PredicateType, Predicate: s.Predicate,
	}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := intoto.Parse(text); err != nil {
		t.Fatalf("the statement is refused: %v", err)
	}
	return s.Predicate
}
