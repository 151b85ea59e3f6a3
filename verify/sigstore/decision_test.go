package sigstore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const image = "registry.example/acme/app@sha256:3fc9b689459d738f8c88a3a48aa9e33542016b7a4052e001aaa536fca74813cb"

const decisionPolicy = `version: 1
identities:
  release:
    authority: sigstore
    settings: {issuer: https://token.actions.githubusercontent.com, uri: https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*}
  jane:
    authority: sigstore
    settings: {issuer: https://login.acme.example, email: jane@acme.example}
roles:
  release: {identities: [release]}
  both: {identities: [release, jane], threshold: 2}
files: [{signature: {by: BY}}]
rules:
  - images: [registry.example/acme/**]
    require:
      - signature: {by: BY}
`

// imageStatement says that an image is signed.
func imageStatement(digest name.Digest) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`,
		strings.TrimPrefix(digest.DigestStr(), "sha256:"))
}

// verifier judges by a policy whose requirements are of the role.
func (w *world) verifier(by string) *verify.Verifier {
	w.t.Helper()
	linked := map[string]policy.Authority{"sigstore": w.authority}
	p, err := policy.Parse([]byte(strings.ReplaceAll(decisionPolicy, "BY", by)), policy.ParseOptions{Authorities: linked})
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked, Now: func() time.Time { return w.Now.Add(time.Hour) }})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// decide judges the image by bundles.
func (w *world) decide(by string, bundles ...[]byte) (*verify.Result, error) {
	w.t.Helper()
	digest, err := name.NewDigest(image)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.verifier(by).Bundles(w.t.Context(), digest, bundles...)
}

func TestDecisionsByCertificates(t *testing.T) {
	w := newWorld(t)
	digest, err := name.NewDigest(image)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(i *sigstoretest.Instance, l sigstoretest.Leaf) []byte {
		return i.Issue(l).SignStatement(imageStatement(digest)).Log(i.Rekor2, "dsse 0.0.2").Stamp(i.TSA).Text()
	}
	jane := sigstoretest.Leaf{Email: "jane@acme.example", Issuer: "https://login.acme.example"}
	good := signed(w.Instance, workflowOf(workflow, source))
	again := signed(w.Instance, workflowOf(strings.Replace(workflow, "v1", "v2", 1), source))

	res, err := w.decide("release", good)
	if err != nil || len(res.Keys) != 1 || res.Keys[0].Name != "release" || !res.Keys[0].SeenAt.Equal(w.Now.Add(2*time.Minute)) || res.Keys[0].Claims["sourceRepository"] != source {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err = w.decide("both", good, signed(w.Instance, jane)); err != nil || len(res.Keys) != 2 {
		t.Errorf("%+v, %v", res, err)
	}
	for name, bundles := range map[string][][]byte{
		"another identity": {signed(w.Instance, jane)},
		"another instance": {signed(sigstoretest.New(t, sigstoretest.Options{}), workflowOf(workflow, source))},
		"one of two":       {good},
		"one twice of two": {good, again},
		"a changed one":    {[]byte(strings.Replace(string(good), `"payload":"ey`, `"payload":"eX`, 1))},
	} {
		by := "release"
		if strings.Contains(name, "of two") {
			by = "both"
		}
		var denied *verify.Error
		if res, err := w.decide(by, bundles...); res != nil || !errors.As(err, &denied) {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

func TestDecisionsAboutFilesByCertificates(t *testing.T) {
	w := newWorld(t)
	file := []byte("a file")
	by := func(l sigstoretest.Leaf, content []byte) []byte {
		return w.Issue(l).SignMessage(content).Log(w.Rekor1, "hashedrekord 0.0.1").Text()
	}
	good := by(workflowOf(workflow, source), file)
	sum := sha256.Sum256(file)
	statement := w.Issue(workflowOf(workflow, source)).SignStatement(fmt.Appendf(nil,
		`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%x"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1"}`, sum))
	for name, bundle := range map[string][]byte{"over bytes": good, "a statement": statement.Log(w.Rekor1, "dsse 0.0.1").Text()} {
		res, err := w.verifier("release").Blob(t.Context(), bytes.NewReader(file), bundle)
		if err != nil || len(res.Keys) != 1 || res.Keys[0].Name != "release" {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	jane := sigstoretest.Leaf{Email: "jane@acme.example", Issuer: "https://login.acme.example"}
	claimsAnother := strings.Replace(string(good), base64.StdEncoding.EncodeToString(sum[:])+`"},"signature`, strings.Repeat("A", 43)+`="},"signature`, 1)
	for name, bundle := range map[string][]byte{
		"another file":             by(workflowOf(workflow, source), []byte("another")),
		"another identity":         by(jane, file),
		"a digest that it has not": []byte(claimsAnother),
	} {
		var denied *verify.Error
		if bytes.Equal(bundle, good) {
			t.Errorf("%s: nothing was changed", name)
		}
		if res, err := w.verifier("release").Blob(t.Context(), bytes.NewReader(file), bundle); res != nil || !errors.As(err, &denied) {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}
