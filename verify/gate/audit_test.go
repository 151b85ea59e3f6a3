package gate_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// audited are the lines of an audit log, each held to the published schema.
func audited(t *testing.T, log *lines) (all []gate.Event) {
	t.Helper()
	text, err := verify.ResultSchema()
	must(t, err)
	var schema map[string]any
	must(t, json.Unmarshal(text, &schema))
	for line := range strings.Lines(log.text()) {
		var v any
		must(t, json.Unmarshal([]byte(line), &v))
		if err := jsonschema.Check(schema, v); err != nil {
			t.Errorf("%v\n%s", err, line)
		}
		v.(map[string]any)["unknown"] = true
		if jsonschema.Check(schema, v) == nil {
			t.Errorf("a field that is not known passes: %s", line)
		}
		var e gate.Event
		must(t, json.Unmarshal([]byte(line), &e))
		all = append(all, e)
	}
	return all
}

func TestAudit_LinesAreReportsWithARequest(t *testing.T) {
	log := &lines{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Audit = log })
	s.passes("signed")
	s.denied("/v2/team/app/manifests/unsigned", "no-signature")
	s.get("/v2/team/app/manifests/none")
	s.raw("PUT /v2/team/app/manifests/signed HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
	layer := s.parts(s.signed)[1].Digest.String()
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Ref: layer, Do: registrytest.ReplaceBody([]byte("other"))})
	s.get("/v2/team/app/blobs/" + layer)
	eventually(t, "the mismatch is told", func() bool { return strings.Contains(log.text(), gate.EventMismatch) })

	// The request may be refused for the mismatch before or after that is told.
	all := slices.DeleteFunc(audited(t, log), func(e gate.Event) bool { return e.Reason == "upstream-lies" })
	image := known + "/team/app"
	for i, want := range []struct {
		kind   string
		report verify.Report
		status int
		path   string
	}{
		{gate.EventAllowed, verify.Report{Image: image + ":signed", Status: verify.StatusVerified, Digest: s.signed.String(), Rule: "**"}, http.StatusOK, "/v2/team/app/manifests/signed"},
		{gate.EventDenied, verify.Report{Image: image + ":unsigned", Status: verify.StatusDenied, Digest: s.unsigned.String(), Rule: "**", Reason: verify.ReasonNoSignature}, http.StatusForbidden, "/v2/team/app/manifests/unsigned"},
		{gate.EventRefused, verify.Report{Image: image + ":none", Status: verify.StatusUndecided, Reason: "manifest_unknown"}, http.StatusNotFound, "/v2/team/app/manifests/none"},
		{gate.EventRefused, verify.Report{Status: verify.StatusUndecided, Reason: "unsupported"}, http.StatusMethodNotAllowed, "/v2/team/app/manifests/signed"},
		{gate.EventMismatch, verify.Report{Image: image + "@" + layer, Status: verify.StatusUndecided, Digest: image + "@" + layer, Reason: "digest-mismatch"}, 0, ""},
	} {
		if i >= len(all) {
			t.Fatalf("%d lines: %s", len(all), log.text())
		}
		e := all[i]
		if e.Kind != want.kind || e.Image != want.report.Image || e.Status != want.report.Status || e.Digest != want.report.Digest ||
			e.Rule != want.report.Rule || e.Reason != want.report.Reason || e.Request.Status != want.status || e.Request.Path != want.path {
			t.Errorf("got  %+v\nwant %+v", e, want)
		}
		if decided := want.report.Rule != ""; decided != (e.Policy != "") || (e.Status == verify.StatusDenied) != (len(e.Unmet) > 0) {
			t.Errorf("%+v", e)
		}
	}
	if e := all[0]; e.JudgedAt.IsZero() || e.Evidence != nil || e.Keys != nil {
		t.Errorf("%+v", e)
	}
}

func TestAudit_WarningsHaveTheirReason(t *testing.T) {
	log := &lines{}
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Audit, c.Verifier = log, s.verifier(func(p *policy.Policy) { p.Rules[0].Mode = policy.ModeWarn })
	})
	s.passes("unsigned")
	all := audited(t, log)
	if len(all) != 1 || all[0].Kind != gate.EventAllowed || all[0].Status != verify.StatusWarned || all[0].Reason != verify.ReasonNoSignature || all[0].Detail == "" || all[0].Request.Message == "" {
		t.Errorf("%+v", all)
	}
}
