package policytest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Options configure Test. The zero value is usable.
type Options struct {
	// Policy is the policy file that all cases are judged by. Empty: that of the case
	// files.
	Policy string
	// Authorities are those of verify.Options. Nil: a policy that names identities is
	// refused, and its cases are broken.
	Authorities map[string]policy.Authority
	// Also are further case files and directories, whose cases follow. Report.Uncovered is
	// about all of them together. Empty: none.
	Also []string
}

// Status is how a case ended.
type Status string

// The statuses.
const (
	StatusPassed Status = "passed"
	StatusFailed Status = "failed"
	// StatusBroken: no decision was reached.
	StatusBroken Status = "broken"
)

// Result is how a case ended.
type Result struct {
	// File is the case file, Name the name of the case in it, Policy the policy file.
	File   string `json:"file"`
	Name   string `json:"name"`
	Policy string `json:"policy"`
	// Status is passed, failed or broken.
	Status Status `json:"status"`
	// Want is what was expected. Found is the decision. Absent: none was reached.
	Want  Expectation  `json:"want"`
	Found *Expectation `json:"found,omitempty"`
	// Detail says what differs, or why no decision was reached. Empty: passed.
	Detail string `json:"detail,omitempty"`
	// Err is why no decision was reached. Nil: one was.
	Err error `json:"-"`
	// Duration is how long the case took.
	Duration time.Duration `json:"durationNanoseconds"`
}

// Report is what Test found.
type Report struct {
	// Cases are in the order of the files and of the cases in them.
	Cases []Result `json:"cases"`
	// Uncovered is what no case tries, in the order of the policies.
	Uncovered []Uncovered `json:"uncovered"`
}

// Count counts the cases with a status.
func (r *Report) Count(s Status) (n int) {
	for _, c := range r.Cases {
		if c.Status == s {
			n++
		}
	}
	return n
}

// Test runs the cases of a case file, or of all case files in a directory and below. It
// returns an error if a file cannot be read (ErrInvalid and others), if there is no case
// (ErrNoCases), or if the context ends. What is wrong with one case is in its Result.
func Test(ctx context.Context, path string, o Options) (*Report, error) {
	var cases []loaded
	for _, at := range append([]string{path}, o.Also...) {
		more, err := load(at)
		if err != nil {
			return nil, err
		}
		cases = append(cases, more...)
	}
	report, covered := &Report{Uncovered: []Uncovered{}}, newCoverage()
	for i := range cases {
		if o.Policy != "" {
			cases[i].named, cases[i].policy = "", o.Policy
		}
		began := time.Now()
		r := cases[i].run(ctx, o, covered)
		r.Duration = time.Since(began)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		report.Cases = append(report.Cases, r)
	}
	report.Uncovered = append(report.Uncovered, covered.missing()...)
	return report, nil
}

// run judges a case, and compares the decision with the expected one.
func (c *loaded) run(ctx context.Context, o Options, covered *coverage) Result {
	r := Result{File: c.file, Name: c.Name, Policy: c.policy, Want: c.Expect, Status: StatusBroken}
	checked, judged, err := c.judge(ctx, o)
	if err != nil {
		r.Err, r.Detail = err, registry.SafeText(err.Error(), 4096)
		return r
	}
	covered.add(c, checked, judged)
	found := decisionOf(judged, c.Expect.Requirement)
	r.Found, r.Status = &found, StatusPassed
	if found != c.Expect {
		r.Status, r.Detail = StatusFailed, differs(c.Expect, found, judged)
	}
	return r
}

// judge reaches a decision. A report without one is an error.
func (c *loaded) judge(ctx context.Context, o Options) (*policy.Checked, verify.Report, error) {
	fail := func(err error) (*policy.Checked, verify.Report, error) { return nil, verify.Report{}, err }
	if c.policy == "" {
		return fail(fmt.Errorf("%w: %s names no policy, and Options.Policy is empty", ErrInvalid, c.file))
	}
	checked, v, err := c.verifier(o)
	if err != nil {
		return fail(c.unusable(err))
	}
	judged, err := c.decide(ctx, v)
	if judged.Status == verify.StatusUndecided {
		return fail(err)
	}
	return checked, judged, nil
}

// verifier loads the policy.
func (c *loaded) verifier(o Options) (*policy.Checked, *verify.Verifier, error) {
	p, err := policy.Load(c.policy, policy.ParseOptions{ReadFile: c.readFile, Authorities: o.Authorities})
	if err != nil {
		return nil, nil, err
	}
	checked, err := p.Check(o.Authorities)
	if err != nil {
		return nil, nil, err
	}
	v, err := verify.New(p, verify.Options{Authorities: o.Authorities, Now: func() time.Time { return c.Time }})
	return checked, v, err
}

// decide returns the report, and the error of the verifier.
func (c *loaded) decide(ctx context.Context, v *verify.Verifier) (verify.Report, error) {
	evidence, err := c.readAll()
	if err != nil {
		return verify.Report{Status: verify.StatusUndecided}, err
	}
	if c.File != "" {
		f, err := c.openFile()
		if err != nil {
			return verify.Report{Status: verify.StatusUndecided}, err
		}
		defer f.Close() //nolint:errcheck // it was only read
		res, err := v.Blob(ctx, f, evidence...)
		return verify.ReportOfFile(c.File, res, err), err
	}
	res, err := c.image(ctx, v, evidence)
	return verify.ReportOf(c.Image, res, err), err
}

// image judges an image in a layout, or by its evidence alone.
func (c *loaded) image(ctx context.Context, v *verify.Verifier, evidence [][]byte) (*verify.Result, error) {
	ref, selects, err := c.reference()
	if err != nil {
		return nil, err
	}
	if c.Layout == "" {
		digest, ok := ref.(name.Digest)
		if !ok && evidence != nil {
			return nil, fmt.Errorf("%s names no digest: evidence without a layout is about image@sha256:…", c.Image)
		}
		if !ok {
			digest = ref.Context().Digest("sha256:" + strings.Repeat("0", 64)) // nothing is attached to it
		}
		return v.Bundles(ctx, digest, evidence...)
	}
	dir, err := c.within(c.Layout)
	if err != nil {
		return nil, err
	}
	store, at, err := layout.Locate(layout.Prefix+filepath.ToSlash(dir)+"/"+selects, layout.LocateOptions{Layout: layout.Options{Name: ref.Context().Name()}})
	if err != nil {
		return nil, err
	}
	if l, ok := store.(*layout.Layout); ok {
		defer l.Close() //nolint:errcheck // it was only read
	}
	res, err := v.Image(ctx, store, at)
	if err != nil || c.Platform == "" {
		return res, err
	}
	platform, err := registry.ParsePlatform(c.Platform)
	if err != nil {
		return nil, err
	}
	return v.Platform(ctx, store, res, platform)
}

// readFile reads a file that the policy names, or its stand-in.
func (c *loaded) readFile(named string, maxBytes int64) ([]byte, error) {
	if other, ok := c.files[named]; ok {
		text, err := c.read(other, maxBytes)
		if err != nil {
			c.unread = fmt.Errorf("stand-in %.200q: %w", other, err)
		}
		return text, c.unread
	}
	if !filepath.IsLocal(named) {
		return nil, errors.New("it must be in the policy's directory, or below")
	}
	return file.ReadIn(filepath.Dir(c.policy), named, maxBytes)
}

// decisionOf is a decision in the words of an expectation about a requirement, if that
// requirement is not met.
func decisionOf(r verify.Report, requirement string) Expectation {
	e := Expectation{Decision: DecisionDeny, Reason: r.Reason}
	switch r.Status {
	case verify.StatusVerified:
		return Expectation{Decision: DecisionAllow}
	case verify.StatusWarned:
		e.Decision = DecisionWarn
	}
	for _, u := range r.Unmet {
		if requirement != "" && (u.Requirement == requirement || u.Title == requirement) {
			e.Requirement, e.Reason = requirement, u.Reason
			break
		}
	}
	return e
}

// differs says what was wanted, what was found, and why.
func differs(want, found Expectation, r verify.Report) string {
	text := fmt.Sprintf("want %s, found %s", want, found)
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	for _, u := range r.Unmet {
		text += fmt.Sprintf("; %s (%s): %s", u.Requirement, u.Title, u.Reason)
	}
	return registry.SafeText(text, 4096)
}

// String is the expectation in words, as "deny (no-signature) for signature by release".
func (e Expectation) String() string {
	text := string(e.Decision)
	if e.Reason != "" {
		text += " (" + string(e.Reason) + ")"
	}
	if e.Requirement != "" {
		text += " for " + e.Requirement
	}
	return text
}
