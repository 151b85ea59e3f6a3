package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

// judged judges a predicate by conditions on its members.
func judged(t *testing.T, where, text string) error {
	t.Helper()
	_, err := required(t, fmt.Sprintf("attestation: {type: https://acme.example/approval/v1, by: builder, where: [%s]}", where), says{"https://acme.example/approval/v1", text})
	return err
}

// RFC 3339 has two digits for an hour, a point before a fraction, and offsets below a day.
func TestAttack_E13_TimesThatOthersReadOtherwise(t *testing.T) {
	for _, at := range []string{"2026-01-01T1:00:00Z", "2026-01-01T01:00:00,5Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+23:60"} {
		err := judged(t, `{pointer: /at, after: 2020-01-01T00:00:00Z}`, fmt.Sprintf(`{"at": %q}`, at))
		if denial, ok := err.(*verify.Error); !ok || denial.Reason != verify.ReasonPredicate {
			t.Errorf("%s: %v", at, err)
		}
	}
	for _, at := range []string{"2026-01-01T01:00:00Z", "2026-01-01T01:00:00.123456789+23:59", "2026-01-01T01:00:00-00:00"} {
		if err := judged(t, `{pointer: /at, after: 2020-01-01T00:00:00Z}`, fmt.Sprintf(`{"at": %q}`, at)); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// Parts of a large document are read one by one. Each must be read as in a small one.
func TestAttack_E13_LargeDocumentsAreJudgedAsSmallOnes(t *testing.T) {
	filler := `"filler": [` + strings.Repeat(`{"x": [1]}, `, 2000) + `1], `
	for _, text := range []string{
		`"a": {"b": {"State": 1}}`, `"a": {"B": {"state": 1}}`, `"a": {"b": {"state": null}}`, `"a": {"b": []}`, `"a": {"b": {}}`,
		`"a": {"b": [{"state": 1}]}`, `"a": "b"`, `"a": {"b": {"st\u0061te": 1e2}}`, `"a": {"b": {"\u017ftate": 100}}`, `"a": {"b": {"state": 1, "state": 2}}`,
	} {
		large := "{" + filler + strings.Replace(text, "{", "{"+filler, 1) + "}"
		for _, where := range []string{
			`{pointer: /a/b/state, absent: true}`, `{pointer: /a/b/state, equals: 100}`, `{pointer: /a/b, absent: true}`, `{pointer: /a/b/0/state, present: true}`, `{pointer: /a/b/0, absent: true}`,
		} {
			small, large := judged(t, where, "{"+text+"}"), judged(t, where, large)
			if (small == nil) != (large == nil) {
				t.Errorf("%s by %s:\nsmall %v\nlarge %v", text, where, small, large)
			}
		}
	}
}
