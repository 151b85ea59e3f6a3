package hashtree_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/hashtree"
)

// The tree of the benchmark: many small files, a few large ones.
const (
	benchFiles = 20_000
	benchBytes = 2 << 30
)

// benchTree writes the tree once for all runs of the benchmark.
func benchTree(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	noise := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	large := benchBytes / 2 / 20
	small := (benchBytes - 20*large) / (benchFiles - 20)
	for i := range benchFiles {
		size := small
		if i%(benchFiles/20) == 0 {
			size = large
		}
		sub := filepath.Join(dir, fmt.Sprintf("d%03d", i%200))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		f, err := os.Create(filepath.Join(sub, fmt.Sprintf("f%05d", i)))
		if err != nil {
			b.Fatal(err)
		}
		for size > 0 {
			n, err := f.Write(noise[:min(size, len(noise))])
			if err != nil {
				b.Fatal(err)
			}
			size -= n
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkTreeAgainstSHA256Sum hashes a tree of 20,000 files and 2 GiB in turns
// with coreutils, and prints how many times as fast it is, and its peak memory.
func BenchmarkTreeAgainstSHA256Sum(b *testing.B) {
	for _, tool := range []string{"sha256sum", "xargs", "find"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("nothing to compare with: %v", err)
		}
	}
	dir := benchTree(b)
	theirs := func() time.Duration {
		start := time.Now()
		cmd := exec.Command("sh", "-c", `find . -type f -print0 | xargs -0 -P2 -n 500 sha256sum >/dev/null`)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		return time.Since(start)
	}
	peak := uint64(0)
	ours := func() time.Duration {
		done := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
					peak = max(peak, memory())
				}
			}
		}()
		start := time.Now()
		entries, err := hashtree.Hash(context.Background(), dir, hashtree.Options{Workers: 2})
		took := time.Since(start)
		close(done)
		<-watched
		if err != nil || len(entries) != benchFiles {
			b.Fatalf("%d entries, %v", len(entries), err)
		}
		return took
	}
	theirs() // warm the file cache
	var a, z time.Duration
	b.SetBytes(benchBytes)
	for b.Loop() {
		a += ours()
		z += theirs()
	}
	b.ReportMetric(z.Seconds()/a.Seconds(), "times-sha256sum")
	b.ReportMetric(float64(peak)/(1<<20), "peak-MB")
	b.ReportMetric(benchBytes/(1<<20)*float64(b.N)/a.Seconds(), "MB/s-ours")
}

// memory is what the Go runtime holds of the system, but for what it has given
// back.
func memory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
