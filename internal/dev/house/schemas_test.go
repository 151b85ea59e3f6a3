package house_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// hallmark runs a command line, and returns its exit code and what it printed.
func hallmark(t *testing.T, args ...string) (int, []byte) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := command.New(command.Plugins{}).Run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	if stderr.Len() > 0 {
		t.Log(stderr.String())
	}
	return code, stdout.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func schemaFrom(t *testing.T, text []byte) (schema map[string]any) {
	t.Helper()
	must(t, json.Unmarshal(text, &schema))
	return schema
}

func TestSchemas_ExamplePolicies(t *testing.T) {
	dir := filepath.Join(topLevel(t), "examples", "policy")
	text, err := os.ReadFile(filepath.Join(dir, "policy.schema.json"))
	must(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	must(t, err)
	if len(files) < 3 {
		t.Fatalf("%q", files)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		must(t, err)
		var v any
		must(t, yaml.Unmarshal(content, &v))
		plain, err := json.Marshal(v)
		must(t, err)
		must(t, json.Unmarshal(plain, &v))
		if err := jsonschema.Check(schemaFrom(t, text), v); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestSchemas_ResultIsPublished(t *testing.T) {
	_, want := hallmark(t, "policy", "schema", "--of", "result")
	got, err := os.ReadFile(filepath.Join(topLevel(t), "examples", "policy", "result.schema.json"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: examples/policy/result.schema.json is not what 'hallmark policy schema --of result' prints: write it again, as\n%s", err, want)
	}
}

// Package verify publishes the schema of what package gate writes.
func TestSchemas_AuditEventIsThatOfGate(t *testing.T) {
	text, err := verify.ResultSchema()
	must(t, err)
	got := schemaFrom(t, text)["$defs"].(map[string]any)["auditEvent"].(map[string]any)
	own, err := jsonschema.Text(jsonschema.Of(reflect.TypeFor[gate.Event](), "", jsonschema.Options{}))
	must(t, err)
	want := schemaFrom(t, own)
	got["properties"].(map[string]any)["status"] = map[string]any{"type": "string"}
	for _, part := range []string{"properties", "required"} {
		if !reflect.DeepEqual(got[part], want[part]) {
			t.Errorf("%s: verify has %v, gate %v", part, got[part], want[part])
		}
	}
}

// judged is a directory with a policy, a key, and a layout of images.
type judged struct {
	dir, images, key, private, policy string
}

func newJudged(t *testing.T) judged {
	t.Helper()
	dir := t.TempDir()
	j := judged{dir, "oci:" + filepath.Join(dir, "layout"), filepath.Join(dir, "release.pub"), filepath.Join(dir, "release.key"), filepath.Join(dir, "policy.yaml")}
	pair, err := sign.Generate(t.Context(), sign.KeyOptions{InsecureEmptyPassword: true})
	must(t, err)
	must(t, os.WriteFile(j.key, pair.PublicPEM, 0o600))
	must(t, os.WriteFile(j.private, pair.PrivatePEM, 0o600))
	must(t, os.WriteFile(j.policy, []byte("version: 1\nkeys: {release: {file: release.pub, notAfter: 2099-01-01T00:00:00Z}}\nroles: {release: {keys: [release]}}\n"+
		"rules:\n  - images: [\"**\"]\n    require: [{signature: {by: release}}]\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "warn.yaml"), []byte("version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\n"+
		"rules:\n  - images: [\"**\"]\n    mode: warn\n    require: [{signature: {by: release}}]\n"), 0o600))
	for _, tag := range []string{"signed", "unsigned", "index"} {
		store, ref, err := layout.Locate(j.images+":"+tag, layout.LocateOptions{Layout: layout.Options{Create: true}})
		must(t, err)
		var digest name.Digest
		if tag == "index" {
			digest, _, err = registrytest.PushIndex(t.Context(), store, ref)
		} else {
			digest, err = registrytest.PushImage(t.Context(), store, ref, registrytest.ImageOptions{Seed: tag})
		}
		must(t, err)
		if tag != "unsigned" {
			_, err = sign.Image(t.Context(), store, digest, sign.ImageOptions{}, pair.Signer)
			must(t, err)
		}
	}
	return j
}

// printed is what a command line prints as JSON, held to the schema of results, with
// and without a field that it does not know.
func printed(t *testing.T, exit int, args ...string) any {
	t.Helper()
	_, text := hallmark(t, "policy", "schema", "--of", "result")
	schema := schemaFrom(t, text)
	code, out := hallmark(t, args...)
	var v any
	must(t, json.Unmarshal(out, &v))
	if code != exit {
		t.Errorf("%q: exit %d\n%s", args, code, out)
	}
	if err := jsonschema.Check(schema, v); err != nil {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
	one, _ := v.(map[string]any)
	if list, ok := v.([]any); ok {
		one = list[0].(map[string]any)
	}
	one["unknown"] = true
	if jsonschema.Check(schema, v) == nil {
		t.Errorf("%q: a field that is not known passes", args)
	}
	delete(one, "unknown")
	return v
}

func TestSchemas_OutputOfVerify(t *testing.T) {
	j := newJudged(t)
	statuses := func(v any) string {
		var all []any
		for _, r := range v.([]any) {
			all = append(all, r.(map[string]any)["status"])
		}
		return fmt.Sprint(all)
	}
	for _, trust := range [][]string{{"--policy", j.policy}, {"--key", j.key}} {
		args := append(append([]string{"verify", "-o", "json"}, trust...), j.images+":signed", j.images+":unsigned", j.images+":none")
		if got := statuses(printed(t, 2, args...)); got != "[verified denied undecided]" {
			t.Error(got)
		}
	}
	if got := statuses(printed(t, 0, "verify", "-o", "json", "--policy", filepath.Join(j.dir, "warn.yaml"), j.images+":unsigned")); got != "[warned]" {
		t.Error(got)
	}
	child := printed(t, 0, "verify", "-o", "json", "--key", j.key, "--platform", "linux/arm64", j.images+":index").([]any)[0].(map[string]any)
	if index, ok := child["index"].(map[string]any); !ok || index["status"] != "verified" || index["digest"] == child["digest"] {
		t.Errorf("%v", child)
	}
}

func TestSchemas_OutputOfVerifyBlob(t *testing.T) {
	race.Skip(t, "programs are compiled")
	j := newJudged(t)
	file, bundle := filepath.Join(j.dir, "file"), filepath.Join(j.dir, "bundle")
	must(t, os.WriteFile(file, []byte("content"), 0o600))
	t.Setenv("HALLMARK_PASSWORD", "")
	if code, _ := hallmark(t, "sign-blob", file, "--bundle", bundle, "--key", j.private); code != 0 {
		t.Fatal(code)
	}
	args := []string{"verify-blob", "-o", "json", file, "--bundle", bundle, "--key", j.key}
	good := printed(t, 0, args...).([]any)[0].(map[string]any)
	must(t, os.WriteFile(file, []byte("changed"), 0o600))
	bad := printed(t, 1, args...).([]any)[0].(map[string]any)
	if good["status"] != "verified" || good["file"] != file || bad["status"] != "denied" || bad["hint"] == nil {
		t.Errorf("%v %v", good, bad)
	}
}

func TestSchemas_OutputOfInspect(t *testing.T) {
	race.Skip(t, "programs are compiled")
	j := newJudged(t)
	for _, args := range [][]string{{j.images + ":signed"}, {"--key", j.key, j.images + ":signed"}, {"--recursive", j.images + ":index"}, {j.images + ":unsigned"}} {
		printed(t, 0, append([]string{"inspect", "-o", "json"}, args...)...)
	}
}
