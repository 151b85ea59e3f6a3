// Package command holds the commands of hallmark, for programs that differ in the
// plug-ins that they link. It is an example of the library and stays thin: a command
// parses flags, calls the library, and prints.
package command

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Program is hallmark with some plug-ins.
type Program struct{ plugins Plugins }

// New makes a Program.
func New(p Plugins) *Program { return &Program{p} }

// Main runs the command line of this process, and returns the exit code. The first
// signal ends the work in order; a second one kills.
func (p *Program) Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default comes back.
	context.AfterFunc(ctx, stop)
	return p.run(ctx, os.Args[1:], thisProcess())
}

// Run runs a command line with other streams, none of which is a terminal, and returns
// the exit code.
func (p *Program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return p.run(ctx, args, host{stdin: stdin, stdout: stdout, stderr: stderr, lookupEnv: os.LookupEnv})
}
