package verify_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestExamine_TellsWhatEachPieceIsWorth(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	const review = "https://acme.example/review/v1"
	text := strings.Replace(policyText, "signature: {by: release}", "attestation: {type: "+review+", by: builder, where: [{pointer: /n, equals: 1}]}", 1)
	state(t, w, w.image, says{review, `{"n":1}`}, c)
	state(t, w, w.image, says{review, `{"n":2}`}, c)
	state(t, w, w.image, says{review, `{"n":1,"again":true}`}, c)
	state(t, w, w.image, says{review, `{"n":1}`}, a)
	state(t, w, w.image, says{review + "/other", `{"n":1}`}, c)
	state(t, w, w.image, says{review, `{"n":1}`}, newPerson(t))
	v, err := verify.New(loaded(t, text, a, b, c), verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Examine(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, e := range res.Evidence {
		if e.Item == "" {
			t.Errorf("%+v names no item", e)
		}
		got[string(e.Reason)+" "+e.Requirement]++
	}
	want := map[string]int{
		"counted rules[0].require[0]": 1, "repeated-key rules[0].require[0]": 1, "wrong-member rules[0].require[0]": 1,
		"wrong-role rules[0].require[0]": 1, "wrong-type ": 1, "untrusted-key ": 1,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	ids := make(map[string]bool)
	for item, err := range registry.Evidence(t.Context(), w.store, w.image, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids[item.ID()] = true
	}
	for _, e := range res.Evidence {
		if !ids[e.Item] {
			t.Errorf("%+v is of no item", e)
		}
	}
	if len(ids) != 6 {
		t.Errorf("%d items", len(ids))
	}
	plain, err := v.Image(t.Context(), w.store, w.image)
	if err != nil || len(plain.Evidence) > 0 && plain.Evidence[0].Item != "" {
		t.Errorf("Image: %+v, %v", plain, err)
	}
}

func TestExamine_DecidesAsImageDoes(t *testing.T) {
	w := newWorld(t)
	_, err := w.verifier(policy.Signatures{}).Examine(t.Context(), w.store, w.image)
	var denied *verify.Error
	if !errors.As(err, &denied) || denied.Reason != verify.ReasonNoSignature {
		t.Errorf("%v", err)
	}
	if _, err := w.verifier(policy.Signatures{}).Examine(t.Context(), w.store, w.image.Context().Digest("x")); err == nil {
		t.Error("a digest that is none")
	}
}

func TestKeysAreThoseThePolicyTrusts(t *testing.T) {
	w := newWorld(t)
	all := w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key, w.other.key}, Threshold: 1}).Keys()
	res := make(map[string]bool)
	for _, k := range all {
		res[k.ID] = k.Name != ""
	}
	if len(all) != 2 || !res[w.trusted.key.ID()] || !res[w.other.key.ID()] {
		t.Errorf("%+v", all)
	}
}
