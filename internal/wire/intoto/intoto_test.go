package intoto_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

var (
	sha256Hex = strings.Repeat("ab", 32)
	sha512Hex = strings.Repeat("cd", 64)
)

func digester(algorithm string) (string, bool, error) {
	switch algorithm {
	case "sha256":
		return sha256Hex, true, nil
	case "sha512":
		return sha512Hex, true, nil
	}
	return "", false, nil
}

func statement(subjects string) []byte {
	return []byte(`{"_type":"` + intoto.StatementV1 + `","subject":` + subjects + `,"predicateType":"https://example.com/p","predicate":{"k": 1}}`)
}

func TestAttack_E11_SubjectsMatchExactly(t *testing.T) {
	upper := strings.ToUpper(sha256Hex)
	for name, c := range map[string]struct {
		subjects string
		match    bool
	}{
		"one":                          {`[{"digest":{"sha256":"` + sha256Hex + `"}}]`, true},
		"second of two":                {`[{"digest":{"sha256":"00"}},{"name":"x","digest":{"sha256":"` + sha256Hex + `"}}]`, true},
		"two algorithms":               {`[{"digest":{"sha256":"` + sha256Hex + `","sha512":"` + sha512Hex + `"}}]`, true},
		"unknown algorithm beside":     {`[{"digest":{"gitCommit":"1234","sha256":"` + sha256Hex + `"}}]`, true},
		"sha512 alone":                 {`[{"digest":{"sha512":"` + sha512Hex + `"}}]`, true},
		"sha512 contradicts":           {`[{"digest":{"sha256":"` + sha256Hex + `","sha512":"` + sha256Hex + `"}}]`, false},
		"sha256 contradicts":           {`[{"digest":{"sha256":"` + sha512Hex + `","sha512":"` + sha512Hex + `"}}]`, false},
		"other digest":                 {`[{"digest":{"sha256":"` + strings.Repeat("00", 32) + `"}}]`, false},
		"upper case":                   {`[{"digest":{"sha256":"` + upper + `"}}]`, false},
		"prefix":                       {`[{"digest":{"sha256":"` + sha256Hex[:62] + `"}}]`, false},
		"longer":                       {`[{"digest":{"sha256":"` + sha256Hex + `00"}}]`, false},
		"with algorithm":               {`[{"digest":{"sha256":"sha256:` + sha256Hex + `"}}]`, false},
		"unknown algorithm only":       {`[{"digest":{"md5":"` + sha256Hex + `"}}]`, false},
		"algorithm in other case":      {`[{"digest":{"SHA256":"` + sha256Hex + `"}}]`, false},
		"no digest":                    {`[{"name":"x"}]`, false},
		"empty digest":                 {`[{"digest":{}}]`, false},
		"halves of two subjects do":    {`[{"digest":{"sha256":"00"}},{"digest":{"sha512":"00"}}]`, false},
		"name is the digest, not more": {`[{"name":"sha256:` + sha256Hex + `","digest":{"sha1":"00"}}]`, false},
	} {
		s, err := intoto.Parse(statement(c.subjects))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		subject, err := s.Match(digester)
		if err != nil || (subject != nil) != c.match {
			t.Errorf("%s: matched %v, %v; want %v", name, subject, err, c.match)
		}
	}
}

func TestAFailingDigesterMatchesNothing(t *testing.T) {
	s, err := intoto.Parse(statement(`[{"digest":{"sha512":"` + sha512Hex + `"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no manifest at hand")
	if subject, err := s.Match(func(string) (string, bool, error) { return sha512Hex, true, broken }); subject != nil || !errors.Is(err, broken) {
		t.Errorf("matched %v, %v", subject, err)
	}
}

func TestMalformedStatementsAreRefused(t *testing.T) {
	var many strings.Builder
	for i := range intoto.MaxSubjects + 1 {
		fmt.Fprintf(&many, `{"digest":{"sha256":"%064d"}},`, i)
	}
	good := string(statement(`[{"digest":{"sha256":"00"}}]`))
	for name, text := range map[string]string{
		"other _type":        strings.Replace(good, intoto.StatementV1, "https://in-toto.io/Statement/v2", 1),
		"no _type":           strings.Replace(good, "_type", "type", 1),
		"no predicateType":   strings.Replace(good, "predicateType", "other", 1),
		"empty type":         strings.Replace(good, "https://example.com/p", "", 1),
		"predicate a list":   strings.Replace(good, `{"k": 1}`, `[]`, 1),
		"predicate a number": strings.Replace(good, `{"k": 1}`, `1`, 1),
		"no subject":         string(statement(`[]`)),
		"subject an object":  string(statement(`{}`)),
		"digest a string":    string(statement(`[{"digest":"sha256:00"}]`)),
		"digest of numbers":  string(statement(`[{"digest":{"sha256":1}}]`)),
		"name a number":      string(statement(`[{"name":1,"digest":{"sha256":"00"}}]`)),
		"too many subjects":  string(statement(`[` + many.String() + `{"digest":{}}]`)),
		"duplicate subject":  `{"subject":[],` + good[1:],
		"case variant":       `{"Subject":[],` + good[1:],
		"not an object":      `[]`,
	} {
		if s, err := intoto.Parse([]byte(text)); !errors.Is(err, intoto.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, s, err)
		}
	}
}

func TestPredicateIsHandedOutByteForByte(t *testing.T) {
	s, err := intoto.Parse(statement(`[{"digest":{"sha256":"00"}}]`))
	if err != nil || string(s.Predicate) != `{"k": 1}` {
		t.Errorf("predicate %q, %v", s.Predicate, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(statement(`[{"name":"n","digest":{"sha256":"` + sha256Hex + `"},"annotations":{"a":"b"}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := intoto.Parse(text)
		if err != nil {
			return
		}
		out, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := intoto.Parse(out)
		if err != nil {
			t.Fatalf("written, it does not read: %v\n%s", err, out)
		}
		a, errA := s.Match(digester)
		b, errB := again.Match(digester)
		if (a == nil) != (b == nil) || errA != nil || errB != nil || again.PredicateType != s.PredicateType {
			t.Fatalf("written and read, it means something else: %v %v", a, b)
		}
		if final, _ := again.Marshal(); !bytes.Equal(final, out) {
			t.Fatalf("writing is not stable:\n%s\n%s", out, final)
		}
	})
}

func TestParse_NumbersMayHaveAnySizeInThePredicateAlone(t *testing.T) {
	const huge = "123456789012345678901234567890"
	text := string(statement(`[{"digest":{"sha256":"` + sha256Hex + `"}}]`))
	if _, err := intoto.Parse([]byte(strings.Replace(text, `"k": 1`, `"k": `+huge, 1))); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{strings.Replace(text, `{"_type"`, `{"x":[`+huge+`],"_type"`, 1), strings.Replace(text, `{"digest"`, `{"x":`+huge+`,"digest"`, 1)} {
		if _, err := intoto.Parse([]byte(bad)); !errors.Is(err, intoto.ErrMalformed) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestWrapped_IsWhatCosignPutsAroundADocument(t *testing.T) {
	for predicate, want := range map[string]string{
		`"{}"`: "{}", `{"Data":{"a":1}}`: `{"a":1}`, `{"Data":"text","Timestamp":7}`: "text",
		`{}`: "", `{"Data":[1]}`: "", `{"Data":null}`: "", `{"Data":{},"x":1}`: "", `{"data":{}}`: "", `7`: "",
	} {
		v, err := strictjson.Parse([]byte(predicate))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := intoto.Wrapped(v); string(got) != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", predicate, got, ok)
		}
	}
}
