package policytest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/strictyaml"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// Errors of cases, for errors.Is.
var (
	// ErrInvalid: a case file is not what its form says. The error names line and column.
	ErrInvalid = errors.New("unusable case file")
	// ErrPolicy: the policy of a case cannot be used. If it is outside of the directory of
	// the cases, the error says no more.
	ErrPolicy = errors.New("unusable policy")
	// ErrNoCases: there is no case to run.
	ErrNoCases = errors.New("no test cases")
)

// Bounds of cases.
const (
	maxFileBytes     = 4 << 20
	maxEvidenceBytes = 32 << 20
	maxCases         = 10_000
)

// File is a case file.
type File struct {
	// Version is the version of the file's form, 1. Required.
	Version int `json:"version"`
	// Policy is the policy file that the cases are judged by. Empty: that of
	// Options.Policy.
	Policy string `json:"policy,omitempty"`
	// Files are stand-ins for files that the policy names, such as keys: by the name in
	// the policy, the file that is read in its place. Empty: none.
	Files map[string]string `json:"files,omitempty"`
	// Time is when the cases are judged. Zero: each case has a time of its own.
	Time time.Time `json:"time,omitzero"`
	// Cases are the cases. Required, at least one.
	Cases []Case `json:"cases"`
}

// Case is an image, or a file, with the decision that is expected.
type Case struct {
	// Name names the case. No other case of the file has it. Required.
	Name string `json:"name"`
	// Image is the reference that is judged, such as registry.example/team/app:v1. Empty:
	// File is set.
	Image string `json:"image,omitempty"`
	// Layout is the directory of an OCI layout that holds the image and its evidence. The
	// layout stands for the image's repository. Empty: Evidence is all that there is.
	Layout string `json:"layout,omitempty"`
	// Platform is the platform whose manifest is judged, of an index in Layout. Empty: the
	// image itself.
	Platform string `json:"platform,omitempty"`
	// File is a file that is judged by the policy's files. Empty: Image is set.
	File string `json:"file,omitempty"`
	// Evidence are files of Sigstore bundles, and for File also of detached signatures.
	// Refused with Layout. Empty: there is none.
	Evidence []string `json:"evidence,omitempty"`
	// Time is when the case is judged. Zero: File.Time.
	Time time.Time `json:"time,omitzero"`
	// Expect is the decision that is expected. Required.
	Expect Expectation `json:"expect"`
}

// Decision is what judging gives.
type Decision string

// The decisions.
const (
	// DecisionAllow: all requirements are met.
	DecisionAllow Decision = "allow"
	// DecisionWarn: some are not, and the rule only warns.
	DecisionWarn Decision = "warn"
	// DecisionDeny: the image or file is denied.
	DecisionDeny Decision = "deny"
)

// Expectation is a decision and why it is reached.
type Expectation struct {
	// Decision is allow, warn or deny. Required.
	Decision Decision `json:"decision"`
	// Reason is why the image is denied, as in verify.Error: the first of the reasons, or
	// that of Requirement. Required for warn and deny, refused for allow.
	Reason verify.Reason `json:"reason,omitempty"`
	// Requirement is one that is not met: its path, as rules[0].require[1], or its title,
	// as "signature by release". Empty: any.
	Requirement string `json:"requirement,omitempty"`
}

// loaded is a case and what its file says about it.
type loaded struct {
	Case
	root   string // the directory that was given, without links
	file   string // of the case
	named  string // the policy as the file names it
	policy string // empty: that of Options
	files  map[string]string
	unread error // why a stand-in could not be read
}

// read reads a file that the case names. A link does not lead out of its directory.
func (c *loaded) read(name string, maxBytes int64) ([]byte, error) {
	return file.ReadIn(filepath.Dir(c.file), filepath.FromSlash(name), maxBytes)
}

// within is the path of what the case names, which does not lead out of its directory.
func (c *loaded) within(name string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(c.file))
	if err != nil {
		return "", err
	}
	path, err := filepath.EvalSymlinks(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(dir, path); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%w: %.200q is a link that leads elsewhere: it %w", ErrInvalid, name, errOutside)
	}
	return path, nil
}

// load reads the cases of a file, or of all case files in a directory and below.
func load(path string) (all []loaded, err error) {
	root, err := rootOf(path)
	if err != nil {
		return nil, err
	}
	walked := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		walked += string(filepath.Separator) // follows a link to a directory
	}
	err = filepath.WalkDir(walked, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() || at != walked && !isCaseFile(at):
			return nil
		case at != walked && leadsOut(root, at):
			return fmt.Errorf("%w: %s is a link that leads out of %s", ErrInvalid, at, path)
		}
		more, err := loadFile(at)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		for i := range more {
			more[i].root = root
		}
		if all = append(all, more...); len(all) > maxCases {
			return fmt.Errorf("%w: %s holds more than %d cases", ErrInvalid, path, maxCases)
		}
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w: %s holds no file named *.test.yaml", ErrNoCases, path)
	}
	return all, err
}

// rootOf is the directory of cases, without links.
func rootOf(path string) (string, error) {
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		root = filepath.Dir(root)
	}
	return filepath.Abs(root)
}

// leadsOut reports whether a file exists and is not in a directory or below.
func leadsOut(dir, path string) bool {
	at, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	at, err = filepath.Abs(at)
	if err != nil {
		return true
	}
	rel, err := filepath.Rel(dir, at)
	return err != nil || !filepath.IsLocal(rel)
}

// unusable is the error of a policy. What is wrong with a file outside of the directory of
// cases could show what is in it.
func (c *loaded) unusable(err error) error {
	switch {
	case c.unread != nil:
		return fmt.Errorf("%w: %w", ErrPolicy, c.unread)
	case c.named == "" || !leadsOut(c.root, c.policy):
		return fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return fmt.Errorf("%w: %.200q, which is outside of the directory of the cases", ErrPolicy, c.named)
}

func isCaseFile(path string) bool {
	return slices.ContainsFunc([]string{".test.yaml", ".test.yml", ".test.json"}, func(end string) bool { return strings.HasSuffix(path, end) })
}

func loadFile(path string) ([]loaded, error) {
	text, _, err := file.Read(path, maxFileBytes)
	if err != nil {
		return nil, err
	}
	f, err := parse(text)
	if err != nil {
		return nil, err
	}
	all := make([]loaded, 0, len(f.Cases))
	for _, c := range f.Cases {
		l := loaded{Case: c, file: path, files: f.Files}
		if c.Time.IsZero() {
			l.Time = f.Time
		}
		if f.Policy != "" {
			l.named, l.policy = f.Policy, filepath.Join(filepath.Dir(path), filepath.FromSlash(f.Policy))
		}
		all = append(all, l)
	}
	return all, nil
}

func parse(text []byte) (*File, error) {
	doc, err := strictyaml.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	f := &File{}
	if err := doc.Decode(f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if path, err := f.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, doc.Fail(path, "%v", err))
	}
	return f, nil
}

// check returns the path of what cannot be intended.
func (f *File) check() (path string, err error) {
	switch {
	case f.Version != 1:
		return "version", fmt.Errorf("is %d; this program knows version 1", f.Version)
	case filepath.IsAbs(f.Policy):
		return "policy", errors.New("is an absolute path: write one that holds on every machine")
	case len(f.Cases) == 0:
		return "cases", errors.New("is empty: write at least one case")
	}
	for from, to := range f.Files {
		if !filepath.IsLocal(to) {
			return "files." + from, errOutside
		}
	}
	seen := make(map[string]bool)
	for i := range f.Cases {
		c, path := &f.Cases[i], fmt.Sprintf("cases[%d]", i)
		if seen[c.Name] {
			return path + ".name", fmt.Errorf("is %.100q, as that of a case before", c.Name)
		}
		seen[c.Name] = true
		if c.Time.IsZero() && f.Time.IsZero() {
			return path, errors.New("needs time: when it is judged")
		}
		if field, err := c.check(); err != nil {
			return path + field, err
		}
	}
	return "", nil
}

var errOutside = errors.New("must name a file in the directory of the case file, or below")

// check returns the field that cannot be intended.
func (c *Case) check() (field string, err error) {
	switch {
	case c.Name == "":
		return "", errors.New("needs name: what it shows")
	case (c.Image == "") == (c.File == ""):
		return "", errors.New("needs exactly one of image and file")
	case c.File != "" && (c.Layout != "" || c.Platform != ""):
		return "", errors.New("has layout or platform, which only images have")
	case c.Layout != "" && c.Evidence != nil:
		return ".evidence", errors.New("stands beside layout, which holds its own evidence")
	case c.Platform != "" && c.Layout == "":
		return ".platform", errors.New("needs layout: the index that lists it")
	}
	for _, name := range append([]string{c.Layout, c.File}, c.Evidence...) {
		if name != "" && !filepath.IsLocal(name) {
			return "", fmt.Errorf("names %.200q: it %w", name, errOutside)
		}
	}
	if c.Image != "" {
		if _, err := registry.ParseReference(c.Image); err != nil {
			return ".image", fmt.Errorf("is not a reference: %w", err)
		}
	}
	if c.Platform != "" {
		if _, err := registry.ParsePlatform(c.Platform); err != nil {
			return ".platform", err
		}
	}
	return ".expect", c.Expect.check()
}

func (e *Expectation) check() error {
	switch {
	case !slices.Contains([]Decision{DecisionAllow, DecisionWarn, DecisionDeny}, e.Decision):
		return fmt.Errorf("has decision %.40q, want %s, %s or %s", e.Decision, DecisionAllow, DecisionWarn, DecisionDeny)
	case e.Decision == DecisionAllow && (e.Reason != "" || e.Requirement != ""):
		return errors.New("allows, and has no reason or requirement")
	case e.Decision != DecisionAllow && e.Reason == "":
		return fmt.Errorf("needs reason: a case that denies for another one must fail; hallmark verify -o json prints it")
	}
	return nil
}

// reference is the image's reference, and whether it names a tag or a digest.
func (c *loaded) reference() (ref name.Reference, selects string, err error) {
	if ref, err = registry.ParseReference(c.Image); err != nil {
		return nil, "", err
	}
	if d, ok := ref.(name.Digest); ok {
		return ref, "@" + d.DigestStr(), nil
	}
	if id := ":" + ref.Identifier(); strings.HasSuffix(c.Image, id) {
		return ref, id, nil
	}
	return ref, "", nil
}

// readAll reads the files of evidence.
func (c *loaded) readAll() (all [][]byte, err error) {
	for _, name := range c.Evidence {
		text, err := c.read(name, maxEvidenceBytes)
		if err != nil {
			return nil, fmt.Errorf("evidence: %w", err)
		}
		all = append(all, text)
	}
	return all, nil
}

// openFile opens the file that is judged.
func (c *loaded) openFile() (*os.File, error) {
	path, err := c.within(c.File)
	if err != nil {
		return nil, err
	}
	f, _, err := file.Open(path)
	return f, err
}
