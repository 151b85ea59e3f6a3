// Command hallmark signs container images and files, verifies them, and shows
// and copies the evidence about them. It is an example of the library and stays
// thin: a command parses flags, calls the library, and prints.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work in order; after it the default comes back,
	// so that a second one kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], thisProcess()))
}
