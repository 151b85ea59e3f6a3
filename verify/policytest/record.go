package policytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// RecordOptions say where Record writes a case.
type RecordOptions struct {
	// Dir is the directory of the case file, which is made if there is none. Empty: the
	// current directory.
	Dir string
	// Name is the name of the case, of its file and of its layout: letters, digits, ".",
	// "_" and "-". Required.
	Name string
	// Policy is the policy file that the case names. Required.
	Policy string
	// Authorities are those of verify.Options. Nil: a policy that names identities is
	// refused.
	Authorities map[string]policy.Authority
	// Limits bound the evidence that is read. Zero: those of the policy.
	Limits registry.Limits
}

// Record judges an image now, and writes a case that expects the same decision: the file
// NAME.test.yaml, and beside it the OCI layout NAME. It returns the path of the file.
//
//   - The layout holds the image's manifest, its evidence, and what else was read to judge
//     it, such as the config for a requirement about it. It holds no layers.
//   - Nothing is overwritten: an error wraps fs.ErrExist.
//   - Nothing is written if no decision is reached.
//   - A blob of more than 32 MiB that judging reads, or that holds evidence, is an error
//     that wraps registry.ErrTooLarge: without the blob the case would show something else.
//
// Evidence and configs are as public as the image is. A config may hold secrets of the
// image: see the condition noSecrets.
func Record(ctx context.Context, r registry.Reader, ref name.Reference, o RecordOptions) (string, error) {
	if o.Name == "" || strings.Trim(o.Name, nameCharacters) != "" || strings.Trim(o.Name, ".") == "" {
		return "", fmt.Errorf("%w: the name %.100q is not made of letters, digits, '.', '_' and '-'", ErrInvalid, o.Name)
	}
	at := filepath.Join(o.Dir, o.Name)
	for _, path := range []string{at, at + caseEnd} {
		if _, err := os.Lstat(path); err == nil {
			return "", &fs.PathError{Op: "record", Path: path, Err: fs.ErrExist}
		}
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return "", err
	}
	aside, err := os.MkdirTemp(filepath.Dir(at), ".record-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside) //nolint:errcheck // what is left of a failure
	c, err := record(ctx, r, ref, aside, o)
	if err != nil {
		return "", err
	}
	c.Layout = o.Name
	text, err := caseText(filepath.Dir(at), o.Policy, c)
	if err != nil {
		return "", err
	}
	if err := os.Rename(aside, at); err != nil {
		return "", err
	}
	return at + caseEnd, file.Create(at+caseEnd, text, 0o644)
}

const (
	nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	caseEnd        = ".test.yaml"
)

// record copies what judging reads, and all evidence, to a layout in dir.
func record(ctx context.Context, r registry.Reader, ref name.Reference, dir string, o RecordOptions) (*Case, error) {
	p, err := policy.Load(o.Policy, policy.ParseOptions{Authorities: o.Authorities})
	if err != nil {
		return nil, err
	}
	checked, err := p.Check(o.Authorities)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	v, err := verify.New(p, verify.Options{Authorities: o.Authorities, Limits: o.Limits, Now: func() time.Time { return now }})
	if err != nil {
		return nil, err
	}
	digest, err := resolve(ctx, r, ref)
	if err != nil {
		return nil, err
	}
	l, err := layout.Open(dir, layout.Options{Create: true, Name: ref.Context().Name()})
	if err != nil {
		return nil, err
	}
	copying := &recorder{Reader: r, to: l}
	image, err := r.Manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	as := name.Reference(digest)
	if tag, ok := ref.(name.Tag); ok {
		as = tag
	}
	if _, err := l.PushManifest(ctx, as, image, registry.PushOptions{}); err != nil {
		return nil, err
	}
	res, err := v.Image(ctx, copying, digest)
	judged := verify.ReportOf(ref.String(), res, err)
	if judged.Status == verify.StatusUndecided {
		return nil, err
	}
	at, err := evidenceOf(checked, digest)
	if err != nil {
		return nil, err
	}
	if err := copying.evidence(ctx, at, o.Limits); err != nil {
		return nil, err
	}
	if lacks := copying.lacks.Load(); lacks != nil {
		return nil, lacks
	}
	c := &Case{Name: o.Name, Image: ref.String(), Time: now, Expect: decisionOf(judged, "")}
	if len(judged.Unmet) > 0 {
		c.Expect = decisionOf(judged, judged.Unmet[0].Title)
	}
	return c, errors.Join(l.Close(), os.RemoveAll(filepath.Join(dir, ".hallmark")))
}

// evidenceOf is the image where the policy says that its evidence is.
func evidenceOf(p *policy.Checked, image name.Digest) (name.Digest, error) {
	i, _, ok := p.RuleFor(image.Context())
	if !ok || p.Policy.Rules[i].EvidenceRepository == "" {
		return image, nil
	}
	repo, err := registry.ParseRepository(p.Policy.Rules[i].EvidenceRepository)
	return registry.EvidenceIn(repo, image), err
}

// recorder reads from a store, and copies what it reads to a layout.
type recorder struct {
	registry.Reader
	to    *layout.Layout
	lacks atomic.Pointer[registry.Error] // a blob that is too large for a case
}

// evidence reads all evidence about an image, which copies it.
func (r *recorder) evidence(ctx context.Context, image name.Digest, limits registry.Limits) error {
	for _, err := range registry.Evidence(ctx, r, image, limits) {
		if err != nil && registry.Unreadable(err) {
			return err
		}
	}
	return ctx.Err()
}

// Manifest implements registry.Reader.
func (r *recorder) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	m, err := r.Reader.Manifest(ctx, ref)
	if err != nil {
		return m, err
	}
	_, err = r.to.PushManifest(ctx, ref, m, registry.PushOptions{})
	return m, err
}

// Blob implements registry.Reader.
func (r *recorder) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	b, err := r.Reader.Blob(ctx, ref, size)
	if err != nil {
		return nil, err
	}
	defer b.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(b, maxEvidenceBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxEvidenceBytes {
		lacks := &registry.Error{Op: "record", Ref: ref.String(), Kind: registry.ErrTooLarge, Detail: fmt.Sprintf("a case holds blobs of at most %d bytes", maxEvidenceBytes)}
		r.lacks.Store(lacks)
		return nil, lacks
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	if err := r.to.PushBlob(ctx, ref, int64(len(data)), open); err != nil {
		return nil, err
	}
	return open()
}

// Referrers implements registry.Reader. What it lists is copied when it is read, and not
// taken from the list.
func (r *recorder) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		for d, err := range r.Reader.Referrers(ctx, subject) {
			d.Data, d.Annotations = nil, nil // either may hold the content
			if !yield(d, err) {
				return
			}
		}
	}
}

// caseText is a case file with one case.
func caseText(dir, policyFile string, c *Case) ([]byte, error) {
	absolute, err := filepath.Abs(policyFile)
	if err != nil {
		return nil, err
	}
	from, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(from, absolute)
	if err != nil {
		return nil, err
	}
	asJSON, err := json.Marshal(File{Version: 1, Policy: filepath.ToSlash(relative), Cases: []Case{*c}})
	if err != nil {
		return nil, err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(asJSON, &node); err != nil {
		return nil, err
	}
	plainStyle(&node)
	return yaml.Marshal(&node)
}

// plainStyle writes a document in lines, without the quotes of JSON where YAML needs none.
func plainStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plainStyle(child)
	}
}
