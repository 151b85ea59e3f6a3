package oci_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

func entryOf(n int, more string) string {
	return fmt.Sprintf(`{"mediaType":"m","size":1,"digest":"sha256:%064x"%s}`, n, more)
}

func TestListsAreReadAsTheyAreParsed(t *testing.T) {
	for name, text := range map[string]string{
		"index":      index,
		"none":       `{"schemaVersion":2}`,
		"null":       `{"manifests":null}`,
		"malformed":  `{"manifests":[` + entryOf(1, "") + `,{"size":-1},3,null,` + entryOf(2, `,"annotations":{"a":"b"}`) + `],"annotations":{"x":"y"}}`,
		"empty":      `{"manifests":[]}`,
		"two values": `{"manifests":[` + entryOf(1, `,"size":2`) + `]}`,
	} {
		want, err := oci.ParseReferrers([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := oci.ReadReferrers(iotest.OneByteReader(strings.NewReader(text)), 100)
		if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	broken := errors.New("broken")
	for n := range len(index) {
		if _, err := oci.ReadReferrers(strings.NewReader(index[:n]), 100); !errors.Is(err, oci.ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if _, err := oci.ReadReferrers(io.MultiReader(strings.NewReader(index[:n]), iotest.ErrReader(broken)), 100); !errors.Is(err, broken) {
			t.Fatalf("broken at %d: %v", n, err)
		}
	}
	for _, text := range []string{"", "[]", "x", `{"manifests":[}`, index + "x", `{"manifests":[` + strings.Repeat("[", 100)} {
		if _, err := oci.ReadReferrers(strings.NewReader(text), 100); !errors.Is(err, oci.ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Registries repeat annotations in their lists, and an attacker chooses those of their own
// referrers.
func TestAttack_E21_LongAnnotationsHideNoEntry(t *testing.T) {
	long := `,"annotations":{"x":"` + strings.Repeat("x", 1<<20) + `"}`
	some := `,"annotations":{"x":"` + strings.Repeat("x", 60<<10) + `"}`
	var text strings.Builder
	text.WriteString(`{"manifests":[`)
	for n := range 8 {
		text.WriteString(entryOf(n, long) + ",")
	}
	for n := range 100 {
		text.WriteString(entryOf(100+n, some) + ",")
	}
	text.WriteString(entryOf(1000, "") + "," + entryOf(1001, "") + "]}")
	all, err := oci.ReadReferrers(strings.NewReader(text.String()), 109)
	if err != nil || len(all) != 109 {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	kept := 0
	for n, d := range all {
		kept += len(d.Annotations["x"])
		if n < 8 && d.Annotations != nil {
			t.Errorf("%d has its annotations", n)
		}
	}
	if kept > 4<<20 || all[8].Annotations == nil || all[108].Digest.Hex != fmt.Sprintf("%064x", 1000) {
		t.Errorf("%d bytes of annotations are kept; the last is %v", kept, all[108])
	}
}

func FuzzReadReferrers(f *testing.F) {
	f.Add([]byte(index))
	f.Add([]byte(`{"manifests":[` + entryOf(1, `,"annotations":{"a":"\u00e9"}`) + `,{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := oci.ReadReferrers(strings.NewReader(string(text)), 1000)
		if err != nil {
			return
		}
		for _, d := range got {
			if d.Size < 0 || len(d.Digest.Hex) != 64 {
				t.Fatalf("%+v", d)
			}
		}
	})
}
