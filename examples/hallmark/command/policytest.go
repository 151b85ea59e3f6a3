package command

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify/policytest"
)

const policyTestHelp = `Run the test cases of each PATH: a case file, or a directory with files named
*.test.yaml, *.test.yml or *.test.json. A case has an image in an OCI layout, or
evidence files, a time, and the decision that is expected:

  version: 1
  policy: ../production.yaml
  time: 2026-11-30T12:00:00Z
  files: {release.pub: keys/release.pub}
  cases:
    - name: a signed release
      image: registry.example/team/app:v1
      layout: app
      expect: {decision: allow}
    - name: another repository
      image: registry.example/other/app
      expect: {decision: deny, reason: no-rule}

A case passes if the decision is the expected one (allow, warn or deny), for the
expected reason and, if it names one, the expected requirement. files are stand-ins for
files that the policy names, such as keys. Below the cases, the rules and requirements
are listed that no case of any PATH tries.

Exit codes:
  0  every case passed
  1  every case reached a decision, and at least one is not as expected
  2  a case is broken: it reached no decision; or there is no case, or wrong use

JSON is one object:
  cases (file, name, policy, status (passed, failed, broken), want and found (decision,
  reason, requirement), detail, hint, durationNanoseconds),
  uncovered (policy, path, detail)

Print the schema of case files with 'hallmark policy schema --of test'.`

func (a *app) policyTestCommand() *cobra.Command {
	var f rootFlags
	var policyFile, junit string
	var covered bool
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Test policies by recorded images, offline",
		Long:  policyTestHelp,
		Example: `  hallmark policy test examples/policy
  hallmark policy test --junit results.xml --require-coverage policies/`,
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := a.testPolicies(cmd, f, policyFile, args)
			if err != nil {
				return err
			}
			if junit != "" {
				if err := writeJUnit(junit, report); err != nil {
					return err
				}
			}
			if err := a.printTested(report); err != nil {
				return err
			}
			return report.answer(covered)
		},
	}
	a.helpAlone(cmd)
	f.flags(cmd)
	cmd.Flags().StringVar(&policyFile, "policy", "", "judge all cases by the policy in this `FILE`")
	cmd.Flags().StringVar(&junit, "junit", "", "also write the results to this `FILE`, in JUnit's XML")
	cmd.Flags().BoolVar(&covered, "require-coverage", false, "exit with 1 if no case tries a rule or requirement")
	return cmd
}

// testedCase is a case in JSON.
type testedCase struct {
	policytest.Result
	Hint string `json:"hint,omitempty"`
}

// testedPolicies is the JSON of policy test.
type testedPolicies struct {
	Cases     []testedCase           `json:"cases"`
	Uncovered []policytest.Uncovered `json:"uncovered"`
}

func (a *app) testPolicies(cmd *cobra.Command, f rootFlags, policyFile string, paths []string) (*testedPolicies, error) {
	root, err := f.authority(instanceDefault)
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.within(cmd.Context(), defaultTimeout)
	defer cancel()
	linked, named := a.plugins.authorities(root)
	all := &testedPolicies{Cases: []testedCase{}, Uncovered: []policytest.Uncovered{}}
	r, err := policytest.Test(ctx, paths[0], policytest.Options{Policy: policyFile, Authorities: linked, Also: paths[1:]})
	if err != nil {
		return nil, err
	}
	for _, c := range r.Cases {
		all.Cases = append(all.Cases, testedCase{c, hintOn(c, *named)})
	}
	all.Uncovered = r.Uncovered
	return all, nil
}

// hintOn is what to do about a case that is broken.
func hintOn(c policytest.Result, named error) string {
	if c.Status != policytest.StatusBroken {
		return ""
	}
	if named != nil {
		return adviceOn(named)
	}
	return cmp.Or(adviceOn(c.Err), "record the case again: hallmark policy record --policy FILE --name NAME IMAGE")
}

func (t *testedPolicies) count(s policytest.Status) (n int) {
	for _, c := range t.Cases {
		if c.Status == s {
			n++
		}
	}
	return n
}

func (t *testedPolicies) answer(covered bool) error {
	switch {
	case t.count(policytest.StatusBroken) > 0:
		return errUndecided
	case t.count(policytest.StatusFailed) > 0 || covered && len(t.Uncovered) > 0:
		return errDenied
	}
	return nil
}

func (a *app) printTested(t *testedPolicies) error {
	if a.json() {
		return a.out.document(t)
	}
	for _, c := range t.Cases {
		mark := map[policytest.Status]style{policytest.StatusPassed: good, policytest.StatusFailed: bad}[c.Status]
		n := node{words: words{cmp.Or(mark, doubt).of("%s", c.Status), c.File, c.Name}}
		if c.Detail != "" {
			n.add(c.Detail)
		}
		if c.Hint != "" {
			n.add(hintLabel + c.Hint)
		}
		a.out.tree(n)
	}
	for _, u := range t.Uncovered {
		a.out.line("", words{doubt.of("not tested"), u.Policy, u.Path, u.Detail})
	}
	a.out.line("", words{fmt.Sprintf("%d cases: %d passed, %d failed, %d broken; %d rules and requirements not tested", len(t.Cases),
		t.count(policytest.StatusPassed), t.count(policytest.StatusFailed), t.count(policytest.StatusBroken), len(t.Uncovered))})
	return nil
}

// The XML of JUnit, as continuous integration systems read it.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitProblem `xml:"failure"`
		Error   *junitProblem `xml:"error"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
	}
)

func writeJUnit(path string, t *testedPolicies) error {
	suite := junitSuite{Name: "hallmark policy test", Tests: len(t.Cases), Failures: t.count(policytest.StatusFailed), Errors: t.count(policytest.StatusBroken)}
	for _, c := range t.Cases {
		j := junitCase{Class: c.File, Name: c.Name, Time: fmt.Sprintf("%.3f", c.Duration.Round(time.Millisecond).Seconds())}
		switch c.Status {
		case policytest.StatusFailed:
			j.Failure = &junitProblem{c.Detail}
		case policytest.StatusBroken:
			j.Error = &junitProblem{c.Detail}
		}
		suite.Cases = append(suite.Cases, j)
	}
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(xml.Header+string(text)+"\n"), 0o644) //nolint:gosec // it holds no secrets
}

func (a *app) policyRecordCommand() *cobra.Command {
	var f rootFlags
	var o policytest.RecordOptions
	cmd := &cobra.Command{
		Use:   "record --policy FILE --name NAME IMAGE",
		Short: "Record an image as a test case of a policy",
		Long: `Judge an image now, and write a case that expects the same decision: the file
NAME.test.yaml and the OCI layout NAME, both in --dir. 'hallmark policy test' runs it.

The layout holds the image's manifest and evidence, and what else was read to judge it,
such as the config for a requirement about it. It holds no layers. Nothing is
overwritten, and nothing is written if no decision is reached.

JSON is one object: file.`,
		Example: "  hallmark policy record --policy production.yaml --dir tests --name app-v1 registry.example/team/app:v1",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Policy == "" || o.Name == "" {
				return usageError("--policy or --name is missing")
			}
			root, err := f.authority(instanceDefault)
			if err != nil {
				return err
			}
			p, err := a.locate(args[0], existing)
			if err != nil {
				return err
			}
			ctx, cancel := a.within(cmd.Context(), defaultTimeout)
			defer cancel()
			var named *error
			o.Authorities, named = a.plugins.authorities(root)
			file, err := policytest.Record(ctx, p.store, p.ref, o)
			if err != nil {
				return causeOf(err, *named)
			}
			if a.json() {
				return a.out.document(map[string]string{"file": file})
			}
			a.out.line("", words{good.of("recorded"), file})
			return nil
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&o.Policy, "policy", "", "judge by the policy in this `FILE`")
	cmd.Flags().StringVar(&o.Name, "name", "", "call the case `NAME`")
	cmd.Flags().StringVar(&o.Dir, "dir", ".", "write the case to this `DIRECTORY`")
	return cmd
}

// causeOf is an error, by the cause that a policy's plug-in gave if there is one.
func causeOf(err, named error) error {
	if named == nil || errors.Is(err, named) {
		return err
	}
	return causedBy{err, named}
}
