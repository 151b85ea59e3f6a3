package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Docker's engine, where it can run: it wants root, and a kernel that lets it.
// Images come from loopback, which it speaks plain HTTP to.
func TestDockerPullsThroughTheGateOnlyWhatIsSigned(t *testing.T) {
	socket := startDocker(t)
	g := inMemoryGuarded(t)
	host := serve(t, g.gate)
	docker := newProgram(t, "docker", "DOCKER_HOST=unix://"+socket)
	for _, ref := range []string{":signed", "@" + g.digests["signed"], ":signed-index", "@" + g.digests["signed-index"]} {
		docker.run(t, "pull", host+"/team/app"+ref).accepted(t)
	}
	for _, ref := range []string{":unsigned", "@" + g.digests["unsigned"], ":unsigned-index", "@" + g.digests["unsigned-index"]} {
		o := docker.run(t, "pull", host+"/team/app"+ref)
		t.Logf("client docker shows: %s", o.sentence())
		o.refused(t, "no-signature")
	}
}

// startDocker starts an engine of the test's own, or skips the test.
func startDocker(t *testing.T) (socket string) {
	t.Helper()
	for _, name := range []string{"dockerd", "docker", "containerd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed, which is not asked for", name)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("Docker's engine wants root; it is not asked for")
	}
	// Unix sockets have short names.
	dir, err := os.MkdirTemp("", "hm-docker-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what stays is in a temporary directory
	socket = filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
		"--data-root", filepath.Join(dir, "root"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"), "--host", "unix://"+socket)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	if err := cmd.Start(); err != nil {
		cancel()
		t.Skipf("Docker's engine does not start, and is not asked for: %v", err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // it was told to end
	t.Cleanup(func() { cancel(); <-ended })
	for range 300 {
		if exec.Command("docker", "--host", "unix://"+socket, "version").Run() == nil {
			return socket
		}
		select {
		case <-ended:
			t.Skip("Docker's engine cannot run here, and is not asked for")
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Skip("Docker's engine does not answer here, and is not asked for")
	return ""
}
