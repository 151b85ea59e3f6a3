package gate_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// A policy whose rules all deny ends what the gate has allowed, at its next look.
func TestAttack_T1_AFreezeClosesTheGateAtOnce(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "policy.yaml")
	write := func(name, text string) { must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
	der, err := x509.MarshalPKIXPublicKey(s.signer.Public())
	must(t, err)
	write("a.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	write("policy.yaml", "version: 1\nkeys: {a: {file: a.pub}}\nroles: {release: {keys: [a]}}\nrules:\n  - {images: [\"**\"], require: [{signature: {by: release}}]}\n")
	clock := &later{}
	source, err := verify.NewFileSource(path, verify.FileSourceOptions{Options: verify.Options{
		Now: clock.now, Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{}), AllowedTTL: time.Hour,
	}})
	must(t, err)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier, c.Now = source, clock.now })
	layer := blobPath(s.parts(s.signed)[1])
	for range 2 {
		s.passes("signed")
		s.passes(s.signed.DigestStr())
		s.serves(layer)
	}
	write("policy.yaml", "version: 1\nrules:\n  - {images: [\"**\"], deny: true, reason: frozen until the incident is over}\n")
	clock.pass(3 * time.Second)
	for _, path := range []string{"/v2/team/app/manifests/signed", "/v2/team/app/manifests/" + s.signed.DigestStr(), layer} {
		if r := s.get(path); r.status == http.StatusOK {
			t.Errorf("%s passes in a freeze", path)
		}
	}
	if r := s.get("/v2/team/app/manifests/signed"); r.status != http.StatusForbidden || !strings.Contains(r.message(), "frozen until the incident is over") {
		t.Errorf("%d %s", r.status, r.message())
	}
}
