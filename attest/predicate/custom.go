package predicate

import "time"

// Custom is cosign's predicate for data without a type of its own. cosign attest
// --type custom writes Custom{Data: string(file), Timestamp: now}. A type URI of your
// own with [Raw] is the better choice.
//
// Source: cosign COSIGN_PREDICATE_SPEC.md
// ("https://cosign.sigstore.dev/attestation/v1").
type Custom struct {
	// Data is any JSON value; cosign writes a string. Required.
	Data any `json:"Data"`
	// Timestamp is when the predicate was made. Required.
	Timestamp time.Time `json:"Timestamp"`
}

// PredicateType is TypeCustom.
func (Custom) PredicateType() string { return TypeCustom }

// Validate checks that both fields are given.
func (p Custom) Validate() error { return validated(p) }

func (p Custom) check(c *checks) {
	c.need("Data", p.Data != nil)
	c.time("Timestamp", p.Timestamp)
}

// MarshalJSON writes the time in UTC, as cosign does.
func (p Custom) MarshalJSON() ([]byte, error) {
	type plain Custom
	p.Timestamp = p.Timestamp.UTC()
	return marshalJSON(plain(p))
}

func (p Custom) summary() summaryLines {
	var l summaryLines
	l.time("time", &p.Timestamp)
	if s, ok := p.Data.(string); ok {
		l.number("bytes of data", len(s))
	}
	return l
}
