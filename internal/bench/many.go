package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/internal/bench/work"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// signed pushes images into one repository and signs them in both formats.
func (s *stage) signed(ctx context.Context, p *place, n int) ([]string, error) {
	repo, err := s.repository(p)
	if err != nil {
		return nil, err
	}
	var all []string
	o := sign.ImageOptions{Formats: []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}}
	for i := range n {
		digest, err := registrytest.PushImage(ctx, p.client, repo.Tag(fmt.Sprintf("v%d", i)), registrytest.ImageOptions{Seed: fmt.Sprint(repo, i)})
		if err != nil {
			return nil, err
		}
		if _, err := sign.Image(ctx, p.client, digest, o, s.signer); err != nil {
			return nil, err
		}
		all = append(all, digest.String())
	}
	return all, nil
}

// rate is how many operations a task does in a second, with a latency.
func (s *stage) rate(ctx context.Context, p *place, delay time.Duration, w *worker, t work.Task, last *work.Report) func() (float64, error) {
	return func() (float64, error) {
		p.rec.latency.Store(int64(delay))
		defer p.rec.latency.Store(0)
		p.rec.forget()
		r, err := w.do(ctx, t)
		*last = r
		return float64(r.Ops) / r.Wall.Seconds(), err
	}
}

// manyImages measures a process that verifies many of them.
func (s *stage) manyImages(ctx context.Context) error {
	images, err := s.signed(ctx, s.memory, 1000)
	if err != nil {
		return err
	}
	for _, format := range []string{work.Tag, work.Bundle} {
		if err := s.coldImages(ctx, images, format); err != nil {
			return err
		}
	}
	for _, delay := range []time.Duration{0, 50 * time.Millisecond} {
		if err := s.thousand(ctx, images, delay); err != nil {
			return err
		}
	}
	return s.warm(ctx, images[:1])
}

// coldImages measures 200 images, 16 at a time: ours against cosign v2 as a
// library, as it comes and at its best.
func (s *stage) coldImages(ctx context.Context, images []string, format string) error {
	t := work.Task{Do: "verify", Images: images[:200], PublicKey: s.publicKey, Format: format, Concurrency: 16}
	shared := t
	shared.Shared = true
	var reports [3]work.Report
	figures, err := s.rounds(nil,
		s.rate(ctx, s.memory, latency, s.ours, t, &reports[0]),
		s.rate(ctx, s.memory, latency, s.cosign, t, &reports[1]),
		s.rate(ctx, s.memory, latency, s.cosign, shared, &reports[2]),
	)
	if err != nil {
		return err
	}
	who := []string{"Hallmark", "cosign v2 library", "with a shared puller"}
	rate := row{Section: "many images", Work: "200 images, 16 at a time, 20 ms, " + format, Unit: "verifications/s", More: true}
	allocations := row{Section: "many images", Work: "the same", Unit: "allocations each"}
	for i, r := range reports {
		rate.Entries = append(rate.Entries, entry{Who: who[i], figure: figures[i],
			Note: fmt.Sprintf("CPU %.2f ms each, peak %.0f MB", r.PerOp(milliseconds(r.CPU)), float64(r.Peak)/1e6)})
		allocations.Entries = append(allocations.Entries, entry{Who: who[i], figure: figureOf([]float64{r.PerOp(float64(r.Allocations))}),
			Note: fmt.Sprintf("%.0f kB each", r.PerOp(float64(r.Bytes))/1000)})
	}
	s.table.add(rate, goal{times: 3, as: who[1]})
	best := rate
	best.Work, best.Entries = "  against its best", append([]entry{rate.Entries[0]}, rate.Entries[2])
	s.table.add(best, goal{times: 1.5, as: who[2]})
	s.table.add(allocations, goal{times: 2, as: who[1]})
	return nil
}

func (s *stage) thousand(ctx context.Context, images []string, delay time.Duration) error {
	for _, concurrency := range []int{1, 16} {
		if delay > 0 && concurrency == 1 {
			continue // nothing but waiting
		}
		t := work.Task{Do: "verify", Images: images, PublicKey: s.publicKey, Format: work.Tag, Concurrency: concurrency}
		var ours, theirs work.Report
		figures, err := s.rounds(nil,
			s.rate(ctx, s.memory, delay, s.ours, t, &ours),
			s.rate(ctx, s.memory, delay, s.cosign, t, &theirs),
		)
		if err != nil {
			return err
		}
		r := row{Section: "many images", Unit: "verifications/s", More: true,
			Work: fmt.Sprintf("1,000 images, %d at a time, %d ms", concurrency, delay.Milliseconds())}
		for i, report := range []work.Report{ours, theirs} {
			r.Entries = append(r.Entries, entry{Who: []string{"Hallmark", "cosign v2 library"}[i], figure: figures[i],
				Note: fmt.Sprintf("CPU %.2f ms each, peak %.0f MB", report.PerOp(milliseconds(report.CPU)), float64(report.Peak)/1e6)})
		}
		s.table.add(r, goal{})
	}
	return nil
}

// warm measures the same image again, whose decision is kept.
func (s *stage) warm(ctx context.Context, images []string) error {
	t := work.Task{Do: "verify warm", Images: images, PublicKey: s.publicKey, Repeat: 500_000}
	var last work.Report
	figures, err := s.rounds(nil, s.rate(ctx, s.memory, 0, s.ours, t, &last))
	if err != nil {
		return err
	}
	requests, _ := s.memory.rec.count()
	s.table.add(row{Section: "many images", Work: "the same image again, its decision kept, one core", Unit: "decisions/s", More: true,
		Entries: []entry{{Who: "Hallmark", figure: figures[0], Note: fmt.Sprintf("%.1f allocations each, the heap has grown by %d bytes; %d requests before", last.PerOp(float64(last.Allocations)), last.Growth, requests)}},
	}, goal{atLeast: 500_000})
	return nil
}
