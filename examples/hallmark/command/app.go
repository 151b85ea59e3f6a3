package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry/remote"
)

// What the process returns. A command that does not verify returns exitOK or
// exitUndecided.
const (
	exitOK        = 0
	exitDenied    = 1
	exitUndecided = 2
)

// Errors of commands that have printed why already.
var (
	errDenied    = errors.New("denied")
	errUndecided = errors.New("not everything could be decided")
)

// errUsage is wrapped by every error about flags and arguments.
var errUsage = errors.New("wrong use")

// app is one run of the program.
type app struct {
	host
	plugins Plugins
	console *console
	out     *printer

	// Global flags.
	output       string
	insecureHTTP []string
	tlsHosts     []string
	layoutName   string
	timeout      time.Duration
	verbose      bool
	noColour     bool

	client *remote.Client // shared by all references

	// helpRefused: there was a wish for help among the arguments of a command whose
	// exit code 0 means that all of them were verified.
	helpRefused bool
}

// run executes one command line and returns the exit code.
func (p *Program) run(ctx context.Context, args []string, h host) int {
	a := &app{host: h, plugins: p.plugins, console: &console{w: h.stderr}}
	a.out = newPrinter(a.console.before(h.stdout))
	root := a.command()
	root.SetArgs(args)
	root.SetIn(h.stdin)
	root.SetOut(a.out.w)
	root.SetErr(a.console)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && a.helpRefused {
		err = usageError("--help or -h stands among other arguments: nothing was verified; put -- before arguments that come from elsewhere")
	}
	if flushed := a.out.flush(); flushed != nil && err == nil {
		err = fmt.Errorf("the result could not be written: %w", flushed)
	}
	return a.finish(cmd, err)
}

// finish prints an error that has not been printed yet.
func (a *app) finish(cmd *cobra.Command, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		return exitDenied
	case errors.Is(err, errUndecided):
		return exitUndecided
	}
	var status exitStatus
	if errors.As(err, &status) && status > 0 {
		return int(status)
	} else if errors.As(err, &status) {
		return exitUndecided
	}
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			a.console.say("hallmark: %s", line)
		}
	}
	if errors.Is(err, errUsage) {
		a.console.say("next: run '%s --help'", cmd.CommandPath())
	} else if next := adviceOn(err); next != "" {
		a.console.say("next: %s", next)
	}
	return exitUndecided
}

func usageError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "hallmark",
		Short: "Sign and attest container images and files, and verify them",
		Long: `Sign container images and files, attest how they were built and what is known
about them, and verify that what is about to run is exactly what was signed.

An IMAGE is registry/repository:tag, registry/repository@sha256:..., or in an OCI
image layout on disk: oci:DIRECTORY:tag, oci:DIRECTORY@sha256:..., or
oci:DIRECTORY for the one image in it. Credentials are those of docker and podman.

A tag is resolved once; the digest that is printed is what was signed or
verified, and what to deploy.

Results go to stdout, messages to stderr. Exit codes:
  0  done; of verify: every image is verified
  1  verify, verify-blob: decided, and denied
  2  could not be decided or done, or wrong use. With several images, 2 wins
     over 1: as long as anything is undecided, the answer is not complete`,
		Example: `  hallmark keygen
  hallmark sign --key hallmark.key registry.example/team/app:v1
  hallmark verify --key hallmark.pub registry.example/team/app:v1`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Without a command nothing has been verified: that must not exit 0.
		Args:              arguments(cobra.NoArgs),
		RunE:              func(*cobra.Command, []string) error { return usageError("no command given") },
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.begin() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError("%w", err) })
	flags := root.PersistentFlags()
	flags.StringVarP(&a.output, "output", "o", "text", "how results are printed: text or json")
	flags.StringArrayVar(&a.insecureHTTP, "insecure-http", nil, "speak plain HTTP to exactly this `HOST[:PORT]` (repeatable); loopback needs no permission")
	flags.StringArrayVar(&a.tlsHosts, "tls-host", nil, "speak HTTPS to this `HOST[:PORT]` although it is on loopback (repeatable)")
	flags.StringVar(&a.layoutName, "layout-name", "", "the `REPOSITORY` that oci: layouts stand for, in signatures and for --same-repository (default layout.invalid/oci)")
	flags.DurationVar(&a.timeout, "timeout", 0, "give up after this long; 0: ten minutes, and no such limit for copy and for the command that provenance runs")
	flags.BoolVar(&a.verbose, "verbose", false, "tell on stderr what is being done")
	flags.BoolVar(&a.noColour, "no-color", false, "print without colours and progress; so do NO_COLOR and TERM=dumb")
	suggest(root, "output", "text", "json")
	root.AddCommand(
		a.keygenCommand(), a.signCommand(), a.verifyCommand(), a.inspectCommand(), a.copyCommand(),
		a.attestCommand(), a.provenanceCommand(), a.scanReportCommand(), a.downloadCommand(), a.policyCommand(),
		a.signBlobCommand(), a.verifyBlobCommand(), a.versionCommand(),
	)
	return root
}

// begin settles what the global flags say, before any command.
func (a *app) begin() error {
	if a.output != "text" && a.output != "json" {
		return usageError("--output %q: use text or json", a.output)
	}
	if a.timeout < 0 {
		return usageError("--timeout %s: use a positive duration", a.timeout)
	}
	colours := a.mayUseColours()
	a.out.colour = colours && a.stdoutIsTerminal
	a.console.live = colours && a.stderrIsTerminal
	var err error
	a.client, err = remote.New(remote.Options{InsecurePlainHTTP: a.insecureHTTP, TLSHosts: a.tlsHosts, Logger: a.logger()})
	if err != nil {
		return usageError("--insecure-http, --tls-host: %w", err)
	}
	return nil
}

// mayUseColours follows no-color.org: NO_COLOR counts when it is not empty.
func (a *app) mayUseColours() bool {
	noColour, _ := a.lookupEnv("NO_COLOR")
	terminal, _ := a.lookupEnv("TERM")
	return !a.noColour && noColour == "" && terminal != "dumb"
}

func (a *app) logger() *slog.Logger { return a.console.logger(a.verbose) }

func (a *app) json() bool { return a.output == "json" }

const defaultTimeout = 10 * time.Minute

// within gives the context of a command the limit of --timeout, or fallback; 0
// is none.
func (a *app) within(ctx context.Context, fallback time.Duration) (context.Context, context.CancelFunc) {
	limit := a.timeout
	if limit == 0 {
		limit = fallback
	}
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// arguments makes an error of cobra's about arguments one of wrong use.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError("%w", err)
		}
		return nil
	}
}

// helpAlone gives help only where nothing else is asked for. With "xargs hallmark
// verify", a -h in the list would otherwise exit with 0, and nothing be verified.
func (a *app) helpAlone(cmd *cobra.Command) {
	help := cmd.HelpFunc()
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if len(args) > 2 { // more than the command and --help
			a.helpRefused = true
			return
		}
		help(cmd, args)
	})
}

// suggest offers the values of a flag to the shell.
func suggest(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag is defined one line above
	}
}

// parseAnnotations reads key=value pairs.
func parseAnnotations(pairs []string) (map[string]string, error) {
	annotations := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, found := splitPair(pair)
		if !found {
			return nil, usageError("annotation %q: want key=value", pair)
		}
		if before, twice := annotations[key]; twice && before != value {
			return nil, usageError("annotation %q is given twice, with different values", key)
		}
		annotations[key] = value
	}
	return annotations, nil
}

func splitPair(pair string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(pair, "=")
	return key, value, ok && key != ""
}

// oneOf checks the value of a flag.
func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return usageError("--%s %q: use one of %s", flag, value, strings.Join(allowed, ", "))
}
