package interop

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
)

var (
	cosignCommands = regexp.MustCompile(`Available Commands:\n((?:\S.*\n)+)`)
	cosignFlag     = regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([a-zA-Z0-9][a-zA-Z0-9-]*)=`)
)

// cosignWords are the commands that cosign's help lists, and the flags of each.
func cosignWords(t *testing.T, cosign program, path []string, flags map[string][]string) (commands []string) {
	t.Helper()
	out := cosign.run(t, append(slices.Clone(path), "--help")...)
	text := out.stdout + out.stderr
	for _, m := range cosignFlag.FindAllStringSubmatch(text, -1) {
		flags[m[1]] = path
	}
	if len(path) > 0 {
		commands = append(commands, strings.Join(path, " "))
	}
	if m := cosignCommands.FindStringSubmatch(text); m != nil && len(path) < 3 {
		for line := range strings.Lines(m[1]) {
			if name := strings.Fields(line)[0]; name != "help" && name != "completion" {
				commands = append(commands, cosignWords(t, cosign, append(slices.Clone(path), name), flags)...)
			}
		}
	}
	return commands
}

// What a user of cosign types gets an answer: it is ours, or the error says what is.
func TestCosignsCommandsAndFlagsAreAnswered(t *testing.T) {
	for _, version := range []string{"cosign2", "cosign3"} {
		flags := make(map[string][]string)
		commands := cosignWords(t, newProgram(t, version), nil, flags)
		if len(commands) < 20 || len(flags) < 50 {
			t.Fatalf("%s: %d commands and %d flags", version, len(commands), len(flags))
		}
		hallmark := func(args ...string) string {
			var stdout, stderr bytes.Buffer
			command.New(command.Plugins{}).Run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
			return stdout.String() + stderr.String()
		}
		for _, c := range commands {
			if said := hallmark(append(strings.Fields(c), "--help")...); !strings.Contains(said, "Usage:") && !strings.Contains(said, "a command of cosign") {
				t.Errorf("%s %s: %s", version, c, said)
			}
		}
		for name, path := range flags {
			said := hallmark("inspect", "--"+name, "x", "registry.invalid/x")
			if strings.Contains(said, "unknown flag") && !strings.Contains(said, "it is a flag of hallmark") && !strings.Contains(said, "did you mean") {
				t.Errorf("%s %s --%s: %s", version, strings.Join(path, " "), name, said)
			}
		}
	}
}
