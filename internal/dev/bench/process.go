package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

// worker is a process that does tasks with one library.
type worker struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

func startWorker(name, binary, home string) (*worker, error) {
	cmd := exec.Command(binary)
	cmd.Env = peerEnvironment(home)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &worker{name, cmd, in, bufio.NewReader(out)}, cmd.Start()
}

// do gives the worker a task and waits for its report.
func (w *worker) do(ctx context.Context, t work.Task) (work.Report, error) {
	defer context.AfterFunc(ctx, func() { _ = w.cmd.Process.Kill() })() // it may have ended
	line, err := json.Marshal(t)
	if err != nil {
		return work.Report{}, err
	}
	if _, err = w.in.Write(append(line, '\n')); err != nil {
		return work.Report{}, fmt.Errorf("%s: %w", w.name, err)
	}
	answer, err := w.out.ReadBytes('\n')
	if err != nil {
		return work.Report{}, fmt.Errorf("%s, %s: %w", w.name, t.Do, errors.Join(ctx.Err(), err))
	}
	var r work.Report
	if err := json.Unmarshal(answer, &r); err != nil {
		return work.Report{}, err
	}
	if r.Error != "" {
		return work.Report{}, fmt.Errorf("%s, %s: %s", w.name, t.Do, r.Error)
	}
	return r, nil
}

func (w *worker) end() {
	_ = w.in.Close() // tells it to end
	_ = w.cmd.Wait() // how it ends is of no interest
}

// peerEnvironment lets programs ask nothing but the registry: without a root of
// its own, cosign would ask a TUF mirror.
func peerEnvironment(home string) []string {
	return append(os.Environ(), "COSIGN_PASSWORD="+work.Password, "HALLMARK_PASSWORD="+work.Password,
		"SIGSTORE_NO_CACHE=true", "TUF_MIRROR=http://127.0.0.1:9", "HOME="+home, "DOCKER_CONFIG="+home)
}

// program runs a program to its end; a failure is an error with what it printed.
func (s *stage) program(ctx context.Context, binary string, args ...string) (work.Report, error) {
	return s.launch.do(ctx, work.Task{Do: "run", Command: append([]string{binary}, args...)})
}

const distributionConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: "%s"}
`

// startDistribution starts it as a registry without the referrers API.
func startDistribution(binary, dir string) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = l.Addr().String()
	config := dir + ".yml"
	if err := errors.Join(l.Close(), os.WriteFile(config, fmt.Appendf(nil, distributionConfig, dir, address), 0o600)); err != nil {
		return "", nil, err
	}
	cmd := exec.Command(binary, "serve", config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	}
	for range 200 {
		if resp, err := http.Get("http://" + address + "/v2/"); err == nil {
			return address, stop, resp.Body.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("distribution does not answer")
}
