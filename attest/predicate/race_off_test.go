//go:build !race

package predicate_test

// sizeDivisor makes large documents smaller under the race detector.
const sizeDivisor = 1
