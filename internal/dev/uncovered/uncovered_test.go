package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyWhatPassesOnAnErrorExplainsItself(t *testing.T) {
	t.Chdir(t.TempDir())
	const text = `package p

func (x *T) f() error {
	if err := g(); err != nil {
		return fmt.Errorf("g: %w", err)
	}
	if err != nil {
		return nil
	}
	if n > 3 {
		return err
	}
	switch {
	case err != nil:
		return err
	case n > 3:
		return err
	}
	return nil
}
`
	if err := os.WriteFile("x.go", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	for line, want := range map[int]bool{4: true, 7: false, 10: false, 14: true, 16: false} {
		from := strings.LastIndexAny(lines[line-1], "{:")
		if brace := strings.LastIndex(lines[line-1], "{"); brace >= 0 {
			from = brace
		}
		at, err := locate(block{file: "x.go", fromLine: line, fromColumn: from + 1, line: line + 1, column: len(lines[line]) + 1})
		if err != nil {
			t.Fatal(err)
		}
		if at.passesOn != want || at.function != "T.f" {
			t.Errorf("%q: passes on %t, in %s", lines[line-1], at.passesOn, at.function)
		}
	}
}

func TestReasonsAreTakenAsOftenAsTheySay(t *testing.T) {
	r, err := parseReasons("# why\nverify/a.go T.f 1 it cannot happen\nverify/a.go T.f 1 nor can this\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"it cannot happen", "nor can this", ""} {
		if got := r.take("verify/a.go", "T.f"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, bad := range []string{"a.go f why", "a.go f x why", "a.go f 0 why"} {
		if _, err := parseReasons(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestAProfileOfSeveralPackagesIsAddedUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cover.out")
	text := "mode: set\n" + module + "verify/a.go:1.2,3.4 5 0\n" + module + "verify/a.go:1.2,3.4 5 1\n" + module + "verify/a.go:4.2,5.4 5 0\n" + module + "sign/a.go:4.2,5.4 1 0\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks, err := profile(path)
	if err != nil {
		t.Fatal(err)
	}
	if all, reached := statements(blocks, "verify"); all != 10 || reached != 5 {
		t.Errorf("%d of %d", reached, all)
	}
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := profile(path); err == nil {
		t.Error("nonsense is taken for a profile")
	}
}
