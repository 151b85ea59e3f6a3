package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// editor speaks with yaml-language-server as editors do (Language Server Protocol 3.17).
type editor struct {
	t        *testing.T
	to       io.Writer
	from     *bufio.Reader
	settings map[string]any
}

// diagnostic is what an editor underlines.
type diagnostic struct {
	Range struct {
		Start struct{ Line int }
	}
	Message string
}

// startEditor starts the server with a schema for all YAML files.
func startEditor(t *testing.T, schema string) *editor {
	t.Helper()
	p := newProgram(t, "yaml-language-server")
	cmd := exec.CommandContext(t.Context(), p.path, "--stdio")
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.WaitDelay = p.dir, p.env, os.Stderr, time.Second
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	watchdog := time.AfterFunc(commandTimeout, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	path, err := filepath.Abs(schema)
	must(t, err)
	e := &editor{t: t, to: in, from: bufio.NewReader(out), settings: map[string]any{
		"validate": true, "schemaStore": map[string]any{"enable": false}, "schemas": map[string]any{"file://" + path: []any{"*.yaml"}},
	}}
	e.send(map[string]any{"id": 1, "method": "initialize", "params": map[string]any{"processId": nil, "rootUri": nil, "capabilities": map[string]any{}}})
	e.receive(func(m message) bool { return m.ID == 1 && m.Method == "" })
	e.send(map[string]any{"method": "initialized", "params": map[string]any{}})
	return e
}

type message struct {
	ID     int
	Method string
	Params struct {
		URI         string
		Diagnostics []diagnostic
		Items       []struct{ Section string }
	}
}

func (e *editor) send(m map[string]any) {
	e.t.Helper()
	m["jsonrpc"] = "2.0"
	text, err := json.Marshal(m)
	must(e.t, err)
	_, err = fmt.Fprintf(e.to, "Content-Length: %d\r\n\r\n%s", len(text), text)
	must(e.t, err)
}

// receive reads messages until one is what the test waits for, and answers questions about
// settings.
func (e *editor) receive(wanted func(message) bool) message {
	e.t.Helper()
	for {
		head, err := textproto.NewReader(e.from).ReadMIMEHeader()
		must(e.t, err)
		n, err := strconv.Atoi(head.Get("Content-Length"))
		must(e.t, err)
		text := make([]byte, n)
		_, err = io.ReadFull(e.from, text)
		must(e.t, err)
		var m message
		must(e.t, json.Unmarshal(text, &m))
		if m.Method == "workspace/configuration" {
			answer := make([]any, len(m.Params.Items))
			for i, item := range m.Params.Items {
				if item.Section == "yaml" {
					answer[i] = e.settings
				}
			}
			e.send(map[string]any{"id": m.ID, "result": answer})
		}
		if wanted(m) {
			return m
		}
	}
}

// open shows files to the server, and returns what it underlines in each. It looks at them
// a moment after they were opened: to open them together takes one moment for all.
func (e *editor) open(texts ...string) [][]diagnostic {
	e.t.Helper()
	files := make(map[string]int)
	for i, text := range texts {
		uri := fmt.Sprintf("file:///policies/%d.yaml", i)
		files[uri] = i
		e.send(map[string]any{"method": "textDocument/didOpen", "params": map[string]any{"textDocument": map[string]any{
			"uri": uri, "languageId": "yaml", "version": 1, "text": text,
		}}})
	}
	found := make([][]diagnostic, len(texts))
	for len(files) > 0 {
		m := e.receive(func(m message) bool { return m.Method == "textDocument/publishDiagnostics" })
		if i, ok := files[m.Params.URI]; ok {
			found[i] = m.Params.Diagnostics
			delete(files, m.Params.URI)
		}
	}
	return found
}

const (
	policyDir    = "../../../examples/policy"
	policySchema = policyDir + "/policy.schema.json"
)

// mistaken is a policy with a mistake: a line of it is replaced. The last lines are one
// requirement of each kind.
const mistaken = `version: 1
expires: 2099-01-31T00:00:00Z
keys:
  release: {file: release.pub}
  scanner: {file: scanner.pub, notAfter: 2099-01-31T00:00:00Z}
roles:
  release: {keys: [release]}
  scanner: {keys: [scanner, release], threshold: 2}
denyDigests:
  - {digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000", reason: CVE-2026-1234}
rules:
  - {images: [registry.example/legacy], deny: true, reason: retired}
  - images: [registry.example/team/**]
    mode: warn
    require:
      - signature: {by: release}
      - attestation: {type: slsaprovenance, by: release, builder: ["https://ci.example/builder"]}
      - attestation: {type: vuln, by: scanner, maxSeverity: medium, maxAge: 168h}
      - attestation: {type: "https://acme.example/approval/v1", by: release, where: [{pointer: /state, equals: approved}]}
      - config: {nonRoot: true, platforms: [linux/amd64]}
`

func TestEditorFindsMistakesInPolicies(t *testing.T) {
	texts, labels, at := []string{mistaken}, []string{"a good policy"}, []int{-1}
	for kind, changes := range map[string][][2]string{
		"unknown field": {
			{"version: 1", "versoin: 1"}, {"  release: {file: release.pub}", "  release: {path: release.pub}"}, {"    require:", "    requires:"},
			{"- signature: {by: release}", "- signature: {by: release, role: release}"}, {"maxAge: 168h", "maxage: 168h"}, {"nonRoot", "nonroot"},
			{"pointer: /state,", "pointer: /state, like: x,"}, {"threshold: 2", "treshold: 2"},
		},
		"wrong type": {
			{"version: 1", `version: "1"`}, {"nonRoot: true", `nonRoot: "true"`}, {"images: [registry.example/team/**]", "images: registry.example/team/**"},
			{"threshold: 2", "threshold: two"}, {"keys: [release]}", "keys: release}"}, {"deny: true", "deny: yes"}, {"maxAge: 168h", "maxAge: 168"},
			{"expires: 2099-01-31T00:00:00Z", "expires: 4073500800"}, {"by: release}", "by: [release]}"},
		},
		"wrong word": {
			{"maxSeverity: medium", "maxSeverity: moderate"}, {"maxSeverity: medium", "maxSeverity: Medium"}, {"mode: warn", "mode: audit"},
			{"type: vuln,", "type: vulnerabilities,"}, {"linux/amd64", "amd64"}, {"version: 1", "version: 2"},
			{"2099-01-31T00:00:00Z}", "2099-01-31}"}, {"sha256:00", "sha256:0"}, {"/state", "state"},
		},
		"one of several": {
			{"- signature: {by: release}", "- {signature: {by: release}, config: {nonRoot: true}}"}, {"- signature: {by: release}", "- {}"},
			{"{file: release.pub}", "{file: release.pub, pem: x}"}, {"{file: release.pub}", "{notAfter: 2099-01-31T00:00:00Z}"},
			{"equals: approved", "equals: approved, absent: true"}, {"reason: retired", "reason: retired, require: [{signature: {by: release}}]"},
			{"mode: warn", "reason: retired"},
		},
		"missing field": {
			{"- signature: {by: release}", "- signature: {annotations: {a: b}}"}, {"type: vuln, by: scanner,", "type: vuln,"}, {"type: vuln, ", ""},
			{", reason: CVE-2026-1234", ""}, {", reason: retired", ""}, {", builder: [\"https://ci.example/builder\"]", ""}, {"maxSeverity: medium, ", ""},
			{"pointer: /state, ", ""}, {", equals: approved", ""}, {", where: [{pointer: /state, equals: approved}]", ""}, {"version: 1\n", ""}, {", threshold: 2", ""},
		},
		"bad duration": {
			{"168h", "7d"}, {"168h", "1 week"}, {"168h", "-1h"}, {"168h", "0h"}, {"168h", "h"}, {"168h", "168"}, {"168h", "168H"},
		},
		"condition of another type": {
			{"maxSeverity: medium", "maxSeverity: medium, builder: [\"https://ci.example\"]"}, {"maxAge: 168h", "acceptAnyContent: true"},
			{", where: [{pointer: /state, equals: approved}]", ", denyPackages: [left-pad]"},
		},
	} {
		for _, change := range changes {
			before, _, found := strings.Cut(mistaken, change[0])
			if !found {
				t.Fatalf("the policy does not have %q", change[0])
			}
			at, labels = append(at, strings.Count(before, "\n")), append(labels, fmt.Sprintf("%s: %q", kind, change))
			texts = append(texts, strings.Replace(mistaken, change[0], change[1], 1))
		}
	}
	for i, found := range startEditor(t, policySchema).open(texts...) {
		here := func(d diagnostic) bool { return d.Range.Start.Line == at[i] }
		if slices.ContainsFunc(found, here) != (at[i] >= 0) {
			t.Errorf("%s: line %d: %+v", labels[i], at[i]+1, found)
		}
	}
}

// fenced are the examples of the reference.
var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestEditorFindsNothingInGoodPolicies(t *testing.T) {
	files, err := filepath.Glob(policyDir + "/*.yaml")
	must(t, err)
	var texts, labels []string
	for _, path := range files {
		text, err := os.ReadFile(path)
		must(t, err)
		texts, labels = append(texts, string(text)), append(labels, path)
	}
	reference, err := os.ReadFile(policyDir + "/REFERENCE.md")
	must(t, err)
	for _, m := range fenced.FindAllStringSubmatch(string(reference), -1) {
		texts, labels = append(texts, inPolicy(m[1])), append(labels, m[1])
	}
	if len(files) < 3 || len(texts) < 90 {
		t.Fatalf("%d files, %d texts", len(files), len(texts))
	}
	for i, found := range startEditor(t, policySchema).open(texts...) {
		if len(found) > 0 {
			t.Errorf("%s\n%+v", labels[i], found)
		}
	}
}

func TestEditorKnowsCaseFiles(t *testing.T) {
	files, err := filepath.Glob(policyDir + "/tests/*.test.yaml")
	must(t, err)
	var texts []string
	for _, path := range files {
		text, err := os.ReadFile(path)
		must(t, err)
		texts = append(texts, string(text))
	}
	const reason = ", reason: stale"
	mistaken := strings.Replace(texts[0], reason, "", 1)
	before, _, _ := strings.Cut(texts[0], reason)
	for i, found := range startEditor(t, policyDir+"/test.schema.json").open(append(texts, mistaken)...) {
		wrong := slices.ContainsFunc(found, func(d diagnostic) bool { return d.Range.Start.Line == strings.Count(before, "\n") })
		if len(files) < 3 || len(found) > 0 != (i == len(files)) || wrong != (i == len(files)) {
			t.Errorf("file %d: %+v", i, found)
		}
	}
}

// inPolicy completes an example of the reference, which is a part of a file.
func inPolicy(example string) string {
	switch {
	case strings.HasPrefix(example, "- images"):
		example = "rules:\n" + example
	case strings.HasPrefix(example, "- "):
		example = "rules:\n- images: [\"**\"]\n  require:\n  " + strings.ReplaceAll(example, "\n", "\n  ")
	}
	for _, part := range []string{"version: 1", "keys: {release: {file: release.pub}}", "roles: {release: {keys: [release]}}", "rules: [{images: [\"**\"], require: [{signature: {by: release}}]}]"} {
		if name, _, _ := strings.Cut(part, ":"); !strings.HasPrefix(example, name+":") && !strings.Contains(example, "\n"+name+":") {
			example = strings.TrimRight(example, " \n") + "\n" + part + "\n"
		}
	}
	return example
}
