package policy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/strictyaml"
)

// Bounds of a policy file and of an in-toto layout.
const (
	maxPolicyBytes = 4 << 20
	maxLayoutBytes = 4 << 20
)

// ParseOptions tell Parse where to find what a policy names.
type ParseOptions struct {
	// ReadFile reads a file by the name that stands in the policy. Names in a team's file
	// follow the directory of that file. Nil: a policy that names files is refused.
	ReadFile func(name string, maxBytes int64) ([]byte, error)
	// Authorities are those of verify.Options. Nil: a policy that names identities is
	// refused.
	Authorities map[string]Authority

	// readTeam is ReadFile for files of teams and those that they name.
	readTeam func(name string, maxBytes int64) ([]byte, error)
}

// Parse reads a policy from strict YAML or JSON and checks it as Policy.Check does.
// It reads the files that the policy names once; later changes to them have no
// effect.
//
// Parse returns ErrInvalid, with line and column, for
//
//   - unknown and repeated fields, and fields without a value,
//   - anchors, aliases, tags, and several documents,
//   - names of roles, keys and files that do not exist,
//   - everything that Policy.Check refuses.
func Parse(data []byte, o ParseOptions) (*Policy, error) {
	read, err := parse(data, o)
	return read.policy, err
}

// parsed is a policy that was read and checked, and where in its file what stands.
type parsed struct {
	doc     *strictyaml.Document
	teams   map[string]*strictyaml.Document
	policy  *Policy
	checked *Checked
}

func parse(data []byte, o ParseOptions) (parsed, error) {
	doc, err := strictyaml.Parse(data)
	if err != nil {
		return parsed{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	p := &Policy{}
	if err := doc.Decode(p); err != nil {
		return parsed{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	read := parsed{doc: doc, teams: make(map[string]*strictyaml.Document), policy: p}
	if err := p.readFiles(o); err != nil {
		return parsed{}, read.positioned(err)
	}
	if err := read.readTeams(o); err != nil {
		return parsed{}, read.positioned(err)
	}
	if read.checked, err = check(p, o.Authorities); err != nil {
		return parsed{}, read.positioned(err)
	}
	return read, nil
}

// readTeams reads the files of teams.
func (r *parsed) readTeams(o ParseOptions) error {
	if o.readTeam != nil {
		o.ReadFile = o.readTeam
	}
	left := int64(maxTeamBytes)
	for _, name := range slices.Sorted(maps.Keys(r.policy.Teams)) {
		t, at := r.policy.Teams[name], "teams."+name+".file"
		if !filepath.IsLocal(t.File) {
			return faultf(at, "is %.200q, want a file in the policy's directory, or below", t.File)
		}
		text, err := o.readNamed(at, t.File, maxPolicyBytes)
		if err != nil {
			return err
		}
		if left -= int64(len(text)); left < 0 {
			return faultf("teams", tooMuch, maxTeamBytes)
		}
		doc, err := strictyaml.Parse(text)
		t.Policy = &Policy{}
		if err == nil {
			err = doc.Decode(t.Policy)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.File, err)
		}
		r.teams[name], r.policy.Teams[name] = doc, t
		if err := t.Policy.readFiles(o.below(t.File, &left)); err != nil {
			if f := (*fault)(nil); errors.As(err, &f) {
				return &fault{teamPath(name, f.path), f.err}
			}
			return err
		}
	}
	return nil
}

// tooMuch says that the files of teams are too large.
const tooMuch = "have files of more than %d bytes together, with those that they name"

// below are the options with which a team's file is read: the files that it names lie in
// its directory or below. Each time that one is named, its bytes are taken from left.
func (o ParseOptions) below(file string, left *int64) ParseOptions {
	read := o.ReadFile
	o.ReadFile = func(name string, maxBytes int64) ([]byte, error) {
		if !filepath.IsLocal(name) {
			return nil, errors.New("it must be in the directory of the team's file, or below")
		}
		text, err := read(filepath.ToSlash(filepath.Join(filepath.Dir(file), name)), maxBytes)
		if *left -= int64(len(text)); err == nil && *left < 0 {
			return nil, fmt.Errorf("the teams "+tooMuch, maxTeamBytes)
		}
		return text, err
	}
	return o
}

// split is the team of whose file a path is, and the path there. Empty: it is the
// policy's. What the policy says of a team is not in the team's file.
func (r *parsed) split(path string) (team, local string) {
	rest, is := strings.CutPrefix(path, "teams.")
	team, local, in := strings.Cut(rest, ".")
	field, _, _ := strings.Cut(local, "[")
	if !is || !in || r.teams[team] == nil || slices.Contains([]string{"file", "images", "mayUse", "mayExempt"}, field) {
		return "", path
	}
	return team, local
}

// docOf is the document of a team, or the policy's.
func (r *parsed) docOf(team string) *strictyaml.Document {
	if team == "" {
		return r.doc
	}
	return r.teams[team]
}

// Load is Parse for a file. Without ParseOptions.ReadFile, the files that the
// policy names must lie in its directory or below, and their names are relative to
// that directory.
func Load(path string, o ParseOptions) (*Policy, error) {
	read, err := load(path, o)
	return read.policy, err
}

func load(path string, o ParseOptions) (read parsed, err error) {
	if o.ReadFile != nil {
		text, _, err := file.Read(path, maxPolicyBytes)
		if err != nil {
			return parsed{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return inFile(path)(parse(text, o))
	}
	for range startAttempts {
		files := newSnapshot(path)
		if read, err = files.read(o); !files.teams || !files.changed() {
			return read, err
		}
	}
	return parsed{}, fmt.Errorf("%w: %s: %w", ErrInvalid, path, errChanging)
}

// inFile returns a function that names the file in an error.
func inFile(path string) func(parsed, error) (parsed, error) {
	return func(read parsed, err error) (parsed, error) {
		if err != nil {
			return parsed{}, fmt.Errorf("%s: %w", path, err)
		}
		return read, nil
	}
}

// beside returns a function that reads files in the directory of path, or below.
func beside(path string) func(string, int64) ([]byte, error) {
	return func(name string, maxBytes int64) ([]byte, error) {
		if !filepath.IsLocal(name) {
			return nil, errors.New("it must be in the policy's directory, or below")
		}
		text, _, err := file.Read(filepath.Join(filepath.Dir(path), name), maxBytes)
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err // the caller names the path
		}
		return text, err
	}
}

// inside is beside for files of teams: neither a name nor a link leads out of the directory.
func inside(path string) func(string, int64) ([]byte, error) {
	return func(name string, maxBytes int64) ([]byte, error) {
		text, err := file.ReadIn(filepath.Dir(path), name, maxBytes)
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err // the caller names the path
		}
		return text, err
	}
}

// fault is an error at a place in a policy.
type fault struct {
	// path is in strictyaml's form: "rules[0].images".
	path string
	err  error
}

func (f *fault) Error() string {
	if f.path == "" {
		return f.err.Error()
	}
	return f.path + " " + f.err.Error()
}

func (f *fault) Unwrap() error { return f.err }

func faultf(path, format string, args ...any) error {
	return &fault{path, fmt.Errorf(format, args...)}
}

// positioned adds line and column to a fault.
func (r *parsed) positioned(err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	team, path := r.split(f.path)
	err = &placed{r.docOf(team).Fail(path, "%v", f.err), f.err}
	if team != "" {
		err = fmt.Errorf("%s: %w", r.policy.Teams[team].File, err)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// placed is an error with line and column. It wraps its cause.
type placed struct{ text, cause error }

func (p *placed) Error() string { return p.text.Error() }

func (p *placed) Unwrap() []error { return []error{p.text, p.cause} }

// readFiles reads the keys, files of settings and layouts that the policy names.
func (p *Policy) readFiles(o ParseOptions) error {
	for _, name := range slices.Sorted(maps.Keys(p.Keys)) {
		k := p.Keys[name]
		if err := k.read(o); err != nil {
			return &fault{"keys." + name, err}
		}
		p.Keys[name] = k
	}
	for _, name := range slices.Sorted(maps.Keys(p.Identities)) {
		i := p.Identities[name]
		if err := readSettings("identities."+name, i.Authority, i.Settings, o); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Timestamps)) {
		t := p.Timestamps[name]
		if err := readSettings("timestamps."+name, t.Authority, t.Settings, o); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Requirements)) {
		if err := readLayout("requirements."+name, p.Requirements[name], o); err != nil {
			return err
		}
	}
	for i := range p.Rules {
		if err := readLayouts(fmt.Sprintf("rules[%d].require", i), p.Rules[i].Require, o); err != nil {
			return err
		}
	}
	return nil
}

// readSettings reads the files that settings name, and puts them in place of their names.
func readSettings(path, authority string, settings map[string]any, o ParseOptions) error {
	linked, ok := o.Authorities[authority].(FileAuthority)
	if !ok {
		return nil
	}
	for _, setting := range linked.FileSettings() {
		name, named := settings[setting].(string)
		if !named {
			continue // absent, or of a type that the authority refuses
		}
		text, err := o.readNamed(path+".settings."+setting, name, maxNamedBytes)
		if err != nil {
			return err
		}
		settings[setting] = File{Name: name, Text: text}
	}
	return nil
}

// readNamed reads a file that the policy names at a path.
func (o *ParseOptions) readNamed(at, name string, maxBytes int64) ([]byte, error) {
	if o.ReadFile == nil {
		return nil, faultf(at, "names a file, but ParseOptions.ReadFile is nil")
	}
	text, err := o.ReadFile(name, maxBytes)
	if err != nil {
		return nil, faultf(at, "names the file %.200q: %w", name, err)
	}
	return text, nil
}

// readLayouts reads the layouts that requirements name.
func readLayouts(path string, list []Requirement, o ParseOptions) error {
	for i, q := range list {
		if err := readLayout(fmt.Sprintf("%s[%d]", path, i), q, o); err != nil {
			return err
		}
	}
	return nil
}

func readLayout(at string, q Requirement, o ParseOptions) (err error) {
	if err := errors.Join(readLayouts(at+".anyOf", q.AnyOf, o), readLayouts(at+".allOf", q.AllOf, o)); err != nil {
		return err
	}
	if q.Attestation == nil || q.Attestation.Layout == "" {
		return nil
	}
	q.Attestation.LayoutEnvelope, err = o.readNamed(at+".attestation.layout", q.Attestation.Layout, maxLayoutBytes)
	return err
}

func (k *Key) read(o ParseOptions) error {
	text := []byte(k.PEM)
	switch {
	case (k.PEM == "") == (k.File == ""):
		return errors.New("needs either pem or file")
	case k.File != "":
		if o.ReadFile == nil {
			return errors.New("names a file, but ParseOptions.ReadFile is nil; give pem")
		}
		var err error
		if text, err = o.ReadFile(k.File, keyfile.MaxSize); err != nil {
			return fmt.Errorf("names the file %.200q: %w", k.File, err)
		}
	}
	key, err := ParsePublicKey(text)
	if err != nil {
		return fmt.Errorf("is not a usable public key: %w", err)
	}
	k.Public = key
	return nil
}
