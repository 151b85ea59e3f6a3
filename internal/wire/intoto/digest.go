package intoto

import (
	"errors"
	"fmt"
)

// hexDigits is how many hex digits the digests of known algorithms have.
var hexDigits = map[string]int{
	"sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "sha512_224": 56, "sha512_256": 64,
	"sha3_224": 56, "sha3_256": 64, "sha3_384": 96, "sha3_512": 128,
}

// CheckDigests refuses a digest that no verifier could ever match.
func CheckDigests(digests map[string]string) error {
	for algorithm, value := range digests {
		want, known := hexDigits[algorithm]
		switch {
		case algorithm == "" || value == "":
			return errors.New("a digest is empty")
		case known && (len(value) != want || !IsLowerHex(value)):
			return fmt.Errorf("the %s digest %.140q is not %d lower-case hex digits", algorithm, value, want)
		}
	}
	return nil
}

// IsLowerHex reports whether s holds nothing but digits and a to f.
func IsLowerHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
