package gate

import (
	"net/http"
	"strconv"
	"strings"
)

// span is the part of a blob that was asked for: from, up to but without to.
type span struct {
	from, to int64
	part     bool
}

// spanOf reads a Range header of one range. What it does not understand is
// answered with the whole, as RFC 9110, section 14.2, has it.
func spanOf(header string, size int64) (span, *refusal) {
	whole := span{0, size, false}
	text, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(text, ",") {
		return whole, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(text), "-")
	if !ok {
		return whole, nil
	}
	from, errFrom := strconv.ParseUint(first, 10, 63)
	to, errTo := strconv.ParseUint(last, 10, 63)
	s := span{int64(from), int64(to) + 1, true} //nolint:gosec // both fit in 63 bits
	switch {
	case first == "" && errTo == nil:
		s = span{max(0, size-int64(to)), size, true} //nolint:gosec // it fits in 63 bits
	case errFrom != nil, last != "" && errTo != nil, last != "" && to < from:
		return whole, nil
	case last == "" || s.to > size || s.to < 0:
		s.to = size
	}
	if s.from >= s.to {
		return whole, refuse(http.StatusRequestedRangeNotSatisfiable, codeRange, "the blob has %d bytes", size)
	}
	return s, nil
}
