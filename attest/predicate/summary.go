package predicate

import (
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// SummaryLine is one fact about a predicate, for people.
type SummaryLine struct {
	// Name is a few lower-case words of this package.
	Name string `json:"name"`
	// Value is what the predicate says, without control characters and at most some
	// hundred bytes long.
	Value string `json:"value"`
}

// maxSummaryValue bounds a value, in bytes.
const maxSummaryValue = 400

// Summarize says in a few lines what a predicate says: builder, source and commit of
// provenance, components of a bill of materials, findings of a scan by severity. It
// takes a short name or URI, as [Parse] does. Nothing of it is verified.
//
// Members that are not what the specification says are left out. That is not an error:
// conditions of policies read few members. Errors are:
//
//   - [ErrInvalid] for a predicate that is not an object in strict JSON, and for one
//     that is of another type by its own account; the latter has lines too;
//   - [ErrType] for a text that is neither a known name nor an absolute URI.
//
// count counts the findings in a scanner's own report, as scan.Count does. Nil: such
// findings are not counted.
func Summarize(nameOrURI string, predicate []byte, count CountFindings) ([]SummaryLine, error) {
	f, ok := lookupForm(nameOrURI)
	if !ok {
		return nil, unknownType(nameOrURI)
	}
	root, err := f.wrappedObject(predicate)
	if err != nil {
		return nil, f.wrap(err)
	}
	if looks := f.mistaken(root); looks != "" {
		err = f.wrap(fmt.Errorf("%w: it looks like %s", ErrInvalid, looks))
	}
	value, _ := f.parse(&checks{lenient: true}, f.uri, root)
	if scan, is := value.(*CosignVuln); is {
		return scan.summaryWith(count), err
	}
	return value.(summarized).summary(), err
}

// wrappedObject parses a predicate by other programs, and looks into the wrapping that
// cosign puts around bills of materials. For a bill that is not JSON it returns the
// wrapping.
func (f form) wrappedObject(predicate []byte) (strictjson.Value, error) {
	root, err := strictjson.ParseOthers(predicate, 1)
	if err == nil && (f.name == "spdx" || f.name == "cyclonedx") {
		if text, wrapped := intoto.Wrapped(root); wrapped {
			if inner, err := strictjson.ParseOthers(text, 1); err == nil {
				root = inner
			}
		}
	}
	return checkObject(predicate, root, err)
}

// CountFindings counts the findings in a scanner's own report.
type CountFindings func(report []byte) (SeverityCounts, error)

// summarized is implemented by every type that a form reads predicates into.
type summarized interface{ summary() summaryLines }

type summaryLines []SummaryLine

// add appends a fact. An empty value is not known, and left out.
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

// sources adds the git repositories that a build may have been started from.
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
