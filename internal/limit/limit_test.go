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
		t.Error("a negative limit is no limit")
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
