package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dev/processor"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const (
	dsseType  = "application/vnd.dsse.envelope.v1+json"
	imageType = "application/vnd.oci.image.manifest.v1+json"
)

// vandal may write to the repository of an image: blobs, referrers and tags.
type vandal struct {
	*world
	r *registrytest.Registry
}

func newVandal(t *testing.T, o registrytest.Options) *vandal {
	t.Helper()
	w, r := newWorld(t), registrytest.New(o)
	w.store = r.Store()
	w.image = w.push()
	return &vandal{w, r}
}

// blob stores content and describes it as a layer.
func (v *vandal) blob(mediaType string, content []byte) v1.Descriptor {
	v.r.PutBlob("team/app", content)
	return describe(v.t, mediaType, content)
}

// tag is one of cosign's tags of the image.
func (v *vandal) tag(suffix string) string {
	return "sha256-" + strings.TrimPrefix(v.image.DigestStr(), "sha256:") + suffix
}

// layers are those under a tag.
func (v *vandal) layers(suffix string) []v1.Descriptor {
	v.t.Helper()
	_, text, there := v.r.Manifest("team/app", v.tag(suffix))
	if !there {
		return nil
	}
	m, err := v1.ParseManifest(bytes.NewReader(text))
	if err != nil {
		v.t.Fatal(err)
	}
	return m.Layers
}

// plant writes a tag.
func (v *vandal) plant(suffix string, layers ...v1.Descriptor) {
	v.t.Helper()
	v.r.Put("team/app", v.tag(suffix), imageType, manifestText(v.t, layers, nil))
}

// refer pushes a referrer with these layers, and lists it where nothing else does.
func (v *vandal) refer(artifactType string, layers ...v1.Descriptor) {
	v.t.Helper()
	text := string(manifestText(v.t, layers, &v.image))
	text = strings.Replace(text, `{`, fmt.Sprintf(`{"artifactType":%q,`, artifactType), 1)
	m, err := registry.NewManifest(imageType, []byte(text))
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := v.store.PushManifest(v.t.Context(), v.image.Context().Digest(m.Descriptor.Digest.String()), m, registry.PushOptions{}); err != nil {
		v.t.Fatal(err)
	}
}

// flood is an envelope with so many signatures that no key has made.
func flood(signatures int, payload []byte) []byte {
	one := `{"sig":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x30}, ed25519.SignatureSize)) + `"}`
	return fmt.Appendf(nil, `{"payloadType":%q,"payload":%q,"signatures":[%s]}`, dsse.PayloadTypeInToto,
		base64.StdEncoding.EncodeToString(payload), strings.TrimSuffix(strings.Repeat(one+",", signatures), ","))
}

// forged is a bundle that names a key, about the image, with the signature of another.
func (v *vandal) forged(n int) registry.Item {
	item := hinted(v.t, v.world, v.trusted, v.other)
	item.Payload = append(item.Payload, strings.Repeat(" ", n)...)
	return item
}

func TestAttack_E21_ALayerThatIsNamedOverAndOverHidesNothing(t *testing.T) {
	for what, garbage := range map[string][]byte{"two bytes": []byte("{}"), "64 signatures": flood(64, []byte("{}"))} {
		for suffix, mediaType := range map[string]string{".sig": simpleType, ".att": dsseType} {
			v := newVandal(t, registrytest.Options{})
			v.sign(v.image, sign.ImageOptions{}, v.trusted)
			state(t, v.world, v.image, provenanceBy(someBuilder), v.trusted)
			layer := v.blob(mediaType, garbage)
			layer.Annotations = map[string]string{sigKey: "AQI="}
			v.plant(suffix, slices.Repeat([]v1.Descriptor{layer}, 1001)...)
			p := policy.Signatures{Keys: []policy.PublicKey{v.trusted.key, v.other.key, newPerson(t).key}, Threshold: 1}.Policy()
			by := p.Rules[0].Require[0].Signature.By
			p.Rules[0].Require = append(p.Rules[0].Require, policy.Requirement{Attestation: &policy.AttestationRequirement{
				Type: "slsaprovenance", By: by, ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{someBuilder}},
			}})
			verifier, err := verify.New(p, verify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			res, err := verifier.Image(t.Context(), v.store, v.image)
			if err != nil {
				t.Errorf("%s under %s: %v", what, suffix, err)
			} else if len(res.Evidence) > 4 {
				t.Errorf("%s under %s: %d records, want the layer judged once", what, suffix, len(res.Evidence))
			}
		}
	}
}

// What several referrers carry alike is judged once, and told of for each.
func TestAttack_E21_TheSamePieceInManyReferrersIsJudgedOnce(t *testing.T) {
	v := newVandal(t, registrytest.Options{})
	good := bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(v.image)), v.trusted)
	slow := flood(64, []byte("{}"))
	for i := range 400 { // as many envelopes would take 51,200 checks
		layer := v.blob(dsseType, slow)
		layer.Data = slow
		v.refer(dsseType, layer, v.blob("application/x", fmt.Append(nil, i)))
	}
	for i := range 2 {
		v.refer(bundleType, v.blob(bundleType, good.Payload), v.blob("application/y", fmt.Append(nil, i)))
	}
	denied := v.denied(policy.Signatures{Keys: []policy.PublicKey{v.trusted.key, v.other.key}, Threshold: 2}, verify.ReasonThreshold)
	told := make(map[verify.Reason]int)
	for _, e := range denied.Evidence {
		told[e.Reason]++
	}
	if told[verify.ReasonUntrustedKey] != 400 || told[verify.ReasonCounted] != 1 || told[verify.ReasonRepeated] != 1 {
		t.Errorf("%v", told)
	}
}

// Whatever fills a place, evidence in another one counts.
func TestAttack_E21_AFullPlaceTakesNothingFromTheOthers(t *testing.T) {
	fill := map[string]func(v *vandal){
		".sig": func(v *vandal) {
			layer, all := v.blob(simpleType, []byte("{}")), []v1.Descriptor(nil)
			for i := range 10_100 {
				layer.Annotations = map[string]string{sigKey: base64.StdEncoding.EncodeToString(fmt.Append(nil, i))}
				all = append(all, layer)
			}
			v.plant(".sig", append(all, v.layers(".sig")...)...)
		},
		".att": func(v *vandal) {
			var all []v1.Descriptor
			for i := range 200 {
				all = append(all, v.blob(dsseType, flood(64, fmt.Append(nil, i))))
			}
			v.plant(".att", append(all, v.layers(".att")...)...)
		},
		"referrers": func(v *vandal) {
			for i := range 6 {
				v.refer(dsseType, v.blob(dsseType, flood(64, make([]byte, 20<<10+i))))
			}
		},
	}
	for _, full := range []string{".sig", ".att", "referrers"} {
		for _, format := range []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning} {
			if full == ".sig" && format == registry.FormatSimpleSigning {
				continue // more than are read
			}
			v := newVandal(t, registrytest.Options{})
			v.sign(v.image, sign.ImageOptions{Formats: []registry.Format{format}}, v.trusted)
			fill[full](v)
			p := policy.Signatures{Keys: []policy.PublicKey{v.trusted.key}, Threshold: 1}.Policy()
			by := p.Rules[0].Require[0].Signature.By
			// Both tags are read, and all of what is there: the other one is never met.
			p.Rules[0].Require = []policy.Requirement{{AnyOf: []policy.Requirement{
				{Attestation: &policy.AttestationRequirement{Type: "spdx", By: by}}, p.Rules[0].Require[0],
			}}}
			verifier, err := verify.New(p, verify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := verifier.Image(t.Context(), v.store, v.image); err != nil {
				t.Errorf("%s full, the good one is a %s: %.300v", full, format, err)
			}
		}
	}
}

// A place that was not read to its end is told of where what is required is missing.
func TestAttack_E21_ALimitOfOnePlaceIsToldWhereNothingCounts(t *testing.T) {
	v := newVandal(t, registrytest.Options{})
	v.sign(v.image, sign.ImageOptions{}, v.other)
	layer, all := v.blob(simpleType, []byte("{}")), []v1.Descriptor(nil)
	for i := range 10_100 {
		layer.Annotations = map[string]string{sigKey: base64.StdEncoding.EncodeToString(fmt.Append(nil, i))}
		all = append(all, layer)
	}
	v.plant(".sig", all...)
	denied := v.denied(policy.Signatures{}, verify.ReasonTooMuchEvidence)
	if n := len(denied.Evidence); n > 2100 {
		t.Errorf("%d records", n)
	}
}

// As many garbage bundles as the list may hold name the right key, are about the
// image, and are smaller than the good one, which is the last.
func TestAttack_E21_GarbageThatNamesTheKeyHidesNoBundle(t *testing.T) {
	v := newVandal(t, registrytest.Options{})
	var pieces []piece
	for i := range 9999 {
		garbage := v.forged(0).Payload
		if i > 0 {
			garbage = append(slices.Clip(pieces[0].item.Payload), fmt.Sprintf("%*s", i%300, "")...)
			garbage = bytes.Replace(garbage, []byte(`"publicKey":{`), fmt.Appendf(nil, `"publicKey":{"n":"%d",`, i), 1)
		}
		pieces = append(pieces, piece{item: bundleOf(string(garbage))})
	}
	good := hinted(t, v.world, v.trusted, v.trusted)
	good.Payload = append(good.Payload, strings.Repeat(" ", 64<<10-len(good.Payload))...)
	pile := newPile(t, v.image, append(pieces, piece{item: good})...)
	for _, keys := range [][]policy.PublicKey{{v.trusted.key}, {newPerson(t).key, v.trusted.key, v.other.key, newPerson(t).key}} {
		verifier := v.verifier(policy.Signatures{Keys: keys[:1:1], Threshold: 1})
		if len(keys) > 1 { // that of the garbage is not asked for
			p := policy.Signatures{Keys: []policy.PublicKey{keys[0], keys[1]}, Threshold: 1}.Policy()
			p.Keys["more"] = policy.Key{Public: keys[3]}
			p.Roles["more"] = policy.Role{Keys: []string{"more"}}
			var err error
			if verifier, err = verify.New(p, verify.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		res, err := verifier.Image(t.Context(), pile, v.image)
		if err != nil {
			t.Errorf("%d keys: %.300v", len(keys), err)
		} else if len(res.Evidence) > 2100 {
			t.Errorf("%d records", len(res.Evidence))
		}
	}
}

// Evidence that names no key is looked at by what it costs.
func TestAttack_E21_CheapEvidenceGoesBeforeWhatTakesMany(t *testing.T) {
	v := newVandal(t, registrytest.Options{})
	var pieces []piece
	for i := range 500 {
		pieces = append(pieces, piece{"flood", ".att", registry.Item{Layer: v1.Descriptor{MediaType: dsseType}, Payload: flood(64, fmt.Append(nil, i))}},
			piece{"flood", "", registry.Item{Layer: v1.Descriptor{MediaType: dsseType}, Payload: flood(64, fmt.Append(nil, i))}})
	}
	text := fmt.Sprintf(`{"_type":%q,"predicateType":"https://slsa.dev/provenance/v1","subject":[%s],"predicate":%s}`,
		intoto.StatementV1, about(v.image), fmt.Sprintf(propertyProvenance, someBuilder))
	good := registry.Item{Layer: v1.Descriptor{MediaType: dsseType}, Payload: envelope(t, dsse.PayloadTypeInToto, text, v.trusted)}
	good.Payload = append(good.Payload, strings.Repeat(" ", 30<<10)...)
	p := policy.Signatures{Keys: []policy.PublicKey{newPerson(t).key, v.trusted.key, newPerson(t).key}, Threshold: 1}.Policy()
	p.Rules[0].Require = []policy.Requirement{{Attestation: &policy.AttestationRequirement{
		Type: "slsaprovenance", By: p.Rules[0].Require[0].Signature.By, ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{someBuilder}},
	}}}
	verifier, err := verify.New(p, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"", ".att"} {
		if _, err := verifier.Image(t.Context(), newPile(t, v.image, append(slices.Clone(pieces), piece{"good", tag, good})...), v.image); err != nil {
			t.Errorf("good under %q: %.300v", tag, err)
		}
	}
}

// One large payload, named four times, under 64 signatures that three keys would hash
// it for.
func TestAttack_E22_ALargePayloadUnderManySignaturesTakesNoTime(t *testing.T) {
	v := newVandal(t, registrytest.Options{})
	var keys []policy.PublicKey
	for range 3 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		v.trusted = personWith(t, key)
		keys = append(keys, v.trusted.key)
	}
	layer := v.blob(dsseType, flood(64, make([]byte, 23<<20)))
	v.plant(".att", layer, layer, layer, layer)
	p := policy.Signatures{Keys: keys, Threshold: 1}.Policy()
	by := p.Rules[0].Require[0].Signature.By
	p.Rules[0].Require = []policy.Requirement{{Attestation: &policy.AttestationRequirement{
		Type: "slsaprovenance", By: by, ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{someBuilder}},
	}}}
	verifier, err := verify.New(p, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := processor.Time()
	res, err := verifier.Image(t.Context(), v.store, v.image)
	isDenied(t, res, err, verify.ReasonTooMuchEvidence, verify.ReasonTooMuchEvidence)
	if took := processor.Time() - start; took > 5*time.Second { // 64 times 3 hashes take longer on any machine
		t.Errorf("it took %s", took)
	}
	state(t, v.world, v.image, provenanceBy(someBuilder), v.trusted)
	if _, err := verifier.Image(t.Context(), v.store, v.image); err != nil {
		t.Errorf("beside good evidence: %v", err)
	}
}

// Payloads of one signature each are hashed as often as the bound of checks allows.
func TestAttack_E22_BytesThatAreHashedCount(t *testing.T) {
	v := newVandal(t, registrytest.Options{})
	var keys []policy.PublicKey
	for range 40 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, personWith(t, key).key)
	}
	verifier := v.verifier(policy.Signatures{Keys: keys, Threshold: 1})
	// 40 keys and the hash of Ed25519ph: 41 hashes of 1 MiB count 1312 checks, and the
	// checks 40; so 14 of them fit.
	var bundles [][]byte
	for i := range 20 {
		bundles = append(bundles, bundleOf(fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":""}},"dsseEnvelope":%s}`,
			bundleType, flood(1, bytes.Repeat([]byte{byte(i)}, 1<<20)))).Payload)
	}
	res, err := verifier.Bundles(t.Context(), v.image, bundles...)
	isDenied(t, res, err, verify.ReasonTooMuchEvidence, append(slices.Repeat([]verify.Reason{verify.ReasonUntrustedKey}, 14), verify.ReasonTooMuchEvidence)...)
}

// Garbage of every kind in every place never turns an allowed image into a denied one.
func TestAttack_E21_GarbageNeverDenies(t *testing.T) {
	t.Parallel()
	r := mathrand.New(mathrand.NewPCG(21, 22))
	for round := range 30 {
		o := registrytest.Options{NoReferrers: round%3 == 0}
		v := newVandal(t, o)
		third := newPerson(t)
		policies := []policy.Signatures{
			{Keys: []policy.PublicKey{v.trusted.key}, Threshold: 1},
			{Keys: []policy.PublicKey{v.trusted.key, v.other.key, third.key}, Threshold: 1},
			{Keys: []policy.PublicKey{v.trusted.key, third.key}, Threshold: 2},
		}
		formats := []registry.Format{registry.FormatBundle}
		if r.IntN(2) == 0 {
			formats[0] = registry.FormatSimpleSigning
		}
		annotations := map[string]string{"pad": strings.Repeat("x", r.IntN(40<<10))}
		v.sign(v.image, sign.ImageOptions{Formats: formats, Annotations: annotations}, v.trusted, third)
		before := make([]bool, len(policies))
		for i, p := range policies {
			_, err := v.verifier(p).Image(t.Context(), v.store, v.image)
			if before[i] = err == nil; err != nil {
				t.Fatal(err)
			}
		}
		for range 1 + r.IntN(12) {
			v.garbage(r)
		}
		for i, p := range policies {
			if _, err := v.verifier(p).Image(t.Context(), v.store, v.image); err != nil {
				t.Fatalf("round %d, policy %d: %.500v", round, i, err)
			}
		}
	}
}

// garbage writes something at random, beside what is there.
func (v *vandal) garbage(r *mathrand.Rand) {
	v.t.Helper()
	layer := v.garbageLayer(r)
	all := []v1.Descriptor{layer}
	for range r.IntN(3) * r.IntN(400) {
		if r.IntN(2) == 0 {
			layer = v.garbageLayer(r)
		}
		all = append(all, layer)
	}
	suffix := []string{".sig", ".att", "", ""}[r.IntN(4)]
	if suffix == "" {
		v.refer(string(layer.MediaType), all...)
		if index := v.fallback(); index != "" {
			v.r.Put("team/app", v.tag(""), "application/vnd.oci.image.index.v1+json", []byte(index))
		}
		return
	}
	if r.IntN(2) == 0 {
		all = append(all, v.layers(suffix)...)
	} else {
		all = append(v.layers(suffix), all...)
	}
	v.plant(suffix, all...)
}

// fallback is the index of a registry without the referrers API, with entries that lie
// before those that are there.
func (v *vandal) fallback() string {
	mediaType, text, there := v.r.Manifest("team/app", v.tag(""))
	if !there || !strings.Contains(mediaType, "index") {
		return ""
	}
	lies := fmt.Sprintf(`"manifests":[{"mediaType":%q,"artifactType":%q,"size":9,"digest":"sha256:%s"},{"mediaType":%q,"size":5,"digest":%q},`,
		imageType, bundleType, strings.Repeat("ab", 32), imageType, v.image.DigestStr())
	return strings.Replace(string(text), `"manifests":[`, lies, 1)
}

func (v *vandal) garbageLayer(r *mathrand.Rand) v1.Descriptor {
	signature := map[string]string{sigKey: base64.StdEncoding.EncodeToString(fmt.Append(nil, r.Int()))}
	var layer v1.Descriptor
	switch r.IntN(8) {
	case 0:
		layer = v.blob(bundleType, v.forged(r.IntN(1000)).Payload)
	case 1:
		layer = v.blob(dsseType, flood(1+r.IntN(64), fmt.Append(nil, r.Int())))
	case 2:
		layer = v.blob(simpleType, []byte(payloadFor(v.repo.Name(), v.image.DigestStr())))
		layer.Annotations = signature
	case 3:
		layer = v.blob(simpleType, fmt.Append(nil, r.IntN(3)))
		layer.Annotations = signature
	case 4:
		layer = v.blob(bundleType, bytes.Repeat([]byte("["), r.IntN(200<<10)))
	case 5: // that is not there
		layer = describe(v.t, bundleType, fmt.Append(nil, r.Int()))
		layer.Size = int64(r.IntN(1 << 30))
	case 6:
		layer = v.blob("application/x", nil)
	default:
		layer = v.blob(bundleType, hinted(v.t, v.otherImage(), v.trusted, v.trusted).Payload)
	}
	return layer
}

// otherImage is the world of another image, whose evidence may be copied.
func (v *vandal) otherImage() *world {
	other := *v.world
	sum := strings.Repeat("cd", 32)
	other.image = v.repo.Digest("sha256:" + sum)
	return &other
}
