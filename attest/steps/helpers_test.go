package steps_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/sign"
)

// now is when the tests take place.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// person has a key, in our form and in in-toto-golang's.
type person struct {
	private crypto.Signer
	signer  sign.Signer
	intoto  in_toto.Key
	id      string // of the SubjectPublicKeyInfo
}

func newPerson(t testing.TB, algorithm string) person {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "p256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	must(t, err)
	signer, err := sign.New(private, sign.SignerOptions{PSS: true})
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	p := person{private: private, signer: signer}
	must(t, p.intoto.LoadKeyReaderDefaults(bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))))
	key, err := sigkey.New(private.Public())
	must(t, err)
	p.id = key.ID()
	return p
}

// public is the key as in-toto-golang puts it into layouts.
func (p person) public() in_toto.Key {
	k := p.intoto
	k.KeyVal.Private = ""
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

// files are artifacts whose content is what stands behind the equals sign.
func files(all ...string) steps.Artifacts {
	sums := make(map[string]string)
	for _, f := range all {
		name, content, _ := strings.Cut(f, "=")
		sums[name] = sum(content)
	}
	return steps.SHA256(sums)
}

// build is a project with three steps: Alice writes, Bob and Carol both build,
// Dave makes the image.
type build struct {
	t                        testing.TB
	owner                    person
	alice, bob, carol, dave  person
	image                    v1.Hash
	layout                   steps.Layout
	write, compile, assemble steps.Link
}

func newBuild(t testing.TB) *build { return newBuildWith(t, "ed25519") }

func newBuildWith(t testing.TB, algorithm string) *build {
	t.Helper()
	b := &build{
		t: t, owner: newPerson(t, algorithm), alice: newPerson(t, algorithm), bob: newPerson(t, algorithm),
		carol: newPerson(t, algorithm), dave: newPerson(t, algorithm),
		image: v1.Hash{Algorithm: "sha256", Hex: sum("image")},
	}
	b.layout = steps.Layout{Expires: now.Add(time.Hour), Readme: "test", Steps: []steps.Step{
		{Name: "write", Functionaries: keysOf(b.alice), Products: []steps.Rule{steps.Create("src/*")}},
		{
			Name: "compile", Functionaries: keysOf(b.bob, b.carol), Threshold: 2, Command: []string{"go", "build"},
			Materials: []steps.Rule{steps.Match("src/*", steps.Origin{Step: "write"})},
			Products:  []steps.Rule{steps.Create("app"), steps.Match("src/*", steps.Origin{Step: "write"})},
		},
		{
			Name: "assemble", Functionaries: keysOf(b.dave),
			Materials: []steps.Rule{steps.Require("root/app"), steps.Match("app", steps.Origin{Step: "compile", To: "root"})},
			Products:  []steps.Rule{steps.Create("manifest.json"), steps.Allow("root/app")},
		},
	}}
	b.write = steps.Link{Name: "write", Products: files("src/main.go=main", "src/lib.go=lib")}
	b.compile = steps.Link{
		Name: "compile", Command: []string{"go", "build"},
		Materials: files("src/main.go=main", "src/lib.go=lib"),
		Products:  files("src/main.go=main", "src/lib.go=lib", "app=binary"),
	}
	b.assemble = steps.Link{
		Name: "assemble", Materials: files("root/app=binary"), Products: files("root/app=binary", "manifest.json=image"),
		ByProducts: map[string]any{"return-value": 0, "stdout": "done <&>\n"},
	}
	return b
}

func keysOf(people ...person) []crypto.PublicKey {
	var keys []crypto.PublicKey
	for _, p := range people {
		keys = append(keys, p.private.Public())
	}
	return keys
}

func signLink(t testing.TB, l steps.Link, people ...person) []byte {
	t.Helper()
	text, err := steps.SignLink(context.Background(), l, signersOf(people)...)
	must(t, err)
	return text
}

func signersOf(people []person) []sign.Signer {
	var signers []sign.Signer
	for _, p := range people {
		signers = append(signers, p.signer)
	}
	return signers
}

func (b *build) signedLayout(owners ...person) []byte {
	b.t.Helper()
	if len(owners) == 0 {
		owners = []person{b.owner}
	}
	text, err := steps.SignLayout(context.Background(), b.layout, signersOf(owners)...)
	must(b.t, err)
	return text
}

// links are all that the layout wants.
func (b *build) links() [][]byte {
	b.t.Helper()
	return [][]byte{
		signLink(b.t, b.write, b.alice), signLink(b.t, b.compile, b.bob), signLink(b.t, b.compile, b.carol), signLink(b.t, b.assemble, b.dave),
	}
}

func (b *build) options() steps.VerifyOptions {
	return steps.VerifyOptions{OwnerKeys: keysOf(b.owner), Now: func() time.Time { return now }}
}

// verify fails the test if anything is printed.
func (b *build) verify(layout []byte, links [][]byte, o steps.VerifyOptions) (*steps.Result, error) {
	b.t.Helper()
	var res *steps.Result
	var err error
	if out := printed(b.t, func() { res, err = steps.Verify(context.Background(), layout, links, b.image, o) }); out != "" {
		b.t.Errorf("printed %q", out)
	}
	if (res == nil) == (err == nil) {
		b.t.Fatalf("a result and an error, or neither: %v, %v", res, err)
	}
	return res, err
}

func (b *build) accepts(layout []byte, links [][]byte, o steps.VerifyOptions) *steps.Result {
	b.t.Helper()
	res, err := b.verify(layout, links, o)
	must(b.t, err)
	return res
}

func (b *build) refuses(reason steps.Reason, layout []byte, links [][]byte, o steps.VerifyOptions) *steps.Error {
	b.t.Helper()
	_, err := b.verify(layout, links, o)
	refusal, ok := errors.AsType[*steps.Error](err)
	if !ok || refusal.Reason != reason {
		b.t.Fatalf("%v; want a refusal for %s", err, reason)
	}
	return refusal
}

// wantIgnored says why the link at a place must not have counted.
func wantIgnored(t testing.TB, all []steps.IgnoredLink, index int, reason steps.LinkReason) {
	t.Helper()
	for _, l := range all {
		if l.Index == index {
			if l.Reason != reason {
				t.Errorf("link %d did not count for %s (%s), want %s", index, l.Reason, l.Detail, reason)
			}
			return
		}
	}
	t.Errorf("link %d counted, want %s; ignored are %v", index, reason, all)
}

// printed runs f and returns what it wrote to the process's standard output.
func printed(t testing.TB, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	old := os.Stdout
	os.Stdout = w
	done := make(chan string)
	go func() {
		text, err := io.ReadAll(r)
		if err != nil {
			text = []byte(err.Error())
		}
		done <- string(text)
	}()
	defer r.Close()
	func() {
		defer func() { os.Stdout = old; w.Close() }()
		f()
	}()
	return <-done
}

// signRaw signs any payload, with whatever key IDs.
func signRaw(t testing.TB, payload string, people ...person) []byte {
	t.Helper()
	e := rawEnvelope{Payload: base64.StdEncoding.EncodeToString([]byte(payload)), PayloadType: dsse.PayloadTypeInToto}
	for _, p := range people {
		sig, err := p.signer.Sign(context.Background(), dsse.PAE(e.PayloadType, []byte(payload)))
		must(t, err)
		e.Signatures = append(e.Signatures, rawSignature{KeyID: p.intoto.KeyID, Sig: base64.StdEncoding.EncodeToString(sig)})
	}
	return e.text(t)
}

type rawEnvelope struct {
	Payload     string         `json:"payload"`
	PayloadType string         `json:"payloadType"`
	Signatures  []rawSignature `json:"signatures"`
}

type rawSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

func openRaw(t testing.TB, text []byte) rawEnvelope {
	t.Helper()
	var e rawEnvelope
	must(t, json.Unmarshal(text, &e))
	return e
}

func (e rawEnvelope) text(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(e)
	must(t, err)
	return text
}

func (e rawEnvelope) payload(t testing.TB) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(e.Payload)
	must(t, err)
	return string(text)
}

// theirs signs with in-toto-golang and returns the file that it writes.
func theirs(t testing.TB, payload any, people ...person) []byte {
	t.Helper()
	e := &in_toto.Envelope{}
	must(t, e.SetPayload(payload))
	for _, p := range people {
		must(t, e.Sign(p.intoto))
	}
	file := filepath.Join(t.TempDir(), "envelope")
	must(t, e.Dump(file))
	text, err := os.ReadFile(file)
	must(t, err)
	return text
}

// theirSignature is in-toto-golang's over a payload that it has not written.
func theirSignature(t testing.TB, payload string, p person) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "unsigned")
	must(t, os.WriteFile(file, signRaw(t, payload, p), 0o600))
	e, err := in_toto.LoadMetadata(file)
	must(t, err)
	must(t, e.Sign(p.intoto))
	must(t, e.Dump(file))
	text, err := os.ReadFile(file)
	must(t, err)
	return text
}

// theirLink is a link as in-toto-golang holds it.
func theirLink(l steps.Link) in_toto.Link {
	out := in_toto.Link{
		Type: "link", Name: l.Name, Command: l.Command, ByProducts: l.ByProducts, Environment: map[string]any{},
		Materials: map[string]in_toto.HashObj{}, Products: map[string]in_toto.HashObj{},
	}
	for name, d := range l.Materials {
		out.Materials[name] = d
	}
	for name, d := range l.Products {
		out.Products[name] = d
	}
	return out
}

// theirLayout is the build's layout as in-toto-golang holds it.
func (b *build) theirLayout() in_toto.Layout {
	b.t.Helper()
	var l in_toto.Layout
	must(b.t, json.Unmarshal([]byte(openRaw(b.t, b.signedLayout()).payload(b.t)), &l))
	return l
}

// inTotoVerify lets in-toto-golang judge: layout and links as files by the names
// that it wants.
func inTotoVerify(t testing.TB, layout []byte, owners []person, links map[string][]byte) error {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "root.layout"), layout, 0o600))
	for name, text := range links {
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	env, err := in_toto.LoadMetadata(filepath.Join(dir, "root.layout"))
	must(t, err)
	keys := make(map[string]in_toto.Key)
	for _, p := range owners {
		keys[p.intoto.KeyID] = p.public()
	}
	_, err = in_toto.InTotoVerify(env, keys, dir, "", nil, nil, false)
	return err
}

func linkFile(step string, p person) string {
	return fmt.Sprintf(in_toto.LinkNameFormat, step, p.intoto.KeyID)
}
