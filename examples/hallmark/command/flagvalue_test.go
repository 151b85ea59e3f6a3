package command

import (
	"path/filepath"
	"testing"
)

// An empty variable of the shell must not lower what is demanded.
func TestAttack_V1_EmptyValuesOfFlagsAreRefused(t *testing.T) {
	x := layoutTarget(t)
	x.push("v1")
	k := newKey(t)
	newCLI(t).must("sign", "--key", k.private, x.tag("v1"))
	for _, flag := range []string{"type", "policy", "at", "platform", "images-from", "max-severity", "evidence-repository"} {
		newCLI(t).run("verify", "--key", k.public, "--"+flag, "", x.tag("v1")).exits(exitUndecided).says("--"+flag, "empty")
	}
	newCLI(t).run("inspect", "--policy", "", x.tag("v1")).exits(exitUndecided).says("--policy", "empty")
	newCLI(t).run("-o", "", "version").exits(exitUndecided).says("--output", "empty")
}

// Of two lists, the first would not be verified.
func TestAttack_V1_SecondValuesOfFlagsAreRefused(t *testing.T) {
	x := layoutTarget(t)
	x.push("v1")
	k := newKey(t)
	newCLI(t).must("sign", "--key", k.private, x.tag("v1"))
	list := writeFile(t, filepath.Join(t.TempDir(), "list"), []byte(x.tag("v1")))
	for _, args := range [][]string{
		{"--images-from", filepath.Join(t.TempDir(), "other"), "--images-from", list},
		{"--threshold", "2", "--threshold", "1", x.tag("v1")},
		{"--max-severity", "low", "--max-severity", "high", x.tag("v1")},
	} {
		newCLI(t).run(append([]string{"verify", "--key", k.public}, args...)...).exits(exitUndecided).says(args[0], "given twice")
	}
	newCLI(t).must("-o", "json", "verify", "--key", k.public, "-o", "json", "--threshold", "1", "--threshold", "1", "--images-from", list, "--images-from", list)
}
