package verify_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const freeze = "version: 1\nrules:\n  - images: [\"**\"]\n    deny: true\n    reason: frozen until the incident is over\n"

func TestAttack_T1_AFreezeNeedsNoKey(t *testing.T) {
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	for label, text := range map[string]string{
		"without keys":   freeze,
		"with no keys":   strings.Replace(freeze, "rules:", "keys: {}\nroles: {}\nrules:", 1),
		"of two rules":   freeze + "  - images: [registry.example/team/**]\n    deny: true\n    reason: frozen\n",
		"with keys":      strings.Replace(policyText, "    require:\n      - signature: {by: release}\n", "    deny: true\n    reason: frozen\n", 1),
		"keys, no roles": strings.Replace(without(policyText, "roles"), "    require:\n      - signature: {by: release}\n", "    deny: true\n    reason: frozen\n", 1),
		"in JSON":        `{"version": 1, "rules": [{"images": ["**"], "deny": true, "reason": "frozen"}]}`,
	} {
		w := newWorld(t)
		w.sign(w.image, both, a, b, c)
		p, err := policy.Load(written(t, text, a, b, c), policy.ParseOptions{})
		if err != nil {
			t.Errorf("%s: %v", label, err)
			continue
		}
		v, err := verify.New(p, verify.Options{})
		if err != nil {
			t.Fatalf("%s: %v", label, err)
		}
		res, err := v.Image(context.Background(), w.store, w.image)
		isDenied(t, res, err, verify.ReasonDeniedByRule)
		if res, err := v.Blob(context.Background(), strings.NewReader("x")); res != nil || err == nil {
			t.Errorf("%s: a file: %v, %v", label, res, err)
		}
	}
}

func TestAttack_T1_APolicyThatDoesNotDenyEverythingNeedsKeys(t *testing.T) {
	for label, text := range map[string]string{
		"no rules":       "version: 1\n",
		"empty rules":    "version: 1\nrules: []\n",
		"files":          freeze + "files: [{signature: {by: release}}]\n",
		"one that asks":  freeze + "  - images: [registry.example/team/**]\n    require: [{signature: {by: release}}]\n",
		"of the config":  freeze + "  - images: [registry.example/team/**]\n    require: [{config: {nonRoot: true}}]\n",
		"an empty role":  strings.Replace(freeze, "rules:", "roles: {release: {keys: []}}\nrules:", 1),
		"no reason":      strings.Replace(freeze, "    reason: frozen until the incident is over\n", "", 1),
		"denies nothing": strings.Replace(freeze, "    deny: true\n    reason: frozen until the incident is over\n", "", 1),
	} {
		_, err := policy.Parse([]byte(text), policy.ParseOptions{})
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", label, err)
		}
	}
}

// A freeze holds from the next look at the file on, also for what was allowed before
// and is remembered.
func TestAttack_T1_AFreezeEndsWhatAnEarlierPolicyAllowed(t *testing.T) {
	w := newWorld(t)
	a := newPerson(t)
	w.sign(w.image, both, a)
	path := written(t, policyText, a, newPerson(t), newPerson(t))
	cache := verify.NewMemoryCache(verify.MemoryCacheOptions{})
	clock := now
	s, err := verify.NewFileSource(path, verify.FileSourceOptions{Options: verify.Options{Cache: cache, Now: func() time.Time { return clock }}})
	if err != nil {
		t.Fatal(err)
	}
	judged := func() (*verify.Result, error) {
		t.Helper()
		v, err := s.Verifier(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return v.Image(context.Background(), w.store, w.image)
	}
	for range 2 {
		if _, err := judged(); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := s.Verifier(context.Background())
	if err := os.WriteFile(path, []byte(freeze), 0o600); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(3 * time.Second)
	res, err := judged()
	isDenied(t, res, err, verify.ReasonDeniedByRule)
	if after, _ := s.Verifier(context.Background()); s.Err() != nil || after.Generation() == before.Generation() || after.PolicyDigest() == before.PolicyDigest() {
		t.Errorf("the freeze is no other generation: %v", s.Err())
	}
}
