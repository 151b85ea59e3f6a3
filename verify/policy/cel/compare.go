package cel

import (
	"cmp"
	"math"
	"math/big"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// incomparable is an error if values cannot be compared: they are of two types, cannot be
// read, or are too large.
func incomparable(a, b ref.Val) ref.Val {
	for _, v := range []ref.Val{a, b} {
		if _, unreadable := weigh(v); unreadable != nil {
			return unreadable
		}
	}
	if kind(a) != kind(b) {
		return types.NewErr("a %s is compared with a %s", kind(a), kind(b))
	}
	return nil
}

// same is ==.
func same(a, b ref.Val) ref.Val {
	if why := incomparable(a, b); why != nil {
		return why
	}
	return equal(a, b)
}

// equal compares values that can be read. Values of two types are an error, however deep
// they are.
func equal(a, b ref.Val) ref.Val {
	if kind(a) != kind(b) {
		return types.NewErr("a %s is compared with a %s", kind(a), kind(b))
	}
	if isNumber(a) {
		return types.Bool(compareNumbers(a, b) == 0)
	}
	switch a := a.(type) {
	case traits.Mapper:
		return equalMembers(a, b.(traits.Mapper))
	case traits.Lister:
		return equalElements(a, b.(traits.Lister))
	}
	return types.Equal(a, b)
}

func equalElements(a, b traits.Lister) ref.Val {
	if a.Size() != b.Size() {
		return types.False
	}
	var all ref.Val = types.True
	for i, j := a.Iterator(), b.Iterator(); i.HasNext() == types.True; {
		switch is := equal(i.Next(), j.Next()); {
		case types.IsError(is):
			return is
		case is != types.True:
			all = types.False
		}
	}
	return all
}

func equalMembers(a, b traits.Mapper) ref.Val {
	if a.Size() != b.Size() {
		return types.False
	}
	var all ref.Val = types.True
	for i := b.Iterator(); i.HasNext() == types.True; {
		if mine, _ := a.Find(i.Next()); mine != nil && types.IsError(mine) {
			return mine
		}
	}
	for i := a.Iterator(); i.HasNext() == types.True; {
		name := i.Next()
		mine, _ := a.Find(name)
		theirs, there := b.Find(name)
		var is ref.Val = types.False
		switch {
		case theirs != nil && types.IsError(theirs):
			return theirs
		case there:
			is = equal(mine, theirs)
		}
		if types.IsError(is) {
			return is
		}
		if is != types.True {
			all = types.False
		}
	}
	return all
}

// differ is !=.
func differ(a, b ref.Val) ref.Val {
	equal := same(a, b)
	if types.IsError(equal) {
		return equal
	}
	return types.Bool(equal != types.True)
}

// ordered is one of <, <=, > and >=.
func ordered(holds func(order int) bool) func(a, b ref.Val) ref.Val {
	return func(a, b ref.Val) ref.Val {
		if why := incomparable(a, b); why != nil {
			return why
		}
		if isNumber(a) {
			return types.Bool(holds(compareNumbers(a, b)))
		}
		values, ok := a.(traits.Comparer)
		if !ok {
			return types.NewErr("values of type %s have no order", kind(a))
		}
		order, ok := values.Compare(b).(types.Int)
		if !ok {
			return types.NewErr("values of type %s have no order", kind(a))
		}
		return types.Bool(holds(int(order)))
	}
}

// among is in. An element, or the name of a member, of another type is an error, unless an
// equal one is found.
func among(v, of ref.Val) ref.Val {
	if o, ok := of.(*object); ok {
		return o.Contains(v)
	}
	all, ok := of.(traits.Iterable)
	if !ok {
		return types.NewErr("a %s has no elements", kind(of))
	}
	if n, _ := weigh(of); n > MaxCost || work(v, of) > MaxCost {
		return tooLarge()
	}
	var why ref.Val = types.False
	for i := all.Iterator(); i.HasNext() == types.True; {
		switch is := same(v, i.Next()); {
		case is == types.True:
			return is
		case types.IsError(is):
			why = is
		}
	}
	return why
}

// kind is a type as comparisons see it.
func kind(v ref.Val) string {
	if isNumber(v) {
		return "number"
	}
	return v.Type().TypeName()
}

func isNumber(v ref.Val) bool {
	switch v.(type) {
	case types.Int, types.Uint, types.Double:
		return true
	}
	return false
}

// compareNumbers compares finite numbers without rounding.
func compareNumbers(a, b ref.Val) int {
	if n, ok := a.(types.Int); ok {
		if m, ok := b.(types.Int); ok {
			return cmp.Compare(n, m)
		}
	}
	return exactly(a).Cmp(exactly(b))
}

func exactly(v ref.Val) *big.Float {
	switch v := v.(type) {
	case types.Int:
		return new(big.Float).SetInt64(int64(v))
	case types.Uint:
		return new(big.Float).SetUint64(uint64(v))
	}
	return big.NewFloat(float64(v.(types.Double)))
}

// tooLarge is the error for values whose comparison would cost more than MaxCost.
func tooLarge() ref.Val {
	return types.NewErr("the comparison of values with so many elements costs too much")
}

// weigh counts the values of v, and ten bytes of its texts as one. It counts no further than
// a little over MaxCost. unreadable is an error in v.
func weigh(v ref.Val) (weight uint64, unreadable ref.Val) {
	var s scale
	s.put(v)
	return s.weight, s.unreadable
}

// scale is what was weighed. A list can hold one value many times, so a weight can exceed
// any document's.
type scale struct {
	weight     uint64
	unreadable ref.Val
}

func (s *scale) put(v ref.Val) {
	s.weight++
	switch v := v.(type) {
	case *types.Err:
		s.unreadable = v
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			s.unreadable = types.NewErr("%v is not a number that can be compared", float64(v))
		}
	case types.String:
		s.weight += uint64(len(v)) / 10
	case types.Bytes:
		s.weight += uint64(len(v)) / 10
	case traits.Mapper:
		for i := v.Iterator(); s.weight <= MaxCost && i.HasNext() == types.True; {
			name := i.Next()
			member, _ := v.Find(name)
			s.put(name)
			s.put(member)
		}
	case traits.Lister:
		for i := v.Iterator(); s.weight <= MaxCost && i.HasNext() == types.True; {
			s.put(i.Next())
		}
	}
	if s.weight > MaxCost {
		s.unreadable = tooLarge()
	}
}

// work is what it costs to look for v among the elements of a list or map.
func work(v, of ref.Val) uint64 {
	n, _ := weigh(v)
	size, _ := of.(traits.Sizer).Size().(types.Int)
	return n * uint64(size)
}
