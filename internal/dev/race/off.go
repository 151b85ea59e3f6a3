//go:build !race

package race

// Enabled says that the race detector is off.
const Enabled = false
