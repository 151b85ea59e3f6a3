package interop

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// pullSpec says what a client pulls, and from where.
type pullSpec struct {
	// ref is HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST.
	ref string
	// mirror is the host and port on loopback that the client is configured to
	// ask in place of the one that ref names, which need not exist. Empty: the
	// one that ref names is asked.
	mirror string
	// caFile holds the certificate, in PEM, of the authority that vouches for
	// the host that is asked. Empty: it speaks plain HTTP.
	caFile string
}

func (s pullSpec) registry() string {
	host, _, _ := strings.Cut(s.ref, "/")
	return host
}

// asked is the host that the requests go to.
func (s pullSpec) asked() string { return cmp.Or(s.mirror, s.registry()) }

func (s pullSpec) url() string {
	if s.caFile == "" {
		return "http://" + s.asked()
	}
	return "https://" + s.asked()
}

// client is a program that pulls images from registries.
type client struct {
	name string
	// mirrors is true where it can be told to ask a mirror.
	mirrors bool
	// headOnly is true where it learns of a refusal by HEAD, whose answer has no
	// body that could say why.
	headOnly bool
	// pull starts from nothing: the client fetches the manifest, the
	// config and all layers of the image; of an index, at least those of the
	// image for the platform that this runs on.
	pull func(testing.TB, pullSpec) outcome
}

var clients = []client{
	{name: "skopeo", mirrors: true, pull: pullWithSkopeo},
	{name: "podman", mirrors: true, pull: pullWithPodman},
	{name: "containerd", mirrors: true, headOnly: true, pull: pullWithContainerd},
	{name: "crane", pull: pullWithCrane},
	{name: "regctl", mirrors: true, pull: pullWithRegctl},
	{name: "oras", pull: pullWithORAS},
}

var logLine = regexp.MustCompile(`^time=\S+ level=\w+ msg=(".*")$`)

// sentence is what someone at a terminal reads last: why it failed.
func (o outcome) sentence() string {
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	last := lines[len(lines)-1]
	if m := logLine.FindStringSubmatch(last); m != nil {
		if message, err := strconv.Unquote(m[1]); err == nil {
			return message
		}
	}
	return last
}

// platform is one that every client here takes images for.
func platform() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

func pullWithSkopeo(t testing.TB, s pullSpec) outcome {
	t.Helper()
	p := newContainersProgram(t, "skopeo", s)
	return p.run(t, "copy", "--src-"+p.trust(t, s),
		"docker://"+s.ref, "dir:"+filepath.Join(p.dir, "out"))
}

func pullWithPodman(t testing.TB, s pullSpec) outcome {
	t.Helper()
	p := newContainersProgram(t, "podman", s)
	t.Cleanup(func() { unlock(p.dir) })
	path, args := asRoot(p.path, "--tmpdir="+filepath.Join(p.dir, "tmp"), "pull", "--"+p.trust(t, s), s.ref)
	p.path = path
	return p.run(t, args...)
}

// asRoot makes a command of one that mounts, or gives files away, for those who
// are not root: it runs in a namespace where they are. Podman does so itself, but
// leaves a process behind that keeps the namespace.
func asRoot(path string, args ...string) (string, []string) {
	if os.Geteuid() == 0 {
		return path, args
	}
	return "unshare", append([]string{"--map-root-user", "--mount", path}, args...)
}

// unlock makes folders writable: those that podman unpacks layers into are not,
// and only root can remove what is in them nevertheless.
func unlock(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
}

const (
	// By default, podman's lock file, journal and networks are the machine's.
	containersConf = `[engine]
lock_type = "file"
events_logger = "none"
[network]
network_config_dir = %q
`
	storageConf = `[storage]
driver = "vfs"
graphroot = %q
runroot = %q
`
)

// newContainersProgram makes a program of containers/image's that does without
// what is configured and stored for the machine.
func newContainersProgram(t testing.TB, name string, s pullSpec) program {
	t.Helper()
	p := newProgram(t, name)
	in := func(path string) string { return filepath.Join(p.dir, path) }
	p.write(t, ".config/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	p.write(t, ".config/containers/registries.conf", registriesConf(s))
	p.write(t, ".config/containers/registries.d/default.yaml", fmt.Sprintf("default-docker: {lookaside: %q}\n", "file://"+in("signatures")))
	p.env = append(p.env,
		"CONTAINERS_CONF="+p.write(t, "containers.conf", fmt.Sprintf(containersConf, in("networks"))),
		"CONTAINERS_STORAGE_CONF="+p.write(t, "storage.conf", fmt.Sprintf(storageConf, in("root"), in("runroot"))))
	return p
}

// registriesConf gives the registry another location. A [[registry.mirror]]
// would not do: where that refuses, the registry itself is asked.
func registriesConf(s pullSpec) string {
	if s.mirror == "" {
		return ""
	}
	return fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\n", s.registry(), s.mirror)
}

// trust is the flag, without its dashes, that tells a program of
// containers/image's whose certificates to believe.
func (p program) trust(t testing.TB, s pullSpec) string {
	t.Helper()
	if s.caFile == "" {
		return "tls-verify=false"
	}
	return "cert-dir=" + filepath.Dir(p.write(t, "certs/ca.crt", readFile(t, s.caFile)))
}

// crane's own choice from an index is linux/amd64, wherever it runs.
func pullWithCrane(t testing.TB, s pullSpec) outcome {
	t.Helper()
	p := newProgram(t, "crane")
	if s.caFile != "" {
		p.env = append(p.env, "SSL_CERT_FILE="+s.caFile)
	}
	return p.run(t, "pull", "--platform", platform().String(), s.ref, filepath.Join(p.dir, "out.tar"))
}

func pullWithRegctl(t testing.TB, s pullSpec) outcome {
	t.Helper()
	p := newProgram(t, "regctl")
	trust := []string{"--tls", "disabled"}
	if s.caFile != "" {
		trust = []string{"--tls", "enabled", "--cacert", readFile(t, s.caFile)}
	}
	p.run(t, append([]string{"registry", "set", "--skip-check", "--hostname", s.asked(), s.registry()}, trust...)...).accepted(t)
	return p.run(t, "image", "copy", s.ref, "ocidir://out")
}

func pullWithORAS(t testing.TB, s pullSpec) outcome {
	t.Helper()
	p := newProgram(t, "oras")
	trust := "--from-plain-http"
	if s.caFile != "" {
		trust = "--from-ca-file=" + s.caFile
	}
	return p.run(t, "cp", "--no-tty", trust, "--to-oci-layout", s.ref, "out:pulled")
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// serveTLS serves over HTTPS, as an authority of its own vouches for, whose
// certificate is in caFile.
func serveTLS(t testing.TB, h http.Handler) (host, caFile string) {
	t.Helper()
	caFile, certificate := newCertificate(t)
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true // as any server of net/http speaks it
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://"), caFile
}

// newCertificate makes a certificate for 127.0.0.1, and the authority for it.
func newCertificate(t testing.TB) (caFile string, certificate tls.Certificate) {
	t.Helper()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the test's own authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "the test's registry"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caKey, leafKey := newTLSKey(t), newTLSKey(t)
	root := issue(t, ca, ca, caKey, caKey)
	caFile = writeFile(t, filepath.Join(t.TempDir(), "ca.pem"),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}))
	return caFile, tls.Certificate{Certificate: [][]byte{issue(t, leaf, ca, leafKey, caKey)}, PrivateKey: leafKey}
}

func newTLSKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issue(t testing.TB, certificate, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, certificate, issuer, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// elsewhere names a registry that is nowhere: only a mirror has its images.
const elsewhere = "registry.example.test"

// route is how a client is led to a registry.
type route struct {
	name        string
	tls, mirror bool
}

var routes = []route{
	{name: "http"},
	{name: "https", tls: true},
	{name: "http-mirror", mirror: true},
	{name: "https-mirror", tls: true, mirror: true},
}

// serve serves a registry, and returns what to pull for a reference that has no
// host yet.
func (r route) serve(t testing.TB, h http.Handler) func(ref string) pullSpec {
	t.Helper()
	var host, caFile string
	if r.tls {
		host, caFile = serveTLS(t, h)
	} else {
		host = serve(t, h)
	}
	return func(ref string) pullSpec {
		if r.mirror {
			return pullSpec{ref: elsewhere + "/" + ref, mirror: host, caFile: caFile}
		}
		return pullSpec{ref: host + "/" + ref, caFile: caFile}
	}
}

// onEachClient runs a test with each client, on each route that it can be led.
func onEachClient(t *testing.T, test func(*testing.T, client, route)) {
	for _, c := range clients {
		for _, r := range routes {
			if r.mirror && !c.mirrors {
				continue
			}
			t.Run(c.name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				test(t, c, r)
			})
		}
	}
}

// shelf is a registry that holds an image and an index.
type shelf struct {
	*registrytest.Registry
	repo string
	// image has the tag v1; index has the tag index, and local is its image for
	// the platform that this runs on.
	image, index, local string
}

func newShelf(t testing.TB) shelf {
	t.Helper()
	s := shelf{Registry: registrytest.New(registrytest.Options{}), repo: "team/app"}
	repo, err := name.NewRepository(elsewhere + "/" + s.repo)
	if err != nil {
		t.Fatal(err)
	}
	image, err := registrytest.PushImage(t.Context(), s.Store(), repo.Tag("v1"), registrytest.ImageOptions{Platform: platform(), Layers: 2})
	if err != nil {
		t.Fatal(err)
	}
	platforms := []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
	index, children, err := registrytest.PushIndex(t.Context(), s.Store(), repo.Tag("index"), platforms...)
	if err != nil {
		t.Fatal(err)
	}
	local := slices.IndexFunc(platforms, func(p v1.Platform) bool { return p.Equals(platform()) })
	if local < 0 {
		t.Skipf("the index has no image for %s", platform())
	}
	s.image, s.index, s.local = image.DigestStr(), index.DigestStr(), children[local].DigestStr()
	return s
}

// fetched fails the test unless the manifest of an image, its config and its
// layers have all been sent. The manifest may have been asked for by its tag.
func (s shelf) fetched(t testing.TB, image, tag string) {
	t.Helper()
	_, data, ok := s.Manifest(s.repo, image)
	var m v1.Manifest
	if !ok || json.Unmarshal(data, &m) != nil {
		t.Fatalf("no manifest %s", image)
	}
	s.sent(t, registrytest.KindManifest, image, tag)
	for _, blob := range append(m.Layers, m.Config) {
		s.sent(t, registrytest.KindBlob, blob.Digest.String())
	}
}

// sent fails the test unless content has been sent under one of the names.
func (s shelf) sent(t testing.TB, kind registrytest.Kind, names ...string) {
	t.Helper()
	if !slices.ContainsFunc(s.Requests(), func(r registrytest.Request) bool {
		return r.Method == http.MethodGet && r.Status == http.StatusOK && r.Kind == kind && slices.Contains(names, r.Ref)
	}) {
		t.Errorf("no %s %s was sent", kind, strings.Join(names, " or "))
	}
}

// Each client pulls, by tag and by digest, an image and its own platform's image
// of an index.
func TestClientsPull(t *testing.T) {
	onEachClient(t, func(t *testing.T, c client, r route) {
		for _, test := range []struct {
			name string
			ref  func(shelf) string
			// pulled is the image whose content is fetched, and tag what else it
			// may be asked for by.
			pulled func(shelf) string
			tag    string
		}{
			{"tag", func(s shelf) string { return s.repo + ":v1" }, func(s shelf) string { return s.image }, "v1"},
			{"digest", func(s shelf) string { return s.repo + "@" + s.image }, func(s shelf) string { return s.image }, ""},
			{"index", func(s shelf) string { return s.repo + ":index" }, func(s shelf) string { return s.local }, ""},
			{"index-digest", func(s shelf) string { return s.repo + "@" + s.index }, func(s shelf) string { return s.local }, ""},
		} {
			t.Run(test.name, func(t *testing.T) {
				s := newShelf(t)
				spec := r.serve(t, s)
				c.pull(t, spec(test.ref(s))).accepted(t)
				s.fetched(t, test.pulled(s), test.tag)
			})
		}
	})
}

const denial = "no-signature: no signature is attached"

// deny answers every request for a manifest as a registry does that says why.
func deny(t testing.TB) registrytest.Fault {
	t.Helper()
	body, err := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": "DENIED", "message": denial}}})
	if err != nil {
		t.Fatal(err)
	}
	return registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Reply(registrytest.Answer{
		Status: http.StatusForbidden, Header: http.Header{"Content-Type": {"application/json"}}, Body: body,
	})}
}

// Where a registry refuses, each client fails, fetches nothing, and shows why;
// the one that asks by HEAD, only with which status.
func TestClientsShowWhyTheyAreRefused(t *testing.T) {
	onEachClient(t, func(t *testing.T, c client, r route) {
		s := newShelf(t)
		s.Inject(deny(t))
		spec := r.serve(t, s)
		for _, ref := range []string{s.repo + ":v1", s.repo + "@" + s.image} {
			o := c.pull(t, spec(ref))
			t.Logf("client %s shows: %s", c.name, o.sentence())
			why := denial
			if c.headOnly {
				why = "403 Forbidden"
			}
			o.refused(t, why)
		}
		for _, got := range s.Requests() {
			if got.Kind == registrytest.KindBlob && got.Status == http.StatusOK {
				t.Errorf("%s %s was answered, although the manifest was refused", got.Method, got.Path)
			}
		}
	})
}
