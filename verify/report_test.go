package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func resultSchema(t *testing.T) (schema map[string]any) {
	t.Helper()
	text, err := verify.ResultSchema()
	if err == nil {
		err = json.Unmarshal(text, &schema)
	}
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// reports are one of each kind that a verify method returns, by name.
func reports(t *testing.T) map[string]any {
	t.Helper()
	w, people := newWorld(t), []person{newPerson(t), newPerson(t), newPerson(t)}
	unsigned := w.denied(policy.Signatures{}, verify.ReasonNoSignature)
	warned := *unsigned
	platforms := w.pushIndex(amd64, arm64)
	w.attach(w.image, w.simple("{", w.trusted))
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v := w.verifier(policy.Signatures{})
	res, err := v.Image(context.Background(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	child, err := v.Child(context.Background(), w.store, res, platforms[0])
	if err != nil {
		t.Fatal(err)
	}
	_, deniedFile := judgedFile(t, policyText+filesBy, people)
	file, err := judgedFile(t, policyText+filesBy, people, signedFile(t, people[0])["bytes"])
	if err != nil {
		t.Fatal(err)
	}
	soft := *res
	soft.Warning, soft.Keys = &warned, nil
	return map[string]any{
		"verified": res, "child": child, "denied": unsigned, "warned": &soft, "file": file, "denied file": deniedFile,
		"undecided": &verify.UndecidedError{Reference: "registry.example/app:v1", Digest: w.image, Causes: []error{errors.New("a"), errors.New("b")}},
	}
}

func TestReport_EveryDecisionHasTheFormOfTheSchema(t *testing.T) {
	schema := resultSchema(t)
	statuses := map[string]verify.Status{
		"verified": verify.StatusVerified, "child": verify.StatusVerified, "denied": verify.StatusDenied, "warned": verify.StatusWarned,
		"file": verify.StatusVerified, "denied file": verify.StatusDenied, "undecided": verify.StatusUndecided,
	}
	for name, decision := range reports(t) {
		text, err := json.Marshal(decision)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var v map[string]any
		var back verify.Report
		if err := errors.Join(json.Unmarshal(text, &v), json.Unmarshal(text, &back)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := jsonschema.Check(schema, v); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(text) || back.Status != statuses[name] {
			t.Errorf("%s: %v\ngot  %s\nread %s", name, err, text, again)
		}
		v["unknown"] = true
		if jsonschema.Check(schema, v) == nil {
			t.Errorf("%s: a field that is not known passes", name)
		}
	}
}

func TestReport_FieldsMeanTheSameInEveryDecision(t *testing.T) {
	all := reports(t)
	res, denied, child := all["verified"].(*verify.Result), all["denied"].(*verify.Error), all["child"].(*verify.Result)
	warned, undecided := all["warned"].(*verify.Result), all["undecided"].(*verify.UndecidedError)
	const asked = "asked"
	for name, c := range map[string]struct{ got, want any }{
		"asked":     {verify.ReportOf(asked, res, nil).Image, asked},
		"not asked": {verify.ReportOf("", res, nil).Image, res.Reference},
		"digest":    {verify.ReportOf(asked, nil, denied).Digest, denied.Digest.String()},
		"policy":    {verify.ReportOf(asked, nil, denied).Policy, verify.ReportOf(asked, res, nil).Policy},
		"wrapped":   {verify.ReportOf(asked, nil, fmt.Errorf("x: %w", denied)).Reason, verify.ReasonNoSignature},
		"index":     {verify.ReportOf(asked, child, nil).Index.Digest, res.Digest.String()},
		"warned":    {verify.ReportOf(asked, warned, nil).Reason, denied.Reason},
		"unmet":     {verify.ReportOf(asked, warned, nil).Unmet, denied.Unmet},
		"causes":    {verify.ReportOf(asked, nil, undecided).Causes, []string{"a", "b"}},
		"detail":    {verify.ReportOf(asked, nil, undecided).Detail, undecided.Error()},
		"other":     {verify.ReportOf(asked, nil, context.Canceled).Causes, []string{"context canceled"}},
		"status":    {verify.ReportOf(asked, nil, context.Canceled).Status, verify.StatusUndecided},
		"file":      {verify.ReportOfFile(asked, nil, all["denied file"].(error)).SHA256, helloSum},
		"no image":  {verify.ReportOfFile(asked, all["file"].(*verify.BlobResult), nil).Image, ""},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
}
