package strictyaml_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/strictyaml"
)

type policy struct {
	Version int            `json:"version"`
	Keys    map[string]key `json:"keys"`
	Rules   []rule         `json:"rules"`
}

type key struct {
	File     string    `json:"file"`
	NotAfter time.Time `json:"notAfter,omitzero"`
}

type rule struct {
	Images    []string `json:"images"`
	Threshold int      `json:"threshold"`
	Deny      bool     `json:"deny"`
}

const good = `version: 1 # the only one
keys:
  release: {file: release.pub, notAfter: 2027-01-31T00:00:00Z}
  "odd name":
    file: >
      folded
      text
rules:
  - images: [registry.example/team/**, 'quoted']
    threshold: 2
    deny: true
`

func TestYAMLAndJSONMeanTheSame(t *testing.T) {
	read := func(text string) policy {
		t.Helper()
		d, err := strictyaml.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var p policy
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := read(good)
	if p.Version != 1 || p.Keys["release"].NotAfter.Year() != 2027 || p.Keys["odd name"].File != "folded text\n" ||
		p.Rules[0].Images[1] != "quoted" || p.Rules[0].Threshold != 2 || !p.Rules[0].Deny {
		t.Errorf("%+v", p)
	}
	text, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if again := read(string(text)); fmt.Sprint(again) != fmt.Sprint(p) {
		t.Errorf("as JSON: %+v", again)
	}
}

func TestAttack_T1_WhatHasTwoMeaningsIsRefusedWithItsPosition(t *testing.T) {
	for name, c := range map[string]struct {
		text         string
		line, column int
	}{
		"unknown field":         {"version: 1\nrules:\n  - image: [x]\n", 3, 5},
		"unknown field at top":  {"version: 1\nkey: {}\n", 2, 1},
		"field in other case":   {"Version: 1\n", 1, 1},
		"duplicate field":       {"version: 1\nversion: 2\n", 2, 1},
		"duplicate in case":     {"keys:\n  a: {file: x}\n  A: {file: y}\n", 3, 3},
		"anchor":                {"keys: &k {}\n", 1, 7},
		"alias":                 {"keys: &k {}\nrules: *k\n", 1, 7},
		"merge key":             {"keys:\n  <<: {a: {file: x}}\n", 2, 3},
		"tag":                   {"version: !!int \"1\"\n", 1, 10},
		"binary":                {"version: !!binary aGk=\n", 1, 10},
		"own tag":               {"version: !x 1\n", 1, 10},
		"null":                  {"version: 1\nrules:\n", 2, 7},
		"tilde":                 {"version: ~\n", 1, 10},
		"octal":                 {"version: 0o1\n", 1, 10},
		"leading zero":          {"version: 01\n", 1, 10},
		"hexadecimal":           {"version: 0x1\n", 1, 10},
		"underscore":            {"version: 1_0\n", 1, 10},
		"infinity":              {"version: .inf\n", 1, 10},
		"true in other case":    {"rules: [{deny: True}]\n", 1, 16},
		"number for a name":     {"keys:\n  1: {file: x}\n", 2, 3},
		"text for a number":     {"version: \"1\"\n", 1, 1},
		"fraction":              {"version: 1.5\n", 1, 1},
		"object for a list":     {"rules: {images: x}\n", 1, 1},
		"wrong in a list":       {"rules:\n  - images:\n      - a\n      - [b]\n", 4, 9},
		"malformed time":        {"keys:\n  a:\n    notAfter: tomorrow\n", 3, 5},
		"two documents":         {"version: 1\n---\nversion: 2\n", 2, 1},
		"tab for indentation":   {"version: 1\nrules:\n\t- images: [x]\n", 3, 0},
		"unclosed":              {"rules: [\n", 1, 0},
		"byte order mark":       {"\ufeffversion: 1\n", 1, 1},
		"complex key":           {"? [a]\n: b\n", 1, 3},
		"scalar":                {"version\n", 1, 1},
		"empty":                 {"", 0, 0},
		"comment only":          {"# nothing\n", 0, 0},
		"invalid UTF-8":         {"version: \"\xff\"\n", 0, 0},
		"deep":                  {"version: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), 1, 42},
		"large":                 {strings.Repeat("#", 5<<20), 0, 0},
		"JSON, field twice":     {"{\"version\": 1,\n \"version\": 2}", 2, 2},
		"JSON, trailing data":   {"{\"version\": 1} {}", 0, 0},
		"JSON, trailing object": {"{\"version\": 1}\n{}", 1, 0},
	} {
		d, err := strictyaml.Parse([]byte(c.text))
		if err == nil {
			var p policy
			err = d.Decode(&p)
		}
		var e *strictyaml.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, want an *Error", name, err)
			continue
		}
		if e.Line != c.line || e.Column != c.column {
			t.Errorf("%s: %v; want line %d, column %d", name, err, c.line, c.column)
		}
	}
}

func TestErrorsOfTheCallerAreShownWhereTheyBelong(t *testing.T) {
	d, err := strictyaml.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"rules[0].images[1]": "line 9, column 40: rules[0].images[1] is wrong",
		"rules[0].require":   "line 9, column 5: rules[0].require is wrong",
		"keys.release":       "line 3, column 3: keys.release is wrong",
		"nowhere.at.all":     "line 1, column 1: nowhere.at.all is wrong",
	} {
		if got := d.Fail(path, "is %s", "wrong").Error(); got != want {
			t.Errorf("%s: %s; want %s", path, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"version": 1, "keys": {}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := strictyaml.Parse(text)
		if err != nil {
			return
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return // a number that is out of range
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := strictyaml.Parse(again); err != nil {
			t.Fatalf("written as JSON it is refused: %v\n%s", err, again)
		}
	})
}

// To tell where each value stands, every path is held: what that takes is bounded.
func TestAttack_E6_LongNamesOfManyValuesAreRefused(t *testing.T) {
	long := strings.Repeat("a", 2000)
	many := strings.Repeat("1,", 100_000) + "1"
	deep := strings.Repeat("a", 1000)
	for label, text := range map[string]string{
		"a long name":            "? " + long + "\n: 1\n",
		"many below a long path": strings.Repeat("? "+deep+"\n: ", 1) + "[" + many + "]\n",
	} {
		var wrong *strictyaml.Error
		if _, err := strictyaml.Parse([]byte(text)); !errors.As(err, &wrong) || wrong.Line == 0 {
			t.Errorf("%s: %v", label, err)
		}
	}
}

// A zero in a file would count as not given.
func TestAttack_T1_ZeroesAreRefusedWithTheirPosition(t *testing.T) {
	for label, text := range map[string]string{
		"number":           "version: 1\nrules:\n  - threshold: 0\n",
		"time":             "version: 1\nkeys:\n  a: {notAfter: 0001-01-01T00:00:00Z}\n",
		"time in a zone":   "version: 1\nkeys:\n  a: {notAfter: 0001-01-01T01:00:00+01:00}\n",
		"number in a list": `{"version":1,"rules":[{"threshold":-0}]}`,
	} {
		d, err := strictyaml.Parse([]byte(text))
		if err != nil {
			t.Fatal(label, err)
		}
		var p policy
		var wrong *strictyaml.Error
		if err := d.Decode(&p); !errors.As(err, &wrong) || wrong.Line == 0 || !strings.Contains(wrong.Detail, "count as") {
			t.Errorf("%s: %v, %+v", label, err, p)
		}
	}
}
