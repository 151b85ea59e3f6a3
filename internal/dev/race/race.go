// Package race skips long tests of one goroutine under the race detector.
//
// The detector finds nothing in them, and makes them ten to twenty times as slow. A test
// that calls Skip runs in .ci/run's section "coverage", which has no detector.
package race

import "testing"

// Skip ends a test where the race detector is on.
func Skip(t testing.TB, why string) {
	t.Helper()
	if Enabled {
		t.Skipf("%s: it runs without the race detector", why)
	}
}
