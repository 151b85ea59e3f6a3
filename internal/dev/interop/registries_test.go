package interop

import (
	"bufio"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// registryKind is one implementation of the OCI distribution specification.
type registryKind struct {
	name string
	// start returns the host and port at which it listens until the test ends.
	start func(testing.TB) string
	// racy is true where concurrent writers make it fail for a moment.
	racy bool
}

// Neither distribution nor docker-registry has the referrers API. The latter,
// distribution 2.8, writes its files in place: reading a tag or pushing a
// manifest at that moment gets "blob unknown" or an internal error.
var (
	inMemory            = registryKind{name: "in-memory", start: startInMemory(registrytest.Options{})}
	inMemoryNoReferrers = registryKind{name: "in-memory-no-referrers", start: startInMemory(registrytest.Options{NoReferrers: true})}
	ggcrRegistry        = registryKind{name: "ggcr", start: startGGCR}
	distribution        = registryKind{name: "distribution", start: startProcess("distribution")}
	dockerRegistry      = registryKind{name: "docker-registry", start: startProcess("docker-registry"), racy: true}
)

func allRegistries() []registryKind {
	return []registryKind{inMemory, inMemoryNoReferrers, ggcrRegistry, distribution, dockerRegistry}
}

// onEach runs a test against each registry, started for it. Subtests may run in
// parallel: the registry is stopped once all of them have ended.
func onEach(t *testing.T, kinds []registryKind, test func(t *testing.T, host string)) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			test(t, kind.start(t))
		})
	}
}

func startInMemory(o registrytest.Options) func(testing.TB) string {
	return func(t testing.TB) string { return serve(t, registrytest.New(o)) }
}

var discard = log.New(io.Discard, "", 0)

func startGGCR(t testing.TB) string {
	return serve(t, ggcr.New(ggcr.Logger(discard), ggcr.WithReferrersSupport(true)))
}

func serve(t testing.TB, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

const registryConfig = `version: 0.1
log: {accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: DIR}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0"}
`

// startProcess starts distribution's registry, of any version. It chooses the
// port itself and tells it in its log.
func startProcess(name string) func(testing.TB) string {
	return func(t testing.TB) string {
		t.Helper()
		p := newProgram(t, name, "OTEL_TRACES_EXPORTER=none")
		config := filepath.Join(p.dir, "config.yml")
		text := strings.Replace(registryConfig, "DIR", filepath.Join(p.dir, "data"), 1)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(p.path, "serve", config)
		cmd.Env, cmd.Dir = p.env, p.dir
		logged, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		drained := make(chan struct{})
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			<-drained
			_ = cmd.Wait() // killed, and says so
		})
		address := make(chan string, 1)
		go func() {
			defer close(drained)
			watchLog(logged, address)
		}()
		return awaitReady(t, name, address)
	}
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// watchLog sends the address that the log names, or closes the channel at the
// log's end. It reads on: the process must never wait for its log.
func watchLog(logged io.Reader, address chan<- string) {
	defer close(address)
	lines := bufio.NewScanner(logged)
	for found := false; lines.Scan(); {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil && !found {
			found = true
			address <- m[1]
		}
	}
	_, _ = io.Copy(io.Discard, logged)
}

func awaitReady(t testing.TB, name string, address <-chan string) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	var host string
	select {
	case host = <-address:
	case <-deadline:
	}
	if host == "" {
		t.Fatalf("%s did not say where it listens", name)
	}
	for {
		if response, err := http.Get("http://" + host + "/v2/"); err == nil {
			_ = response.Body.Close()
			return host
		}
		select {
		case <-deadline:
			t.Fatalf("%s does not answer at %s", name, host)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
