package command

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// cli runs the program in this process.
type cli struct {
	t   *testing.T
	ctx context.Context
	env map[string]string
	// terminal makes all three streams terminals, at which a person types these
	// secrets.
	terminal bool
	secrets  []string
	stdin    string
	stdout   io.Writer // in place of the buffer
	plugins  Plugins
}

func newCLI(t *testing.T) *cli {
	return &cli{t: t, ctx: t.Context(), env: map[string]string{"TERM": "xterm"}}
}

// outcome is what a run left behind.
type outcome struct {
	t              *testing.T
	args           []string
	code           int
	stdout, stderr string
}

func (c *cli) run(args ...string) outcome {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	out := io.Writer(&stdout)
	if c.stdout != nil {
		out = c.stdout
	}
	code := New(c.plugins).run(c.ctx, args, host{
		stdin: strings.NewReader(c.stdin), stdout: out, stderr: &stderr,
		lookupEnv:       func(key string) (string, bool) { v, ok := c.env[key]; return v, ok },
		stdinIsTerminal: c.terminal, stdoutIsTerminal: c.terminal, stderrIsTerminal: c.terminal,
		readSecret: func(ctx context.Context) ([]byte, error) {
			if len(c.secrets) == 0 {
				if _, ends := c.ctx.Deadline(); !ends {
					c.t.Errorf("hallmark %s: asks for one more secret", strings.Join(args, " "))
					return nil, io.EOF
				}
				<-ctx.Done() // the user types nothing
				return nil, ctx.Err()
			}
			secret := c.secrets[0]
			c.secrets = c.secrets[1:]
			return []byte(secret), nil
		},
	})
	return outcome{c.t, args, code, stdout.String(), stderr.String()}
}

// must runs a command that has to succeed.
func (c *cli) must(args ...string) outcome {
	c.t.Helper()
	return c.run(args...).exits(exitOK)
}

func (o outcome) exits(code int) outcome {
	o.t.Helper()
	if o.code != code {
		o.t.Fatalf("hallmark %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(o.args, " "), o.code, code, o.stdout, o.stderr)
	}
	return o
}

// prints checks that stdout holds each of the texts.
func (o outcome) prints(texts ...string) outcome {
	o.t.Helper()
	o.holds("stdout", o.stdout, texts)
	return o
}

// says checks the same of stderr.
func (o outcome) says(texts ...string) outcome {
	o.t.Helper()
	o.holds("stderr", o.stderr, texts)
	return o
}

func (o outcome) holds(stream, content string, texts []string) {
	o.t.Helper()
	for _, text := range texts {
		if !strings.Contains(content, text) {
			o.t.Errorf("hallmark %s: %s lacks %q:\n%s", strings.Join(o.args, " "), stream, text, content)
		}
	}
}

// decode reads stdout as exactly one JSON document without fields that v lacks.
func (o outcome) decode(v any) {
	o.t.Helper()
	d := json.NewDecoder(strings.NewReader(o.stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		o.t.Fatalf("hallmark %s: %v\n%s", strings.Join(o.args, " "), err, o.stdout)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		o.t.Errorf("hallmark %s: more than one JSON document: %s", strings.Join(o.args, " "), o.stdout)
	}
}

// keyPair is a key on disk. The private one is not encrypted, which saves the
// tests the time of scrypt.
type keyPair struct {
	private, public, id string
	signer              sign.Signer
}

func newKey(t *testing.T) keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	signer, err := sign.New(key, sign.SignerOptions{})
	must(t, err)
	dir := t.TempDir()
	k := keyPair{private: filepath.Join(dir, "k.key"), public: filepath.Join(dir, "k.pub"), signer: signer}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	writeFile(t, k.private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	writeFile(t, k.public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	loaded, err := policy.LoadPublicKey(k.public)
	must(t, err)
	k.id = loaded.ID()
	return k
}

// target is a place that holds images.
type target struct {
	t     *testing.T
	image string // how arguments start: registry/repository or oci:DIRECTORY
	store registry.Store
	repo  name.Repository
	reg   *registrytest.Registry // nil for a layout
}

func layoutTarget(t *testing.T) target {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	l, err := layout.Open(dir, layout.Options{Create: true})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() }) // it was only a test's
	return target{t: t, image: "oci:" + dir, store: l, repo: l.Repository()}
}

func registryTarget(t *testing.T, o registrytest.Options) target {
	t.Helper()
	reg := registrytest.New(o)
	repo, err := name.NewRepository(registrytest.Start(t, reg) + "/team/app")
	must(t, err)
	return target{t: t, image: repo.Name(), store: reg.Store(), repo: repo, reg: reg}
}

// everywhere runs a test on each kind of store.
func everywhere(t *testing.T, test func(*testing.T, target)) {
	for name, open := range map[string]func(*testing.T) target{
		"layout":   layoutTarget,
		"registry": func(t *testing.T) target { return registryTarget(t, registrytest.Options{}) },
		"registry without referrers API": func(t *testing.T) target {
			return registryTarget(t, registrytest.Options{NoReferrers: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// push makes an image, and returns its digest.
func (x target) push(tag string) name.Digest {
	x.t.Helper()
	d, err := registrytest.PushImage(x.t.Context(), x.store, x.repo.Tag(tag), registrytest.ImageOptions{Seed: tag})
	must(x.t, err)
	return d
}

// pushApp makes an image that does not run as root.
func (x target) pushApp(tag string) name.Digest {
	x.t.Helper()
	image, err := mutate.Config(empty.Image, v1.Config{User: "65532", Entrypoint: []string{"/app"}})
	must(x.t, err)
	d, err := registry.Push(x.t.Context(), x.store, x.repo, image)
	must(x.t, err)
	m, err := registry.ReadManifest(x.t.Context(), x.store, d)
	must(x.t, err)
	_, err = x.store.PushManifest(x.t.Context(), x.repo.Tag(tag), m, registry.PushOptions{})
	must(x.t, err)
	return d
}

func (x target) pushIndex(tag string) (name.Digest, []name.Digest) {
	x.t.Helper()
	d, children, err := registrytest.PushIndex(x.t.Context(), x.store, x.repo.Tag(tag))
	must(x.t, err)
	return d, children
}

// putIndex stores an index that lists descriptors, whatever they lead to.
func (x target) putIndex(tag string, manifests ...v1.Descriptor) name.Digest {
	x.t.Helper()
	text, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: manifests})
	must(x.t, err)
	m, err := registry.NewManifest(string(types.OCIImageIndex), text)
	must(x.t, err)
	_, err = x.store.PushManifest(x.t.Context(), x.repo.Tag(tag), m, registry.PushOptions{})
	must(x.t, err)
	return x.repo.Digest(m.Descriptor.Digest.String())
}

// putIndexOfMany stores an index that lists one image many times.
func (x target) putIndexOfMany(tag string, n int) {
	x.t.Helper()
	x.putIndex(tag, slices.Repeat([]v1.Descriptor{x.describe(x.push(tag + "-image"))}, n)...)
}

func (x target) describe(d name.Digest) v1.Descriptor {
	x.t.Helper()
	desc, err := x.store.Resolve(x.t.Context(), d)
	must(x.t, err)
	return desc
}

// tag and at are arguments for the program.
func (x target) tag(tag string) string   { return x.image + ":" + tag }
func (x target) at(d name.Digest) string { return x.image + "@" + d.DigestStr() }
func (x target) attach(subject name.Digest, item registry.Item) {
	x.t.Helper()
	_, err := registry.Attach(x.t.Context(), x.store, subject, item)
	must(x.t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path string, data []byte) string {
	t.Helper()
	must(t, os.WriteFile(path, data, 0o600))
	return path
}
