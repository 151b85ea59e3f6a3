// Package limit reads bounded amounts from readers that are not trusted.
package limit

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrExceeded says that a reader held more than its limit.
var ErrExceeded = errors.New("content exceeds its size limit")

// ReadAll reads r to its end and fails with ErrExceeded where it holds more
// than limit bytes. It never holds more than limit+1 bytes.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	if limit < 0 {
		return nil, fmt.Errorf("negative size limit %d", limit)
	}
	limit = min(limit, math.MaxInt64-1) // one byte more must be countable
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w of %d bytes", ErrExceeded, limit)
	}
	return data, nil
}
