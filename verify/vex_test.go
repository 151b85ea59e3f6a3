package verify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// vexWorld has a verifier that believes OpenVEX documents by a about scans by c.
type vexWorld struct {
	*world
	a, c person
	v    *verify.Verifier
	at   time.Time
}

func newVEXWorld(t *testing.T, more string) *vexWorld {
	t.Helper()
	x := &vexWorld{world: newWorld(t), a: newPerson(t), c: newPerson(t), at: now}
	text := strings.Replace(policyText, signatureRequired, "attestation: {type: vulns, by: builder, maxSeverity: low, vexBy: release"+more+"}", 1)
	v, err := verify.New(loaded(t, text, x.a, newPerson(t), x.c), verify.Options{Now: func() time.Time { return x.at }})
	if err != nil {
		t.Fatal(err)
	}
	x.v = v
	return x
}

// bundled is a statement about the image.
func (x *vexWorld) bundled(s says, by person) []byte {
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[%s],"predicate":%s}`, s.uri, about(x.image), s.text)
	return bundleItem(x.t, dsse.PayloadTypeInToto, payload, by).Payload
}

// dated is a document of another time than recently.
func dated(s says, at string) says {
	return says{s.uri, strings.Replace(s.text, recently, at, 1)}
}

// named is a document about a vulnerability of other names.
func named(s says, name string, aliases ...string) says {
	const before = `{"name":"GHSA-x","aliases":["CVE-2026-0001"]}`
	about, _ := json.Marshal(map[string]any{"name": name, "aliases": aliases})
	return says{s.uri, strings.Replace(s.text, before, string(about), 1)}
}

const (
	earlierOn = "2026-11-20T12:00:00Z"
	later     = "2026-11-22T18:00:00Z"
	tomorrow  = "2026-11-25T12:00:00Z"
)

// In whichever order evidence is found, the latest statement about a vulnerability
// counts.
func TestAttack_E12_LatestVulnerabilityStatementCountsInAnyOrder(t *testing.T) {
	x := newVEXWorld(t, "")
	found := x.bundled(scanWith("high", recently), x.c)
	document := func(s says) []byte { return x.bundled(s, x.a) }
	inDocument := strings.Replace(vex("not_affected").text, `"statements":[{`, `"statements":[{"timestamp":"`+later+`",`, 1)
	updated := strings.Replace(vex("not_affected").text, `"version":1`, `"version":2,"last_updated":"`+later+`"`, 1)
	for label, c := range map[string]struct {
		documents []says
		excused   bool
	}{
		"none":                                 {nil, false},
		"one that excuses":                     {[]says{vex("not_affected")}, true},
		"an update of what was not yet known":  {[]says{dated(vex("under_investigation"), earlierOn), vex("not_affected")}, true},
		"a doubt that came later":              {[]says{vex("not_affected"), dated(vex("affected"), later)}, false},
		"a doubt of the same time":             {[]says{vex("not_affected"), vex("affected")}, false},
		"a doubt that was resolved":            {[]says{dated(vex("not_affected"), earlierOn), vex("affected"), dated(vex("fixed"), later)}, true},
		"a statement with a time of its own":   {[]says{vex("affected"), {predicate.TypeOpenVEX, inDocument}}, true},
		"a document that says it was updated":  {[]says{vex("affected"), {predicate.TypeOpenVEX, updated}}, true},
		"an update before the document itself": {[]says{vex("affected"), {predicate.TypeOpenVEX, strings.Replace(dated(vex("not_affected"), later).text, `"version":1`, `"version":2,"last_updated":"`+earlierOn+`"`, 1)}}, true},
		"one from the future excuses nothing":  {[]says{dated(vex("not_affected"), tomorrow)}, false},
		"a doubt from the future is a doubt":   {[]says{vex("not_affected"), dated(vex("affected"), tomorrow)}, false},
		"about another vulnerability":          {[]says{{predicate.TypeOpenVEX, strings.ReplaceAll(vex("not_affected").text, "CVE-2026-0001", "CVE-2026-0002")}}, false},
		"a doubt about its other name":         {[]says{vex("not_affected"), named(dated(vex("affected"), later), "GHSA-x")}, false},
		"a doubt of old about its other name":  {[]says{vex("not_affected"), named(dated(vex("affected"), earlierOn), "GHSA-x")}, true},
		"a doubt by way of a third name":       {[]says{vex("not_affected"), named(dated(vex("fixed"), earlierOn), "GHSA-x", "OSV-1"), named(dated(vex("affected"), later), "OSV-1")}, false},
		"an excuse of its other name alone":    {[]says{dated(vex("affected"), earlierOn), named(dated(vex("fixed"), later), "GHSA-x")}, false},
		"the same one, several times and ways": {[]says{vex("not_affected"), vex("not_affected"), dated(vex("fixed"), later)}, true},
	} {
		pieces := [][]byte{found}
		for _, s := range c.documents {
			pieces = append(pieces, document(s))
		}
		for _, order := range orders(len(pieces)) {
			var given [][]byte
			for _, i := range order {
				given = append(given, pieces[i])
			}
			res, err := x.v.Bundles(context.Background(), x.image, given...)
			if c.excused != (err == nil) {
				t.Fatalf("%s, in the order %v: %+v, %v", label, order, res, err)
			}
			if err != nil {
				isDenied(t, res, err, verify.ReasonVulnerable)
			}
		}
	}
}

// orders are all of them.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, rest := range orders(n - 1) {
		for at := range n {
			order := append([]int{}, rest[:at]...)
			all = append(all, append(append(order, n-1), rest[at:]...))
		}
	}
	return all
}

// A doubt that cannot be dated, or whose subject is unknown, is not
// passed over for an older excuse.
func TestAttack_E12_DoubtsThatAreNotUnderstoodAreDoubts(t *testing.T) {
	x := newVEXWorld(t, "")
	found, excuse := x.bundled(scanWith("high", recently), x.c), x.bundled(dated(vex("not_affected"), earlierOn), x.a)
	affected := dated(vex("affected"), later).text
	const vulnerability = `{"name":"GHSA-x","aliases":["CVE-2026-0001"]}`
	for label, text := range map[string]string{
		"as it should be":             affected,
		"a time that is none":         strings.Replace(affected, later, "2026-11-22 18:00:00", 1),
		"a time without a zone":       strings.Replace(affected, later, "2026-11-22T18:00:00.000001", 1),
		"no time":                     strings.Replace(affected, `"timestamp":"`+later+`",`, "", 1),
		"a vulnerability as text":     strings.Replace(affected, vulnerability, `"CVE-2026-0001"`, 1),
		"a vulnerability by URL":      strings.Replace(affected, vulnerability, `{"@id":"https://nvd.example/CVE-2026-0001"}`, 1),
		"more values than can be had": strings.Replace(affected, `"version":1,`, `"version":1,"x":[`+strings.Repeat("1,", 1<<20)+`1],`, 1),
	} {
		res, err := x.v.Bundles(context.Background(), x.image, found, excuse, x.bundled(says{predicate.TypeOpenVEX, text}, x.a))
		t.Log(label)
		isDenied(t, res, err, verify.ReasonVulnerable)
	}
	if _, err := x.v.Bundles(context.Background(), x.image, found, excuse); err != nil {
		t.Error(err)
	}
}

// A registry may hide what came later: for how long that helps, a policy can bound.
func TestAttack_E12_VEXThatIsTooOldExcusesNothing(t *testing.T) {
	x := newVEXWorld(t, ", vexMaxAge: 48h")
	all := [][]byte{x.bundled(vex("not_affected"), x.a), x.bundled(scanWith("high", recently), x.c)}
	ends := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	res, err := x.v.Bundles(context.Background(), x.image, all...)
	if err != nil || !res.ValidUntil.Equal(ends) {
		t.Fatalf("%+v, %v; want it to end at %s", res, err, ends)
	}
	x.at = ends
	res, err = x.v.Bundles(context.Background(), x.image, all...)
	isDenied(t, res, err, verify.ReasonVulnerable)
}

// Where something could not be read, it may be the statement that counts.
func TestAttack_E12_NothingIsExcusedWhereEvidenceIsMissing(t *testing.T) {
	x := newVEXWorld(t, "")
	policy := loaded(t, strings.Replace(policyText, signatureRequired, "attestation: {type: vulns, by: builder, maxSeverity: low, vexBy: release}", 1), x.a, newPerson(t), x.c)
	v, err := verify.New(policy, verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	state(t, x.world, x.image, scanWith("high", recently), x.c)
	state(t, x.world, x.image, vex("not_affected"), x.a)
	if _, err := v.Image(context.Background(), x.store, x.image); err != nil {
		t.Fatal(err)
	}
	res, err := v.Image(context.Background(), brokenTag{x.store}, x.image)
	if _, undecided := err.(*verify.UndecidedError); !undecided || res != nil {
		t.Errorf("%+v, %v; want it undecided", res, err)
	}
}

// brokenTag is a store that cannot be asked for tags now.
type brokenTag struct{ registry.Store }

func (b brokenTag) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	if _, isTag := ref.(name.Tag); isTag {
		return registry.Manifest{}, &registry.Error{Op: "read manifest", Ref: ref.String(), Kind: registry.ErrUnavailable}
	}
	return b.Store.Manifest(ctx, ref)
}

// A scan that is attached over and over, in other wrappings, costs no more than
// its reading.
func TestAttack_E9_CopiesOfAScanAreJudgedOnce(t *testing.T) {
	x := newVEXWorld(t, "")
	found := x.bundled(scanWith("high", recently), x.c)
	all := [][]byte{x.bundled(vex("affected"), x.a)}
	for i := range 100 {
		all = append(all, append([]byte(strings.Repeat(" ", i)), found...))
	}
	res, err := x.v.Bundles(context.Background(), x.image, all...)
	counts := make(map[verify.Reason]int)
	for _, e := range isDenied(t, res, err, verify.ReasonVulnerable).Evidence {
		counts[e.Reason]++
	}
	if counts[verify.ReasonVulnerable] != 1 || counts[verify.ReasonRepeated] != 99 {
		t.Errorf("%v", counts)
	}
}

// A scan that OpenVEX excuses counts also where an alternative to it is met that asks
// for no evidence: of alternatives, the first that is met decides.
func TestOfAlternatives_AnExcusedScanGoesFirst(t *testing.T) {
	w, a, c := newWorld(t), newPerson(t), newPerson(t)
	w.pushConfig(v1.Config{Labels: map[string]string{"a": "b"}}, nil, now, "")
	text := strings.Replace(policyText, signatureRequired, "anyOf: [{attestation: {type: vulns, by: builder, maxSeverity: low, vexBy: release}}, {config: {labels: {a: b}}}]", 1)
	v, err := verify.New(loaded(t, text, a, newPerson(t), c), verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	x := vexWorld{world: w}
	w.attach(w.image, bundleOf(string(x.bundled(scanWith("high", recently), c))))
	w.attach(w.image, bundleOf(string(x.bundled(vex("not_affected"), a))))
	res, err := v.Image(context.Background(), w.store, w.image)
	if err != nil || len(res.Requirements) != 1 || res.Requirements[0].By != "builder" || len(res.Keys) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}
