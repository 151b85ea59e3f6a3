package policy

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Bounds of the expressions of one requirement.
const (
	maxExpressions     = 20
	maxExpressionBytes = 4 << 10
)

// celName is the name of the ExpressionAuthority for the fields cel.
const celName = "cel"

// ExpressionAuthority is an Authority that judges by expressions: that of package
// verify/policy/cel, which policies name by their fields cel. Programs link it under the
// name "cel".
type ExpressionAuthority interface {
	Authority
	// Compile checks an expression. It returns an error for one that cannot be intended,
	// such as one of another type than bool, or one that reads an unknown variable.
	Compile(text string, about ExpressionAbout) (Expression, error)
}

// ExpressionAbout is what an expression judges. It says which variables there are.
type ExpressionAbout string

const (
	// AboutStatement is a statement about the image.
	AboutStatement ExpressionAbout = "statement"
	// AboutConfig is the image itself; of an index, each image that it lists.
	AboutConfig ExpressionAbout = "config"
)

// ExpressionVariables are what expressions read. The name of a variable is that of its
// field, with a small first letter. Predicate and Config hold nil, bool, json.Number,
// string, []any and map[string]any. Expressions must not change them.
type ExpressionVariables struct {
	// Now is the time of the judgement.
	Now time.Time
	// Image has the repository and the digest of what is judged.
	Image map[string]string

	// Predicate is that of a statement whose signature and subject were verified. It and the
	// next four are those of AboutStatement.
	Predicate any
	// Claims are Recognized.Claims. Nil: a key signed.
	Claims map[string]string
	// Signer is Recognized.Principal. Empty: a key signed.
	Signer string
	// SignedAt and SignedAfter are those of Recognized. Zero: not known, and reading the
	// variable is an error.
	SignedAt, SignedAfter time.Time

	// Config is the config of the image, and Annotations are those of its manifest. They are
	// those of AboutConfig.
	Config      any
	Annotations map[string]string
}

// Expression is a compiled expression. It is safe for concurrent use.
type Expression interface {
	// Reads are the names of the variables that the expression reads.
	Reads() []string
	// Holds reports whether the expression is true. It returns an error for an expression
	// that cannot be evaluated, such as one that reads a member that is not there. Both a
	// false expression and an error deny. Holds must not use a network. Its work is bounded,
	// and ends with the context.
	Holds(ctx context.Context, v *ExpressionVariables) (bool, error)
}

// compileExpressions compiles the expressions of a requirement, each text once.
func compileExpressions(c *checking, path string, texts []string, about ExpressionAbout) error {
	if len(texts) == 0 {
		return nil
	}
	authority, linked := c.linked[celName].(ExpressionAuthority)
	switch {
	case !linked:
		return faultf(path, "needs the authority %q, whose package verify/policy/cel is not linked into this program", celName)
	case len(texts) > maxExpressions:
		return faultf(path, "has more than %d expressions", maxExpressions)
	}
	if c.Expressions[about] == nil {
		c.Expressions[about] = make(map[string]Expression)
	}
	for i, text := range texts {
		if c.Expressions[about][text] != nil {
			continue
		}
		if len(text) > maxExpressionBytes {
			return faultf(fmt.Sprintf("%s[%d]", path, i), "has more than %d bytes", maxExpressionBytes)
		}
		compiled, err := authority.Compile(text, about)
		if err != nil {
			return &fault{fmt.Sprintf("%s[%d]", path, i), err}
		}
		c.Expressions[about][text] = compiled
	}
	return nil
}

// compileOf compiles the expressions of a requirement for attestations.
func compileOf(c *checking, path string, a *AttestationRequirement) error {
	if err := compileExpressions(c, path+".cel", a.CEL, AboutStatement); err != nil {
		return err
	}
	reads := func(variable string) bool {
		return slices.ContainsFunc(a.CEL, func(text string) bool {
			return slices.Contains(c.Expressions[AboutStatement][text].Reads(), variable)
		})
	}
	switch {
	case len(a.CEL) > 0 && a.kind() == kindOther && len(a.Where) == 0 && !reads("predicate"):
		return faultf(path+".cel", "reads no predicate: any content of type %.200s would meet it; write a condition on predicate", a.Type)
	case reads("signedAfter"):
		return needsIdentities(path+".cel", a.By, c.Policy.Roles)
	}
	return nil
}
