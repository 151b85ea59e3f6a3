//go:build unix

package gate_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/leak"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// childGate serves until it is killed. Everything passes: it is about files.
func childGate(dir string) error {
	if size, err := strconv.ParseUint(os.Getenv(childFileSize), 10, 63); err == nil {
		limit := syscall.Rlimit{Cur: size, Max: size}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	held, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := policy.NewPublicKey(private.Public())
	if err != nil {
		return err
	}
	p := policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy()
	p.Rules[0].Mode = policy.ModeWarn
	v, err := verify.New(p, verify.Options{})
	if err != nil {
		return err
	}
	gate, err := gate.NewHandler(gate.Config{
		Verifier: v, Store: held, Client: quick,
		Upstreams: []gate.Upstream{{Registry: known, Address: os.Getenv(childUpstream)}},
	})
	if err != nil {
		return err
	}
	server := httptest.NewServer(gate)
	defer server.Close()
	fmt.Println(server.URL)
	select {}
}

// The test binary again, as a gate of its own that can be killed.
const (
	childDir      = "HALLMARK_GATE_TEST_DIR"
	childUpstream = "HALLMARK_GATE_TEST_UPSTREAM"
	childFileSize = "HALLMARK_GATE_TEST_FILE_SIZE"
)

func TestMain(m *testing.M) {
	if key := os.Getenv(childFloodKey); key != "" {
		if err := floodGate(key); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(childDir); dir != "" {
		if err := childGate(dir); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(leak.Run(m))
}

// child starts a gate in a process of its own, whose files are bounded, and
// returns where it listens.
func (s *scene) child(dir, upstream, fileSize string) (url string, kill func()) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childUpstream+"="+upstream, childFileSize+"="+fileSize)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(s.t, err)
	var once sync.Once
	kill = func() {
		once.Do(func() {
			_ = cmd.Process.Kill() // SIGKILL; it may have ended
			_ = cmd.Wait()         // it was killed
		})
	}
	s.t.Cleanup(kill)
	return strings.TrimSpace(line), kill
}

func TestAttack_P10_KillWhileWritingLeavesNothingHalfWritten(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, t.TempDir(), store.Options{})
	upstream := registrytest.Start(t, s.hosted)
	_, layer := s.bigImage("big", 8<<20)
	want, _ := s.hosted.Blob("team/app", layer)
	small := s.parts(s.signed)[1].Digest.String()
	for round := range 8 {
		url, kill := s.child(dir, upstream, "")
		// Slower in each round: the kill meets another step.
		remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Ref: layer, Do: registrytest.Drip(1<<20, time.Duration(round)*4*time.Millisecond)})
		get := func(path string) ([]byte, int) {
			resp, err := http.Get(url + path)
			if err != nil {
				return nil, 0
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return nil, 0
			}
			return body, resp.StatusCode
		}
		for _, path := range []string{"manifests/signed", "blobs/" + small, "manifests/big"} {
			if _, status := get("/v2/team/app/" + path); status != http.StatusOK {
				t.Fatalf("round %d: %s: %d", round, path, status)
			}
		}
		done := make(chan struct{})
		go func() { defer close(done); _, _ = get("/v2/team/app/blobs/" + layer) }()
		time.Sleep(time.Duration(round) * 3 * time.Millisecond)
		kill()
		<-done
		remove()
		// What bears a digest's name has it, whatever happened.
		for _, name := range blobFiles(t, dir) {
			content, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(name, "sha256:")))
			must(t, err)
			if registryDigest(t, content) != name {
				t.Fatalf("round %d: %s holds other content, %d bytes", round, name, len(content))
			}
		}
	}
	url, _ := s.child(dir, upstream, "")
	resp, err := http.Get(url + "/v2/team/app/manifests/big")
	must(t, err)
	_ = resp.Body.Close()
	if left, err := os.ReadDir(filepath.Join(dir, "ingest")); err != nil || len(left) != 0 {
		t.Errorf("what the crashes left is still there: %v, %v", left, err)
	}
	resp, err = http.Get(url + "/v2/team/app/blobs/" + layer)
	must(t, err)
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !bytes.Equal(body, want) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

func TestAttack_P10_AFullDiskDegradesToPassingThrough(t *testing.T) {
	s := storeScene(t, t.TempDir(), store.Options{})
	upstream := registrytest.Start(t, s.hosted)
	_, layer := s.bigImage("big", 4<<20)
	want, _ := s.hosted.Blob("team/app", layer)
	// No file of the child can grow beyond a mebibyte.
	url, _ := s.child(t.TempDir(), upstream, "1048576")
	for _, path := range []string{"manifests/big", "blobs/" + layer} {
		resp, err := http.Get(url + "/v2/team/app/" + path)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || path != "manifests/big" && !bytes.Equal(body, want) {
			t.Errorf("%s: %d, %d bytes, %v", path, resp.StatusCode, len(body), err)
		}
	}
}
