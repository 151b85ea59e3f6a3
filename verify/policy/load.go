package policy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/strictyaml"
)

// maxPolicyBytes bounds a policy file, maxLayoutBytes an in-toto layout.
const (
	maxPolicyBytes = 4 << 20
	maxLayoutBytes = 4 << 20
)

// ParseOptions configure Parse and Load.
type ParseOptions struct {
	// ReadFile reads a file that the policy names, as the policy names it. Nil: Parse
	// refuses policies that name files, and Load reads from the policy's directory.
	ReadFile func(name string, maxBytes int64) ([]byte, error)
	// Authorities are those that the policy may name. Nil: a policy with identities is
	// refused.
	Authorities map[string]Authority
}

// Parse reads a policy from strict YAML or JSON, and checks it as Policy.Check does.
// Refused with ErrInvalid, line and column:
//
//   - unknown and repeated fields, and fields without a value;
//   - anchors, aliases, tags and several documents;
//   - names that the policy does not define;
//   - everything that Check refuses.
//
// Files that the policy names are read once: later changes of those files have no effect.
func Parse(data []byte, o ParseOptions) (*Policy, error) {
	p, _, err := parse(data, o)
	return p, err
}

func parse(data []byte, o ParseOptions) (*Policy, *Checked, error) {
	doc, err := strictyaml.Parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	p := &Policy{}
	if err := doc.Decode(p); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := p.readFiles(o); err != nil {
		return nil, nil, positioned(doc, err)
	}
	checked, err := check(p, o.Authorities)
	if err != nil {
		return nil, nil, positioned(doc, err)
	}
	return p, checked, nil
}

// Load is Parse for a file of at most 4 MiB. Files that the policy names must be in its
// directory or below, unless ReadFile is set.
func Load(path string, o ParseOptions) (*Policy, error) {
	text, _, err := file.Read(path, maxPolicyBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if o.ReadFile == nil {
		o.ReadFile = beside(path)
	}
	p, err := Parse(text, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// beside reads files from the directory of another file and below.
func beside(path string) func(string, int64) ([]byte, error) {
	return func(name string, maxBytes int64) ([]byte, error) {
		if !filepath.IsLocal(name) {
			return nil, errors.New("it is not in the directory of the policy or below")
		}
		text, _, err := file.Read(filepath.Join(filepath.Dir(path), name), maxBytes)
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err // the path is said already
		}
		return text, err
	}
}

// fault is a mistake in a policy, and its place.
type fault struct {
	// path is that of strictyaml: "rules[0].images".
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
func positioned(doc *strictyaml.Document, err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, doc.Fail(f.path, "%v", f.err))
}

// readFiles reads the keys and layouts that the policy names.
func (p *Policy) readFiles(o ParseOptions) error {
	for _, name := range slices.Sorted(maps.Keys(p.Keys)) {
		k := p.Keys[name]
		if err := k.read(o); err != nil {
			return &fault{"keys." + name, err}
		}
		p.Keys[name] = k
	}
	for i := range p.Rules {
		if err := readLayouts(fmt.Sprintf("rules[%d].require", i), p.Rules[i].Require, o); err != nil {
			return err
		}
	}
	return nil
}

// readLayouts reads the layouts that requirements name.
func readLayouts(path string, list []Requirement, o ParseOptions) error {
	for i, q := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if err := errors.Join(readLayouts(at+".anyOf", q.AnyOf, o), readLayouts(at+".allOf", q.AllOf, o)); err != nil {
			return err
		}
		if q.Attestation == nil || q.Attestation.Layout == "" {
			continue
		}
		if o.ReadFile == nil {
			return faultf(at+".attestation.layout", "names a file, and files are not read here")
		}
		text, err := o.ReadFile(q.Attestation.Layout, maxLayoutBytes)
		if err != nil {
			return faultf(at+".attestation.layout", "names the file %.200q: %w", q.Attestation.Layout, err)
		}
		q.Attestation.LayoutEnvelope = text
	}
	return nil
}

func (k *Key) read(o ParseOptions) error {
	text := []byte(k.PEM)
	switch {
	case (k.PEM == "") == (k.File == ""):
		return errors.New("needs either pem or file")
	case k.File != "":
		if o.ReadFile == nil {
			return errors.New("names a file, and files are not read here; give pem")
		}
		var err error
		if text, err = o.ReadFile(k.File, sigkey.MaxFileSize); err != nil {
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
