package predicate

import (
	"encoding/json"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Raw is a predicate of any type, by its exact text. It is only checked to be a JSON
// object. [Parse] checks more where the type is known.
type Raw struct {
	// Type is the absolute URI of the predicate's type. Required.
	Type string
	// JSON is the text of a JSON object. Required.
	JSON json.RawMessage
}

// PredicateType is Type.
func (r Raw) PredicateType() string { return r.Type }

// RawPredicate is JSON.
func (r Raw) RawPredicate() []byte { return r.JSON }

// Validate checks that the type is an absolute URI, and that the text is one strict JSON
// object which a statement can hold.
func (r Raw) Validate() error {
	var c checks
	c.uri("the type", r.Type)
	if c.err != nil {
		return c.err
	}
	_, err := parseObject(r.JSON)
	return err
}

func parseRaw(_ *checks, uri string, root strictjson.Value) (any, error) {
	return &Raw{Type: uri, JSON: root.Raw()}, nil
}

func (r Raw) summary() summaryLines {
	var l summaryLines
	l.number("fields", shallow(r.JSON).Len())
	return l
}
