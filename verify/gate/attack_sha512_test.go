package gate_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// What the policy denies by SHA-256 is not reached by SHA-512: of an image, of evidence, nor
// by any method or range.
func TestAttack_P3_ADeniedBlobIsNotReachedBySHA512(t *testing.T) {
	denied, other := []byte(`{"denied":1}`), []byte(`{"other":1}`)
	name512 := func(content []byte) string { return fmt.Sprintf("sha512:%x", sha512.Sum512(content)) }
	for what, open := range map[string]bool{"listed": false, "open": true} {
		s := newScene(t, registrytest.Options{}, nil)
		s.hosted.PutBlob("team/app", []byte("{}"))
		for _, c := range [][]byte{denied, other} {
			s.hosted.PutBlobAs("team/app", name512(c), c)
		}
		layer := func(c []byte, mediaType string) map[string]any {
			return map[string]any{"mediaType": mediaType, "size": len(c), "digest": name512(c)}
		}
		put := func(mediaType string, subject any, layers ...any) string {
			m := map[string]any{"mediaType": manifestType, "config": within(t, emptyType, []byte("{}")), "layers": layers}
			if subject != nil {
				m["subject"] = subject
			}
			return s.put(m)
		}
		image := put(layerType, nil, layer(denied, layerType), layer(other, layerType))
		s.sign(s.repo.Digest(image))
		about := piece{manifestType, s.signed.DigestStr(), 1}
		bad := put("", about, layer(denied, "application/json"))
		good := put("", about, layer(other, "application/json"))
		s.server.Close()
		s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
			c.InsecureOpenBlobs = open
			c.Verifier = s.verifier(func(p *policy.Policy) {
				p.DenyDigests = []policy.DeniedDigest{{Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(denied)), Reason: "x"}}
			})
		})
		for _, ref := range []string{image, bad, good} {
			s.get(manifestPath + ref)
		}
		for range 2 {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				for _, header := range [][]string{nil, {"Range", "bytes=0-3"}, {"Range", "bytes=-2"}, {"If-None-Match", `"` + name512(denied) + `"`}} {
					if r := s.ask(method, "/v2/team/app/blobs/"+name512(denied), header...); r.status != http.StatusForbidden {
						t.Errorf("%s: %s %v: %d %q", what, method, header, r.status, r.body)
					}
				}
			}
			if r := s.get("/v2/team/app/blobs/" + name512(other)); r.status != http.StatusOK || string(r.body) != string(other) {
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
		list := string(s.serves("/v2/team/app/referrers/" + s.signed.DigestStr()).body)
		if strings.Contains(list, bad) || !strings.Contains(list, good) {
			t.Errorf("%s: %s", what, list)
		}
	}
}
