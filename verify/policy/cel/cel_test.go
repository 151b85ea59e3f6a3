package cel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/processor"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policy/cel"
)

// plain is a JSON text as package verify gives it to expressions.
func plain(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// statement are the variables of a statement that a certificate's holder signed.
func statement(t testing.TB, predicate string) *policy.ExpressionVariables {
	t.Helper()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return &policy.ExpressionVariables{
		Predicate: plain(t, predicate), Now: now, Signer: "https://issuer.example team", SignedAfter: now.Add(-time.Hour),
		Claims: map[string]string{"sourceRepository": "https://git.example/team/app"},
		Image:  map[string]string{"repository": "registry.example/team/app", "digest": "sha256:00"},
	}
}

// holds compiles and evaluates an expression.
func holds(t testing.TB, text, predicate string) (bool, error) {
	t.Helper()
	e, err := cel.New().Compile(text, policy.AboutStatement)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e.Holds(t.Context(), statement(t, predicate))
}

const review = `{"approved":true,"approvals":2,"score":7.5,"state":"done","none":null,"by":["ann","bob"],"at":"2026-11-23T11:00:00Z",
"big":9007199254740993,"huge":123456789012345678901234567890,"long":9.0000000000000000001,"half":0.5,"thousand":1e3,"empty":{},"mixed":[1,"a"],
"Quality":"bad","zero":0.0,"one":1.0,"no":"NaN","nested":{"list":[{"ok":true},{"ok":false}]}}`

func TestExpressions(t *testing.T) {
	for text, want := range map[string]bool{
		`predicate.approved`: true,
		`predicate.approved == true && predicate.approvals >= 2`:                   true,
		`predicate.approvals == 2.0`:                                               true,
		`predicate.approvals < 2.5`:                                                true,
		`predicate.score > 7`:                                                      true,
		`predicate.score <= 7.0`:                                                   false,
		`predicate.half + predicate.half == 1`:                                     true,
		`predicate.thousand == 1000`:                                               true,
		`predicate.big == 9007199254740993`:                                        true,
		`predicate.big == 9007199254740992`:                                        false,
		`predicate['state'] != 'open'`:                                             true,
		`predicate.state in ['done', 'closed']`:                                    true,
		`!(predicate.state in ['open'])`:                                           true,
		`'ann' in predicate.by`:                                                    true,
		`1 in predicate.mixed`:                                                     true,
		`predicate.none == null`:                                                   true,
		`predicate.state != null`:                                                  true,
		`has(predicate.missing)`:                                                   false,
		`!has(predicate.missing)`:                                                  true,
		`!has(predicate.empty.missing)`:                                            true,
		`'approved' in predicate`:                                                  true,
		`predicate.nested.list.exists(r, r.ok)`:                                    true,
		`predicate.nested.list.all(r, r.ok)`:                                       false,
		`predicate.nested.list.exists_one(r, r.ok)`:                                true,
		`predicate.nested.list.filter(r, r.ok).size() == 1`:                        true,
		`predicate.nested == {'list': [{'ok': true}, {'ok': false}]}`:              true,
		`predicate.big <= 9007199254740992.0`:                                      false,
		`predicate.big > 9007199254740992.0`:                                       true,
		`predicate.big != 9007199254740992.0`:                                      true,
		`predicate.by != ['ann']`:                                                  true,
		`predicate.by != ['ann', 'carl']`:                                          true,
		`predicate.nested != {'list': [], 'of': 1}`:                                true,
		`predicate.state in {'done': 1, 'closed': 2}`:                              true,
		`!(predicate.state in {'open': 1})`:                                        true,
		`'a' in predicate.empty`:                                                   false,
		`predicate.state >= 'a' && predicate.state < 'e'`:                          true,
		`predicate.state.matches('^(done|closed)$')`:                               true,
		`timestamp(predicate.at) > now - duration('2h')`:                           true,
		`now - signedAfter < duration('24h')`:                                      true,
		`claims.sourceRepository == 'https://git.example/team/app'`:                true,
		`signer.startsWith('https://issuer.example ')`:                             true,
		`image.repository == 'registry.example/team/app' && predicate.approved`:    true,
		`predicate.map(name, name)[0] == 'Quality'`:                                true,
		`has(predicate.approvals) ? predicate.approvals > 1 : predicate.score > 9`: true,
	} {
		if got, err := holds(t, text, review); got != want || err != nil {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
}

// What cannot be evaluated denies: also where it is negated.
func TestAttack_T26_ExpressionsThatCannotBeEvaluatedDeny(t *testing.T) {
	for _, text := range []string{
		`predicate.missing == 'x'`, `predicate.missing != 'x'`, `!predicate.missing`, `predicate.empty.x != 1`,
		`has(predicate.state.x)`, `!has(predicate.state.x)`, `!has(predicate.none.x)`, `!has(predicate.missing.x)`, `!has(predicate.by.x)`,
		`predicate.approvals != 'two'`, `predicate.none != 'bad'`, `!(predicate.approvals in ['bad'])`, `!(predicate.none in ['bad'])`,
		`!('carl' in predicate.state)`, `!(true in predicate.mixed)`, `predicate.state != predicate.by`, `predicate.by != {}`,
		`predicate.quality != 'good'`, `!has(predicate.quality)`, `!('quality' in predicate)`, `has(predicate.APPROVED)`,
		`predicate.huge > 1`, `predicate.huge != 0`, `predicate.long <= 9.0`, `predicate.long != 9.0`,
		`predicate.by[2] != 'x'`, `predicate.by['a'] != 'x'`, `predicate[0] != 'x'`, `predicate.state < 5`, `predicate.state`, `predicate.none`, `predicate.by`,
		`predicate.state.startsWith(predicate.approvals)`, `timestamp(predicate.state) < now`, `timestamp(predicate.at) < signedAt`,
		`claims.missing != 'x'`, `claims.sourcerepository != 'x'`, `predicate.state.all(c, c == 'x')`, `!predicate.nested.list.exists(r, r.missing)`,
		`1 / (predicate.approvals - 2) == 0`, `predicate.big * predicate.big > 0`, `predicate != {}  && predicate.huge == 0`,
	} {
		if got, err := holds(t, text, review); got || err == nil {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
}

// Comparisons within lists and maps, with members of maps and of results of arithmetic are
// as strict as others.
func TestAttack_T26_ComparisonsOfOtherTypesHideNowhere(t *testing.T) {
	for _, text := range []string{
		`!(predicate.approvals in {'bad': true})`, `!(predicate.none in {'bad': true})`, `!(predicate.by in {'bad': true})`,
		`[predicate.approvals] != ['bad']`, `{'a': predicate.approvals} != {'a': 'bad'}`, `predicate.mixed != ['a', 2]`, `!([predicate.approvals] in [['bad']])`,
		`!(predicate.nested.list[0] == {'ok': 'true'})`, `{'Quality': predicate.state} != {'Quality': null}`,
		`predicate.nested != {'List': []}`, `{'List': []} != predicate.nested`, `predicate.nested != {1: []}`,
		`predicate.one / predicate.zero > 0.9`, `predicate.zero / predicate.zero != 1.0`, `!(predicate.zero / predicate.zero > 1.0)`,
		`double(predicate.no) != 1.0`, `!(double(predicate.no) in [1.0])`, `!([double(predicate.no)] == [1.0])`, `predicate.one * 1e308 * 10.0 >= 1.0`,
	} {
		if got, err := holds(t, text, review); got || err == nil {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
}

func TestExpressionsThatCannotBeIntendedAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		``: "not an expression", `predicate.`: "not an expression", `predicate.x ==`: "not an expression", `'a`: "not an expression",
		`undefined == 1`: "not an expression", `config.os == 'linux'`: "not an expression", `os.getenv('HOME') == ''`: "not an expression",
		`signer == 1`: "not an expression", `signer`: "of type string", `now`: "of type", `[predicate.x]`: "of type", `1`: "of type int",
		`true`: "always true", `false`: "always false", `1 < 2`: "always true", `true || predicate.x`: "always true", `false && predicate.x`: "always false",
		`1/0 == predicate.x`: "never be evaluated", `[1, 2].all(n, n > 0)`: "always true",
		`image.tag == 'v1'`: "image.tag", `image.repositroy == 'x'`: "image.repositroy",
		`predicate.by.all(predicate, predicate != 'x')`: "uses the variable predicate", `predicate.by.all(now, now != 'x')`: "uses the variable now",
		`predicate.x.matches('acme')`: "parts of a text", `predicate.x.matches('^acme')`: "parts", `predicate.x.matches('acme$')`: "parts",
		`predicate.x.matches('^acme|corp$')`: "parts", `predicate.x.matches('(?m)^acme$')`: "parts", `predicate.x.matches('^a$|b')`: "parts", `matches(predicate.x, '.*')`: "parts",
		`predicate.x.matches('')`: "parts", `predicate.x.matches(predicate.y)`: "not a literal", `predicate.x.matches('^' + predicate.y + '$')`: "not a literal",
		`predicate.x.matches('^(a$')`: "not an expression", `predicate.x.matches('^((a{100}){10}){10}$')`: "not an expression",
		`now.getHours('Europe/Berlin') > 8`: "time zone", `timestamp('yesterday') < now`: "not an expression", `now < timestamp(predicate.at) + duration('x')`: "not an expression",
		strings.Repeat("(", 60) + "predicate.x" + strings.Repeat(")", 60):                "not an expression",
		"predicate.x" + strings.Repeat(" && predicate.x", 400):                           "not an expression",
		`predicate.all(a, predicate.all(b, predicate.all(c, predicate.all(d, d == a))))`: "not an expression",
		`@same(predicate, 1)`: "not an expression", `cel.bind(x, predicate, x.y)`: "not an expression", `predicate.?x.orValue(true)`: "not an expression",
	} {
		if e, err := cel.New().Compile(text, policy.AboutStatement); err == nil || e != nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80s: %v; want %q", text, err, says)
		}
	}
	if _, err := cel.New().Compile("predicate.x", "weather"); err == nil {
		t.Error("an expression about something unknown is compiled")
	}
	for _, good := range []string{`predicate.x.matches('^a$|^b$')`, `predicate.x.matches('(^a$)')`, `predicate.x.matches('\\Aa\\z')`} {
		if _, err := cel.New().Compile(good, policy.AboutStatement); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestExpressionsNameTheVariablesTheyRead(t *testing.T) {
	for text, want := range map[string]string{
		`predicate.x`: "predicate", `predicate.now == 1`: "predicate", `now > signedAfter && claims.x == signer`: "claims now signedAfter signer",
	} {
		e, err := cel.New().Compile(text, policy.AboutStatement)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(e.Reads(), " "); got != want {
			t.Errorf("%s reads %q, want %q", text, got, want)
		}
	}
}

func TestConfigsHaveVariablesOfTheirOwn(t *testing.T) {
	e, err := cel.New().Compile(`config.architecture in ['amd64'] && annotations['org.example.team'] == 'a'`, policy.AboutConfig)
	if err != nil {
		t.Fatal(err)
	}
	ok, err := e.Holds(t.Context(), &policy.ExpressionVariables{Config: plain(t, `{"architecture":"amd64"}`), Annotations: map[string]string{"org.example.team": "a"}})
	if !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if _, err := cel.New().Compile(`predicate.x`, policy.AboutConfig); err == nil {
		t.Error("a config has no predicate")
	}
}

// large is a predicate near the limits of package verify. Its short text is one that a
// single call of matches reads in time, under the race detector, too.
func large(t testing.TB) string {
	t.Helper()
	return `{"list":[` + strings.TrimSuffix(strings.Repeat(`{"a":1},`, 30_000), ",") + `],"text":"` + strings.Repeat("a", 2<<20) + `","short":"` + strings.Repeat("a", 64<<10) + `","map":{` +
		func() string {
			var b strings.Builder
			for i := range 5_000 {
				b.WriteString(`"k` + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26%9) + "-" + time.Duration(i).String() + `":1,`)
			}
			return strings.TrimSuffix(b.String(), ",")
		}() + `}}`
}

func TestAttack_T26_ExpensiveExpressionsEnd(t *testing.T) {
	vars := statement(t, large(t))
	for _, text := range []string{
		`predicate.list.all(x, predicate.list.all(y, x == y))`,
		`predicate.list.all(x, predicate == predicate)`,
		`predicate.list.all(x, !(predicate in [predicate.list, predicate.map]))`,
		`predicate.list.all(x, predicate.list in predicate.list)`,
		`predicate.list.all(x, !(x.a == 2) && size(predicate.text) > 0)`,
		`predicate.list.all(x, predicate.short.matches('^(a|b|ab)*$'))`,
		`predicate.list.all(x, !predicate.text.contains('b'))`,
		`predicate.list.all(x, predicate.text + predicate.text != '')`,
		`(` + strings.TrimSuffix(strings.Repeat(`predicate.text + `, 40), " + ") + `) != ''`,
		`predicate.list.map(x, predicate.list.map(y, predicate.list)).size() > 0`,
		`predicate.map.all(k, predicate.map.all(l, k != l || k == l))`,
		`predicate.list.all(x, string(bytes(predicate.text)) != '')`,
		`predicate.list.map(x, predicate.list.map(y, predicate.text + string(size(predicate.text)))).size() > 1`,
	} {
		e, err := cel.New().Compile(text, policy.AboutStatement)
		if err != nil {
			t.Errorf("%.80s: %v", text, err)
			continue
		}
		began := processor.Time()
		ok, err := e.Holds(t.Context(), vars)
		if took := processor.Time() - began; ok || err == nil || took > 20*time.Second {
			t.Errorf("%.80s: %t, %v, in %s", text, ok, err, took)
		} else {
			t.Logf("%.60s: %s: %v", text, took, err)
		}
	}
}

// A list can hold another as often as it has elements: a small document is then a large value.
func TestAttack_T26_ValuesLargerThanTheirDocumentsEnd(t *testing.T) {
	vars := statement(t, `{"list":[`+strings.Repeat(`1,`, 20_000)+`1]}`)
	for _, text := range []string{
		`predicate.list.map(x, predicate.list) == predicate.list.map(x, predicate.list)`,
		`!(predicate.list.map(x, predicate.list) in [predicate.list])`,
		`!(predicate.list in predicate.list.map(x, predicate.list))`,
		`!(predicate.list in {1: predicate.list.map(x, predicate.list)} || [1] in predicate.list.map(x, predicate.list))`,
	} {
		e, err := cel.New().Compile(text, policy.AboutStatement)
		if err != nil {
			t.Fatal(err)
		}
		began := processor.Time()
		ok, err := e.Holds(t.Context(), vars)
		if took := processor.Time() - began; ok || err == nil || took > 10*time.Second {
			t.Errorf("%s: %t, %v, in %s", text, ok, err, took)
		}
	}
}

func TestAttack_T26_NamesOfMembersAreSortedOnce(t *testing.T) {
	var members strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&members, `,"k%d":1`, i)
	}
	vars := statement(t, `{"list":[`+strings.Repeat(`1,`, 20_000)+`1],"map":{"a":1`+members.String()+`}}`)
	e, err := cel.New().Compile(`predicate.list.all(x, predicate.map.exists(k, true))`, policy.AboutStatement)
	if err != nil {
		t.Fatal(err)
	}
	began := processor.Time()
	if ok, err := e.Holds(t.Context(), vars); !ok || err != nil || processor.Time()-began > 5*time.Second {
		t.Errorf("%t, %v, in %s", ok, err, processor.Time()-began)
	}
}

func TestCancelledExpressionsJudgeNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e, err := cel.New().Compile(`predicate.approved`, policy.AboutStatement)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := e.Holds(ctx, statement(t, review)); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestAuthorityRecognisesNoSigners(t *testing.T) {
	if m, err := cel.New().Matcher(nil); err == nil || m != nil {
		t.Errorf("%v, %v", m, err)
	}
}

func FuzzExpressions(f *testing.F) {
	f.Add(`predicate.approved && predicate.approvals >= 2`, review)
	f.Add(`!has(predicate.a.b) || predicate.by.all(n, n != 'x')`, `{"a":1}`)
	f.Add(`predicate.x.matches('^a$') && now > signedAfter`, `{"x":"a"}`)
	f.Fuzz(func(t *testing.T, text, predicate string) {
		if len(text) > 4<<10 || len(predicate) > 64<<10 || !json.Valid([]byte(predicate)) {
			return
		}
		e, err := cel.New().Compile(text, policy.AboutStatement)
		if err != nil {
			return
		}
		first, why := e.Holds(t.Context(), statement(t, predicate))
		second, again := e.Holds(t.Context(), statement(t, predicate))
		if first != second || (why == nil) != (again == nil) || first && why != nil {
			t.Fatalf("%q: %t, %v; then %t, %v", text, first, why, second, again)
		}
	})
}
