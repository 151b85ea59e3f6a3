package sigstore_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// ownPolicy brings its trust root as a file.
const ownPolicy = `version: 1
timestamps:
  clock: {authority: sigstore, settings: {rootFile: roots/private.json, root: SUM}}
identities:
  release:
    authority: sigstore
    settings:
      rootFile: roots/private.json
      root: SUM
      issuer: https://token.actions.githubusercontent.com
      uri: https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*
roles: {release: {identities: [release]}}
rules:
  - images: [registry.example/acme/**]
    require: [{signature: {by: release}}]
`

// written writes a policy with a trust root beside it. SUM is the root's digest.
func written(t *testing.T, text string, root []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "roots"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"roots/private.json": string(root), "policy.yaml": strings.ReplaceAll(text, "SUM", fmt.Sprintf("%x", sha256.Sum256(root)))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "policy.yaml")
}

func TestPoliciesBringTrustRootsAsFiles(t *testing.T) {
	w := newWorld(t)
	linked := map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()}
	p, err := policy.Load(written(t, ownPolicy, w.Root()), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked, Now: func() time.Time { return w.Now.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	signed := func(i *sigstoretest.Instance) []byte {
		return i.Issue(workflowOf(workflow, source)).SignStatement(imageStatement(w.image())).Log(i.Rekor1, "dsse 0.0.1").Text()
	}
	res, err := v.Bundles(t.Context(), w.image(), signed(w.Instance))
	isAllowed(t, "the root's", res, err)
	res, err = v.Bundles(t.Context(), w.image(), signed(sigstoretest.New(t, sigstoretest.Options{})))
	isDenied(t, "another's", res, err, verify.ReasonCertificate, "")

	other := newWorld(t)
	q, err := policy.Load(written(t, ownPolicy, other.Root()), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	a, errA := p.Check(linked)
	b, errB := q.Check(linked)
	if errA != nil || errB != nil || a.Digest == b.Digest || a.Matchers["release"].ID() == b.Matchers["release"].ID() || a.Times["clock"].ID() == b.Times["clock"].ID() {
		t.Errorf("policies with other roots are alike: %v, %v", errA, errB)
	}
}

func TestAttack_T17_TrustRootsOfPoliciesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	without := w.RootJSON()
	delete(without, "ctlogs")
	rootless := w.Marshal(without)
	for label, c := range map[string]struct {
		old, new string
		root     []byte
		says     string
	}{
		"no pin":              {", root: SUM", "", w.Root(), "needs root, the SHA-256 of the file: " + fmt.Sprintf("%x", sha256.Sum256(w.Root()))},
		"another pin":         {"      root: SUM", "      root: " + strings.Repeat("ab", 32), w.Root(), "the trust root has the SHA-256"},
		"beside an instance":  {"      root: SUM", "      root: SUM\n      instance: private", w.Root(), "want either instance or rootFile"},
		"no such file":        {"roots/private.json\n", "roots/none.json\n", w.Root(), "no such file"},
		"above the policy":    {"roots/private.json\n", "../private.json\n", w.Root(), "must be in the policy's directory"},
		"an absolute path":    {"roots/private.json\n", "/etc/passwd\n", w.Root(), "must be in the policy's directory"},
		"not a root":          {"", "", []byte("{}"), "unusable trust root"},
		"without CT":          {"", "", rootless, "want 1; WithoutCT demands none"},
		"two logs demanded":   {"      root: SUM", "      root: SUM\n      times: 8", w.Root(), "want 8"},
		"a number too large":  {"      root: SUM", "      root: SUM\n      logs: 9", w.Root(), "logs is 9, want 1 to 8"},
		"a truth in text":     {"      root: SUM", "      root: SUM\n      withoutCT: \"true\"", w.Root(), "withoutCT is true, want"},
		"both ways":           {"      root: SUM", "      root: SUM\n      withoutCT: true\n      ctLogs: 1", w.Root(), "demanded of none"},
		"demands of a linked": {"      rootFile: roots/private.json\n      root: SUM\n", "      withoutLogs: true\n", w.Root(), "is the program's"},
		"an unknown setting":  {"      root: SUM", "      root: SUM\n      witnesses: \"1\"", w.Root(), "is not a setting"},
	} {
		linked := map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()}
		text := strings.Replace(ownPolicy, c.old, c.new, 1)
		if text == ownPolicy && c.old != "" {
			t.Errorf("%s: nothing was changed", label)
		}
		p, err := policy.Load(written(t, text, c.root), policy.ParseOptions{Authorities: linked})
		if p != nil || !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, want %q", label, err, c.says)
		}
	}
	for label, s := range map[string]map[string]any{
		"a name that was not read": settings("rootFile", "roots/private.json", "root", strings.Repeat("ab", 32), "issuer", issuer, "uri", workflow),
		"no instance":              settings("issuer", issuer, "uri", workflow),
	} {
		if m, err := sigstore.PolicyRoots().Matcher(s); m != nil || !errors.Is(err, sigstore.ErrInvalid) {
			t.Errorf("%s: %v, %v", label, m, err)
		}
	}
}

func TestSettingsOfAnInstanceAreThoseOfItsFields(t *testing.T) {
	w := newWorld(t)
	root := w.RootJSON()
	delete(root, "ctlogs")
	delete(root, "tlogs")
	text := w.Marshal(root)
	file := policy.File{Text: text}
	m, err := sigstore.PolicyRoots().Matcher(settings("rootFile", file, "root", fmt.Sprintf("%x", sha256.Sum256(text)), "issuer", issuer, "uri", workflow,
		"withoutLogs", true, "withoutCT", true, "requireTimestamps", true, "times", 1, "certificateAuthority", w.CA.URI))
	if err != nil {
		t.Fatal(err)
	}
	stamped := w.Issue(workflowOf(workflow, source)).SignStatement(statement).Stamp(w.TSA)
	if _, err := m.Signed(t.Context(), w.evidence(stamped)); err != nil {
		t.Error(err)
	}
	if _, err := m.Signed(t.Context(), w.signed(workflowOf(workflow, source))); err == nil {
		t.Error("a signature without timestamp is accepted")
	}
}

func TestRenew_UsesARootOrKeepsTheLastGoodOne(t *testing.T) {
	w, next := newWorld(t), newWorld(t)
	a := w.authority
	m := w.matcher("issuer", issuer, "uri", workflow)
	pinned := w.matcher("issuer", issuer, "uri", workflow, "root", fmt.Sprintf("%x", sha256.Sum256(w.Root())))
	before := a.Generation()
	without := next.RootJSON()
	delete(without, "tlogs")
	for label, text := range map[string][]byte{"not a root": []byte("{}"), "empty": nil, "without logs": next.Marshal(without)} {
		if err := a.Renew("private", text); !errors.Is(err, sigstore.ErrInvalid) || a.Generation() != before {
			t.Errorf("%s: %v", label, err)
		}
	}
	if err := a.Renew("other", next.Root()); !errors.Is(err, sigstore.ErrInvalid) {
		t.Error(err)
	}
	if _, err := m.Signed(t.Context(), w.signed(workflowOf(workflow, source))); err != nil {
		t.Error(err)
	}
	if err := a.Renew("private", next.Root()); err != nil || a.Generation() == before {
		t.Fatal(err)
	}
	if _, err := m.Signed(t.Context(), w.signed(workflowOf(workflow, source))); err == nil {
		t.Error("evidence of the root that was replaced is accepted")
	}
	if _, err := m.Signed(t.Context(), next.signed(workflowOf(workflow, source))); err != nil {
		t.Error(err)
	}
	if _, err := pinned.Signed(t.Context(), next.signed(workflowOf(workflow, source))); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("an identity with a pinned root is judged by another: %v", err)
	}
	own := w.newAuthority(sigstore.Instance{Root: w.Root(), SHA256: fmt.Sprintf("%x", sha256.Sum256(w.Root()))})
	if err := own.Renew("private", next.Root()); !errors.Is(err, sigstore.ErrInvalid) {
		t.Errorf("a pinned instance takes another root: %v", err)
	}
}

func TestSchemasOfPoliciesDescribeSettings(t *testing.T) {
	text, err := policy.SchemaWith(map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()})
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for label, c := range map[string]struct {
		document string
		ok       bool
	}{
		"an identity":      {`{"identities":{"i":{"authority":"sigstore","settings":{"issuer":"x","uri":"y","sourceRepository":"z"}}}}`, true},
		"a file":           {`{"identities":{"i":{"authority":"sigstore","settings":{"issuer":"x","rootFile":"r","root":"` + strings.Repeat("ab", 32) + `","withoutCT":true,"times":2}}}}`, true},
		"no issuer":        {`{"identities":{"i":{"authority":"sigstore","settings":{"uri":"y"}}}}`, false},
		"an unknown one":   {`{"identities":{"i":{"authority":"sigstore","settings":{"issuer":"x","url":"y"}}}}`, false},
		"another type":     {`{"identities":{"i":{"authority":"sigstore","settings":{"issuer":"x","withoutCT":"true"}}}}`, false},
		"another plug-in":  {`{"identities":{"i":{"authority":"notation","settings":{"url":"y"}}}}`, true},
		"a clock":          {`{"timestamps":{"t":{"authority":"sigstore","settings":{"instance":"x"}}}}`, true},
		"a clock's issuer": {`{"timestamps":{"t":{"authority":"sigstore","settings":{"issuer":"x"}}}}`, false},
	} {
		var document map[string]any
		if err := json.Unmarshal([]byte(c.document), &document); err != nil {
			t.Fatal(err)
		}
		document["version"], document["rules"] = 1.0, []any{map[string]any{"images": []any{"**"}, "deny": true, "reason": "frozen"}}
		if err := jsonschema.Check(schema, document); (err == nil) != c.ok {
			t.Errorf("%s: %v", label, err)
		}
	}
	bare, err := policy.Schema()
	if err != nil || strings.Contains(string(bare), "rootFile") {
		t.Errorf("a program without plug-ins describes them: %v", err)
	}
}

func TestPoliciesFromMemoryNameNoFiles(t *testing.T) {
	_, err := policy.Parse([]byte(ownPolicy), policy.ParseOptions{Authorities: map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()}})
	if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "ReadFile is nil") {
		t.Error(err)
	}
}
