package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// The exit codes. A command that does not verify returns exitOK or exitUndecided.
const (
	exitOK        = 0
	exitDenied    = 1
	exitUndecided = 2
)

// Errors of commands that have already printed the cause.
var (
	errDenied    = errors.New("denied")
	errUndecided = errors.New("not everything could be judged")
)

// errUsage is wrapped by every error about flags and arguments.
var errUsage = errors.New("wrong use")

// app is one run of the program.
type app struct {
	host
	args    []string
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

	placing sync.Mutex                // of layouts and opened
	client  *remote.Client            // shared by all references
	layouts map[string]*layout.Layout // those that are read, by the directory as it was written
	opened  []*layout.Layout

	stdinOf  string            // the flag or argument that reads stdin
	keyTexts map[string][]byte // of keys that are not in files, by their names

	// helpRefused says that --help stood among the arguments of a command whose exit
	// code 0 means that all arguments were verified.
	helpRefused bool
}

// run executes one command line and returns the exit code.
func (p *Program) run(ctx context.Context, args []string, h host) int {
	a := &app{host: h, args: args, plugins: p.plugins, console: &console{w: h.stderr}}
	a.out = newPrinter(a.console.before(h.stdout))
	defer a.close()
	root := a.command()
	root.SetArgs(args)
	root.SetIn(h.stdin)
	root.SetOut(a.out.w)
	root.SetErr(a.console)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && a.helpRefused {
		err = usageError("--help or -h stands among other arguments, and nothing was verified: put -- before arguments from another source")
	}
	if flushed := a.out.flush(); flushed != nil && err == nil {
		err = fmt.Errorf("the result could not be written: %w", flushed)
	}
	return a.finish(cmd, err)
}

// finish prints an error that no command has printed, and returns the exit code.
func (a *app) finish(cmd *cobra.Command, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		if next := a.foreignVariable(err); next != "" {
			a.console.hint(next)
		}
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
	for line := range strings.Lines(inFlags(err.Error())) {
		if line = strings.TrimSpace(line); line != "" {
			a.console.say("hallmark: %s", line)
		}
	}
	if own := (advised{}); errors.As(err, &own) {
		a.console.hint(own.hint)
	} else if next := a.foreignVariable(err); next != "" {
		a.console.hint(next)
	} else if errors.Is(err, errUsage) {
		a.console.hint(cmd.CommandPath() + " --help")
	} else if next := adviceOn(err); next != "" {
		a.console.hint(ofCommand(next, cmd.Name()))
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
		Long: `Sign container images and files, and attest how they were built and what is in them.
Verify that the image about to run is exactly the one that was built and approved.

An IMAGE is one of:
  registry/repository:tag, registry/repository@sha256:...
  oci:DIRECTORY:tag, oci:DIRECTORY@sha256:...   an image in an OCI layout on disk
  oci:DIRECTORY                                 the one image in the layout
  oci-archive:FILE:tag, and so on               the same in a tar file of a layout

A tag is resolved once. The digest that is printed is what was signed or verified, and
what to deploy. Registries get the credentials of docker and podman.

Results go to stdout, messages to stderr. Exit codes:
  0  done; verify: every image is verified
  1  verify, verify-blob: judged, and denied
  2  could not be judged or done, or wrong use; with several images, 2 wins over 1`,
		Example: `  hallmark keygen
  hallmark sign --key hallmark.key registry.example/team/app:v1
  hallmark verify --key hallmark.pub registry.example/team/app:v1`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Without a command nothing was verified, so the exit code is not 0.
		Args:              arguments(cobra.NoArgs),
		RunE:              func(*cobra.Command, []string) error { return usageError("a command is missing") },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.begin(cmd) },
	}
	root.SetFlagErrorFunc(a.unknownFlag)
	flags := root.PersistentFlags()
	flags.StringVarP(&a.output, "output", "o", "text", "print results as text or json; inspect: also html")
	flags.StringArrayVar(&a.insecureHTTP, "insecure-http", nil, "use plain HTTP for exactly this `HOST[:PORT]` (repeatable); loopback needs no permission")
	flags.StringArrayVar(&a.tlsHosts, "tls-host", nil, "use HTTPS for this `HOST[:PORT]` on loopback (repeatable)")
	flags.StringVar(&a.layoutName, "layout-name", "", "the `REPOSITORY` that signatures name for images in oci: layouts (default layout.invalid/oci)")
	flags.DurationVar(&a.timeout, "timeout", 0, "stop after this long; 0: ten minutes, and no limit for copy and for the command of provenance")
	flags.BoolVar(&a.verbose, "verbose", false, "log requests and decisions on stderr")
	flags.BoolVar(&a.noColour, "no-color", false, "print without colours and progress, as with NO_COLOR or TERM=dumb")
	suggest(root, "output", "text", "json")
	root.AddCommand(
		a.keygenCommand(), a.signCommand(), a.verifyCommand(), a.inspectCommand(), a.copyCommand(),
		a.attestCommand(), a.provenanceCommand(), a.scanReportCommand(), a.downloadCommand(), a.policyCommand(),
		a.signBlobCommand(), a.verifyBlobCommand(), a.trustedRootCommand(), a.versionCommand(),
		a.publicKeyCommand(), a.importKeyCommand(), a.detachCommand(),
	)
	answerUnknownCommands(root)
	takeOneValue(root)
	return root
}

// begin applies the global flags before a command runs.
func (a *app) begin(cmd *cobra.Command) error {
	if a.output != "text" && a.output != "json" && (a.output != outputHTML || cmd.Annotations[outputHTML] == "") {
		return usageError("--output %q: use text or json; inspect also writes html", a.output)
	}
	if a.timeout < 0 {
		return usageError("--timeout %s: use a duration above 0, such as 5m", a.timeout)
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

// within limits the context of a command to --timeout, or to fallback. A fallback of 0
// sets no limit.
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

// arguments turns cobra's error about arguments into wrong use.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil && cmd.HasParent() && !cmd.HasSubCommands() {
			return usageError("%w; write %s %s", err, cmd.Parent().CommandPath(), cmd.Use)
		} else if err != nil {
			return usageError("%w", err)
		}
		return nil
	}
}

// helpAlone prints help only if --help stands alone. In "xargs hallmark verify", a -h in
// the list would otherwise exit with 0 and verify nothing.
func (a *app) helpAlone(cmd *cobra.Command) {
	help := cmd.HelpFunc()
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if len(args) > len(strings.Fields(cmd.CommandPath())) { // more than the command and --help
			a.helpRefused = true
			return
		}
		help(cmd, args)
	})
}

// suggest completes the values of a flag in shells.
func suggest(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag is defined one line above
	}
}

// parseAnnotations reads KEY=VALUE pairs.
func parseAnnotations(pairs []string) (map[string]string, error) {
	annotations := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, found := splitPair(pair)
		if !found {
			return nil, usageError("annotation %q: want KEY=VALUE", pair)
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
	named := slices.DeleteFunc(allowed, func(v string) bool { return v == "" }) // the default
	return usageError("--%s %q: use one of %s", flag, value, strings.Join(named, ", "))
}
