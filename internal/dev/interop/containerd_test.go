package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The plugins that are disabled would write outside of the folder, or wait for
// what the tests do without.
const containerdConfig = `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = %q
[debug]
level = "warn"
`

// startContainerd starts a daemon of its own, with nothing in it, until the
// test ends. It returns its socket.
func startContainerd(t testing.TB) string {
	t.Helper()
	p := newProgram(t, "containerd")
	socket := filepath.Join(shortDir(t), "sock")
	config := p.write(t, "config.toml", fmt.Sprintf(containerdConfig,
		filepath.Join(p.dir, "root"), filepath.Join(p.dir, "state"), socket))
	logged, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer logged.Close() // the daemon has its own handle
	path, args := asRoot(p.path, "--config", config)
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, logged, logged
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends does not matter; what it logged does
	}()
	t.Cleanup(func() {
		stop(cmd, ended)
		if t.Failed() {
			t.Logf("containerd logged:\n%s", readFile(t, logged.Name()))
		}
	})
	awaitSocket(t, socket, ended)
	return socket
}

// shortDir is a folder for a socket, whose path must not exceed 108 bytes: that
// of a folder that is named after the test may.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// stop lets the daemon unmount what it has mounted, if it ends in time.
func stop(cmd *exec.Cmd, ended <-chan struct{}) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
		<-ended
	}
}

func awaitSocket(t testing.TB, socket string, ended <-chan struct{}) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		if _, err := os.Stat(socket); err == nil {
			return
		}
		select {
		case <-ended:
			t.Fatal("containerd ended as soon as it started")
		case <-deadline:
			t.Fatal("containerd does not listen")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func pullWithContainerd(t testing.TB, s pullSpec) outcome {
	t.Helper()
	p := newProgram(t, "ctr")
	p.write(t, filepath.Join("hosts", s.registry(), "hosts.toml"), hostsConfig(s))
	return p.run(t, "--address", startContainerd(t), "images", "pull",
		"--hosts-dir", filepath.Join(p.dir, "hosts"), "--snapshotter", "native", s.ref)
}

// hostsConfig replaces the server by the host that is asked. With that as a
// [host] in front of it, the server would be asked where the host refuses; and
// without that section, containerd 1.6 does not read the file.
func hostsConfig(s pullSpec) string {
	config := fmt.Sprintf("server = %q\ncapabilities = [\"pull\", \"resolve\"]\n", s.url())
	if s.caFile != "" {
		config += fmt.Sprintf("ca = %q\n", s.caFile)
	}
	return config + "[host]\n"
}
