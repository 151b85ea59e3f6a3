package gate_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const (
	soakImages   = 8 // of each kind
	soakClients  = 12
	soakRequests = 120 // of each client
)

// soakFaults are what the upstream does to some requests.
var soakFaults = []registrytest.Effect{
	registrytest.Status(500), registrytest.Status(503, "Retry-After", "1"), registrytest.Status(429), registrytest.Status(401),
	registrytest.HangUp(), registrytest.Truncate(100), registrytest.FlipByte(), registrytest.WrongDigestHeader(),
	registrytest.Delay(3 * time.Millisecond), registrytest.Hide(), registrytest.ReplaceBody([]byte("evil")), registrytest.DropHeader("Content-Type"),
	registrytest.Drip(1000, time.Millisecond), registrytest.GzipBomb(1 << 20), registrytest.RedirectLoop(), registrytest.Endless(),
}

// soak is many clients before one gate.
type soak struct {
	*scene
	good, bad []string // paths; only the good may be served
}

// Whatever the upstream does, whichever client gives up half-way, and while the policy
// changes: nothing unverified is ever served, nothing arrives that is not what its
// digest says, and once the upstream is well again all is as it should be.
func TestAttack_P9_ASoakWithFaultsLetsNothingThrough(t *testing.T) {
	policies := &replaceable{}
	s := &soak{scene: newScene(t, registrytest.Options{}, func(c *gate.Config) {
		c.Verifier, c.TagTTL, c.MissingTTL = policies, time.Millisecond, time.Millisecond
		c.Client.StallTimeout = 200 * time.Millisecond
		held, err := store.Open(t.TempDir(), store.Options{MaxBytes: 1 << 20})
		must(t, err)
		c.Store = held
	}, verify.Options{DeniedTTL: time.Millisecond})}
	both := []*verify.Verifier{s.verifier(nil), s.verifier(func(p *policy.Policy) { p.Serial = 2 })}
	policies.set(both[0])
	s.fill()

	ctx, cancel := context.WithCancel(t.Context())
	var trouble, clients sync.WaitGroup
	trouble.Go(func() { s.makeTrouble(ctx, policies, both) })
	for i := range soakClients {
		clients.Go(func() { s.client(rand.New(rand.NewPCG(3, uint64(i)))) })
	}
	clients.Wait()
	cancel()
	trouble.Wait()

	time.Sleep(2 * time.Second) // what a Retry-After has asked for is over
	for _, path := range s.good {
		if r := s.get(path); r.status != http.StatusOK || r.err != nil {
			t.Errorf("%s afterwards: %d %s %v", path, r.status, r.body, r.err)
		}
	}
	for _, path := range s.bad {
		if r := s.get(path); r.status == http.StatusOK {
			t.Errorf("%s afterwards: served", path)
		}
	}
}

// fill pushes images, signs half of them, and notes their paths.
func (s *soak) fill() {
	for i := range 2 * soakImages {
		tag := s.repo.Tag(fmt.Sprintf("soak-%d", i))
		digest, err := registrytest.PushImage(s.t.Context(), s.store, tag, registrytest.ImageOptions{Seed: fmt.Sprint(i), LayerSize: 40 << 10})
		must(s.t, err)
		paths := &s.bad
		if i < soakImages {
			s.scene.sign(digest)
			paths = &s.good
		}
		*paths = append(*paths, s.paths(tag, digest)...)
	}
}

func (s *soak) paths(tag name.Tag, digest name.Digest) []string {
	all := []string{"/v2/team/app/manifests/" + tag.TagStr(), "/v2/team/app/manifests/" + digest.DigestStr()}
	for _, d := range s.parts(digest) {
		all = append(all, blobPath(d))
	}
	return all
}

// makeTrouble injects faults for a few milliseconds each, and changes the policy.
func (s *soak) makeTrouble(ctx context.Context, policies *replaceable, all []*verify.Verifier) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 0; ctx.Err() == nil; n++ {
		remove := s.hosted.Inject(registrytest.Fault{
			Match: func(registrytest.Request) bool { return rand.IntN(3) == 0 }, Do: soakFaults[r.IntN(len(soakFaults))],
		})
		time.Sleep(time.Duration(1+r.IntN(8)) * time.Millisecond)
		remove()
		if n%10 == 0 {
			policies.set(all[n/10%len(all)])
		}
	}
}

// client asks for good and bad paths in any order, and sometimes gives up.
func (s *soak) client(r *rand.Rand) {
	for range soakRequests {
		good := r.IntN(2) == 0
		from := s.bad
		if good {
			from = s.good
		}
		s.one(r, from[r.IntN(len(from))], good)
	}
}

func (s *soak) one(r *rand.Rand, path string, good bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if r.IntN(5) == 0 {
		time.AfterFunc(time.Duration(r.IntN(5000))*time.Microsecond, cancel)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+path, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	resp, err := s.server.Client().Do(req)
	if err != nil {
		return // it gave up, or the gate broke off: nothing was served
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || err != nil {
		return
	}
	if !good {
		s.t.Errorf("%s is not verified, and was served", path)
	}
	_, want, byDigest := strings.Cut(path, "sha256:")
	if sum := sha256.Sum256(body); byDigest && hex.EncodeToString(sum[:]) != want {
		s.t.Errorf("%s: %d bytes that are not those", path, len(body))
	}
}
