package tuf_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

func TestAttack_S3_SecretsOfRepositoryURLsAreNotShown(t *testing.T) {
	r := newRepository(t, "one")
	for _, text := range []string{
		"https://me:secret-word@tuf.example", "https://me:secret-word@tuf.example:port/", "https://tuf.example/?token=secret-word",
		"http://me:secret-word@tuf.example", "https://me:secret-word@", "https://tuf.example/#secret-word", "https://me:secret-word@tuf.example/%zz",
	} {
		for name, set := range map[string]func(*tuf.Options){"URL": func(o *tuf.Options) { o.URL = text }, "TargetsURL": func(o *tuf.Options) { o.TargetsURL = text }} {
			o := r.options("")
			set(&o)
			if _, err := tuf.Open(t.Context(), o); !errors.Is(err, tuf.ErrInvalid) || strings.Contains(err.Error(), "secret-word") || !strings.Contains(err.Error(), name) {
				t.Errorf("%v", err)
			}
		}
	}
	c := r.open("")
	for _, to := range []string{"http://me:secret-word@tuf.example/", "http://tuf.example/?signature=secret-word", "https://127.0.0.1:1/?signature=secret-word"} {
		r.answers(func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, to, http.StatusFound) })
		if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrUnavailable) || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%v", err)
		}
	}
}

func TestAttack_T19_EmptyTargetsAreCheckedToo(t *testing.T) {
	o := newRepository(t, "").options(stateFile(t))
	o.Check = func(text []byte) error { return errors.New("not a trust root") }
	if c, err := tuf.Open(t.Context(), o); c != nil || !errors.Is(err, tuf.ErrRefused) {
		t.Errorf("opened with a target that Check refuses: %v", err)
	}
}

func TestAttack_T19_MalformedFirstRootsDoNotPanic(t *testing.T) {
	r := newRepository(t, "one")
	for _, text := range []string{
		`{"signatures":[],"signed":{"_type":"root"}}`, `{}`, `null`, `[]`, `{"signed":null,"signatures":null}`,
		`{"signatures":[],"signed":{"_type":"root","spec_version":"1.0","version":1,"expires":"2030-01-01T00:00:00Z","keys":{"a":null},"roles":{"root":null},"consistent_snapshot":true}}`,
		`{"signatures":[{"keyid":"a","sig":"00"}],"signed":{"_type":"root","spec_version":"1.0","version":1,"expires":"2030-01-01T00:00:00Z","keys":{"a":null},"roles":{"root":{"keyids":["a"],"threshold":1}},"consistent_snapshot":true}}`,
	} {
		o := r.options("")
		o.Root = []byte(text)
		if _, err := tuf.Open(t.Context(), o); !errors.Is(err, tuf.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The file has a newer root, which is public, and an old timestamp, which its key signed.
func TestAttack_T19_NewRootsDoNotBringOldTargetsBack(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	r.open(file)
	text, err := os.ReadFile(file)
	must(t, err)
	c := r.open(file)
	r.release("two")
	must(t, c.Refresh(t.Context()))
	holds(t, c, "two")

	r.root.Signed.Version++
	r.publishRoot(r.keys[metadata.ROOT]...)
	var held map[string]any
	must(t, json.Unmarshal(text, &held))
	held["roots"] = [][]byte{r.files["2.root.json"]}
	text, err = json.Marshal(held)
	must(t, err)
	must(t, os.WriteFile(file, text, 0o600))
	r.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if err := c.Refresh(t.Context()); err == nil {
		t.Error("the repository was down")
	}
	holds(t, c, "two")
	if got, _ := c.Current(); got.Root != 2 {
		t.Errorf("root %d: what the file knows is forgotten", got.Root)
	}
}

// A repository shows a root that replaces a key, and then hides it again.
func TestAttack_T19_RootsOfFailedRefreshesAreKept(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	c := r.open(file)
	old := r.keys[metadata.TIMESTAMP]
	r.replaceKeys(metadata.TIMESTAMP)
	replaced := r.keys[metadata.TIMESTAMP]
	r.root.Signed.Version++
	r.publishRoot(r.keys[metadata.ROOT]...)
	if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrRefused) {
		t.Fatal(err)
	}
	holds(t, c, "one")
	shown := r.files["2.root.json"]
	r.remove("2.root.json")
	r.keys[metadata.TIMESTAMP] = old
	r.release("evil")
	for _, c := range []*tuf.Client{c, r.open(file)} {
		if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrRefused) {
			t.Error(err)
		}
		holds(t, c, "one")
	}
	r.put("2.root.json", shown)
	r.keys[metadata.TIMESTAMP] = replaced
	r.stamp.Signed.Version = 1
	r.release("three")
	must(t, c.Refresh(t.Context()))
	holds(t, c, "three")
	holds(t, r.open(file), "three")
}

func TestAttack_T19_RestartsDoNotPutOffRefreshes(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	r.open(file)
	r.release("two")
	c := r.open(file)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	go c.Run(ctx)
	for ctx.Err() == nil {
		if got, err := c.Current(); err == nil && string(got.Content) == "two" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	holds(t, c, "two")
}

func TestCurrent_SaysWhatIsTooOld(t *testing.T) {
	r := newRepository(t, "one")
	c := r.open("")
	r.now = r.now.Add(9 * day)
	if _, err := c.Current(); !errors.Is(err, tuf.ErrStale) || strings.Contains(err.Error(), "%!") {
		t.Error(err)
	}
}

// A public repository must not make this machine ask itself.
func TestAttack_T19_RedirectsDoNotLeadFromHTTPSToLoopback(t *testing.T) {
	asked := false
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer inner.Close()
	outer := httptest.NewTLSServer(http.RedirectHandler(inner.URL+"/admin", http.StatusFound))
	defer outer.Close()
	o := newRepository(t, "one").options("")
	o.URL, o.Transport = outer.URL, outer.Client().Transport
	if _, err := tuf.Open(t.Context(), o); !errors.Is(err, tuf.ErrUnavailable) || asked {
		t.Errorf("asked %t, %v", asked, err)
	}
}

func TestAttack_T19_ReadersAndRefreshesTogether(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	c, other := r.open(file), r.open(file)
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var last int64
			for ctx.Err() == nil {
				got, err := c.Current()
				if err != nil || got.Targets < last {
					t.Errorf("%v after %d: %v", got, last, err)
					return
				}
				last = got.Targets
			}
		})
	}
	for i := range 10 {
		r.release(fmt.Sprint(i))
		var refreshes sync.WaitGroup
		for _, c := range []*tuf.Client{c, other, c, other} {
			refreshes.Go(func() {
				if err := c.Refresh(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		refreshes.Wait()
	}
	cancel()
	readers.Wait()
	holds(t, c, "9")
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

// A slow repository holds a refresh no longer than Timeout, and leaves nothing behind.
func TestAttack_T19_SlowRepositoriesEndWithTimeout(t *testing.T) {
	r := newRepository(t, "one")
	o := r.options(stateFile(t))
	o.Timeout = 100 * time.Millisecond
	o.Transport = &http.Transport{}
	c, err := tuf.Open(t.Context(), o)
	must(t, err)
	r.answers(func(w http.ResponseWriter, req *http.Request) {
		for req.Context().Err() == nil {
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	before := runtime.NumGoroutine()
	begun := time.Now()
	for range 3 {
		if err := c.Refresh(context.Background()); !errors.Is(err, tuf.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	for end := time.Now().Add(3 * time.Second); runtime.NumGoroutine() > before+2 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if now := runtime.NumGoroutine(); now > before+2 {
		t.Errorf("%d goroutines, were %d", now, before)
	}
	holds(t, c, "one")
}
