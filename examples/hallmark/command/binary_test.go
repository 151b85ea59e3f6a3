package command

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// binary builds the program.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hallmark.exe") // the suffix does no harm elsewhere
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func TestBinary(t *testing.T) {
	path := binary(t)
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	prefix := filepath.Join(t.TempDir(), "k")
	execute := func(t *testing.T, env []string, args ...string) outcome {
		t.Helper()
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = append(os.Environ(), env...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return outcome{t, args, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	}
	password := []string{passwordVariable + "=correct horse"}

	t.Run("exit codes", func(t *testing.T) {
		execute(t, password, "keygen", "--out", prefix).exits(exitOK)
		execute(t, nil, "verify", "--key", prefix+".pub", x.tag("v1")).exits(exitDenied).prints("denied")
		execute(t, nil, "sign", "--key", prefix+".key", x.tag("v1")).exits(exitUndecided).says("no password given")
		execute(t, password, "sign", "--key", prefix+".key", x.tag("v1")).exits(exitOK)
		execute(t, nil, "verify", "--key", prefix+".pub", x.tag("v1")).exits(exitOK).prints("verified")
		execute(t, nil, "verify", "--key", prefix+".pub", x.tag("none")).exits(exitUndecided).prints("undecided")
		execute(t, nil).exits(exitUndecided)
		execute(t, nil, "--help").exits(exitOK)
	})
	t.Run("completion", func(t *testing.T) {
		script := execute(t, nil, "completion", "bash").exits(exitOK).stdout
		bash, err := exec.LookPath("bash")
		if err != nil {
			return // the script was made, and this system cannot run it
		}
		check := exec.CommandContext(t.Context(), bash, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("bash does not accept its completion: %v\n%s", err, out)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			return // a process cannot be sent an interrupt there
		}
		slow := registryTarget(t, registrytest.Options{})
		slow.push("v1")
		slow.reg.Inject(registrytest.Fault{Do: registrytest.Delay(time.Minute)})
		var stderr, stdout bytes.Buffer
		cmd := exec.CommandContext(t.Context(), path, "verify", "--key", prefix+".pub", slow.tag("v1"))
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		must(t, cmd.Start())
		for len(slow.reg.Requests()) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		start := time.Now()
		must(t, cmd.Process.Signal(os.Interrupt))
		_ = cmd.Wait() // the exit code is what counts
		outcome{t, cmd.Args, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}.
			exits(exitUndecided).prints("undecided", "interrupted")
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v to stop", took)
		}
	})
	t.Run("TestAttack_S3_CredentialHelpersDoNotInheritThePassword", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			return // the helper below is a shell script
		}
		closed := registryTarget(t, registrytest.Options{BasicUsers: map[string]string{"dev": "secret"}})
		closed.push("v1")
		dir := t.TempDir()
		seen := filepath.Join(dir, "environment")
		helper := "#!/bin/sh\nenv > " + seen + "\necho '{\"Username\":\"dev\",\"Secret\":\"secret\"}'\n"
		must(t, os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(helper), 0o700))
		host, _, _ := strings.Cut(closed.image, "/")
		writeFile(t, filepath.Join(dir, "config.json"), []byte(`{"credHelpers":{"`+host+`":"test"}}`))
		env := append(password, "DOCKER_CONFIG="+dir, "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		o := execute(t, env, "sign", "--verbose", "--key", prefix+".key", closed.tag("v1")).exits(exitOK)
		if strings.Contains(o.stderr, "secret") {
			t.Errorf("the login is printed: %s", o.stderr)
		}
		text, err := os.ReadFile(seen)
		if err != nil || strings.Contains(string(text), "correct horse") {
			t.Errorf("the helper saw %s, %v", text, err)
		}
	})
}
