package command

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policytest"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, explain, test and compare policies",
		Long: `Check policy files, explain what they require of an image, test them by recorded
images, and compare two of them. A policy is strict YAML or JSON. Unknown and repeated
fields, names without a definition, and rules that cannot be intended are refused with
line and column.`,
		Example: "  hallmark policy check production.yaml",
		Args:    arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usageError("a subcommand is missing: check, explain, test, diff, record or schema")
		},
	}
	cmd.AddCommand(a.policyCheckCommand(), a.policyExplainCommand(), a.policySchemaCommand(), a.policyTestCommand(), a.policyDiffCommand(), a.policyRecordCommand())
	return cmd
}

// checkedPolicy is the JSON of policy check for one file.
type checkedPolicy struct {
	File     string           `json:"file"`
	Policy   string           `json:"policy"`
	Findings []policy.Finding `json:"findings,omitempty"`
}

func (a *app) policyCheckCommand() *cobra.Command {
	var f rootFlags
	var strict bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Check policy files, and the files that they name",
		Long: `Check policy files and their key files, exactly as verify loads them. A policy with
identities of certificates needs the trust roots that --trusted-root names.

Good policies may have findings: what has ended or ends within 30 days, exemptions in
their last week, requirements that nothing can meet at present, one key that meets two roles, patterns that decide
about nothing, and names that nothing uses. With --strict, a finding is an error.

JSON is one list with an object for each FILE: file, policy (its digest), findings
(kind, path, line, column, detail, ends).`,
		Example: "  hallmark policy check --strict examples/policy/*.yaml",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			all := []checkedPolicy{}
			for _, path := range args {
				v, err := a.plugins.verifierBy(path, f)
				if err != nil {
					return err
				}
				findings, err := a.plugins.lint(path, f)
				if err != nil {
					return err
				}
				all = append(all, checkedPolicy{path, v.PolicyDigest(), findings})
			}
			if err := a.printChecked(all); err != nil || !strict {
				return err
			}
			return noFindings(all)
		},
	}
	f.flags(cmd)
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 2 where a policy has findings")
	return cmd
}

func (a *app) printChecked(all []checkedPolicy) error {
	if a.json() {
		return a.out.document(all)
	}
	for _, c := range all {
		a.out.line("", words{good.of("good"), c.File, c.Policy})
		for _, f := range c.Findings {
			file := c.File
			if f.File != "" {
				file = filepath.Join(filepath.Dir(file), f.File)
			}
			a.out.line("  ", words{bad.of("%s", f.Kind), fmt.Sprintf("%s:%d:%d", file, f.Line, f.Column), f.Path + " " + f.Detail})
		}
	}
	return nil
}

// noFindings is an error where a policy has findings.
func noFindings(all []checkedPolicy) error {
	n := 0
	for _, c := range all {
		n += len(c.Findings)
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d findings, and --strict allows none", n)
}

// lint looks for findings in a policy that has been loaded.
func (p Plugins) lint(path string, f rootFlags) ([]policy.Finding, error) {
	root, err := f.authority(instanceDefault)
	if err != nil {
		return nil, err
	}
	linked := p.linked(root)
	if linked[sigstoreName] == nil {
		linked[sigstoreName] = sigstore.PolicyRoots()
	}
	return policy.Lint(path, policy.ParseOptions{Authorities: linked}, time.Now())
}

func (a *app) policyExplainCommand() *cobra.Command {
	var f rootFlags
	cmd := &cobra.Command{
		Use:   "explain FILE IMAGE",
		Short: "Explain what a policy requires of an image",
		Long: `Print which rule of a policy applies to an image, and what it requires. Below stands
what the policy requires of files. The image is not read.

JSON is one object: repository, rule, team, mode, reason, evidenceRepository,
requirements (requirement, text, conditions, exemptions (images, digests, requirement,
reason, by, until), of (the same fields again)), files (the fields of requirements),
nextEnd (path, at) of any part of the policy, daysToNextEnd.`,
		Example: "  hallmark policy explain production.yaml registry.example/team/app",
		Args:    arguments(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := a.plugins.verifierBy(args[0], f)
			if err != nil {
				return err
			}
			ref, err := name.ParseReference(args[1])
			if err != nil {
				return usageError("%w", err)
			}
			e := v.Explain(ref.Context())
			if a.json() {
				return a.out.document(e)
			}
			a.out.tree(explanationTree(e))
			return nil
		},
	}
	f.flags(cmd)
	return cmd
}

func explanationTree(e *verify.Explanation) node {
	root := node{words: words{e.Repository}}
	switch {
	case e.Rule == "":
		root.add(bad.of("denied"), "no rule matches it")
	case e.Reason != "":
		root.add(bad.of("denied"), "by the rule "+e.Rule, e.Reason)
	default:
		root.add("rule", e.Rule, string(e.Mode))
	}
	if e.Team != "" {
		root.add("team", e.Team)
	}
	if e.EvidenceRepository != "" {
		root.add("evidence in", e.EvidenceRepository)
	}
	for _, r := range e.Requirements {
		root.children = append(root.children, explainedNode(r))
	}
	if len(e.Files) > 0 {
		files := node{words: words{"files", faint.of("which verify-blob judges")}}
		for _, r := range e.Files {
			files.children = append(files.children, explainedNode(r))
		}
		root.children = append(root.children, files)
	}
	if e.NextEnd != nil {
		root.add("ends next", e.NextEnd.Path, timeText(e.NextEnd.At), fmt.Sprintf("in %d days", e.Days))
	}
	return root
}

func explainedNode(r verify.Explained) node {
	n := node{words: words{r.Text, faint.of("%s", r.Requirement)}}
	for _, c := range r.Conditions {
		n.add(c)
	}
	for _, e := range r.Exemptions {
		what := words{doubt.of("exempt"), "until " + timeText(e.Until) + remaining(e.Until), "by " + e.By, e.Reason}
		n.children = append(n.children, node{words: what, children: []node{{words: words{strings.Join(e.Digests, ", ")}}}})
	}
	for _, o := range r.Of {
		n.children = append(n.children, explainedNode(o))
	}
	return n
}

func (a *app) policySchemaCommand() *cobra.Command {
	var of string
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policy files, for editors",
		Long: `Print the JSON Schema (2020-12) of policy files. With --of result, print the schema of
the audit log of a gate and of what verify, verify-blob and inspect print with -o json.
With --of test, print that of the case files of policy test.

JSON is the schema; --output changes nothing.`,
		Example: "  hallmark policy schema > policy.schema.json",
		Args:    arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := oneOf("of", of, "policy", "result", "test"); err != nil {
				return err
			}
			schema := func() ([]byte, error) { return policy.SchemaWith(a.plugins.linked(sigstore.PolicyRoots())) }
			switch of {
			case "result":
				schema = verify.ResultSchema
			case "test":
				schema = policytest.Schema
			}
			text, err := schema()
			if err != nil {
				return err
			}
			return a.out.raw(textOf(text), false)
		},
	}
	cmd.Flags().StringVar(&of, "of", "policy", "print the schema of policy, result or test")
	suggest(cmd, "of", "policy", "result", "test")
	return cmd
}
