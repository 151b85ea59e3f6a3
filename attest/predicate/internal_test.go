package predicate

import (
	"slices"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

func TestElementsAreThoseThatTheParserFinds(t *testing.T) {
	for _, text := range []string{
		`[]`, `[ ]`, `[1]`, ` [ 1 , "a,b]" ,[2,3],{"x":[",",{}]} , null,"\\","\"," ]`, `[[]]`, `[[],[]]`, `{"a":[1]}`, `"[1,2]"`, `1`, `["\u005d,",[["]"]]]`,
	} {
		v, err := strictjson.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for e := range v.Elems() {
			want = append(want, string(e.Raw()))
		}
		for e := range elements(v) {
			got = append(got, string(e))
		}
		if !slices.Equal(got, want) || countElements(v) != len(want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		for range elements(v) {
			break
		}
	}
}

func TestNesting(t *testing.T) {
	for text, want := range map[string]int{`1`: 0, `"[["`: 0, `{}`: 1, `[[],[[]]]`: 3, `{"[":"\"[","a":[{"\\":[]}]}`: 4} {
		if got := nesting([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestWithinLooksIntoWhatWasNotKept(t *testing.T) {
	v, err := strictjson.ParseShallow([]byte(`{"a":{"b":{"c":"deep"}}}`), 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := textAt(v, "a", "b", "c"); got != "deep" {
		t.Errorf("got %q", got)
	}
	if within(v, "a", "x", "c").Exists() || within(v, "a", "b", "c", "d").Exists() {
		t.Error("something is where there is nothing")
	}
}
