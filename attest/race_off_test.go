//go:build !race

package attest_test

// sizeDivisor makes large documents smaller under the race detector.
const sizeDivisor = 1
