//go:build unix

package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// childArguments make the test binary the program itself.
const childArguments = "HALLMARK_PROXY_TEST_ARGUMENTS"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(childArguments); arguments != "" {
		os.Args = append(os.Args[:1], strings.Split(arguments, "\n")...)
		main()
	}
	os.Exit(m.Run())
}

// A pull that never ends keeps the server from ending, but not from being ended.
func TestASecondSignalEndsTheServerAtOnce(t *testing.T) {
	dir, hosted := t.TempDir(), registrytest.New(registrytest.Options{})
	must(t, fill(t.Context(), hosted, dir))
	hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Delay(time.Hour)})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childArguments+"="+strings.Join([]string{
		"-policy", filepath.Join(dir, "policy.yaml"), "-listen", "127.0.0.1:0", "-upstream", demoRegistry + "=" + registrytest.Start(t, hosted),
	}, "\n"))
	log, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }() // it may have ended
	lines := bufio.NewScanner(log)
	logged := func(pattern string) string {
		t.Helper()
		for lines.Scan() {
			if found := regexp.MustCompile(pattern).FindStringSubmatch(lines.Text()); found != nil {
				return found[len(found)-1]
			}
		}
		t.Fatalf("it does not say %s: %v", pattern, lines.Err())
		return ""
	}
	address := logged(`"gate listening","address":"([^"]*)"`)
	hosted.ResetRequests()
	go func() {
		if resp, err := http.Get("http://" + address + "/v2/team/app/manifests/signed"); err == nil {
			_ = resp.Body.Close() // it never comes
		}
	}()
	for len(hosted.Requests()) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	logged("gate stopping")
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // a signal has ended it
	for range 300 {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatal("it waits for the pull")
}
