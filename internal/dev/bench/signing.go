package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// fresh is a contender that gets an image of its own each time.
func (s *stage) fresh(ctx context.Context, p *place, who string, do func(name.Digest) error) contender {
	var digest name.Digest
	return contender{who: who, do: func() error { return do(digest) }, ready: func() (err error) {
		_, digest, err = s.push(ctx, p)
		return err
	}}
}

// run is a contender's command, with the image behind its flags.
func (s *stage) run(ctx context.Context, binary string, args ...string) func(name.Digest) error {
	return func(digest name.Digest) error {
		_, err := s.program(ctx, binary, append(args[:len(args):len(args)], digest.String())...)
		return err
	}
}

// signing measures signatures, with the key on disk, encrypted.
func (s *stage) signing(ctx context.Context) error {
	for i, p := range s.places() {
		r := row{Section: "signing", Work: "sign a digest, on the command line, " + p.name}
		contenders := only(
			s.fresh(ctx, p, "Hallmark", s.run(ctx, s.hallmark, "sign", "--key", s.privateKey)),
			whereHas(s.cosign2 != "", s.fresh(ctx, p, "cosign v2, .sig", s.run(ctx, s.cosign2, "sign", "--yes", "--tlog-upload=false", "--key", s.privateKey))),
			whereHas(s.cosign3 != "", s.fresh(ctx, p, "cosign v3", s.run(ctx, s.cosign3, "sign", "--yes", "--signing-config", s.signingConfig, "--key", s.privateKey))),
			s.fresh(ctx, p, "notation-go", func(d name.Digest) error {
				_, err := s.notation.do(ctx, work.Task{Do: "sign", Images: []string{d.String()}})
				return err
			}),
		)
		if err := s.watch(p, r, goal{atMost: []float64{5, 7}[i]}, contenders...); err != nil {
			return err
		}
		// It looks again later, since a tag can lose what two writers add.
		r.Work = "the same, .sig, " + p.name
		if err := s.watch(p, r, goal{}, s.fresh(ctx, p, "Hallmark", s.run(ctx, s.hallmark, "sign", "--format", "sig", "--key", s.privateKey))); err != nil {
			return err
		}
	}
	return s.recursively(ctx)
}

// recursively signs an index and the ten images that it lists.
func (s *stage) recursively(ctx context.Context) error {
	p := s.memory
	var platforms []v1.Platform
	for i := range 10 {
		platforms = append(platforms, v1.Platform{OS: "linux", Architecture: fmt.Sprintf("cpu%d", i)})
	}
	index := func(who, binary string, args ...string) contender {
		var digest name.Digest
		sign := s.run(ctx, binary, args...)
		return contender{who: who, do: func() error { return sign(digest) }, ready: func() error {
			repo, err := s.repository(p)
			if err != nil {
				return err
			}
			digest, _, err = registrytest.PushIndex(ctx, p.client, repo.Tag("v1"), platforms...)
			return err
		}}
	}
	return s.watch(p, row{Section: "signing", Work: "sign an index and its ten images, on the command line, " + p.name}, goal{}, only(
		index("Hallmark", s.hallmark, "sign", "--recursive", "--key", s.privateKey),
		whereHas(s.cosign2 != "", index("cosign v2, .sig", s.cosign2, "sign", "-r", "--yes", "--tlog-upload=false", "--key", s.privateKey)),
	)...)
}

// attesting measures attestations in a batch.
func (s *stage) attesting(ctx context.Context) error {
	p := s.memory
	images := make([]string, 0, 1000)
	var err error
	var ours, theirs work.Report
	figures, err := s.rounds(func() error {
		if images, err = s.pushMany(ctx, p, cap(images)); err != nil {
			return err
		}
		return nil
	}, func() (float64, error) {
		return s.rate(ctx, p, latency, s.ours, work.Task{Do: "attest", Images: images, PrivateKey: s.privateKey, Concurrency: 64}, &ours)()
	}, func() (float64, error) {
		return s.rate(ctx, p, latency, s.cosign, work.Task{Do: "attest", Images: images[:10], PrivateKey: s.privateKey}, &theirs)()
	})
	if err != nil {
		return err
	}
	s.table.add(row{Section: "attesting", Work: "attest 1,000 images, 64 at a time, 20 ms (cosign: 10, one by one)", Unit: "attestations/s", More: true,
		Entries: []entry{
			{Who: "Hallmark", figure: figures[0], Note: fmt.Sprintf("read back; CPU %.1f ms each, peak %.0f MB", ours.PerOp(milliseconds(ours.CPU)), float64(ours.Peak)/1e6)},
			{Who: "cosign v2 library", figure: figures[1], Note: fmt.Sprintf("CPU %.1f ms each", theirs.PerOp(milliseconds(theirs.CPU)))},
		}}, goal{times: 10, as: "cosign v2 library"})
	return s.attestOne(ctx)
}

func (s *stage) attestOne(ctx context.Context) error {
	for _, p := range s.places() {
		err := s.watch(p, row{Section: "attesting", Work: "attest one image, as a library, " + p.name}, goal{},
			s.fresh(ctx, p, "Hallmark", func(d name.Digest) error {
				_, err := s.ours.do(ctx, work.Task{Do: "attest", Images: []string{d.String()}, PrivateKey: s.privateKey})
				return err
			}),
			s.fresh(ctx, p, "cosign v2 library, .att", func(d name.Digest) error {
				_, err := s.cosign.do(ctx, work.Task{Do: "attest", Images: []string{d.String()}, PrivateKey: s.privateKey})
				return err
			}))
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) pushMany(ctx context.Context, p *place, n int) ([]string, error) {
	repo, err := s.repository(p)
	if err != nil {
		return nil, err
	}
	all := make([]string, 0, n)
	for i := range n {
		digest, err := registrytest.PushImage(ctx, p.client, repo.Tag(fmt.Sprintf("v%d", i)), registrytest.ImageOptions{Seed: fmt.Sprint(repo, i)})
		if err != nil {
			return nil, err
		}
		all = append(all, digest.String())
	}
	return all, nil
}

// commandLine measures whole processes without latency.
func (s *stage) commandLine(ctx context.Context) error {
	images, err := s.signed(ctx, s.memory, 1, registry.FormatSimpleSigning)
	if err != nil {
		return err
	}
	for _, way := range []struct {
		what       string
		wall, peak float64
		args       [3][]string
	}{
		{"verify, by digest", 12, 16, [3][]string{
			{"verify", "--key", s.publicKey, images[0]},
			{"verify", "--insecure-ignore-tlog=true", "--key", s.publicKey, images[0]},
			{"verify", "--insecure-ignore-tlog=true", "--trusted-root", s.rootOfNone, "--key", s.publicKey, images[0]},
		}},
		{"start-up (version)", 7, 0, [3][]string{{"version"}, {"version"}, {"version"}}},
	} {
		if err := s.processes(ctx, way.what, way.wall, way.peak, way.args); err != nil {
			return err
		}
	}
	return nil
}

// processesEach is how many runs make one measurement of a program that takes
// milliseconds.
const processesEach = 10

func (s *stage) processes(ctx context.Context, what string, wall, peak float64, args [3][]string) error {
	var who []string
	var peaks, cpus []float64
	var measures []func() (float64, error)
	for i, binary := range []string{s.hallmark, s.cosign2, s.cosign3} {
		if binary == "" {
			continue
		}
		at := len(who)
		who = append(who, []string{"Hallmark", "cosign v2", "cosign v3"}[i])
		peaks, cpus = append(peaks, 0), append(cpus, 0)
		measures = append(measures, func() (float64, error) {
			var all []float64
			for range processesEach {
				r, err := s.program(ctx, binary, args[i]...)
				if err != nil {
					return 0, err
				}
				all = append(all, milliseconds(r.Wall))
				peaks[at], cpus[at] = max(peaks[at], float64(r.Peak)/1e6), milliseconds(r.CPU)
			}
			return figureOf(all).Median, nil
		})
	}
	figures, err := s.rounds(nil, measures...)
	if err != nil {
		return err
	}
	times := row{Section: "command line", Work: what + ", in-memory, no latency", Unit: "ms"}
	memory := row{Section: "command line", Work: "  the same", Unit: "MB at its peak"}
	for i, f := range figures {
		times.Entries = append(times.Entries, entry{Who: who[i], figure: f, Note: fmt.Sprintf("CPU %.0f ms", cpus[i])})
		memory.Entries = append(memory.Entries, entry{Who: who[i], figure: figureOf(peaks[i : i+1])})
	}
	s.table.add(times, goal{atMost: wall})
	if peak > 0 {
		s.table.add(memory, goal{atMost: peak})
	}
	return nil
}
