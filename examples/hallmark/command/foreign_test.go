package command

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestForeignCommands_AreAnsweredByOneThatExists(t *testing.T) {
	for name, f := range foreignCommands() {
		words := strings.Fields(name)
		out := newCLI(t).run(words...).exits(exitUndecided).says("is a command of " + f.program)
		if !strings.Contains(out.stderr, hintLabel+f.hint) {
			t.Errorf("%s: %s", name, out.stderr)
		}
		found := regexp.MustCompile(`: hallmark (.*)`).FindStringSubmatch(f.hint)
		switch {
		case found == nil && !strings.Contains(f.hint, "docker log"):
			t.Errorf("%s: the hint names no command: %s", name, f.hint)
		case found != nil:
			cmd, _, err := (&app{}).command().Find(strings.Fields(found[1]))
			must(t, err)
			newCLI(t).must(append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		}
	}
}

// The flags of another program are as unknown as its command, which says more.
func TestForeignCommands_AreAnsweredBeforeTheirFlags(t *testing.T) {
	for _, line := range []string{
		"generate-key-pair --kms awskms://x", "verify-attestation --key cosign.pub --type spdx registry.example/app",
		"--verbose tree registry.example/app", "-o json triangulate --type sbom registry.example/app", "clean --type=all -f registry.example/app",
		"attach sbom --sbom x.json registry.example/app", "login registry.example -u me -p secret",
	} {
		newCLI(t).run(strings.Fields(line)...).exits(exitUndecided).says("is a command of cosign", hintLabel)
	}
	newCLI(t).run("login", "registry.example", "-p", "secret").says("docker login")
	if out := newCLI(t).run("login", "-u", "me", "-p", "secret", "registry.example"); strings.Contains(out.stderr, "secret") {
		t.Errorf("a password is repeated: %s", out.stderr)
	}
}

func TestForeignFlags_AreNotOurs(t *testing.T) {
	for program, flags := range foreignFlags() {
		for name := range flags {
			if answer := (&app{}).command().Flag(name); answer != nil {
				t.Errorf("--%s of %s is a flag of every command here", name, program)
			}
		}
	}
	c := newCLI(t)
	c.run("verify", "--certificate-identity-regexp", ".*", "x").exits(exitUndecided).says("a flag of cosign", "--certificate-identity")
	c.run("sign", "--tlog-upload=false", "--key", "k", "x").exits(exitUndecided).says("a flag of cosign", "uploads nothing")
	c.run("sign", "--yes", "--key", "k", "x").exits(exitUndecided).says("a flag of cosign", "nothing is asked")
	c.run("copy", "--src-tls-verify=false", "x", "y").exits(exitUndecided).says("a flag of skopeo", "--insecure-http")
}

// Flags and commands that an answer names exist.
func TestForeignFlags_AnswersNameWhatExists(t *testing.T) {
	flags := allFlags()
	for _, answers := range foreignFlags() {
		for name, answer := range answers {
			for _, m := range regexp.MustCompile(`--([a-z][a-z0-9-]+)`).FindAllStringSubmatch(answer, -1) {
				if !flags[m[1]] {
					t.Errorf("--%s: %q names --%s, which no command has", name, answer, m[1])
				}
			}
			for _, m := range regexp.MustCompile(`'hallmark ([^']*)'`).FindAllStringSubmatch(answer, -1) {
				accepts(t, strings.Fields(m[1]))
			}
		}
	}
}

func TestMistypedCommandsAndFlags_AreAnswered(t *testing.T) {
	for line, want := range map[string]string{
		"veirfy x":              "hallmark verify --help",
		"verfy --key k x":       "hallmark verify --help",
		"verify-blbo x":         "hallmark verify-blob --help",
		"trusted-root fecth":    "hallmark trusted-root fetch --help",
		"policy chekc x":        "hallmark policy check --help",
		"Sign x":                "hallmark sign --help",
		"verify --kye k x":      "did you mean --key",
		"verify --polcy p x":    "did you mean --policy",
		"sign --recursiv x":     "did you mean --recursive",
		"verify --otuput json":  "did you mean --output",
		"verify --recursive x":  "it is a flag of hallmark",
		"nothing-like-this x":   "hallmark --help",
		"policy nothing-like-x": "hallmark policy --help",
	} {
		newCLI(t).run(strings.Fields(line)...).exits(exitUndecided).says(want)
	}
}

func TestNearest_CountsFewMistakes(t *testing.T) {
	names := []string{"sign", "sign-blob", "verify", "copy", "keygen"}
	for given, want := range map[string]string{
		"sgin": "sign", "sing": "sign", "verrify": "verify", "cpoy": "copy", "kegen": "keygen", "xyz": "", "": "",
		"signature": "sign", strings.Repeat("x", 10_000): "",
	} {
		if got := nearest(given, names); got != want && !(given == "signature" && got == "") {
			t.Errorf("%q: %q, want %q", given[:min(len(given), 20)], got, want)
		}
	}
}

func TestForeignVariables_AreToldWhereTheyWouldHaveHelped(t *testing.T) {
	x := layoutTarget(t)
	x.push("v1")
	c := newCLI(t)
	key := encryptedKey(t)
	out := c.run("sign", "--key", key, x.tag("v1")).exits(exitUndecided)
	if strings.Contains(out.stderr, "COSIGN_PASSWORD") {
		t.Errorf("it is not set: %s", out.stderr)
	}
	c.env["COSIGN_PASSWORD"] = "a secret"
	out = c.run("sign", "--key", key, x.tag("v1")).exits(exitUndecided).says("COSIGN_PASSWORD is set", "HALLMARK_PASSWORD")
	if strings.Contains(out.stderr+out.stdout, "a secret") {
		t.Errorf("the secret is shown: %s", out.stderr)
	}
	c.env["COSIGN_REPOSITORY"] = "registry.example/signatures"
	k := newKey(t)
	c.run("verify", "--key", k.public, x.tag("v1")).exits(exitDenied).says("COSIGN_REPOSITORY is set", "--evidence-repository")
	c.must("sign", "--key", k.private, x.tag("v1"))
	if out := c.must("verify", "--key", k.public, x.tag("v1")); strings.Contains(out.stderr, "COSIGN") {
		t.Errorf("nothing failed: %s", out.stderr)
	}
}

// encryptedKey is the file of a private key with a password.
func encryptedKey(t *testing.T) string {
	t.Helper()
	c := newCLI(t)
	c.env[passwordVariable] = "right"
	prefix := t.TempDir() + "/k"
	c.must("keygen", "--out", prefix)
	return prefix + ".key"
}

// allFlags are the flags of all commands.
func allFlags() map[string]bool {
	flags := map[string]bool{"help": true}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		}
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit((&app{}).command())
	return flags
}

// What cosign 2.6 and 3.1 say in --help; package interop compares it with the programs.
func TestForeignFlags_CoverThoseOfCosign(t *testing.T) {
	ours := allFlags()
	for _, name := range strings.Fields(`
allow-certificate-chain annotations artifact attachment-tag-prefix attestation b64 base-config base-image-only ct ctfe digest digestAlg
file files force fulcio fulcio-auth-flow fulcio-url hash ignore-tlog input-format insecure-skip-verify issue-certificate json k8s-keychain
kms mirror no-default-ctfe no-default-fulcio no-upload oidc-client-id oidc-issuer oidc-provider only outfile output-attestation
output-certificate output-file output-key-prefix output-payload output-signature password payload predicate-type record-creation-timestamp
registry-cacert rekor-url rfc3161-timestamp root sbom sig-only signing-algorithm sk slot staging statement timestamp-server-url tlog-upload
upload use-signing-config yes`) {
		if foreignFlags()[ofCosign][name] == "" && !ours[name] {
			t.Errorf("--%s of cosign has no answer", name)
		}
	}
}
