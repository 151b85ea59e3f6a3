package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/sign"
)

// sizes are how many pieces of evidence an image has.
var sizes = []int{1, 10, 100, 1000}

// Peers take two requests in sequence for each piece of evidence, and are measured
// once where that takes the better part of a minute.
const mostForRounds = 100

// cost is what one cold verification of one image took. What a program's cost
// covers includes its start; a library's does not.
type cost struct {
	chain, requests, wall, cpu, allocations, peak float64
}

// costs are the columns of a cost. A program does not tell its allocations.
var costs = []struct {
	unit string
	of   func(cost) float64
	most float64 // that Hallmark aims at; 0: nothing
}{
	{"round trips in sequence", func(c cost) float64 { return c.chain }, 2},
	{"requests", func(c cost) float64 { return c.requests }, 0},
	{"ms", func(c cost) float64 { return c.wall }, 0},
	{"ms of CPU", func(c cost) float64 { return c.cpu }, 0},
	{"allocations", func(c cost) float64 { return c.allocations }, 0},
	{"MB at its peak", func(c cost) float64 { return c.peak }, 0},
}

// verifierOf is a contender that tells what a task has cost its process.
type verifierOf struct {
	who string
	do  func() (work.Report, error)
}

// growth measures what a verification costs against the pieces of evidence, of
// which the last alone is by a key that is trusted.
func (s *stage) growth(ctx context.Context) error {
	p := s.memory
	curves := plot{Title: "Verifying one image, 20 ms to the registry", X: "pieces of evidence", Y: "milliseconds"}
	for _, n := range sizes {
		tag, digest, err := s.push(ctx, p)
		if err != nil {
			return err
		}
		if err := s.attestations(ctx, p, digest, s.stranger, n-1); err != nil {
			return err
		}
		if _, err := sign.Image(ctx, p.client, digest, sign.ImageOptions{}, s.signer); err != nil {
			return err
		}
		if err := s.grown(ctx, p, digest, n, &curves); err != nil {
			return err
		}
		r := row{Section: "much evidence", Work: fmt.Sprintf("%s, by tag", pieces(n))}
		if err := s.watch(p, r, goal{atMost: 3}, s.weVerify(ctx, tag)); err != nil {
			return err
		}
	}
	s.table.Curves = append(s.table.Curves, curves)
	return nil
}

func pieces(n int) string {
	if n == 1 {
		return "1 piece of evidence, 20 ms"
	}
	return fmt.Sprintf("%d pieces of evidence, the last one good, 20 ms", n)
}

func (s *stage) grown(ctx context.Context, p *place, digest name.Digest, n int, curves *plot) error {
	r := row{Section: "much evidence", Work: pieces(n) + ", by digest"}
	var all [][]cost
	for i, v := range s.verifiersOf(ctx, digest) {
		repeat := s.repeat
		if i > 0 && n > mostForRounds {
			repeat = 1
		}
		measured, err := p.costs(repeat, v.do)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", r.Work, v.who, err)
		}
		all = append(all, measured)
		r.Entries = append(r.Entries, entry{Who: v.who})
	}
	for i, column := range costs {
		x := r
		x.Unit, x.Entries = column.unit, nil
		if i > 0 {
			x.Work = "  the same"
		}
		for who, measured := range all {
			if f := figureOf(each(measured, column.of)); f.High > 0 {
				x.Entries = append(x.Entries, entry{Who: r.Entries[who].Who, figure: f})
			}
		}
		s.table.add(x, goal{atMost: column.most})
	}
	for who, measured := range all {
		curves.add(r.Entries[who].Who, float64(n), figureOf(each(measured, func(c cost) float64 { return c.wall })).Median)
	}
	return nil
}

// verifiersOf are those that verify the image, ours first.
func (s *stage) verifiersOf(ctx context.Context, digest name.Digest) []verifierOf {
	t := work.Task{Do: "verify", Images: []string{digest.String()}, PublicKey: s.publicKey, Format: work.Bundle}
	all := []verifierOf{
		{"Hallmark", func() (work.Report, error) { return s.ours.do(ctx, t) }},
		{"cosign v2 library", func() (work.Report, error) { return s.cosign.do(ctx, t) }},
	}
	if s.cosign3 != "" {
		all = append(all, verifierOf{"cosign v3, its start included", func() (work.Report, error) {
			return s.program(ctx, s.cosign3, s.cosign3Arguments("verify", digest)...)
		}})
	}
	return all
}

// costs measures something so many times.
func (p *place) costs(repeat int, do func() (work.Report, error)) ([]cost, error) {
	var all []cost
	for range repeat {
		var report work.Report
		requests, chain, _, err := p.watched(latency, func() (err error) {
			report, err = do()
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, cost{
			chain: float64(chain), requests: float64(requests), wall: milliseconds(report.Wall), cpu: milliseconds(report.CPU),
			allocations: float64(report.Allocations), peak: float64(report.Peak) / 1e6,
		})
	}
	return all, nil
}

func each(all []cost, of func(cost) float64) []float64 {
	var values []float64
	for _, c := range all {
		values = append(values, of(c))
	}
	return values
}
