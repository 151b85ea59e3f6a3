package layout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

func TestLayoutWriterGivesUpWhereAnotherKeepsTheLock(t *testing.T) {
	_, dir := newLayout(t)
	first := openLayout(t, dir, layout.Options{})
	release := layout.LockLayout(t, first)
	defer release()
	second := openLayout(t, dir, layout.Options{LockTimeout: 20 * time.Millisecond})
	m := testManifest(t, "layer", nil)
	for _, l := range []*layout.Layout{second, second} {
		_, err := l.PushManifest(t.Context(), l.Tag("v1"), m, registry.PushOptions{})
		wantKind(t, err, registry.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := first.PushManifest(ctx, first.Tag("v1"), m, registry.PushOptions{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}

// The tests below run this binary again as other processes. What such a process
// is to do stands in its environment.
const writerDir, writerName = "HALLMARK_TEST_LAYOUT_DIR", "HALLMARK_TEST_LAYOUT_NAME"

const writerPushes = 20

// TestLayoutWriterProcess is no test of its own: it is the process that the tests
// below start.
func TestLayoutWriterProcess(t *testing.T) {
	dir := os.Getenv(writerDir)
	if dir == "" {
		t.Skip("only run as another process")
	}
	l := openLayout(t, dir, layout.Options{Create: true})
	for i := range writerPushes {
		tag := fmt.Sprintf("%s-%d", os.Getenv(writerName), i)
		pushImage(t, l, l.Tag(tag), tag, nil)
	}
}

func writerProcess(ctx context.Context, dir, name string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestLayoutWriterProcess$")
	cmd.Env = append(os.Environ(), writerDir+"="+dir, writerName+"="+name)
	return cmd
}

func TestLayoutWritersLoseNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	var wg sync.WaitGroup
	for p := range 2 {
		wg.Go(func() {
			if out, err := writerProcess(t.Context(), dir, fmt.Sprint("process", p)).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	l := openLayout(t, dir, layout.Options{Create: true})
	for g := range 4 {
		wg.Go(func() {
			for i := range writerPushes {
				tag := fmt.Sprintf("goroutine%d-%d", g, i)
				m := testManifest(t, tag, nil)
				if _, err := l.PushManifest(t.Context(), l.Tag(tag), m, registry.PushOptions{IfAbsent: true}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	tags, err := l.Tags(t.Context())
	must(t, err)
	if len(tags) != 6*writerPushes {
		t.Errorf("%d tags, want %d", len(tags), 6*writerPushes)
	}
}

func TestAttack_F2_KilledWriterLeavesOldOrNew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	for round := range 12 {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := writerProcess(ctx, dir, fmt.Sprint("round", round))
		must(t, cmd.Start())
		time.Sleep(time.Duration(10+7*round) * time.Millisecond)
		cancel()
		_ = cmd.Wait() // killed, or done already

		l, err := layout.Open(dir, layout.Options{})
		if errors.Is(err, registry.ErrNotFound) {
			continue // killed before there was a layout
		}
		must(t, err)
		wantWhole(t, l)
		must(t, l.Close())
	}
}

// wantWhole fails unless every tag names an image that is there in full.
func wantWhole(t testing.TB, l *layout.Layout) {
	t.Helper()
	tags, err := l.Tags(t.Context())
	must(t, err)
	for _, tag := range tags {
		m, err := l.Manifest(t.Context(), l.Tag(tag))
		must(t, err)
		var doc v1.Manifest
		must(t, json.Unmarshal(m.Bytes, &doc))
		for _, d := range append(doc.Layers, doc.Config) {
			if _, err := readBlob(l, l.Digest(d.Digest), d.Size); err != nil {
				t.Errorf("%s: %v", tag, err)
			}
		}
	}
}
