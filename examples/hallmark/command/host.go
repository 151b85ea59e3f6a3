package command

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"
)

// host is what the program uses of its process. Tests replace it.
type host struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
	unsetEnv       func(string) // nil: variables stay

	stdinIsTerminal, stdoutIsTerminal, stderrIsTerminal bool
	// readSecret reads a line from the terminal at stdin without echo.
	readSecret func(context.Context) ([]byte, error)
}

func thisProcess() host {
	return host{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		lookupEnv:        takePassword(),
		unsetEnv:         func(name string) { _ = os.Unsetenv(name) }, // it cannot fail for a valid name
		stdinIsTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		stdoutIsTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		stderrIsTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		readSecret:       readSecret,
	}
}

// takePassword removes the password from the environment, which credential helpers
// inherit, and returns a lookup that still knows it. The password stays in this
// process's memory; hideMemory keeps other processes from reading /proc/PID/environ.
func takePassword() func(string) (string, bool) {
	hideMemory()
	password, set := os.LookupEnv(passwordVariable)
	_ = os.Unsetenv(passwordVariable) // it cannot fail for a valid name
	return func(key string) (string, bool) {
		if key == passwordVariable {
			return password, set
		}
		return os.LookupEnv(key)
	}
}

// readSecret turns the terminal's echo on again if the context ends while it waits.
func readSecret(ctx context.Context) ([]byte, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	type answer struct {
		secret []byte
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		secret, err := term.ReadPassword(fd)
		done <- answer{secret, err}
	}()
	select {
	case a := <-done:
		return a.secret, a.err
	case <-ctx.Done():
		_ = term.Restore(fd, before) // no error could be handled here
		return nil, ctx.Err()
	}
}
