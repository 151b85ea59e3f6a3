package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/attest/scan"
)

type provenanceFlags struct {
	attestFlags
	builder    string
	system     string
	dir        string
	noWorkTree bool
	ignore     []string
	redact     []string
	outputTail int
	allowFail  bool
}

func (a *app) provenanceCommand() *cobra.Command {
	f := provenanceFlags{attestFlags: attestFlags{keyFlags: keyFlags{passwords: passwords{app: a}}}}
	cmd := &cobra.Command{
		Use:   "provenance --builder URI [--key FILE IMAGE...] [-- COMMAND ARG...]",
		Short: "Say how something was built: SLSA provenance",
		Long: `Make SLSA provenance v1 of what the build system's environment says (only an
allow-list of variables is read), of the git work tree, and of COMMAND, which is
run and recorded: the files before it as materials, its exit status and times. What
it writes goes to stderr. Secrets in its arguments are left out as far as they look
like such; name others with --redact. In the output that --output-tail keeps all of
these are left out, in whatever form they are shown, and so are the values of variables
whose names speak of secrets.

The work tree counts as it was before COMMAND, which could rewrite it; where COMMAND
changes its commit or its remote, no provenance is made. When COMMAND has ended, what
it has left running in its process group is killed. With --timeout, COMMAND is
killed after that time; without, it may take as long as it needs.

--builder is the URI by which policies know the build platform. Nothing in the
environment can give it. Sign provenance with a key that the build's own steps
cannot reach: COMMAND runs as the same user, and can read a key file that you can
read. The password in ` + passwordVariable + ` it does not inherit. On Linux it cannot
read it from this process either, unless it may trace any process, but perhaps from
the one that has started this one.

Without an IMAGE the provenance is shown, or with -o json printed for 'hallmark
attest --type slsaprovenance1'. With --key and IMAGE it is attested of these images,
after COMMAND, which may have pushed them.

Build systems: ` + strings.Join(provenance.Systems(), ", ") + `.

Exit codes: 0 done; the exit status of COMMAND where it failed; 2 otherwise.

JSON is the predicate: one object; with an IMAGE, what 'hallmark attest' prints.`,
		Example: `  hallmark provenance --builder https://ci.example/builder -o json > provenance.json
  hallmark provenance --builder https://ci.example/builder --key builder.key registry.example/team/app:v1 -- make push`,
		RunE: func(cmd *cobra.Command, args []string) error {
			images, command := args, []string(nil)
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				images, command = args[:at], args[at:]
				if len(command) == 0 {
					return usageError("a command is missing after --")
				}
			}
			return a.provenance(cmd.Context(), f, images, command)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.builder, "builder", "", "the `URI` of the build platform")
	flags.StringVar(&f.system, "system", "", "the build system whose environment is read (default: detected)")
	flags.StringVar(&f.dir, "dir", ".", "the `DIRECTORY` of the work tree, where COMMAND runs")
	flags.BoolVar(&f.noWorkTree, "no-work-tree", false, "do not ask git about the work tree")
	flags.StringArrayVar(&f.ignore, "ignore", nil, "leave files out by this `PATTERN`, as in .gitignore (repeatable)")
	flags.StringArrayVar(&f.redact, "redact", nil, "the `NAME` of a variable whose value must not be recorded (repeatable)")
	flags.IntVar(&f.outputTail, "output-tail", 0, "record up to this many bytes, in whole lines, at the end of what COMMAND writes")
	flags.BoolVar(&f.allowFail, "allow-failure", false, "make provenance also where COMMAND fails")
	f.define(cmd)
	suggest(cmd, "system", provenance.Systems()...)
	return cmd
}

func (a *app) provenance(ctx context.Context, f provenanceFlags, images, command []string) error {
	switch {
	case f.builder == "":
		return usageError("--builder is missing: give the URI by which policies know the build platform")
	case len(images) > 0 && len(f.keys) == 0:
		return usageError("--key is missing: name the private key to attest %s with", strings.Join(images, ", "))
	case len(images) == 0 && len(f.keys) > 0:
		return usageError("no IMAGE to attest with --key")
	}
	p, err := a.makeProvenance(ctx, f, command)
	if err != nil {
		return err
	}
	if len(images) > 0 {
		return a.attest(ctx, f.attestFlags, p, images)
	}
	if a.json() {
		return a.out.document(p)
	}
	return a.showPredicate("provenance", p)
}

// makeProvenance runs the command, if there is one, which takes as long as it takes
// where --timeout says nothing else. The work tree, which the command can rewrite, is
// read before; the environment of this process it cannot reach.
func (a *app) makeProvenance(ctx context.Context, f provenanceFlags, command []string) (*predicate.Provenance, error) {
	o := provenance.Options{
		BuilderID: f.builder, System: f.system, Dir: f.dir, NoWorkTree: f.noWorkTree || len(command) > 0, Lookup: a.lookupEnv,
	}
	if len(command) > 0 {
		ctx, cancel := a.within(ctx, 0)
		defer cancel()
		tree, err := a.readTree(ctx, f)
		if err != nil {
			return nil, err
		}
		recorded, err := a.record(ctx, f, command)
		if err != nil {
			return nil, err
		}
		if o.More, err = a.recordedFacts(ctx, f, tree, recorded); err != nil {
			return nil, err
		}
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	return provenance.FromEnvironment(ctx, o)
}

// recordedFacts are those of the work tree before the command, and of the command.
func (a *app) recordedFacts(ctx context.Context, f provenanceFlags, tree *provenance.Tree, recorded *provenance.Recording) ([]provenance.Facts, error) {
	if tree == nil {
		return []provenance.Facts{recorded.Facts()}, nil
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	if err := tree.Recheck(ctx, f.workTree()); err != nil {
		return nil, err
	}
	return []provenance.Facts{tree.Facts(), recorded.Facts()}, nil
}

func (f provenanceFlags) workTree() provenance.WorkTreeOptions {
	return provenance.WorkTreeOptions{Dir: f.dir}
}

// readTree reads the work tree; nil where there is none, or none is wanted.
func (a *app) readTree(ctx context.Context, f provenanceFlags) (*provenance.Tree, error) {
	if f.noWorkTree {
		return nil, nil
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	tree, err := provenance.ReadTree(ctx, f.workTree())
	if errors.Is(err, provenance.ErrNoWorkTree) {
		return nil, nil
	}
	return tree, err
}

// record runs the command. Its output is not the program's own.
func (a *app) record(ctx context.Context, f provenanceFlags, command []string) (*provenance.Recording, error) {
	r, err := provenance.Record(ctx, provenance.RecordOptions{
		Command: command, Dir: f.dir, Stdin: a.stdin, Stdout: a.console, Stderr: a.console,
		Env: os.Environ(), Ignore: f.ignore, OutputTail: f.outputTail, AllowFailure: f.allowFail, Redact: a.secretValues(f.redact),
		Progress: func(phase string, files int, bytes int64) {
			a.console.progress("hashing %s: %d files, %s", phase, files, size(bytes))
		},
	})
	var exit *provenance.ExitError
	if errors.As(err, &exit) {
		a.console.say("hallmark: %v: no provenance", err)
		return nil, exitStatus(exit.Code)
	}
	return r, err
}

// exitStatus is the exit status of a command that was run for somebody else. It
// has been printed.
type exitStatus int

// Error implements error.
func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func (a *app) secretValues(names []string) []string {
	var values []string
	for _, name := range names {
		if value, set := a.lookupEnv(name); set && value != "" {
			values = append(values, value)
		}
	}
	return values
}

// showPredicate shows a predicate to people.
func (a *app) showPredicate(title string, p attest.Predicate) error {
	st, err := attest.NewStatement(p, attest.Subject{Digest: map[string]string{"sha256": strings.Repeat("0", 64)}})
	if err != nil {
		return err
	}
	lines, err := predicate.Summarize(p.PredicateType(), st.Predicate, scan.Count)
	if err != nil {
		return err
	}
	n := node{words: words{title, p.PredicateType()}}
	for _, line := range lines {
		n.add(line.Name, line.Value)
	}
	a.out.tree(n)
	return nil
}
