package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheDemoShowsASignedAndAnUnsignedImage(t *testing.T) {
	var out, log bytes.Buffer
	if code := run(t.Context(), []string{"-demo", "-once", "-listen", "127.0.0.1:0", "-log", "error"}, &out, &log); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out.String(), log.String())
	}
	for _, says := range []string{"team/app:signed        200", "team/app:signed-index  200", "team/app:unsigned      403  DENIED", "no-signature", "crane manifest 127.0.0.1:"} {
		if !strings.Contains(out.String(), says) {
			t.Errorf("it does not say %q:\n%s", says, out.String())
		}
	}
}

func TestSettingsThatAreNotSafeAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	policy := file("policy.yaml", "version: 1\n")
	for name, x := range map[string]struct {
		args []string
		says string
	}{
		"nothing":             {nil, "-policy"},
		"no upstream":         {[]string{"-policy", policy}, "-upstream"},
		"open to the world":   {[]string{"-policy", policy, "-upstream", "registry.example", "-listen", ":5000"}, "not on loopback"},
		"half a pair":         {[]string{"-policy", policy, "-upstream", "registry.example", "-tls-cert", "x"}, "needs its key"},
		"broken policy":       {[]string{"-policy", policy, "-upstream", "registry.example"}, "keys"},
		"unknown field":       {[]string{"-config", file("a.yaml", "listn: x\n")}, "listn"},
		"unknown credentials": {[]string{"-config", file("b.yaml", demoSettings(t, file)+"credentials: all\n"), "-listen", "127.0.0.1:0"}, "Credentials"},
		"no file":             {[]string{"-config", filepath.Join(dir, "none.yaml")}, "none.yaml"},
		"no such level":       {[]string{"-policy", policy, "-upstream", "registry.example", "-log", "loud"}, "log"},
		"argument":            {[]string{"x"}, "what is"},
		"once alone":          {[]string{"-once"}, "-demo"},
		"malformed host":      {[]string{"-config", file("c.yaml", demoSettings(t, file)), "-upstream", "https://x"}, "HOST"},
	} {
		var out, log bytes.Buffer
		if code := run(t.Context(), x.args, &out, &log); code != exitUsage || !strings.Contains(log.String(), x.says) {
			t.Errorf("%s: exit %d: %s", name, code, log.String())
		}
	}
	var out, log bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, &out, &log); code != 0 || !strings.Contains(log.String(), "-upstream") {
		t.Errorf("-help: exit %d: %s", code, log.String())
	}
}

func TestAttack_P1_SettingsThatCanBeMisreadAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":              "",
		"unknown":            "listn: x\n",
		"another case":       "Listen: x\n",
		"nested, another":    "tls: {Cert: x}\n",
		"in a list, another": "upstreams: [{Registry: a.example}]\n",
		"twice":              "listen: x\nlisten: y\n",
		"twice in two cases": "listen: x\nLISTEN: y\n",
		"anchor":             "listen: &a x\n",
		"alias":              "listen: &a x\npolicy: *a\n",
		"merge":              "tls: {<<: {cert: x}}\n",
		"tag":                "listen: !!str x\n",
		"two documents":      "listen: x\n---\npolicy: y\n",
		"null":               "listen:\n",
		"number for text":    "listen: 5000\n",
		"text for number":    "maxRequests: \"5\"\n",
		"octal":              "maxRequests: 010\n",
		"hexadecimal":        "maxRequests: 0x10\n",
		"zero":               "maxRequests: 0\n",
		"zero for a list":    "upstreams: x\n",
		"a list for text":    "listen: [x]\n",
		"yes":                "store: {alwaysVerify: yes}\n",
		"flag":               "Demo: true\n",
		"aliases of aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
		"another document":   "- listen: x\n",
	} {
		var c settings
		if err := decodeYAML([]byte(text), &c); err == nil {
			t.Errorf("%s: accepted as %+v", name, c)
		}
	}
	const good = "listen: x:1 # said\nmaxRequests: 5\ntagTTL: 5s\nstore: {dir: d, alwaysVerify: true}\nupstreams:\n  - registry: a.example\n    tokenRealms: [b.example]\n"
	var c settings
	if err := decodeYAML([]byte(good), &c); err != nil || c.Listen != "x:1" || c.MaxRequests != 5 || !c.Store.AlwaysVerify || c.TagTTL == 0 || c.Upstreams[0].TokenRealms[0] != "b.example" {
		t.Errorf("%+v, %v", c, err)
	}
}

// demoSettings are the lines of a file with a good policy and an upstream.
func demoSettings(t *testing.T, file func(name, text string) string) string {
	t.Helper()
	hosted := registrytest.New(registrytest.Options{})
	dir := t.TempDir()
	must(t, fill(t.Context(), hosted, dir))
	public, err := os.ReadFile(filepath.Join(dir, "release.pub"))
	must(t, err)
	file("release.pub", string(public))
	file("good.yaml", demoPolicy)
	return "policy: good.yaml\nupstreams: [{registry: demo.example, address: " + registrytest.Start(t, hosted) + "}]\n"
}

// running is a server that a test has started.
type running struct {
	address string
	dir     string
	stop    func() error
	hosted  *registrytest.Registry
}

// start starts the server with the demo's images.
func start(t *testing.T, change func(dir string, c *settings)) *running {
	t.Helper()
	r := &running{dir: t.TempDir(), hosted: registrytest.New(registrytest.Options{})}
	must(t, fill(t.Context(), r.hosted, r.dir))
	c := settings{Listen: "127.0.0.1:0", Policy: filepath.Join(r.dir, "policy.yaml"), Upstreams: []upstreamSettings{{Registry: demoRegistry, Address: registrytest.Start(t, r.hosted)}}}
	if change != nil {
		change(r.dir, &c)
	}
	must(t, c.check())
	log := slog.New(slog.DiscardHandler)
	source, err := verify.NewFileSource(c.Policy, verify.FileSourceOptions{Interval: time.Millisecond})
	must(t, err)
	g, err := c.gate(log)
	must(t, err)
	g.Verifier = source
	s, err := newServer(c, log, source, g)
	must(t, err)
	started, ended := make(chan string, 1), make(chan error, 1)
	s.started = func(address string) { started <- address }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- s.run(ctx) }()
	select {
	case r.address = <-started:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	r.stop = func() error {
		cancel()
		return <-ended
	}
	t.Cleanup(cancel)
	return r
}

func status(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	resp, err := client.Get(url)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	must(t, err)
	return resp.StatusCode
}

func TestAPolicyThatChangesHoldsForTheNextRequest(t *testing.T) {
	r := start(t, nil)
	signed, unsigned := "http://"+r.address+"/v2/team/app/manifests/signed", "http://"+r.address+"/v2/team/app/manifests/unsigned"
	if got := []int{status(t, http.DefaultClient, signed), status(t, http.DefaultClient, unsigned)}; got[0] != 200 || got[1] != 403 {
		t.Fatalf("%v", got)
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "policy.yaml"), []byte(strings.Replace(demoPolicy, "    require:", "    mode: warn\n    require:", 1)), 0o600))
	time.Sleep(5 * time.Millisecond)
	if got := status(t, http.DefaultClient, unsigned); got != 200 {
		t.Errorf("after the change: %d", got)
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "policy.yaml"), []byte("broken"), 0o600))
	time.Sleep(5 * time.Millisecond)
	if got := status(t, http.DefaultClient, signed); got != 200 {
		t.Errorf("with a broken file: %d", got)
	}
	must(t, r.stop())
}

func TestRunningPullsEndBeforeTheServerDoes(t *testing.T) {
	r := start(t, nil)
	r.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: "signed", Do: registrytest.Delay(400 * time.Millisecond)})
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Get("http://" + r.address + "/v2/team/app/manifests/signed")
		if err != nil {
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	time.Sleep(100 * time.Millisecond)
	must(t, r.stop())
	if got := <-answered; got != http.StatusOK {
		t.Errorf("%d", got)
	}
}

func TestTheWatchersAreAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	admin := l.Addr().String()
	must(t, l.Close())
	r := start(t, func(_ string, c *settings) { c.Admin = admin })
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := status(t, http.DefaultClient, "http://"+admin+path); got != http.StatusOK {
			t.Errorf("%s: %d", path, got)
		}
	}
	if got := status(t, http.DefaultClient, "http://"+r.address+"/healthz"); got != http.StatusNotFound {
		t.Errorf("the gate itself answers /healthz: %d", got)
	}
	must(t, r.stop())
}

// certify writes a certificate for 127.0.0.1 and returns its serial number.
func certify(t *testing.T, dir string) (pool *x509.CertPool, serial *big.Int) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	serial, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{SerialNumber: serial, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	pool = x509.NewCertPool()
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	pool.AddCert(leaf)
	return pool, serial
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	var pool *x509.CertPool
	r := start(t, func(dir string, c *settings) {
		pool, _ = certify(t, dir)
		c.TLS = tlsSettings{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if got := status(t, client, "https://"+r.address+"/v2/team/app/manifests/signed"); got != http.StatusOK {
		t.Errorf("%d", got)
	}
	c := &certificate{c: tlsSettings{filepath.Join(r.dir, "tls.crt"), filepath.Join(r.dir, "tls.key")}, log: slog.New(slog.DiscardHandler)}
	first, err := c.get(nil)
	must(t, err)
	must(t, os.WriteFile(c.c.Cert, []byte("broken"), 0o600))
	c.looked = time.Time{}
	if kept, err := c.get(nil); err != nil || kept != first {
		t.Errorf("a broken file: %v", err)
	}
	_, serial := certify(t, r.dir)
	must(t, os.Chtimes(c.c.Cert, time.Now(), time.Now().Add(time.Minute)))
	c.looked = time.Time{}
	second, err := c.get(nil)
	must(t, err)
	if leaf, err := x509.ParseCertificate(second.Certificate[0]); err != nil || leaf.SerialNumber.Cmp(serial) != 0 {
		t.Errorf("the new one is not used: %v", err)
	}
	must(t, r.stop())
}

func TestTheAuditLogIsAppendedTo(t *testing.T) {
	dir := t.TempDir()
	text := demoSettings(t, func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	})
	must(t, os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(text+"audit: audit.jsonl\nstore: {dir: store}\ngrace: 1s\ntagTTL: 5s\n"), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		go func() {
			ended <- run(ctx, []string{"-config", filepath.Join(dir, "gate.yaml"), "-listen", address, "-log", "error"}, io.Discard, io.Discard)
		}()
		for range 200 {
			if resp, err := http.Get("http://" + address + "/v2/"); err == nil {
				_ = resp.Body.Close()
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := status(t, http.DefaultClient, "http://"+address+"/v2/team/app/manifests/unsigned"); got != http.StatusForbidden {
			t.Errorf("%d", got)
		}
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("exit %d", code)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	must(t, err)
	if lines := strings.Split(strings.TrimSpace(string(log)), "\n"); len(lines) != 2 || !strings.Contains(lines[0], `"event":"denied"`) || !strings.Contains(lines[1], `"reason":"no-signature"`) {
		t.Errorf("%s", log)
	}
}

func TestCredentialsGoToTheTokenServicesThatTheSettingsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.yaml")
	must(t, os.WriteFile(path, []byte("upstreams:\n  - {registry: docker.io, tokenRealms: [login.example, 'login.example:8443']}\n  - {registry: a.example, address: 'b.internal:5000', tokenRealms: [c.example]}\n  - {registry: d.example}\n"), 0o600))
	c, err := readSettings(path)
	must(t, err)
	g, err := c.gate(slog.New(slog.DiscardHandler))
	must(t, err)
	want := map[string][]string{"index.docker.io": {"login.example", "login.example:8443"}, "b.internal:5000": {"c.example"}}
	if !maps.EqualFunc(g.Client.TokenRealms, want, slices.Equal) || len(g.Upstreams) != 3 {
		t.Errorf("%v", g.Client.TokenRealms)
	}
	c.Upstreams[0].Address = "a/b"
	if _, err := c.gate(slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a malformed host has token services")
	}
}

// Clients beyond the bound wait until others have gone.
func TestAttack_P11_ConnectionsAreBounded(t *testing.T) {
	r := start(t, func(_ string, c *settings) { c.MaxConnections = 4 })
	// from asks as a client of an address of its own.
	from := func(n byte) net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, n)}}).Dial("tcp", r.address)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /v2/ HTTP/1.1\r\nHost: gate\r\n\r\n")
		must(t, err)
		return conn
	}
	answered := func(conn net.Conn, within time.Duration) bool {
		must(t, conn.SetReadDeadline(time.Now().Add(within)))
		n, _ := conn.Read(make([]byte, 100))
		return n > 0
	}
	const long = 20 * time.Second
	first := from(2)
	if !answered(first, long) {
		t.Fatal("the first connection is not served")
	}
	if again := from(2); answered(again, long) {
		t.Error("one client has more than a quarter of the connections")
	}
	for n := byte(3); n <= 5; n++ {
		if !answered(from(n), long) {
			t.Fatalf("client %d is kept out", n)
		}
	}
	late := from(6)
	if answered(late, 100*time.Millisecond) {
		t.Error("a fifth connection is served")
	}
	must(t, first.Close())
	if !answered(late, long) {
		t.Error("a free place is not given away")
	}
	// All places are taken; the server still ends.
	began := time.Now()
	must(t, r.stop())
	if took := time.Since(began); took > long {
		t.Errorf("to end took %v", took)
	}
}
