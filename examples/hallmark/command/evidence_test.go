package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

// bigBill writes a bill of materials of at least so many bytes.
func bigBill(t *testing.T, size int) (path string, text []byte) {
	t.Helper()
	text = []byte(`{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"x","documentNamespace":"https://x.example/1",` +
		`"creationInfo":{"created":"2026-01-01T00:00:00Z","creators":["Tool: x"]},"packages":[`)
	for i := 0; len(text) < size; i++ {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, `{"SPDXID":"SPDXRef-1","name":"p","downloadLocation":"NOASSERTION","comment":"`+strings.Repeat("é", 500)+`"}`...)
	}
	text = append(text, "]}\n"...)
	return writeFile(t, filepath.Join(t.TempDir(), "bill.json"), text), text[:len(text)-1]
}

func billPolicy(t *testing.T, key keyPair) string {
	t.Helper()
	public, err := os.ReadFile(key.public)
	must(t, err)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "k.pub"), public)
	return writeFile(t, filepath.Join(dir, "policy.yaml"), []byte(`version: 1
keys: {k: {file: k.pub}}
roles: {r: {keys: [k]}}
rules:
  - images: ["**"]
    require: [{attestation: {type: spdx, by: r}}]
`))
}

func TestEvidenceRepository_OfEveryCommand(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	image := x.push("v1")
	apart := x.repo.RegistryStr() + "/evidence/all"
	key := newKey(t)
	path, _ := bigBill(t, 1000)
	newCLI(t).must("sign", "--key", key.private, "--format", "both", "--evidence-repository", apart, x.tag("v1"))
	newCLI(t).must("attest", "--key", key.private, "--type", "spdx", "--predicate", path, "--evidence-repository", apart, x.tag("v1"))
	newCLI(t).run("verify", "--key", key.public, x.tag("v1")).exits(exitDenied).prints("no-signature")
	newCLI(t).must("verify", "--key", key.public, "--evidence-repository", apart, x.tag("v1")).prints("verified", image.DigestStr())
	policy := billPolicy(t, key)
	newCLI(t).run("verify", "--policy", policy, x.tag("v1")).exits(exitDenied)
	newCLI(t).must("verify", "--policy", policy, "--evidence-repository", apart, x.tag("v1")).prints("verified")
	text, err := os.ReadFile(policy)
	must(t, err)
	writeFile(t, policy, []byte(strings.Replace(string(text), "    require:", "    evidenceRepository: "+apart+"\n    require:", 1)))
	newCLI(t).must("verify", "--policy", policy, x.tag("v1")).prints("verified")
	newCLI(t).must("policy", "explain", policy, x.tag("v1")).prints("evidence in", apart)
	newCLI(t).must("inspect", "--key", key.public, x.tag("v1")).prints("evidence: 0")
	newCLI(t).must("inspect", "--key", key.public, "--evidence-repository", apart, x.tag("v1")).prints("evidence: 3", "signed by")
	newCLI(t).must("download", "sbom", "--key", key.public, "--evidence-repository", apart, x.tag("v1")).prints("SPDX-2.3")
	newCLI(t).must("download", "signature", "--key", key.public, "--evidence-repository", apart, x.tag("v1"))
	newCLI(t).run("download", "sbom", x.tag("v1")).exits(exitUndecided).says("nothing to download")
	for _, wrong := range []string{"evidence", "https://" + apart, apart + ":tag"} {
		newCLI(t).run("verify", "--key", key.public, "--evidence-repository", wrong, x.tag("v1")).exits(exitUndecided).says("--evidence-repository")
	}
	l := layoutTarget(t)
	l.push("v1")
	newCLI(t).run("sign", "--key", key.private, "--evidence-repository", apart, l.tag("v1")).exits(exitUndecided).says("layout")
}

func TestInspect_ShowsTheSBOMTagAndUnknownReferrers(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	image := x.push("v1")
	hash, err := v1.NewHash(image.DigestStr())
	must(t, err)
	bill := []byte("SPDXVersion: SPDX-2.3\n")
	blob := x.reg.PutBlob("team/app", bill)
	config := x.reg.PutBlob("team/app", []byte("{}"))
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"` + config +
		`"},"layers":[{"mediaType":"text/spdx","size":22,"digest":"` + blob + `"}]}`
	x.reg.Put("team/app", "sha256-"+hash.Hex+".sbom", "application/vnd.oci.image.manifest.v1+json", []byte(manifest))
	_, err = registrytest.PushReferrer(t.Context(), x.store, image, "application/vnd.acme.report", []byte("{}"), nil)
	must(t, err)
	newCLI(t).must("inspect", x.tag("v1")).prints("unsigned sbom", "text/spdx", "sbom tag", "anyone who can push", "application/vnd.acme.report")
	var seen verify.Inspection
	newCLI(t).must("inspect", "-o", "json", x.tag("v1")).decode(&seen)
	if len(seen.Evidence) != 2 || seen.Evidence[0].Kind != "unsigned sbom" || seen.Evidence[0].Place != registry.PlaceSBOMTag {
		t.Errorf("%+v", seen.Evidence)
	}
}

func TestPlatform_IsReadInNormalForms(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	index, children := x.pushIndex("v1")
	nested := x.putIndex("nested", x.describe(index))
	key := newKey(t)
	newCLI(t).must("sign", "--key", key.private, x.at(nested))
	for platform, want := range map[string]string{
		"linux/amd64": children[0].DigestStr(), "Linux/X86_64": children[0].DigestStr(), "linux/amd64/v1": children[0].DigestStr(),
		"linux/arm64": children[1].DigestStr(), "linux/aarch64": children[1].DigestStr(), "linux/arm64/v8": children[1].DigestStr(), "LINUX/ARM64/8": children[1].DigestStr(),
	} {
		newCLI(t).must("verify", "--key", key.public, "--platform", platform, x.tag("nested")).prints("verified", want)
	}
	newCLI(t).run("verify", "--key", key.public, "--platform", "linux/arm64/v9", x.tag("nested")).exits(exitDenied).prints("no-such-platform")
	for _, wrong := range []string{"linux", "linux/", "a/b/c/d", "linux/arm64/", "lin ux/amd64"} {
		newCLI(t).run("verify", "--key", key.public, "--platform", wrong, x.tag("nested")).exits(exitUndecided).says("--platform")
	}
}
