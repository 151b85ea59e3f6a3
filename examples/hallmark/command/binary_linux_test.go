package command

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/term"
)

// openTerminal makes a pseudo-terminal: what is written to person is typed, and
// what programs print at device is read from it.
//
// Source: Linux man-pages, pts(4), ioctl_tty(2).
func openTerminal(t *testing.T) (person, device *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { _ = person.Close() }) // the test is over
	var number uint32
	var unlock int32
	for request, argument := range map[uintptr]unsafe.Pointer{
		syscall.TIOCSPTLCK: unsafe.Pointer(&unlock), syscall.TIOCGPTN: unsafe.Pointer(&number),
	} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(argument)); errno != 0 {
			t.Fatalf("ioctl: %v", errno)
		}
	}
	device, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = device.Close() }) // the test is over
	return person, device
}

// screen keeps what a terminal has shown.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the terminal shows a text.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	await(t, "showed "+text, func() bool { return strings.Contains(s.String(), text) })
}

// await waits until the program has done something.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the program never %s", what)
		}
	}
}

func TestPasswordIsNotEchoedAndAnInterruptRestoresTheEcho(t *testing.T) {
	path := binary(t)
	prefix := filepath.Join(t.TempDir(), "k")
	person, device := openTerminal(t)
	shown := &screen{}
	go func() { _, _ = io.Copy(shown, person) }() // ends with the terminal
	start := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), path, "keygen", "--out", prefix)
		cmd.Env = append(os.Environ(), "TERM=xterm")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = device, device, device
		must(t, cmd.Start())
		return cmd
	}
	before, err := term.GetState(int(device.Fd()))
	must(t, err)

	cmd := start()
	shown.await(t, "Password for the new private key: ")
	must(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait() // the exit code is what counts
	if code := cmd.ProcessState.ExitCode(); code != exitUndecided {
		t.Errorf("exit code %d after an interrupt: %q", code, shown)
	}
	after, err := term.GetState(int(device.Fd()))
	must(t, err)
	if *before != *after {
		t.Error("the terminal is left without echo")
	}

	const secret = "correct horse"
	cmd = start()
	for _, prompt := range []string{"Password for the new private key: ", "The same password again: "} {
		shown.await(t, prompt)
		// The prompt is shown a moment before the echo is switched off.
		await(t, "switched the echo off", func() bool {
			now, err := term.GetState(int(device.Fd()))
			return err == nil && *now != *before
		})
		_, err := person.WriteString(secret + "\n")
		must(t, err)
	}
	must(t, cmd.Wait())
	shown.await(t, "private key")
	if strings.Contains(shown.String(), secret) {
		t.Errorf("the password is echoed: %q", shown)
	}
}

func TestASecondInterruptKills(t *testing.T) {
	path := binary(t)
	reader, writer, err := os.Pipe() // no test reads it, so printing more than fits blocks
	must(t, err)
	defer func() { _ = reader.Close() }() // the test is over
	x := layoutTarget(t)
	x.putIndexOfMany("v1", 2000)
	cmd := exec.CommandContext(t.Context(), path, "inspect", x.tag("v1"))
	cmd.Stdout = writer
	must(t, cmd.Start())
	must(t, writer.Close())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	time.Sleep(time.Second)
	must(t, cmd.Process.Signal(os.Interrupt))
	select {
	case err := <-ended:
		t.Fatalf("it ended before it could print: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	must(t, cmd.Process.Signal(os.Interrupt))
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on after two interrupts")
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != os.Interrupt {
		t.Errorf("it ended by itself: %v", cmd.ProcessState)
	}
}

func TestAttack_S3_RecordedCommandCannotReadThePassword(t *testing.T) {
	// A user who may not trace every process, as root may, has to be able to reach
	// all of this.
	dir, err := os.MkdirTemp("", "hallmark-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the test is over
	must(t, os.Chmod(dir, 0o755))
	program, err := os.ReadFile(binary(t))
	must(t, err)
	path := filepath.Join(dir, "hallmark")
	must(t, os.WriteFile(path, program, 0o755))
	cmd := exec.CommandContext(t.Context(), path, "provenance", "--builder", builder, "--no-work-tree", "--", "sh", "-c", "cat /proc/$PPID/environ; env")
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "OTHER=known", passwordVariable + "=correct horse"}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	must(t, err)
	if text := string(out); strings.Contains(text, "correct horse") || !strings.Contains(text, "environ: Permission denied") || !strings.Contains(text, "OTHER=known") {
		t.Errorf("%s", text)
	}
}
