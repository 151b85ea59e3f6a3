// Package cel judges evidence and images by expressions of the Common Expression Language.
//
//	linked := map[string]policy.Authority{cel.Name: cel.New()}
//	p, err := policy.Load("policy.yaml", policy.ParseOptions{Authorities: linked})
//	v, err := verify.New(p, verify.Options{Authorities: linked})
//
// In a policy, the field cel of an attestation or config requirement holds expressions:
//
//   - attestation: {type: https://example.com/review, by: reviewer, cel: [predicate.approved == true && predicate.approvals >= 2]}
//   - config: {cel: ["config.architecture in ['amd64', 'arm64']"]}
//
// # Variables
//
// An attestation's expressions read:
//
//   - predicate: the predicate of a statement whose signature and subject were verified
//   - claims: what the certificate of the signer claims, such as claims.sourceRepository,
//     a map of strings; empty if a key signed
//   - signer: the principal that was recognised, or "" if a key signed
//   - signedAt, signedAfter: when the signature existed at the latest and at the earliest,
//     by trusted clocks. Freshness needs signedAfter: an old signature can get a new
//     timestamp. Reading one that is not known is an error.
//   - image: a map of repository and digest
//   - now: the time of the judgement
//
// A config's expressions read config, annotations (of the manifest), image and now. Of an
// index, they must hold for each image that it lists.
//
// A decision about an expression that reads now is used for at most a minute.
//
// # What denies
//
// An expression that is not true denies. So does one that cannot be evaluated:
//
//   - It reads a member or index that is not there. Write has(predicate.x) first.
//   - It asks has(a.b) of an a that is not an object.
//   - It reads a name for which there is another that differs in case alone.
//   - It compares values of two types, also within lists and maps: predicate.state != 'bad'
//     fails if state is a number. Comparing with the literal null is allowed.
//   - It compares a number that is infinite or not a number, such as 0.0 / 0.0.
//   - Its value is not a bool.
//   - It takes more than [MaxCost], or its context ends. Then nothing is decided.
//
// The language lets a true || hide an error beside it, and a false &&. So write what must
// be readable as an expression of its own: all expressions of the list must be true.
//
// # What is refused
//
// Compile refuses expressions that cannot be intended:
//
//   - errors of syntax and of types, and unknown variables
//   - an expression that has the same value whatever is judged
//   - a pattern of matches that is not anchored at both ends: 'acme' matches evil-acme,
//     and so does '^acme|corp$'. Write ^ and $ around a group, or contains.
//   - a pattern of matches that is not a literal
//   - names of time zones: times are in UTC
//
// # Numbers and times
//
//   - A number without a fraction or exponent is an int. Others are doubles. Both compare
//     with each other, without rounding.
//   - A number that an int or double would round is an error when it is read: integers
//     beyond 64 bits, and decimals of more than about 15 digits.
//   - JSON has no times: write timestamp(predicate.finishedOn), which reads RFC 3339.
//
// # Limits
//
//   - an expression: 4096 characters, 50 levels of nesting, 3 of comprehensions
//   - a document that expressions read: 4 MiB and 100000 values (package verify)
//   - evaluation: [MaxCost], which takes less than a second
//   - a pattern of matches: 1000 instructions, about one for each character that it names
//   - a call of matches: 25 million bytes of the text times instructions of the pattern.
//     A text of 4 MiB can be matched by 5 instructions, one of 64 KiB by 380.
//
// # Concurrency
//
// All functions and methods are safe for concurrent use.
//
// # Source
//
// The Common Expression Language, specification and standard library
// (https://github.com/google/cel-spec), by the Go module cel.dev/cel-go. Optional and
// extension libraries are not there.
package cel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Name is the name by which a program links the Authority.
const Name = "cel"

// MaxCost bounds an evaluation, in the units of CEL's cost model: about one for each step,
// and for each ten bytes of a text that it reads. A call of matches costs one for each 50
// bytes times instructions.
const MaxCost = 1_000_000

// Bounds of an expression.
const (
	maxCharacters = 4 << 10
	maxDepth      = 50
	maxNodes      = 5000
	maxLoops      = 3
)

// New returns the Authority.
func New() *Authority { return &Authority{} }

// Authority is a policy.ExpressionAuthority. It recognises no signers.
type Authority struct{}

// errNoSigners is the error of Matcher.
var errNoSigners = errors.New("the authority cel judges by expressions, and recognises no signers; write the expression in the field cel of a requirement")

// Matcher returns an error: there are no identities.
func (*Authority) Matcher(map[string]any) (policy.Matcher, error) { return nil, errNoSigners }

// Compile checks an expression, as the package's documentation says.
func (*Authority) Compile(text string, about policy.ExpressionAbout) (policy.Expression, error) {
	known := variables(about)
	if known == nil {
		return nil, fmt.Errorf("is about %.40q, which this package does not know", string(about))
	}
	env, err := environment(known)
	if err != nil {
		return nil, err
	}
	typed, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("is not an expression: %.500s", flat(err))
	}
	if out := typed.OutputType(); !out.IsExactType(types.BoolType) && !out.IsExactType(types.DynType) {
		return nil, fmt.Errorf("is of type %s, want bool", out)
	}
	all := make(patterns)
	reads, err := inspect(typed, known, all)
	if err != nil {
		return nil, err
	}
	parsed, issues := env.Parse(text)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	strict(parsed)
	checked, issues := env.Check(parsed)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if err := all.vary(env, checked); err != nil {
		return nil, err
	}
	program, err := env.Program(checked, all.bounds()...)
	if err != nil {
		return nil, err
	}
	return &expression{program, reads, all}, nil
}

// flat is the text of an error on one line.
func flat(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// variables are those of an expression by their types. Nil: none are known.
func variables(about policy.ExpressionAbout) map[string]*cel.Type {
	texts := cel.MapType(cel.StringType, cel.StringType)
	known := map[string]*cel.Type{"now": cel.TimestampType, "image": texts}
	switch about {
	case policy.AboutStatement:
		known["predicate"], known["claims"], known["signer"] = cel.DynType, texts, cel.StringType
		known["signedAt"], known["signedAfter"] = cel.TimestampType, cel.TimestampType
	case policy.AboutConfig:
		known["config"], known["annotations"] = cel.DynType, texts
	default:
		return nil
	}
	return known
}

// bound are the variables that an expression reads, by their names. A time that is not
// known is left out.
func bound(v *policy.ExpressionVariables, reads []string) map[string]any {
	all := map[string]any{
		"now": v.Now, "image": v.Image, "predicate": v.Predicate, "claims": v.Claims, "signer": v.Signer,
		"signedAt": v.SignedAt, "signedAfter": v.SignedAfter, "config": v.Config, "annotations": v.Annotations,
	}
	read := make(map[string]any, len(reads))
	for _, name := range reads {
		if at, isTime := all[name].(time.Time); !isTime || !at.IsZero() {
			read[name] = valueOf(all[name])
		}
	}
	return read
}

func environment(known map[string]*cel.Type) (*cel.Env, error) {
	o := []cel.EnvOption{
		cel.ParserExpressionSizeLimit(maxCharacters), cel.ParserRecursionLimit(maxDepth), cel.ExpressionNodeLimit(maxNodes),
		cel.ParserErrorRecoveryLimit(1),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(maxLoops), cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true), cel.EnableErrorOnBadPresenceTest(true), cel.EnableHiddenAccumulatorName(true),
	}
	o = append(append(o, comparisons()...), declared())
	for name, of := range known {
		o = append(o, cel.Variable(name, of))
	}
	return cel.NewEnv(o...)
}

// bounds are the options of every evaluation.
func (all patterns) bounds() []cel.ProgramOption {
	return []cel.ProgramOption{cel.CostLimit(MaxCost), cel.CostTracking(costs(all)), cel.InterruptCheckFrequency(100)}
}

// vary refuses an expression that has a value while all variables are unknown.
func (all patterns) vary(env *cel.Env, checked *cel.Ast) error {
	program, err := env.Program(checked, append(all.bounds(), cel.EvalOptions(cel.OptPartialEval))...)
	if err != nil {
		return err
	}
	unknown, err := all.bind(context.Background(), env.UnknownVars())
	if err != nil {
		return err
	}
	value, _, err := program.Eval(unknown)
	switch {
	case err != nil:
		return fmt.Errorf("can never be evaluated: %.200s", flat(err))
	case !types.IsUnknown(value):
		return fmt.Errorf("is always %v, whatever is judged", value)
	}
	return nil
}

// expression is a policy.Expression.
type expression struct {
	program  cel.Program
	reads    []string
	patterns patterns
}

// Reads implements policy.Expression.
func (e *expression) Reads() []string { return slices.Clone(e.reads) }

// Holds implements policy.Expression.
func (e *expression) Holds(ctx context.Context, v *policy.ExpressionVariables) (bool, error) {
	variables, err := e.patterns.bind(ctx, bound(v, e.reads))
	if err != nil {
		return false, err
	}
	value, _, err := e.program.ContextEval(ctx, variables)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		return false, fmt.Errorf("%.300s", flat(err))
	case value != types.True && value != types.False:
		return false, fmt.Errorf("its value is of type %s, want bool", value.Type().TypeName())
	}
	return value == types.True, nil
}
