package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// puller pulls images under a policy.json of containers/image.
type puller struct {
	program
	skopeo bool
}

var pullers = []string{"skopeo", "containers-image"}

func newPuller(t testing.TB, name string) puller {
	t.Helper()
	p := puller{newProgram(t, name), name == "skopeo"}
	// The directory is both registries.d and registries.conf.d.
	p.write(t, "registries/default.yaml", "default-docker: {use-sigstore-attachments: true}\n")
	p.write(t, "registries.conf", "")
	p.env = append(p.env, "CONTAINERS_REGISTRIES_CONF="+filepath.Join(p.dir, "registries.conf"))
	return p
}

func (p program) write(t testing.TB, path, text string) string {
	t.Helper()
	path = filepath.Join(p.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, path, []byte(text))
}

// pull trusts the public key for every image of the reference's repository.
func (p puller) pull(t testing.TB, ref name.Reference, public string) outcome {
	t.Helper()
	given, err := json.Marshal(map[string]any{
		"default": []any{map[string]any{"type": "reject"}},
		"transports": map[string]any{"docker": map[string]any{ref.Context().Name(): []any{map[string]any{
			"type": "sigstoreSigned", "keyPath": public, "signedIdentity": map[string]any{"type": "matchRepository"},
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file, registries, out := p.write(t, "policy.json", string(given)), filepath.Join(p.dir, "registries"), t.TempDir()
	if !p.skopeo {
		return p.run(t, "pull", file, registries, ref.Name(), out)
	}
	return p.run(t, "--policy", file, "--registries.d", registries,
		"copy", "--src-tls-verify=false", "docker://"+ref.Name(), "dir:"+out)
}

// debianSkopeo is what Debian's skopeo says in place of judging a sigstore
// signature that it has found: Debian builds it without that code.
const debianSkopeo = "Debian-local change: sigstore disabled"

// judged reports whether the program has judged the signature. Where it cannot,
// at least it must have found one, and refused.
func (o outcome) judged(t testing.TB) bool {
	t.Helper()
	if !strings.Contains(o.stderr, debianSkopeo) {
		return true
	}
	if o.code == 0 {
		t.Errorf("%s: accepted, although it says %q", o.command, debianSkopeo)
	}
	return false
}

// What we sign into the .sig tag, skopeo, podman and buildah accept under a
// policy of type sigstoreSigned; they refuse another key, an unsigned image, and
// an image with a bundle alone, which they do not read.
func TestContainersImageAcceptsWhatWeSign(t *testing.T) {
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		for _, program := range pullers {
			for _, set := range formatSets {
				t.Run(program+"/"+set.name, func(t *testing.T) {
					t.Parallel()
					s, p := newScene(t, host), newPuller(t, program)
					release, stranger := newKey(t, "release", sign.ECDSAP256), newKey(t, "stranger", sign.ECDSAP256)
					s.sign(t, s.image, sign.ImageOptions{Formats: set.formats, Annotations: map[string]string{"env": "prod"}}, release.pair.Signer)
					p.pull(t, s.other, release.public).refused(t, "no signature exists")
					o := p.pull(t, s.tag, release.public)
					if set.name == "bundle" {
						o.refused(t, "no signature exists")
						return
					}
					if !o.judged(t) {
						return
					}
					o.accepted(t)
					p.pull(t, s.image, release.public).accepted(t)
					p.pull(t, s.tag, stranger.public).refused(t, "cryptographic signature verification failed")
				})
			}
		}
	})
}

// Which of our algorithms containers/image verifies: those that cosign does.
func TestContainersImageVerifiesOurAlgorithms(t *testing.T) {
	host := inMemory.start(t)
	for _, test := range algorithmTests {
		if test.flags != nil {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, p := newScene(t, host), newPuller(t, "containers-image")
			release := newKey(t, "release", test.algorithm)
			s.sign(t, s.image, sign.ImageOptions{Formats: onlyTag}, release.signer(t, test.options))
			why := ""
			if test.cosign3 != "" {
				why = "cryptographic signature verification failed"
			}
			expect(t, p.pull(t, s.tag, release.public), why)
		})
	}
}

// What skopeo and podman sign while they push, with an encrypted key of ours,
// we verify, and refuse under another key or for another repository.
func TestWeVerifyWhatContainersImageSigns(t *testing.T) {
	onEach(t, allRegistries(), func(t *testing.T, host string) {
		p := newPuller(t, "containers-image")
		passphrase := p.write(t, "passphrase", password)
		for _, a := range []sign.Algorithm{sign.ECDSAP256, sign.RSA2048} {
			t.Run(string(a), func(t *testing.T) {
				s := newScene(t, host)
				release, stranger := newKey(t, "release", a), newKey(t, "stranger", a)
				signed := s.repo.Tag("signed")
				p.run(t, "sign", release.private, passphrase, filepath.Join(p.dir, "registries"), s.tag.Name(), signed.Name()).accepted(t)
				s.verified(t, trusting(t, nil, release), signed, s.image, release)
				s.verified(t, bound(t, release), signed, s.image, release)
				s.denied(t, trusting(t, nil, stranger), signed, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
				p.pull(t, signed, release.public).accepted(t)
			})
		}
	})
}

// bound trusts a key, where its signature names the repository asked about.
func bound(t testing.TB, k key) *verify.Verifier {
	t.Helper()
	v, err := verify.New(policy.Signatures{
		Keys: []policy.PublicKey{publicKey(t, k.pair.PublicPEM)}, Threshold: 1, SameRepository: true,
	}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
