package verify_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

// judgements are what an observer was told.
type judgements struct {
	mu  sync.Mutex
	all []verify.Judgement
}

func (o *judgements) told(_ context.Context, j verify.Judgement) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, j)
}

func TestObserversAreToldOfEachJudgement(t *testing.T) {
	w, a, b, c := newWorld(t), newPerson(t), newPerson(t), newPerson(t)
	var seen judgements
	v, err := verify.New(loaded(t, policyText, a, b, c), verify.Options{Now: func() time.Time { return now }, Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{}), Observe: seen.told})
	if err != nil {
		t.Fatal(err)
	}
	judge := func() { _, _ = v.Image(t.Context(), w.store, w.image) } // the observer is what is tested
	judge()
	judge()
	w.sign(w.image, sign.ImageOptions{}, a)
	if _, err := v.Bundles(t.Context(), w.image); err == nil {
		t.Error("no bundles verify")
	}
	if _, err := v.Blob(t.Context(), strings.NewReader("x")); err == nil {
		t.Error("a file without signatures verifies")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = v.Bundles(ended, w.image) // likewise
	var got []string
	for _, j := range seen.all {
		if j.Duration < 0 || j.Duration > time.Hour {
			t.Errorf("it took %s", j.Duration)
		}
		got = append(got, fmt.Sprint(j.Status, " ", j.Reason, " ", j.Rule, " ", j.Cached, " ", j.File))
	}
	want := []string{
		"denied no-signature registry.example/team/** false false", "denied no-signature registry.example/team/** true false",
		"denied no-signature registry.example/team/** false false", "denied no-rule  false true", "undecided   false false",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("told:\n%s", strings.Join(got, "\n"))
	}
}

func TestAnObserverThatPanicsChangesNothing(t *testing.T) {
	w, a := newWorld(t), newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	v, err := verify.New(loaded(t, policyText, a, newPerson(t), newPerson(t)), verify.Options{Now: func() time.Time { return now }, Observe: func(context.Context, verify.Judgement) { panic("x") }})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := v.Image(t.Context(), w.store, w.image); err != nil || res == nil {
		t.Errorf("%v, %v", res, err)
	}
}
