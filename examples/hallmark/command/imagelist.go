package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry/built"
)

// listHelp describes --images-from.
const listHelp = `--images-from reads more images: a list with one on each line (# begins a comment), what ko
prints, the metadata file of docker buildx, or dist/artifacts.json and dist/digests.txt of
GoReleaser; - is stdin. Results are then printed as they come, in any order, and JSON is
one object on each line. A failure does not end the others: an object with image, error
and hint stands for it, and the exit code is that of the worst. --progress shows how many
are done, at which rate, and how long the rest will take, also without a terminal. There
is no time limit without --timeout. After an interrupt, what was not done is listed.`

// imageList is --images-from, and how far its images are shown to be.
type imageList struct {
	file     string
	progress bool
}

func (l *imageList) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.file, "images-from", "", "take the images that this `FILE` names, too: a list, or the result of a build tool; - is stdin")
	cmd.Flags().BoolVar(&l.progress, "progress", false, "show progress with --images-from, even if stderr is not a terminal")
}

// given reports whether there is a list.
func (l *imageList) given() bool { return l.file != "" }

// arguments are at least so many images, on the command line or in a list.
func (l *imageList) arguments(least int) cobra.PositionalArgs {
	return l.argumentsWith(cobra.MinimumNArgs(least), cobra.ArbitraryArgs)
}

// argumentsWith checks the arguments of a command without a list, and with one.
func (l *imageList) argumentsWith(without, with cobra.PositionalArgs) cobra.PositionalArgs {
	return arguments(func(cmd *cobra.Command, args []string) error {
		if l.given() {
			return with(cmd, args)
		}
		return without(cmd, args)
	})
}

// images are the arguments, and those of the list.
func (l *imageList) images(a *app, args []string) ([]string, error) {
	if !l.given() {
		if l.progress {
			return nil, usageError("--progress goes with --images-from")
		}
		return args, nil
	}
	if l.file == stdinName {
		if err := a.takeStdin("--images-from"); err != nil {
			return nil, err
		}
	}
	data, err := a.readInput(l.file, built.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("--images-from: %w", err)
	}
	named, err := built.Names(data)
	if err != nil {
		return nil, fmt.Errorf("--images-from %s: %w", l.file, err)
	}
	return append(args[:len(args):len(args)], named...), nil
}

// limit is the time limit of a command with so many images.
func (l *imageList) limit() time.Duration {
	if l.given() {
		return 0
	}
	return defaultTimeout
}

// failedImage is the JSON of an image of a list that a command failed for.
type failedImage struct {
	Image string `json:"image"`
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// errNotDone is the error for an image that was not begun before an interrupt.
var errNotDone = errors.New("not done")

// imagesAtOnce is how many images of a list are worked on at the same time.
const imagesAtOnce = 4

// each calls do for every image of a list, and prints what it returns as it comes. What do
// returns is printed by show, or as a JSON object.
func each[T any](ctx context.Context, a *app, l imageList, verb string, images []string, do func(context.Context, string) (T, error), show func(T)) error {
	track := a.track(verb, len(images), l.progress)
	var mu sync.Mutex
	var worst error
	report := func(image string, result T, err error) {
		mu.Lock()
		defer mu.Unlock()
		track.step()
		if err != nil {
			worst = errors.Join(worst, err)
			a.printFailed(image, err)
		} else if a.json() {
			worst = errors.Join(worst, a.printLine(result))
		} else {
			show(result)
		}
		worst = errors.Join(worst, a.out.flush())
	}
	next := make(chan string)
	var working sync.WaitGroup
	for range min(imagesAtOnce, len(images)) {
		working.Go(func() {
			for image := range next {
				result, err := do(ctx, image)
				report(image, result, err)
			}
		})
	}
	left := images
	for len(left) > 0 && ctx.Err() == nil {
		select {
		case next <- left[0]:
			left = left[1:]
		case <-ctx.Done():
		}
	}
	close(next)
	working.Wait()
	for _, image := range left {
		var none T
		report(image, none, fmt.Errorf("%w: %w", errNotDone, context.Cause(ctx)))
	}
	track.end(len(left))
	if worst != nil {
		return errUndecided // told already, image by image
	}
	return nil
}

// printLine writes one JSON object on a line.
func (a *app) printLine(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.out.jsonLine(textOf(bytes.TrimSpace(text)))
}

func (a *app) printFailed(image string, err error) {
	f := failedImage{Image: image, Error: inFlags(err.Error()), Hint: fill(adviceOn(err), "IMAGE", image)}
	if a.json() {
		_ = a.printLine(f) // flush tells of a stdout that takes nothing
		return
	}
	n := node{words: words{bad.of("failed"), image, f.Error}}
	if f.Hint != "" {
		n.add(hintLabel + f.Hint)
	}
	a.out.tree(n)
}

// tracker shows how far the work on many images is.
type tracker struct {
	console     *console
	verb        string
	total, done int
	start, last time.Time
	lines       bool // says it in lines where there is no terminal
}

// saidEvery is how often progress is said where it cannot be shown in place.
const saidEvery = 5 * time.Second

func (a *app) track(verb string, total int, asked bool) *tracker {
	t := &tracker{console: a.console, verb: verb, total: total, start: time.Now(), lines: asked && !a.console.live}
	t.last = t.start
	a.console.progress("%s: 0 of %d images", verb, total)
	return t
}

func (t *tracker) step() {
	t.done++
	text := t.text(time.Since(t.start))
	if t.lines && (time.Since(t.last) >= saidEvery || t.done == t.total) {
		t.last = time.Now()
		t.console.say("hallmark: %s", text)
		return
	}
	t.console.progress("%s", text)
}

// text has the rate, and how long the rest takes at it.
func (t *tracker) text(since time.Duration) string {
	text := fmt.Sprintf("%s: %d of %d images", t.verb, t.done, t.total)
	if t.done == 0 || since <= 0 || t.done >= t.total {
		return text
	}
	rate := float64(t.done) / since.Seconds()
	left := time.Duration(float64(t.total-t.done) / rate * float64(time.Second))
	return text + fmt.Sprintf(", %.1f/s, %s left", rate, left.Round(time.Second))
}

// end says what an interrupt has left.
func (t *tracker) end(left int) {
	if left > 0 {
		t.console.say("hallmark: interrupted: %d of %d images were not done", left, t.total)
	}
}
