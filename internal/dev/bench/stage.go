package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
)

// stage is what the measurements use.
type stage struct {
	options
	dir   string
	table *table

	// memory has the referrers API; plain, where distribution is at hand, has
	// not.
	memory, plain *place

	// top is the directory of the root module, and here that of the benchmark's.
	top, here string
	// ours, cosign and notation are workers.
	ours, cosign, notation *worker
	// launch starts programs.
	launch *worker
	// hallmark is our command; cosign2 and cosign3 are the peers', "" where
	// they are missing.
	hallmark, cosign2, cosign3 string

	signer, stranger          sign.Signer
	publicKey, privateKey     string // files
	signingConfig, rootOfNone string // files for cosign 3: no services
	used                      int    // repositories
	stops                     []func()
}

// place is a registry behind a recorder.
type place struct {
	name   string
	host   string
	rec    *recorder
	client *remote.Client
}

func newStage(ctx context.Context, o options, t *table) (*stage, error) {
	dir, err := os.MkdirTemp("", "hallmark-bench-")
	if err != nil {
		return nil, err
	}
	s := &stage{options: o, dir: dir, table: t}
	s.stops = append(s.stops, func() { _ = os.RemoveAll(dir) }) // scratch
	for _, step := range []func(context.Context) error{s.keys, s.registries, s.programs, s.workers} {
		if err := step(ctx); err != nil {
			s.end()
			return nil, err
		}
	}
	return s, nil
}

func (s *stage) end() {
	for i := len(s.stops) - 1; i >= 0; i-- {
		s.stops[i]()
	}
}

// places are the registries at hand.
func (s *stage) places() []*place {
	if s.plain == nil {
		return []*place{s.memory}
	}
	return []*place{s.memory, s.plain}
}

const (
	noServices   = `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}`
	trustNothing = `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`
)

func (s *stage) keys(ctx context.Context) error {
	s.privateKey, s.publicKey = filepath.Join(s.dir, "bench.key"), filepath.Join(s.dir, "bench.pub")
	pair, err := sign.Generate(ctx, sign.KeyOptions{Password: []byte(work.Password), PrivatePath: s.privateKey, PublicPath: s.publicKey})
	if err != nil {
		return err
	}
	other, err := sign.Generate(ctx, sign.KeyOptions{Password: []byte(work.Password)})
	if err != nil {
		return err
	}
	s.signer, s.stranger = pair.Signer, other.Signer
	s.signingConfig, s.rootOfNone = filepath.Join(s.dir, "services.json"), filepath.Join(s.dir, "root.json")
	return errors.Join(os.WriteFile(s.signingConfig, []byte(noServices), 0o600), os.WriteFile(s.rootOfNone, []byte(trustNothing), 0o600))
}

func (s *stage) registries(context.Context) error {
	var err error
	if s.memory, err = s.place("in-memory", &recorder{next: registrytest.New(registrytest.Options{})}); err != nil {
		return err
	}
	binary := s.tool("distribution")
	if binary == "" {
		return nil
	}
	address, stop, err := startDistribution(binary, filepath.Join(s.dir, "distribution"))
	if err != nil {
		return err
	}
	s.stops = append(s.stops, stop)
	s.plain, err = s.place("distribution", before(address))
	return err
}

func (s *stage) place(name string, rec *recorder) (*place, error) {
	host, stop, err := registrytest.Serve(rec)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, stop)
	client, err := remote.New(remote.Options{Keychain: authn.NewMultiKeychain()})
	return &place{name, host, rec, client}, err
}

// tool finds a peer's program; "" where it is missing.
func (s *stage) tool(name string) string {
	path, err := exec.LookPath(filepath.Join(s.tools, name))
	if err != nil {
		return ""
	}
	return path
}

func (s *stage) programs(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/hallmark-oci/hallmark").Output()
	if err != nil {
		return fmt.Errorf("run it as go run -C internal/dev/bench . does: %w", err)
	}
	s.top = strings.TrimSpace(string(out))
	s.here = filepath.Join(s.top, "internal", "dev", "bench")
	s.cosign2, s.cosign3 = s.tool("cosign2"), s.tool("cosign3")
	s.hallmark = filepath.Join(s.dir, "hallmark")
	return s.build(ctx, s.hallmark, s.top, "./examples/hallmark")
}

// build compiles a package stripped, as it would be shipped. dir is the module
// that it belongs to: each has versions of its own.
func (s *stage) build(ctx context.Context, binary, dir, pkg string) error {
	s.progress("building %s", pkg)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return nil
}

func (s *stage) workers(ctx context.Context) error {
	for _, w := range []struct {
		name string
		to   **worker
	}{{"launch", &s.launch}, {"hallmark", &s.ours}, {"cosign", &s.cosign}, {"notation", &s.notation}} {
		binary := filepath.Join(s.dir, w.name+"-worker")
		if err := s.build(ctx, binary, s.here, "./"+w.name); err != nil {
			return err
		}
		started, err := startWorker(w.name, binary, s.dir)
		if err != nil {
			return err
		}
		s.stops = append(s.stops, started.end)
		*w.to = started
	}
	return nil
}

func (s *stage) progress(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// repository is one that nothing has been written to.
func (s *stage) repository(p *place) (name.Repository, error) {
	s.used++
	return name.NewRepository(fmt.Sprintf("%s/bench/app-%d", p.host, s.used))
}

// push pushes an image that is like no other, and tags it.
func (s *stage) push(ctx context.Context, p *place) (name.Tag, name.Digest, error) {
	repo, err := s.repository(p)
	if err != nil {
		return name.Tag{}, name.Digest{}, err
	}
	tag := repo.Tag("v1")
	digest, err := registrytest.PushImage(ctx, p.client, tag, registrytest.ImageOptions{Seed: repo.Name()})
	return tag, digest, err
}

// rounds measures something several times, each contender in turn, and gives each
// one's figures. At the start of each round things are made ready.
func (s *stage) rounds(ready func() error, contenders ...func() (float64, error)) ([]figure, error) {
	return rounds(s.repeat, ready, contenders...)
}

func rounds(n int, ready func() error, contenders ...func() (float64, error)) ([]figure, error) {
	all := make([][]float64, len(contenders))
	for range n {
		if ready != nil {
			if err := ready(); err != nil {
				return nil, err
			}
		}
		for i, measure := range contenders {
			v, err := measure()
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], v)
		}
	}
	figures := make([]figure, len(all))
	for i, values := range all {
		figures[i] = figureOf(values)
	}
	return figures, nil
}

// watched runs something with a latency, and says how many requests it took, how
// many of them one after another, and how long.
func (p *place) watched(latency time.Duration, do func() error) (requests, inSequence int, wall time.Duration, err error) {
	p.rec.latency.Store(int64(latency))
	defer p.rec.latency.Store(0)
	p.rec.forget()
	began := time.Now()
	err = do()
	wall = time.Since(began)
	requests, inSequence = p.rec.count()
	return requests, inSequence, wall, err
}
