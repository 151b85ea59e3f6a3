package leak

import (
	"strings"
	"testing"
	"time"
)

// tests is a package's tests.
type tests func() int

func (t tests) Run() int { return t() }

func TestAGoroutineThatIsLeftIsReported(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	var report strings.Builder
	code := run(tests(func() int {
		go func() { <-end }()
		return 0
	}), 20*time.Millisecond, &report)
	if code != 1 || !strings.Contains(report.String(), "TestAGoroutineThatIsLeftIsReported") {
		t.Errorf("%d, %q", code, &report)
	}
}

func TestGoroutinesMayTakeAWhileToEnd(t *testing.T) {
	var report strings.Builder
	code := run(tests(func() int {
		go func() { time.Sleep(50 * time.Millisecond) }()
		return 0
	}), patience, &report)
	if code != 0 || report.Len() > 0 {
		t.Errorf("%d, %q", code, &report)
	}
}

func TestTheCodeOfFailedTestsIsKept(t *testing.T) {
	if code := run(tests(func() int { return 3 }), patience, nil); code != 3 {
		t.Errorf("%d, want 3", code)
	}
}
