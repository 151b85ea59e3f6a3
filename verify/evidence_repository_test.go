package verify_test

import (
	"errors"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func apart(t testing.TB) name.Repository {
	t.Helper()
	repo, err := name.NewRepository("registry.example/evidence/of-all", name.StrictValidation)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestEvidenceRepository_HoldsEveryFormat(t *testing.T) {
	for _, format := range both.Formats {
		w := newWorld(t)
		signed := w.sign(w.image, sign.ImageOptions{Formats: []registry.Format{format}, EvidenceRepository: apart(t)}, w.trusted)
		if at := signed.Signatures[0].Evidence.Context(); at != apart(t) {
			t.Errorf("%s: written to %s", format, at)
		}
		again := w.sign(w.image, sign.ImageOptions{Formats: []registry.Format{format}, EvidenceRepository: apart(t)}, w.trusted)
		if !again.Signatures[0].Existed {
			t.Errorf("%s: was added a second time", format)
		}
		w.denied(policy.Signatures{}, verify.ReasonNoSignature)
		w.verified(policy.Signatures{EvidenceRepository: apart(t).Name()})
		v, err := verify.New((policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}).Policy(), verify.Options{EvidenceRepository: apart(t)})
		if err != nil {
			t.Fatal(err)
		}
		if res, err := v.Image(t.Context(), w.store, w.image); err != nil || res.Digest != w.image {
			t.Errorf("%s: %v, %v", format, res, err)
		}
	}
}

func TestAttack_E2_EvidenceBesideTheImageDoesNotCountApart(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, both, w.trusted)
	w.denied(policy.Signatures{EvidenceRepository: apart(t).Name()}, verify.ReasonNoSignature)
}

func TestAttack_E1_EvidenceApartIsBoundToItsDigest(t *testing.T) {
	w := newWorld(t)
	o := both
	o.EvidenceRepository = apart(t)
	another := w.push()
	w.sign(another, o, w.trusted)
	for item, err := range registry.Evidence(t.Context(), w.store, registry.EvidenceIn(apart(t), another), registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		item.Repository = apart(t)
		w.attach(w.image, item)
	}
	w.denied(policy.Signatures{EvidenceRepository: apart(t).Name()}, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject, verify.ReasonWrongSubject)
}

func TestAttack_E12_EvidenceApartThatCannotBeReadIsNoVerdict(t *testing.T) {
	w := newWorld(t)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1, EvidenceRepository: apart(t).Name()}
	v, err := verify.New(p.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Image(t.Context(), liar{Store: w.store, referrersErr: &registry.Error{Op: "list", Kind: registry.ErrUnavailable}}, w.image)
	var undecided *verify.UndecidedError
	if !errors.As(err, &undecided) {
		t.Errorf("%v", err)
	}
}

func TestEvidenceRepository_IsPartOfWhatDecisionsAreKeptUnder(t *testing.T) {
	w := newWorld(t)
	cache := verify.NewMemoryCache(verify.MemoryCacheOptions{})
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}
	w.sign(w.image, sign.ImageOptions{EvidenceRepository: apart(t)}, w.trusted)
	there, err := verify.New(p.Policy(), verify.Options{EvidenceRepository: apart(t), Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	here, err := verify.New(p.Policy(), verify.Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	if there.Generation() == here.Generation() {
		t.Error("one generation for two places of evidence")
	}
	for range 2 {
		if _, err := there.Image(t.Context(), w.store, w.image); err != nil {
			t.Error(err)
		}
		res, err := here.Image(t.Context(), w.store, w.image)
		isDenied(t, res, err, verify.ReasonNoSignature)
	}
	named := p
	named.EvidenceRepository = apart(t).Name()
	third, err := verify.New(named.Policy(), verify.Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	if third.PolicyDigest() == here.PolicyDigest() {
		t.Error("one digest for two policies")
	}
}

func TestEvidenceRepository_MustBeWhole(t *testing.T) {
	w := newWorld(t)
	for _, wrong := range []string{"evidence", "registry.example", "registry.example/Upper", "registry.example/a:tag", "https://registry.example/a"} {
		p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1, EvidenceRepository: wrong}
		if _, err := verify.New(p.Policy(), verify.Options{}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	freeze := &policy.Policy{Version: 1, Rules: []policy.Rule{{Images: []string{"**"}, Deny: true, Reason: "x", EvidenceRepository: "registry.example/evidence"}}}
	if _, err := verify.New(freeze, verify.Options{}); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("of a rule that denies: %v", err)
	}
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1, EvidenceRepository: "registry.example/evidence"}
	v, err := verify.New(p.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e := v.Explain(w.repo); e.EvidenceRepository != "registry.example/evidence" {
		t.Errorf("explained as %+v", e)
	}
}
