package sigstorego

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// mutants yields a document with one change, for each place and kind of change.
func mutants(t *testing.T, text []byte, yield func(what string, text []byte)) {
	t.Helper()
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	write := func(what string) {
		changed, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		yield(what, changed)
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		others := changes(v)
		for _, what := range slices.Sorted(maps.Keys(others)) {
			set(others[what])
			write(path + " " + what)
		}
		set(v)
		switch x := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(x)) {
				member := x[name]
				walk(path+"."+name, member, func(o any) { x[name] = o })
				delete(x, name)
				write(path + "." + name + " is left out")
				other := strings.ToUpper(name[:1]) + name[1:]
				x[other] = member
				write(path + "." + name + " in another case")
				delete(x, other)
				x[name] = member
			}
			x["more"] = 1
			write(path + " has more")
			delete(x, "more")
		case []any:
			for i, element := range x {
				walk(fmt.Sprintf("%s[%d]", path, i), element, func(o any) { x[i] = o })
			}
		}
	}
	walk("", doc, func(o any) { doc = o })
}

// changes are other values in place of one.
func changes(v any) map[string]any {
	out := map[string]any{"null": nil}
	switch x := v.(type) {
	case string:
		out["is empty"], out["has more"], out["is a number"] = "", x+"A", 7
		if len(x) > 2 {
			middle := []byte(x)
			middle[len(x)/2] ^= 1
			out["differs in the middle"] = string(middle)
			first := []byte(x)
			first[1] ^= 2
			out["differs at the start"] = string(first)
		}
		if data, err := base64.StdEncoding.DecodeString(x); err == nil && len(data) > 4 {
			flipped := bytes.Clone(data)
			flipped[len(data)-2] ^= 4
			out["differs in a bit at the end"] = base64.StdEncoding.EncodeToString(flipped)
			out["is shorter"] = base64.StdEncoding.EncodeToString(data[:len(data)-1])
			sum := sha256.Sum256(data)
			out["is something else"] = base64.StdEncoding.EncodeToString(sum[:])
		}
	case []any:
		out["is empty"] = []any{}
		if len(x) > 0 {
			out["has the first twice"] = append([]any{x[0]}, x...)
			out["lacks the first"] = x[1:]
		}
	case map[string]any:
		out["is empty"] = map[string]any{}
	}
	return out
}

// flips yields text with one bit changed, at so many places from its start to its end.
func flips(text []byte, places int, yield func(what string, text []byte)) {
	for n := range places {
		at := n * len(text) / places
		changed := bytes.Clone(text)
		changed[at] ^= 1 << (n % 8)
		yield(fmt.Sprintf("bit %d of byte %d of %d", n%8, at, len(text)), changed)
	}
}
