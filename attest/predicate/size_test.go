package predicate_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
)

// repeated makes a document of at least size bytes out of a head, an element that is
// repeated with a number in it, and a tail.
func repeated(size int, head, element, tail string) (data []byte, n int) {
	var b bytes.Buffer
	b.Grow(size + 1024)
	b.WriteString(head)
	for b.Len() < size {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, element, n)
		n++
	}
	b.WriteString(tail)
	return b.Bytes(), n
}

// allocated is how many bytes of memory a call asked for in all.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const spdxHead = `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"app",` +
	`"documentNamespace":"https://sbom.example/app","creationInfo":{"creators":["Tool: t"],"created":"2026-03-01T10:05:00Z"},`

func TestDocumentsOf100MBAreNotCopied(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const size = 100 << 20
	for _, c := range []struct {
		typ, head, element, tail string
		count                    func(any) int
	}{
		{
			"spdx", spdxHead + `"packages":[`, `{"name":"p{[","SPDXID":"SPDXRef-%d","x":[{"a":"b\"]}"}]}`, `]}`,
			func(v any) int { return v.(*predicate.SPDX).Packages },
		},
		{
			"cyclonedx", `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[`, `{"type":"file","name":"%d"}`, `]}`,
			func(v any) int { return v.(*predicate.CycloneDX).Components },
		},
		{
			"vuln", `{"metadata":{"scanStartedOn":"2026-03-02T07:00:00Z","scanFinishedOn":"2026-03-02T07:00:12Z"},"scanner":{"result":{"matches":[`,
			`{"vulnerability":{"id":"CVE-%d"}}`, `]}}}`, nil,
		},
	} {
		data, n := repeated(size, c.head, c.element, c.tail)
		var doc *predicate.Document
		var err error
		var took time.Duration
		used := allocated(func() {
			start := time.Now()
			if doc, err = predicate.Parse(c.typ, data); err == nil {
				_, err = attest.NewStatement(doc, anImage())
			}
			took = time.Since(start)
		})
		if err != nil {
			t.Errorf("%s: %v", c.typ, err)
			continue
		}
		t.Logf("%s: %d elements in %v, %d KiB allocated", c.typ, n, took, used>>10)
		if used > size/20 {
			t.Errorf("%s: %d MiB of memory to read and bind %d MiB", c.typ, used>>20, size>>20)
		}
		if &doc.RawPredicate()[0] != &data[0] {
			t.Errorf("%s: the document is a copy", c.typ)
		}
		if c.count != nil && c.count(doc.Value()) != n {
			t.Errorf("%s: counted %d elements, want %d", c.typ, c.count(doc.Value()), n)
		}
	}
}

// Lists of findings and statements are read one by one: more of them than a JSON
// document may have values are no problem.
func TestListsAreNotBoundedByTheNumberOfValues(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	data, n := repeated(10<<20, `{"metadata":{"scanStartedOn":"2026-03-02T07:00:00Z","scanFinishedOn":"2026-03-02T07:00:12Z"},"scanner":{"uri":"x:y","result":[`,
		`{"id":"CVE-%d","severity":[{"method":"nvd","score":"low"}],"annotations":[]}`, `]}}`)
	doc, err := predicate.Parse("vulns", data)
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.Value().(*predicate.Vulns).Counts(); got.Low != n {
		t.Errorf("%d findings, want %d", got.Low, n)
	}
	data, n = repeated(10<<20, `{"@context":"https://openvex.dev/ns","@id":"x:y","author":"a","timestamp":"2026-03-02T09:00:00Z","version":1,"statements":[`,
		`{"vulnerability":{"name":"CVE-%d"},"status":"fixed"}`, `]}`)
	if doc, err = predicate.Parse("openvex", data); err != nil {
		t.Fatal(err)
	}
	if got := doc.Value().(*predicate.OpenVEX).Statements[predicate.VEXFixed]; got != n {
		t.Errorf("%d statements, want %d", got, n)
	}
}

// What must be kept in memory as values is bounded in their number.
func TestAttack_E6_PredicatesOfTooManyValuesAreRefused(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	data, _ := repeated(8<<20, `{"builder":{"id":"x:y"},"buildType":"x:y","materials":[`, `{"uri":"x:%d"}`, `]}`)
	_, err := predicate.Parse("slsaprovenance02", data)
	if !errors.Is(err, predicate.ErrInvalid) || !strings.Contains(err.Error(), "values") {
		t.Errorf("half a million materials: %v, want ErrPredicate for their number", err)
	}
}

func BenchmarkParsePredicateSPDX(b *testing.B) {
	data, _ := repeated(10<<20, spdxHead+`"packages":[`, `{"name":"p","SPDXID":"SPDXRef-%d","versionInfo":"1.2.3"}`, `]}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := predicate.Parse("spdx", data); err != nil {
			b.Fatal(err)
		}
	}
}
