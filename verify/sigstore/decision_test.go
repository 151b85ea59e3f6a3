package sigstore_test

import (
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

// decide judges the image by bundles.
func (w *world) decide(by string, bundles ...[]byte) (*verify.Result, error) {
	w.t.Helper()
	linked := map[string]policy.Authority{"sigstore": w.authority}
	p, err := policy.Parse([]byte(strings.Replace(decisionPolicy, "BY", by, 1)), policy.ParseOptions{Authorities: linked})
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked, Now: func() time.Time { return w.Now.Add(time.Hour) }})
	if err != nil {
		w.t.Fatal(err)
	}
	digest, err := name.NewDigest(image)
	if err != nil {
		w.t.Fatal(err)
	}
	return v.Bundles(w.t.Context(), digest, bundles...)
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
	if err != nil || len(res.Keys) != 1 || res.Keys[0].Name != "release" || !res.Keys[0].SeenAt.Equal(w.Now.Add(2*time.Minute)) {
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
