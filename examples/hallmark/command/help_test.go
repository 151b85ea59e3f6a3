package command

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	commands := (&app{}).command().Commands()
	if len(commands) < 8 {
		t.Fatalf("%d commands", len(commands))
	}
	for _, cmd := range commands {
		newCLI(t).must(cmd.Name(), "--help").prints("Examples:", "hallmark "+cmd.Name(), "--output")
	}
	newCLI(t).must("--help").prints("Exit codes:", "hallmark keygen")
}

func TestEveryJSONFieldIsDocumentedInTheHelp(t *testing.T) {
	for command, result := range map[string]any{
		"sign": signedImage{}, "verify": verify.Report{}, "inspect": verify.Inspection{}, "copy": copyResult{},
		"sign-blob": signedBlob{}, "keygen": keygenResult{}, "version": versionResult{}, "attest": attestedImage{},
	} {
		help := newCLI(t).must(command, "--help").stdout
		_, help, found := strings.Cut(help, "JSON is one ")
		if !found {
			t.Errorf("%s: the help does not describe the JSON", command)
			continue
		}
		words := strings.FieldsFunc(help, func(r rune) bool { return strings.ContainsRune(" ,.;:()\n", r) })
		// The help of verify lists the fields of a decision.
		known := map[reflect.Type]bool{reflect.TypeFor[verify.Report](): command != "verify"}
		for _, field := range jsonFields(reflect.TypeOf(result), known) {
			if !slices.Contains(words, field) {
				t.Errorf("%s: the help lacks the field %s", command, field)
			}
		}
	}
	for _, command := range []string{"verify", "verify-blob", "inspect"} {
		newCLI(t).must(command, "--help").prints("hallmark policy schema --of result")
	}
}

func jsonFields(t reflect.Type, seen map[reflect.Type]bool) (fields []string) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return nil
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			fields = append(fields, name)
		}
		fields = append(fields, jsonFields(f.Type, seen)...)
	}
	return fields
}

func TestCompletionWorksForEveryShell(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		newCLI(t).must("completion", shell).prints("hallmark")
	}
	newCLI(t).must("__complete", "sign", "--format", "").prints("bundle", "sig", "both")
	newCLI(t).must("__complete", "keygen", "--algorithm", "").prints("ecdsa-p256", "ed25519")
	newCLI(t).must("__complete", "verify", "--output", "").prints("text", "json")
}

func TestVersionIsThatOfTheBuild(t *testing.T) {
	var v versionResult
	newCLI(t).must("version", "-o", "json").decode(&v)
	if v.Version == "" || !strings.HasPrefix(v.Go, "go") || !strings.Contains(v.Platform, "/") {
		t.Errorf("%+v", v)
	}
	newCLI(t).must("version").prints("hallmark "+v.Version, v.Go, v.Platform)
}

func TestThereIsAdviceOnEveryKindOfErrorAndEveryDenial(t *testing.T) {
	for _, kind := range constantsOf(t, "../../../registry/errors.go", "Err") {
		if adviceOn(&registry.Error{Kind: registry.Kind(kind)}) == "" {
			t.Errorf("no advice on %q", kind)
		}
	}
	reasons := constantsOf(t, "../../../verify/reason.go", "Reason")
	denials := reasons[:slices.Index(reasons, string(verify.ReasonCounted))]
	for _, reason := range denials {
		if reasonAdvice[verify.Reason(reason)] == "" {
			t.Errorf("no advice on %q", reason)
		}
	}
	conditions := constantsOf(t, "../../../verify/reason_conditions.go", "Reason")
	for _, reason := range conditions {
		if reasonAdvice[verify.Reason(reason)] == "" {
			t.Errorf("no advice on %q", reason)
		}
	}
	if len(denials) < 8 || len(conditions) < 20 {
		t.Errorf("only %d denials found: %v", len(denials), denials)
	}
}

func TestAdviceNamesTheRegistryThatWasAsked(t *testing.T) {
	for label, c := range map[string]struct {
		err        error
		want, lack string
	}{
		"host and port": {&registry.Error{Kind: registry.ErrUnauthorized, Host: "registry.example:5000"}, "docker login registry.example:5000", "docker.io"},
		"wrapped": {&registry.Error{Kind: registry.ErrUnauthorized, Op: "copy", Ref: "sha256:" + strings.Repeat("a", 64),
			Err: fmt.Errorf("x: %w", &registry.Error{Kind: registry.ErrUnauthorized, Host: "registry.example"})}, "docker login registry.example", "docker.io"},
		"one of many": {&verify.UndecidedError{Causes: []error{errors.New("x"), &registry.Error{Kind: registry.ErrDenied, Host: "registry.example"}}}, "docker login registry.example", "docker.io"},
		"Docker Hub":  {&registry.Error{Kind: registry.ErrUnauthorized, Host: "index.docker.io"}, "docker login docker.io", "index"},
		"not known":   {&registry.Error{Kind: registry.ErrUnauthorized, Ref: "registry.example:5000"}, "docker login HOST", "docker.io"},
		"a digest":    {&registry.Error{Kind: registry.ErrUnauthorized, Ref: "sha256:" + strings.Repeat("a", 64)}, "docker login HOST", "docker.io"},
	} {
		if got := adviceOn(c.err); !strings.Contains(got, c.want) || strings.Contains(got, c.lack) {
			t.Errorf("%s: %q, want %q and not %q", label, got, c.want, c.lack)
		}
	}
}

// constantsOf reads the values of string constants from a source file: one that is added
// there needs advice here.
func constantsOf(t *testing.T, path, prefix string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	must(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		if text, ok := spec.Values[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
			value, err := strconv.Unquote(text.Value)
			must(t, err)
			values = append(values, value)
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("no constants found in %s", path)
	}
	return values
}
