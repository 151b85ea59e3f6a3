package intoto

import "github.com/hallmark-oci/hallmark/internal/strictjson"

// Wrapped returns the text of the document that cosign has put into a predicate: into
// a string (cosign attest --type spdx), or under Data in an object that holds nothing
// else but a Timestamp (cosign 1). ok is false for all other predicates.
func Wrapped(predicate strictjson.Value) (text []byte, ok bool) {
	if predicate.Kind() == strictjson.String {
		return predicate.StrBytes()
	}
	data := predicate.Get("Data")
	if !predicate.Only([]string{"Data", "Timestamp"}) {
		return nil, false
	}
	switch data.Kind() {
	case strictjson.Object:
		return data.Raw(), true
	case strictjson.String:
		return data.StrBytes()
	}
	return nil, false
}
