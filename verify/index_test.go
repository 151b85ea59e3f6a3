package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64"}
)

// pushIndex stores an index with one random image for each platform, and makes
// it the world's image.
func (w *world) pushIndex(platforms ...v1.Platform) []name.Digest {
	w.t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var children []name.Digest
	for _, p := range platforms {
		image, err := random.Image(32, 1)
		if err != nil {
			w.t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			w.t.Fatal(err)
		}
		children = append(children, w.repo.Digest(digest.String()))
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &p}})
	}
	digest, err := registry.Push(context.Background(), w.store, w.repo, index)
	if err != nil {
		w.t.Fatal(err)
	}
	w.image = digest
	return children
}

func TestAVerifiedIndexVouchesForItsChildren(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64, arm64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, ctx := w.verifier(policy.Signatures{}), context.Background()
	index, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	child, err := v.Child(ctx, w.store, index, children[1])
	if err != nil || child.Digest != children[1] || child.Index != index || len(child.Keys) != 1 {
		t.Errorf("child: %+v, %v", child, err)
	}
	platform, err := v.Platform(ctx, w.store, index, arm64)
	if err != nil || platform.Digest != children[1] {
		t.Errorf("platform: %+v, %v", platform, err)
	}
	_, err = v.Platform(ctx, w.store, index, v1.Platform{OS: "windows", Architecture: "amd64"})
	isDenied(t, nil, err, verify.ReasonNoPlatform)
	_, err = v.Child(ctx, w.store, child, children[0])
	isDenied(t, nil, err, verify.ReasonNotIndex)
}

func TestAttack_I1_AmbiguousPlatformsAreDenied(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64, arm64, amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, ctx := w.verifier(policy.Signatures{}), context.Background()
	index, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Platform(ctx, w.store, index, amd64)
	isDenied(t, nil, err, verify.ReasonAmbiguousPlatform)
	if res, err := v.Platform(ctx, w.store, index, arm64); err != nil || res.Digest != children[1] {
		t.Errorf("the platform that is listed once: %v, %v", res, err)
	}
}

func TestAttack_I1_SubstitutedIndexVouchesForNothing(t *testing.T) {
	w := newWorld(t)
	w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, ctx := w.verifier(policy.Signatures{}), context.Background()
	index, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Platform(ctx, liar{Store: w.store, changeManifests: true}, index, amd64)
	if res != nil || !errors.Is(err, registry.ErrDigestMismatch) {
		t.Errorf("%v, %v; want ErrDigestMismatch", res, err)
	}
}

func TestAttack_I2_NestedIndexesAreBounded(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	v, ctx := w.verifier(policy.Signatures{}), context.Background()
	chain := []name.Digest{children[0]}
	for range 8 {
		inner, err := w.store.Manifest(ctx, w.image)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, w.image)
		w.indexOf(inner.Descriptor)
	}
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	res, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(chain) - 1; err == nil && i >= 0; i-- {
		res, err = v.Child(ctx, w.store, res, chain[i])
	}
	isDenied(t, nil, err, verify.ReasonNotIndex)
}

func TestAttack_I3_AChildAloneIsNotVouchedFor(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, ctx := w.verifier(policy.Signatures{}), context.Background()
	index, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Image(ctx, w.store, children[0])
	isDenied(t, res, err, verify.ReasonNoSignature)
	res, err = v.Child(ctx, w.store, index, w.push())
	isDenied(t, res, err, verify.ReasonNotListed)
	if res, err := v.Child(ctx, w.store, index, w.repo.Digest("sha256:xyz")); res != nil || !errors.Is(err, registry.ErrReference) {
		t.Errorf("malformed child: %v, %v", res, err)
	}
}

func TestAResultOfAnotherVerifierVouchesForNothing(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	ctx := context.Background()
	index, err := w.verifier(policy.Signatures{}).Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	strict := w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.other.key}})
	for name, forged := range map[string]*verify.Result{"another verifier's": index, "made by hand": {Digest: w.image}, "none": nil} {
		if res, err := strict.Child(ctx, w.store, forged, children[0]); res != nil || !errors.Is(err, verify.ErrResult) {
			t.Errorf("%s: %v, %v; want ErrResult", name, res, err)
		}
		if res, err := strict.Platform(ctx, w.store, forged, amd64); res != nil || !errors.Is(err, verify.ErrResult) {
			t.Errorf("%s: %v, %v; want ErrResult", name, res, err)
		}
	}
}

func TestAttack_E5_TwoDigestsInOneEntryOfAnIndexAreMalformed(t *testing.T) {
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "65532"}, nil, now, "")
	good := w.listed(w.image)
	w.pushConfig(v1.Config{User: "0"}, nil, now, "")
	evil := w.listed(w.image)
	// What stands behind a member whose keys are users' is as strict as all else.
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
{"mediaType":%[1]q,"size":%[2]d,"digest":%[3]q,"annotations":null},
{"mediaType":%[1]q,"size":%[2]d,"digest":%[3]q,"Digest":%[4]q,"Size":%[5]d,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		good.MediaType, good.Size, good.Digest, evil.Digest, evil.Size)
	var theirs v1.IndexManifest // as all read it who use encoding/json
	if err := json.Unmarshal([]byte(text), &theirs); err != nil || theirs.Manifests[1].Digest != evil.Digest {
		t.Fatalf("%+v, %v", theirs, err)
	}
	w.pushText(string(types.OCIImageIndex), text)
	res, err := w.judged(strings.Replace(policyText, signatureRequired, configText, 1), now, newPerson(t), newPerson(t), newPerson(t))
	isDenied(t, res, err, verify.ReasonConfig)
}

func TestAResultThatHasEndedVouchesForNothing(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy()
	p.Expires = now.Add(time.Hour)
	at, ctx := now, context.Background()
	v, err := verify.New(p, verify.Options{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	index, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Child(ctx, w.store, index, children[0]); err != nil {
		t.Fatal(err)
	}
	at = now.Add(time.Hour)
	if res, err := v.Child(ctx, w.store, index, children[0]); res != nil || !errors.Is(err, verify.ErrResult) {
		t.Errorf("child: %v, %v; want ErrResult", res, err)
	}
	if res, err := v.Platform(ctx, w.store, index, amd64); res != nil || !errors.Is(err, verify.ErrResult) {
		t.Errorf("platform: %v, %v; want ErrResult", res, err)
	}
}

func TestAttack_I3_AnIndexVouchesForNothingInAnotherRepository(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, ctx := w.verifier(policy.Signatures{}), context.Background()
	index, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := name.NewRepository("registry.example/evil/other")
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Child(ctx, w.store, index, elsewhere.Digest(children[0].DigestStr()))
	isDenied(t, res, err, verify.ReasonNotListed)
}
