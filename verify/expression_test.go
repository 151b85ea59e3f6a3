package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// scripted is a policy.ExpressionAuthority whose expressions are functions by their names.
type scripted map[string]func(ctx context.Context, v *policy.ExpressionVariables) (bool, error)

func (scripted) Matcher(map[string]any) (policy.Matcher, error) { return nil, errors.New("no signers") }

func (s scripted) Compile(text string, _ policy.ExpressionAbout) (policy.Expression, error) {
	if s[text] == nil {
		return nil, fmt.Errorf("is unknown")
	}
	return script{text, s[text]}, nil
}

type script struct {
	name  string
	holds func(ctx context.Context, v *policy.ExpressionVariables) (bool, error)
}

func (s script) Reads() []string { return []string{"predicate", s.name} }

func (s script) Holds(ctx context.Context, v *policy.ExpressionVariables) (bool, error) {
	return s.holds(ctx, v)
}

const approvalType = "https://acme.example/approval/v1"

// expressed judges an approval by an expression.
func expressed(t *testing.T, ctx context.Context, s scripted, requirement, predicate string) (*verify.Result, error) {
	t.Helper()
	w, a, b, c := newWorld(t), newPerson(t), newPerson(t), newPerson(t)
	state(t, w, w.image, says{approvalType, predicate}, c)
	linked := map[string]policy.Authority{"cel": s}
	p, err := policy.Load(written(t, strings.Replace(policyText, "signature: {by: release}", requirement, 1), a, b, c), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return v.Image(ctx, w.store, w.image)
}

func approvalBy(expression string) string {
	return "attestation: {type: " + approvalType + ", by: builder, cel: [" + expression + "]}"
}

func TestExpressionsGetWhatWasVerified(t *testing.T) {
	var got *policy.ExpressionVariables
	s := scripted{"look": func(_ context.Context, v *policy.ExpressionVariables) (bool, error) { got = v; return true, nil }}
	res, err := expressed(t, t.Context(), s, approvalBy("look"), `{"a":[1,2.50,"x",null,true],"b":{}}`)
	if err != nil || !res.ValidUntil.IsZero() {
		t.Fatalf("%+v, %v", res, err)
	}
	predicate, _ := json.Marshal(got.Predicate)
	if string(predicate) != `{"a":[1,2.50,"x",null,true],"b":{}}` || got.Image["digest"] != res.Digest.DigestStr() || got.Image["repository"] != "registry.example/team/app" ||
		!got.Now.Equal(now) || got.Signer != "" || !got.SignedAt.IsZero() {
		t.Errorf("%s, %v", predicate, got)
	}
	s["now"] = s["look"]
	if res, err = expressed(t, t.Context(), s, approvalBy("now"), `{}`); err != nil || !res.ValidUntil.Equal(now.Add(time.Minute)) {
		t.Errorf("an expression that reads the clock: %+v, %v", res, err)
	}
	s["config"] = s["look"]
	if _, err = expressed(t, t.Context(), s, "config: {cel: [config]}", `{}`); err != nil {
		t.Fatal(err)
	}
	if config, ok := got.Config.(map[string]any); !ok || config["architecture"] == nil || got.Predicate != nil {
		t.Errorf("%v", got)
	}
}

func TestAttack_T27_ExpressionsThatFailDeny(t *testing.T) {
	s := scripted{
		"yes": func(context.Context, *policy.ExpressionVariables) (bool, error) { return true, nil },
		"no":  func(context.Context, *policy.ExpressionVariables) (bool, error) { return false, nil },
		"error": func(context.Context, *policy.ExpressionVariables) (bool, error) {
			return true, errors.New("no such key")
		},
		"panic": func(context.Context, *policy.ExpressionVariables) (bool, error) { panic("x") },
	}
	deep := strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70)
	for what, c := range map[string]struct{ requirement, predicate string }{
		"false":             {approvalBy("no"), `{}`},
		"true and an error": {approvalBy("error"), `{}`},
		"a panic":           {approvalBy("panic"), `{}`},
		"one of two":        {approvalBy("yes, no"), `{}`},
		"too many values":   {approvalBy("yes"), `{"a":[` + strings.Repeat("1,", 100_000) + `1]}`},
		"too many bytes":    {approvalBy("yes"), `{"a":"` + strings.Repeat("x", 4<<20) + `"}`},
		"of a config":       {"config: {cel: [no]}", `{}`},
		"where fails":       {strings.Replace(approvalBy("yes"), "cel:", "where: [{pointer: /a, absent: true}], cel:", 1), `{"a":1}`},
	} {
		res, err := expressed(t, t.Context(), s, c.requirement, c.predicate)
		want := verify.ReasonExpression
		if what == "where fails" {
			want = verify.ReasonMember
		}
		var denial *verify.Error
		if res != nil || !errors.As(err, &denial) || denial.Reason != want {
			t.Errorf("%s: %v, %v", what, res, err)
		}
	}
	if res, err := expressed(t, t.Context(), s, approvalBy("yes"), deep); err == nil {
		t.Errorf("too deep: %+v", res)
	}
}

func TestEndedContextsLeaveExpressionsUndecided(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := scripted{"wait": func(ctx context.Context, _ *policy.ExpressionVariables) (bool, error) {
		cancel()
		return false, ctx.Err()
	}}
	res, err := expressed(t, ctx, s, approvalBy("wait"), `{}`)
	var denial *verify.Error
	if res != nil || errors.As(err, &denial) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", res, err)
	}
}
