//go:build !race

// Tests of one goroutine that reads some MiB, and of the memory that this takes, which the
// race detector makes twenty times as slow.

package command

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestLimits_AreNamedWithTheFlagThatRaisesThem(t *testing.T) {
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
