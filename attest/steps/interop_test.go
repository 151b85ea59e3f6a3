package steps_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/attest/steps"
)

// in-toto-golang compares the expiry with the clock of the machine.
func (b *build) lastsForReal() { b.layout.Expires = time.Now().Add(time.Hour) }

var algorithms = []string{"ed25519", "p256", "p384", "rsa"}

func TestInTotoGolangAcceptsWhatWeSign(t *testing.T) {
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			b := newBuildWith(t, algorithm)
			b.lastsForReal()
			links := b.links()
			named := map[string][]byte{
				linkFile("write", b.alice): links[0], linkFile("compile", b.bob): links[1],
				linkFile("compile", b.carol): links[2], linkFile("assemble", b.dave): links[3],
			}
			must(t, inTotoVerify(t, b.signedLayout(), []person{b.owner}, named))

			// And the oracle can say no.
			delete(named, linkFile("compile", b.carol))
			if inTotoVerify(t, b.signedLayout(), []person{b.owner}, named) == nil {
				t.Error("accepted with a link missing")
			}
		})
	}
}

func TestInTotoGolangAcceptsSeveralOwnersAndASharedLink(t *testing.T) {
	b := newBuild(t)
	b.lastsForReal()
	second := newPerson(t, "p256")
	layout, err := steps.AddSignatures(context.Background(), b.signedLayout(), second.signer)
	must(t, err)
	links := b.links()
	shared, err := steps.AddSignatures(context.Background(), links[1], b.carol.signer)
	must(t, err)
	must(t, inTotoVerify(t, layout, []person{b.owner, second}, map[string][]byte{
		linkFile("write", b.alice): links[0], linkFile("compile", b.bob): shared,
		linkFile("compile", b.carol): shared, linkFile("assemble", b.dave): links[3],
	}))
	o := b.options()
	o.OwnerKeys = keysOf(b.owner, second)
	res := b.accepts(layout, [][]byte{links[0], shared, links[3]}, o)
	if len(res.Owners) != 2 || len(res.Steps[1].Keys) != 2 || !slices.Equal(res.Steps[1].Links, []int{1}) {
		t.Errorf("owners %v, compile %+v", res.Owners, res.Steps[1])
	}
}

func TestVerifyAcceptsWhatInTotoGolangSigns(t *testing.T) {
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			b := newBuildWith(t, algorithm)
			layout := theirSignature(t, openRaw(t, b.signedLayout()).payload(t), b.owner)
			b.assemble.ByProducts = nil // see below
			links := [][]byte{
				theirs(t, theirLink(b.write), b.alice), theirs(t, theirLink(b.compile), b.bob),
				theirs(t, theirLink(b.compile), b.carol), theirs(t, theirLink(b.assemble), b.dave),
			}
			res := b.accepts(layout, links, b.options())
			if len(res.Steps) != 3 || res.Product != "manifest.json" || len(res.Ignored) != 0 {
				t.Errorf("%+v", res)
			}
		})
	}
}

// in-toto-golang writes line breaks into JSON strings as they are, and can then
// not read what it has written. Our reader refuses it, too.
func TestInTotoGolangWritesEnvelopesThatAreNoJSON(t *testing.T) {
	b := newBuildWith(t, "p256")
	for name, text := range map[string][]byte{
		"layout": theirs(t, b.theirLayout(), b.owner), "link": theirs(t, theirLink(b.assemble), b.dave),
	} {
		file := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(file, text, 0o600))
		if _, err := in_toto.LoadMetadata(file); err == nil {
			t.Errorf("%s: in-toto-golang reads it now; then the package's documentation is out of date", name)
		}
	}
	b.refuses(steps.ReasonLayoutMalformed, theirs(t, b.theirLayout(), b.owner), b.links(), b.options())
	refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{theirs(t, theirLink(b.assemble), b.dave)}, b.options())
	wantIgnored(t, refusal.Ignored, 0, steps.LinkMalformed)
}

// The demonstration of in-toto, signed with RSA keys by the reference
// implementation, as in-toto-golang's own tests hold it.
func TestVerifyAcceptsTheReferenceDemonstration(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/in-toto/in-toto-golang").Output()
	must(t, err)
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "test", "data", name))
		must(t, err)
		return text
	}
	block, _ := pem.Decode(read("alice.pub"))
	owner, err := x509.ParsePKIXPublicKey(block.Bytes)
	must(t, err)
	layout := read("dsse-only.root.layout")
	links := [][]byte{read("clone-dsse.776a00e2.link"), read("update-version-dsse.776a00e2.link"), read("package-dsse.2f89b927.link")}
	image := v1.Hash{Algorithm: "sha256", Hex: "0c5c56be1f4d8707fe981f07b0d35a4a1a50e898e3ebc8b1fa12c7c6f364bb7b"}
	o := steps.VerifyOptions{OwnerKeys: []crypto.PublicKey{owner}, Now: func() time.Time { return now }}

	res, err := steps.Verify(t.Context(), layout, links, image, o)
	must(t, err)
	if res.Product != "demo-project.tar.gz" || len(res.Ignored) != 0 || res.Steps[1].CommandDiffers {
		t.Errorf("%+v", res)
	}
	_, err = steps.Verify(t.Context(), layout, links[1:], image, o)
	if refusal, ok := errors.AsType[*steps.Error](err); !ok || refusal.Reason != steps.ReasonThreshold || refusal.Step != "clone-dsse" {
		t.Errorf("without the first step: %v", err)
	}
}

// A real run of in-toto-golang, over real files.
func TestVerifyAcceptsALinkThatInTotoGolangRecords(t *testing.T) {
	b := newBuild(t)
	b.layout.Steps = b.layout.Steps[:1]
	b.layout.Steps[0].Products = []steps.Rule{steps.Allow("*")}
	t.Chdir(t.TempDir())
	env, err := in_toto.InTotoRun("write", "", []string{"."}, []string{"."}, []string{"sh", "-c", "mkdir src; printf image > src/main.go"},
		b.alice.intoto, []string{"sha256", "sha512"}, nil, nil, false, false, true)
	must(t, err)
	link := theirs(t, env.GetPayload(), b.alice)
	if res := b.accepts(b.signedLayout(), [][]byte{link}, b.options()); res.Product != "src/main.go" {
		t.Errorf("%+v", res)
	}
}

func TestKeyIDsAreThoseOfInTotoGolang(t *testing.T) {
	for _, algorithm := range algorithms {
		p := newPerson(t, algorithm)
		e := openRaw(t, signLink(t, steps.Link{Name: "a"}, p))
		if len(e.Signatures) != 1 || e.Signatures[0].KeyID != p.intoto.KeyID {
			t.Errorf("%s: %+v, want key ID %s", algorithm, e.Signatures, p.intoto.KeyID)
		}
	}
}
