package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// toAny turns a value into what encoding/json would decode.
func toAny(t testing.TB, v strictjson.Value) any {
	switch v.Kind() {
	case strictjson.Null:
		return nil
	case strictjson.Bool:
		b, _ := v.Truth()
		return b
	case strictjson.Number:
		return json.Number(v.Raw())
	case strictjson.String:
		s, _ := v.Str()
		return s
	case strictjson.Array:
		list := []any{}
		for e := range v.Elems() {
			list = append(list, toAny(t, e))
		}
		return list
	case strictjson.Object:
		m := map[string]any{}
		for k, e := range v.Members() {
			m[k] = toAny(t, e)
		}
		return m
	}
	t.Fatal("missing value in a parsed document")
	return nil
}

func decode(t testing.TB, data []byte) any {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("encoding/json refuses what was accepted: %v\n%q", err, data)
	}
	return v
}

var accepted = []string{
	`null`, `true`, ` false `, `0`, `-0`, `-12.5e+3`, `9223372036854775807`, `-9223372036854775808`, `1e400`,
	`""`, `"a\"\\\/\b\f\n\r\té😀é"`, `[]`, `[1,"2",[3],{}]`,
	`{}`, `{"a":1,"b":{"a":[null,true]},"c":"x"}`,
	`{"annotations":{"Version":"1","version":"2"},"x":{"annotations":{"a":"","A":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","H":""}}}`,
	`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":[10]}`,
}

func TestAcceptedDocumentsMeanWhatEncodingJSONReads(t *testing.T) {
	for _, doc := range accepted {
		v, err := strictjson.Parse([]byte(doc))
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		if got, want := toAny(t, v), decode(t, []byte(doc)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", doc, got, want)
		}
	}
}

func TestAttack_E5_AmbiguousJSONIsMalformed(t *testing.T) {
	manyKeys := `"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9`
	for name, doc := range map[string]string{
		"duplicate key":              `{"a":1,"a":2}`,
		"case variant":               `{"payload":"x","Payload":"y"}`,
		"case variant by folding":    `{"k":1,"` + "\u212a" + `":2}`, // the Kelvin sign folds to k
		"escaped duplicate":          `{"a":1,"\u0061":2}`,
		"duplicate among many":       `{` + manyKeys + `,"C":10}`,
		"folded duplicate of many":   `{` + manyKeys + `,"s":10,"` + "\u017f" + `":11}`,
		"case variants beside":       `{"annotations":{},"k":1,"K":2}`,
		"case variants behind":       `{"annotations":[{"k":1,"K":2}]}`,
		"case variants within":       `{"annotations":{"x":{"k":1,"K":2}}}`,
		"case variants after null":   `{"x":[{"annotations":null},{"k":1,"K":2}]}`,
		"case variants after 1":      `[{"labels":1},{"k":1,"K":2}]`,
		"case variants after a word": `[[{"materials":"m"}],{"k":1,"K":2}]`,
		"duplicate annotation":       `{"annotations":{"k":"","k":""}}`,
		"nested duplicate":           `{"x":[{"a":1,"a":2}]}`,
		"trailing value":             `{} {}`,
		"trailing comma":             `[1,]`,
		"trailing garbage":           `{}x`,
		"byte order mark":            "\ufeff{}",
		"invalid UTF-8":              "\"\xff\"",
		"overlong UTF-8":             "\"\xc0\x80\"",
		"UTF-8 surrogate":            "\"\xed\xa0\x80\"",
		"lone surrogate escape":      `"\ud800"`,
		"reversed surrogate escapes": `"\ude00\ud83d"`,
		"truncated escape":           `"\u12"`,
		"unknown escape":             `"\x41"`,
		"control character":          "\"a\nb\"",
		"NaN":                        `NaN`,
		"Infinity":                   `{"a":Infinity}`,
		"integer beyond int64":       `9223372036854775808`,
		"long number":                `0.` + strings.Repeat("1", 100),
		"leading zero":               `01`,
		"plus sign":                  `+1`,
		"bare point":                 `1.`,
		"hex":                        `0x10`,
		"single quotes":              `{'a':1}`,
		"comment":                    `{}//x`,
		"unterminated":               `{"a":"b`,
		"empty":                      ``,
		"blank":                      ` `,
		"word":                       `nul`,
	} {
		if _, err := strictjson.Parse([]byte(doc)); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("%s: %v, want ErrSyntax", name, err)
		}
	}
}

func TestAttack_E6_DeepWideAndLongJSONIsBounded(t *testing.T) {
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	wide := "[" + strings.Repeat("0,", strictjson.MaxNodes) + "0]"
	for name, doc := range map[string]string{"deep": deep, "wide": wide} {
		if _, err := strictjson.Parse([]byte(doc)); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("%s: %v, want ErrSyntax", name, err)
		}
	}
	var keys strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&keys, `"k%d":0,`, i)
	}
	if _, err := strictjson.Parse([]byte("{" + keys.String() + `"end":0}`)); err != nil {
		t.Errorf("an object of many keys, in linear time: %v", err)
	}
}

func TestLookupsOnOtherKindsFindNothing(t *testing.T) {
	v, err := strictjson.Parse([]byte(`{"s":"x","n":1,"f":1.5,"a":[1,2],"o":{"k":"v"},"z":null,"m":{"k":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if v.Get("S").Exists() || v.Get("s").Get("x").Exists() || v.Get("none").Get("deeper").Exists() {
		t.Error("found a member that is not there")
	}
	if _, ok := v.Get("n").Str(); ok {
		t.Error("a number is not a string")
	}
	if _, ok := v.Get("f").Int(); ok {
		t.Error("a fraction is not an integer")
	}
	if m, ok := v.Get("o").StrMap(); !ok || m["k"] != "v" {
		t.Error("a map of strings was not read")
	}
	if _, ok := v.Get("m").StrMap(); ok {
		t.Error("a map of numbers is not a map of strings")
	}
	if m, ok := v.Get("z").StrMap(); !ok || m != nil {
		t.Error("null is an absent map")
	}
	if v.Get("a").Len() != 2 || v.Len() != 7 || v.Get("s").Len() != 0 {
		t.Error("wrong lengths")
	}
	if !v.Get("s").Is("x") || v.Get("s").Is("y") || v.Get("n").Is("1") {
		t.Error("Is is wrong")
	}
}

func FuzzParse(f *testing.F) {
	for _, doc := range accepted {
		f.Add([]byte(doc))
	}
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := strictjson.Parse(data)
		if err != nil {
			return
		}
		if got, want := toAny(t, v), decode(t, data); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
	})
}

func BenchmarkParseBundle(b *testing.B) {
	doc := []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"aGludA=="}},"dsseEnvelope":{"payload":"` +
		strings.Repeat("QUJD", 80) + `","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"` + strings.Repeat("QUJD", 24) + `"}]}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := strictjson.Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParseWithin_BoundsValuesAndNames(t *testing.T) {
	text := []byte(`{"a":[` + strings.TrimSuffix(strings.Repeat("1,", 50_000), ",") + `]}`)
	if _, err := strictjson.ParseWithin(text, 50_003); err != nil {
		t.Error(err)
	}
	if _, err := strictjson.ParseWithin(text, 50_002); err == nil {
		t.Error("there are more values than may be")
	}
}

func TestParseOthersTakesNumbersOfAnySize(t *testing.T) {
	for _, pad := range []string{"", strings.Repeat("x", 9<<10)} {
		text := `{"a":{"n":18446744073709551616,"m":` + strings.Repeat("9", 100) + `},"b":[1],"c":1e400,"pad":"` + pad + `"}`
		if _, err := strictjson.ParseShallow([]byte(text), 1); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("ParseShallow: %v", err)
		}
		v, err := strictjson.ParseOthers([]byte(text), 1)
		if err != nil {
			t.Fatal(err)
		}
		a, err := v.Get("a").Whole()
		if n, ok := a.Get("n").Int(); err != nil || ok {
			t.Errorf("%d, %v", n, err)
		}
		var m map[string]any
		if err := strictjson.Decode(a, &m, strictjson.DecodeOptions{}); !errors.Is(err, strictjson.ErrType) {
			t.Errorf("decoded as %v: %v", m, err)
		}
		if a, err = strictjson.Unfold(v.Get("a"), 1); err != nil || a.Len() != 2 {
			t.Errorf("unfolded: %d, %v", a.Len(), err)
		}
		if err := strictjson.CheckNumbers(v.Get("a")); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("a: %v", err)
		}
		for _, name := range []string{"b", "c", "pad", "none"} {
			if err := strictjson.CheckNumbers(v.Get(name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, bad := range []string{`{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":01}`, `{"a":1}x`, "\ufeff{}", "[\"\xff\"]", strings.Repeat("[", 65) + strings.Repeat("]", 65)} {
			if _, err := strictjson.ParseOthers([]byte(bad), 1); !errors.Is(err, strictjson.ErrSyntax) {
				t.Errorf("%.20q: %v", bad, err)
			}
		}
	}
}
