package interop

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstorego "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/interop/sigstorestack"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
)

// keylessSigner signs as jane, by Rekor of the version.
func keylessSigner(t testing.TB, rekor int, identity keyless.TokenSource) *keyless.Signer {
	t.Helper()
	stack := sigstoreStack(t)
	config, err := stack.SigningConfig(rekor)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := stack.Trust.Root()
	if err != nil {
		t.Fatal(err)
	}
	if identity == nil {
		token, err := stack.People.Email(jane)
		if err != nil {
			t.Fatal(err)
		}
		identity = keyless.Token(token)
	}
	by, err := keyless.New(keyless.Options{SigningConfig: config, TrustedRoot: trusted, Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	return by
}

// verifies runs one of cosign's commands that verify. args name the identity, too.
func (c keylessCosign) verifies(t testing.TB, command string, stamped bool, args ...string) outcome {
	t.Helper()
	flags := []string{command, "--trusted-root", c.root}
	if c.version == "cosign2" && command == "verify-attestation" {
		// It takes a trust root for bundles alone. For an .att tag it wants the parts of one.
		flags, c.env = []string{command}, append(slices.Clone(c.env), c.parts(t)...)
	}
	if stamped {
		flags = append(flags, "--use-signed-timestamps")
	}
	return c.run(t, slices.Concat(flags, args)...)
}

// parts are the variables that name a trust root in parts.
func (c keylessCosign) parts(t testing.TB) (env []string) {
	t.Helper()
	trust := c.stack.Trust
	var chain []byte
	for _, certificate := range trust.CA.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	env = []string{"SIGSTORE_ROOT_FILE=" + writeFile(t, filepath.Join(c.dir, "fulcio.pem"), chain)}
	for name, key := range map[string]crypto.PublicKey{"SIGSTORE_REKOR_PUBLIC_KEY": trust.Rekor1.Key, "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": trust.CT.Key} {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+writeFile(t, filepath.Join(c.dir, name), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
	return env
}

func identity(subject, issuer string) []string {
	return []string{"--certificate-identity", subject, "--certificate-oidc-issuer", issuer}
}

// hallmarkWay is a way in which we sign by certificate, and a cosign that verifies it.
type hallmarkWay struct {
	name    string
	rekor   int
	format  registry.Format
	version string
	flags   []string
}

func (w hallmarkWay) stamped() bool { return w.rekor == 2 }

func TestCosignVerifiesImagesThatWeSignWithoutKey(t *testing.T) {
	host := inMemory.start(t)
	for _, w := range []hallmarkWay{
		{"rekor2/cosign3", 2, registry.FormatBundle, "cosign3", nil},
		{"rekor1/cosign3", 1, registry.FormatBundle, "cosign3", nil},
		{"rekor1/cosign2", 1, registry.FormatBundle, "cosign2", []string{"--new-bundle-format"}},
		{"sig-tag/cosign2", 1, registry.FormatSimpleSigning, "cosign2", nil},
		{"sig-tag/cosign3", 1, registry.FormatSimpleSigning, "cosign3", nil},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s, c := newScene(t, host), newKeyless(t, w.version)
			if _, err := sign.Image(t.Context(), s.store, s.image, sign.ImageOptions{Formats: []registry.Format{w.format}}, keylessSigner(t, w.rekor, nil)); err != nil {
				t.Fatal(err)
			}
			check := func(subject, issuer string, ref name.Digest) outcome {
				return c.verifies(t, "verify", w.stamped(), slices.Concat(w.flags, identity(subject, issuer), []string{ref.String()})...)
			}
			check(jane, c.stack.People.URL, s.image).accepted(t)
			check("john@acme.example", c.stack.People.URL, s.image).refused(t, "")
			check(jane, c.stack.Workflows.URL, s.image).refused(t, "")
			check(jane, c.stack.People.URL, s.other).refused(t, "")
			s.judges(s.tag).accepts(t, byJane(t))
		})
	}
}

func TestCosignVerifiesWhatWeAttestWithoutKey(t *testing.T) {
	host := inMemory.start(t)
	p := predicate.Raw{Type: keylessType, JSON: json.RawMessage(`{"checked":true}`)}
	for _, w := range []hallmarkWay{
		{"rekor2/cosign3", 2, registry.FormatBundle, "cosign3", nil},
		{"rekor1/cosign3", 1, registry.FormatBundle, "cosign3", nil},
		{"att-tag/cosign3", 1, registry.FormatEnvelope, "cosign3", nil},
		{"att-tag/cosign2", 1, registry.FormatEnvelope, "cosign2", nil},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s, c := newScene(t, host), newKeyless(t, w.version)
			if _, err := attest.Image(t.Context(), s.store, s.image, p, attest.Options{Formats: []registry.Format{w.format}}, keylessSigner(t, w.rekor, nil)); err != nil {
				t.Fatal(err)
			}
			check := func(subject string, ref name.Digest) outcome {
				return c.verifies(t, "verify-attestation", w.stamped(), slices.Concat(w.flags, []string{"--type", keylessType}, identity(subject, c.stack.People.URL), []string{ref.String()})...)
			}
			check(jane, s.image).accepted(t)
			check("john@acme.example", s.image).refused(t, "")
			check(jane, s.other).refused(t, "")
		})
	}
}

func TestCosignVerifiesFilesThatWeSignWithoutKey(t *testing.T) {
	for _, w := range []hallmarkWay{
		{name: "rekor2/cosign3", rekor: 2, version: "cosign3"},
		{name: "rekor1/cosign3", rekor: 1, version: "cosign3"},
		{name: "rekor1/cosign2", rekor: 1, version: "cosign2", flags: []string{"--new-bundle-format"}},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			c := newKeyless(t, w.version)
			text, err := sign.Blob(t.Context(), strings.NewReader(blobText), keylessSigner(t, w.rekor, nil))
			if err != nil {
				t.Fatal(err)
			}
			signed := writeFile(t, filepath.Join(c.dir, "bundle.json"), text)
			check := func(subject, content string) outcome {
				file := writeFile(t, filepath.Join(c.dir, "file"), []byte(content))
				return c.verifies(t, "verify-blob", w.stamped(), slices.Concat(w.flags, identity(subject, c.stack.People.URL), []string{"--bundle", signed, file})...)
			}
			check(jane, blobText).accepted(t)
			check("john@acme.example", blobText).refused(t, "")
			check(jane, blobText+"!").refused(t, "")
			judgesBlob(blobText, text).accepts(t, byJane(t))
		})
	}
}

// sigstore-go verifies the bundles that a job of GitHub Actions signs here, and says where
// it was built.
func TestSigstoreGoVerifiesWhatWeSignWithoutKey(t *testing.T) {
	stack := sigstoreStack(t)
	job := sigstorestack.Workflow{Repository: "acme/app", File: "release.yml", Ref: "refs/tags/v1"}
	by := keylessSigner(t, 2, githubActions(t, job))
	s := newScene(t, inMemory.start(t))
	if _, err := sign.Image(t.Context(), s.store, s.image, sign.ImageOptions{}, by); err != nil {
		t.Fatal(err)
	}
	text, err := stack.Trust.Root()
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := sigstorego.NewVerifier(trusted, sigstorego.WithTransparencyLog(1), sigstorego.WithSignedCertificateTimestamps(1), sigstorego.WithObserverTimestamps(1))
	if err != nil {
		t.Fatal(err)
	}
	judge := func(b *bundle.Bundle, uri string, subject name.Digest) error {
		id, err := sigstorego.NewShortCertificateIdentity(stack.Workflows.URL, "", uri, "")
		if err != nil {
			t.Fatal(err)
		}
		sum, err := hex.DecodeString(strings.TrimPrefix(subject.DigestStr(), "sha256:"))
		if err != nil {
			t.Fatal(err)
		}
		found, err := v.Verify(b, sigstorego.NewPolicy(sigstorego.WithArtifactDigest("sha256", sum), sigstorego.WithCertificateIdentity(id)))
		if err == nil && found.Signature.Certificate.SourceRepositoryURI != "https://github.com/acme/app" {
			t.Errorf("%+v", found.Signature.Certificate)
		}
		return err
	}
	read := 0
	for item, err := range registry.Evidence(t.Context(), s.store, s.image, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		read++
		b := new(bundle.Bundle)
		if err := b.UnmarshalJSON(bytes.TrimSpace(item.Payload)); err != nil {
			t.Fatal(err)
		}
		if err := judge(b, job.URI(), s.image); err != nil {
			t.Error(err)
		}
		if judge(b, strings.Replace(job.URI(), "acme", "evil", 1), s.image) == nil || judge(b, job.URI(), s.other) == nil {
			t.Error("another identity, or another image, was accepted")
		}
	}
	if read != 1 {
		t.Errorf("%d pieces of evidence, want 1", read)
	}
}

// githubActions is the identity of a job, asked for as GitHub's runner offers it.
func githubActions(t testing.TB, job sigstorestack.Workflow) keyless.TokenSource {
	t.Helper()
	const secret = "the runner's own token"
	stack := sigstoreStack(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Authorization"), "Bearer "+secret) || r.FormValue("audience") != keyless.DefaultAudience {
			http.Error(w, "not this job", http.StatusUnauthorized)
			return
		}
		token, err := stack.Workflows.Workflow(job)
		if err != nil {
			t.Error(err)
		}
		if err := json.NewEncoder(w).Encode(map[string]string{"value": token}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	environment := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": server.URL + "?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": secret}
	source, err := keyless.Ambient(func(name string) string { return environment[name] }, keyless.AmbientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return source
}
