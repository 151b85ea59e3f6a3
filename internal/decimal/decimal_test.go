package decimal_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/decimal"
)

func TestNumbersCompareByTheirValues(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1", "1.0", 0}, {"10e-1", "1", 0}, {"0", "-0.0e5", 0}, {"1e2", "100", 0}, {"0.1", "1e-1", 0}, {"120", "12e1", 0},
		{"9", "10", -1}, {"-9", "-10", 1}, {"-1", "1", -1}, {"0", "0.0001", -1}, {"0.10", "0.09", 1}, {"1.5", "1.49", 1},
		{"9007199254740993", "9007199254740992", 1}, {"0.30000000000000000001", "0.3", 1}, {"1e999999999", "1e999999998", 1}, {"-1e9", "0", -1},
	} {
		if got, ok := decimal.Compare(c.a, c.b); !ok || got != c.want {
			t.Errorf("%s and %s: %d, %t; want %d", c.a, c.b, got, ok, c.want)
		}
		if got, ok := decimal.Compare(c.b, c.a); !ok || got != -c.want {
			t.Errorf("%s and %s: %d, %t; want %d", c.b, c.a, got, ok, -c.want)
		}
	}
}

func TestWhatJSONDoesNotWriteIsNoNumber(t *testing.T) {
	for _, text := range []string{"", "-", "01", ".5", "5.", "1e", "1e+-1", "1e++1", "+1", "1e99999999999999999999", "NaN", "0x1", "1 ", "1_0", "--1", "1.2.3"} {
		if decimal.Is(text) {
			t.Errorf("%q is a number", text)
		}
	}
}

// The order is that of exact fractions.
func FuzzCompare(f *testing.F) {
	f.Add("1", "1.0")
	f.Add("-12.5e3", "0.00e-7")
	f.Fuzz(func(t *testing.T, a, b string) {
		got, ok := decimal.Compare(a, b)
		if len(a) > 40 || len(b) > 40 || !json.Valid([]byte(a)) || !json.Valid([]byte(b)) {
			return
		}
		x, xok := new(big.Float).SetString(a)
		y, yok := new(big.Float).SetString(b)
		if !xok || !yok || x.MantExp(nil) > 2000 || y.MantExp(nil) > 2000 || x.MantExp(nil) < -2000 || y.MantExp(nil) < -2000 {
			return
		}
		u, uok := new(big.Rat).SetString(a)
		v, vok := new(big.Rat).SetString(b)
		if uok && vok && (!ok || got != u.Cmp(v)) {
			t.Errorf("%s and %s: %d, %t; want %d", a, b, got, ok, u.Cmp(v))
		}
	})
}
