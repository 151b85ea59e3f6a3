package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a server on loopback.
type process struct {
	name, address string
	cmd           *exec.Cmd
}

const distributionConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: "%s"}
%s`

// distribution starts it as a registry, or, with an upstream, as a cache.
func (b *bench) distribution(name, upstream string) (*process, error) {
	binary, err := exec.LookPath(filepath.Join(b.o.tools, "distribution"))
	if err != nil {
		return nil, fmt.Errorf("distribution is not in %q; run .ci/tools and set HALLMARK_TOOLS to what it prints", b.o.tools)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	proxied := ""
	if upstream != "" {
		proxied = "proxy: {remoteurl: \"http://" + upstream + "\"}\n"
	}
	dir := filepath.Join(b.dir, name)
	config := filepath.Join(b.dir, name+".yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, distributionConfig, dir, address, proxied), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "serve", config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	return start(name, address, cmd)
}

// startGate starts the example's server, with a store of its own.
func (b *bench) startGate(binary, upstream string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	store, err := os.MkdirTemp(b.dir, "store-")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "-listen", address, "-policy", b.images.policy, "-upstream", knownAs+"="+upstream,
		"-store", store, "-log", "error")
	cmd.Stderr = os.Stderr
	return start("gate", address, cmd)
}

// start waits until a server answers. Distribution tells of each 404 as an error,
// and is not listened to.
func start(name, address string, cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name, address, cmd}
	for range 200 {
		if resp, err := http.Get("http://" + address + "/v2/"); err == nil {
			return p, resp.Body.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.kill()
	return nil, fmt.Errorf("%s does not answer", name)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()         // it was killed
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// peakMemory is the largest resident set so far, in megabytes (proc(5), VmHWM).
func (p *process) peakMemory() (float64, error) {
	kilobytes, ok := field(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid), "VmHWM:")
	if !ok {
		return 0, errors.New("this system does not tell the peak of memory")
	}
	return float64(kilobytes) / 1024, nil
}

// availableMemory is how many bytes can be used; 0 where the system does not tell.
func availableMemory() int64 {
	kilobytes, _ := field("/proc/meminfo", "MemAvailable:")
	return kilobytes << 10
}

// field reads a number of kilobytes (proc(5)).
func field(path, name string) (int64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }() // it was only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
