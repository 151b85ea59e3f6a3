package predicate

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// nesting is how deep arrays and objects nest in a text that was parsed before.
func nesting(text []byte) int {
	depth, deepest := 0, 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			at = stringEnd(text, at)
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}

// stringEnd is the position of the quote that ends the string which begins at quote.
func stringEnd(text []byte, quote int) int {
	for at := quote + 1; ; at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at
		}
	}
}

// elements iterates over the texts of an array's elements; over nothing where the value
// is not an array. Unlike Value.Elems it needs no memory for them: bills of materials
// have lists of a million elements.
func elements(list strictjson.Value) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if list.Kind() != strictjson.Array {
			return
		}
		text := list.Raw()
		depth, start := 0, 1
		for at := 0; at < len(text); at++ {
			switch text[at] {
			case '"':
				at = stringEnd(text, at)
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if depth == 0 || depth == 1 && text[at] == ',' {
				element := bytes.TrimSpace(text[start:at])
				if len(element) > 0 && !yield(element) {
					return
				}
				start = at + 1
			}
		}
	}
}

func countElements(list strictjson.Value) int {
	n := 0
	for range elements(list) {
		n++
	}
	return n
}

// shallow parses the text of an element again, to look into it.
func shallow(text []byte) strictjson.Value {
	v, _ := strictjson.ParseOthers(text, 1) // the text was parsed before
	return v
}

// within follows a path of members into a value, any part of which may be opaque.
func within(v strictjson.Value, path ...string) strictjson.Value {
	for _, name := range path {
		if v.Opaque() {
			v = shallow(v.Raw())
		}
		v = v.Get(name)
	}
	return v
}

// textAt is a member that is a string, or "".
func textAt(v strictjson.Value, path ...string) string {
	s, _ := within(v, path...).Str()
	return s
}

// inUTC is the time as in-toto's Timestamp, which is always in UTC (field_types.md).
func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// marshalJSON writes JSON without escaping what is only special in HTML.
func marshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// notJSON says what a text looks like that is not JSON, as the end of a message.
func notJSON(data []byte) string {
	head := string(data[:min(len(data), 4096)])
	trimmed := strings.TrimSpace(head)
	looks := ""
	switch {
	case trimmed == "":
		looks = "it is empty"
	case strings.HasPrefix(head, "\xef\xbb\xbf"), strings.HasPrefix(head, "\xff\xfe"), strings.HasPrefix(head, "\xfe\xff"):
		looks = "it begins with a byte order mark; write it as UTF-8 without one"
	case strings.HasPrefix(head, "\x1f\x8b"), strings.HasPrefix(head, "\x28\xb5\x2f\xfd"):
		looks = "it looks compressed"
	case strings.HasPrefix(trimmed, "<") && strings.Contains(head, "cyclonedx.org/schema/bom"):
		looks = "it looks like CycloneDX in XML; convert it to JSON"
	case strings.HasPrefix(trimmed, "<"):
		looks = "it looks like XML; convert it to JSON"
	case strings.Contains(head, "SPDXVersion:"):
		looks = "it looks like an SPDX tag-value document; convert it to SPDX JSON"
	case strings.Contains(head, "spdxVersion:"), strings.HasPrefix(trimmed, "---"):
		looks = "it looks like YAML; convert it to JSON"
	default:
		return ""
	}
	return " (" + looks + ")"
}

// lookalike recognises documents that people mistake for one another. It returns the
// short name of the document's type, and a description. The name is empty for documents
// that hold predicates.
func lookalike(root strictjson.Value) (name, looks string) {
	switch {
	case root.Get("payloadType").Exists() && root.Get("payload").Exists():
		return "", "a DSSE envelope; give the predicate inside of it"
	case root.Get("_type").Exists() && root.Get("predicateType").Exists():
		return "", "an in-toto statement; give its predicate alone"
	case root.Get("dsseEnvelope").Exists():
		return "", "a Sigstore bundle; give the predicate inside of it"
	case root.Get("bomFormat").Is("CycloneDX"):
		return "cyclonedx", "a CycloneDX document"
	case root.Get("spdxVersion").Exists():
		return "spdx", "an SPDX document"
	case strings.HasPrefix(textAt(root, "@context"), TypeOpenVEX):
		return "openvex", "an OpenVEX document"
	case root.Get("buildDefinition").Exists():
		return "slsaprovenance1", "SLSA provenance v1"
	case root.Get("buildType").Exists():
		return "slsaprovenance02", "SLSA provenance v0.2"
	case root.Get("verificationResult").Exists():
		return "vsa", "a SLSA verification summary"
	}
	return "", ""
}
