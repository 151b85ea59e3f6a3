// Package limit reads bounded amounts from readers that are not trusted.
package limit

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
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
		return nil, exceeded(limit)
	}
	return data, nil
}

func exceeded(limit int64) error { return fmt.Errorf("%w of %d bytes", ErrExceeded, limit) }

// firstRead is how much room there is before anything has come: who claims that there
// is much must send some of it first.
const firstRead = 256 << 10

// ReadSized is ReadAll for a size that is known, and that r may not exceed. It grows the
// buffer once at most.
func ReadSized(r io.Reader, size int64) ([]byte, error) {
	if size > firstRead {
		start := make([]byte, firstRead)
		if n, err := io.ReadFull(r, start); err != nil {
			return ended(start[:n], err)
		}
		return ReadRest(r, start, size, size)
	}
	return ReadRest(r, nil, size, size)
}

// ReadRest is ReadAll where the start has been read already. size is how much there is in
// all, if that is known; it is negative otherwise.
func ReadRest(r io.Reader, start []byte, size, limit int64) ([]byte, error) {
	if limit < 0 {
		return nil, fmt.Errorf("negative size limit %d", limit)
	}
	if size < 0 || size > limit {
		size = min(2*int64(len(start))+512, limit)
	}
	data := append(make([]byte, 0, size+1), start...)
	for int64(len(data)) <= limit {
		if len(data) == cap(data) {
			data = slices.Grow(data, len(data))
		}
		n, err := r.Read(data[len(data):cap(data)])
		if data = data[:len(data)+n]; err != nil {
			if int64(len(data)) > limit {
				break
			}
			return ended(data, err)
		}
	}
	return nil, exceeded(limit)
}

// ended is what was read where reading has ended.
func ended(data []byte, err error) ([]byte, error) {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return data, nil
	}
	return nil, err
}
