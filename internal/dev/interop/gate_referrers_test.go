package interop

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// attachFiles attaches a text, a JSON document and a script to the signed image, as people do
// with oras.
func attachFiles(t *testing.T, host string) {
	t.Helper()
	p := newProgram(t, "oras")
	for file, attached := range map[string]struct{ mediaType, text string }{
		"notes.txt":   {"text/plain", "all tests passed\n"},
		"report.json": {"application/json", `{"passed":true}`},
		"run.sh":      {"text/plain", "#!/bin/sh\necho evil\n"},
		"list.json":   {"application/json", "[1]"},
	} {
		writeFile(t, filepath.Join(p.dir, file), []byte(attached.text))
		p.run(t, "attach", "--plain-http", "--disable-path-validation", "--artifact-type", "application/x-"+strings.TrimSuffix(file, filepath.Ext(file)),
			host+"/team/app:signed", filepath.Join(p.dir, file)+":"+attached.mediaType).accepted(t)
	}
}

// A list of referrers that names one which the gate then denies would break these programs.
func TestClientsCopyReferrersThroughTheGate(t *testing.T) {
	onEach(t, []registryKind{inMemory, inMemoryNoReferrers, distribution}, func(t *testing.T, upstream string) {
		g := newGuarded(t, newStore(t), upstream)
		attachFiles(t, upstream)
		for types, want := range map[string][2][]string{
			"":           {{"application/x-report"}, {"application/x-notes", "application/x-run", "application/x-list"}},
			"text/plain": {{"application/x-report", "application/x-notes"}, {"application/x-run", "application/x-list"}},
		} {
			host := serve(t, g.with(t, upstream, types))
			oras := newProgram(t, "oras")
			shown := oras.run(t, "discover", "--plain-http", host+"/team/app:signed").accepted(t)
			for i, listed := range []bool{true, false} {
				for _, artifactType := range want[i] {
					if strings.Contains(shown.stdout, artifactType) != listed {
						t.Errorf("with %q: %s is listed: %t, want %t\n%s", types, artifactType, !listed, listed, shown.stdout)
					}
				}
			}
			oras.run(t, "cp", "-r", "--from-plain-http", "--to-oci-layout", host+"/team/app:signed", filepath.Join(oras.dir, "layout")+":signed").accepted(t)
			regctl := newProgram(t, "regctl")
			regctl.run(t, "registry", "set", "--tls", "disabled", host).accepted(t)
			regctl.run(t, "image", "copy", "--referrers", host+"/team/app:signed", "ocidir://"+filepath.Join(regctl.dir, "layout")+":signed").accepted(t)
			for _, version := range []string{"cosign2", "cosign3"} {
				cosign := newProgram(t, version)
				cosign.run(t, "save", "--allow-http-registry", "--dir", filepath.Join(cosign.dir, "saved"), host+"/team/app:signed").accepted(t)
			}
			oras.run(t, "discover", "--plain-http", host+"/team/app:unsigned").refused(t, "403")
		}
	})
}

// with is a gate before an upstream that lets a further type pass.
func (g *guarded) with(t *testing.T, upstream, evidenceType string) http.Handler {
	t.Helper()
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{publicKey(t, g.release.pair.PublicPEM)}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := gate.Config{Verifier: v, Upstreams: []gate.Upstream{{Registry: elsewhere, Address: upstream}}}
	if evidenceType != "" {
		c.EvidenceTypes = []string{evidenceType}
	}
	h, err := gate.NewHandler(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
