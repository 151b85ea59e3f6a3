package limit_test

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/limit"
)

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

func TestReadingStopsAtTheLimit(t *testing.T) {
	if data, err := limit.ReadAll(strings.NewReader("abc"), 3); err != nil || string(data) != "abc" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := limit.ReadAll(strings.NewReader("abcd"), 3); !errors.Is(err, limit.ErrExceeded) {
		t.Errorf("one byte more: %v", err)
	}
	e := &endless{}
	if _, err := limit.ReadAll(e, 1000); !errors.Is(err, limit.ErrExceeded) || e.read > 4096 {
		t.Errorf("endless: %v after %d bytes", err, e.read)
	}
	if _, err := limit.ReadAll(strings.NewReader(""), -1); err == nil {
		t.Error("a negative limit was taken")
	}
	broken := errors.New("broken")
	if _, err := limit.ReadAll(io.MultiReader(strings.NewReader("a"), failing{broken}), 3); !errors.Is(err, broken) {
		t.Errorf("broken reader: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestTheLargestLimitIsNoEmptyAnswer(t *testing.T) {
	if data, err := limit.ReadAll(strings.NewReader("content"), math.MaxInt64); string(data) != "content" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

func TestReadingASizeThatIsKnown(t *testing.T) {
	text := strings.Repeat("x", 600<<10)
	for _, size := range []int64{int64(len(text)), int64(len(text)) + 1, 1 << 30} {
		if data, err := limit.ReadSized(strings.NewReader(text), size); err != nil || string(data) != text {
			t.Errorf("of %d bytes: %d, %v", size, len(data), err)
		}
	}
	for _, size := range []int64{0, 10, 300 << 10, int64(len(text)) - 1} {
		if data, err := limit.ReadSized(strings.NewReader(text), size); !errors.Is(err, limit.ErrExceeded) {
			t.Errorf("more than %d: %d bytes, %v", size, len(data), err)
		}
	}
	e := &endless{}
	if _, err := limit.ReadSized(e, 1<<20); !errors.Is(err, limit.ErrExceeded) || e.read > 2<<20 {
		t.Errorf("endless: %v after %d bytes", err, e.read)
	}
	broken := errors.New("broken")
	if _, err := limit.ReadSized(io.MultiReader(strings.NewReader(text), failing{broken}), 1<<20); !errors.Is(err, broken) {
		t.Errorf("broken reader: %v", err)
	}
	if _, err := limit.ReadSized(strings.NewReader(""), -1); err == nil {
		t.Error("a negative size was taken")
	}
}

func TestReadingTheRest(t *testing.T) {
	for _, size := range []int64{-1, 6, 100} {
		if data, err := limit.ReadRest(strings.NewReader("def"), []byte("abc"), size, 6); err != nil || string(data) != "abcdef" {
			t.Errorf("size %d: %q, %v", size, data, err)
		}
		if _, err := limit.ReadRest(strings.NewReader("def"), []byte("abc"), size, 5); !errors.Is(err, limit.ErrExceeded) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	if data, err := limit.ReadRest(strings.NewReader(strings.Repeat("x", 1<<20)), []byte("abc"), -1, 2<<20); err != nil || len(data) != 3+(1<<20) {
		t.Errorf("%d, %v", len(data), err)
	}
}
