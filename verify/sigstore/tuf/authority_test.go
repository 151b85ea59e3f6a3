package tuf_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

const (
	image    = "registry.example/acme/app@sha256:3fc9b689459d738f8c88a3a48aa9e33542016b7a4052e001aaa536fca74813cb"
	identity = `version: 1
identities:
  jane: {authority: sigstore, settings: {instance: private, issuer: "https://login.acme.example", email: jane@acme.example}}
roles: {release: {identities: [jane]}}
timestamps:
  clock: {authority: sigstore, settings: {instance: private}}
rules:
  - images: [registry.example/acme/**]
    require: [{signature: {by: release}}]
`
)

// signedBy is a bundle that says that the image is signed.
func signedBy(i *sigstoretest.Instance) []byte {
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`,
		image[strings.LastIndex(image, ":")+1:])
	leaf := i.Issue(sigstoretest.Leaf{Email: "jane@acme.example", Issuer: "https://login.acme.example"})
	return leaf.SignStatement(statement).Log(i.Rekor2, "dsse 0.0.2").Stamp(i.TSA).Text()
}

func TestAuthority_RenewsItsRoots(t *testing.T) {
	before, after := sigstoretest.New(t, sigstoretest.Options{}), sigstoretest.New(t, sigstoretest.Options{})
	r := newRepository(t, string(before.Root()))
	c := r.open("")
	a, err := tuf.NewAuthority(map[string]tuf.Instance{"private": {Client: c}})
	must(t, err)
	linked := map[string]policy.Authority{"sigstore": a}
	p, err := policy.Parse([]byte(identity), policy.ParseOptions{Authorities: linked})
	must(t, err)
	v, err := verify.New(p, verify.Options{Authorities: linked})
	must(t, err)
	digest, err := name.NewDigest(image)
	must(t, err)
	judge := func(i *sigstoretest.Instance, allowed bool) {
		t.Helper()
		res, err := v.Bundles(t.Context(), digest, signedBy(i))
		var denied *verify.Error
		if allowed != (err == nil) || !allowed && !errors.As(err, &denied) {
			t.Errorf("%+v, %v", res, err)
		}
	}
	asked := r.requests()
	judge(before, true)
	judge(after, false)
	first := a.Generation()

	r.release(string(after.Root()))
	must(t, c.Refresh(t.Context()))
	judge(before, false)
	judge(after, true)
	if a.Generation() == first || a.Err() != nil {
		t.Errorf("generation %s, %v", a.Generation(), a.Err())
	}
	if n := r.requests() - asked; n > 6 {
		t.Errorf("%d requests: judging must make none", n)
	}

	// A root that lacks what is demanded leaves the last one in use, and says so.
	second := a.Generation()
	r.release(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	must(t, c.Refresh(t.Context()))
	judge(after, true)
	if a.Generation() != second || !errors.Is(a.Err(), sigstore.ErrInvalid) {
		t.Errorf("%v", a.Err())
	}

	r.now = r.now.Add(30 * day)
	judge(after, false)
	if a.Generation() == second {
		t.Error("decisions that were kept would still be used")
	}
}

func TestAuthority_RefusesUnusableInstances(t *testing.T) {
	i := sigstoretest.New(t, sigstoretest.Options{})
	c := newRepository(t, string(i.Root())).open("")
	none := newRepository(t, "no trust root").open("")
	for name, instance := range map[string]tuf.Instance{
		"no client":     {},
		"root twice":    {Client: c, Demands: sigstore.Instance{Root: i.Root()}},
		"no root":       {Client: none},
		"another's":     {Client: c, Demands: sigstore.Instance{CertificateAuthority: "https://fulcio.sigstore.dev"}},
		"too many logs": {Client: c, Demands: sigstore.Instance{Logs: 5}},
	} {
		if a, err := tuf.NewAuthority(map[string]tuf.Instance{"private": instance}); a != nil || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, err := tuf.NewAuthority(map[string]tuf.Instance{"": {Client: c}}); a != nil || !errors.Is(err, tuf.ErrInvalid) {
		t.Errorf("an instance without a name: %v", err)
	}
	if a, err := tuf.NewAuthority(map[string]tuf.Instance{"public-good": {Client: c}}); a != nil || err == nil {
		t.Errorf("the public instance has another authority: %v", err)
	}
	a, err := tuf.NewAuthority(map[string]tuf.Instance{"private": {Client: c}})
	must(t, err)
	if m, err := a.Matcher(map[string]any{"instance": "other"}); m != nil || !errors.Is(err, sigstore.ErrInvalid) {
		t.Error(err)
	}
	if m, err := a.TimeMatcher(map[string]any{"instance": "other"}); m != nil || !errors.Is(err, sigstore.ErrInvalid) {
		t.Error(err)
	}
}

const frozen = "version: 1\nrules:\n  - images: [\"**\"]\n    deny: true\n    reason: REASON\n"

func TestPolicySource_KeepsTheLastGood(t *testing.T) {
	r := newRepository(t, strings.Replace(frozen, "REASON", "first", 1))
	c := r.open("")
	s, err := tuf.NewPolicySource(c, policy.ParseOptions{})
	must(t, err)
	first, err := s.Policy(t.Context())
	must(t, err)
	if again, _ := s.Policy(t.Context()); again != first {
		t.Error("another pointer to the same policy")
	}
	r.release("version: 1\n")
	must(t, c.Refresh(t.Context()))
	if kept, err := s.Policy(t.Context()); kept != first || err != nil || !errors.Is(s.Err(), policy.ErrInvalid) {
		t.Errorf("%v, %v", err, s.Err())
	}
	r.release(strings.Replace(frozen, "REASON", "second", 1))
	must(t, c.Refresh(t.Context()))
	second, err := s.Policy(t.Context())
	if err != nil || second == first || second.Policy.Rules[0].Reason != "second" || s.Err() != nil {
		t.Errorf("%v, %v", err, s.Err())
	}
	r.now = r.now.Add(30 * day)
	if p, err := s.Policy(t.Context()); p != nil || !errors.Is(err, tuf.ErrStale) {
		t.Errorf("%v, %v", p, err)
	}
	if s, err := tuf.NewPolicySource(newRepository(t, "version: 1\n").open(""), policy.ParseOptions{}); s != nil || !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if s, err := tuf.NewPolicySource(newRepository(t, "version: 1\nkeys: {k: {file: k.pub}}\n").open(""), policy.ParseOptions{}); s != nil || err == nil {
		t.Errorf("%v", err)
	}
}
