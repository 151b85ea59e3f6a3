package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// anybody is an authority that recognises whom the settings name.
type anybody struct{ policy.Authority }

func (anybody) Matcher(settings map[string]any) (policy.Matcher, error) {
	return someone{id: settings["name"].(string)}, nil
}

type someone struct {
	policy.Matcher
	id string
}

func (s someone) ID() string { return s.id }

const certificatePolicy = `version: 1
identities: {ci: {authority: notation, settings: {name: ci}}}
roles: {release: {identities: [ci]}}
rules:
  - images: ["**"]
    require: [{signature: {by: release}}]
`

func TestPlugins_AbsentAuthority(t *testing.T) {
	dir := t.TempDir()
	identities := writeFile(t, filepath.Join(dir, "identities.yaml"), []byte(certificatePolicy))
	times := writeFile(t, filepath.Join(dir, "times.yaml"), []byte("timestamps: {log: {authority: notation}}\n"+certificatePolicy))
	public, err := os.ReadFile(newKey(t).public)
	if err != nil {
		t.Fatal(err)
	}
	expressions := writeFile(t, filepath.Join(dir, "expressions.yaml"), fmt.Appendf(nil,
		"version: 1\nkeys: {a: {pem: %q}}\nroles: {a: {keys: [a]}}\nrules: [{images: [\"**\"], require: [{config: {cel: [config.os == 'linux']}}]}]\n", public))
	newCLI(t).run("policy", "check", expressions).exits(exitUndecided).says("line ", "verify/policy/cel", "hallmark-full")
	for _, p := range []string{identities, times} {
		for _, args := range [][]string{{"policy", "check", p}, {"policy", "explain", p, "registry.example/app"}, {"verify", "--policy", p, "registry.example/app"}} {
			newCLI(t).run(args...).exits(exitUndecided).says("line ", "verify/notation", "hallmark-full", "hint: link the plug-in", "go doc github.com/hallmark-oci/hallmark/examples/hallmark/command.Plugins")
		}
	}
	linked := newCLI(t)
	linked.plugins.Authorities = map[string]policy.Authority{"notation": anybody{}}
	linked.must("policy", "check", identities).prints("good")
	unknown := writeFile(t, filepath.Join(dir, "unknown.yaml"), []byte("version: 1\nidentities: {ci: {authority: acme}}\nroles: {release: {identities: [ci]}}\n"))
	newCLI(t).run("policy", "check", unknown).exits(exitUndecided).says("acme", "not linked")
}

func TestPlugins_Signers(t *testing.T) {
	x, k := layoutTarget(t), newKey(t)
	x.push("v1")
	newCLI(t).run("sign", "--key", "awskms:///alias/release", x.tag("v1")).exits(exitUndecided).says("sign/kms/aws", "hallmark-full")
	linked := newCLI(t)
	asked := ""
	linked.plugins.Signers = map[string]OpenSigner{"awskms": func(_ context.Context, uri string) (sign.Signer, error) {
		asked = uri
		return k.signer, nil
	}}
	linked.must("sign", "--key", "awskms:///alias/release", x.tag("v1"))
	if asked != "awskms:///alias/release" {
		t.Errorf("opened %q", asked)
	}
	newCLI(t).must("verify", "--key", k.public, x.tag("v1")).prints("verified")
	newCLI(t).run("sign", "--key", "pkcs11", x.tag("v1")).exits(exitUndecided).says("pkcs11: no such file")
}
