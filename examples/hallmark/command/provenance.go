package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/registry"
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
		Short: "Make SLSA provenance: what was built from which source, and how",
		Long:  provenanceHelp(),
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
	flags.StringArrayVar(&f.ignore, "ignore", nil, "leave out files that match this `PATTERN`, as in .gitignore (repeatable)")
	flags.StringArrayVar(&f.redact, "redact", nil, "the `NAME` of a variable whose value must not be recorded (repeatable)")
	flags.IntVar(&f.outputTail, "output-tail", 0, "record up to this many bytes, in whole lines, at the end of what COMMAND writes")
	flags.BoolVar(&f.allowFail, "allow-failure", false, "make provenance even if COMMAND fails")
	f.define(cmd)
	suggest(cmd, "system", provenance.Systems()...)
	return cmd
}

func provenanceHelp() string {
	return `Make SLSA provenance v1 from three sources:

  - the build system's environment; an allow-list of variables is read
  - the git work tree
  - COMMAND, which runs and is recorded: the files before it, its arguments,
    its exit status and its times

Without an IMAGE the provenance is shown. With -o json it is printed for
'hallmark attest --type slsaprovenance1'. With --key and IMAGE it is attached to
these images after COMMAND, which may have pushed them.

--builder is the URI by which policies name the build platform. The environment
cannot give it.

COMMAND:
  - Its output goes to stderr.
  - The work tree is recorded as it was before COMMAND. If COMMAND changes the
    commit or the remote of the work tree, no provenance is made.
  - After COMMAND, the processes left in its process group are killed.
  - With --timeout, COMMAND is killed after that time. Without, it has no limit.

Warnings go to stderr, and into the provenance. They say what is missing of the
source: the remote is a path or could hold a secret, there is no git, or git
cannot read the repository. Policies that ask for the source deny such images.

Files that hold private keys are left out: *.key, *.p12, *.pfx, SSH's, and those of
--key. --ignore '!NAME' takes one in again.

Secrets are left out of the arguments and of the output that --output-tail keeps,
if they have a known form or name. Name others with --redact. The output loses
the values of variables with the name of a secret too.

Keys: COMMAND runs as the same user, and can read every key file that you can
read. Sign with a key that it cannot reach. It does not inherit the password in
` + passwordVariable + `. On Linux it cannot read the password from this process,
unless it may trace any process. It may be able to read it from the parent.

Tekton sets no variables, and is not detected. Use --system tekton, and let the
step of the Task pass them on:

  params: [{name: source-url}, {name: source-ref}, {name: source-commit}]
  steps:
    - env:
        - {name: TEKTON_NAMESPACE, value: $(context.taskRun.namespace)}
        - {name: TEKTON_TASK_NAME, value: $(context.task.name)}
        - {name: TEKTON_TASKRUN_NAME, value: $(context.taskRun.name)}
        - {name: TEKTON_TASKRUN_UID, value: $(context.taskRun.uid)}
        - {name: TEKTON_SOURCE_URL, value: $(params.source-url)}
        - {name: TEKTON_SOURCE_REF, value: $(params.source-ref)}
        - {name: TEKTON_SOURCE_COMMIT, value: $(params.source-commit)}

Build systems: ` + strings.Join(provenance.Systems(), ", ") + `.

Exit codes: 0 done; the exit status of COMMAND if it failed; 2 otherwise.

JSON is the predicate: one object; with an IMAGE, what 'hallmark attest' prints.`
}

func (a *app) provenance(ctx context.Context, f provenanceFlags, images, command []string) error {
	switch {
	case f.builder == "":
		return usageError("--builder is missing: give the URI by which policies name the build platform")
	case len(images) > 0 && len(f.keys) == 0 && !f.keyless.on:
		return usageError("--key is missing: name the private key to attest %s with, or attest by a certificate with --keyless", strings.Join(images, ", "))
	case len(images) == 0 && (len(f.keys) > 0 || f.keyless.on):
		return usageError("no IMAGE to attest with --key or --keyless")
	}
	for _, key := range f.keys { // COMMAND may push: a key that is not there must show before
		if err := a.checkPrivateKey(ctx, key); err != nil {
			return fmt.Errorf("private key: %w", err)
		}
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

// makeProvenance runs the command, if there is one. The work tree is read before,
// because the command can rewrite it. The environment of this process is read after:
// the command cannot change it.
func (a *app) makeProvenance(ctx context.Context, f provenanceFlags, command []string) (*predicate.Provenance, error) {
	o := provenance.Options{
		BuilderID: f.builder, System: f.system, Dir: f.dir, NoWorkTree: f.noWorkTree || len(command) > 0, Lookup: a.lookupEnv,
		Warn: func(w provenance.Warning) {
			a.console.say("hallmark: warning: %s", registry.SafeText(w.String(), maxWarning))
		},
	}
	if len(command) > 0 {
		ctx, cancel := a.within(ctx, 0)
		defer cancel()
		tree, source, err := a.readTree(ctx, f)
		if err != nil {
			return nil, err
		}
		recorded, err := a.record(ctx, f, command)
		if err != nil {
			return nil, err
		}
		if tree != nil {
			if source, err = a.recheck(ctx, f, tree); err != nil {
				return nil, err
			}
		}
		o.More = []provenance.Facts{source, recorded.Facts()}
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	return provenance.FromEnvironment(ctx, o)
}

// maxWarning bounds a warning, in bytes.
const maxWarning = 2000

// recheck returns the facts of the work tree before the command, if the command did
// not change where the source comes from.
func (a *app) recheck(ctx context.Context, f provenanceFlags, tree *provenance.Tree) (provenance.Facts, error) {
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	if err := tree.Recheck(ctx, f.workTree()); err != nil {
		return provenance.Facts{}, err
	}
	return tree.Facts(), nil
}

func (f provenanceFlags) workTree() provenance.WorkTreeOptions {
	return provenance.WorkTreeOptions{Dir: f.dir}
}

// readTree reads the work tree. Without one, the tree is nil and the facts say why.
func (a *app) readTree(ctx context.Context, f provenanceFlags) (*provenance.Tree, provenance.Facts, error) {
	if f.noWorkTree {
		return nil, provenance.Facts{}, nil
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	tree, err := provenance.ReadTree(ctx, f.workTree())
	if err != nil {
		instead, err := provenance.WithoutTree(err)
		return nil, instead, err
	}
	return tree, provenance.Facts{}, nil
}

// record runs the command. The command's output goes to stderr, because stdout is for
// the provenance.
func (a *app) record(ctx context.Context, f provenanceFlags, command []string) (*provenance.Recording, error) {
	r, err := provenance.Record(ctx, provenance.RecordOptions{
		Command: command, Dir: f.dir, Stdin: a.stdin, Stdout: a.console, Stderr: a.console,
		Env: os.Environ(), Ignore: slices.Concat(privateKeyFiles, f.keyPatterns(), f.ignore), OutputTail: f.outputTail, AllowFailure: f.allowFail, Redact: a.secretValues(f.redact),
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

// privateKeyFiles are patterns of files that hold private keys: what is recorded becomes
// public. --ignore '!NAME' takes one in again.
var privateKeyFiles = []string{"*.key", "*.p12", "*.pfx", "id_rsa", "id_ecdsa", "id_ed25519"}

// keyPatterns are patterns of the files of --key in the work tree.
func (f provenanceFlags) keyPatterns() (patterns []string) {
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return nil
	}
	for _, key := range f.keys {
		path, err := filepath.Abs(key)
		if err != nil {
			continue
		}
		if within, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(within) {
			patterns = append(patterns, "/"+escapePattern.Replace(filepath.ToSlash(within)))
		}
	}
	return patterns
}

// escapePattern lets characters of .gitignore stand for themselves.
var escapePattern = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// exitStatus is the exit status of the recorded command, which becomes this program's.
// It has been printed.
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

// showPredicate prints a summary of a predicate.
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
