//go:build race

package predicate_test

// sizeDivisor makes large documents smaller under the race detector, which makes
// reading them some twenty times slower.
const sizeDivisor = 8
