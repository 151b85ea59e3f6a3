package verify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestEachExcusedVulnerabilityIsListedOnce(t *testing.T) {
	x := &excuses{}
	for _, id := range []string{"CVE-1", "CVE-2", "CVE-1"} {
		x.use(found{id: id}, Excused{By: ExcusedByPolicy})
	}
	if len(x.used) != 2 || x.used[0].ID != "CVE-1" || x.used[1].ID != "CVE-2" {
		t.Errorf("%+v", x.used)
	}
}

func TestExcusedVulnerabilitiesAreListedUpToABound(t *testing.T) {
	x := &excuses{}
	for i := range maxExcused + 1 {
		x.use(found{id: strings.Repeat("1", 1+i%100) + strings.Repeat("2", i/100)}, Excused{By: ExcusedByPolicy})
	}
	if len(x.used) != maxExcused {
		t.Errorf("%d are listed", len(x.used))
	}
	if text := x.words(); !strings.HasSuffix(text, " and 495 more") {
		t.Errorf("%.200q", text)
	}
	(*excuses)(nil).use(found{id: "CVE-1"}, Excused{})
}

func TestAMomentInTheFutureIsWithinNoAge(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	c := &circumstances{now: now, skew: time.Minute}
	_, p := c.withinAge(moment{path: "made", time: now.Add(time.Hour)}, policy.Duration(24*time.Hour))
	if p == nil || p.reason != ReasonFuture {
		t.Errorf("%+v", p)
	}
	until, p := c.withinAge(moment{path: "made", time: now.Add(time.Second)}, policy.Duration(time.Hour))
	if p != nil || !until.Equal(now.Add(time.Hour+time.Second)) {
		t.Errorf("%v, %+v", until, p)
	}
}

func TestExpressionsGetNoDocumentThatIsNotJSON(t *testing.T) {
	d := document{tagValue: true}
	var v policy.ExpressionVariables
	if err := d.variables(&circumstances{})(&v); err == nil || v.Predicate != nil {
		t.Errorf("%v, %v", v.Predicate, err)
	}
}

func TestWithoutExemptionsNoImageHasAny(t *testing.T) {
	digest, err := name.NewDigest("registry.example/team/app@sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	var none *exemptions
	if got := none.about(digest); got != nil {
		t.Errorf("%v", got)
	}
}

func TestRevokedSignersAreFoundBelowAGroupAndByIdentities(t *testing.T) {
	signature := &policy.SignatureRequirement{}
	leaf := &need{signature: signature, role: &role{keys: map[string]bool{"house": true}}}
	group := &need{children: []*need{{signature: signature, role: &role{keys: map[string]bool{"other key": true}}}, leaf}}
	identities := []*trustedKey{{id: "house"}}
	for label, c := range map[string]struct {
		by   signatory
		want string
	}{
		"a key of the role":               {signatory{id: "house", name: "house"}, "the revoked key house has signed"},
		"a key of no role":                {signatory{id: "x", name: "x"}, ""},
		"an identity, for a role of such": {signatory{id: "gone", name: "gone", principal: "jane"}, "the revoked key gone has signed"},
	} {
		x := exempting{
			evaluation: &evaluation{log: &ledger{revoked: []fact{{by: c.by}}}},
			policy:     &compiled{identities: identities},
		}
		if got := x.revoked(group); got != c.want {
			t.Errorf("%s: %q, want %q", label, got, c.want)
		}
	}
}

// failing is a source of policies, and an authority, that says why it is not renewed.
type failing struct {
	policy.ChangingAuthority
	err error
}

func (failing) Policy(context.Context) (*policy.Checked, error) { return nil, nil }

func (f failing) Err() error { return f.err }

func TestSourcesTellWhyPoliciesAndTrustAreNotRenewed(t *testing.T) {
	refused, stale := errors.New("refused"), errors.New("stale")
	f := &following{from: failing{err: refused}}
	if err := f.Err(); !errors.Is(err, refused) || errors.Is(err, stale) {
		t.Errorf("before the first policy: %v", err)
	}
	f.of = &policy.Checked{Changing: []policy.ChangingAuthority{failing{err: stale}}}
	if err := f.Err(); !errors.Is(err, refused) || !errors.Is(err, stale) {
		t.Errorf("with an authority that is stale: %v", err)
	}
	if err := (&following{from: failing{}, of: &policy.Checked{Changing: []policy.ChangingAuthority{failing{}}}}).Err(); err != nil {
		t.Error(err)
	}
}
