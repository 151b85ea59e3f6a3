package tuf_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

func TestOpen_FetchesAndKeeps(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	c := r.open(file)
	holds(t, c, "one")
	got, _ := c.Current()
	if got.Root != 1 || got.Timestamp != 1 || got.Targets != 1 || !got.Expires.Equal(r.now.Add(day)) {
		t.Errorf("%+v", got)
	}
	r.release("two")
	must(t, c.Refresh(t.Context()))
	holds(t, c, "two")

	// A restart asks nothing as long as what is kept can be used.
	before := r.requests()
	r.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	again := r.open(file)
	holds(t, again, "two")
	if n := r.requests() - before; n != 0 {
		t.Errorf("%d requests", n)
	}
	if err := again.Refresh(t.Context()); !errors.Is(err, tuf.ErrUnavailable) {
		t.Error(err)
	}
	holds(t, again, "two")
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestOpen_RefusesUnusableOptions(t *testing.T) {
	r := newRepository(t, "one")
	for name, change := range map[string]func(*tuf.Options){
		"no root":        func(o *tuf.Options) { o.Root = nil },
		"no target":      func(o *tuf.Options) { o.Target = "" },
		"plain HTTP":     func(o *tuf.Options) { o.URL = "http://tuf.example" },
		"no host":        func(o *tuf.Options) { o.URL = "tuf.example" },
		"user":           func(o *tuf.Options) { o.URL = "https://me@tuf.example" },
		"targets":        func(o *tuf.Options) { o.TargetsURL = "http://tuf.example" },
		"negative grace": func(o *tuf.Options) { o.Grace = -1 },
	} {
		o := r.options("")
		change(&o)
		if c, err := tuf.Open(t.Context(), o); c != nil || !errors.Is(err, tuf.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := r.options("")
	o.Target = "other.json"
	if c, err := tuf.Open(t.Context(), o); c != nil || !errors.Is(err, tuf.ErrRefused) {
		t.Errorf("a target that is not listed: %v", err)
	}
	o = r.options("")
	o.MaxSize = 2
	if c, err := tuf.Open(t.Context(), o); c != nil || !errors.Is(err, tuf.ErrRefused) {
		t.Errorf("a target above MaxSize: %v", err)
	}
}

func TestRefresh_FollowsNewKeys(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	c := r.open(file)
	old := r.keys[metadata.ROOT]
	for _, role := range roles {
		r.replaceKeys(role)
	}
	r.root.Signed.Version++
	r.publishRoot(append(old, r.keys[metadata.ROOT]...)...)
	r.release("two")
	must(t, c.Refresh(t.Context()))
	holds(t, c, "two")
	if got, _ := c.Current(); got.Root != 2 {
		t.Errorf("root %d", got.Root)
	}
	holds(t, r.open(file), "two")
}

func TestCurrent_EndsAfterGrace(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	c := r.open(file)
	r.now = r.now.Add(8*day - time.Minute)
	if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrRefused) || c.Err() == nil {
		t.Errorf("expired metadata was accepted: %v", err)
	}
	holds(t, c, "one")
	r.now = r.now.Add(2 * time.Minute)
	if got, err := c.Current(); got != nil || !errors.Is(err, tuf.ErrStale) {
		t.Errorf("%v, %v", got, err)
	}
	if c, err := tuf.Open(t.Context(), r.options(file)); c != nil || err == nil {
		t.Errorf("opened with what is too old: %v", err)
	}
	r.stamp.Signed.Version++
	r.stamp.Signed.Expires, r.snap.Signed.Expires = r.now.Add(day), r.now.Add(day)
	r.snap.Signed.Version++
	r.publish()
	must(t, c.Refresh(t.Context()))
	holds(t, c, "one")
	if c.Err() != nil {
		t.Error(c.Err())
	}
}

func TestRun_RefreshesUntilItsEnd(t *testing.T) {
	r := newRepository(t, "one")
	o := r.options("")
	o.Interval = 5 * time.Millisecond
	c, err := tuf.Open(t.Context(), o)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { c.Run(ctx); close(ended) }()
	r.release("two")
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got, err := c.Current(); err == nil && string(got.Content) == "two" {
			break
		}
	}
	holds(t, c, "two")
	cancel()
	<-ended
}

func TestRefresh_EndsWithItsContext(t *testing.T) {
	r := newRepository(t, "one")
	c := r.open("")
	r.answers(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	holds(t, c, "one")
}

func TestOpen_OtherProcessesShareTheFile(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	first, second := r.open(file), r.open(file)
	r.release("two")
	must(t, first.Refresh(t.Context()))
	r.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if err := second.Refresh(t.Context()); err == nil {
		t.Error("the repository was down")
	}
	holds(t, second, "two")
}

func TestPublicGood_RootIsReadable(t *testing.T) {
	o := tuf.PublicGood()
	o.URL = "http://127.0.0.1:1"
	o.Timeout = time.Second
	// Its root is trusted, and nothing answers.
	if _, err := tuf.Open(t.Context(), o); !errors.Is(err, tuf.ErrUnavailable) || strings.Contains(err.Error(), "Root") {
		t.Error(err)
	}
}
