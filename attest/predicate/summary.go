package predicate

import (
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/safetext"
)

// SummaryLine is one fact about a predicate, for people.
type SummaryLine struct {
	// Name is a few lower-case words of ours; Value is what the predicate says,
	// without control characters and at most some hundred bytes.
	Name  string `json:"name"`
	Value string `json:"value"`
}

// maxSummaryValue bounds a value, in bytes.
const maxSummaryValue = 400

// Summarize says in a few lines what a predicate says: builder, source and commit
// of provenance, components of a bill of materials, findings of a scan by
// severity. It takes a short name or URI, like Parse, and shows nothing
// to be true.
//
// A predicate that is not what its type says gives the lines that could be read,
// together with the error of Parse.
//
// count counts the findings of a scanner's own report, as CountScan does. Nil: no such
// findings are counted.
func Summarize(nameOrURI string, predicate []byte, count CountFindings) ([]SummaryLine, error) {
	f, ok := lookupForm(nameOrURI)
	if !ok {
		return nil, fmt.Errorf("%w: %.200q is neither a known short name nor an absolute URI", ErrType, nameOrURI)
	}
	root, err := f.object(predicate)
	if err != nil {
		return nil, f.wrap(err)
	}
	value, err := f.read(&checks{}, root)
	if scan, is := value.(*CosignVuln); is {
		return scan.summaryWith(count), err
	}
	return value.(summarized).summary(), err
}

// CountFindings counts the findings of a scanner's own report.
type CountFindings func(report []byte) (SeverityCounts, error)

// summarized is what every form reads predicates into.
type summarized interface{ summary() summaryLines }

type summaryLines []SummaryLine

// add appends what is known; an empty value is not.
func (l *summaryLines) add(name, value string) {
	if value != "" {
		*l = append(*l, SummaryLine{name, safetext.Of(value, maxSummaryValue)})
	}
}

func (l *summaryLines) number(name string, n int) { l.add(name, fmt.Sprint(n)) }

func (l *summaryLines) time(name string, t *time.Time) {
	if t != nil && !t.IsZero() {
		l.add(name, t.UTC().Format(time.RFC3339Nano))
	}
}

// sources adds what a build was, or may have been, started from.
func (l *summaryLines) sources(all []GitSource) {
	for _, s := range all {
		uri := s.URI
		if s.Ref != "" {
			uri += "@" + s.Ref
		}
		l.add("source", uri)
		l.add("commit", s.Commit)
	}
}

// spaced joins what is known of two texts.
func spaced(a, b string) string { return strings.TrimSpace(a + " " + b) }

// counted writes "3: 1 critical, 2 low", in the order of kinds.
func counted(counts map[string]int, kinds []string) string {
	total := 0
	var parts []string
	for _, kind := range kinds {
		if n := counts[kind]; n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if total == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(parts, ", "))
}
