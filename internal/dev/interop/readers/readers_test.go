package readers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/hallmark-oci/hallmark/verify"
)

// containerd's code logs each refusal, and that temporary directories lack fs-verity.
func TestMain(m *testing.M) {
	if err := log.SetLevel("error"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// reader is a client: code of another project that pulls.
type reader struct {
	name string
	// inline is true where it takes content from a descriptor's data.
	inline bool
	// pull fetches all that a tag or digest leads to, for every platform. It goes on
	// where something is refused. Its error is that of the first answer.
	pull func(t *testing.T, from access, ref string, into *haul) error
	// list fetches all that the referrers of a digest lead to.
	list func(t *testing.T, from access, subject string, into *haul) error
}

var readers = []reader{
	{name: "containerd", inline: true, pull: pullWithContainerd, list: listWithContainerd},
	{name: "go-containerregistry", inline: true, pull: pullWithGoContainerRegistry, list: listWithGoContainerRegistry},
	{name: "oras-go", pull: pullWithORAS, list: listWithORAS},
}

// readerCalled finds a reader by its name.
func readerCalled(t *testing.T, name string) reader {
	t.Helper()
	for _, r := range readers {
		if r.name == name {
			return r
		}
	}
	t.Fatalf("no reader is called %s", name)
	return reader{}
}

// access is how a reader gets at one repository.
type access struct {
	// host is asked, over plain HTTP.
	host, repository string
	transport        *watched
}

func (a access) client() *http.Client { return &http.Client{Transport: a.transport} }

// get asks for something in the repository. The status is zero where the answer was
// broken off.
func (a access) get(t *testing.T, path string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.host+"/v2/"+a.repository+"/"+path, nil)
	must(t, err)
	resp, err := a.transport.RoundTrip(req)
	if denied := (*verify.Error)(nil); errors.As(err, &denied) { // what the handler says with a status
		return http.StatusForbidden, []byte(`"DENIED"`)
	}
	must(t, err)
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// watched is a transport that remembers the statuses other than success.
type watched struct {
	http.RoundTripper

	mu       sync.Mutex
	statuses map[int]int
}

func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(req)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.statuses == nil {
			w.statuses = make(map[int]int)
		}
		w.statuses[resp.StatusCode]++
	}
	return resp, err
}

// onlyRefused fails the test where an answer was neither a success nor a decision.
func (w *watched) onlyRefused(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for status, n := range w.statuses {
		if status != http.StatusForbidden && status != http.StatusNotFound {
			t.Errorf("status %d was answered %d times, want refusals (403) and nothing found (404) alone", status, n)
		}
	}
}

// haul is what a reader ended up with.
type haul struct {
	mu       sync.Mutex
	contents map[string][]byte // by digest
	errs     []error
	// store is containerd's. Nil for other readers.
	store content.Store
}

func newHaul() *haul { return &haul{contents: make(map[string][]byte)} }

func (h *haul) add(content []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contents[digest.FromBytes(content).String()] = content
}

// failed keeps an error, if it is one.
func (h *haul) failed(err error) bool {
	if err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.errs = append(h.errs, err)
	}
	return err != nil
}

func (h *haul) has(digest string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.contents[digest] != nil
}

// visits are the digests that were visited. Circles end at them.
type visits map[string]bool

// first says whether it is the first visit.
func (v visits) first(digest string) bool {
	seen := v[digest]
	v[digest] = true
	return !seen
}

// everything pulls each of the refs, and lists the referrers of each subject.
func (r reader) everything(t *testing.T, from access, refs, subjects []string) *haul {
	t.Helper()
	into := newHaul()
	for _, ref := range refs {
		into.failed(r.pull(t, from, ref, into))
	}
	for _, subject := range subjects {
		into.failed(r.list(t, from, subject, into))
	}
	return into
}
