package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
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

func TestLimits_AreNamedWithTheFlagThatRaisesThem(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	key := newKey(t)
	path, text := bigBill(t, 27_800_000)
	attested := newCLI(t).must("attest", "--key", key.private, "--type", "spdx", "--predicate", path, x.tag("v1"))
	attested.says("warning", "hallmark verify", "--max-payload-bytes", "limits: {maxPayloadBytes:")
	policy := billPolicy(t, key)
	denied := newCLI(t).run("verify", "--policy", policy, x.tag("v1")).exits(exitDenied)
	denied.prints("too-large", "--max-payload-bytes is 33554432", "--max-payload-bytes")
	var reports []verify.Report
	newCLI(t).run("verify", "-o", "json", "--policy", policy, x.tag("v1")).exits(exitDenied).decode(&reports)
	limit := reports[0].Limit
	if reports[0].Reason != verify.ReasonTooLarge || limit == nil || limit.Name != "MaxPayloadBytes" || limit.Needed < int64(len(text)) {
		t.Fatalf("%+v", reports[0])
	}
	// The hint helps.
	words := strings.Fields(reports[0].Hint)
	flag := 0
	for i, word := range words {
		if word == "--max-payload-bytes" {
			flag = i
		}
	}
	newCLI(t).must("verify", "--policy", policy, words[flag], strings.TrimRight(words[flag+1], ";"), x.tag("v1")).prints("verified")
	limits, err := os.ReadFile(policy)
	must(t, err)
	writeFile(t, policy, append([]byte("limits: {maxPayloadBytes: 67108864}\n"), limits...))
	newCLI(t).must("verify", "--policy", policy, x.tag("v1")).prints("verified")
	newCLI(t).run("verify", "--policy", policy, "--max-payload-bytes", "-1", x.tag("v1")).exits(exitUndecided).says("positive")
}

func TestDownload_HoldsLittleOfALargeDocument(t *testing.T) {
	race.Skip(t, "memory is measured")
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	key := newKey(t)
	path, text := bigBill(t, 20_000_000)
	newCLI(t).must("attest", "--key", key.private, "--type", "spdx", "--format", "both", "--predicate", path, x.tag("v1"))
	for _, args := range [][]string{{}, {"--key", key.public}} {
		got := newCLI(t).must(append([]string{"download", "sbom", x.tag("v1")}, args...)...)
		if got.stdout != string(text) {
			t.Errorf("%v: %d bytes, want %d", args, len(got.stdout), len(text))
		}
	}
	lines := strings.Split(strings.TrimSuffix(newCLI(t).must("download", "attestation", "--key", key.public, x.tag("v1")).stdout, "\n"), "\n")
	if len(lines) != 2 || !json.Valid([]byte(lines[0])) || !json.Valid([]byte(lines[1])) {
		t.Errorf("%d lines", len(lines))
	}
	stranger := newKey(t)
	newCLI(t).run("download", "sbom", "--key", stranger.public, x.tag("v1")).exits(exitUndecided).says("nothing to download")

	// The registry of this test and the command share the process: what the command
	// holds is less than the document.
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := newCLI(t)
	c.stdout = discard{}
	c.must("download", "sbom", "--key", key.public, x.tag("v1"))
	runtime.ReadMemStats(&after)
	if held := after.TotalAlloc - before.TotalAlloc; held > 2*uint64(len(text)) {
		t.Errorf("%d bytes were allocated for a document of %d", held, len(text))
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

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
