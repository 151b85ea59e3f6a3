//go:build !race

package verify

// raceEnabled: the race detector makes everything slower.
const raceEnabled = false
