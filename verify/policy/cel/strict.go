package cel

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// inspect refuses what cannot be intended, and returns the variables that are read. It
// adds the patterns of matches to all.
func inspect(a *cel.Ast, known map[string]*cel.Type, all patterns) (reads []string, err error) {
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
			found = inspectCall(e.AsCall(), all)
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

func inspectCall(c ast.CallExpr, all patterns) error {
	switch name := c.FunctionName(); {
	case name == overloads.Matches:
		pattern := c.Args()[len(c.Args())-1]
		text, ok := types.String(""), false
		if pattern.Kind() == ast.LiteralKind {
			text, ok = pattern.AsLiteral().(types.String)
		}
		if !ok {
			return fmt.Errorf("has a pattern of matches that is not a literal")
		}
		return all.add(string(text))
	case strings.HasPrefix(name, "get") && c.IsMemberFunction() && len(c.Args()) > 0:
		return fmt.Errorf("names a time zone in %s; leave it out for UTC", name)
	}
	return nil
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

// strict replaces comparisons by those that are errors for values of two types, and matches
// by what is bounded. A comparison with the literal null asks for a type, and stays.
func strict(a *cel.Ast) {
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		if call.FunctionName() == overloads.Matches {
			args := call.Args()
			if call.IsMemberFunction() {
				args = append([]ast.Expr{call.Target()}, args...)
			}
			e.SetKindCase(factory.NewCall(e.ID(), functionMatches, args...))
			return
		}
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

// costs are what calls cost beside one: what they read, by the patterns of the expression.
type costs patterns

// CallCost implements cost.ActualCostEstimator.
func (all costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
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
	case functionMatches:
		if text, ok := args[0].(types.String); ok {
			total += patterns(all)[string(args[1].(types.String))].cost(text)
		}
	default:
		for _, v := range args {
			switch v.(type) {
			case types.String, types.Bytes:
				n, _ := weigh(v)
				total += n
			}
		}
	}
	return &total
}
