package sigstore

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
)

// ErrMalformed is wrapped by every error about bundles, entries, certificates and
// timestamps that are not what their format says.
var ErrMalformed = errors.New("malformed")

// reader reads values by the JSON mapping of Protocol Buffers, and keeps the first error.
// null is as good as absent there.
type reader struct{ err error }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}

// given reports whether there is a value.
func given(v strictjson.Value) bool { return v.Exists() && v.Kind() != strictjson.Null }

// object checks that a value is an object of no other members than those named.
func (r *reader) object(v strictjson.Value, what string, names ...string) bool {
	switch {
	case v.Kind() != strictjson.Object:
		r.fail("%s is not an object", what)
	case !v.Only(names):
		r.fail("%s has an unknown member", what)
	}
	return r.err == nil
}

// list checks that a value is an array of at most so many values. Absent is empty.
func (r *reader) list(v strictjson.Value, what string, most int) bool {
	switch {
	case !given(v):
		return false
	case v.Kind() != strictjson.Array:
		r.fail("%s is not a list", what)
	case v.Len() > most:
		r.fail("%s holds %d, the limit is %d", what, v.Len(), most)
	}
	return r.err == nil
}

// text reads a string. Absent is empty.
func (r *reader) text(v strictjson.Value, what string) string {
	if !given(v) {
		return ""
	}
	s, ok := v.Str()
	if !ok {
		r.fail("%s is not a string", what)
	}
	return s
}

// bytes reads base64. Absent is nil.
func (r *reader) bytes(v strictjson.Value, what string) []byte {
	if !given(v) {
		return nil
	}
	text, ok := v.StrBytes()
	if !ok {
		r.fail("%s is not a string", what)
		return nil
	}
	data, err := b64.Decode(text)
	if err != nil {
		r.fail("%s is not base64", what)
	}
	return data
}

// natural reads an integer that is not negative, as a string or a number. Absent is 0.
func (r *reader) natural(v strictjson.Value, what string) int64 {
	if !given(v) {
		return 0
	}
	n, ok := v.Int()
	if text, isText := v.StrBytes(); isText {
		parsed, err := strconv.ParseInt(string(text), 10, 64)
		n, ok = parsed, err == nil && strconv.FormatInt(parsed, 10) == string(text)
	}
	if !ok || n < 0 {
		r.fail("%s is not a number from 0", what)
	}
	return n
}

// moment reads a time. Absent is the zero time.
func (r *reader) moment(v strictjson.Value, what string) time.Time {
	text := r.text(v, what)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		r.fail("%s is not a time by RFC 3339", what)
	}
	return t
}
