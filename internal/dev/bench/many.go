package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// signed pushes images into one repository and signs them in a format.
func (s *stage) signed(ctx context.Context, p *place, n int, format registry.Format) ([]string, error) {
	repo, err := s.repository(p)
	if err != nil {
		return nil, err
	}
	var all []string
	o := sign.ImageOptions{Formats: []registry.Format{format}}
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

// signedByCosign pushes as many images as there are, and has cosign v2 write their
// signatures: a .sig, or a bundle whose content is ours.
func (s *stage) signedByCosign(ctx context.Context, p *place, n int, format string) ([]string, error) {
	images, err := s.pushMany(ctx, p, n)
	if err != nil {
		return nil, err
	}
	t := work.Task{Do: "sign", Images: images, PrivateKey: s.privateKey, Format: format}
	if format == work.Bundle {
		for i, image := range images {
			text, err := s.signatureBundle(ctx, image)
			if err != nil {
				return nil, err
			}
			t.Evidence = append(t.Evidence, s.file(fmt.Sprintf("bundle-%d.json", i), text, &err))
			if err != nil {
				return nil, err
			}
		}
	}
	_, err = s.cosign.do(ctx, t)
	return images, err
}

// signatureBundle signs an image's digest, and attaches nothing.
func (s *stage) signatureBundle(ctx context.Context, image string) ([]byte, error) {
	_, hex, _ := strings.Cut(image, "@sha256:")
	statement, err := attest.NewStatement(signaturePredicate{}, attest.Subject{Digest: map[string]string{"sha256": hex}})
	if err != nil {
		return nil, err
	}
	return attest.Bundle(ctx, statement, s.signer)
}

// signaturePredicate makes a statement an image signature (cosign's sign/v1).
type signaturePredicate struct{}

func (signaturePredicate) PredicateType() string { return intoto.PredicateSignature }

// manyImages measures a process that verifies many of them.
func (s *stage) manyImages(ctx context.Context) error {
	for _, format := range []struct {
		as string
		of registry.Format
	}{{work.Tag, registry.FormatSimpleSigning}, {work.Bundle, registry.FormatBundle}} {
		ours, err := s.signed(ctx, s.memory, 200, format.of)
		if err != nil {
			return err
		}
		theirs, err := s.signedByCosign(ctx, s.memory, 200, format.as)
		if err != nil {
			return err
		}
		if err := s.coldImages(ctx, ours, theirs, format.as); err != nil {
			return err
		}
	}
	images, err := s.signed(ctx, s.memory, 1000, registry.FormatBundle)
	if err != nil {
		return err
	}
	for _, delay := range []time.Duration{0, 50 * time.Millisecond} {
		if err := s.thousand(ctx, images, delay); err != nil {
			return err
		}
	}
	return s.warm(ctx, images[:1])
}

// coldImages measures 200 images, 16 at a time: those that each has signed, and
// those that the other has. What we write spares cosign a round trip too.
func (s *stage) coldImages(ctx context.Context, ours, theirs []string, format string) error {
	task := func(images []string, shared bool) work.Task {
		return work.Task{Do: "verify", Images: images, PublicKey: s.publicKey, Format: format, Concurrency: 16, Shared: shared}
	}
	contenders := []struct {
		who  string
		with *worker
		task work.Task
	}{
		{"Hallmark", s.ours, task(ours, false)},
		{"cosign v2 library", s.cosign, task(theirs, false)},
		{"with a shared puller", s.cosign, task(theirs, true)},
		{"Hallmark, of cosign's", s.ours, task(theirs, false)},
		{"cosign, of Hallmark's", s.cosign, task(ours, false)},
		{"shared, of Hallmark's", s.cosign, task(ours, true)},
	}
	reports := make([]work.Report, len(contenders))
	var measures []func() (float64, error)
	for i, c := range contenders {
		measures = append(measures, s.rate(ctx, s.memory, latency, c.with, c.task, &reports[i]))
	}
	figures, err := s.rounds(nil, measures...)
	if err != nil {
		return err
	}
	rate := row{Section: "many images", Work: "200 images, 16 at a time, 20 ms, " + format, Unit: "verifications/s", More: true}
	allocations := row{Section: "many images", Work: "  the same", Unit: "allocations each"}
	for i, r := range reports {
		rate.Entries = append(rate.Entries, entry{Who: contenders[i].who, figure: figures[i],
			Note: fmt.Sprintf("CPU %.2f ms each, peak %.0f MB", r.PerOp(milliseconds(r.CPU)), float64(r.Peak)/1e6)})
		allocations.Entries = append(allocations.Entries, entry{Who: contenders[i].who, figure: figureOf([]float64{r.PerOp(float64(r.Allocations))}),
			Note: fmt.Sprintf("%.0f kB each", r.PerOp(float64(r.Bytes))/1000)})
	}
	best := rate
	best.Work, best.Entries = "  the same, against cosign's best", []entry{rate.Entries[0], rate.Entries[2]}
	s.table.add(rate, goal{times: 3, as: contenders[1].who})
	s.table.add(best, goal{times: 1.5, as: contenders[2].who})
	s.table.add(allocations, goal{times: 2, as: contenders[1].who})
	return nil
}

func (s *stage) thousand(ctx context.Context, images []string, delay time.Duration) error {
	for _, concurrency := range []int{1, 16} {
		if delay > 0 && concurrency == 1 {
			continue // nothing but waiting
		}
		t := work.Task{Do: "verify", Images: images, PublicKey: s.publicKey, Format: work.Bundle, Concurrency: concurrency}
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
