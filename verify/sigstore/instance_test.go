package sigstore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// published is a trust root that its operators have published, on one line.
func published(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../internal/dev/conformance/testdata/roots", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join(bytes.Fields(text), nil)
}

func one(i sigstore.Instance) map[string]sigstore.Instance {
	return map[string]sigstore.Instance{"one": i}
}

func TestPublishedInstancesStandSideBySide(t *testing.T) {
	lines := append(append(published(t, "public-good.json"), '\n'), published(t, "github.json")...)
	path := filepath.Join(t.TempDir(), "trusted_root.jsonl")
	if err := os.WriteFile(path, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := sigstore.New(map[string]sigstore.Instance{
		"public-good": {RootFile: path, CertificateAuthority: "https://fulcio.sigstore.dev"},
		"github":      {RootFile: path, CertificateAuthority: "fulcio.githubapp.com", WithoutLogs: true, WithoutCT: true},
		"staging":     {Root: published(t, "staging.json"), Logs: 2, RequireTimestamps: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := a.Matcher(settings("instance", "github", "issuer", issuer, "uri", workflow)); m == nil || err != nil {
		t.Error(err)
	}
	if m, err := a.Matcher(settings("issuer", issuer, "uri", workflow)); m != nil || !errors.Is(err, sigstore.ErrInvalid) {
		t.Errorf("of several instances none was named: %v, %v", m, err)
	}
}

// K22, K23, K29
func TestAttack_T17_RootsThatLackWhatIsDemanded(t *testing.T) {
	github, public := published(t, "github.json"), published(t, "public-good.json")
	w := sigstoretest.New(t, sigstoretest.Options{})
	without := func(list string) []byte {
		o := w.RootJSON()
		delete(o, list)
		return w.Marshal(o)
	}
	for name, c := range map[string]struct {
		i    sigstore.Instance
		want string
	}{
		"GitHub's, nothing said":      {sigstore.Instance{Root: github}, "WithoutLogs"},
		"GitHub's, without logs":      {sigstore.Instance{Root: github, WithoutLogs: true}, "WithoutCT"},
		"no logs":                     {sigstore.Instance{Root: without("tlogs")}, "transparency logs"},
		"no logs of certificates":     {sigstore.Instance{Root: without("ctlogs")}, "logs of certificates"},
		"no certificate authorities":  {sigstore.Instance{Root: without("certificateAuthorities")}, "certificate authorities"},
		"no timestamp authorities":    {sigstore.Instance{Root: without("timestampAuthorities"), RequireTimestamps: true}, "say times"},
		"too few logs":                {sigstore.Instance{Root: public, Logs: 3}, "2 transparency logs, want 3"},
		"less than none":              {sigstore.Instance{Root: public, Logs: -1}, "Logs is -1"},
		"too many":                    {sigstore.Instance{Root: public, Times: 100}, "Times is 100"},
		"two logs and none":           {sigstore.Instance{Root: public, Logs: 2, WithoutLogs: true}, "of none"},
		"two logs of certs, and none": {sigstore.Instance{Root: public, CTLogs: 2, WithoutCT: true}, "of none"},
		"another digest":              {sigstore.Instance{Root: public, SHA256: strings.Repeat("0", 64)}, "SHA-256"},
		"no root":                     {sigstore.Instance{}, "exactly one"},
		"two roots":                   {sigstore.Instance{Root: public, RootFile: "x"}, "exactly one"},
		"no file":                     {sigstore.Instance{RootFile: filepath.Join(t.TempDir(), "x")}, "x"},
		"two lines, none chosen":      {sigstore.Instance{Root: append(append(bytes.Clone(public), '\n'), github...)}, "2 of 2"},
		"one that is not there":       {sigstore.Instance{Root: public, CertificateAuthority: "fulcio.githubapp.com"}, "0 of 1"},
		"text":                        {sigstore.Instance{Root: []byte("text")}, "trust root"},
	} {
		if a, err := sigstore.New(one(c.i)); a != nil || !errors.Is(err, sigstore.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %q", name, a, err, c.want)
		}
	}
	if a, err := sigstore.New(nil); a != nil || !errors.Is(err, sigstore.ErrInvalid) {
		t.Errorf("no instance: %v, %v", a, err)
	}
}

func TestGeneration_ChangesWithRootAndDemands(t *testing.T) {
	public := published(t, "public-good.json")
	sum := sha256.Sum256(public)
	seen := make(map[string]bool)
	for _, i := range []sigstore.Instance{
		{Root: public}, {Root: public, WithoutCT: true}, {Root: append(bytes.Clone(public), '\n')},
	} {
		a, err := sigstore.New(one(i))
		if err != nil {
			t.Fatal(err)
		}
		seen[a.Generation()] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d generations, want 3", len(seen))
	}
	a, err := sigstore.New(one(sigstore.Instance{Root: public, SHA256: hex.EncodeToString(sum[:]), Logs: 1, CTLogs: 1, Times: 1}))
	if err != nil || !seen[a.Generation()] {
		t.Errorf("what is the default changes the generation: %v", err)
	}
}

// K21: what one instance does without, others keep.
func TestAttack_T18_WithoutCTIsPerInstance(t *testing.T) {
	w := newWorld(t)
	a, err := sigstore.New(map[string]sigstore.Instance{"strict": {Root: w.Root()}, "lax": {Root: w.Root(), WithoutCT: true}})
	if err != nil {
		t.Fatal(err)
	}
	w.authority = a
	l := workflowOf(workflow, source)
	l.WithoutSCT = true
	e := w.signed(l)
	e.Once = newWorks().once
	for _, name := range []string{"lax", "strict", "lax"} {
		if _, err := w.judge(e, "instance", name, "issuer", issuer, "uri", workflow); (err == nil) != (name == "lax") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cache that programs share would serve what another root allows.
func TestAttack_T17_GenerationTellsWhichRootIsInUse(t *testing.T) {
	lines := append(append(published(t, "public-good.json"), '\n'), published(t, "staging.json")...)
	seen := make(map[string]sigstore.Instance)
	for _, i := range []sigstore.Instance{
		{Root: lines, CertificateAuthority: "https://fulcio.sigstore.dev"},
		{Root: lines, CertificateAuthority: "https://fulcio.sigstage.dev"},
		{Root: published(t, "public-good.json"), Logs: 2},
		{Root: published(t, "public-good.json"), WithoutLogs: true},
		{Root: published(t, "public-good.json"), CTLogs: 2},
		{Root: published(t, "public-good.json"), WithoutCT: true},
		{Root: published(t, "public-good.json"), Times: 2},
		{Root: published(t, "public-good.json"), RequireTimestamps: true},
	} {
		a, err := sigstore.New(one(i))
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[a.Generation()]; twice {
			t.Errorf("one Generation of %+v and %+v", i, other)
		}
		seen[a.Generation()] = i
	}
}
