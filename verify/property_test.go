package verify_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// pile is a registry.Reader of one image with exactly these pieces of evidence, in
// exactly this order: what a registry would have to be talked into.
type pile struct {
	image     name.Digest
	referrers []v1.Descriptor
	manifests map[string]registry.Manifest // by reference
}

func newPile(t testing.TB, image name.Digest, pieces ...piece) *pile {
	t.Helper()
	p := &pile{image: image, manifests: make(map[string]registry.Manifest)}
	tags := make(map[string][]v1.Descriptor)
	for _, e := range pieces {
		layer := describe(t, string(e.item.Layer.MediaType), e.item.Payload)
		layer.Annotations, layer.Data = e.item.Layer.Annotations, e.item.Payload
		if suffix := e.tag; suffix != "" {
			tags[suffix] = append(tags[suffix], layer)
			continue
		}
		m := p.add(t, "", manifestText(t, []v1.Descriptor{layer}, &image))
		entry := m.Descriptor
		entry.ArtifactType = string(layer.MediaType)
		p.referrers = append(p.referrers, entry)
	}
	for suffix, layers := range tags {
		p.add(t, "sha256-"+strings.TrimPrefix(image.DigestStr(), "sha256:")+suffix, manifestText(t, layers, nil))
	}
	return p
}

// piece is a piece of evidence: a referrer, or a layer under a tag's suffix.
type piece struct {
	what string
	tag  string
	item registry.Item
}

func describe(t testing.TB, mediaType string, content []byte) v1.Descriptor {
	t.Helper()
	hash, size, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: hash, Size: size}
}

func manifestText(t testing.TB, layers []v1.Descriptor, subject *name.Digest) []byte {
	t.Helper()
	m := map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": layers,
		"config": map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
	}
	if subject != nil {
		m["subject"] = map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": subject.DigestStr()}
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (p *pile) add(t testing.TB, tag string, text []byte) registry.Manifest {
	t.Helper()
	m := registry.Manifest{Descriptor: describe(t, "application/vnd.oci.image.manifest.v1+json", text), Bytes: text}
	p.manifests[p.image.Context().Digest(m.Descriptor.Digest.String()).String()] = m
	if tag != "" {
		p.manifests[p.image.Context().Tag(tag).String()] = m
	}
	return m
}

func (p *pile) Resolve(context.Context, name.Reference) (v1.Descriptor, error) {
	return v1.Descriptor{}, registry.ErrNotFound
}

func (p *pile) Manifest(_ context.Context, ref name.Reference) (registry.Manifest, error) {
	if m, there := p.manifests[ref.String()]; there {
		return m, nil
	}
	return registry.Manifest{}, &registry.Error{Op: "read manifest", Kind: registry.ErrNotFound}
}

func (p *pile) Blob(context.Context, name.Digest, int64) (io.ReadCloser, error) {
	return nil, &registry.Error{Op: "read blob", Kind: registry.ErrNotFound}
}

func (p *pile) Referrers(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		for _, d := range p.referrers {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// cast are the people and the pieces of evidence of the properties.
type cast struct {
	image            name.Digest
	alice, bob, evil person
	pieces           []piece
	policies         map[string]*verify.Verifier
}

const propertyProvenance = `{"buildDefinition":{"buildType":"https://b.example","externalParameters":{"n":1}},"runDetails":{"builder":{"id":%q}}}`

func newCast(t testing.TB) *cast {
	t.Helper()
	sum := sha256.Sum256([]byte("the image"))
	image, err := name.NewDigest("registry.example/team/app@sha256:" + hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	other := image.Context().Digest("sha256:" + strings.Repeat("ab", 32))
	// The same keys in every process: a fuzz target's workers are others than the
	// one that gives them the seeds.
	fixed := func(seed byte) person {
		return personWith(t, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	}
	c := &cast{image: image, alice: fixed(1), bob: fixed(2), evil: fixed(3)}
	provenance := func(builder string, subject name.Digest) string {
		return fmt.Sprintf(`{"_type":%q,"predicateType":%q,"subject":[%s],"predicate":%s}`, intoto.StatementV1, predicate.TypeProvenance, about(subject), fmt.Sprintf(propertyProvenance, builder))
	}
	for _, who := range []struct {
		name string
		person
	}{{"alice", c.alice}, {"bob", c.bob}, {"evil", c.evil}} {
		for _, subject := range []struct {
			name string
			name.Digest
		}{{"image", image}, {"other", other}} {
			signature := statement(intoto.PredicateSignature, about(subject.Digest))
			c.add(who.name+" signs "+subject.name, bundleItem(t, dsse.PayloadTypeInToto, signature, who.person), "")
			c.add(who.name+" signs "+subject.name+" in an envelope", registry.Item{Layer: v1.Descriptor{MediaType: "application/vnd.dsse.envelope.v1+json"},
				Payload: envelope(t, dsse.PayloadTypeInToto, signature, who.person)}, "")
			c.add(who.name+" signs "+subject.name+" under .sig", simpleItem(t, payloadFor("registry.example/team/app", subject.DigestStr()), who.person), ".sig")
			for _, builder := range []string{someBuilder, "https://evil.example/builder"} {
				text := provenance(builder, subject.Digest)
				c.add(who.name+" attests "+subject.name+" by "+builder, bundleItem(t, dsse.PayloadTypeInToto, text, who.person), "")
				c.add(who.name+" attests "+subject.name+" by "+builder+" under .att", registry.Item{Layer: v1.Descriptor{MediaType: "application/vnd.dsse.envelope.v1+json"},
					Payload: envelope(t, dsse.PayloadTypeInToto, text, who.person)}, ".att")
			}
		}
	}
	c.add("garbage", bundleOf("garbage"), "")
	c.add("an empty bundle", bundleOf(`{"mediaType":"`+bundleType+`"}`), "")
	c.add("garbage under .sig", registry.Item{Layer: v1.Descriptor{MediaType: simpleType}, Payload: []byte("{}")}, ".sig")
	c.setPolicies(t)
	return c
}

func (c *cast) add(what string, item registry.Item, tag string) {
	c.pieces = append(c.pieces, piece{what, tag, item})
}

func (c *cast) setPolicies(t testing.TB) {
	t.Helper()
	signature := func(role string) policy.Requirement {
		return policy.Requirement{Signature: &policy.SignatureRequirement{By: role}}
	}
	built := policy.Requirement{Attestation: &policy.AttestationRequirement{
		Type: "slsaprovenance", By: "bob", ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{someBuilder}},
	}}
	c.policies = make(map[string]*verify.Verifier)
	for name, require := range map[string][]policy.Requirement{
		"a signature": {signature("alice")}, "two keys": {signature("pair")}, "provenance": {built},
		"a signature and provenance":  {signature("alice"), built},
		"either":                      {{AnyOf: []policy.Requirement{signature("pair"), built}}},
		"two keys, or both of others": {{AnyOf: []policy.Requirement{signature("pair"), {AllOf: []policy.Requirement{signature("bob"), built}}}}},
	} {
		v, err := verify.New(&policy.Policy{
			Version: 1, Keys: map[string]policy.Key{"alice": {Public: c.alice.key}, "bob": {Public: c.bob.key}},
			Roles: map[string]policy.Role{"alice": {Keys: []string{"alice"}}, "bob": {Keys: []string{"bob"}}, "pair": {Keys: []string{"alice", "bob"}, Threshold: 2}},
			Rules: []policy.Rule{{Images: []string{"registry.example/team/*"}, Require: require}},
		}, verify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.policies[name] = v
	}
}

// judge says whether pieces are enough; a decision there must be.
func (c *cast) judge(t testing.TB, v *verify.Verifier, pieces []piece) (allowed bool, reason verify.Reason) {
	t.Helper()
	res, err := v.Image(context.Background(), newPile(t, c.image, pieces...), c.image)
	var denied *verify.Error
	switch {
	case err == nil && res != nil && res.Digest == c.image:
		return true, ""
	case errors.As(err, &denied) && res == nil:
		return false, denied.Reason
	}
	t.Fatalf("%v: %v, %v; want a decision", names(pieces), res, err)
	return false, ""
}

func names(pieces []piece) []string {
	var all []string
	for _, p := range pieces {
		all = append(all, p.what)
	}
	return all
}

const propertyCases = 400

// each calls f with random selections of evidence, the same in every run.
func (c *cast) each(t *testing.T, f func(t *testing.T, r *rand.Rand, v *verify.Verifier, some []piece)) {
	for name, v := range c.policies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			for range propertyCases {
				some := slices.Clone(c.pieces)
				r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
				f(t, r, v, some[:r.IntN(9)])
			}
		})
	}
}

func TestMoreEvidenceNeverDeniesAndLessNeverAllows(t *testing.T) {
	race.Skip(t, "one goroutine judges")
	c := newCast(t)
	c.each(t, func(t *testing.T, r *rand.Rand, v *verify.Verifier, some []piece) {
		allowed, _ := c.judge(t, v, some)
		more := slices.Insert(slices.Clone(some), r.IntN(len(some)+1), c.pieces[r.IntN(len(c.pieces))])
		if with, reason := c.judge(t, v, more); allowed && !with {
			t.Fatalf("%q is enough, %q is not: %s", names(some), names(more), reason)
		}
		if len(some) == 0 {
			return
		}
		at := r.IntN(len(some))
		less := slices.Delete(slices.Clone(some), at, at+1)
		if without, _ := c.judge(t, v, less); without && !allowed {
			t.Fatalf("%q is not enough, %q is", names(some), names(less))
		}
	})
}

func TestTheOrderOfEvidenceNeverMatters(t *testing.T) {
	race.Skip(t, "one goroutine judges")
	c := newCast(t)
	c.each(t, func(t *testing.T, r *rand.Rand, v *verify.Verifier, some []piece) {
		allowed, _ := c.judge(t, v, some)
		shuffled := slices.Clone(some)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again, _ := c.judge(t, v, shuffled); again != allowed {
			t.Fatalf("%q: %t, in another order %t", names(some), allowed, again)
		}
	})
}

// Whether a signature is a bundle, an envelope or under a tag, and whether it is
// there once or in all of these, the decision is the same.
func TestEveryFormatIsWorthTheSame(t *testing.T) {
	c := newCast(t)
	forms := map[string][]string{"signs": {"", " in an envelope", " under .sig"}, "attests": {"", " under .att"}}
	find := func(what string) piece {
		t.Helper()
		i := slices.IndexFunc(c.pieces, func(p piece) bool { return p.what == what })
		if i < 0 {
			t.Fatalf("no piece %q", what)
		}
		return c.pieces[i]
	}
	for given, v := range c.policies {
		for _, who := range []string{"alice", "bob", "evil"} {
			for verb, suffixes := range forms {
				base := who + " " + verb + " image"
				if verb == "attests" {
					base += " by " + someBuilder
				}
				// What else there is decides whether this piece is enough.
				for _, beside := range [][]piece{nil, {find("alice signs image")}, {find("bob attests image by " + someBuilder)}} {
					all := slices.Clone(beside)
					var answers []bool
					for _, suffix := range suffixes {
						all = append(all, find(base+suffix))
						allowed, _ := c.judge(t, v, append(slices.Clone(beside), find(base+suffix)))
						answers = append(answers, allowed)
					}
					together, _ := c.judge(t, v, all)
					if slices.Contains(answers, !together) {
						t.Errorf("%s, %s beside %q: %v, all of them together %t", given, base, names(beside), answers, together)
					}
				}
			}
		}
	}
}

// Enough evidence to be allowed must exist in the properties' cases, and so must
// too little: otherwise they would show nothing.
func TestThePropertiesSeeBothDecisions(t *testing.T) {
	c := newCast(t)
	for name, v := range c.policies {
		if allowed, reason := c.judge(t, v, c.pieces); !allowed {
			t.Errorf("%s: denied with all there is: %s", name, reason)
		}
		var evils []piece
		for _, p := range c.pieces {
			if !strings.HasPrefix(p.what, "alice signs image") && !strings.HasPrefix(p.what, "bob ") {
				evils = append(evils, p)
			}
		}
		if allowed, _ := c.judge(t, v, evils); allowed {
			t.Errorf("%s: allowed by %q", name, names(evils))
		}
	}
}
