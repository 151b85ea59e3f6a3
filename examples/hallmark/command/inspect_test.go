package command

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

func TestInspectShowsWhoSignedWhatAndVerifiesOnlyWithAKey(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		c, k, other := newCLI(t), newKey(t), newKey(t)
		from := layoutTarget(t)
		digest := from.push("v1")
		_, err := registrytest.PushReferrer(t.Context(), from.store, digest, "application/x-sbom", []byte("sbom"), nil)
		must(t, err)
		c.must("copy", from.tag("v1"), x.tag("v1"))
		c.must("sign", "--key", k.private, "--format", "both", "-a", "env=prod", x.tag("v1"))

		var plain, checked verify.Inspection
		c.must("inspect", "-o", "json", x.tag("v1")).decode(&plain)
		c.must("inspect", "-o", "json", "--key", k.public, "--key", other.public, x.tag("v1")).decode(&checked)
		if plain.Digest != x.at(digest) || !plain.Complete || len(plain.Manifests) != 0 {
			t.Errorf("%+v", plain)
		}
		var kinds []string
		for i, p := range plain.Evidence {
			kinds = append(kinds, p.Kind+" "+string(p.Format))
			if len(p.VerifiedBy) != 0 {
				t.Errorf("verified without a key: %+v", p)
			}
			if p.Kind == kindOther {
				continue
			}
			if !p.SubjectMatches || p.Annotations["env"] != "prod" {
				t.Errorf("%+v", p)
			}
			if p.Format == registry.FormatBundle && p.Signer.KeyID != k.id {
				t.Errorf("signer %+v, want %s", p.Signer, k.id)
			}
			if by := checked.Evidence[i].VerifiedBy; len(by) != 1 || by[0].ID != k.id || by[0].Name != k.public {
				t.Errorf("verified by %+v", by)
			}
		}
		slices.Sort(kinds)
		if want := []string{"other other", "signature bundle", "signature simple-signing"}; !slices.Equal(kinds, want) {
			t.Errorf("%v, want %v", kinds, want)
		}
		c.must("inspect", x.tag("v1")).prints("not verified: no --key or --policy given", "application/x-sbom", "says it is signed with key "+k.id)
		c.must("inspect", "--key", other.public, x.tag("v1")).prints("not verified: no key given has signed it")
	})
}

func TestInspectShowsTheEvidenceOfWhatAnIndexListsWhenAsked(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		c, k := newCLI(t), newKey(t)
		_, children := x.pushIndex("v1")
		c.must("sign", "--key", k.private, "--recursive", x.tag("v1"))
		var plain, recursive verify.Inspection
		c.must("inspect", "-o", "json", x.tag("v1")).decode(&plain)
		c.must("inspect", "-o", "json", "--recursive", x.tag("v1")).decode(&recursive)
		for i, child := range children {
			for _, r := range []verify.Inspection{plain, recursive} {
				if m := r.Manifests[i]; m.Digest != x.at(child) || m.Platform == "" {
					t.Errorf("child %d: %+v", i, m)
				}
			}
			if plain.Manifests[i].Evidence != nil || len(recursive.Manifests[i].Evidence) != 1 {
				t.Errorf("child %d: evidence %v and %v", i, plain.Manifests[i].Evidence, recursive.Manifests[i].Evidence)
			}
		}
		c.must("inspect", "--recursive", x.tag("v1")).prints("lists  linux/arm64  " + children[1].DigestStr())
	})
}

func TestInspectTellsWhatIsAboutAnotherImage(t *testing.T) {
	x := layoutTarget(t)
	c, k := newCLI(t), newKey(t)
	good, other := x.push("good"), x.push("other")
	c.must("sign", "--key", k.private, "--format", "both", x.tag("good"))
	for item, err := range registry.Evidence(t.Context(), x.store, good, registry.Limits{}) {
		must(t, err)
		x.attach(other, item)
	}
	var i verify.Inspection
	c.must("inspect", "-o", "json", "--key", k.public, x.tag("other")).decode(&i)
	if len(i.Evidence) != 2 {
		t.Fatalf("%+v", i.Evidence)
	}
	for _, p := range i.Evidence {
		if p.SubjectMatches || !slices.Equal(p.Subjects, []string{good.DigestStr()}) || len(p.VerifiedBy) != 1 {
			t.Errorf("%+v", p)
		}
	}
	c.must("inspect", x.tag("other")).prints("about another digest  " + good.DigestStr())
}

func TestInspectReadsCertificatesAttestationsAndBuildKit(t *testing.T) {
	x := layoutTarget(t)
	c := newCLI(t)
	digest := x.push("v1")
	statement, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1", "predicate": json.RawMessage(provenanceText),
		"subject": []any{map[string]any{"digest": map[string]string{"sha256": digest.DigestStr()[len("sha256:"):]}}},
	})
	must(t, err)
	envelope := map[string]any{
		"payloadType": "application/vnd.in-toto+json", "payload": base64.StdEncoding.EncodeToString(statement),
		"signatures": []any{map[string]string{"sig": "AAAA"}},
	}
	bundle, err := json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{"certificate": map[string]string{
			"rawBytes": base64.StdEncoding.EncodeToString(certificateWith(t, "https://accounts.example")),
		}},
		"dsseEnvelope": envelope,
	})
	must(t, err)
	bare, err := json.Marshal(envelope)
	must(t, err)
	x.attach(digest, registry.Item{Format: registry.FormatBundle, Payload: bundle,
		Layer: v1.Descriptor{MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json"}})
	x.attach(digest, registry.Item{Format: registry.FormatEnvelope, Payload: bare,
		Layer: v1.Descriptor{MediaType: "application/vnd.dsse.envelope.v1+json"}})

	var i verify.Inspection
	c.must("inspect", "-o", "json", x.tag("v1")).decode(&i)
	for _, p := range i.Evidence {
		if p.Kind != kindAttestation || p.PredicateType != "https://slsa.dev/provenance/v1" || !p.SubjectMatches || p.Error != "" {
			t.Errorf("%+v", p)
		}
	}
	if !reflect.DeepEqual(i.Evidence[0].Signer, registry.SignerHint{}) {
		t.Errorf("an envelope names no signer: %+v", i.Evidence[0].Signer)
	}
	s := i.Evidence[1].Signer
	if !s.Certificate || s.Issuer != "https://accounts.example" || !slices.Equal(s.Identities, []string{"dev@example.com", "https://ci.example/build"}) {
		t.Errorf("signer %+v", s)
	}
	c.must("inspect", x.tag("v1")).prints(
		"attestation  https://slsa.dev/provenance/v1", "certificate  of dev@example.com, https://ci.example/build  identity from https://accounts.example",
		"not verified: certificates are not checked")
}

func TestInspectShowsBuildKitsAttestationManifestsAsUnsigned(t *testing.T) {
	x := layoutTarget(t)
	image := x.push("image")
	attestation := x.describe(image)
	attestation.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{
		"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.DigestStr(),
	}
	x.putIndex("index", attestation)
	newCLI(t).must("inspect", x.tag("index")).prints("unknown/unknown", "unsigned attestations, said to be about "+image.DigestStr())
}

func TestInspectReadsTheStatementsThatBuildKitWrote(t *testing.T) {
	for _, version := range []string{"v1", "v0.2"} {
		dir := filepath.Join(t.TempDir(), "layout")
		must(t, os.CopyFS(dir, os.DirFS("../../../registry/testdata/buildkit/"+version)))
		newCLI(t).must("inspect", "oci:"+dir).prints("statement", "unsigned", "https://slsa.dev/provenance/", "https://spdx.dev/Document", "SPDX")
		var i verify.Inspection
		newCLI(t).must("inspect", "-o", "json", "oci:"+dir).decode(&i)
		statements := 0
		for _, m := range i.Manifests {
			statements += len(m.Statements)
			for _, s := range m.Statements {
				if s.Error != "" { // BuildKit leaves builder.id empty
					t.Errorf("%s: %s: %s", version, s.PredicateType, s.Error)
				}
			}
		}
		if statements < 2 {
			t.Errorf("%s: %d statements", version, statements)
		}
	}
}

func TestInspectSaysWhenItIsIncomplete(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	c := newCLI(t)
	x.push("v1")
	remove := x.reg.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(403)})
	var i verify.Inspection
	c.run("inspect", "-o", "json", x.tag("v1")).exits(exitUndecided).says("more may be attached").decode(&i)
	if i.Complete || len(i.Evidence) != 1 || i.Evidence[0].Error == "" {
		t.Errorf("%+v", i)
	}
	remove()

	gone := x.describe(x.push("gone"))
	x.putIndex("index", gone)
	x.reg.Delete(x.repo.RepositoryStr(), gone.Digest.String())
	c.must("inspect", "--recursive", x.tag("index")).prints("could not be read", "not found")
	x.reg.Inject(registrytest.Fault{Ref: gone.Digest.String(), Do: registrytest.Status(403)})
	c.run("inspect", "--recursive", x.tag("index")).exits(exitUndecided).prints("could not be read")
}

func TestAttack_I2_InspectOfNestedAndHugeIndexesIsBounded(t *testing.T) {
	x := layoutTarget(t)
	inner := x.push("image")
	for range 2 * maxInspectDepth {
		inner = x.putIndex("nested", x.describe(inner))
	}
	newCLI(t).run("inspect", "--recursive", x.tag("nested")).exits(exitUndecided).prints("nest deeper than")

	x.putIndexOfMany("many", maxInspectManifests+5)
	var i verify.Inspection
	newCLI(t).run("inspect", "--recursive", "-o", "json", x.tag("many")).exits(exitUndecided).decode(&i)
	read := 0
	for _, m := range i.Manifests {
		if m.Error == "" {
			read++
		}
	}
	if read >= maxInspectManifests || i.Complete {
		t.Errorf("%d manifests were read", read)
	}
}
