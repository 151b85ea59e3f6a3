// Command bench measures Hallmark beside its peers, on the same images and registries.
//
//	HALLMARK_TOOLS=$(.ci/tools) go run -C internal/dev/bench .
//
// Without HALLMARK_TOOLS it leaves out the programs of cosign and distribution. Peers that
// are libraries (cosign v2, sigstore-go, notation-go) are linked by workers, each a process
// of its own (package work).
//
// All processes share one machine, so only ratios within a run count. Each figure is the
// median of several rounds, with the lowest and the highest. The exit code is 1 if a target
// is missed by more than a tenth. README.md explains the table.
//
// "Round trips in sequence" is the longest chain of requests in which each began when the
// one before had been answered, with a latency of 20 ms.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"time"
)

type options struct {
	tools  string
	repeat int
	only   *regexp.Regexp
	cold   bool
}

func main() {
	var o options
	flag.StringVar(&o.tools, "tools", os.Getenv("HALLMARK_TOOLS"), "directory of cosign2, cosign3 and distribution")
	flag.IntVar(&o.repeat, "rounds", 5, "how often each is measured; the median counts")
	only := flag.String("only", "", "measure only sections that match this regular expression")
	flag.BoolVar(&o.cold, "cold", false, "measure how long a first build takes, too (minutes)")
	jsonPath := flag.String("json", "", "write the table as JSON to this file")
	svgPath := flag.String("svg", "", "write the plot of cost against evidence to this file")
	markdownPath := flag.String("markdown", "", "write the table in Markdown to this file")
	report := flag.Bool("report", false, "exit with 0 whatever was measured")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	t, err := run(ctx, o, *only)
	stop()
	if err == nil {
		err = errors.Join(write(*jsonPath, t.json), write(*svgPath, t.svg), write(*markdownPath, t.markdown))
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	case t.missed > 0 && !*report:
		fmt.Fprintf(os.Stderr, "bench: %d targets were missed\n", t.missed)
		os.Exit(1)
	}
}

// sections are the measurements, in their order.
var sections = []struct {
	name string
	do   func(*stage, context.Context) error
}{
	{"round trips", (*stage).roundTrips},
	{"much evidence", (*stage).muchEvidence},
	{"many images", (*stage).manyImages},
	{"in memory", (*stage).inMemory},
	{"by certificate", (*stage).byCertificate},
	{"policies", (*stage).policies},
	{"signing", (*stage).signing},
	{"attesting", (*stage).attesting},
	{"command line", (*stage).commandLine},
	{"program", (*stage).smallest},
}

func run(ctx context.Context, o options, only string) (*table, error) {
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return nil, err
	}
	t := &table{
		Date: time.Now().UTC().Format(time.DateOnly), out: os.Stdout,
		Machine: fmt.Sprintf("%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		Command: "go run -C internal/dev/bench .",
	}
	s, err := newStage(ctx, o, t)
	if err != nil {
		return nil, err
	}
	defer s.end()
	fmt.Printf("%s, %s\n", t.Date, t.Machine)
	for _, section := range sections {
		if !o.only.MatchString(section.name) {
			continue
		}
		s.progress("%s", section.name)
		if err := section.do(s, ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", section.name, err)
		}
	}
	return t, nil
}

func write(path string, to func(w *os.File) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(to(f), f.Close())
}
