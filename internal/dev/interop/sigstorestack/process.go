package sigstorestack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// errEnded says that a service has ended before it answered.
var errEnded = errors.New("the service has ended")

// shownLog is how much of the end of a log is shown.
const shownLog = 2 << 10

// processes are the services of a stack. After the first error the methods do nothing.
type processes struct {
	dir     string
	find    func(program string) (string, error)
	err     error
	started []*process
	// work runs what starts processes on one thread, which ends with them: a process may be
	// told to end with the thread that has started it.
	work chan func()
}

// process is a service that has been started.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	stdin io.Closer
	// ended is closed when it has ended.
	ended chan struct{}
}

func newProcesses(dir string, find func(program string) (string, error)) *processes {
	p := &processes{dir: dir, find: find, work: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range p.work {
			f()
		}
	}()
	return p
}

func (p *processes) fail(name string, err error) {
	if p.err == nil {
		p.err = fmt.Errorf("%s: %w\n%s", name, err, p.tail(name))
	}
}

// start starts a program.
func (p *processes) start(name string, args ...string) {
	if p.err != nil {
		return
	}
	path, err := p.find(name)
	if err != nil {
		p.fail(name, err)
		return
	}
	s := &process{name: name, cmd: exec.Command(path, args...), log: filepath.Join(p.dir, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(s.log)
	if err != nil {
		p.fail(name, err)
		return
	}
	defer func() { _ = log.Close() }()
	// The proxies lead nowhere: no service asks anything outside of the machine.
	s.cmd.Env = []string{"HOME=" + p.dir, "TMPDIR=" + p.dir, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1"}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr, s.cmd.SysProcAttr = p.dir, log, log, withParent()
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		p.fail(name, err)
		return
	}
	done := make(chan error)
	p.work <- func() { done <- s.cmd.Start() }
	if err := <-done; err != nil {
		p.fail(name, err)
		return
	}
	p.started = append(p.started, s)
	go func() {
		_ = s.cmd.Wait() // it is killed in the end, and says so
		close(s.ended)
	}()
}

// await waits until a service answers a request well.
func (p *processes) await(name, url string) {
	client := &http.Client{Timeout: 5 * time.Second}
	p.awaitThat(name, func() error {
		response, err := client.Get(url)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, response.Status)
		}
		return nil
	})
}

// awaitTCP waits until a service accepts connections.
func (p *processes) awaitTCP(name, address string) {
	p.awaitThat(name, func() error {
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// awaitThat waits until ready returns nil.
func (p *processes) awaitThat(name string, ready func() error) {
	if p.err != nil {
		return
	}
	s := p.started[slices.IndexFunc(p.started, func(s *process) bool { return s.name == name })]
	deadline := time.After(startTimeout)
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-s.ended:
			p.fail(name, errEnded)
			return
		case <-deadline:
			p.fail(name, fmt.Errorf("it does not answer in %v: %w", startTimeout, err))
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end ends all services, and returns when they have ended.
func (p *processes) end() {
	for _, s := range p.started {
		_ = s.stdin.Close()
		_ = s.cmd.Process.Kill()
	}
	for _, s := range p.started {
		<-s.ended
	}
	close(p.work)
}

func (p *processes) logs() string {
	var all strings.Builder
	for _, s := range p.started {
		fmt.Fprintf(&all, "== %s\n%s\n", s.name, p.tail(s.name))
	}
	return all.String()
}

// tail is the end of a service's log.
func (p *processes) tail(name string) string {
	text, err := os.ReadFile(filepath.Join(p.dir, name+".log"))
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-shownLog):])
}
