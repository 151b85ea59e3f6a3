// Package decimal compares numbers as JSON writes them, by their values and without
// rounding: 1, 1.0 and 10e-1 are equal.
//
// Source: RFC 8259, section 6.
package decimal

import (
	"cmp"
	"strconv"
	"strings"
)

// Compare compares two numbers: below 0 where a is less than b. ok is false where one of
// them is not a number of JSON, or has an exponent beyond 15 digits.
func Compare(a, b string) (order int, ok bool) {
	x, xok := parse(a)
	y, yok := parse(b)
	if !xok || !yok {
		return 0, false
	}
	if x.sign != y.sign || x.sign == 0 {
		return cmp.Compare(x.sign, y.sign), true
	}
	order = cmp.Or(cmp.Compare(x.point, y.point), strings.Compare(x.digits, y.digits))
	return x.sign * order, true
}

// Is reports whether text is a number that Compare compares.
func Is(text string) bool {
	_, ok := parse(text)
	return ok
}

// number is sign * 0.digits * 10^point. digits neither begin nor end with 0.
type number struct {
	sign   int // 0 for the number zero, which has no digits
	digits string
	point  int64
}

// maxExponent leaves room to add the number of digits.
const maxExponent = 1e15

func parse(text string) (number, bool) {
	n := number{sign: 1}
	if rest, minus := strings.CutPrefix(text, "-"); minus {
		n.sign, text = -1, rest
	}
	mantissa := text
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		mantissa = text[:at]
		var err error
		if n.point, err = strconv.ParseInt(text[at+1:], 10, 64); err != nil || n.point > maxExponent || n.point < -maxExponent {
			return n, false
		}
	}
	whole, part, hasPart := strings.Cut(mantissa, ".")
	if !isDigits(whole) || hasPart && !isDigits(part) || len(whole) > 1 && whole[0] == '0' {
		return n, false
	}
	all := whole + part
	n.digits = strings.TrimLeft(all, "0")
	n.point += int64(len(whole) - (len(all) - len(n.digits)))
	if n.digits = strings.TrimRight(n.digits, "0"); n.digits == "" {
		return number{}, true
	}
	return n, true
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
