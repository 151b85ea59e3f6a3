package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// What a policy means is said a second time here, as plainly as can be: who has
// signed or attested, counted for each requirement. Policies and evidence are made
// up at random, and the verifier must say the same as the model, whichever way it
// is asked.

const (
	modelPeople   = 5 // of whom the last stands in no role
	modelRoles    = 4
	modelPolicies = 40
	modelPiles    = 6 // of evidence, for each policy
)

// deed is something that one of the people has signed about the image.
type deed struct {
	who      int
	attested bool // provenance; else a signature
}

// modelPiece is a piece of evidence, and what it shows: perhaps nothing.
type modelPiece struct {
	piece
	shows []deed
}

type modelWorld struct {
	image  name.Digest
	people []person
	pieces []modelPiece // that show something
	strays []modelPiece // that do not
}

func newModelWorld(t *testing.T) *modelWorld {
	t.Helper()
	c := newCast(t)
	w := &modelWorld{image: c.image}
	other := c.image.Context().Digest("sha256:" + strings.Repeat("cd", 32))
	for i := range modelPeople {
		p := personWith(t, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(100 + i)}, ed25519.SeedSize)))
		w.people = append(w.people, p)
		w.add(t, i, p, w.image, true)
		w.add(t, i, p, other, false)
	}
	for _, p := range c.pieces { // by strangers, and garbage
		w.strays = append(w.strays, modelPiece{piece: p})
	}
	w.addGarbage(t)
	return w
}

// addGarbage adds what takes many checks, and what names a key that has not made it.
func (w *modelWorld) addGarbage(t *testing.T) {
	t.Helper()
	for i, tag := range []string{"", ".sig", ".att"} {
		item := registry.Item{Payload: flood(dsse.MaxSignatures, fmt.Append(nil, i))}
		item.Layer.MediaType = dsseType
		w.strays = append(w.strays, modelPiece{piece: piece{"a flood under " + tag, tag, item}})
	}
	stranger := newPerson(t)
	for i, p := range w.people {
		key, err := sigkey.New(p.Public())
		if err != nil {
			t.Fatal(err)
		}
		forged := bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(w.image)), stranger)
		forged = bundleOf(strings.Replace(string(forged.Payload), `"hint":""`, fmt.Sprintf(`"hint":%q`, key.Hint()), 1))
		w.strays = append(w.strays, modelPiece{piece: piece{fmt.Sprintf("forged, as of %d", i), "", forged}})
	}
}

// add adds every form of what a key may sign about an image.
func (w *modelWorld) add(t *testing.T, who int, p person, image name.Digest, counts bool) {
	t.Helper()
	signature := statement(intoto.PredicateSignature, about(image))
	provenance := fmt.Sprintf(`{"_type":%q,"predicateType":"https://slsa.dev/provenance/v1","subject":[%s],"predicate":%s}`,
		intoto.StatementV1, about(image), fmt.Sprintf(propertyProvenance, someBuilder))
	envelopeItem := func(text string) registry.Item {
		i := bundleOf(string(envelope(t, dsse.PayloadTypeInToto, text, p)))
		i.Layer.MediaType = "application/vnd.dsse.envelope.v1+json"
		return i
	}
	for _, form := range []struct {
		attested bool
		tag      string
		item     registry.Item
	}{
		{false, "", bundleItem(t, dsse.PayloadTypeInToto, signature, p)},
		{false, "", envelopeItem(signature)},
		{false, ".sig", simpleItem(t, payloadFor("registry.example/team/app", image.DigestStr()), p)},
		{true, "", bundleItem(t, dsse.PayloadTypeInToto, provenance, p)},
		{true, ".att", envelopeItem(provenance)},
	} {
		x := modelPiece{piece: piece{fmt.Sprintf("%d of %s, attested %t, %q", who, image.DigestStr()[7:11], form.attested, form.tag), form.tag, form.item}}
		if !counts {
			w.strays = append(w.strays, x)
			continue
		}
		x.shows = []deed{{who, form.attested}}
		w.pieces = append(w.pieces, x)
	}
}

// modelPolicy is a policy with what is needed to judge by it.
type modelPolicy struct {
	policy  *policy.Policy
	members map[string][]int
}

func (w *modelWorld) policy(r *rand.Rand) modelPolicy {
	p := modelPolicy{&policy.Policy{Version: 1, Keys: map[string]policy.Key{}, Roles: map[string]policy.Role{}}, map[string][]int{}}
	for i, who := range w.people[:modelPeople-1] {
		p.policy.Keys[fmt.Sprint("key", i)] = policy.Key{Public: who.key}
	}
	for i := range modelRoles {
		members := r.Perm(modelPeople - 1)[:1+r.IntN(modelPeople-1)]
		role := policy.Role{Threshold: 1 + r.IntN(len(members))}
		for _, m := range members {
			role.Keys = append(role.Keys, fmt.Sprint("key", m))
		}
		name := fmt.Sprint("role", i)
		p.policy.Roles[name], p.members[name] = role, members
	}
	p.policy.Rules = []policy.Rule{{Images: []string{"registry.example/team/*"}, Require: p.requirements(r, 0)}}
	return p
}

func (p modelPolicy) requirements(r *rand.Rand, depth int) []policy.Requirement {
	all := make([]policy.Requirement, 1+r.IntN(3))
	for i := range all {
		role := fmt.Sprint("role", r.IntN(modelRoles))
		switch kind := r.IntN(4); {
		case kind == 0 && depth < 3:
			all[i].AnyOf = p.requirements(r, depth+1)
		case kind == 1 && depth < 3:
			all[i].AllOf = p.requirements(r, depth+1)
		case kind == 2:
			all[i].Attestation = &policy.AttestationRequirement{
				Type: "slsaprovenance", By: role, ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{someBuilder}},
			}
		default:
			all[i].Signature = &policy.SignatureRequirement{By: role}
		}
	}
	return all
}

// allows is the model: nothing but counting.
func (p modelPolicy) allows(deeds []deed) bool {
	var met func(q policy.Requirement) bool
	met = func(q policy.Requirement) bool {
		switch {
		case q.AnyOf != nil:
			return slices.ContainsFunc(q.AnyOf, met)
		case q.AllOf != nil:
			return !slices.ContainsFunc(q.AllOf, func(q policy.Requirement) bool { return !met(q) })
		case q.Attestation != nil:
			return p.count(q.Attestation.By, true, deeds)
		}
		return p.count(q.Signature.By, false, deeds)
	}
	return met(policy.Requirement{AllOf: p.policy.Rules[0].Require})
}

func (p modelPolicy) count(role string, attested bool, deeds []deed) bool {
	n := 0
	for _, m := range p.members[role] {
		if slices.Contains(deeds, deed{m, attested}) {
			n++
		}
	}
	return n >= p.policy.Roles[role].Threshold
}

// pile is some evidence, and what it shows together.
func (w *modelWorld) pile(r *rand.Rand) (some []piece, deeds []deed) {
	take := func(from []modelPiece, most int) {
		for _, at := range r.Perm(len(from))[:r.IntN(min(most, len(from)))] {
			some = append(some, from[at].piece)
			deeds = append(deeds, from[at].shows...)
		}
	}
	take(w.pieces, len(w.pieces))
	take(w.strays, 9)
	for range r.IntN(1 + len(some)) { // the same over again
		some = append(some, some[r.IntN(len(some))])
	}
	r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some, deeds
}

func TestTheVerifierSaysWhatAPlainModelOfThePolicySays(t *testing.T) {
	t.Parallel()
	w := newModelWorld(t)
	r := rand.New(rand.NewPCG(7, 11))
	allowed, denied := 0, 0
	for range modelPolicies {
		p := w.policy(r)
		plain, err := verify.New(p.policy, verify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range modelPiles {
			some, deeds := w.pile(r)
			want := p.allows(deeds)
			if want {
				allowed++
			} else {
				denied++
			}
			for way, got := range w.everyWay(t, p, plain, some) {
				if got != want {
					t.Fatalf("%s: %t, the model says %t\nby %+v\nof %q", way, got, want, p.policy.Rules[0].Require, names(some))
				}
			}
		}
	}
	if allowed < 40 || denied < 40 {
		t.Errorf("%d allowed and %d denied show too little", allowed, denied)
	}
}

// everyWay asks for the same decision in all the ways there are.
func (w *modelWorld) everyWay(t *testing.T, p modelPolicy, plain *verify.Verifier, some []piece) map[string]bool {
	t.Helper()
	store := newPile(t, w.image, some...)
	says := func(res *verify.Result, err error) bool {
		t.Helper()
		var denial *verify.Error
		if (err == nil) != (res != nil) || err != nil && !errors.As(err, &denial) {
			t.Fatalf("%v, %v; want a decision", res, err)
		}
		return err == nil
	}
	answers := map[string]bool{"by itself": says(plain.Image(t.Context(), store, w.image))}
	cached, err := verify.New(p.policy, verify.Options{Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	answers["kept"] = says(cached.Image(t.Context(), store, w.image))
	answers["from what was kept"] = says(cached.Image(t.Context(), store, w.image))
	for _, outcome := range plain.Images(t.Context(), store, slices.Values([]name.Reference{w.image}), verify.BatchOptions{}) {
		answers["in a batch"] = says(outcome.Result, outcome.Err)
	}
	var bundles [][]byte
	for _, x := range some {
		if x.item.Layer.MediaType != bundleType {
			return answers
		}
		bundles = append(bundles, x.item.Payload)
	}
	answers["from bundles at hand"] = says(plain.Bundles(t.Context(), w.image, bundles...))
	return answers
}
