package interop

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// commandTimeout bounds each program, whatever it waits for.
	commandTimeout = time.Minute
	// nowhere refuses connections at once: nothing listens on TCP port 1.
	nowhere = "http://127.0.0.1:1"
	// password opens every encrypted key in these tests.
	password = "correct horse"
)

// tool finds a program that the tests do not bring along.
func tool(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv("HALLMARK_TOOLS"); dir != "" {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("HALLMARK_REQUIRE_TOOLS") == "1":
		t.Fatalf("%s not found, and HALLMARK_REQUIRE_TOOLS=1", name)
	default:
		t.Skipf("%s not found: run .ci/run, or set HALLMARK_TOOLS to a directory that holds it", name)
	}
	return ""
}

// program is a tool with a home of its own and no way out of the machine.
type program struct {
	path string
	dir  string
	env  []string
}

func newProgram(t testing.TB, name string, env ...string) program {
	t.Helper()
	dir := t.TempDir()
	return program{path: tool(t, name), dir: dir, env: append([]string{
		"HOME=" + dir, "TMPDIR=" + dir, "XDG_RUNTIME_DIR=" + dir, "PATH=/usr/bin:/bin",
		// Loopback is never asked through a proxy; all else ends there.
		"HTTP_PROXY=" + nowhere, "HTTPS_PROXY=" + nowhere,
	}, env...)}
}

// outcome is what a program that ran to its end has said.
type outcome struct {
	command        string
	code           int
	stdout, stderr string
}

// run waits for the program. A program that cannot run, or does not end in
// time, fails the test: that is not a refusal.
func (p program) run(t testing.TB, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	o := outcome{
		command: filepath.Base(p.path) + " " + strings.Join(args, " "),
		stdout:  stdout.String(), stderr: stderr.String(),
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.Exited():
		o.code = exit.ExitCode()
	default:
		t.Fatalf("%s: %v\n%s%s", o.command, err, o.stdout, o.stderr)
	}
	return o
}

// accepted fails the test unless the program ended well.
func (o outcome) accepted(t testing.TB) outcome {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("%s\nexit code %d, want 0\n%s%s", o.command, o.code, o.stdout, o.stderr)
	}
	return o
}

// refused fails the test unless the program ended badly, for the reason given.
func (o outcome) refused(t testing.TB, why string) {
	t.Helper()
	if o.code == 0 || !strings.Contains(o.stderr, why) {
		t.Fatalf("%s\nexit code %d, want another than 0, and %q in:\n%s%s", o.command, o.code, why, o.stdout, o.stderr)
	}
}
