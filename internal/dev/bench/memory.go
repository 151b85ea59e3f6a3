package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

// evidenceFiles are the same image's evidence in files.
type evidenceFiles struct {
	digest                        name.Digest
	bundle, attestation           string
	simplePayload, simpleInBase64 string
}

func (s *stage) evidenceFiles(ctx context.Context) (*evidenceFiles, error) {
	e := &evidenceFiles{}
	_, signed, err := s.push(ctx, s.memory)
	if err != nil {
		return nil, err
	}
	e.digest = signed
	o := sign.ImageOptions{Formats: []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}}
	if _, err := sign.Image(ctx, s.memory.client, signed, o, s.signer); err != nil {
		return nil, err
	}
	for item, err := range registry.Evidence(ctx, s.memory.client, signed, registry.Limits{}) {
		if err != nil {
			return nil, err
		}
		switch item.Format {
		case registry.FormatBundle:
			e.bundle = s.file("signature.json", item.Payload, &err)
		case registry.FormatSimpleSigning:
			e.simplePayload = s.file("payload.json", item.Payload, &err)
			e.simpleInBase64 = s.file("signature.txt", []byte(item.Layer.Annotations[simplesigning.AnnotationSignature]), &err)
		}
		if err != nil {
			return nil, err
		}
	}
	statement, err := attest.NewStatement(provenanceOf(0), attest.Subject{
		Name: signed.Context().Name(), Digest: map[string]string{"sha256": signed.DigestStr()[len("sha256:"):]},
	})
	if err != nil {
		return nil, err
	}
	text, err := attest.Bundle(ctx, statement, s.signer)
	if err != nil {
		return nil, err
	}
	e.attestation = s.file("attestation.json", text, &err)
	return e, err
}

func (s *stage) file(name string, content []byte, err *error) string {
	path := filepath.Join(s.dir, name)
	*err = os.WriteFile(path, content, 0o600)
	return path
}

// timed measures microseconds for each operation of a task.
func timed(ctx context.Context, w *worker, t work.Task, last *work.Report) func() (float64, error) {
	return func() (float64, error) {
		r, err := w.do(ctx, t)
		*last = r
		return r.PerOp(float64(r.Wall.Nanoseconds()) / 1000), err
	}
}

// bytesOf is work on bytes at hand, by one contender.
type bytesOf struct {
	who  string
	with *worker
	task work.Task
}

// inMemory measures evidence that is at hand, against the signature check alone.
func (s *stage) inMemory(ctx context.Context) error {
	e, err := s.evidenceFiles(ctx)
	if err != nil {
		return err
	}
	image := []string{e.digest.String()}
	ours := func(do, file string) bytesOf {
		return bytesOf{"Hallmark", s.ours, work.Task{Do: do, Images: image, PublicKey: s.publicKey, Evidence: []string{file}}}
	}
	theirs := func(who, do string, files ...string) bytesOf {
		return bytesOf{who, s.cosign, work.Task{Do: do, Images: image, PublicKey: s.publicKey, Evidence: files}}
	}
	const sigstoreGo = "bundle in memory, sigstore-go"
	floor := bytesOf{"crypto/ecdsa alone", s.ours, work.Task{Do: "raw ECDSA"}}
	ed25519 := bytesOf{"crypto/ed25519 alone", s.ours, work.Task{Do: "raw Ed25519"}}
	cosign := theirs("cosign v2, a .sig", "signature in memory", e.simplePayload, e.simpleInBase64)

	err = s.bytes(ctx, "a bundle that holds a signature, P-256", 1, goal{costs: 1.15, as: floor.who},
		ours("verify bytes", e.bundle), floor, ed25519, theirs("sigstore-go", sigstoreGo, e.bundle), cosign)
	if err != nil {
		return err
	}
	err = s.bytes(ctx, "an attestation, its predicate parsed, P-256", 1, goal{costs: 1.25, as: floor.who},
		ours("attestation bytes", e.attestation), floor, theirs("sigstore-go", sigstoreGo, e.attestation))
	if err != nil {
		return err
	}
	return s.bytes(ctx, "a bundle that holds a signature, P-256, two at a time", 2, goal{costs: 1.15, as: floor.who},
		ours("verify bytes", e.bundle), floor, theirs("sigstore-go", sigstoreGo, e.bundle))
}

// What takes microseconds is measured in many short rounds: what else the
// machine does then falls on all contenders alike.
const (
	inMemoryRepeat = 1000
	inMemoryRounds = 8 // for each round of the others
)

func (s *stage) bytes(ctx context.Context, what string, concurrency int, g goal, contenders ...bytesOf) error {
	reports := make([]work.Report, len(contenders))
	var measures []func() (float64, error)
	for i, c := range contenders {
		c.task.Repeat, c.task.Concurrency = inMemoryRepeat, concurrency
		measures = append(measures, timed(ctx, c.with, c.task, &reports[i]))
	}
	figures, err := rounds(inMemoryRounds*s.repeat, nil, measures...)
	if err != nil {
		return err
	}
	r := row{Section: "in memory", Work: what, Unit: "µs each"}
	for i, c := range contenders {
		r.Entries = append(r.Entries, entry{Who: c.who, figure: figures[i],
			Note: fmt.Sprintf("%.0f allocations, %.1f kB", reports[i].PerOp(float64(reports[i].Allocations)), reports[i].PerOp(float64(reports[i].Bytes))/1000)})
	}
	s.table.add(r, g)
	if concurrency > 1 {
		return nil
	}
	s.table.add(row{Section: "in memory", Work: "  the same", Unit: "allocations each", Entries: []entry{
		{Who: "Hallmark", figure: figureOf([]float64{math.Round(reports[0].PerOp(float64(reports[0].Allocations)))})}, // the loop has a few of its own
	}}, goal{atMost: 50})
	return nil
}

// policies measures decisions by policies of any size. The last rule is
// the one that applies, and its key is one of all.
func (s *stage) policies(ctx context.Context) error {
	e, err := s.evidenceFiles(ctx)
	if err != nil {
		return err
	}
	for _, size := range []struct{ rules, keys int }{{1, 1}, {100, 1}, {10_000, 1}, {1, 1000}, {10_000, 1000}} {
		t := work.Task{Do: "policy", Images: []string{e.digest.String()}, PublicKey: s.publicKey, Evidence: []string{e.bundle},
			Rules: size.rules, Keys: size.keys, Repeat: inMemoryRepeat}
		compile := t
		compile.Do, compile.Repeat = "compile policy", 1
		var decided, compiled work.Report
		figures, err := rounds(inMemoryRounds*s.repeat, nil, timed(ctx, s.ours, t, &decided), timed(ctx, s.ours, compile, &compiled))
		if err != nil {
			return err
		}
		s.table.add(row{Section: "policies", Unit: "µs each, signature included",
			Work: fmt.Sprintf("a decision by %d rules and %d keys", size.rules, size.keys),
			Entries: []entry{{Who: "Hallmark", figure: figures[0], Note: fmt.Sprintf("%.0f allocations; verify.New took %.1f ms",
				decided.PerOp(float64(decided.Allocations)), figures[1].Median/1000)}},
		}, goal{})
	}
	return nil
}
