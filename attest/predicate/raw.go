package predicate

import (
	"encoding/json"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Raw is a predicate of any type, in exactly the text that it has. Nothing is
// known of its specification, and nothing of it is checked but that it is a JSON
// object: prefer Parse, which checks what it can.
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

// Validate checks that the type is an absolute URI, and the text one strict JSON
// object that a statement can hold.
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
