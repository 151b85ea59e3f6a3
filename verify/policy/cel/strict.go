package cel

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// inspect refuses what cannot be intended, and returns the variables that are read.
func inspect(a *cel.Ast, known map[string]*cel.Type) (reads []string, err error) {
	seen := make(map[string]bool)
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		var found error
		switch e.Kind() {
		case ast.IdentKind:
			if known[e.AsIdent()] != nil {
				seen[e.AsIdent()] = true
			}
		case ast.SelectKind:
			found = inspectSelect(e.AsSelect())
		case ast.CallKind:
			found = inspectCall(e.AsCall())
		case ast.ComprehensionKind:
			for _, name := range []string{e.AsComprehension().IterVar(), e.AsComprehension().IterVar2()} {
				if known[name] != nil {
					found = fmt.Errorf("uses the variable %s for elements; choose another name", name)
				}
			}
		}
		if err == nil {
			err = found
		}
	}))
	return slices.Sorted(maps.Keys(seen)), err
}

func inspectSelect(s ast.SelectExpr) error {
	of, field := s.Operand(), s.FieldName()
	if of.Kind() == ast.IdentKind && of.AsIdent() == "image" && field != "repository" && field != "digest" {
		return fmt.Errorf("reads image.%.40s; there are image.repository and image.digest", field)
	}
	return nil
}

func inspectCall(c ast.CallExpr) error {
	switch name := c.FunctionName(); {
	case name == "matches":
		pattern := c.Args()[len(c.Args())-1]
		text, ok := types.String(""), false
		if pattern.Kind() == ast.LiteralKind {
			text, ok = pattern.AsLiteral().(types.String)
		}
		if !ok {
			return fmt.Errorf("has a pattern of matches that is not a literal")
		}
		return anchored(string(text))
	case strings.HasPrefix(name, "get") && c.IsMemberFunction() && len(c.Args()) > 0:
		return fmt.Errorf("names a time zone in %s; leave it out for UTC", name)
	}
	return nil
}

// anchored refuses a pattern that can match a part of a text.
func anchored(pattern string) error {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return fmt.Errorf("has the pattern %.100q of matches: %w", pattern, err)
	}
	if !whole(tree) {
		return fmt.Errorf("has the pattern %.100q of matches, which also matches parts of a text; write it as ^(…)$, or use contains", pattern)
	}
	return nil
}

// whole reports whether a pattern matches whole texts alone.
func whole(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpCapture:
		return whole(tree.Sub[0])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(tree.Sub, func(s *syntax.Regexp) bool { return !whole(s) })
	case syntax.OpConcat:
		return tree.Sub[0].Op == syntax.OpBeginText && tree.Sub[len(tree.Sub)-1].Op == syntax.OpEndText
	}
	return false
}

// The functions that stand for ==, != and in. No expression can name them.
const (
	functionSame   = "@same"
	functionDiffer = "@differ"
	functionAmong  = "@among"
)

func comparison(name string, of func(a, b ref.Val) ref.Val) cel.EnvOption {
	return cel.Function(name, cel.Overload(name, []*cel.Type{cel.DynType, cel.DynType}, cel.BoolType, cel.BinaryBinding(of)))
}

// strict replaces comparisons by those that are errors for values of two types. A
// comparison with the literal null asks for a type, and stays.
func strict(a *cel.Ast) {
	replaced := map[string]string{operators.Equals: functionSame, operators.NotEquals: functionDiffer, operators.In: functionAmong}
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		function, is := replaced[call.FunctionName()]
		if !is || call.FunctionName() != operators.In && slices.ContainsFunc(call.Args(), isNull) {
			return
		}
		e.SetKindCase(factory.NewCall(e.ID(), function, call.Args()...))
	}))
}

func isNull(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

// same is ==.
func same(a, b ref.Val) ref.Val {
	for _, v := range []ref.Val{a, b} {
		if _, unreadable := weigh(v); unreadable != nil {
			return unreadable
		}
	}
	if kind(a) != kind(b) {
		return types.NewErr("a %s is compared with a %s", kind(a), kind(b))
	}
	return types.Equal(a, b)
}

// differ is !=.
func differ(a, b ref.Val) ref.Val {
	equal := same(a, b)
	if types.IsError(equal) {
		return equal
	}
	return types.Bool(equal != types.True)
}

// among is in. An element of another type is an error, unless an equal one is found.
func among(v, of ref.Val) ref.Val {
	if m, ok := of.(traits.Mapper); ok {
		return m.Contains(v)
	}
	list, ok := of.(traits.Lister)
	if !ok {
		return types.NewErr("a %s has no elements", kind(of))
	}
	if work(v, list) > MaxCost {
		return types.NewErr("the comparison of a %s with so many elements costs too much", kind(v))
	}
	var why ref.Val = types.False
	for i := list.Iterator(); i.HasNext() == types.True; {
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
	switch v.(type) {
	case types.Int, types.Uint, types.Double:
		return "number"
	}
	return v.Type().TypeName()
}

// weigh counts the values of v, and ten bytes of its texts as one. unreadable is an error
// in it.
func weigh(v ref.Val) (weight uint64, unreadable ref.Val) {
	switch v := v.(type) {
	case *types.Err:
		return 1, v
	case types.String:
		return 1 + uint64(len(v))/10, nil
	case types.Bytes:
		return 1 + uint64(len(v))/10, nil
	case traits.Mapper:
		weight = 1
		for i := v.Iterator(); i.HasNext() == types.True; {
			key := i.Next()
			member, _ := v.Find(key)
			name, _ := weigh(key)
			n, why := weigh(member)
			if weight += name + n; why != nil {
				return weight, why
			}
		}
		return weight, nil
	case traits.Lister:
		weight = 1
		for i := v.Iterator(); i.HasNext() == types.True; {
			n, why := weigh(i.Next())
			if weight += n; why != nil {
				return weight, why
			}
		}
		return weight, nil
	}
	return 1, nil
}

// work is what it costs to look for v among the elements of a list.
func work(v ref.Val, list traits.Lister) uint64 {
	n, _ := weigh(v)
	size, _ := list.Size().(types.Int)
	return n * uint64(size)
}

// costs are what calls cost beside one: what they read.
type costs struct{}

// CallCost implements cost.ActualCostEstimator.
func (costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	total := uint64(1)
	switch function {
	case functionSame, functionDiffer, functionAmong:
		for _, v := range args {
			n, _ := weigh(v)
			total += n
		}
		if list, ok := args[len(args)-1].(traits.Lister); ok && function == functionAmong {
			total += work(args[0], list)
		}
	default:
		for _, v := range args {
			switch v.(type) {
			case types.String, types.Bytes:
				n, _ := weigh(v)
				total += n
			}
		}
		if function == "matches" {
			pattern, _ := weigh(args[len(args)-1])
			total *= pattern
		}
	}
	return &total
}
