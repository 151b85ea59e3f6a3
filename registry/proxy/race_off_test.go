//go:build !race

package proxy_test

// raceEnabled: the race detector makes everything slower.
const raceEnabled = false
