package command

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
)

// console is stderr: the stream of messages, never of results. On a terminal, its last
// line shows progress. A message erases that line.
type console struct {
	w io.Writer
	// live says that a terminal understands escapes. Without it, progress is not shown.
	live bool

	mu    sync.Mutex
	shown bool
	last  time.Time
}

const (
	// progressEvery keeps a fast copy from flooding a slow terminal.
	progressEvery = 100 * time.Millisecond
	eraseLine     = "\r\x1b[K"
)

// Write writes a message above the line of progress.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	return c.w.Write(p)
}

// say writes a message of one line.
func (c *console) say(format string, args ...any) {
	_, _ = fmt.Fprintln(c, registry.SafeText(fmt.Sprintf(format, args...), maxLine)) // an error on stderr has no other place to be reported
}

// hint tells what to do next.
func (c *console) hint(text string) { c.say("%s", hintLabel+text) }

// progress shows how far the work is. It may be called often.
func (c *console) progress(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.live || time.Since(c.last) < progressEvery {
		return
	}
	c.last = time.Now()
	c.shown = true
	_, _ = fmt.Fprint(c.w, eraseLine+registry.SafeText(fmt.Sprintf(format, args...), maxProgress))
}

// before wraps a writer to the same terminal: a write erases the line of progress first.
func (c *console) before(w io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.erase()
		return w.Write(p)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (c *console) erase() {
	if c.shown {
		c.shown = false
		_, _ = fmt.Fprint(c.w, eraseLine)
	}
}

// logger logs warnings, and everything if verbose is set.
func (c *console) logger(verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(c, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey && !verbose {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// prompt asks a question and waits for the answer. The terminal echoes neither the answer
// nor the end of its line.
func (c *console) prompt(text string, answer func() ([]byte, error)) ([]byte, error) {
	_, _ = fmt.Fprint(c, registry.SafeText(text, maxLine)) // without it the terminal still waits
	defer func() { _, _ = fmt.Fprintln(c) }()
	return answer()
}
