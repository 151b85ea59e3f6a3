package interop

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/dev/interop/sigstorestack"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

const jane = "jane@acme.example"

// keylessType is the predicate type of what is attested here.
const keylessType = "https://example.test/checked/v1"

// keylessCosign is a version of cosign that signs by the private Sigstore.
type keylessCosign struct {
	cosignTool
	stack   *sigstorestack.Stack
	version string
	// root is the file of the trust root.
	root string
}

func newKeyless(t testing.TB, version string) keylessCosign {
	t.Helper()
	stack := sigstoreStack(t)
	c := keylessCosign{cosignTool: newCosign(t, version), stack: stack, version: version}
	root, err := stack.Trust.Root()
	if err != nil {
		t.Fatal(err)
	}
	c.root = writeFile(t, filepath.Join(c.dir, "root.json"), root)
	return c
}

// services are the flags of sign, attest and sign-blob that name the private Sigstore.
// Only cosign 3 can write to Rekor v2.
func (c keylessCosign) services(t testing.TB, rekor int, token string) []string {
	t.Helper()
	if c.version == "cosign2" {
		return []string{"--yes", "--trusted-root", c.root, "--fulcio-url", c.stack.Trust.CA.URL, "--rekor-url", c.stack.Trust.Rekor1.URL, "--identity-token", token}
	}
	config, err := c.stack.SigningConfig(rekor)
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, filepath.Join(c.dir, fmt.Sprintf("rekor%d.json", rekor)), config)
	return []string{"--yes", "--trusted-root", c.root, "--signing-config", file, "--identity-token", token}
}

// token is jane's.
func (c keylessCosign) token(t testing.TB) string {
	t.Helper()
	token, err := c.stack.People.Email(jane)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// keylessWay is a way of signing with cosign by certificate.
type keylessWay struct {
	name, version string
	rekor         int
	flags         []string
	// stamped is true where a timestamp authority sees the signature.
	stamped bool
}

func (w keylessWay) run(t testing.TB, command, token string, args ...string) keylessCosign {
	t.Helper()
	c := newKeyless(t, w.version)
	if token == "" {
		token = c.token(t)
	}
	flags := slices.Clone(w.flags)
	if w.version == "cosign2" && w.stamped {
		flags = append(flags, "--timestamp-server-url", c.stack.Trust.TSA.URL)
	}
	c.cosignTool.run(t, slices.Concat([]string{command}, c.services(t, w.rekor, token), flags, args)...).accepted(t)
	return c
}

// signsBlob signs a file, and returns what cosign has written.
func (w keylessWay) signsBlob(t testing.TB, text string) []byte {
	t.Helper()
	file := writeFile(t, filepath.Join(t.TempDir(), "file"), []byte(text))
	c := w.run(t, "sign-blob", "", "--bundle", "out", file)
	signed, err := os.ReadFile(filepath.Join(c.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(signed)
}

// recognised says who must have signed, and by which instance.
type recognised struct {
	// settings are those of the identity.
	settings map[string]any
	// trust is the trust root, requireTimestamps as in sigstore.Instance.
	trust             sigstorestack.Trust
	requireTimestamps bool
	// now is the time of the judgement. Zero: the real one.
	now time.Time
	// attested demands an attestation of keylessType in place of a signature.
	attested bool
}

// byJane recognises what jane signs.
func byJane(t testing.TB) recognised {
	t.Helper()
	stack := sigstoreStack(t)
	return recognised{settings: map[string]any{"issuer": stack.People.URL, "email": jane}, trust: stack.Trust}
}

func (r recognised) verifier(t testing.TB) *verify.Verifier {
	t.Helper()
	root, err := r.trust.Root()
	if err != nil {
		t.Fatal(err)
	}
	authority, err := sigstore.New(map[string]sigstore.Instance{"private": {Root: root, RequireTimestamps: r.requireTimestamps}})
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]policy.Authority{"sigstore": authority}
	text := "version: 1\nidentities:\n  signer:\n    authority: sigstore\n    settings:\n"
	for _, name := range slices.Sorted(maps.Keys(r.settings)) {
		text += fmt.Sprintf("      %s: %q\n", name, r.settings[name])
	}
	want := "signature: {by: signers}"
	if r.attested {
		want = fmt.Sprintf("attestation: {type: %q, by: signers, acceptAnyContent: true}", keylessType)
	}
	text += "roles:\n  signers: {identities: [signer]}\nfiles: [{signature: {by: signers}}]\nrules:\n  - images: ['**']\n    require:\n      - " + want + "\n"
	p, err := policy.Parse([]byte(text), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	o := verify.Options{Authorities: linked}
	if !r.now.IsZero() {
		o.Now = func() time.Time { return r.now }
	}
	v, err := verify.New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// judges is how an image, or a file, is judged by a verifier.
type judges func(t testing.TB, v *verify.Verifier) ([]verify.Principal, error)

func (s *scene) judges(ref name.Reference) judges {
	return func(t testing.TB, v *verify.Verifier) ([]verify.Principal, error) {
		result, err := v.Image(t.Context(), s.store, ref)
		if err != nil {
			return nil, err
		}
		if result.Digest.DigestStr() != s.image.DigestStr() {
			t.Errorf("verified %s, want %s", result.Digest, s.image)
		}
		return result.Keys, nil
	}
}

func judgesBlob(text string, evidence []byte) judges {
	return func(t testing.TB, v *verify.Verifier) ([]verify.Principal, error) {
		result, err := v.Blob(t.Context(), strings.NewReader(text), evidence)
		if err != nil {
			return nil, err
		}
		return result.Keys, nil
	}
}

// accepts fails the test unless the evidence is recognised, and seen just now.
func (judge judges) accepts(t testing.TB, r recognised) verify.Principal {
	t.Helper()
	keys, err := judge(t, r.verifier(t))
	if err != nil {
		t.Fatalf("%v\n%s", err, evidenceOf(err))
	}
	if len(keys) != 1 || keys[0].Name != "signer" || time.Since(keys[0].SeenAt) > time.Hour || keys[0].Claims["issuer"] != r.settings["issuer"] {
		t.Fatalf("recognised: %+v", keys)
	}
	return keys[0]
}

// refuses fails the test unless the evidence does not count, for a reason that names why.
func (judge judges) refuses(t testing.TB, r recognised, why string) {
	t.Helper()
	keys, err := judge(t, r.verifier(t))
	var refusal *verify.Error
	want := []verify.Reason{verify.ReasonNoTrustedSignature, verify.ReasonNoTrustedAttestation, verify.ReasonNoAttestation}
	if !errors.As(err, &refusal) || !slices.Contains(want, refusal.Reason) || keys != nil {
		t.Fatalf("got %+v, %v, want a refusal by one of %s\n%s", keys, err, want, evidenceOf(err))
	}
	for _, e := range refusal.Evidence {
		if e.Reason == verify.ReasonCertificate && strings.Contains(e.Detail, why) {
			return
		}
	}
	t.Fatalf("no evidence is %s because of %q:\n%s", verify.ReasonCertificate, why, evidenceOf(err))
}
