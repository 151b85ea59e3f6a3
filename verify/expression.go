package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Bounds of a document that expressions read.
const (
	maxExpressionBytes = 4 << 20
	maxExpressionNodes = 100_000
)

// clockTrust is for how long an expression that reads the clock is true without being
// evaluated again.
const clockTrust = time.Minute

// expressions are those of one requirement. All must be true.
type expressions []expression

type expression struct {
	text string
	policy.Expression
	readsNow bool
}

func (c *compiled) expressions(about policy.ExpressionAbout, texts []string) (all expressions) {
	for _, text := range texts {
		e := c.checked.Expressions[about][text]
		all = append(all, expression{text, e, slices.Contains(e.Reads(), "now")})
	}
	return all
}

// judge says whether all expressions are true. until is when they must be evaluated again.
// read adds what is judged to the variables.
func (all expressions) judge(c *circumstances, read func(*policy.ExpressionVariables) error) (until time.Time, p *problem) {
	v := &policy.ExpressionVariables{
		Now: c.now.UTC(), Image: map[string]string{"repository": c.image.Context().Name(), "digest": c.image.DigestStr()},
	}
	if err := read(v); err != nil {
		return until, problemf(ReasonExpression, "an expression cannot read it: %v", err)
	}
	for _, e := range all {
		if p := e.judge(c, v); p != nil {
			return time.Time{}, p
		}
		if e.readsNow {
			until = c.now.Add(clockTrust)
		}
	}
	return until, nil
}

func (e expression) judge(c *circumstances, v *policy.ExpressionVariables) *problem {
	leave, err := budget.Work(c.ctx)
	if err != nil {
		return problemf(ReasonExpression, "%v", err) // the context has ended, and so has the decision
	}
	defer leave()
	holds := false
	err = panics.Caught(func() (err error) {
		holds, err = e.Holds(c.ctx, v)
		return err
	})
	switch {
	case err != nil:
		return problemf(ReasonExpression, "%.200q cannot be evaluated: %.300s", e.text, err)
	case !holds:
		return problemf(ReasonExpression, "%.200q is false", e.text)
	}
	return nil
}

// variables are those of a statement.
func (d *document) variables(c *circumstances) func(*policy.ExpressionVariables) error {
	return func(v *policy.ExpressionVariables) (err error) {
		if d.tagValue {
			return fmt.Errorf("the document is not JSON")
		}
		v.Claims, v.Signer, v.SignedAt, v.SignedAfter = c.signer.Claims, c.signer.Principal, c.signer.SignedAt.UTC(), c.signer.SignedAfter.UTC()
		if v.Predicate, err = plainJSON(c, d.root.Raw()); err != nil {
			return fmt.Errorf("the predicate %w", err)
		}
		return nil
	}
}

// variables are those of an image.
func (v *imageView) variables(c *circumstances) func(*policy.ExpressionVariables) error {
	return func(all *policy.ExpressionVariables) (err error) {
		all.Annotations = v.annotations
		if all.Config, err = plainJSON(c, v.text); err != nil {
			return fmt.Errorf("the config %w", err)
		}
		return nil
	}
}

// plainJSON parses a document of bounded size.
func plainJSON(c *circumstances, text []byte) (any, error) {
	if len(text) > maxExpressionBytes {
		return nil, fmt.Errorf("has more than %d bytes", maxExpressionBytes)
	}
	leave, err := budget.Parse(c.ctx, text)
	if err != nil {
		return nil, err
	}
	defer leave()
	root, err := strictjson.ParseWithin(text, maxExpressionNodes)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return plain(root), nil
}

// plain is a value as expressions get it. Numbers keep their text.
func plain(v strictjson.Value) any {
	switch v.Kind() {
	case strictjson.Bool:
		return string(v.Raw()) == "true"
	case strictjson.Number:
		return json.Number(v.Raw())
	case strictjson.String:
		text, _ := v.Str()
		return text
	case strictjson.Array:
		all := make([]any, 0, v.Len())
		for element := range v.Elems() {
			all = append(all, plain(element))
		}
		return all
	case strictjson.Object:
		all := make(map[string]any, v.Len())
		for name, member := range v.Members() {
			all[name] = plain(member)
		}
		return all
	}
	return nil
}
