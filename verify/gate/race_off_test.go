//go:build !race

package gate_test

// raceEnabled: the race detector makes everything slower.
const raceEnabled = false
