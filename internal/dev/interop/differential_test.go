package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	sgbundle "github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/hallmark-oci/hallmark/internal/wire/b64"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// The same bytes are given to us and to a peer. Where the decisions differ, the
// case says why; an unexplained difference fails.

// changes are ways to change text that is good; r chooses where.
var changes = map[string]func(r *rand.Rand, text []byte) []byte{
	"a bit": func(r *rand.Rand, text []byte) []byte {
		text[r.IntN(len(text))] ^= 1 << r.IntN(8)
		return text
	},
	"a byte": func(r *rand.Rand, text []byte) []byte {
		text[r.IntN(len(text))] = byte(r.IntN(256))
		return text
	},
	"a byte more": func(r *rand.Rand, text []byte) []byte {
		at := r.IntN(len(text) + 1)
		return bytes.Join([][]byte{text[:at], text[at:]}, []byte{byte(r.IntN(256))})
	},
	"a byte less": func(r *rand.Rand, text []byte) []byte {
		at := r.IntN(len(text))
		return append(text[:at:at], text[at+1:]...)
	},
	"cut off":  func(r *rand.Rand, text []byte) []byte { return text[:r.IntN(len(text))] },
	"repeated": func(_ *rand.Rand, text []byte) []byte { return bytes.Repeat(text, 2) },
	"two bytes in turn": func(r *rand.Rand, text []byte) []byte {
		if at := r.IntN(len(text)); at > 0 {
			text[at-1], text[at] = text[at], text[at-1]
		}
		return text
	},
}

const differentialCases = 400 // of each change

// differ reports a difference that has no explanation.
func differ(t *testing.T, what string, ours, theirs error, explained bool) {
	t.Helper()
	if (ours == nil) != (theirs == nil) && !explained {
		t.Errorf("%s: we say %v, the peer %v", what, ours, theirs)
	}
}

// signedStatement is a bundle of a statement in exactly this text.
func signedStatement(t testing.TB, k key, text string) []byte {
	t.Helper()
	e := dsse.New(dsse.PayloadTypeInToto, []byte(text))
	sig, err := k.pair.Signer.Sign(t.Context(), e.PAE())
	if err != nil {
		t.Fatal(err)
	}
	e.Signatures = [][]byte{sig}
	written, err := bundle.NewEnvelope(bundle.Material{Hint: hintOf(t, k)}, e)
	if err != nil {
		t.Fatal(err)
	}
	return written.Bytes()
}

func hintOf(t testing.TB, k key) string {
	t.Helper()
	parsed, err := policy.ParsePublicKey(k.pair.PublicPEM)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, sha256.Size)
	if _, err := fmt.Sscanf(parsed.ID(), "%x", &raw); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// theirsOnBundles is sigstore-go's decision.
func theirsOnBundles(t testing.TB, text []byte, k key, image name.Digest) error {
	t.Helper()
	b := new(sgbundle.Bundle)
	if err := b.UnmarshalJSON(text); err != nil {
		return err
	}
	return sigstoreGoVerifies(t, b, k, image)
}

func someImage(t testing.TB) name.Digest {
	t.Helper()
	image, err := name.NewDigest("registry.example.test/team/app@sha256:" + strings.Repeat("0a", 32))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestChangedBundlesAreDecidedAsBySigstoreGo(t *testing.T) {
	image, k := someImage(t), newKey(t, "release", sign.ECDSAP256)
	v := trusting(t, nil, k)
	good := signedStatement(t, k, statementAbout(image, intoto.PredicateSignature, `"predicate":{}`))
	if err := theirsOnBundles(t, good, k, image); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	hint := hintOf(t, k)
	for change, do := range changes {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			allowed := 0
			for range differentialCases {
				text := do(r, bytes.Clone(good))
				_, ours := v.Bundles(t.Context(), image, text)
				theirs := theirsOnBundles(t, text, k, image)
				if ours == nil {
					allowed++
				}
				// sigstore-go is told by the hint which key to take, and has none
				// for another hint. To us a hint is nothing but a hint.
				explained := ours == nil && hintIn(text) != hint
				// Two readers of JSON disagree about what we refuse to read.
				explained = explained || ours != nil && ambiguous(text)
				differ(t, fmt.Sprintf("%q", text), ours, theirs, explained)
			}
			t.Logf("%d of %d allowed", allowed, differentialCases)
		})
	}
}

// hintIn is the hint that a bundle gives.
func hintIn(text []byte) string {
	b, err := bundle.Parse(text)
	if err != nil {
		return ""
	}
	return b.Hint
}

// ambiguous reports whether text is JSON to encoding/json and none to us.
func ambiguous(text []byte) bool {
	_, err := bundle.Parse(text)
	return err != nil && json.Valid(text)
}

// statementAbout is a signature statement of an image, with more members.
func statementAbout(image name.Digest, predicateType, more string) string {
	return fmt.Sprintf(`{"_type":%q,"predicateType":%q,"subject":[{"name":"x","digest":{"sha256":%q}}],%s}`,
		intoto.StatementV1, predicateType, strings.TrimPrefix(image.DigestStr(), "sha256:"), more)
}

// What a trusted key has signed, in forms that readers may understand in several
// ways.
func TestSignedStatementsAreDecidedAsBySigstoreGo(t *testing.T) {
	image, k := someImage(t), newKey(t, "release", sign.ECDSAP256)
	v := trusting(t, nil, k)
	good := statementAbout(image, intoto.PredicateSignature, `"predicate":{}`)
	hex := strings.TrimPrefix(image.DigestStr(), "sha256:")
	for name, test := range map[string]struct {
		text string
		// why says why we differ; "" where we must not.
		why string
	}{
		"good":                       {good, ""},
		"white space":                {strings.ReplaceAll(good, ",", " ,\n\t"), ""},
		"another digest":             {strings.Replace(good, hex, strings.Repeat("0b", 32), 1), ""},
		"no subject":                 {strings.Replace(good, `"subject":[`, `"subjects":[`, 1), ""},
		"an empty subject":           {strings.Replace(good, `{"name":"x"`, `{},{"name":"x"`, 1), ""},
		"another subject before":     {strings.Replace(good, `{"name":"x"`, `{"digest":{"sha256":"`+strings.Repeat("0b", 32)+`"}},{"name":"x"`, 1), ""},
		"upper-case digest":          {strings.Replace(good, hex, strings.ToUpper(hex), 1), "a digest is lower-case hex (OCI image specification, descriptor.md)"},
		"cut digest":                 {strings.Replace(good, hex, hex[:62], 1), ""},
		"a wrong sha512 beside it":   {strings.Replace(good, `"sha256"`, `"sha512":"`+strings.Repeat("00", 64)+`","sha256"`, 1), "every digest that is known must match (in-toto digest_set.md); without the image that cannot be said"},
		"an unknown algorithm":       {strings.Replace(good, `"sha256"`, `"md6":"00","sha256"`, 1), ""},
		"no type":                    {strings.Replace(good, "_type", "type", 1), "a statement says that it is one"},
		"the type of v0.1":           {strings.Replace(good, intoto.StatementV1, intoto.StatementV01, 1), ""},
		"another type":               {strings.Replace(good, intoto.StatementV1, "https://in-toto.io/Statement/v9", 1), "a statement says that it is one"},
		"an attestation":             {statementAbout(image, "https://slsa.dev/verification_summary/v1", `"predicate":{"verificationResult":"FAILED"}`), "an attestation is not a signature, whatever it says"},
		"no predicate type":          {strings.Replace(good, "predicateType", "predicate_type", 1), "without a type nothing says that it is a signature"},
		"no predicate":               {statementAbout(image, intoto.PredicateSignature, `"x":1`), "what a statement holds beside is passed over (in-toto: consumers must ignore what they do not know)"},
		"a predicate that is null":   {statementAbout(image, intoto.PredicateSignature, `"predicate":null`), ""},
		"a predicate that is a list": {statementAbout(image, intoto.PredicateSignature, `"predicate":[]`), ""},
		"subject twice":              {strings.Replace(good, `"subject"`, `"subject":[],"subject"`, 1), ""},
		"subject in two spellings":   {strings.Replace(good, `"subject"`, `"Subject":[],"subject"`, 1), ""},
		"trailing data":              {good + "{}", ""},
		"an unknown member":          {strings.Replace(good, `"subject"`, `"more":1,"subject"`, 1), "what a statement holds beside is passed over (in-toto: consumers must ignore what they do not know)"},
	} {
		text := signedStatement(t, k, test.text)
		_, ours := v.Bundles(t.Context(), image, text)
		theirs := theirsOnBundles(t, text, k, image)
		if differs := (ours == nil) != (theirs == nil); differs != (test.why != "") {
			t.Errorf("%s: we say %v, sigstore-go %v; explained by %q", name, ours, theirs, test.why)
		}
	}
}

// oneSignature is a repository in which the .sig tag holds one layer.
type oneSignature struct {
	image name.Digest
	hash  v1.Hash
	store registry.Store
	v     *verify.Verifier
	peer  *cosign.CheckOpts
}

func newOneSignature(t testing.TB, k key) *oneSignature {
	t.Helper()
	image := someImage(t)
	hash, err := v1.NewHash(image.DigestStr())
	if err != nil {
		t.Fatal(err)
	}
	o := checkOpts(t, k)
	o.ClaimVerifier = cosign.SimpleClaimVerifier
	return &oneSignature{image, hash, registrytest.New(registrytest.Options{}).Store(), trusting(t, nil, k), o}
}

// decide gives both decisions about a payload and the text of a signature.
func (s *oneSignature) decide(t testing.TB, payload []byte, signature string) (ours, theirs error) {
	t.Helper()
	sum, size, err := v1.SHA256(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	m, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: sum, Size: size},
		Layers: []v1.Descriptor{{MediaType: simplesigning.LayerMediaType, Digest: sum, Size: size, Data: payload,
			Annotations: map[string]string{simplesigning.AnnotationSignature: signature}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifestSum, _, err := v1.SHA256(bytes.NewReader(m))
	if err != nil {
		t.Fatal(err)
	}
	tag := s.image.Context().Tag("sha256-" + s.hash.Hex + ".sig")
	manifest := registry.Manifest{Descriptor: v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: manifestSum, Size: int64(len(m))}, Bytes: m}
	if _, err := s.store.PushManifest(context.Background(), tag, manifest, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	_, ours = s.v.Image(context.Background(), s.store, s.image)
	layer, err := static.NewSignature(payload, signature)
	if err != nil {
		t.Fatal(err)
	}
	_, theirs = cosign.VerifyImageSignature(context.Background(), layer, s.hash, s.peer)
	return ours, theirs
}

func TestChangedSimpleSignaturesAreDecidedAsByCosign(t *testing.T) {
	k := newKey(t, "release", sign.ECDSAP256)
	payload := []byte(simplePayload(someImage(t)))
	sig, err := k.pair.Signer.Sign(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(sig)
	for change, do := range changes {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			s := newOneSignature(t, k)
			if ours, theirs := s.decide(t, payload, text); ours != nil || theirs != nil {
				t.Fatalf("unchanged: %v, %v", ours, theirs)
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range differentialCases {
				changed := do(r, bytes.Clone(payload))
				ours, theirs := s.decide(t, changed, text)
				differ(t, fmt.Sprintf("payload %q", changed), ours, theirs, false)
				wrong := string(do(r, []byte(text)))
				if strings.ToValidUTF8(wrong, "") != wrong {
					continue // an annotation cannot hold it
				}
				ours, theirs = s.decide(t, payload, wrong)
				// Go's decoder passes over line breaks. One text has one meaning.
				explained := ours != nil && strings.ContainsAny(wrong, "\r\n")
				// Go's decoder passes over bits that nothing needs, too. The URL-safe
				// alphabet and no padding are allowed in DSSE, and here.
				decoded, err := b64.Decode([]byte(wrong))
				lenient, _ := base64.StdEncoding.DecodeString(wrong)
				explained = explained || ours == nil && err == nil && bytes.Equal(decoded, sig) ||
					ours != nil && err != nil && bytes.Equal(lenient, sig)
				differ(t, fmt.Sprintf("signature %q", wrong), ours, theirs, explained)
			}
		})
	}
}

func simplePayload(image name.Digest) string {
	return fmt.Sprintf(`{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`,
		image.Context().Name(), image.DigestStr())
}

// What a trusted key has signed as a simple signing payload, in forms that readers
// may understand in several ways.
func TestSignedPayloadsAreDecidedAsByCosign(t *testing.T) {
	k := newKey(t, "release", sign.ECDSAP256)
	s := newOneSignature(t, k)
	good := simplePayload(s.image)
	digest := `"docker-manifest-digest":"` + s.image.DigestStr() + `"`
	wrong := `"docker-manifest-digest":"sha256:` + strings.Repeat("0b", 32) + `"`
	for name, test := range map[string]struct{ text, why string }{
		"good":                        {good, ""},
		"white space":                 {strings.ReplaceAll(good, ",", " ,\n\t"), ""},
		"another digest":              {strings.Replace(good, digest, wrong, 1), ""},
		"two digests, right one last": {strings.Replace(good, digest, wrong+","+digest, 1), "what two readers could take otherwise means nothing"},
		"two digests, wrong one last": {strings.Replace(good, digest, digest+","+wrong, 1), ""},
		"digest in another spelling":  {strings.Replace(good, "docker-manifest-digest", "Docker-Manifest-Digest", 1), "names are compared exactly (FORMATS, RFC 8259)"},
		"another repository":          {strings.Replace(good, "team/app", "team/other", 1), ""},
		"another type":                {strings.Replace(good, "cosign container", "atomic container", 1), "a signature for another purpose is none"},
		"no type":                     {strings.Replace(good, `,"type":"cosign container image signature"`, "", 1), "a signature for another purpose is none"},
		"an unknown member":           {strings.Replace(good, `"optional"`, `"more":1,"optional"`, 1), "a payload has critical and optional, and nothing else (containers-signature(5))"},
		"optional with a number":      {strings.Replace(good, "null", `{"a":1}`, 1), ""},
		"optional with a list":        {strings.Replace(good, "null", `["a"]`, 1), ""},
		"trailing data":               {good + "{}", ""},
		"upper-case digest":           {strings.Replace(good, s.hash.Hex, strings.ToUpper(s.hash.Hex), 1), ""},
	} {
		sig, err := k.pair.Signer.Sign(t.Context(), []byte(test.text))
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := s.decide(t, []byte(test.text), base64.StdEncoding.EncodeToString(sig))
		if differs := (ours == nil) != (theirs == nil); differs != (test.why != "") {
			t.Errorf("%s: we say %v, cosign %v; explained by %q", name, ours, theirs, test.why)
		}
	}
}
