package cel

import (
	"context"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Bounds of matches. An engine that never goes back takes a step for each byte of the text
// and instruction of the pattern, at worst.
const (
	maxInstructions = 1000
	maxSteps        = 25_000_000
	stepsOfCost     = 50
)

// functionMatches is the function that stands for matches. No expression can name it.
const functionMatches = "@matches"

// patterns are those of an expression, by their texts.
type patterns map[string]pattern

// pattern matches whole texts.
type pattern struct {
	*regexp.Regexp
	instructions uint64
}

// add compiles a pattern. It refuses one that can match a part of a text.
func (all patterns) add(text string) error {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return fmt.Errorf("has the pattern %.100q of matches: %w", text, err)
	}
	if !whole(tree) {
		return fmt.Errorf("has the pattern %.100q of matches, which also matches parts of a text; write it as ^(…)$, or use contains", text)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return fmt.Errorf("has the pattern %.100q of matches: %w", text, err)
	}
	if n := len(program.Inst); n > maxInstructions {
		return fmt.Errorf("has the pattern %.100q of matches, which takes %d instructions, want at most %d", text, n, maxInstructions)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return fmt.Errorf("has the pattern %.100q of matches: %w", text, err)
	}
	all[text] = pattern{compiled, uint64(len(program.Inst))}
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

// declared is the option that declares functionMatches.
func declared() cel.EnvOption {
	return cel.Function(functionMatches, cel.Overload(functionMatches, []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.LateFunctionBinding()))
}

// steps bounds the work of matching text.
func (p pattern) steps(text types.String) uint64 { return (uint64(len(text)) + 1) * p.instructions }

// cost is what matching text costs. A text that is too long is not matched.
func (p pattern) cost(text types.String) uint64 {
	if n := p.steps(text); n <= maxSteps {
		return n / stepsOfCost
	}
	return 0
}

// bind adds the functions of one evaluation, which end with ctx, to its variables.
func (all patterns) bind(ctx context.Context, variables any) (cel.Activation, error) {
	return cel.FunctionVars(variables, map[string]cel.LateBoundFunction{functionMatches: func(_ string, args ...ref.Val) ref.Val {
		text, p := args[0].(types.String), all[string(args[1].(types.String))]
		if err := ctx.Err(); err != nil {
			return types.WrapErr(err)
		}
		if p.steps(text) > maxSteps {
			return types.NewErr("a text of %d bytes is too long for a pattern of %d instructions, want at most %d", len(text), p.instructions, maxSteps/p.instructions-1)
		}
		return types.Bool(p.MatchString(string(text)))
	}})
}
