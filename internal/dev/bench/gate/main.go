// Command gate measures the gate beside distribution's pull-through cache.
//
//	HALLMARK_TOOLS=$(.ci/tools) go run -C internal/dev/bench ./gate
//
// Both stand in front of the same registry, with the same images. All processes share one
// machine, so only ratios count. It prints each measurement with its ratio to
// distribution's and its target. The exit code is 1 if a target is missed by more than a
// tenth.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

type options struct {
	duration  time.Duration // of each measurement of requests
	layer     int64
	rounds    int
	tools     string
	keepGoing bool
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "how long requests are counted")
	flag.Int64Var(&o.layer, "layer", 100<<20, "bytes of a layer")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of downloads; the median counts")
	flag.StringVar(&o.tools, "tools", os.Getenv("HALLMARK_TOOLS"), "directory of distribution")
	flag.BoolVar(&o.keepGoing, "report", false, "exit with 0 whatever was measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	missed, err := run(ctx, o)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "gate:", err)
		os.Exit(1)
	case missed > 0 && !o.keepGoing:
		fmt.Fprintf(os.Stderr, "gate: %d targets were missed\n", missed)
		os.Exit(1)
	}
}

// bench is the stage: a registry, and both proxies before it.
type bench struct {
	o      options
	dir    string
	origin *process // distribution as the registry
	peer   *process // distribution as a pull-through cache
	gate   *process
	images *images
	missed int
}

func run(ctx context.Context, o options) (missed int, err error) {
	dir, err := os.MkdirTemp("", "hallmark-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{o: o, dir: dir}
	defer b.end()
	if err := b.build(ctx); err != nil {
		return 0, err
	}
	fmt.Printf("%-52s %14s %14s %8s  %s\n", "measured", "distribution", "the gate", "ratio", "target")
	for _, measure := range []func(context.Context) error{b.manifests, b.layers, b.parallel, b.latency, b.floods, b.known} {
		if err := measure(ctx); err != nil {
			return 0, err
		}
	}
	return b.missed, nil
}

// build makes the programs, starts the registry and fills it.
func (b *bench) build(ctx context.Context) error {
	binary := filepath.Join(b.dir, "proxy")
	top, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/hallmark-oci/hallmark").Output()
	if err != nil {
		return fmt.Errorf("run it as go run -C internal/dev/bench ./gate does: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-C", strings.TrimSpace(string(top)), "-o", binary, "./examples/proxy")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	if b.origin, err = b.distribution("origin", ""); err != nil {
		return err
	}
	if b.images, err = newImages(ctx, b.origin.address, b.dir); err != nil {
		return err
	}
	if b.peer, err = b.distribution("peer", b.origin.address); err != nil {
		return err
	}
	b.gate, err = b.startGate(binary, b.origin.address)
	return err
}

func (b *bench) end() {
	for _, p := range []*process{b.gate, b.peer, b.origin} {
		if p != nil {
			p.kill()
		}
	}
}

// row prints a measurement. A target is a factor of the peer's.
func (b *bench) row(what string, peer, gate, target float64, unit string) {
	ratio := gate / peer
	verdict := ""
	switch {
	case target == 0:
	case ratio >= target:
		verdict = fmt.Sprintf("at least %.1f: met", target)
	case ratio >= 0.9*target:
		verdict = fmt.Sprintf("at least %.1f: nearly", target)
	default:
		verdict = fmt.Sprintf("at least %.1f: MISSED", target)
		b.missed++
	}
	fmt.Printf("%-52s %14s %14s %8.2f  %s\n", what, fmt.Sprintf("%.0f %s", peer, unit), fmt.Sprintf("%.0f %s", gate, unit), ratio, verdict)
}

// limit prints a measurement of the gate's that has an upper bound.
func (b *bench) limit(what string, gate, most float64, unit string) {
	verdict := fmt.Sprintf("at most %.0f: met", most)
	if gate > most {
		verdict = fmt.Sprintf("at most %.0f: MISSED", most)
		b.missed++
	}
	fmt.Printf("%-52s %14s %14s %8s  %s\n", what, "", fmt.Sprintf("%.1f %s", gate, unit), "", verdict)
}

// manifests counts warm manifest requests.
func (b *bench) manifests(ctx context.Context) error {
	image, err := b.images.push(ctx, "manifests", 1<<10, 1)
	if err != nil {
		return err
	}
	for _, by := range []struct {
		name, ref string
		target    float64
	}{{"by digest", image.digest, 4}, {"by tag", image.tag, 20}} {
		path := "/v2/team/app/manifests/" + by.ref
		for _, connections := range []int{16, 64} {
			var rates [2]float64
			for i, p := range []*process{b.peer, b.gate} {
				rate, err := hammer(ctx, p.address, path, connections, b.o.duration)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				rates[i] = rate
			}
			b.row(fmt.Sprintf("warm manifests %s, %d connections", by.name, connections), rates[0], rates[1], by.target, "/s")
		}
	}
	return nil
}

// layersEach are enough that what a proxy does behind a client's back, such as
// storing, takes part in the time.
const layersEach = 6

// layers measures the throughput of an image's layers, cold and then warm.
func (b *bench) layers(ctx context.Context) error {
	var cold, warm [2][]float64
	for round := range b.o.rounds {
		for i, p := range []*process{b.peer, b.gate} {
			image, err := b.images.push(ctx, fmt.Sprintf("layers-%d-%d", round, i), b.o.layer, layersEach)
			if err != nil {
				return err
			}
			touchMemory(3 * image.size)
			for _, into := range []*[]float64{&cold[i], &warm[i]} {
				rate, err := pullLayers(ctx, p.address, image)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				*into = append(*into, rate)
				time.Sleep(500 * time.Millisecond) // what is written behind is not measured
			}
		}
	}
	b.row("three layers at a time, cold", median(cold[0]), median(cold[1]), 1.4, "MB/s")
	b.row("three layers at a time, warm", median(warm[0]), median(warm[1]), 1, "MB/s")
	return nil
}

// touchMemory uses memory and gives it back: the first use of memory by a virtual
// machine costs many times as much as a later one, and would be counted against
// the contender that meets it.
func touchMemory(n int64) {
	const page = 4096
	for held := make([]byte, min(n, availableMemory()/2)); len(held) >= page; held = held[page:] {
		held[0] = 1
	}
	debug.FreeOSMemory()
}

// parallel measures memory while 200 clients pull a cold layer.
func (b *bench) parallel(ctx context.Context) error {
	image, err := b.images.push(ctx, "parallel", 20<<20, 1)
	if err != nil {
		return err
	}
	if err := pullMany(ctx, b.gate.address, image, 200); err != nil {
		return err
	}
	peak, err := b.gate.peakMemory()
	if err != nil {
		return err
	}
	b.limit("peak memory, with 200 parallel pulls of a layer", peak, 100, "MB")
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
