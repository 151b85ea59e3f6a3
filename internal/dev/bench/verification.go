package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// latency is that of a registry in the same region.
const latency = 20 * time.Millisecond

// contender does one thing before a registry.
type contender struct {
	who string
	do  func() error
	// ready, if any, is done before each time, and is not measured.
	ready func() error
}

// watch measures the round trips in sequence that each contender takes, and notes
// requests and time.
func (s *stage) watch(p *place, r row, g goal, contenders ...contender) error {
	notes := make([]string, len(contenders))
	var measures []func() (float64, error)
	for i, c := range contenders {
		measures = append(measures, func() (float64, error) {
			if c.ready != nil {
				if err := c.ready(); err != nil {
					return 0, err
				}
			}
			requests, inSequence, wall, err := p.watched(latency, c.do)
			notes[i] = fmt.Sprintf("%d requests, %d ms", requests, wall.Milliseconds())
			return float64(inSequence), err
		})
	}
	figures, err := s.rounds(nil, measures...)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Work, err)
	}
	for i, c := range contenders {
		r.Entries = append(r.Entries, entry{Who: c.who, figure: figures[i], Note: notes[i]})
	}
	r.Unit = "round trips in sequence"
	s.table.add(r, g)
	return nil
}

// The contenders that verify one image.

func (s *stage) weVerify(ctx context.Context, ref name.Reference) contender {
	return s.task(ctx, "Hallmark", s.ours, work.Task{Do: "verify", Images: []string{ref.String()}, PublicKey: s.publicKey})
}

func (s *stage) cosign2Verifies(ctx context.Context, ref name.Reference) contender {
	return contender{who: "cosign v2", do: func() error {
		_, err := s.program(ctx, s.cosign2, "verify", "--insecure-ignore-tlog=true", "--key", s.publicKey, ref.String())
		return err
	}}
}

func (s *stage) cosign3Verifies(ctx context.Context, command string, ref name.Reference) contender {
	return contender{who: "cosign v3", do: func() error {
		_, err := s.program(ctx, s.cosign3, s.cosign3Arguments(command, ref)...)
		return err
	}}
}

func (s *stage) cosign3Arguments(command string, ref name.Reference) []string {
	args := []string{command, "--insecure-ignore-tlog=true", "--trusted-root", s.rootOfNone, "--key", s.publicKey}
	if command == "verify-attestation" {
		args = append(args, "--type", "slsaprovenance1")
	}
	return append(args, ref.String())
}

func (s *stage) task(ctx context.Context, who string, w *worker, t work.Task) contender {
	return contender{who: who, do: func() error {
		_, err := w.do(ctx, t)
		return err
	}}
}

// only are the contenders whose program is at hand.
func only(list ...contender) []contender {
	var kept []contender
	for _, c := range list {
		if c.do != nil {
			kept = append(kept, c)
		}
	}
	return kept
}

// whereHas is a contender if its program is there.
func whereHas(there bool, c contender) contender {
	if !there {
		return contender{}
	}
	return c
}

// roundTrips measures one cold verification.
func (s *stage) roundTrips(ctx context.Context) error {
	for _, p := range s.places() {
		for _, measure := range []func(context.Context, *place) error{s.bundlesOfCosign, s.bundlesOfOurs, s.simpleSignatures} {
			if err := measure(ctx, p); err != nil {
				return err
			}
		}
	}
	return s.tokens(ctx)
}

// eachWay measures an image by tag and by digest.
func (s *stage) eachWay(p *place, what string, byTag, byDigest float64, tag name.Tag, digest name.Digest, of func(name.Reference) []contender) error {
	for _, way := range []struct {
		by    string
		ref   name.Reference
		bound float64
	}{{"tag", tag, byTag}, {"digest", digest, byDigest}} {
		r := row{Section: "one cold verification", Work: fmt.Sprintf("%s, by %s, %s", what, way.by, p.name)}
		if err := s.watch(p, r, goal{atMost: way.bound}, of(way.ref)...); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) bundlesOfCosign(ctx context.Context, p *place) error {
	if s.cosign3 == "" {
		return nil
	}
	tag, digest, err := s.push(ctx, p)
	if err != nil {
		return err
	}
	if _, err := s.program(ctx, s.cosign3, "sign", "--yes", "--signing-config", s.signingConfig, "--key", s.privateKey, digest.String()); err != nil {
		return err
	}
	theirs, theirDigest, err := s.notationSigned(ctx, p)
	if err != nil {
		return err
	}
	return s.eachWay(p, "a bundle that cosign v3 has written", 4, 3, tag, digest, func(ref name.Reference) []contender {
		by := name.Reference(theirs)
		if _, isDigest := ref.(name.Digest); isDigest {
			by = theirDigest
		}
		return only(s.weVerify(ctx, ref), s.cosign3Verifies(ctx, "verify", ref),
			s.task(ctx, "notation-go, its own", s.notation, work.Task{Do: "verify", Images: []string{by.String()}}))
	})
}

// notationSigned is an image that notation-go has signed.
func (s *stage) notationSigned(ctx context.Context, p *place) (name.Tag, name.Digest, error) {
	tag, digest, err := s.push(ctx, p)
	if err != nil {
		return tag, digest, err
	}
	_, err = s.notation.do(ctx, work.Task{Do: "sign", Images: []string{digest.String()}})
	return tag, digest, err
}

func (s *stage) bundlesOfOurs(ctx context.Context, p *place) error {
	tag, digest, err := s.push(ctx, p)
	if err != nil {
		return err
	}
	if _, err := sign.Image(ctx, p.client, digest, sign.ImageOptions{}, s.signer); err != nil {
		return err
	}
	contenders := func(ref name.Reference) []contender {
		return only(s.weVerify(ctx, ref), whereHas(s.cosign3 != "", s.cosign3Verifies(ctx, "verify", ref)))
	}
	if err := s.eachWay(p, "a bundle of ours", 3, 2, tag, digest, contenders); err != nil {
		return err
	}
	if err := s.attestations(ctx, p, digest, s.signer, 1); err != nil {
		return err
	}
	r := row{Section: "one cold verification", Work: "the same with an attestation beside it, by digest, " + p.name}
	return s.watch(p, r, goal{atMost: 2}, contenders(digest)...)
}

func (s *stage) simpleSignatures(ctx context.Context, p *place) error {
	tag, digest, err := s.push(ctx, p)
	if err != nil {
		return err
	}
	o := sign.ImageOptions{Formats: []registry.Format{registry.FormatSimpleSigning}}
	if _, err := sign.Image(ctx, p.client, digest, o, s.signer); err != nil {
		return err
	}
	return s.eachWay(p, "a .sig", 3, 2, tag, digest, func(ref name.Reference) []contender {
		return only(s.weVerify(ctx, ref), whereHas(s.cosign2 != "", s.cosign2Verifies(ctx, ref)))
	})
}

// attestations attaches so many of them.
func (s *stage) attestations(ctx context.Context, p *place, digest name.Digest, by sign.Signer, n int) error {
	for i := range n {
		if _, err := attest.Image(ctx, p.client, digest, provenanceOf(i), attest.Options{}, by); err != nil {
			return err
		}
	}
	return nil
}

// provenanceOf is that of a run of the build.
func provenanceOf(run int) predicate.Provenance {
	return predicate.Provenance{
		BuildDefinition: predicate.BuildDefinition{BuildType: "https://ci.example/build", ExternalParameters: map[string]any{"run": run}},
		RunDetails:      predicate.RunDetails{Builder: predicate.Builder{ID: "https://ci.example/builder"}},
	}
}

// tokens measures what a registry that demands tokens adds.
func (s *stage) tokens(ctx context.Context) error {
	guarded := registrytest.New(registrytest.Options{Auth: &registrytest.TokenAuth{AnonymousPull: true}})
	p, err := s.place("with tokens", &recorder{next: guarded})
	if err != nil {
		return err
	}
	// The content is put there from behind: no token is at hand afterwards.
	store := guarded.Store()
	var digests []string
	for range 3 {
		repo, err := s.repository(p)
		if err != nil {
			return err
		}
		digest, err := registrytest.PushImage(ctx, store, repo.Tag("v1"), registrytest.ImageOptions{Seed: repo.Name()})
		if err != nil {
			return err
		}
		if _, err := sign.Image(ctx, store, digest, sign.ImageOptions{}, s.signer); err != nil {
			return err
		}
		digests = append(digests, digest.String())
	}
	first, err := name.NewDigest(digests[0])
	if err != nil {
		return err
	}
	r := row{Section: "one cold verification", Work: "a bundle of ours, by digest, where tokens are demanded"}
	contenders := only(s.weVerify(ctx, first), whereHas(s.cosign3 != "", s.cosign3Verifies(ctx, "verify", first)))
	if err := s.watch(p, r, goal{atMost: 4}, contenders...); err != nil {
		return err
	}
	r.Work = "the same, ten times in one process"
	return s.watch(p, r, goal{atMost: 2*10 + 2}, s.task(ctx, "Hallmark", s.ours, work.Task{
		Do: "verify", Images: digests[:1], PublicKey: s.publicKey, Repeat: 10,
	}))
}

// muchEvidence measures images with more than one piece of it.
func (s *stage) muchEvidence(ctx context.Context) error {
	for _, p := range s.places() {
		if err := s.amongOthers(ctx, p); err != nil {
			return err
		}
		if err := s.twentyAttestations(ctx, p); err != nil {
			return err
		}
	}
	return s.growth(ctx)
}

func (s *stage) amongOthers(ctx context.Context, p *place) error {
	_, digest, err := s.push(ctx, p)
	if err != nil {
		return err
	}
	for i := range 20 {
		if err := attachOther(ctx, p, digest, i); err != nil {
			return err
		}
	}
	if _, err := sign.Image(ctx, p.client, digest, sign.ImageOptions{}, s.signer); err != nil {
		return err
	}
	r := row{Section: "much evidence", Work: "1 signature among 20 other referrers, by digest, " + p.name}
	return s.watch(p, r, goal{atMost: 2}, only(s.weVerify(ctx, digest), whereHas(s.cosign3 != "", s.cosign3Verifies(ctx, "verify", digest)))...)
}

// attachOther adds a referrer that is not evidence.
func attachOther(ctx context.Context, p *place, digest name.Digest, n int) error {
	subject, err := p.client.Resolve(ctx, digest)
	if err != nil {
		return err
	}
	report := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.example.report")
	report = mutate.Annotations(report, map[string]string{"n": fmt.Sprint(n)}).(v1.Image)
	report = mutate.Subject(report, subject).(v1.Image)
	sum, err := report.Digest()
	if err != nil {
		return err
	}
	return remote.Write(digest.Context().Digest(sum.String()), report, remote.WithContext(ctx))
}

func (s *stage) twentyAttestations(ctx context.Context, p *place) error {
	_, digest, err := s.push(ctx, p)
	if err != nil {
		return err
	}
	if err := s.attestations(ctx, p, digest, s.signer, 20); err != nil {
		return err
	}
	r := row{Section: "much evidence", Work: "20 attestations, by digest, " + p.name}
	ours := s.task(ctx, "Hallmark", s.ours, work.Task{Do: "verify attestation", Images: []string{digest.String()}, PublicKey: s.publicKey})
	return s.watch(p, r, goal{atMost: 2}, only(ours, whereHas(s.cosign3 != "", s.cosign3Verifies(ctx, "verify-attestation", digest)))...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
