package policytest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policytest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scene is a directory with a policy, keys, a layout with a signed and an unsigned image,
// and case files.
type scene struct {
	t      *testing.T
	dir    string
	signer sign.Signer
	signed name.Digest
	store  registry.Store
}

const scenePolicy = `version: 1
keys: {release: {file: release.pub, notAfter: 2027-01-01T00:00:00Z}}
roles: {release: {keys: [release]}}
files: [{signature: {by: release}}]
rules:
  - images: [registry.example/team/**]
    require:
      - signature: {by: release}
      - anyOf:
          - attestation: {type: spdx, by: release}
          - signature: {by: release, annotations: {stage: production}}
  - images: [registry.example/incoming/*]
    mode: warn
    require: [{signature: {by: release}}]
  - images: [registry.example/legacy]
    deny: true
    reason: retired
`

// keyPair is one for all scenes: to make one takes longer than any of them.
var keyPair = sync.OnceValues(func() (*sign.KeyPair, error) {
	return sign.Generate(context.Background(), sign.KeyOptions{InsecureEmptyPassword: true})
})

func newScene(t *testing.T) *scene {
	t.Helper()
	pair, err := keyPair()
	must(t, err)
	s := &scene{t: t, dir: t.TempDir(), signer: pair.Signer}
	s.write("policy.yaml", scenePolicy)
	s.write("release.pub", string(pair.PublicPEM))
	l, err := layout.Open(filepath.Join(s.dir, "images"), layout.Options{Create: true, Name: "registry.example/team/app"})
	must(t, err)
	s.store = l
	s.signed, err = registrytest.PushImage(t.Context(), l, l.Tag("signed"), registrytest.ImageOptions{Seed: "signed"})
	must(t, err)
	_, err = registrytest.PushImage(t.Context(), l, l.Tag("unsigned"), registrytest.ImageOptions{Seed: "unsigned"})
	must(t, err)
	_, err = sign.Image(t.Context(), l, s.signed, sign.ImageOptions{Annotations: map[string]string{"stage": "production"}}, pair.Signer)
	must(t, err)
	return s
}

func (s *scene) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	must(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const head = "version: 1\npolicy: policy.yaml\ntime: 2026-11-30T12:00:00Z\ncases:\n"

// test runs cases.
func (s *scene) test(cases string) *policytest.Report {
	s.t.Helper()
	s.write("a.test.yaml", head+cases)
	r, err := policytest.Test(s.t.Context(), s.dir, policytest.Options{})
	must(s.t, err)
	return r
}

func TestCasesPassFailAndBreak(t *testing.T) {
	s := newScene(t)
	for cases, want := range map[string]struct {
		status policytest.Status
		detail string
	}{
		"- {name: a, image: registry.example/team/app:signed, layout: images, expect: {decision: allow}}":                                                            {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/team/app:unsigned, layout: images, expect: {decision: allow}}":                                                          {policytest.StatusFailed, "want allow, found deny (no-signature)"},
		"- {name: a, image: registry.example/team/app:unsigned, layout: images, expect: {decision: deny, reason: no-signature}}":                                     {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/team/app:unsigned, layout: images, expect: {decision: deny, reason: threshold-not-met}}":                                {policytest.StatusFailed, "want deny (threshold-not-met), found deny (no-signature)"},
		"- {name: a, image: registry.example/team/app:unsigned, layout: images, expect: {decision: deny, reason: no-signature, requirement: signature by release}}":  {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/team/app:unsigned, layout: images, expect: {decision: deny, reason: no-signature, requirement: 'rules[0].require[0]'}}": {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/team/app:unsigned, layout: images, expect: {decision: deny, reason: no-signature, requirement: 'rules[0].require[7]'}}": {policytest.StatusFailed, "rules[0].require[7]"},
		"- {name: a, image: registry.example/team/app:signed, layout: images, expect: {decision: deny, reason: no-signature}}":                                       {policytest.StatusFailed, "found allow"},
		"- {name: a, image: registry.example/team/app:signed, layout: images, time: 2027-02-01T00:00:00Z, expect: {decision: deny, reason: no-trusted-signature}}":   {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/incoming/app:unsigned, layout: images, expect: {decision: warn, reason: no-signature}}":                                 {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/incoming/app:unsigned, layout: images, expect: {decision: allow}}":                                                      {policytest.StatusFailed, "found warn"},
		"- {name: a, image: registry.example/legacy:v1, expect: {decision: deny, reason: denied-by-rule}}":                                                           {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/other, expect: {decision: deny, reason: no-rule}}":                                                                      {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/team/app, expect: {decision: deny, reason: no-signature}}":                                                              {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/team/app:none, layout: images, expect: {decision: deny, reason: no-signature}}":                                         {policytest.StatusBroken, "none"},
		"- {name: a, image: registry.example/team/app:signed, layout: nowhere, expect: {decision: allow}}":                                                           {policytest.StatusBroken, "nowhere"},
		"- {name: a, image: registry.example/team/app:signed, evidence: [none.json], expect: {decision: allow}}":                                                     {policytest.StatusBroken, "none.json"},
		"- {name: a, image: registry.example/team/app:signed, evidence: [policy.yaml], expect: {decision: allow}}":                                                   {policytest.StatusBroken, "names no digest"},
		"- {name: a, file: policy.yaml, evidence: [none.json], expect: {decision: allow}}":                                                                           {policytest.StatusBroken, "none.json"},
		"- {name: a, file: policy.yaml, expect: {decision: deny, reason: no-signature}}":                                                                             {policytest.StatusPassed, ""},
		"- {name: a, image: registry.example/team/app:signed, layout: images, platform: linux/amd64, expect: {decision: deny, reason: not-an-index}}":                {policytest.StatusPassed, ""},
	} {
		r := s.test(cases)
		if len(r.Cases) != 1 {
			t.Fatalf("%s: %+v", cases, r)
		}
		if c := r.Cases[0]; c.Status != want.status || !strings.Contains(c.Detail, want.detail) || (c.Status == policytest.StatusPassed) != (c.Detail == "") {
			t.Errorf("%s\n%s: %s", cases, c.Status, c.Detail)
		}
	}
}

func TestCaseFilesThatCannotBeMeantAreRefused(t *testing.T) {
	s := newScene(t)
	for text, want := range map[string]string{
		"version: 2\npolicy: p\ncases: [{name: a}]\n":                                                                                              "version",
		head + "- {name: a, image: x, expects: {}}":                                                                                                "line 5",
		head + "- {name: a, expect: {decision: allow}}":                                                                                            "exactly one of image and file",
		head + "- {name: a, image: x.example/a, file: b, expect: {decision: allow}}":                                                               "exactly one of image and file",
		head + "- {image: x.example/a, expect: {decision: allow}}":                                                                                 "needs name",
		head + "- {name: a, image: x.example/a, expect: {decision: deny}}":                                                                         "needs reason",
		head + "- {name: a, image: x.example/a, expect: {decision: maybe}}":                                                                        "maybe",
		head + "- {name: a, image: x.example/a, expect: {decision: allow, reason: no-rule}}":                                                       "no reason",
		head + "- {name: a, image: x.example/a, layout: ../up, expect: {decision: allow}}":                                                         "below",
		head + "- {name: a, image: x.example/a, layout: /etc, expect: {decision: allow}}":                                                          "below",
		head + "- {name: a, image: x.example/a, layout: l, evidence: [b], expect: {decision: allow}}":                                              "layout",
		head + "- {name: a, image: x.example/a, platform: linux/amd64, expect: {decision: allow}}":                                                 "layout",
		head + "- {name: a, file: b, layout: l, expect: {decision: allow}}":                                                                        "which only images have",
		strings.Replace(head, "cases", "files: {release.pub: ../up.pub}\ncases", 1) + "- {name: a, image: x.example/a, expect: {decision: allow}}": "files.release.pub must name a file",
		head + "- {name: a, image: '::', expect: {decision: allow}}":                                                                               "reference",
		head + "- {name: a, image: x.example/a, expect: {decision: allow}}\n- {name: a, image: x.example/a, expect: {decision: allow}}":            "case before",
		"version: 1\npolicy: policy.yaml\ncases: [{name: a, image: x.example/a, expect: {decision: allow}}]\n":                                     "needs time",
		"version: 1\npolicy: policy.yaml\ntime: 2026-11-30T12:00:00Z\ncases: []\n":                                                                 "at least one",
		"version: 1\npolicy: /policy.yaml\ntime: 2026-11-30T12:00:00Z\ncases: [{name: a, image: x.example/a, expect: {decision: allow}}]\n":        "absolute",
	} {
		s.write("a.test.yaml", text)
		_, err := policytest.Test(t.Context(), s.dir, policytest.Options{})
		if !errors.Is(err, policytest.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a.test.yaml") {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
	if _, err := policytest.Test(t.Context(), t.TempDir(), policytest.Options{}); !errors.Is(err, policytest.ErrNoCases) {
		t.Errorf("a directory without cases: %v", err)
	}
	if _, err := policytest.Test(t.Context(), filepath.Join(s.dir, "none"), policytest.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestSchema_AgreesWithWhatIsRead(t *testing.T) {
	text, err := policytest.Schema()
	must(t, err)
	var schema map[string]any
	must(t, json.Unmarshal(text, &schema))
	for cases, good := range map[string]bool{
		"- {name: a, image: x.example/a, layout: l, expect: {decision: allow}}":                true,
		"- {name: a, image: x.example/a, expect: {decision: deny, reason: no-rule}}":           true,
		"- {name: a, file: b, evidence: [c], expect: {decision: deny, reason: no-signature}}":  true,
		"- {name: a, image: x.example/a, expect: {decision: deny}}":                            false,
		"- {name: a, image: x.example/a, expect: {decision: allow, reason: no-rule}}":          false,
		"- {name: a, image: x.example/a, file: b, expect: {decision: allow}}":                  false,
		"- {name: a, image: x.example/a, layout: l, evidence: [b], expect: {decision: allow}}": false,
		"- {name: a, image: x.example/a, platform: linux/amd64, expect: {decision: allow}}":    false,
		"- {name: a, image: x.example/a, expect: {decision: denied, reason: x}}":               false,
		"- {name: a, image: x.example/a}":                                                      false,
		"- {image: x.example/a, expect: {decision: allow}}":                                    false,
		"- {name: a, image: x.example/a, labels: {}, expect: {decision: allow}}":               false,
	} {
		var v any
		must(t, yaml.Unmarshal([]byte(head+cases), &v))
		plain, err := json.Marshal(v)
		must(t, err)
		must(t, json.Unmarshal(plain, &v))
		if err := jsonschema.Check(schema, v); (err == nil) != good {
			t.Errorf("%s: %v", cases, err)
		}
	}
}

func TestEvidenceFilesAreJudgedWithoutALayout(t *testing.T) {
	s := newScene(t)
	bundle, err := sign.Blob(t.Context(), strings.NewReader("content"), s.signer)
	must(t, err)
	s.write("file", "content")
	s.write("file.json", string(bundle))
	r := s.test("- {name: a, file: file, evidence: [file.json], expect: {decision: allow}}\n- {name: b, file: policy.yaml, evidence: [file.json], expect: {decision: deny, reason: no-trusted-signature}}\n" +
		"- {name: c, image: \"" + s.signed.String() + "\", evidence: [file.json], expect: {decision: deny, reason: no-signature}}\n")
	if r.Count(policytest.StatusPassed) != 3 {
		t.Errorf("%+v", r.Cases)
	}
}

func TestStandInsReplaceTheFilesOfThePolicy(t *testing.T) {
	s := newScene(t)
	release, err := os.ReadFile(filepath.Join(s.dir, "release.pub"))
	must(t, err)
	s.write("tests/keys/test.pub", string(release))
	must(t, os.CopyFS(filepath.Join(s.dir, "tests", "images"), os.DirFS(filepath.Join(s.dir, "images"))))
	must(t, os.Remove(filepath.Join(s.dir, "release.pub")))
	one := "time: 2026-11-30T12:00:00Z\ncases: [{name: a, image: registry.example/team/app:signed, layout: images, expect: {decision: allow}}]\n"
	s.write("tests/a.test.yaml", "version: 1\npolicy: ../policy.yaml\nfiles: {release.pub: keys/test.pub}\n"+one)
	s.write("tests/b.test.yaml", "version: 1\npolicy: ../policy.yaml\n"+one)
	s.write("tests/c.test.yaml", "version: 1\n"+one)
	r, err := policytest.Test(t.Context(), s.dir, policytest.Options{})
	must(t, err)
	if r.Cases[0].Status != policytest.StatusPassed || r.Cases[1].Status != policytest.StatusBroken || !errors.Is(r.Cases[1].Err, policy.ErrInvalid) || r.Cases[2].Status != policytest.StatusBroken {
		t.Errorf("%+v", r.Cases)
	}
	r, err = policytest.Test(t.Context(), filepath.Join(s.dir, "tests", "c.test.yaml"), policytest.Options{Policy: filepath.Join(s.dir, "policy.yaml")})
	must(t, err)
	if len(r.Cases) != 1 || r.Cases[0].Status != policytest.StatusBroken || !strings.Contains(r.Cases[0].Detail, "release.pub") {
		t.Errorf("%+v", r.Cases)
	}
}

func TestPoliciesThatNameFilesAboveThemBreakCases(t *testing.T) {
	s := newScene(t)
	s.write("policy.yaml", strings.Replace(scenePolicy, "release.pub", "../release.pub", 1))
	r := s.test("- {name: a, image: registry.example/team/app, expect: {decision: allow}}")
	if c := r.Cases[0]; c.Status != policytest.StatusBroken || !errors.Is(c.Err, policy.ErrInvalid) || !strings.Contains(c.Detail, "in the policy's directory, or below") {
		t.Errorf("%+v", c)
	}
}

// A rule of a team that decides together with two of the policy is one rule.
func TestRulesOfTeamsThatNoCaseReachesAreListedOnce(t *testing.T) {
	s := newScene(t)
	s.write("apps.yaml", "version: 1\nkeys: {ci: {file: release.pub}}\nroles: {ci: {keys: [ci]}}\nrules: [{images: [registry.example/apps/**], require: [{signature: {by: ci}}]}]\n")
	s.write("policy.yaml", "version: 1\nteams: {apps: {file: apps.yaml, images: [registry.example/apps/**]}}\nrules:\n"+
		"  - {images: [registry.example/legacy], deny: true, reason: retired}\n  - {images: [registry.example/*/x], mode: warn, require: [{config: {nonRoot: true}}]}\n  - {images: [registry.example/*/y], mode: warn, require: [{config: {nonRoot: true}}]}\n")
	var got []string
	r := s.test("- {name: a, image: registry.example/legacy, expect: {decision: deny, reason: denied-by-rule}}")
	for _, u := range r.Uncovered {
		got = append(got, u.Path)
	}
	if r.Count(policytest.StatusPassed) != 1 || strings.Count(strings.Join(got, " "), "teams.apps.rules[0]") != 1 {
		t.Errorf("%q, %+v", got, r.Cases)
	}
}

func TestCasesAreBounded(t *testing.T) {
	s := newScene(t)
	var cases strings.Builder
	for i := range 10_001 {
		fmt.Fprintf(&cases, "- {name: c%d, file: b, expect: {decision: allow}}\n", i)
	}
	path := s.write("a.test.yaml", head+cases.String())
	if _, err := policytest.Test(t.Context(), path, policytest.Options{}); !errors.Is(err, policytest.ErrInvalid) || !strings.Contains(err.Error(), "more than 10000 cases") {
		t.Error(err)
	}
}

func TestWhatNoCaseTriesIsListed(t *testing.T) {
	s := newScene(t)
	paths := func(r *policytest.Report) (all []string) {
		for _, u := range r.Uncovered {
			all = append(all, u.Path)
		}
		return all
	}
	r := s.test("- {name: a, image: registry.example/team/app:signed, layout: images, expect: {decision: allow}}")
	if got := strings.Join(paths(r), " "); got != "rules[0].require[0] rules[0].require[1] rules[1] rules[2] files" {
		t.Error(got)
	}
	r = s.test("- {name: a, image: registry.example/team/app:unsigned, layout: images, expect: {decision: deny, reason: no-signature}}\n" +
		"- {name: b, image: registry.example/legacy, expect: {decision: deny, reason: denied-by-rule}}\n- {name: c, image: registry.example/none, expect: {decision: deny, reason: no-rule}}\n" +
		"- {name: d, image: registry.example/incoming/x, expect: {decision: warn, reason: no-signature}}\n- {name: e, file: policy.yaml, expect: {decision: deny, reason: no-signature}}")
	if got := strings.Join(paths(r), " "); r.Count(policytest.StatusPassed) != 5 || got != "rules[0] files" {
		t.Error(got, r.Cases)
	}
}

func TestCompare_SaysWhatAPolicyChanges(t *testing.T) {
	s := newScene(t)
	load := func(changes ...string) *verify.Verifier {
		p, err := policy.Load(s.write("other.yaml", strings.NewReplacer(changes...).Replace(scenePolicy)), policy.ParseOptions{})
		must(t, err)
		v, err := verify.New(p, verify.Options{})
		must(t, err)
		return v
	}
	now, warns := load(), load("  - images: [registry.example/team/**]", "  - images: [registry.example/team/**]\n    mode: warn")
	strict := load("stage: production", "stage: verified")
	for _, c := range []struct {
		tag      string
		old, new *verify.Verifier
		want     policytest.Effect
		unmet    string
	}{
		{"signed", now, now, policytest.EffectNone, ""},
		{"signed", now, strict, policytest.EffectTightened, "annotations"},
		{"signed", strict, now, policytest.EffectLoosened, ""},
		{"unsigned", now, warns, policytest.EffectLoosened, ""},
		{"unsigned", warns, now, policytest.EffectTightened, ""},
		{"signed", warns, now, policytest.EffectNone, ""},
	} {
		got, err := policytest.Compare(t.Context(), c.old, c.new, s.store, s.signed.Context().Tag(c.tag))
		must(t, err)
		if got.Effect != c.want || got.Digest == "" || c.want == policytest.EffectTightened && c.new == strict && len(got.Unmet) == 0 || c.old == strict && len(got.Met) == 0 {
			t.Errorf("%s: %+v", c.tag, got)
		}
	}
	lost := errors.New("lost")
	broken := registrytest.Faulty(s.store, registrytest.Hooks{Referrers: func(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
		return func(yield func(v1.Descriptor, error) bool) { yield(v1.Descriptor{}, lost) }
	}})
	if _, err := policytest.Compare(t.Context(), now, now, broken, s.signed); !errors.Is(err, lost) {
		t.Errorf("an image that cannot be read: %v", err)
	}
	if _, err := policytest.Compare(t.Context(), now, now, s.store, s.signed.Context().Tag("none")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestRecord_WritesACaseThatPasses(t *testing.T) {
	s := newScene(t)
	policyFile := filepath.Join(s.dir, "policy.yaml")
	dir := filepath.Join(s.dir, "recorded", "cases")
	for _, tag := range []string{"signed", "unsigned"} {
		o := policytest.RecordOptions{Dir: dir, Name: tag, Policy: policyFile}
		path, err := policytest.Record(t.Context(), s.store, s.signed.Context().Tag(tag), o)
		must(t, err)
		if path != filepath.Join(dir, tag+".test.yaml") {
			t.Error(path)
		}
		if _, err := policytest.Record(t.Context(), s.store, s.signed.Context().Tag(tag), o); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a second time: %v", err)
		}
	}
	r, err := policytest.Test(t.Context(), dir, policytest.Options{})
	must(t, err)
	if r.Count(policytest.StatusPassed) != 2 || r.Cases[0].Found.Decision != policytest.DecisionAllow || r.Cases[1].Found.Requirement == "" {
		t.Errorf("%+v", r.Cases)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "blobs", "sha256", "*"))
	must(t, err)
	if image, err := s.store.Manifest(t.Context(), s.signed); err == nil {
		m, err := image.Parse()
		must(t, err)
		for _, f := range files {
			for _, l := range m.Layers {
				if strings.HasSuffix(f, l.Digest.Hex) {
					t.Errorf("the case holds the layer %s", f)
				}
			}
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	must(t, err)
	hidden, err := filepath.Glob(filepath.Join(dir, "*", ".*"))
	must(t, err)
	if len(left)+len(hidden) > 0 || len(files) < 4 {
		t.Errorf("%q, %q, %q", left, hidden, files)
	}
}

func TestRecord_RefusesWhatItCannotWrite(t *testing.T) {
	s := newScene(t)
	good := policytest.RecordOptions{Dir: s.dir, Name: "x", Policy: filepath.Join(s.dir, "policy.yaml")}
	for label, c := range map[string]struct {
		change func(*policytest.RecordOptions)
		tag    string
		want   error
	}{
		"no name":     {func(o *policytest.RecordOptions) { o.Name = "" }, "signed", policytest.ErrInvalid},
		"a path":      {func(o *policytest.RecordOptions) { o.Name = "../x" }, "signed", policytest.ErrInvalid},
		"dots":        {func(o *policytest.RecordOptions) { o.Name = ".." }, "signed", policytest.ErrInvalid},
		"a layout":    {func(o *policytest.RecordOptions) { o.Name = "images" }, "signed", fs.ErrExist},
		"no policy":   {func(o *policytest.RecordOptions) { o.Policy = "none.yaml" }, "signed", policy.ErrInvalid},
		"no such tag": {func(*policytest.RecordOptions) {}, "none", registry.ErrNotFound},
	} {
		o := good
		c.change(&o)
		if _, err := policytest.Record(t.Context(), s.store, s.signed.Context().Tag(c.tag), o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", label, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := policytest.Record(ctx, s.store, s.signed, good); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, ".record*")); err != nil || len(left) > 0 {
		t.Errorf("%q", left)
	}
	if _, err := policytest.Test(ctx, s.write("a.test.yaml", head+"- {name: a, image: registry.example/x, expect: {decision: deny, reason: no-rule}}"), policytest.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A case file comes with a change under review: what it links to is not read.
func TestAttack_F3_LinksDoNotLeadOutOfTheCases(t *testing.T) {
	s, outside := newScene(t), newScene(t)
	must(t, os.MkdirAll(filepath.Join(s.dir, "tests"), 0o755))
	for link, to := range map[string]string{"images": "images", "key.pub": "release.pub", "evidence.json": "policy.yaml"} {
		if err := os.Symlink(filepath.Join(outside.dir, to), filepath.Join(s.dir, "tests", link)); err != nil {
			t.Skip(err)
		}
	}
	const begin = "version: 1\npolicy: ../policy.yaml\ntime: 2026-11-30T12:00:00Z\n"
	for name, text := range map[string]string{
		"layout":   "cases: [{name: a, image: registry.example/team/app:unsigned, layout: images, expect: {decision: deny, reason: no-signature}}]",
		"stand-in": "files: {release.pub: key.pub}\ncases: [{name: a, image: registry.example/other, expect: {decision: deny, reason: no-rule}}]",
		"evidence": "cases: [{name: a, image: registry.example/team/app@" + s.signed.DigestStr() + ", evidence: [evidence.json], expect: {decision: deny, reason: no-signature}}]",
		"file":     "cases: [{name: a, file: evidence.json, expect: {decision: deny, reason: no-signature}}]",
	} {
		r, err := policytest.Test(t.Context(), s.write("tests/"+name+".test.yaml", begin+text), policytest.Options{})
		must(t, err)
		if c := r.Cases[0]; c.Status != policytest.StatusBroken || !strings.Contains(c.Detail, "escapes") && !errors.Is(c.Err, policytest.ErrInvalid) {
			t.Errorf("%s: %s: %s", name, c.Status, c.Detail)
		}
	}
}

// A case of a stranger must not show files that the program can read.
func TestAttack_F3_CasesShowNothingOfOtherFiles(t *testing.T) {
	s := newScene(t)
	const secret = "hunter2hunter2"
	at := t.TempDir()
	for label, text := range map[string]string{
		"a word":         secret,
		"a field":        secret + ": 1\n",
		"a value":        "version: " + secret + "\n",
		"a list":         "- " + secret + "\n",
		"lines":          "root:x:0:0:" + secret + ":/root:/bin/sh\nx: y: z\n",
		"a private key":  "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n",
		"nearly one":     "version: 1\nkeys: {" + secret + ": {file: x.pub}}\n",
		"role names key": "version: 1\nroles: {a: {keys: [" + secret + "]}}\nrules: [{images: ['**'], require: [{signature: {by: a}}]}]\n",
		"no such rule":   "version: 1\nrules: [{images: [" + secret + "], deny: true}]\n",
		"binary":         "\x00\x01" + secret,
		"JSON":           `{"` + secret + `": "` + secret + `"}`,
	} {
		must(t, os.WriteFile(filepath.Join(at, "other"), []byte(text), 0o600))
		relative, err := filepath.Rel(s.dir, filepath.Join(at, "other"))
		must(t, err)
		link := filepath.Join(s.dir, "link.yaml")
		if err := os.Symlink(filepath.Join(at, "other"), link); err != nil {
			t.Skip(err)
		}
		for _, named := range []string{relative, "link.yaml", "./link.yaml"} {
			s.write("a.test.yaml", strings.Replace(head, "policy.yaml", named, 1)+"- {name: a, image: registry.example/team/app, expect: {decision: deny, reason: no-signature}}\n")
			for _, path := range []string{s.dir, filepath.Join(s.dir, "a.test.yaml")} {
				r, err := policytest.Test(t.Context(), path, policytest.Options{})
				must(t, err)
				c := r.Cases[0]
				if c.Status != policytest.StatusBroken || !errors.Is(c.Err, policytest.ErrPolicy) || !strings.Contains(c.Detail, named) || strings.Contains(c.Detail+c.Err.Error(), secret) {
					t.Errorf("%s by %s: %s: %v", label, named, c.Status, c.Err)
				}
			}
		}
		must(t, os.Remove(link))
		must(t, os.Symlink(filepath.Join(at, "other"), filepath.Join(s.dir, "b.test.yaml")))
		if _, err := policytest.Test(t.Context(), s.dir, policytest.Options{}); !errors.Is(err, policytest.ErrInvalid) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s as a case file: %v", label, err)
		}
		must(t, os.Remove(filepath.Join(s.dir, "b.test.yaml")))
	}
}

// Where the policy is in the directory that was given, or named by the caller, the error
// says all.
func TestCases_ErrorsOfPoliciesInTheirDirectoryAreWhole(t *testing.T) {
	s := newScene(t)
	s.write("policy.yaml", "version: 1\nruless: []\n")
	s.write("cases/a.test.yaml", strings.Replace(head, "policy.yaml", "../policy.yaml", 1)+"- {name: a, image: registry.example/team/app, expect: {decision: deny, reason: no-signature}}\n")
	for path, o := range map[string]policytest.Options{s.dir: {}, filepath.Join(s.dir, "cases"): {Policy: filepath.Join(s.dir, "policy.yaml")}} {
		r, err := policytest.Test(t.Context(), path, o)
		must(t, err)
		if c := r.Cases[0]; c.Status != policytest.StatusBroken || !errors.Is(c.Err, policytest.ErrPolicy) || !strings.Contains(c.Detail, "ruless") {
			t.Errorf("%s: %+v", path, c)
		}
	}
	s.write("policy.yaml", scenePolicy)
	r, err := policytest.Test(t.Context(), filepath.Join(s.dir, "cases"), policytest.Options{})
	must(t, err)
	if c := r.Cases[0]; c.Status != policytest.StatusPassed {
		t.Errorf("%+v", c)
	}
}

// What cases try in one directory need not be tried in another.
func TestUncovered_IsAboutAllDirectoriesTogether(t *testing.T) {
	s := newScene(t)
	s.write("policy.yaml", `version: 1
keys: {release: {file: release.pub}}
roles: {release: {keys: [release]}}
rules:
  - images: [registry.example/team/**]
    require: [{signature: {by: release}}]
  - images: [registry.example/legacy]
    deny: true
    reason: retired
`)
	const begin = "version: 1\npolicy: ../policy.yaml\ntime: 2026-11-30T12:00:00Z\ncases:\n"
	s.write("a/a.test.yaml", begin+"- {name: a, image: registry.example/team/app, expect: {decision: deny, reason: no-signature}}\n")
	s.write("b/b.test.yaml", begin+"- {name: b, image: registry.example/legacy, expect: {decision: deny, reason: denied-by-rule}}\n")
	must(t, os.MkdirAll(filepath.Join(s.dir, "linked"), 0o755))
	if err := os.Symlink("..", filepath.Join(s.dir, "linked", "up")); err != nil {
		t.Skip(err)
	}
	s.write("linked/c.test.yaml", strings.Replace(begin, "../policy.yaml", "up/policy.yaml", 1)+"- {name: c, image: registry.example/legacy, expect: {decision: deny, reason: denied-by-rule}}\n")
	at := func(name string) string { return filepath.Join(s.dir, name) }
	for _, c := range []struct {
		paths []string
		want  int
	}{{[]string{at("a")}, 2}, {[]string{at("b")}, 1}, {[]string{at("a"), at("b")}, 1}, {[]string{at("b"), at("a")}, 1}, {[]string{at("a"), at("linked")}, 1}} {
		r, err := policytest.Test(t.Context(), c.paths[0], policytest.Options{Also: c.paths[1:]})
		must(t, err)
		if len(r.Cases) != len(c.paths) || r.Count(policytest.StatusPassed) != len(c.paths) || len(r.Uncovered) != c.want {
			t.Errorf("%q: %+v, %+v", c.paths, r.Cases, r.Uncovered)
		}
	}
	if _, err := policytest.Test(t.Context(), at("a"), policytest.Options{Also: []string{at("none")}}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
