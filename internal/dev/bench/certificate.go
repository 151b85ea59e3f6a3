package main

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

const (
	signerIssuer = "https://token.actions.githubusercontent.com"
	signerURI    = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1"
	signerSource = "https://github.com/acme/app"
)

// certificatesEach is how many certificates are verified in a round. Each is new to its
// verifier: what a library keeps of them does not help it.
const certificatesEach = 200

// failing lets package sigstoretest report to a program.
type failing struct{ testing.TB }

func (failing) Helper()           {}
func (failing) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// kindOfEvidence is a form in which evidence by certificate comes.
type kindOfEvidence struct {
	name string
	// theirs is the work of the peer, and who it is.
	who, theirs string
	// file: it is about a file, and not about an image.
	file, withoutLogs bool
	make              func(*certificateStage, *sigstoretest.Signer) work.Signed
}

func bundleOf(b *sigstoretest.Bundle) work.Signed { return work.Signed{Bundle: b.Text()} }

const (
	sigstoreGoTask = "by certificate, sigstore-go"
	cosignTask     = "by certificate"
)

var kindsOfEvidence = []kindOfEvidence{
	{name: "a bundle of a signature, Rekor v2", who: "sigstore-go", theirs: sigstoreGoTask, make: func(s *certificateStage, by *sigstoretest.Signer) work.Signed {
		return bundleOf(by.SignStatement(s.statement).Log(s.Rekor2, "hashedrekord 0.0.2").Stamp(s.TSA))
	}},
	{name: "a bundle of a signature, Rekor v1", who: "sigstore-go", theirs: sigstoreGoTask, make: func(s *certificateStage, by *sigstoretest.Signer) work.Signed {
		return bundleOf(by.SignStatement(s.statement).Log(s.Rekor1, "dsse 0.0.1"))
	}},
	{name: "a bundle of a signature, no logs, as GitHub's", who: "sigstore-go", theirs: sigstoreGoTask, withoutLogs: true, make: func(s *certificateStage, by *sigstoretest.Signer) work.Signed {
		return bundleOf(by.SignStatement(s.statement).Stamp(s.TSA))
	}},
	{name: "a bundle of a file's signature, Rekor v2", who: "sigstore-go", theirs: sigstoreGoTask, file: true, make: func(s *certificateStage, by *sigstoretest.Signer) work.Signed {
		return bundleOf(by.SignMessage(s.artifact).Log(s.Rekor2, "hashedrekord 0.0.2").Stamp(s.TSA))
	}},
	{name: "a bundle of a file's signature, Rekor v1", who: "sigstore-go", theirs: sigstoreGoTask, file: true, make: func(s *certificateStage, by *sigstoretest.Signer) work.Signed {
		return bundleOf(by.SignMessage(s.artifact).Log(s.Rekor1, "hashedrekord 0.0.1"))
	}},
	{name: "a .sig, Rekor v1", who: "cosign v2 library", theirs: cosignTask, make: func(s *certificateStage, by *sigstoretest.Signer) work.Signed {
		b := by.SignMessage(s.payload)
		annotations := b.Annotations(s.Rekor1, "hashedrekord 0.0.1", s.TSA)
		delete(annotations, "dev.sigstore.cosign/rfc3161timestamp")
		return work.Signed{Payload: s.payload, Annotations: annotations}
	}},
}

// certificateStage is an instance in memory whose authorities have keys like those of the
// public one, and what is signed.
type certificateStage struct {
	*sigstoretest.Instance
	image                        name.Digest
	statement, payload, artifact []byte
	artifactFile                 string
}

func (s *stage) certificateStage(ctx context.Context) (*certificateStage, error) {
	c := &certificateStage{Instance: sigstoretest.New(failing{}, sigstoretest.Options{Curve: elliptic.P384()}), artifact: []byte("an artifact\n")}
	repo, err := name.NewRepository("registry.example/bench/app")
	if err != nil {
		return nil, err
	}
	if c.image, err = registrytest.PushImage(ctx, registrytest.New(registrytest.Options{}).Store(), repo.Tag("v1"), registrytest.ImageOptions{Seed: "by certificate"}); err != nil {
		return nil, err
	}
	hex := c.image.DigestStr()[len("sha256:"):]
	c.statement = fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, hex)
	payload := simplesigning.Payload{DockerReference: repo.Name(), ManifestDigest: c.image.DigestStr()}
	if c.payload, err = payload.Marshal(); err != nil {
		return nil, err
	}
	c.artifactFile = filepath.Join(s.dir, "artifact")
	return c, os.WriteFile(c.artifactFile, c.artifact, 0o600)
}

// write makes evidence of many certificates, and the task that verifies it.
func (c *certificateStage) write(dir string, n int, k kindOfEvidence) (work.Task, error) {
	var all []work.Signed
	for range certificatesEach {
		by := c.Issue(sigstoretest.Leaf{URI: signerURI, Issuer: signerIssuer, OlderIssuer: signerIssuer, Claims: map[int]string{12: signerSource}, WithoutSCT: k.withoutLogs})
		c.Rekor1.Forget()
		c.Rekor2.Forget()
		all = append(all, k.make(c, by))
	}
	text, err := json.Marshal(all)
	if err != nil {
		return work.Task{}, err
	}
	root := c.RootJSON()
	if k.withoutLogs {
		delete(root, "tlogs")
		delete(root, "ctlogs")
	}
	t := work.Task{Do: "by certificate", Images: []string{c.image.String()}, Certificates: &work.Certificates{
		Root: filepath.Join(dir, fmt.Sprintf("root-%d.json", n)), Signed: filepath.Join(dir, fmt.Sprintf("signed-%d.json", n)),
		Issuer: signerIssuer, URI: signerURI, WithoutLogs: k.withoutLogs,
	}}
	if k.file {
		t.Certificates.Artifact = c.artifactFile
	}
	return t, errors.Join(os.WriteFile(t.Certificates.Root, c.Marshal(root), 0o600), os.WriteFile(t.Certificates.Signed, text, 0o600))
}

// byCertificate measures evidence at hand that is signed without a key.
func (s *stage) byCertificate(ctx context.Context) error {
	c, err := s.certificateStage(ctx)
	if err != nil {
		return err
	}
	for n, k := range kindsOfEvidence {
		t, err := c.write(s.dir, n, k)
		if err != nil {
			return err
		}
		if err := s.compareCertificates(ctx, k, k.name, t, goal{times: 2, as: k.who}); err != nil {
			return err
		}
		other := *t.Certificates
		other.URI, other.Refused = signerURI[:len(signerURI)-1]+"2", true
		t.Certificates = &other
		if err := s.compareCertificates(ctx, k, "  another identity refused", t, goal{times: 10, as: k.who}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) compareCertificates(ctx context.Context, k kindOfEvidence, what string, t work.Task, g goal) error {
	theirs := t
	theirs.Do = k.theirs
	reports := make([]work.Report, 2)
	cpu := func(i int, w *worker, t work.Task) func() (float64, error) {
		return func() (float64, error) {
			var err error
			reports[i], err = w.do(ctx, t)
			return reports[i].PerOp(float64(reports[i].CPU.Nanoseconds()) / 1000), err
		}
	}
	figures, err := s.rounds(nil, cpu(0, s.ours, t), cpu(1, s.cosign, theirs))
	if err != nil {
		return err
	}
	allocations := func(i int) entry {
		who := []string{"Hallmark", k.who}[i]
		return entry{Who: who, figure: figureOf([]float64{reports[i].PerOp(float64(reports[i].Allocations))})}
	}
	r := row{Section: "by certificate", Work: what, Unit: "µs of CPU each", Entries: []entry{{Who: "Hallmark", figure: figures[0]}, {Who: k.who, figure: figures[1]}}}
	s.table.add(r, g)
	if !t.Certificates.Refused {
		s.table.add(row{Section: "by certificate", Work: "  the same", Unit: "allocations each", Entries: []entry{allocations(0), allocations(1)}}, goal{times: 5, as: k.who})
	}
	return nil
}
