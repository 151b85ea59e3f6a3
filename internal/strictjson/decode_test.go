package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

type inner struct {
	Name string `json:"name"`
}

type outer struct {
	inner
	Text    string            `json:"text"`
	Yes     bool              `json:"yes"`
	Small   int8              `json:"small"`
	Count   uint32            `json:"count"`
	Ratio   float64           `json:"ratio"`
	When    time.Time         `json:"when"`
	Until   *time.Time        `json:"until"`
	Bytes   []byte            `json:"bytes"`
	Raw     json.RawMessage   `json:"raw"`
	Any     any               `json:"any"`
	Strings map[string]string `json:"strings"`
	Inners  []inner           `json:"inners"`
	Pointer *inner            `json:"pointer"`
	Untold  string            `json:"-"`
}

func decodeText(text string, into any, o strictjson.DecodeOptions) error {
	v, err := strictjson.Parse([]byte(text))
	if err != nil {
		return err
	}
	return strictjson.Decode(v, into, o)
}

func TestDecodeReadsWhatEncodingJSONWrites(t *testing.T) {
	until := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	want := outer{
		Text: "a\"b\u2028", Yes: true, Small: -7, Count: 7, Ratio: 0.5, When: until.Add(time.Hour), Until: &until,
		Bytes: []byte{0, 1, 255}, Raw: json.RawMessage(`{"k":[1]}`),
		Any:     map[string]any{"n": int64(1), "f": 1.5, "l": []any{"x", nil, false}, "o": map[string]any{}},
		Strings: map[string]string{"a": "1"}, Inners: []inner{{"x"}, {"y"}}, Pointer: &inner{"z"},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got outer
	if err := decodeText(string(text), &got, strictjson.DecodeOptions{RefuseUnknown: true}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeMatchesNamesExactly(t *testing.T) {
	var got outer
	if err := decodeText(`{"Text":"x","TEXT ":"y","Untold":"z","-":"w","unknown":1}`, &got, strictjson.DecodeOptions{}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, outer{}) {
		t.Errorf("took %+v from names that are no field's", got)
	}
	err := decodeText(`{"Text":"x"}`, &got, strictjson.DecodeOptions{RefuseUnknown: true})
	if !errors.Is(err, strictjson.ErrType) || !strings.Contains(err.Error(), `"Text"`) {
		t.Errorf("%v, want a refusal that names the field", err)
	}
}

func TestDecodeNamesThePathOfWhatIsWrong(t *testing.T) {
	for text, path := range map[string]string{
		`[]`:                         "the document",
		`{"text":1}`:                 "text",
		`{"yes":"true"}`:             "yes",
		`{"small":128}`:              "small",
		`{"small":1.5}`:              "small",
		`{"count":-1}`:               "count",
		`{"ratio":"1"}`:              "ratio",
		`{"ratio":1e999}`:            "ratio",
		`{"any":[1e999]}`:            "any[0]",
		`{"when":"yesterday"}`:       "when",
		`{"when":1}`:                 "when",
		`{"bytes":"a-b"}`:            "bytes",
		`{"strings":{"a":{"b":1}}}`:  "strings.a",
		`{"inners":[{},{"name":1}]}`: "inners[1].name",
		`{"inners":{"name":"x"}}`:    "inners",
		`{"pointer":"x"}`:            "pointer",
	} {
		var got outer
		err := decodeText(text, &got, strictjson.DecodeOptions{})
		if !errors.Is(err, strictjson.ErrType) || !strings.Contains(err.Error(), ": "+path+" ") {
			t.Errorf("%s: %v, want an error at %s", text, err, path)
		}
	}
	if err := decodeText(`{}`, outer{}, strictjson.DecodeOptions{}); !errors.Is(err, strictjson.ErrType) {
		t.Errorf("into a value that is not a pointer: %v", err)
	}
}

func TestShallowParsingChecksAllAndKeepsLittle(t *testing.T) {
	// Of a small document all is kept, so this one is made a large one.
	text := large(`{"a":{"b":[1,2],"c":{}},"d":[[3],"e"],"f":{},"padding":"%s"}`)
	v, err := strictjson.ParseShallow([]byte(text), 1)
	if err != nil {
		t.Fatal(err)
	}
	if a := v.Get("a"); !a.Opaque() || a.Len() != 0 || string(a.Raw()) != `{"b":[1,2],"c":{}}` {
		t.Errorf("a: %v, %d members, %s", a.Opaque(), a.Len(), a.Raw())
	}
	if f := v.Get("f"); f.Opaque() || f.Kind() != strictjson.Object {
		t.Error("an empty object holds nothing that could be missing")
	}
	if v, err = strictjson.ParseShallow([]byte(text), 2); err != nil {
		t.Fatal(err)
	}
	if n := v.Get("d").Len(); n != 2 || v.Get("a").Opaque() {
		t.Errorf("d has %d elements at depth 2", n)
	}
	var m map[string]any
	if err := strictjson.Decode(v, &m, strictjson.DecodeOptions{}); !errors.Is(err, strictjson.ErrType) {
		t.Errorf("decoding what was not kept: %v, %v", m, err)
	}
	for _, bad := range []string{`{"a":{"b":{"c":1,"C":2}}}`, `[[[1,]]]`, `[[{"a":1}]`, "[[\"\xff\"]]", strings.Repeat("[", 65) + strings.Repeat("]", 65)} {
		for _, bad := range []string{bad, large(`{"padding":"%s","of":` + bad + `}`)} {
			if _, err := strictjson.ParseShallow([]byte(bad), 1); !errors.Is(err, strictjson.ErrSyntax) {
				t.Errorf("%d bytes, %.40s: %v", len(bad), bad, err)
			}
		}
	}
}

// large fills the one %s of a text to make it a large document.
func large(format string) string { return fmt.Sprintf(format, strings.Repeat("x", 8<<10)) }

func TestWholeHasWhatShallowParsingDidNotKeep(t *testing.T) {
	const text = `{"a":{"b":[1,2]},"c":"d","padding":"%s"}`
	for _, text := range []string{fmt.Sprintf(text, ""), large(text)} {
		v, err := strictjson.ParseShallow([]byte(text), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []strictjson.Value{v, v.Get("a"), v.Get("c")} {
			whole, err := part.Whole()
			if err != nil || !bytes.Equal(whole.Raw(), part.Raw()) || whole.Opaque() {
				t.Errorf("%d bytes: %v, %.40s for %.40s", len(text), err, whole.Raw(), part.Raw())
			}
		}
		a, err := v.Get("a").Whole()
		if err != nil || a.Get("b").Len() != 2 {
			t.Errorf("%d bytes: a has %d, %v", len(text), a.Get("b").Len(), err)
		}
		if whole, err := v.Whole(); err != nil || whole.Get("a").Get("b").Len() != 2 {
			t.Errorf("%d bytes: all of it, %v", len(text), err)
		}
		if _, err := v.Get("nothing").Whole(); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("%d bytes: what is missing: %v", len(text), err)
		}
	}
}

func TestShallowParsingTakesMoreValuesThanParse(t *testing.T) {
	text := []byte(`{"a":[` + strings.Repeat("[1],", strictjson.MaxNodes) + `0]}`)
	if _, err := strictjson.Parse(text); !errors.Is(err, strictjson.ErrSyntax) {
		t.Fatalf("Parse: %v", err)
	}
	if _, err := strictjson.ParseShallow(text, 1); err != nil {
		t.Errorf("ParseShallow: %v", err)
	}
}

func TestLabelsAndAnnotationsMayDifferInCase(t *testing.T) {
	for key, ok := range map[string]bool{"annotations": true, "labels": true, "Labels": true, "predicate": false} {
		_, err := strictjson.Parse([]byte(`{"` + key + `":{"Maintainer":"a","maintainer":"b"}}`))
		if (err == nil) != ok {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := strictjson.Parse([]byte(`{"` + key + `":{"a":"a","a":"b"}}`)); err == nil {
			t.Errorf("%s: the same key twice was accepted", key)
		}
	}
}

func TestUsersNamesMayDifferInCaseWhereAllAreUsersOwn(t *testing.T) {
	v, err := strictjson.ParseExact([]byte(`{"a":{"JSONStream":1,"jsonstream":2}}`))
	if n, _ := v.Get("a").Get("jsonstream").Int(); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := strictjson.ParseExact([]byte(`{"a":1,"a":2}`)); !errors.Is(err, strictjson.ErrSyntax) {
		t.Errorf("the same key twice: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"text":"x","any":{"a":[1,2.5,null]},"inners":[{"name":"n"}],"when":"2026-11-23T00:00:00Z","raw":{ "a" : 1 }}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := strictjson.Parse(text)
		shallow, shallowErr := strictjson.ParseShallow(text, 1)
		if (err == nil) != (shallowErr == nil) {
			t.Fatalf("Parse says %v, ParseShallow %v", err, shallowErr)
		}
		if err != nil {
			return
		}
		if shallow.Len() != v.Len() || string(shallow.Raw()) != string(v.Raw()) {
			t.Fatal("shallow parsing reads another document")
		}
		var got outer
		if strictjson.Decode(v, &got, strictjson.DecodeOptions{RefuseUnknown: true}) != nil {
			return
		}
		// What has passed has no name in another case, and encoding/json
		// reads the same.
		var want outer
		if json.Unmarshal(text, &want) != nil {
			return
		}
		got.Any, want.Any = nil, nil
		a, errA := json.Marshal(got)
		b, errB := json.Marshal(want)
		if errA == nil && errB == nil && string(a) != string(b) {
			t.Fatalf("encoding/json reads something else:\n%s\n%s", a, b)
		}
	})
}

func TestDecodePassesOverMembersByTheirPath(t *testing.T) {
	v, err := strictjson.Parse([]byte(`{"a":{"b":7,"c":"x"},"list":[{"n":"y"},{"n":7}],"d":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	var into struct {
		A struct {
			B string `json:"b"`
			C string `json:"c"`
		} `json:"a"`
		List []struct {
			N string `json:"n"`
		} `json:"list"`
		D string `json:"d"`
	}
	passed := map[string]bool{"a.b": true, "list[1].n": true, "d": true}
	if err := strictjson.Decode(v, &into, strictjson.DecodeOptions{PassOver: func(path string) bool { return passed[path] }}); err != nil {
		t.Fatal(err)
	}
	if into.A.B != "" || into.A.C != "x" || len(into.List) != 2 || into.List[0].N != "y" || into.List[1].N != "" {
		t.Errorf("%+v", into)
	}
	delete(passed, "a.b")
	if err := strictjson.Decode(v, &into, strictjson.DecodeOptions{PassOver: func(path string) bool { return passed[path] }}); err == nil {
		t.Error("a.b is not a string")
	}
}

func TestDecodePassesUnfitMembersOver(t *testing.T) {
	var got outer
	text := `{"text":7,"yes":true,"small":1000,"when":"","strings":{"a":"b","c":[]},"inners":[7,{"name":"n"},{"name":1}],"pointer":{"name":[]},"any":[1e999,"x"],"raw":1}`
	if err := decodeText(text, &got, strictjson.DecodeOptions{PassUnfit: true}); err != nil {
		t.Fatal(err)
	}
	want := outer{Yes: true, Strings: map[string]string{"a": "b", "c": ""}, Inners: []inner{{}, {"n"}, {}}, Pointer: &inner{}, Any: []any{nil, "x"}, Raw: json.RawMessage("1")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := decodeText(`[]`, &got, strictjson.DecodeOptions{PassUnfit: true}); !errors.Is(err, strictjson.ErrType) {
		t.Errorf("a document of another type: %v", err)
	}
}
