package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

type done = func(context.Context) (int, error)

// BuilderID is what attestations of the benchmark say.
const builderID = "https://ci.example/builder"

// signatures and provenances are policies of one key.
func signatures(key policy.PublicKey) *policy.Policy {
	return policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy()
}

func provenances(key policy.PublicKey) *policy.Policy {
	return &policy.Policy{
		Version: 1, Keys: map[string]policy.Key{"builder": {Public: key}},
		Roles: map[string]policy.Role{"builder": {Keys: []string{"builder"}}},
		Rules: []policy.Rule{{Images: []string{"**"}, Require: []policy.Requirement{{
			Attestation: &policy.AttestationRequirement{
				Type: "slsaprovenance", By: "builder", ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{builderID}},
			},
		}}}},
	}
}

// subject is what a task verifies, and by what.
type subject struct {
	refs     []name.Reference
	verifier *verify.Verifier
}

func prepare(t work.Task, given func(policy.PublicKey) *policy.Policy, o verify.Options) (*subject, error) {
	key, err := policy.LoadPublicKey(t.PublicKey)
	if err != nil {
		return nil, err
	}
	s := &subject{}
	if s.verifier, err = verify.New(given(key), o); err != nil {
		return nil, err
	}
	s.refs, err = references(t.Images)
	return s, err
}

func references(texts []string) ([]name.Reference, error) {
	var refs []name.Reference
	for _, text := range texts {
		ref, err := name.ParseReference(text)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

func newClient() (*remote.Client, error) {
	return remote.New(remote.Options{Keychain: authn.NewMultiKeychain()})
}

// verifying judges each image with a client that starts without connections.
func verifying(given func(policy.PublicKey) *policy.Policy) work.Prepare {
	return func(_ context.Context, t work.Task) (done, error) {
		s, err := prepare(t, given, verify.Options{})
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) (int, error) {
			client, err := newClient()
			if err != nil {
				return 0, err
			}
			defer client.CloseIdleConnections()
			return work.Each(ctx, t, s.refs, func(ctx context.Context, ref name.Reference) error {
				_, err := s.verifier.Image(ctx, client, ref)
				return err
			})
		}, nil
	}
}

// verifyingWarm judges images that have been judged before.
func verifyingWarm(ctx context.Context, t work.Task) (done, error) {
	s, err := prepare(t, signatures, verify.Options{Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})})
	if err != nil {
		return nil, err
	}
	client, err := newClient()
	if err != nil {
		return nil, err
	}
	judge := func(ctx context.Context, ref name.Reference) error {
		_, err := s.verifier.Image(ctx, client, ref)
		return err
	}
	if _, err := work.Each(ctx, work.Task{}, s.refs, judge); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) { return work.Each(ctx, t, s.refs, judge) }, nil
}

// bundles are the files of a task, and the digest that they are about.
func bundles(t work.Task) ([][]byte, name.Digest, error) {
	var texts [][]byte
	for _, path := range t.Evidence {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, name.Digest{}, err
		}
		texts = append(texts, text)
	}
	if len(t.Images) != 1 {
		return nil, name.Digest{}, fmt.Errorf("%d images, want one", len(t.Images))
	}
	digest, err := name.NewDigest(t.Images[0])
	return texts, digest, err
}

func verifyingBytes(given func(policy.PublicKey) *policy.Policy) work.Prepare {
	return func(_ context.Context, t work.Task) (done, error) {
		s, err := prepare(t, given, verify.Options{})
		if err != nil {
			return nil, err
		}
		texts, digest, err := bundles(t)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) (int, error) {
			return work.Each(ctx, t, texts, func(ctx context.Context, text []byte) error {
				_, err := s.verifier.Bundles(ctx, digest, text)
				return err
			})
		}, nil
	}
}

// manyRules is a policy with so many rules and keys. The last rule is about the
// images of the benchmark, and its key is one of all.
func manyRules(key policy.PublicKey, rules, keys int) (*policy.Policy, error) {
	p := &policy.Policy{Version: 1, Keys: map[string]policy.Key{"key": {Public: key}}}
	names := []string{"key"}
	for i := 1; i < keys; i++ {
		pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		other, err := policy.NewPublicKey(&pair.PublicKey)
		if err != nil {
			return nil, err
		}
		names = append(names, fmt.Sprintf("key-%d", i))
		p.Keys[names[i]] = policy.Key{Public: other}
	}
	p.Roles = map[string]policy.Role{"release": {Keys: names, Threshold: 1}}
	require := []policy.Requirement{{Signature: &policy.SignatureRequirement{By: "release"}}}
	for i := range rules - 1 {
		p.Rules = append(p.Rules, policy.Rule{Images: []string{fmt.Sprintf("registry.example/team-%d/**", i)}, Require: require})
	}
	p.Rules = append(p.Rules, policy.Rule{Images: []string{"**"}, Require: require})
	return p, nil
}

func policies(_ context.Context, t work.Task) (done, error) {
	key, err := policy.LoadPublicKey(t.PublicKey)
	if err != nil {
		return nil, err
	}
	given, err := manyRules(key, t.Rules, t.Keys)
	if err != nil {
		return nil, err
	}
	v, err := verify.New(given, verify.Options{})
	if err != nil {
		return nil, err
	}
	texts, digest, err := bundles(t)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, slices.Clone(texts), func(ctx context.Context, text []byte) error {
			_, err := v.Bundles(ctx, digest, text)
			return err
		})
	}, nil
}

// compiling makes a policy ready for use.
func compiling(_ context.Context, t work.Task) (done, error) {
	key, err := policy.LoadPublicKey(t.PublicKey)
	if err != nil {
		return nil, err
	}
	given, err := manyRules(key, t.Rules, t.Keys)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, []*policy.Policy{given}, func(_ context.Context, p *policy.Policy) error {
			_, err := verify.New(p, verify.Options{})
			return err
		})
	}, nil
}
