// Command proxy is a gate before registries that lets only verified images
// through: a complete server around package verify/gate.
//
//	go run ./examples/proxy -demo
//	proxy -config gate.yaml
//	proxy -policy policy.yaml -upstream registry.example
//
// It exits with 0 after it was asked to stop and all pulls have ended, with 1
// where it could not go on, and with 2 where its settings are wrong. Asked to stop
// twice, it ends at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// memoryLimit is what the program aims to stay below, unless the environment sets a
// GOMEMLIMIT. A gate with default limits holds less, and what clients cost comes to it.
const memoryLimit = 192 << 20

// limitMemory has the collector work harder before the process grows beyond the limit.
func limitMemory() {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // none was set
		debug.SetMemoryLimit(memoryLimit)
	}
}

func main() {
	limitMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errUsage says that the settings are wrong.
var errUsage = errors.New("wrong usage")

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := settingsOf(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err == nil && c.Demo:
		err = demo(ctx, c, stdout, stderr)
	case err == nil:
		err = serve(ctx, c, logger(stderr, c.level))
	}
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "proxy:", err) // there is nowhere else to say it
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

func logger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// settingsOf reads the flags, and the file that they name. A flag wins over the
// file.
func settingsOf(args []string, stderr io.Writer) (settings, error) {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	flags.SetOutput(stderr)
	config := flags.String("config", "", "read settings from this YAML `file`; see README.md")
	var upstreams list
	var given settings
	flags.Var(&upstreams, "upstream", "a `registry` behind the gate, as registry.example or registry.example=mirror.internal:5000; may be given several times")
	flags.StringVar(&given.Listen, "listen", "", "`address` to listen at (default 127.0.0.1:5000)")
	flags.StringVar(&given.Admin, "admin", "", "`address` for /healthz and /readyz (default: none)")
	flags.StringVar(&given.Policy, "policy", "", "policy `file`; it is read again when it changes")
	flags.StringVar(&given.TLS.Cert, "tls-cert", "", "certificate `file`; it is read again when it changes")
	flags.StringVar(&given.TLS.Key, "tls-key", "", "private key `file` of the certificate")
	flags.StringVar(&given.Store.Dir, "store", "", "keep verified content in this `directory`")
	flags.StringVar(&given.Audit, "audit", "", "append a line of JSON to this `file` for each decision")
	flags.StringVar(&given.Log, "log", "", "log `level`: debug, info, warn or error (default info)")
	flags.BoolVar(&given.DenyOnRefusedPolicy, "deny-on-refused-policy", false, "deny everything while the newest policy is refused")
	flags.BoolVar(&given.InsecureAuditOnly, "insecure-audit-only", false, "report what is denied, and let it pass")
	flags.BoolVar(&given.Demo, "demo", false, "show the gate before a registry of its own, with a signed and an unsigned image")
	flags.BoolVar(&given.Once, "once", false, "with -demo: end after showing it")
	if err := flags.Parse(args); err != nil {
		return settings{}, errors.Join(errUsage, err)
	}
	if flags.NArg() > 0 {
		return settings{}, fmt.Errorf("%w: unknown argument %q; see -help", errUsage, flags.Arg(0))
	}
	c := settings{}
	if *config != "" {
		var err error
		if c, err = readSettings(*config); err != nil {
			return settings{}, errors.Join(errUsage, err)
		}
	}
	if err := c.overrule(given, upstreams); err != nil {
		return settings{}, errors.Join(errUsage, err)
	}
	return c, nil
}
