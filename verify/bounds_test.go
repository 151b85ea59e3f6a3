package verify_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// What anybody can attach takes no more than this many checks, whatever the number
// of keys: neither does it keep a processor busy for minutes, nor does it hide that
// there was more.
func TestAttack_E9_SignatureChecksOfOneJudgementAreBounded(t *testing.T) {
	image := newWorld(t).image
	text := statement(intoto.PredicateSignature, about(image))
	forged := fmt.Sprintf(`{"sig":%q}`, base64.StdEncoding.EncodeToString([]byte("made by no key")))
	flood := piece{"64 signatures of no key", ".att", registry.Item{
		Layer: v1.Descriptor{MediaType: "application/vnd.dsse.envelope.v1+json"},
		Payload: fmt.Appendf(nil, `{"payloadType":%q,"payload":%q,"signatures":[%s]}`, dsse.PayloadTypeInToto,
			base64.StdEncoding.EncodeToString([]byte(text)), strings.Repeat(forged+",", dsse.MaxSignatures-1)+forged),
	}}
	judge := func(keys, pieces int) *verify.Error {
		t.Helper()
		trusted := policy.Signatures{Threshold: 1}
		for range keys {
			trusted.Keys = append(trusted.Keys, newPerson(t).key)
		}
		p := trusted.Policy()
		p.Rules[0].Require = []policy.Requirement{{Attestation: &policy.AttestationRequirement{Type: "spdx", By: p.Rules[0].Require[0].Signature.By}}}
		v, err := verify.New(p, verify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		all := make([]piece, pieces)
		for i := range all {
			all[i] = flood.padded(i)
		}
		_, err = v.Image(context.Background(), newPile(t, image, all...), image)
		var denied *verify.Error
		if !errors.As(err, &denied) {
			t.Fatalf("%v, want a denial", err)
		}
		return denied
	}
	if denied := judge(10, 30); denied.Reason != verify.ReasonNoAttestation || len(denied.Evidence) != 30 {
		t.Errorf("19,200 checks: %s after %d pieces, want all looked at", denied.Reason, len(denied.Evidence))
	}
	if denied := judge(10, 1000); denied.Reason != verify.ReasonTooMuchEvidence || len(denied.Evidence) != 32 {
		t.Errorf("640,000 checks: %s after %d pieces, want no more than 20,000 of them", denied.Reason, len(denied.Evidence))
	}
}

// padded is the piece with so many spaces behind it, which make it another one.
func (p piece) padded(n int) piece {
	p.item.Payload = append(slices.Clip(p.item.Payload), strings.Repeat(" ", n)...)
	return p
}

// asking counts the manifests that are read.
type asking struct {
	registry.Store
	manifests atomic.Int64
}

func (a *asking) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	a.manifests.Add(1)
	return a.Store.Manifest(ctx, ref)
}

func (w *world) listed(d name.Digest) v1.Descriptor {
	w.t.Helper()
	desc, err := w.store.Resolve(context.Background(), d)
	if err != nil {
		w.t.Fatal(err)
	}
	return desc
}

// indexOf stores an index that lists these, and makes it the world's image.
func (w *world) indexOf(children ...v1.Descriptor) {
	w.t.Helper()
	content, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: children})
	if err != nil {
		w.t.Fatal(err)
	}
	w.pushText(string(types.OCIImageIndex), string(content))
}

const (
	configText        = "config: {nonRoot: true}"
	signatureRequired = "signature: {by: release}"
)

func TestAttack_I2_WhatAnIndexListsOverAndOverIsReadOnce(t *testing.T) {
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "1"}, nil, now, "")
	for range 4 {
		same := make([]v1.Descriptor, 150)
		for i := range same {
			same[i] = w.listed(w.image)
		}
		w.indexOf(same...)
	}
	v, err := verify.New(loaded(t, strings.Replace(policyText, signatureRequired, configText, 1), newPerson(t), newPerson(t), newPerson(t)), verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	r := &asking{Store: w.store}
	if _, err := v.Image(context.Background(), r, w.image); err != nil || r.manifests.Load() != 5 {
		t.Errorf("%d manifests read of 5 documents that list one another 150 times each: %v", r.manifests.Load(), err)
	}
	var many []v1.Descriptor
	for i := range 300 {
		w.pushText("application/vnd.oci.image.manifest.v1+json", fmt.Sprintf(`{"schemaVersion":2,"layers":[],"annotations":{"n":"%d"}}`, i))
		many = append(many, w.listed(w.image))
	}
	w.indexOf(many...)
	r = &asking{Store: w.store}
	res, err := v.Image(context.Background(), r, w.image)
	isDenied(t, res, err, verify.ReasonConfig)
	if r.manifests.Load() > 1 {
		t.Errorf("%d manifests read, want none of what is too much anyway", r.manifests.Load())
	}
}

// Nothing but a denial comes of a manifest's layers of other types: one
// record says it.
func TestAttack_E9_LayersOfOtherTypesAreRecordedOnce(t *testing.T) {
	image := newWorld(t).image
	p := newPile(t, image)
	var others []v1.Descriptor
	for i := range 1000 {
		others = append(others, v1.Descriptor{MediaType: "application/x", Digest: v1.Hash{Algorithm: "sha256", Hex: hex64(uint64(i))}})
	}
	const manifests = 5
	for i := range manifests {
		others[0].Annotations = map[string]string{"n": fmt.Sprint(i)}
		entry := p.add(t, "", manifestText(t, others, &image)).Descriptor
		entry.ArtifactType = "application/vnd.dev.cosign.artifact.sbom.v1+json"
		p.referrers = append(p.referrers, entry)
	}
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{newPerson(t).key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Image(context.Background(), p, image)
	if denied := isDenied(t, res, err, verify.ReasonNoSignature); len(denied.Evidence) > manifests {
		t.Errorf("%d records of %d manifests", len(denied.Evidence), manifests)
	}
}

// layoutWorld is a policy whose one requirement is a layout with one step.
type layoutWorld struct {
	*world
	v        *verify.Verifier
	builder  person
	stranger person
}

func newLayoutWorld(t *testing.T, change ...string) *layoutWorld {
	t.Helper()
	owner := newPerson(t)
	l := &layoutWorld{world: newWorld(t), builder: newPerson(t), stranger: newPerson(t)}
	layout := oneStep(t, owner, l.builder)
	text := strings.Replace(policyText, signatureRequired, "attestation: {type: intoto, by: release, layout: layout.json}", 1)
	path := written(t, strings.NewReplacer(change...).Replace(text), owner, newPerson(t), newPerson(t))
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "layout.json"), layout, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := policy.Load(path, policy.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if l.v, err = verify.New(p, verify.Options{Now: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	return l
}

// oneStep is a layout of one step.
func oneStep(t *testing.T, owner, builder person) []byte {
	t.Helper()
	layout, err := steps.SignLayout(context.Background(), steps.Layout{
		Expires: now.Add(24 * time.Hour),
		Steps:   []steps.Step{{Name: "build", Functionaries: []crypto.PublicKey{builder.Public()}, Products: []steps.Rule{steps.Allow("*")}}},
	}, owner)
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

func (l *layoutWorld) link(by person, products map[string]string) []byte {
	l.t.Helper()
	link, err := steps.SignLink(context.Background(), steps.Link{Name: "build", Products: steps.SHA256(products)}, by)
	if err != nil {
		l.t.Fatal(err)
	}
	return link
}

// carry is a bundle of links that a stranger has signed.
func (l *layoutWorld) carry(links ...[]byte) []byte {
	l.t.Helper()
	set := steps.LinkPredicate{Links: links}
	return bundleItem(l.t, dsse.PayloadTypeInToto, fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[%s],"predicate":%s}`,
		steps.TypeLinkSet, about(l.image), set.RawPredicate()), l.stranger).Payload
}

func TestAttack_T10_LinksThatNoFunctionaryHasSignedTakeNoRoom(t *testing.T) {
	l := newLayoutWorld(t)
	image := map[string]string{"image": strings.TrimPrefix(l.image.DigestStr(), "sha256:")}
	garbage := make([][]byte, 1000)
	for i := range garbage {
		garbage[i] = []byte(`{}`)
	}
	good, noise, other := l.carry(l.link(l.builder, image)), l.carry(garbage...), l.carry(l.link(l.stranger, image))
	for name, bundles := range map[string][][]byte{"good first": {good, noise, other}, "good last": {noise, other, good}} {
		if _, err := l.v.Bundles(context.Background(), l.image, bundles...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	res, err := l.v.Bundles(context.Background(), l.image, noise, other)
	isDenied(t, res, err, verify.ReasonLayout)
}

func TestAttack_T10_IncompleteLinksHideNoCompleteOnes(t *testing.T) {
	l := newLayoutWorld(t)
	var bundles [][]byte
	for i := range 100 {
		bundles = append(bundles, l.carry(l.link(l.builder, map[string]string{"image": hex64(uint64(i))})))
	}
	res, err := l.v.Bundles(context.Background(), l.image, bundles...)
	if denied := isDenied(t, res, err, verify.ReasonLayout); len(denied.Evidence) != len(bundles) {
		t.Errorf("%d pieces told of, want %d", len(denied.Evidence), len(bundles))
	}
	image := map[string]string{"image": strings.TrimPrefix(l.image.DigestStr(), "sha256:")}
	if _, err := l.v.Bundles(context.Background(), l.image, append(bundles, l.carry(l.link(l.builder, image)))...); err != nil {
		t.Error(err)
	}
}

func TestAttack_T10_ChecksOfLinksAreBounded(t *testing.T) {
	l := newLayoutWorld(t)
	var e map[string]any
	if err := json.Unmarshal(l.link(l.stranger, nil), &e); err != nil {
		t.Fatal(err)
	}
	forged := map[string]any{"keyid": "", "sig": base64.StdEncoding.EncodeToString([]byte("made by no key"))}
	var signatures []any
	for range dsse.MaxSignatures {
		signatures = append(signatures, forged)
	}
	e["signatures"] = signatures
	link, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	bundles := make([][]byte, 1000)
	for i := range bundles {
		bundles[i] = l.carry(link)
	}
	res, err := l.v.Bundles(context.Background(), l.image, bundles[:100]...)
	isDenied(t, res, err, verify.ReasonLayout)
	res, err = l.v.Bundles(context.Background(), l.image, bundles...)
	if denied := isDenied(t, res, err, verify.ReasonTooMuchEvidence); len(denied.Evidence) > 400 {
		t.Errorf("%d pieces were looked at", len(denied.Evidence))
	}
}

// An image's own bytes are judged by themselves; where they are an alternative to
// evidence, all evidence is looked at.
func TestAttack_E8_GarbageHidesNothingBesideAConfigAlternative(t *testing.T) {
	w := newWorld(t)
	a := newPerson(t)
	w.pushConfig(v1.Config{User: "0"}, nil, now, "")
	text := strings.Replace(policyText, signatureRequired, "anyOf: [{"+configText+"}, {"+signatureRequired+"}]", 1)
	w.attach(w.image, w.simple(payloadFor(w.repo.Name(), w.image.DigestStr()), newPerson(t)))
	res, err := w.judged(text, now, a, newPerson(t), newPerson(t))
	isDenied(t, res, err, verify.ReasonRoot, verify.ReasonUntrustedKey)
	w.sign(w.image, sign.ImageOptions{}, a)
	if _, err := w.judged(text, now, a, newPerson(t), newPerson(t)); err != nil {
		t.Error(err)
	}
}
