package verify

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// smallWorld is what the rules are compiled with.
type smallWorld struct {
	keys       [smallKeys]policy.PublicKey
	identities bool
	foreign    set
}

func newSmallWorld(t *testing.T) *smallWorld {
	t.Helper()
	w := &smallWorld{}
	for i := range w.keys {
		k, err := policy.NewPublicKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize)).Public())
		if err != nil {
			t.Fatal(err)
		}
		w.keys[i] = k
	}
	return w
}

// smallAuthority knows identities by name.
type smallAuthority struct{}

type smallIdentity string

func (smallAuthority) Matcher(settings map[string]any) (policy.Matcher, error) {
	return smallIdentity(fmt.Sprint(settings["is"])), nil
}

func (i smallIdentity) ID() string { return string(i) }

func (smallIdentity) Signed(context.Context, policy.SignedEvidence) (policy.Recognized, error) {
	return policy.Recognized{}, errors.New("is not asked")
}

// compiled is a rule as a Verifier has it.
func (w *smallWorld) compiled(t *testing.T, r smallRule) (*compiled, *rule) {
	t.Helper()
	p := &policy.Policy{Version: 1, Keys: map[string]policy.Key{}, Identities: map[string]policy.Identity{}, Roles: map[string]policy.Role{}}
	for i := range smallKeys {
		if name := fmt.Sprint("k", i); w.identities {
			p.Identities[name] = policy.Identity{Authority: "small", Settings: map[string]any{"is": name}}
		} else {
			p.Keys[name] = policy.Key{Public: w.keys[i]}
		}
	}
	for i, from := range r.roles {
		to := policy.Role{Threshold: from.threshold}
		for k := range smallKeys {
			switch name := fmt.Sprint("k", k); {
			case !from.members.has(k):
			case w.identities:
				to.Identities = append(to.Identities, name)
			default:
				to.Keys = append(to.Keys, name)
			}
		}
		if from.members != 0 {
			p.Roles[fmt.Sprint("r", i)] = to
		}
	}
	p.Rules = []policy.Rule{{Images: []string{"**"}, SeparateDuties: r.separate, Require: r.require()}}
	checked, err := p.Check(map[string]policy.Authority{"small": smallAuthority{}})
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	c, err := compile(checked)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	return c, c.rules[0]
}

func (r smallRule) require() []policy.Requirement {
	var all []policy.Requirement
	for _, l := range r.leaves {
		by := fmt.Sprint("r", l.role)
		if l.kind == isSignature {
			all = append(all, policy.Requirement{Signature: &policy.SignatureRequirement{By: by, Annotations: map[string]string{"valid": "yes"}}})
			continue
		}
		q := &policy.AttestationRequirement{Type: "vulns", By: by, ScanConditions: policy.ScanConditions{MaxSeverity: "low"}}
		if l.excusedBy >= 0 {
			q.VEXBy = fmt.Sprint("r", l.excusedBy)
		}
		all = append(all, policy.Requirement{Attestation: q})
	}
	switch r.shape {
	case shapeAny:
		return []policy.Requirement{{AnyOf: all}}
	case shapeAllInAny:
		return []policy.Requirement{{AnyOf: []policy.Requirement{{AllOf: all}}}}
	case shapeAnyInAll:
		return []policy.Requirement{all[0], {AnyOf: all[1:]}}
	}
	return all
}

const (
	smallScan   = `{"scanner":{"uri":"https://s.example","result":[%s]},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`
	smallResult = `{"id":"CVE-1","severity":[{"method":"nvd","score":"high"}]}`
	smallVEX    = `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://v.example","author":"a","version":1,"timestamp":"2026-11-22T1%d:00:00Z","statements":[{"vulnerability":{"name":"CVE-1"},"status":"%s"}]}`
)

var (
	smallSays = map[[2]int]*statement{
		{int(isScan), int(isValid)}:   {predicate.TypeVulns, fmt.Appendf(nil, smallScan, "")},
		{int(isScan), int(isInvalid)}: {predicate.TypeVulns, fmt.Appendf(nil, smallScan, smallResult)},
		{int(isExcuse), int(isValid)}: {predicate.TypeOpenVEX, fmt.Appendf(nil, smallVEX, 2, "not_affected")},
		{int(isDoubt), int(isValid)}:  {predicate.TypeOpenVEX, fmt.Appendf(nil, smallVEX, 3, "affected")},
	}
	smallAnnotations = map[string]string{"valid": "yes"}
)

// remembered are contents that are judged once.
type remembered struct {
	contents
	met     map[rememberedKey]*problem
	excused map[rememberedDocuments]map[string]bool
}

type rememberedDocuments struct {
	leaf *need
	says [2]*byte
}

type rememberedKey struct {
	leaf    *need
	says    *byte
	valid   bool // of a signature
	excused bool
}

func (r *remembered) meets(leaf *need, f fact, excused map[string]bool) (time.Time, *problem) {
	key := rememberedKey{leaf: leaf, valid: f.annotations != nil, excused: excused["CVE-1"]}
	if f.statement != nil {
		key.says = &f.statement.predicate[0]
	}
	p, known := r.met[key]
	if !known {
		_, p = r.contents.meets(leaf, f, excused)
		r.met[key] = p
	}
	if p == nil {
		return time.Time{}, nil
	}
	own := *p
	return time.Time{}, &own
}

func (r *remembered) excuses(leaf *need, documents []vexDocument) (map[string]bool, time.Time, error) {
	id := rememberedDocuments{leaf: leaf}
	for i, d := range documents {
		id.says[i] = &d.text[0]
	}
	excused, known := r.excused[id]
	if !known {
		var err error
		if excused, _, err = r.contents.excuses(leaf, documents); err != nil {
			panic(err)
		}
		r.excused[id] = excused
	}
	return excused, time.Time{}, nil
}

// smallRun runs evidence through the evaluation of one rule, and through the model.
type smallRun struct {
	t        *testing.T
	model    smallModel
	rule     *rule
	contents *remembered
	log      ledger
	ids      [smallKeys]string
	facts    map[shownPiece][]fact
	symmetry []renaming
	cases    int
	verdicts [3]int
}

func (w *smallWorld) run(t *testing.T, r smallRule) *smallRun {
	c, made := w.compiled(t, r)
	image, err := name.NewDigest("registry.example/team/app@sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	run := &smallRun{t: t, rule: made, facts: make(map[shownPiece][]fact), model: smallModel{r, w.identities, w.foreign}}
	run.contents = &remembered{newConditions(context.Background(), c, image, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)), make(map[rememberedKey]*problem), make(map[rememberedDocuments]map[string]bool)}
	for _, k := range slices.Concat(c.keys, c.identities) {
		for i := range run.ids {
			if k.Name == fmt.Sprint("k", i) {
				run.ids[i] = k.ID()
			}
		}
	}
	return run
}

// factsOf are those that checking signatures makes of a piece.
func (r *smallRun) factsOf(p shownPiece) []fact {
	if all, known := r.facts[p]; known {
		return all
	}
	var all []fact
	for i := range smallKeys {
		if !p.signers.has(i) {
			continue
		}
		f := fact{by: signatory{id: r.ids[i], name: fmt.Sprint("k", i)}, statement: smallSays[[2]int{int(p.kind), int(p.state)}]}
		if p.kind == isSignature && p.state == isValid {
			f.annotations = smallAnnotations
		}
		if r.model.identities {
			f.by.principal = fmt.Sprint("principal ", r.model.pairOf(i, p).name)
		}
		all = append(all, f)
	}
	r.facts[p] = all
	return all
}

// evaluate adds pieces until there is enough.
func (r *smallRun) evaluate(pieces []shownPiece) (v verdict, enough bool) {
	var gap Reason
	r.log = ledger{records: r.log.records[:0]}
	e := newEvaluation(r.rule, r.contents, &r.log)
	for _, p := range pieces {
		if p.state == isUnread {
			gap = ReasonUnreadable
			continue
		}
		var names []string
		for _, f := range r.factsOf(p) {
			e.add(f)
			if r.model.identities {
				names = append(names, f.by.principal)
			}
		}
		e.join(names)
		if enough = e.enough(); enough {
			break
		}
	}
	e.close(gap)
	o := e.outcome()
	switch {
	case len(o.unmet) == 0:
		r.supported(o, pieces)
		return isAllowed, enough
	case gap != "":
		return isUndecided, enough
	}
	return isDenied, enough
}

// supported: what is told of a positive decision is enough for it.
func (r *smallRun) supported(o outcome, pieces []shownPiece) {
	for _, met := range o.requirements {
		leaf := r.rule.leaves[slices.IndexFunc(r.rule.leaves, func(n *need) bool { return n.path == met.Requirement })]
		for i, k := range met.Keys {
			if !leaf.role.keys[k.ID] || slices.ContainsFunc(met.Keys[:i], func(o Principal) bool { return o.ID == k.ID }) {
				r.t.Fatalf("%+v of %+v: counted %+v", r.model.rule, pieces, met.Keys)
			}
		}
		if len(met.Keys) < leaf.role.threshold {
			r.t.Fatalf("%+v of %+v: met by %+v", r.model.rule, pieces, met.Keys)
		}
	}
}

// every runs all evidence that begins with these pieces, in every order.
func (r *smallRun) every(begin []shownPiece, all []shownPiece) {
	if !r.isFirst(begin) {
		return
	}
	got, enough := r.evaluate(begin)
	want := r.model.judge(begin)
	if r.cases++; got != want {
		r.t.Fatalf("%+v, identities %t: verdict %d, the model says %d\nof %+v", r.model.rule, r.model.identities, got, want, begin)
	}
	r.verdicts[want]++
	if len(begin) == smallPieces || enough {
		return // no more is gathered
	}
	for _, p := range all {
		r.every(append(begin[:len(begin):len(begin)], p), all)
	}
}

// each runs all evidence of some pieces by all rules.
func (w *smallWorld) each(t *testing.T, rules []smallRule, pieces []shownPiece) (cases int) {
	t.Helper()
	var next, total atomic.Int64
	var verdicts [3]atomic.Int64
	var workers sync.WaitGroup
	stride := int64(1)
	if race.Enabled {
		stride = 6 // an evaluation shares nothing: the run without the detector has all rules
	}
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := stride * (next.Add(1) - 1); int(i) < len(rules); i = stride * (next.Add(1) - 1) {
				run := w.run(t, rules[i])
				run.symmetry, _ = w.symmetries(rules[i])
				run.every(nil, pieces)
				total.Add(int64(run.cases))
				for v, n := range run.verdicts {
					verdicts[v].Add(int64(n))
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d cases of %d rules and %d pieces: %d denied, %d allowed, %d undecided", total.Load(), len(rules), len(pieces),
		verdicts[isDenied].Load(), verdicts[isAllowed].Load(), verdicts[isUndecided].Load())
	for v := range verdicts {
		if verdicts[v].Load() == 0 {
			t.Errorf("no case has the verdict %d", v)
		}
	}
	return int(total.Load())
}

// leavesOf are all lists of one and two requirements.
func leavesOf(kinds ...smallLeaf) (all [][]smallLeaf) {
	var each []smallLeaf
	for _, l := range kinds {
		for role := range 2 {
			l.role = role
			if l.excusedBy >= 0 {
				l.excusedBy = 1 - role
			}
			each = append(each, l)
		}
	}
	for _, a := range each {
		all = append(all, []smallLeaf{a})
		for _, b := range each {
			all = append(all, []smallLeaf{a, b})
		}
	}
	return all
}

func TestEvaluate_EverySmallRule(t *testing.T) {
	race.Skip(t, "one goroutine judges")
	cases := 0
	run := func(what string, w *smallWorld, rules []smallRule, kinds ...smallKind) {
		t.Run(what, func(t *testing.T) { cases += w.each(t, rules, w.pieces(kinds...)) })
	}
	signature, scan, excusable := smallLeaf{isSignature, 0, -1}, smallLeaf{isScan, 0, -1}, smallLeaf{isScan, 0, 1}
	flat, nested := []smallShape{shapeAll, shapeAny}, []smallShape{shapeAllInAny, shapeAnyInAll}
	keys := newSmallWorld(t)
	run("keys", keys, keys.rules(flat, leavesOf(signature, scan)...), isSignature, isScan)
	run("nested", keys, keys.rules(nested, leavesOf(signature)...), isSignature)
	run("OpenVEX", keys, keys.rules(flat, leavesOf(excusable)...), isScan, isExcuse, isDoubt)
	for what, foreign := range map[string]set{"identities": 0, "identities of two authorities": 1} {
		w := &smallWorld{identities: true, foreign: foreign}
		run(what, w, w.rules(flat, leavesOf(signature)...), isSignature)
	}
	if t.Logf("%d cases", cases); cases < 1_000_000 {
		t.Error("they are too few")
	}
}
