package cel

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// valueOf is a variable as CEL has it. What cannot be a value is an error, which an
// expression gets where it reads it.
func valueOf(v any) ref.Val {
	switch v := v.(type) {
	case nil:
		return types.NullValue
	case bool:
		return types.Bool(v)
	case string:
		return types.String(v)
	case json.Number:
		return number(string(v))
	case time.Time:
		return types.Timestamp{Time: v.UTC()}
	case []any:
		all := make([]ref.Val, 0, len(v))
		for _, element := range v {
			all = append(all, valueOf(element))
		}
		return types.NewRefValList(types.DefaultTypeAdapter, all)
	case map[string]any:
		o := &object{members: make(map[string]ref.Val, len(v))}
		for name, member := range v {
			o.members[name] = valueOf(member)
		}
		return o
	case map[string]string:
		o := &object{members: make(map[string]ref.Val, len(v))}
		for name, member := range v {
			o.members[name] = types.String(member)
		}
		return o
	}
	return types.NewErr("a value of type %T cannot be read", v)
}

// number is a number without rounding, or an error.
func number(text string) ref.Val {
	if !strings.ContainsAny(text, ".eE") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return types.NewErr("the number %.64s does not fit into 64 bits", text)
		}
		return types.Int(n)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || digitsOf(text) != digitsOf(strconv.FormatFloat(f, 'e', -1, 64)) {
		return types.NewErr("the number %.64s has more digits than a double", text)
	}
	return types.Double(f)
}

// digits are a decimal without redundant zeros.
type digits struct {
	negative, malformed bool
	all                 string
	exponent            int
}

func digitsOf(text string) (d digits) {
	text, d.negative = strings.CutPrefix(text, "-")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if exponent != "" {
		var err error
		d.exponent, err = strconv.Atoi(exponent)
		d.malformed = err != nil
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.exponent -= len(fraction)
	d.all = strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(d.all, "0")
	d.exponent += len(d.all) - len(short)
	if d.all = short; short == "" {
		return digits{}
	}
	return d
}

// object is a JSON object. Its members are read in the order of their names, and a name
// that differs from another in case alone is an error. One evaluation uses it at a time.
type object struct {
	members map[string]ref.Val
	names   []ref.Val       // sorted, once they were asked for
	folded  map[string]bool // lower-case names, once a member was missing
}

// Find implements traits.Mapper. An error is that the member has another name in another
// case.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.NewErr("a member is named by a string, and not by %s", key.Type().TypeName()), false
	}
	if member, there := o.members[string(name)]; there {
		return member, !types.IsError(member)
	}
	if len(name) > maxName {
		return types.NewErr("there is no member of this name, which has more than %d bytes", maxName), false
	}
	if o.folded == nil {
		o.folded = make(map[string]bool, len(o.members))
		for other := range o.members {
			o.folded[fold(other)] = true
		}
	}
	if o.folded[fold(string(name))] {
		return types.NewErr("there is no member %.100q, and one that differs in case alone", string(name)), false
	}
	return nil, false
}

// maxName bounds the names that are looked for in another case.
const maxName = 1 << 10

// fold maps names that differ in case alone to one text.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	member, there := o.Find(key)
	if !there && member == nil {
		return types.NewErr("no such key: %v", key)
	}
	return member
}

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	member, there := o.Find(key)
	if member != nil && types.IsError(member) {
		return member
	}
	return types.Bool(there)
}

// Size implements traits.Sizer.
func (o *object) Size() ref.Val { return types.Int(len(o.members)) }

// Iterator implements traits.Iterable.
func (o *object) Iterator() traits.Iterator {
	if o.names == nil {
		o.names = make([]ref.Val, 0, len(o.members))
		for _, name := range slices.Sorted(maps.Keys(o.members)) {
			o.names = append(o.names, types.String(name))
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, o.names).Iterator()
}

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val {
	m, ok := other.(traits.Mapper)
	if !ok || m.Size() != o.Size() {
		return types.False
	}
	for name, member := range o.members {
		theirs, there := m.Find(types.String(name))
		if !there || types.Equal(member, theirs) != types.True {
			return types.False
		}
	}
	return types.True
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o *object) Value() any { return o.members }

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(to ref.Type) ref.Val {
	switch to {
	case types.MapType:
		return o
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("a map cannot become a %s", to.TypeName())
}

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(to reflect.Type) (any, error) {
	if to == reflect.TypeFor[map[string]ref.Val]() {
		return o.members, nil
	}
	return nil, fmt.Errorf("a map cannot become a Go value of type %s", to)
}
