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

// The functions that stand for comparisons. No expression can name them.
const (
	functionSame    = "@same"
	functionDiffer  = "@differ"
	functionAmong   = "@among"
	functionLess    = "@less"
	functionAtMost  = "@atMost"
	functionGreater = "@greater"
	functionAtLeast = "@atLeast"
)

// strictly are the functions that stand for comparisons, by the operators.
var strictly = map[string]string{
	operators.Equals: functionSame, operators.NotEquals: functionDiffer, operators.In: functionAmong,
	operators.Less: functionLess, operators.LessEquals: functionAtMost, operators.Greater: functionGreater, operators.GreaterEquals: functionAtLeast,
}

func comparisons() []cel.EnvOption {
	option := func(name string, of func(a, b ref.Val) ref.Val) cel.EnvOption {
		return cel.Function(name, cel.Overload(name, []*cel.Type{cel.DynType, cel.DynType}, cel.BoolType, cel.BinaryBinding(of)))
	}
	return []cel.EnvOption{
		option(functionSame, same), option(functionDiffer, differ), option(functionAmong, among),
		option(functionLess, ordered(func(c int) bool { return c < 0 })), option(functionAtMost, ordered(func(c int) bool { return c <= 0 })),
		option(functionGreater, ordered(func(c int) bool { return c > 0 })), option(functionAtLeast, ordered(func(c int) bool { return c >= 0 })),
	}
}

// strict replaces comparisons by those that are errors for values of two types. A
// comparison with the literal null asks for a type, and stays.
func strict(a *cel.Ast) {
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		function, is := strictly[call.FunctionName()]
		if !is || call.FunctionName() != operators.In && slices.ContainsFunc(call.Args(), isNull) {
			return
		}
		e.SetKindCase(factory.NewCall(e.ID(), function, call.Args()...))
	}))
}

func isNull(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

// costs are what calls cost beside one: what they read.
type costs struct{}

// CallCost implements cost.ActualCostEstimator.
func (costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	total := uint64(1)
	switch function {
	case functionSame, functionDiffer, functionAmong, functionLess, functionAtMost, functionGreater, functionAtLeast:
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
