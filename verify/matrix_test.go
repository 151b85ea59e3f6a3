package verify_test

import (
	"context"
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// everything is one requirement of each kind, behind a signature.
const everything = `      - attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder], maxAge: 48h}
      - attestation: {type: vuln, by: builder, maxSeverity: low, maxAge: 48h}
      - attestation: {type: vulns, by: builder, maxSeverity: low, maxAge: 48h}
      - attestation: {type: spdx, by: builder}
      - attestation: {type: cyclonedx, by: builder}
      - attestation: {type: testresult, by: builder}
      - attestation: {type: vsa, by: builder, verifier: [https://verifier.example], maxAge: 48h}
      - attestation: {type: openvex, by: builder, maxAge: 48h}
      - attestation: {type: https://example.com/own, by: builder, acceptAnyContent: true}
      - attestation: {type: intoto, by: release, layout: layout.json}
      - config: {nonRoot: true}
`

// goodStatements are what everything asks for, in its order.
func goodStatements() []says {
	const report = `{"matches":[],"source":{"type":"image"},"descriptor":{"name":"grype","version":"0.99.0"}}`
	return []says{
		provenanceBy(someBuilder),
		{predicate.TypeCosignVuln, fmt.Sprintf(`{"invocation":{},"scanner":{"uri":"https://scanner.example","version":"1","db":{},"result":%s},"metadata":{"scanStartedOn":%[2]q,"scanFinishedOn":%[2]q}}`, report, recently)},
		scanWith("low", recently),
		{predicate.TypeSPDX, spdx},
		{predicate.TypeCycloneDX, cycloneDX},
		{predicate.TypeTestResult, `{"result":"PASSED","configuration":[{"uri":"https://ci.example/t"}]}`},
		vsa(),
		vex("not_affected"),
		{"https://example.com/own", `{}`},
	}
}

// A rule that requires one thing of every kind is met by an image that has all; and
// where a single one of them is broken, that one is what the denial is about, with
// the reason of how it is broken, and no other.
func TestEachRequirementThatIsBrokenIsTheOneThatIsTold(t *testing.T) {
	const signature, links, config = 0, 10, 11 // among the requirements; between are statements
	statements := goodStatements()
	type broken struct {
		at     int
		how    string
		reason verify.Reason
	}
	all := []broken{
		{-1, "nothing", ""},
		{signature, "absent", verify.ReasonNoSignature},
		{signature, "wrong signer", verify.ReasonNoTrustedSignature},
		{signature, "wrong role", verify.ReasonNoTrustedSignature},
		{signature, "malformed", verify.ReasonNoTrustedSignature},
		{links, "absent", verify.ReasonNoAttestation},
		{links, "wrong signer", verify.ReasonLayout},
		{links, "malformed", verify.ReasonLayout},
		{config, "absent", verify.ReasonRoot},
	}
	for i, s := range statements {
		all = append(all, broken{i + 1, "absent", verify.ReasonNoAttestation}, broken{i + 1, "wrong signer", verify.ReasonNoTrustedAttestation}, broken{i + 1, "wrong role", verify.ReasonNoTrustedAttestation})
		if strings.Contains(s.text, recently) {
			all = append(all, broken{i + 1, "stale", verify.ReasonStale}, broken{i + 1, "from the future", verify.ReasonFuture})
		}
		if s.uri != "https://example.com/own" { // whose form is unknown
			malformed := verify.ReasonPredicate
			if s.uri == predicate.TypeCosignVuln { // it holds no report, which is told
				malformed = verify.ReasonUnreadScan
			}
			all = append(all, broken{i + 1, "malformed", malformed})
		}
	}
	for _, b := range all {
		t.Run(fmt.Sprintf("%d-%s", b.at, b.how), func(t *testing.T) {
			w := newMatrixWorld(t)
			how := func(at int) string {
				if at == b.at {
					return b.how
				}
				return "good"
			}
			w.makeImage(how(config))
			w.makeSignature(how(signature))
			for i, s := range statements {
				w.makeStatement(s, how(i+1))
			}
			w.makeLinks(how(links))
			res, err := w.judge()
			if b.reason == "" {
				if err != nil || len(res.Requirements) != 12 {
					t.Fatalf("%+v, %v", res, err)
				}
				return
			}
			denied := isDenied(t, res, err, b.reason)
			want := fmt.Sprintf("rules[0].require[%d]", b.at)
			if len(denied.Unmet) != 1 || denied.Unmet[0].Requirement != want || denied.Unmet[0].Reason != b.reason {
				t.Errorf("%+v, want %s alone", denied.Unmet, want)
			}
		})
	}
}

// matrixWorld is an image that meets what everything and a signature ask for.
type matrixWorld struct {
	*world
	release, builder, functionary person
}

func newMatrixWorld(t *testing.T) *matrixWorld {
	return &matrixWorld{newWorld(t), newPerson(t), newPerson(t), newPerson(t)}
}

func (w *matrixWorld) makeImage(how string) {
	user := "65532"
	if how == "absent" {
		user = ""
	}
	w.pushConfig(v1.Config{User: user}, nil, now, "")
}

func (w *matrixWorld) makeSignature(how string) {
	switch how {
	case "good":
		w.sign(w.image, sign.ImageOptions{}, w.release)
	case "wrong signer":
		w.sign(w.image, sign.ImageOptions{}, newPerson(w.t))
	case "wrong role":
		w.sign(w.image, sign.ImageOptions{}, w.builder)
	case "malformed":
		w.attach(w.image, bundleItem(w.t, "application/vnd.in-toto+json", statement(intoto.PredicateSignature, `{"name":"no digest"}`), w.release))
	}
}

func (w *matrixWorld) makeStatement(s says, how string) {
	by := w.builder
	switch how {
	case "absent":
		return
	case "wrong signer":
		by = newPerson(w.t)
	case "wrong role":
		by = w.release
	case "stale":
		s.text = strings.ReplaceAll(s.text, recently, "2026-01-01T00:00:00Z")
	case "from the future":
		s.text = strings.ReplaceAll(s.text, recently, "2027-01-01T00:00:00Z")
	case "malformed":
		s.text = `{"nothing":"that is known"}`
	}
	state(w.t, w.world, w.image, s, by)
}

func (w *matrixWorld) makeLinks(how string) {
	by := w.functionary
	switch how {
	case "absent":
		return
	case "wrong signer":
		by = newPerson(w.t)
	}
	link, err := steps.SignLink(context.Background(), steps.Link{Name: "build", Products: steps.SHA256(map[string]string{"image": strings.TrimPrefix(w.image.DigestStr(), "sha256:")})}, by)
	if err != nil {
		w.t.Fatal(err)
	}
	if how == "malformed" {
		link = []byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}`)
	}
	state(w.t, w.world, w.image, says{steps.TypeLinkSet, string(steps.LinkPredicate{Links: [][]byte{link}}.RawPredicate())}, newPerson(w.t))
}

func (w *matrixWorld) judge() (*verify.Result, error) {
	w.t.Helper()
	layout, err := steps.SignLayout(context.Background(), steps.Layout{
		Expires: now.Add(24 * time.Hour),
		Steps:   []steps.Step{{Name: "build", Functionaries: []crypto.PublicKey{w.functionary.Public()}, Products: []steps.Rule{steps.Allow("*")}}},
	}, w.release)
	if err != nil {
		w.t.Fatal(err)
	}
	path := written(w.t, policyText+everything, w.release, newPerson(w.t), w.builder)
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "layout.json"), layout, 0o600); err != nil {
		w.t.Fatal(err)
	}
	p, err := policy.Load(path, policy.ParseOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		w.t.Fatal(err)
	}
	return v.Image(context.Background(), w.store, w.image)
}
