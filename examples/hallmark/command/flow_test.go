package command

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

func TestFromNewKeyToVerifiedCopy(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		c := newCLI(t)
		c.env[passwordVariable] = "correct horse"
		prefix := filepath.Join(t.TempDir(), "release")
		digest := x.push("v1")

		var keys keygenResult
		c.must("keygen", "--out", prefix, "-o", "json").decode(&keys)
		if keys.PrivateKey != prefix+".key" || keys.PublicKey != prefix+".pub" || len(keys.KeyID) != 64 {
			t.Errorf("keygen: %+v", keys)
		}
		c.run("verify", "--key", keys.PublicKey, x.tag("v1")).exits(exitDenied).prints("denied", "no-signature", "hint: sign it")
		c.must("sign", "--key", keys.PrivateKey, "--format", "both", "-a", "env=prod", x.tag("v1")).
			prints("signed", x.at(digest), "from "+x.tag("v1"), "bundle", "simple-signing", keys.KeyID[:16], "added")
		c.must("sign", "--key", keys.PrivateKey, "--format", "both", "-a", "env=prod", x.at(digest)).
			prints("was there already")
		c.must("verify", "--key", keys.PublicKey, "-a", "env=prod", x.tag("v1")).
			prints("verified", x.at(digest), "by "+keys.PublicKey+" ("+keys.KeyID[:16]+")")
		c.must("verify", "--key", keys.PublicKey, x.at(digest)).prints(x.at(digest))
		c.must("inspect", "--key", keys.PublicKey, x.at(digest)).
			prints("evidence: 2", "about this digest", "annotation  env=prod", "signed by "+keys.PublicKey)

		for _, to := range []target{layoutTarget(t), registryTarget(t, registrytest.Options{NoReferrers: true})} {
			c.must("copy", x.tag("v1"), to.tag("copied")).prints("copied", to.at(digest))
			c.must("verify", "--key", keys.PublicKey, "-a", "env=prod", to.tag("copied")).prints(to.at(digest))
		}
	})
}

func TestCopyGoesOnWhereItStoppedAndCountsWhatItDid(t *testing.T) {
	from, to := layoutTarget(t), layoutTarget(t)
	c, k := newCLI(t), newKey(t)
	index, _ := from.pushIndex("v1")
	c.must("sign", "--key", k.private, "--recursive", from.tag("v1"))

	var first, second copyResult
	c.must("copy", "-o", "json", from.tag("v1"), to.tag("v1")).decode(&first)
	c.must("copy", "-o", "json", from.at(index), to.at(index)).decode(&second)
	if first.Digest != to.at(index) || first.Manifests != (tally{Copied: 3}) || first.Evidence != (tally{Copied: 3}) || first.Blobs.Copied == 0 {
		t.Errorf("first copy: %+v", first)
	}
	if second.Manifests != (tally{Present: 3}) || second.Evidence != (tally{Present: 3}) || second.Blobs.Copied != 0 {
		t.Errorf("second copy: %+v", second)
	}

	bare := layoutTarget(t)
	c.must("copy", "--no-evidence", from.tag("v1"), bare.tag("v1"))
	c.must("verify", "--key", k.public, to.tag("v1"))
	c.run("verify", "--key", k.public, bare.tag("v1")).exits(exitDenied).prints("copy it with its signatures")
}

func TestCopy_APlatformAndItsEvidence(t *testing.T) {
	from, to := layoutTarget(t), registryTarget(t, registrytest.Options{})
	c, k := newCLI(t), newKey(t)
	index, children := from.pushIndex("v1")
	c.must("sign", "--key", k.private, "--recursive", from.tag("v1"))
	var r copyResult
	c.must("copy", "-o", "json", "--platform", "Linux/aarch64", from.tag("v1"), to.tag("v1")).decode(&r)
	if r.Digest == to.at(index) || !slices.ContainsFunc(children, func(d name.Digest) bool { return r.Digest == to.at(d) }) || r.Manifests != (tally{Copied: 1}) || r.Evidence != (tally{Copied: 1}) {
		t.Errorf("%+v", r)
	}
	if len(r.Ignored) != 2 {
		t.Errorf("left out: %+v", r.Ignored)
	}
	c.must("verify", "--key", k.public, to.tag("v1")).prints("verified", r.Digest)
	c.must("copy", "--platform", "linux/arm64", from.tag("v1"), to.tag("v2")).prints("not copied", "only linux/arm64 is copied", index.DigestStr())
	c.run("verify", "--key", k.public, to.at(index)).exits(exitDenied)
	c.run("copy", "--platform", "linux/s390x", from.tag("v1"), to.tag("v3")).exits(exitUndecided).says("no manifest for platform linux/s390x")
	c.run("copy", "--platform", "arm", from.tag("v1"), to.tag("v3")).exits(exitUndecided).says("--platform")
	c.run("copy", "--platform", "linux/arm64", to.tag("v1"), from.tag("v3")).exits(exitUndecided).says("leave the platform out")
}

func TestCopy_EvidenceThatIsApart(t *testing.T) {
	x, k := registryTarget(t, registrytest.Options{}), newKey(t)
	x.push("v1")
	apart, other := x.repo.RegistryStr()+"/evidence/all", x.repo.RegistryStr()+"/signatures"
	copied := x.repo.RegistryStr() + "/mirror/app:v1"
	c := newCLI(t)
	c.must("sign", "--key", k.private, "--format", "both", "--evidence-repository", apart, x.tag("v1"))
	c.must("copy", "--source-evidence-repository", apart, "--destination-evidence-repository", other, x.tag("v1"), copied)
	c.run("verify", "--key", k.public, copied).exits(exitDenied)
	c.must("verify", "--key", k.public, "--evidence-repository", other, copied).prints("verified")
	l := layoutTarget(t)
	c.must("copy", "--source-evidence-repository", apart, x.tag("v1"), l.tag("v1"))
	c.must("verify", "--key", k.public, l.tag("v1")).prints("verified")
	c.must("copy", "--destination-evidence-repository", other, l.tag("v1"), x.repo.RegistryStr()+"/mirror/more:v1")
	c.run("copy", "--destination-evidence-repository", other, x.tag("v1"), l.tag("v2")).exits(exitUndecided).says("--destination-evidence-repository", "layout")
	c.run("copy", "--source-evidence-repository", "x", x.tag("v1"), copied).exits(exitUndecided).says("--source-evidence-repository")
	c.run("copy", "--no-evidence", "--source-evidence-repository", apart, x.tag("v1"), copied).exits(exitUndecided).says("exclude each other")
}

func TestFilesAreSignedAndVerified(t *testing.T) {
	c, k, other := newCLI(t), newKey(t), newKey(t)
	dir := t.TempDir()
	blob := writeFile(t, filepath.Join(dir, "app.tar.gz"), []byte("content"))
	bundle, second := filepath.Join(dir, "app.bundle"), filepath.Join(dir, "second.bundle")

	c.must("sign-blob", blob, "--bundle", bundle, "--key", k.private).prints("signed", blob, bundle)
	c.must("sign-blob", blob, "--bundle", second, "--key", other.private)
	c.run("sign-blob", blob, "--bundle", bundle, "--key", k.private).exits(exitUndecided).says("exists", "hint: nothing is overwritten")
	c.must("verify-blob", blob, "--bundle", bundle, "--key", k.public).prints("verified", blob, "by "+k.public)
	c.must("verify-blob", blob, "--bundle", bundle, "--bundle", second, "--key", k.public, "--key", other.public, "--threshold", "2")
	c.run("verify-blob", blob, "--bundle", bundle, "--key", k.public, "--key", other.public, "--threshold", "2").
		exits(exitDenied).prints("threshold-not-met", "hint: ")

	var all []verify.Report
	c.run("verify-blob", "-o", "json", blob, "--bundle", bundle, "--key", other.public).exits(exitDenied).decode(&all)
	if v := all[0]; len(all) != 1 || v.File != blob || v.Status != verify.StatusDenied || v.Reason != "no-trusted-signature" || len(v.Evidence) != 1 || v.Hint == "" {
		t.Errorf("another key: %+v", all)
	}
	writeFile(t, blob, []byte("changed"))
	c.run("verify-blob", blob, "--bundle", bundle, "--key", k.public).exits(exitDenied).prints("wrong-subject")
	c.run("verify-blob", blob, "--key", k.public).exits(exitUndecided).says("--bundle is missing")
}

// The tag names another image with every request.
func TestAttack_S1_WhileTheTagMovesTheReportedDigestIsSigned(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	c, k := newCLI(t), newKey(t)
	first, second := x.push("v1"), x.pushApp("v2")
	x.reg.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: "v1", Do: registrytest.AlternateTag(first.DigestStr(), second.DigestStr())})
	for _, want := range []name.Digest{first, second} {
		var signed []signedImage
		c.must("sign", "--key", k.private, "-o", "json", x.tag("v1")).decode(&signed)
		if len(signed) != 1 || signed[0].Digest != x.at(want) {
			t.Fatalf("%+v, want %s", signed, want)
		}
		c.must("verify", "--key", k.public, x.at(want))
		if want == first {
			c.run("verify", "--key", k.public, x.at(second)).exits(exitDenied).prints("no-signature")
		}
	}
}

func TestSignTellsWhatItSignedBeforeItFailed(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	c, k := newCLI(t), newKey(t)
	first := x.push("first")
	other := registryTarget(t, registrytest.Options{})
	other.push("closed")
	// It can be resolved, and no user may write to it.
	other.reg.Inject(registrytest.Fault{Method: "PUT", Do: registrytest.Status(403)})
	other.reg.Inject(registrytest.Fault{Method: "POST", Do: registrytest.Status(403)})

	c.run("sign", "--key", k.private, x.tag("first"), x.tag("none")).exits(exitUndecided).says("not found", "hint: ")
	c.run("verify", "--key", k.public, x.tag("first")).exits(exitDenied)
	o := c.run("sign", "--key", k.private, x.tag("first"), other.tag("closed")).exits(exitUndecided)
	o.prints("signed", x.at(first)).says("access denied", "docker login 127.0.0.1:")
	c.must("verify", "--key", k.public, x.tag("first"))
}

func TestCopyPassesOverRubbishAndSaysSo(t *testing.T) {
	from, to := layoutTarget(t), layoutTarget(t)
	c := newCLI(t)
	digest := from.push("v1")
	from.push("other")
	// The tag of the image's signatures leads to an index.
	from.putIndex("sha256-"+digest.DigestStr()[len("sha256:"):]+".sig", from.describe(digest))
	var r copyResult
	c.must("copy", "-o", "json", from.tag("v1"), to.tag("v1")).decode(&r)
	if r.Digest != to.at(digest) || r.Manifests != (tally{Copied: 1}) || len(r.Ignored) == 0 || r.Ignored[0].Detail == "" {
		t.Errorf("%+v", r)
	}
	c.must("copy", from.tag("v1"), to.tag("v2")).prints("not copied")
	c.run("copy", from.tag("none"), to.tag("v3")).exits(exitUndecided).says("not found", "hint: ")
	c.run("copy", from.tag("v1"), to.image).exits(exitUndecided).says("say under which tag")
	missing := filepath.Join(t.TempDir(), "none")
	c.run("copy", "oci:"+missing+":v1", to.tag("v3")).exits(exitUndecided).says("hint: ")
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the source was made: %v", err)
	}
}

func TestSizesAreForPeople(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_234_567: "1.2 MB", 5e12: "5.0 TB", 1<<63 - 1: "9.2 EB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
