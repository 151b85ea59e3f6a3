package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// What a typical mistake is answered with: what is at fault, and a hint for this command.
func TestMistakes_AreAnsweredInTheirOwnWords(t *testing.T) {
	k, other, dir := newKey(t), newKey(t), t.TempDir()
	list := writeFile(t, filepath.Join(dir, "list"), []byte("Not A List\n"))
	digestless := writeFile(t, filepath.Join(dir, "artifacts.json"), []byte(`[{"type":"Archive","name":"x"}]`))
	none := filepath.Join(dir, "none.txt")
	by := func(args ...string) []string {
		return append(append([]string{"verify", "--key", k.public}, args...), "registry.example/x")
	}
	for _, c := range []struct {
		args     []string
		says     []string
		saysNone []string
	}{
		{[]string{"policy", "test", none}, []string{"hint: check the path, and the directory that it starts from: ls -l FILE"}, []string{"keygen"}},
		{[]string{"verify-blob", list, "--key", k.public, "--bundle", none}, []string{"ls -l FILE"}, []string{"keygen"}},
		{[]string{"scan-report", none}, []string{"ls -l FILE"}, []string{"keygen"}},
		{[]string{"copy", "oci:" + none + ":v1", "oci:" + dir + "/out:v1"}, []string{"check the path of the directory or archive: ls -l FILE"}, []string{"docker login"}},
		{[]string{"copy", "oci-archive:" + none + ":v1", "oci:" + dir + "/out:v1"}, []string{"ls -l FILE"}, []string{"docker login"}},
		{[]string{"verify", "--key", none, "registry.example/x"}, []string{"hallmark keygen"}, nil},
		{[]string{"sign", "--key", none, "registry.example/x"}, []string{"hallmark keygen"}, nil},
		{[]string{"import-key-pair", "--key", none}, []string{"hallmark keygen"}, nil},
		{[]string{"provenance", "--builder", "https://ci.example/b", "--key", none, "registry.example/x", "--", "true"}, []string{"hallmark keygen"}, nil},

		{[]string{"verify", "--key", k.public, "--images-from", list}, []string{"hint: see what is read: hallmark verify --help"}, []string{"hallmark sign"}},
		{[]string{"copy", "--images-from", list, "registry.example/y"}, []string{"hallmark copy --help"}, []string{"hallmark sign"}},
		{[]string{"sign", "--key", k.private, "--images-from", list}, []string{"hallmark sign --help"}, nil},
		{[]string{"verify", "--key", k.public, "--images-from", digestless}, nil, []string{"hallmark sign"}},
		{[]string{"verify", "--key", "env://NOT_THERE", "registry.example/x"}, []string{"hallmark verify --key env://NAME IMAGE"}, []string{"hallmark sign"}},
		{[]string{"keygen", "--out", filepath.Join(dir, "new")}, []string{"hallmark keygen --password-file FILE"}, []string{"hallmark sign"}},

		{[]string{"detach", "--manifest", "sha256:zz", "registry.example/x"}, []string{`--manifest "sha256:zz": want the digest of a manifest`}, nil},
		{[]string{"detach", "--type", "all", "--manifest", "", "registry.example/x"}, []string{"--manifest"}, nil},
		{[]string{"policy", "explain", none}, []string{"received 1; write hallmark policy explain FILE IMAGE"}, nil},
		{[]string{"copy"}, []string{"received 0; write hallmark copy (SOURCE | --images-from FILE) DESTINATION"}, nil},

		{by("--type", "nonsense"), []string{"wrong use: --type: the attestation needs a type"}, []string{"--threshold", "--certificate-identity"}},
		{by("--type", "vuln"), []string{"--max-severity: the attestation needs maxSeverity: none, negligible"}, []string{"--threshold", "--key", "rules[0]"}},
		{by("--type", "spdx", "--max-severity", "low"), []string{"--max-severity: the attestation has maxSeverity, which type spdx does not have"}, []string{"--threshold"}},
		{by("--type", "slsaprovenance"), []string{"--builder: the attestation needs builder"}, []string{"--threshold"}},
		{by("--type", "slsaprovenance", "--builder", "ci"), []string{`--builder: the attestation has in builder "ci"`}, []string{"--threshold"}},
		{by("--type", "slsaprovenance", "--builder", "https://ci.example/b", "--source", "github.com/x"), []string{"--source: the attestation has in source"}, []string{"--threshold"}},
		{by("--threshold", "2"), []string{"--threshold: has threshold 2 with 1 distinct keys"}, []string{"--type", "roles.signers"}},
		{by("--key", k.public), []string{"--key: "}, []string{"--type", "--threshold"}},
		{by("--key", other.public, "--threshold", "3"), []string{"--threshold: has threshold 3 with 2 distinct keys"}, []string{"--type"}},
	} {
		o := newCLI(t).run(c.args...).exits(exitUndecided).says(c.says...)
		for _, text := range c.saysNone {
			if strings.Contains(o.stderr, text) {
				t.Errorf("hallmark %s says %q:\n%s", strings.Join(c.args, " "), text, o.stderr)
			}
		}
	}
}

// The commands that hints name in place of others are accepted.
func TestHints_OfEachCommandWork(t *testing.T) {
	for _, form := range hintForms {
		for command, line := range form {
			words := strings.Fields(line)
			if words[0] != "hallmark" || words[1] != command {
				t.Errorf("%s: %q", command, line)
			}
			accepts(t, words[1:])
		}
	}
}

// A reference of a key may hold a PIN or a token.
func TestAttack_S3_ReferencesOfKeysAreNotShown(t *testing.T) {
	x, dir := layoutTarget(t), t.TempDir()
	x.push("v1")
	file := writeFile(t, filepath.Join(dir, "file"), []byte("{}"))
	const secret = "s3cr3t"
	for _, ref := range []string{"awskms://alias/" + secret, "gcpkms:" + secret, "pkcs11:token=a;pin-value=" + secret, "k8s://ns/" + secret, "vault://token:" + secret + "@host/key", "unknown://" + secret} {
		scheme, _ := schemeOf(ref)
		for _, args := range [][]string{
			{"sign", "--key", ref, x.tag("v1")}, {"verify", "--key", ref, x.tag("v1")}, {"inspect", "--key", ref, x.tag("v1")}, {"public-key", "--key", ref},
			{"import-key-pair", "--key", ref}, {"detach", "--type", "signature", "--key", ref, x.tag("v1")}, {"sign-blob", "--key", ref, "--bundle", filepath.Join(dir, "b"), file},
			{"verify-blob", "--key", ref, "--bundle", file, file}, {"attest", "--key", ref, "--type", "https://x.example", "--predicate", file, x.tag("v1")},
			{"provenance", "--builder", "https://ci.example/b", "--dir", dir, "--key", ref, x.tag("v1"), "--", "true"},
		} {
			o := newCLI(t).run(args...).exits(exitUndecided)
			if strings.Contains(o.stdout+o.stderr, secret) || !strings.Contains(o.stderr, scheme) {
				t.Errorf("hallmark %s:\n%s", strings.Join(args, " "), o.stderr)
			}
		}
	}
	linked := newCLI(t)
	lost := errors.New("lost")
	linked.plugins.Signers = map[string]OpenSigner{"acme": func(_ context.Context, uri string) (sign.Signer, error) {
		return nil, fmt.Errorf("open %s: alias/%s: %w", uri, secret, lost)
	}}
	o := linked.run("sign", "--key", "acme://alias/"+secret, x.tag("v1")).exits(exitUndecided).says("acme:…", "lost")
	if strings.Contains(o.stderr, secret) {
		t.Error(o.stderr)
	}
	if _, err := linked.plugins.signer(t.Context(), "acme://alias/"+secret); !errors.Is(err, lost) {
		t.Error(err)
	}
}

// The command that provenance runs does not inherit a key, and does not read it from stdin.
func TestAttack_S3_ProvenanceReadsKeysBeforeItsCommand(t *testing.T) {
	x, k, dir := registryTarget(t, registrytest.Options{}), newKey(t), t.TempDir()
	image := x.push("v1")
	private, err := os.ReadFile(k.private)
	must(t, err)
	c := newCLI(t)
	c.env["RELEASE_KEY"] = string(private)
	o := c.run("provenance", "--builder", "https://ci.example/b", "--dir", dir, "--no-work-tree", "--key", "env://RELEASE_KEY", image.String(), "--", "true")
	o.exits(exitOK)
	newCLI(t).must("verify", "--key", k.public, "--type", "slsaprovenance1", "--builder", "https://ci.example/b", image.String())
}

func TestPolicyTest_FollowsALinkToADirectory(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	at, err := filepath.Abs(policyDir)
	must(t, err)
	if err := os.Symlink(at, link); err != nil {
		t.Skip(err)
	}
	newCLI(t).must("policy", "test", link).prints("20 cases: 20 passed", filepath.Join(link, "tests"))
}
