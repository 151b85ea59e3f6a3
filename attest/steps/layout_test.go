package steps_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/steps"
)

func TestAttack_T10_AListThatIsMatchedWithItself(t *testing.T) {
	const at = `"expected_products":[["CREATE","app"]`
	for rule, always := range map[string]bool{
		`["MATCH","*","WITH","PRODUCTS","FROM","compile"]`:                          true,
		`["match","app","with","products","from","compile"]`:                        true,
		`["MATCH","*","IN","src","WITH","PRODUCTS","IN","src/","FROM","compile"]`:   true,
		`["MATCH","*","WITH","MATERIALS","FROM","compile"]`:                         false,
		`["MATCH","*","IN","dist","WITH","PRODUCTS","FROM","compile"]`:              false,
		`["MATCH","*","IN","dist","WITH","PRODUCTS","IN","build","FROM","compile"]`: false,
		`["MATCH","*","WITH","PRODUCTS","FROM","write"]`:                            false,
	} {
		b := newBuild(t)
		payload := openRaw(t, b.signedLayout()).payload(t)
		if !strings.Contains(payload, at) {
			t.Fatal("the layout has other rules")
		}
		layout := signRaw(t, strings.Replace(payload, at, `"expected_products":[`+rule+`,["CREATE","app"]`, 1), b.owner)
		if !always {
			b.accepts(layout, b.links(), b.options())
			continue
		}
		if refusal := b.refuses(steps.ReasonLayoutUnsupported, layout, b.links(), b.options()); refusal.Step != "compile" {
			t.Errorf("%s: %v", rule, refusal)
		}
	}
	b := newBuild(t)
	b.layout.Steps[1].Materials = append(b.layout.Steps[1].Materials, steps.Match("*", steps.Origin{Step: "compile", Materials: true}))
	if _, err := steps.SignLayout(context.Background(), b.layout, b.owner.signer); !errors.Is(err, steps.ErrLayout) {
		t.Errorf("materials with themselves: signed: %v", err)
	}
}
