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

	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
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

func TestSchemas_VerdictType(t *testing.T) {
	verdict := reflect.TypeFor[command.Verdict]()
	status, ok := verdict.FieldByName("Status")
	if !ok {
		t.Fatal("no field Status")
	}
	want, err := jsonschema.Text(jsonschema.Of(reflect.SliceOf(verdict), "hallmark verify -o json", map[reflect.Type]map[string]any{
		status.Type: {"type": "string", "enum": []any{"verified", "warned", "denied", "undecided"}},
	}))
	must(t, err)
	if _, got := hallmark(t, "policy", "schema", "--of", "verify"); !bytes.Equal(got, want) {
		t.Errorf("examples/hallmark/command/verify.schema.json is not the schema of command.Verdict: write it again, as\n%s", want)
	}
}

func TestSchemas_Verdicts(t *testing.T) {
	dir := t.TempDir()
	images := "oci:" + filepath.Join(dir, "layout")
	pair, err := sign.Generate(t.Context(), sign.KeyOptions{InsecureEmptyPassword: true})
	must(t, err)
	key, policy := filepath.Join(dir, "release.pub"), filepath.Join(dir, "policy.yaml")
	must(t, os.WriteFile(key, pair.PublicPEM, 0o600))
	must(t, os.WriteFile(policy, []byte("version: 1\nkeys: {release: {file: release.pub, notAfter: 2099-01-01T00:00:00Z}}\nroles: {release: {keys: [release]}}\n"+
		"rules:\n  - images: [\"**\"]\n    require: [{signature: {by: release}}]\n"), 0o600))
	for _, tag := range []string{"signed", "unsigned"} {
		store, ref, err := layout.Locate(images+":"+tag, layout.LocateOptions{Layout: layout.Options{Create: true}})
		must(t, err)
		digest, err := registrytest.PushImage(t.Context(), store, ref, registrytest.ImageOptions{Seed: tag})
		must(t, err)
		if tag == "signed" {
			_, err = sign.Image(t.Context(), store, digest, sign.ImageOptions{}, pair.Signer)
			must(t, err)
		}
	}
	_, text := hallmark(t, "policy", "schema", "--of", "verify")
	schema := schemaFrom(t, text)
	for _, args := range [][]string{{"--policy", policy}, {"--key", key}} {
		code, printed := hallmark(t, append(append([]string{"verify", "-o", "json"}, args...), images+":signed", images+":unsigned", images+":none")...)
		var all []any
		must(t, json.Unmarshal(printed, &all))
		var statuses []any
		for _, v := range all {
			statuses = append(statuses, v.(map[string]any)["status"])
		}
		if code != 2 || fmt.Sprint(statuses) != "[verified denied undecided]" {
			t.Errorf("exit %d: %v\n%s", code, statuses, printed)
		}
		if err := jsonschema.Check(schema, any(all)); err != nil {
			t.Errorf("%v\n%s", err, printed)
		}
	}
}
