package strictjson

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrType is wrapped by every error of Decode.
var ErrType = fmt.Errorf("%w: unexpected content", ErrSyntax)

// TypeError is an error of Decode.
type TypeError struct {
	// Path leads to what is wrong, as in "rules[0].images"; "" is the document.
	Path string
	// Detail goes on after the path: "is not a string".
	Detail string
}

// Error implements error.
func (e *TypeError) Error() string {
	where := e.Path
	if where == "" {
		where = "the document"
	}
	return fmt.Sprintf("%v: %s %s", ErrType, where, e.Detail)
}

// Unwrap returns ErrType.
func (e *TypeError) Unwrap() error { return ErrType }

// DecodeOptions say how strict Decode is. The zero value passes over unknown
// fields.
type DecodeOptions struct {
	// RefuseUnknown refuses members that the struct has no field for. False:
	// they are passed over.
	RefuseUnknown bool
	// RefuseOtherCase refuses members whose names differ from a field's in case
	// alone, which others (encoding/json) take for that field. False: they are
	// unknown fields.
	RefuseOtherCase bool
	// RefuseZero refuses integers that are 0 and times that are the first moment of the
	// year 1. In structs whose zero fields count as not given they would be passed over.
	// False: they are stored.
	RefuseZero bool
	// PassUnfit passes over members and elements that do not fit what they would be
	// stored in, and leaves that as it is. False: they are an error.
	PassUnfit bool
	// PassOver is asked about the path of each member, as in "list[0].name"; where it
	// answers true, the member is not stored, whatever it is. Nil: every member is
	// stored.
	PassOver func(path string) bool
}

// Decode stores a value into what the pointer into points at. It knows:
//
//   - structs, by their "json" tags, maps with string keys, slices and pointers
//   - strings, booleans, integers and float64
//   - []byte in standard base64, and json.RawMessage
//   - any: string, bool, nil, int64, float64, []any or map[string]any
//   - from a string, what implements encoding.TextUnmarshaler
//
// Unlike encoding/json it matches names exactly, and refuses a number that does not fit.
// null leaves a field as it is. A missing member is not an error: callers check what must
// be there. An error names the path of what is wrong.
func Decode(v Value, into any, o DecodeOptions) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("%w: cannot decode into %T", ErrType, into)
	}
	d := decoder{o: o}
	d.path = d.room[:0]
	return d.value(v, target.Elem())
}

// decoder keeps the path to where it is, for errors.
type decoder struct {
	o    DecodeOptions
	path []step
	room [8]step // for path, where it does not get longer
}

// step leads to a member by its name, or to an element of a list by its number.
type step struct {
	name      string
	isElement bool
	element   int
}

func (d *decoder) fail(format string, args ...any) error {
	return &TypeError{Path: d.where(), Detail: fmt.Sprintf(format, args...)}
}

// where is the path to where the decoder is.
func (d *decoder) where() string {
	var path strings.Builder
	for _, s := range d.path {
		switch {
		case s.isElement:
			fmt.Fprintf(&path, "[%d]", s.element)
		case path.Len() > 0:
			path.WriteString("." + s.name)
		default:
			path.WriteString(s.name)
		}
	}
	return path.String()
}

// passesOver reports whether a member is not to be stored.
func (d *decoder) passesOver(key Value) bool {
	if d.o.PassOver == nil {
		return false
	}
	name, _ := key.Str()
	d.path = append(d.path, step{name: name})
	where := d.where()
	d.path = d.path[:len(d.path)-1]
	return d.o.PassOver(where)
}

// in decodes one step further down.
func (d *decoder) in(s step, v Value, to reflect.Value) error {
	d.path = append(d.path, s)
	err := d.value(v, to)
	d.path = d.path[:len(d.path)-1]
	if d.o.PassUnfit {
		return nil
	}
	return err
}

func (d *decoder) value(v Value, to reflect.Value) error {
	if v.Kind() == Missing || v.Kind() == Null {
		return nil
	}
	if to.Kind() == reflect.Pointer {
		fresh := reflect.New(to.Type().Elem())
		if err := d.value(v, fresh.Elem()); err != nil {
			return err
		}
		to.Set(fresh)
		return nil
	}
	if done, err := d.special(v, to); done || err != nil {
		return err
	}
	switch to.Kind() {
	case reflect.Struct:
		return d.structure(v, to)
	case reflect.Map:
		return d.mapping(v, to)
	case reflect.Slice:
		return d.slice(v, to)
	case reflect.Interface:
		x, err := d.anything(v)
		if err == nil && x != nil {
			to.Set(reflect.ValueOf(x))
		}
		return err
	}
	return d.scalar(v, to)
}

// special decodes the types that have a form of their own.
func (d *decoder) special(v Value, to reflect.Value) (done bool, err error) {
	switch target := to.Addr().Interface().(type) {
	case *json.RawMessage:
		*target = slices.Clone(v.Raw())
		return true, nil
	case *[]byte:
		text, ok := v.Str()
		if !ok {
			return true, d.fail("is not a string")
		}
		if *target, err = base64.StdEncoding.DecodeString(text); err != nil {
			return true, d.fail("is not base64")
		}
		return true, nil
	case encoding.TextUnmarshaler:
		text, ok := v.Str()
		if !ok {
			return true, d.fail("is not a string")
		}
		if err := target.UnmarshalText([]byte(text)); err != nil {
			return true, d.fail("is malformed: %v", err)
		}
		if t, is := target.(*time.Time); is && d.o.RefuseZero && t.IsZero() {
			return true, d.fail("is the first moment of the year 1, which would count as no time at all")
		}
		return true, nil
	}
	return false, nil
}

func (d *decoder) structure(v Value, to reflect.Value) error {
	if v.Kind() != Object || v.Opaque() {
		return d.fail("is not an object")
	}
	fields := fieldsOf(to.Type())
	for key, member := range v.rawMembers() {
		if d.passesOver(key) {
			continue
		}
		i := slices.IndexFunc(fields, func(f field) bool { return key.equal(f.name) })
		if i < 0 {
			if err := d.unknown(fields, key); err != nil {
				return err
			}
			continue
		}
		if err := d.in(step{name: fields[i].name}, member, to.FieldByIndex(fields[i].index)); err != nil {
			return err
		}
	}
	return nil
}

// unknown refuses a member that no field is there for, where that is asked for.
func (d *decoder) unknown(fields []field, key Value) error {
	if !d.o.RefuseUnknown && !d.o.RefuseOtherCase {
		return nil
	}
	name, _ := key.Str()
	for _, f := range fields {
		if d.o.RefuseOtherCase && strings.EqualFold(name, f.name) {
			d.path = append(d.path, step{name: name})
			return d.fail("is not written %q, and would be read as that by some", f.name)
		}
	}
	if d.o.RefuseUnknown {
		d.path = append(d.path, step{name: name})
		return d.fail("is not a field that is known (%.100q)", name)
	}
	return nil
}

// field is a field of a struct, by its name in JSON.
type field struct {
	name  string
	index []int
}

// known are the fields of the struct types that were met. The fields of a type never
// change: a caller sees no difference but in time.
var known sync.Map // of reflect.Type to []field

// fieldsOf are the fields of a struct, those of embedded structs included.
func fieldsOf(t reflect.Type) []field {
	if fields, met := known.Load(t); met {
		return fields.([]field)
	}
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		if f.Anonymous && tag == "" || !f.IsExported() || tag == "-" {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		fields = append(fields, field{name, f.Index})
	}
	known.Store(t, fields)
	return fields
}

func (d *decoder) mapping(v Value, to reflect.Value) error {
	if v.Kind() != Object || v.Opaque() {
		return d.fail("is not an object")
	}
	m := reflect.MakeMap(to.Type())
	for name, member := range v.Members() {
		element := reflect.New(to.Type().Elem()).Elem()
		if err := d.in(step{name: name}, member, element); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(name).Convert(to.Type().Key()), element)
	}
	to.Set(m)
	return nil
}

func (d *decoder) slice(v Value, to reflect.Value) error {
	if v.Kind() != Array || v.Opaque() {
		return d.fail("is not a list")
	}
	list := reflect.MakeSlice(to.Type(), v.Len(), v.Len())
	i := 0
	for element := range v.Elems() {
		if err := d.in(step{isElement: true, element: i}, element, list.Index(i)); err != nil {
			return err
		}
		i++
	}
	to.Set(list)
	return nil
}

func (d *decoder) anything(v Value) (any, error) {
	switch v.Kind() {
	case String:
		s, _ := v.Str()
		return s, nil
	case Bool:
		b, _ := v.Truth()
		return b, nil
	case Number:
		if i, ok := v.Int(); ok {
			return i, nil
		}
		f, err := strconv.ParseFloat(string(v.Raw()), 64)
		if err != nil || !bytes.ContainsAny(v.Raw(), ".eE") {
			return nil, d.fail("is a number out of range")
		}
		return f, nil
	case Array:
		list := []any{}
		err := d.slice(v, reflect.ValueOf(&list).Elem())
		return list, err
	case Object:
		m := map[string]any{}
		err := d.mapping(v, reflect.ValueOf(&m).Elem())
		return m, err
	}
	return nil, nil
}

func (d *decoder) scalar(v Value, to reflect.Value) error {
	switch to.Kind() {
	case reflect.String:
		s, ok := v.Str()
		if !ok {
			return d.fail("is not a string")
		}
		to.SetString(s)
	case reflect.Bool:
		b, ok := v.Truth()
		if !ok {
			return d.fail("is neither true nor false")
		}
		to.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, ok := v.Int()
		if !ok || to.OverflowInt(i) {
			return d.fail("is not an integer, or out of range")
		}
		if i == 0 && d.o.RefuseZero {
			return d.fail("is 0, which would count as not given: leave it out, or say what is meant")
		}
		to.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, ok := v.Int()
		if !ok || i < 0 || to.OverflowUint(uint64(i)) {
			return d.fail("is not an integer, or out of range")
		}
		to.SetUint(uint64(i))
	case reflect.Float64:
		f, err := strconv.ParseFloat(string(v.Raw()), 64)
		if v.Kind() != Number || err != nil || math.IsInf(f, 0) {
			return d.fail("is not a number, or out of range")
		}
		to.SetFloat(f)
	default:
		return d.fail("cannot be stored in a %s", to.Type())
	}
	return nil
}
