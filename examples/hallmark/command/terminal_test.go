package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

// hostile holds what acts on terminals and on people who read them: a colour, a
// title, a C1 control, a line that was not printed, text that runs backwards.
const hostile = "\x1b[32mverified\x1b[0m\x1b]0;title\x07\u009b31m\r\nverified  everything\u202e\u2066\x7f\U000e0041"

// inert fails where output could act on a terminal.
func inert(t *testing.T, what, output string) {
	t.Helper()
	for i, r := range output {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%s holds %U: %q", what, r, output[max(0, i-40):min(len(output), i+40)])
			return
		}
	}
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "verified  everything") {
			t.Errorf("%s holds a line that it did not print: %q", what, output)
		}
	}
}

func certificateWith(t *testing.T, identity string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	issuer, err := asn1.MarshalWithParams(identity, "utf8")
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		EmailAddresses:  []string{"dev@example.com"},
		URIs:            []*url.URL{{Scheme: "https", Host: "ci.example", Path: "/build"}},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}},
	}, &x509.Certificate{}, key.Public(), key)
	must(t, err)
	return der
}

// attachHostile attaches evidence with hostile text wherever text may stand.
func attachHostile(t *testing.T, x target, subject name.Digest) {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"critical": map[string]any{
			"identity": map[string]string{"docker-reference": hostile},
			"image":    map[string]string{"docker-manifest-digest": subject.DigestStr()},
			"type":     "cosign container image signature",
		},
		"optional": map[string]string{hostile: hostile},
	})
	must(t, err)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateWith(t, hostile)}))
	for _, annotations := range []map[string]string{
		{annotationSignature: "AAAA", hostile: hostile},
		{annotationSignature: "AAAA", "dev.sigstore.cosign/certificate": certificate},
		{annotationSignature: hostile},
	} {
		x.attach(subject, registry.Item{
			Format: registry.FormatSimpleSigning, Payload: payload,
			Layer: v1.Descriptor{MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Annotations: annotations},
		})
	}
	bundle, err := json.Marshal(map[string]any{
		"mediaType":            "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{"publicKey": map[string]string{"hint": hostile}},
		"dsseEnvelope":         map[string]any{"payloadType": hostile, "payload": "e30=", "signatures": []any{map[string]string{"sig": "AAAA"}}},
	})
	must(t, err)
	x.attach(subject, registry.Item{
		Format: registry.FormatBundle, Payload: bundle,
		Layer:               v1.Descriptor{MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json"},
		ManifestAnnotations: map[string]string{"org.opencontainers.image.created": hostile, hostile: hostile},
	})
	_, err = registrytest.PushReferrer(t.Context(), x.store, subject, "application/"+hostile, []byte(hostile), map[string]string{hostile: hostile})
	must(t, err)
}

func TestAttack_F4_NothingFromOutsideActsOnTheTerminal(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		c, k := newCLI(t), newKey(t)
		digest := x.push("v1")
		attachHostile(t, x, digest)
		to := layoutTarget(t)
		for _, args := range [][]string{
			{"inspect", x.tag("v1")},
			{"inspect", "-o", "json", "--key", k.public, x.tag("v1")},
			{"verify", "--key", k.public, x.tag("v1")},
			{"verify", "-o", "json", "--key", k.public, x.tag("v1")},
			{"verify", "--key", k.public, x.image + hostile},
			{"inspect", "oci:" + hostile},
			{"verify", "--" + hostile},
			{"verify", "--key", hostile, x.tag("v1")},
			{"verify", "--key", k.public, "--platform", hostile, x.tag("v1")},
			{hostile},
			{"sign", "--key", k.private, "-a", hostile + "=" + hostile, x.tag("v1")},
			{"verify", "--explain", "--key", k.public, x.tag("v1")},
			{"copy", x.tag("v1"), to.tag("v1")},
		} {
			o := c.run(args...)
			inert(t, strings.Join(args[:1], " ")+" stdout", o.stdout)
			inert(t, strings.Join(args[:1], " ")+" stderr", o.stderr)
		}
		// And yet nothing is lost where a program reads it.
		var i verify.Inspection
		c.must("inspect", "-o", "json", x.tag("v1")).decode(&i)
		found := false
		for _, p := range i.Evidence {
			found = found || reflect.DeepEqual(p.Annotations, map[string]string{hostile: hostile}) && p.Repository == hostile
		}
		if !found {
			t.Errorf("the annotations are not those that were signed: %+v", i.Evidence)
		}
	})
}

func TestColoursAndProgressAreForTerminalsOnly(t *testing.T) {
	k := newKey(t)
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	newCLI(t).must("sign", "--key", k.private, x.tag("v1"))
	const escape = "\x1b"
	for _, test := range []struct {
		name    string
		change  func(*cli)
		args    []string
		escapes bool
	}{
		{"terminal", func(c *cli) { c.terminal = true }, nil, true},
		{"pipe", func(*cli) {}, nil, false},
		{"NO_COLOR", func(c *cli) { c.terminal = true; c.env["NO_COLOR"] = "1" }, nil, false},
		{"empty NO_COLOR", func(c *cli) { c.terminal = true; c.env["NO_COLOR"] = "" }, nil, true},
		{"--no-color", func(c *cli) { c.terminal = true }, []string{"--no-color"}, false},
		{"dumb terminal", func(c *cli) { c.terminal = true; c.env["TERM"] = "dumb" }, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCLI(t)
			test.change(c)
			o := c.must(append([]string{"verify", "--key", k.public, x.tag("v1")}, test.args...)...)
			if got := strings.Contains(o.stdout, escape); got != test.escapes {
				t.Errorf("escapes in stdout: %v, want %v: %q", got, test.escapes, o.stdout)
			}
			o = c.must(append([]string{"copy", x.tag("v1"), layoutTarget(t).tag("v1")}, test.args...)...)
			if got := strings.Contains(o.stderr, escape); got != test.escapes {
				t.Errorf("progress on stderr: %v, want %v: %q", got, test.escapes, o.stderr)
			}
			if test.escapes && !strings.HasSuffix(o.stderr, eraseLine) {
				t.Errorf("the line of progress stays behind: %q", o.stderr)
			}
			o = c.must(append([]string{"verify", "-o", "json", "--key", k.public, x.tag("v1")}, test.args...)...)
			if strings.Contains(o.stdout, escape) {
				t.Errorf("escapes in JSON: %q", o.stdout)
			}
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("the reader is gone") }

func TestAVerdictThatCannotBeWrittenIsNoSuccess(t *testing.T) {
	c, k, x := newCLI(t), newKey(t), layoutTarget(t)
	x.push("v1")
	c.must("sign", "--key", k.private, x.tag("v1"))
	c.stdout = brokenPipe{}
	for _, format := range []string{"text", "json"} {
		c.run("verify", "-o", format, "--key", k.public, x.tag("v1")).exits(exitUndecided).says("could not be written")
	}
}

func TestAttack_F3_FilesThatAreNoneAreRefused(t *testing.T) {
	c, k, x := newCLI(t), newKey(t), layoutTarget(t)
	x.push("v1")
	dir := t.TempDir()
	blob := writeFile(t, filepath.Join(dir, "blob"), []byte("content"))
	for _, path := range append(irregular(t), dir) {
		for _, args := range [][]string{
			{"verify", "--key", path, x.tag("v1")},
			{"inspect", "--key", path, x.tag("v1")},
			{"sign", "--key", path, x.tag("v1")},
			{"keygen", "--out", filepath.Join(dir, "k"), "--password-file", path},
			{"sign-blob", "--key", k.private, "--bundle", filepath.Join(dir, "b"), path},
			{"verify-blob", "--key", k.public, "--bundle", path, blob},
			{"verify-blob", "--key", k.public, "--bundle", blob, path},
		} {
			c.run(args...).exits(exitUndecided).says("not a regular file", "hint: name a regular file")
		}
	}
	large := writeFile(t, filepath.Join(dir, "large"), make([]byte, 1<<20))
	for _, args := range [][]string{
		{"verify", "--key", large, x.tag("v1")},
		{"sign", "--key", large, x.tag("v1")},
		{"keygen", "--out", filepath.Join(dir, "k"), "--password-file", large},
	} {
		c.run(args...).exits(exitUndecided).says("limit")
	}
}
