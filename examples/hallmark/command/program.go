// Package command implements the commands of the hallmark program.
//
// Programs that link other plug-ins share it: each calls [New] with its own [Plugins]. The
// package is an example of the library, and stays thin: a command parses flags, calls the
// library, and prints.
package command

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Program is hallmark with a set of plug-ins.
type Program struct{ plugins Plugins }

// New returns a Program with the given plug-ins.
func New(p Plugins) *Program { return &Program{p} }

// Main runs the command line of this process and returns the exit code. The first
// interrupt ends the work in order; the second kills the process.
func (p *Program) Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal, the next one has its default effect.
	context.AfterFunc(ctx, stop)
	return p.run(ctx, os.Args[1:], thisProcess())
}

// Run runs a command line with the given streams and returns the exit code. None of the
// streams is treated as a terminal.
func (p *Program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return p.run(ctx, args, host{stdin: stdin, stdout: stdout, stderr: stderr, lookupEnv: os.LookupEnv})
}
