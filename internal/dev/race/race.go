// Package race lets a test that reads or computes much in one goroutine leave the race
// detector out: it finds nothing there, and takes ten to twenty times as long.
//
// A test that calls Skip runs in .ci/run's section "coverage", which has no detector.
package race

import "testing"

// Skip ends a test where the race detector is on.
func Skip(t testing.TB, why string) {
	t.Helper()
	if Enabled {
		t.Skipf("%s: it runs without the race detector", why)
	}
}
