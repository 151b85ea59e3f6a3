package verify_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Whenever the caller gives up, the answer is that it gave up, and no decision;
// and nothing of it is remembered.
func TestCancellationAtEveryReadIsNoDecision(t *testing.T) {
	w := newWorld(t)
	tag := w.repo.Tag("index")
	index, _, err := registrytest.PushIndex(t.Context(), w.store, tag)
	if err != nil {
		t.Fatal(err)
	}
	w.sign(index, both, w.trusted)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy()
	p.Rules[0].Require = append(p.Rules[0].Require, policy.Requirement{Config: &policy.ConfigRequirement{NoPrivilegedPorts: true}})
	reads := registrytest.TestCancellation(t, func() registry.Store { return w.store }, func(ctx context.Context, store registry.Store) error {
		v, err := verify.New(p, verify.Options{Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})})
		if err != nil {
			return err
		}
		res, err := v.Image(ctx, store, tag)
		var denied *verify.Error
		if (res == nil) == (err == nil) || errors.As(err, &denied) {
			t.Errorf("%v, %v", res, err)
		}
		if err != nil { // the next caller is not told what this one's end has caused
			if _, err := v.Image(t.Context(), w.store, tag); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		}
		return err
	})
	// The tag, .sig, the referrers and what they list, the index, two manifests
	// and two configs; a .sig that counts may spare some of it.
	if reads < 7 {
		t.Errorf("only %d reads", reads)
	}
}
