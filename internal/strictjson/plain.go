package strictjson

import (
	"bytes"
	"encoding/json"
)

// Plain is what a Go value means in JSON: objects, lists, strings, booleans, numbers as they
// are written, and null. It is an error where the value cannot be written as JSON.
func Plain(v any) (plain any) {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()        // float64 has no room for every int64
	_ = d.Decode(&plain) // it was marshalled above
	return plain
}
