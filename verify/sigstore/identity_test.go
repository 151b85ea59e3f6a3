package sigstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

func TestSigned_TellsWhoWhenAndWhat(t *testing.T) {
	w := newWorld(t)
	known, err := w.judge(w.signed(workflowOf(workflow, source)), "issuer", issuer, "uri", workflow)
	want := "uri https://github.com/acme/app/.github/workflows/release.yml by " + issuer
	if err != nil || known.Principal != want || !known.SignedAt.Equal(w.Now.Add(time.Minute)) ||
		known.Claims["sourceRepository"] != source || known.Claims["uri"] != workflow || known.Claims["issuer"] != issuer {
		t.Errorf("%+v, %v", known, err)
	}
}

func TestSigned_PrincipalIsTheWorkflowAtAnyRef(t *testing.T) {
	w := newWorld(t)
	a, errA := w.judge(w.signed(workflowOf(workflow, source)), "issuer", issuer, "uri", workflow)
	other := strings.Replace(workflow, "v1", "v2", 1)
	b, errB := w.judge(w.signed(workflowOf(other, source)), "issuer", issuer, "uri", other)
	if errA != nil || errB != nil || a.Principal != b.Principal {
		t.Errorf("%q and %q, %v, %v", a.Principal, b.Principal, errA, errB)
	}
}

// K1, K2, K4, K8
func TestAttack_T13_SubjectsMatchWhollyAndByType(t *testing.T) {
	w := newWorld(t)
	tags := "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*"
	for name, c := range map[string]struct {
		leaf sigstoretest.Leaf
		kind string
		want string
		ok   bool
	}{
		"exact":                   {workflowOf(workflow, source), "uri", workflow, true},
		"pattern":                 {workflowOf(workflow, source), "uri", tags, true},
		"deep pattern":            {workflowOf(workflow, source), "uri", "https://github.com/acme/**@refs/tags/*", true},
		"dot is no wildcard":      {workflowOf(strings.Replace(workflow, "release.yml", "releaseXyml", 1), source), "uri", tags, false},
		"more at the end":         {workflowOf(workflow+"/x", source), "uri", tags, false},
		"more at the end, exact":  {workflowOf(workflow+"0", source), "uri", workflow, false},
		"more at the beginning":   {workflowOf("https://evil.example/"+workflow, "https://evil.example"), "uri", tags, false},
		"another owner":           {workflowOf(strings.Replace(workflow, "acme", "acme-evil", 1), ""), "uri", "https://github.com/acme/**@refs/tags/*", false},
		"two @":                   {workflowOf("https://github.com/acme/app/.github/workflows/release.yml@evil.yml@refs/tags/v1", source), "uri", tags, false},
		"two @, deep":             {workflowOf("https://github.com/acme/app/.github/workflows/release.yml@evil.yml@refs/tags/v1", source), "uri", "https://github.com/acme/**@refs/tags/**", false},
		"no @":                    {workflowOf("https://github.com/acme/app/x", source), "uri", "https://github.com/acme/**@refs/tags/*", false},
		"way up":                  {workflowOf("https://github.com/acme/../evil/x@refs/tags/v1", ""), "uri", "https://github.com/acme/**@refs/tags/*", false},
		"way up, escaped":         {workflowOf("https://github.com/acme/%2e%2e/evil@refs/tags/v1", ""), "uri", "https://github.com/acme/**@refs/tags/*", false},
		"another ref":             {workflowOf(strings.Replace(workflow, "tags", "heads", 1), source), "uri", tags, false},
		"case":                    {workflowOf(strings.Replace(workflow, "acme", "Acme", 1), ""), "uri", tags, false},
		"email":                   {sigstoretest.Leaf{Email: "jane@acme.example", Issuer: issuer}, "email", "jane@acme.example", true},
		"email with more":         {sigstoretest.Leaf{Email: "jane@acme.example.evil", Issuer: issuer}, "email", "jane@acme.example", false},
		"email as a uri":          {sigstoretest.Leaf{URI: "jane@acme.example", Issuer: issuer}, "email", "jane@acme.example", false},
		"username":                {sigstoretest.Leaf{Username: "jane!acme.example", Issuer: issuer}, "username", "jane!acme.example", true},
		"username as an email":    {sigstoretest.Leaf{Email: "jane!acme.example", Issuer: issuer}, "username", "jane!acme.example", false},
		"another issuer":          {sigstoretest.Leaf{Email: "jane@acme.example", Issuer: issuer + "/"}, "email", "jane@acme.example", false},
		"no issuer":               {sigstoretest.Leaf{Email: "jane@acme.example"}, "email", "jane@acme.example", false},
		"a service of a platform": {sigstoretest.Leaf{URI: "spiffe://acme.example/ns/ci/sa/builder", Issuer: issuer}, "uri", "spiffe://acme.example/ns/*/sa/builder", true},
		"gitlab":                  {workflowOf("https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main", "https://gitlab.com/acme/app"), "uri", "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/*", true},
	} {
		if _, err := w.judge(w.signed(c.leaf), "issuer", issuer, c.kind, c.want); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// K5, K6
func TestAttack_T14_CallersOfASharedWorkflow(t *testing.T) {
	w := newWorld(t)
	shared := "https://github.com/shared/flows/.github/workflows/build.yml@refs/tags/v3"
	stranger, own := w.signed(workflowOf(shared, "https://github.com/evil/app")), w.signed(workflowOf(shared, source))
	for name, c := range map[string]struct {
		e    policy.SignedEvidence
		more []any
		ok   bool
	}{
		"a stranger's, nothing said":        {stranger, nil, false},
		"ours, nothing said":                {own, nil, false},
		"a stranger's, ours said":           {stranger, []any{"sourceRepository", source}, false},
		"ours, ours said":                   {own, []any{"sourceRepository", source}, true},
		"ours, all of the owner's said":     {own, []any{"sourceRepository", "https://github.com/acme/*"}, true},
		"a stranger's, all of ours said":    {stranger, []any{"sourceRepository", "https://github.com/acme/*"}, false},
		"a stranger's, anybody's said":      {stranger, []any{"sourceRepository", "**"}, true},
		"ours, another ref said":            {own, []any{"sourceRepository", source, "sourceRef", "refs/heads/main"}, false},
		"of a repository that begins alike": {w.signed(workflowOf("https://github.com/acme/app-evil/x.yml@refs/heads/main", source)), nil, false},
		"without source, where one is said": {w.signed(workflowOf(shared, "")), []any{"sourceRepository", "**"}, false},
	} {
		subject := shared
		if strings.Contains(name, "alike") {
			subject = "https://github.com/acme/app-evil/x.yml@refs/heads/main"
		}
		if _, err := w.judge(c.e, append([]any{"issuer", issuer, "uri", subject}, c.more...)...); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClaimsMustAllMatch(t *testing.T) {
	w := newWorld(t)
	l := workflowOf(workflow, source)
	l.Claims[11], l.Claims[14], l.Claims[20] = "github-hosted", "refs/tags/v1", "push"
	e := w.signed(l)
	for name, c := range map[string]struct {
		more []any
		ok   bool
	}{
		"all":              {[]any{"runner", "github-hosted", "sourceRef", "refs/tags/*", "buildTrigger", "push"}, true},
		"another runner":   {[]any{"runner", "self-hosted"}, false},
		"another ref":      {[]any{"sourceRef", "refs/heads/*"}, false},
		"a claim it lacks": {[]any{"buildSigner", "**"}, false},
	} {
		if _, err := w.judge(e, append([]any{"issuer", issuer, "uri", workflow}, c.more...)...); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// K3, K29
func TestAttack_T13_SettingsThatMatchTooMuchAreRefused(t *testing.T) {
	w := newWorld(t)
	for name, s := range map[string]map[string]any{
		"nothing":                   nil,
		"subject without issuer":    settings("uri", workflow),
		"issuer without subject":    settings("issuer", issuer),
		"empty issuer":              settings("issuer", "", "uri", workflow),
		"two subjects":              settings("issuer", issuer, "uri", workflow, "email", "jane@acme.example"),
		"pattern of issuers":        settings("issuer", "https://*", "uri", workflow),
		"pattern of emails":         settings("issuer", issuer, "email", "*@acme.example"),
		"pattern of usernames":      settings("issuer", issuer, "username", "*"),
		"any URI":                   settings("issuer", issuer, "uri", "**"),
		"any owner":                 settings("issuer", issuer, "uri", "https://github.com/**"),
		"any owner, one segment":    settings("issuer", issuer, "uri", "https://github.com/*/app/x.yml@refs/heads/main"),
		"any host":                  settings("issuer", issuer, "uri", "https://*/acme/app"),
		"part of a segment":         settings("issuer", issuer, "uri", "https://github.com/acme/app/*.yml@refs/heads/main"),
		"a regular expression":      settings("issuer", issuer, "uri", "^https://github.com/acme/.*$"),
		"no URI":                    settings("issuer", issuer, "uri", "release.yml"),
		"a source without scheme":   settings("issuer", issuer, "uri", workflow, "sourceRepository", "github.com/acme/app"),
		"sources without scheme":    settings("issuer", issuer, "uri", workflow, "sourceRepository", "github.com/acme/*"),
		"a source with a ref":       settings("issuer", issuer, "uri", workflow, "sourceRepository", source+"@refs/heads/main"),
		"a source of provenance":    settings("issuer", issuer, "uri", workflow, "sourceRepository", "git+"+source),
		"a branch as a ref":         settings("issuer", issuer, "uri", workflow, "sourceRef", "main"),
		"a workflow without scheme": settings("issuer", issuer, "uri", workflow, "buildSigner", "github.com/acme/app/.github/workflows/x.yml@refs/heads/main"),
		"two @":                     settings("issuer", issuer, "uri", workflow+"@x"),
		"any ref":                   settings("issuer", issuer, "uri", "https://github.com/acme/app/.github/workflows/x.yml@**"),
		"any ref of any workflow":   settings("issuer", issuer, "uri", "https://github.com/acme/**@**"),
		"any ref, by one segment":   settings("issuer", issuer, "uri", "https://github.com/acme/**@*"),
		"any ref, by segments":      settings("issuer", issuer, "uri", "https://github.com/acme/app/.github/workflows/*@*/*/*"),
		"any full ref":              settings("issuer", issuer, "uri", "https://github.com/acme/**@refs/**"),
		"any kind of ref":           settings("issuer", issuer, "uri", "https://github.com/acme/**@refs/*/*"),
		"any ref, elsewhere":        settings("issuer", issuer, "uri", "https://gitlab.com/acme/**@**"),
		"no ref, any workflow":      settings("issuer", issuer, "uri", "https://github.com/acme/**"),
		"a host in upper case":      settings("issuer", issuer, "uri", "https://GitHub.com/acme/app/.github/workflows/*@refs/heads/main"),
		"sources of anyone":         settings("issuer", issuer, "uri", workflow, "sourceRepository", "https://github.com/**"),
		"sources of any owner":      settings("issuer", issuer, "uri", workflow, "sourceRepository", "https://github.com/*/app"),
		"sources of any host":       settings("issuer", issuer, "uri", workflow, "sourceRepository", "https://*/acme/app"),
		"signers of anyone":         settings("issuer", issuer, "uri", workflow, "buildSigner", "https://github.com/**"),
		"signers at any ref":        settings("issuer", issuer, "uri", workflow, "buildSigner", "https://github.com/acme/**@**"),
		"** twice":                  settings("issuer", issuer, "uri", "https://github.com/acme/**/x/**"),
		"unknown setting":           settings("issuer", issuer, "uri", workflow, "sourceRepo", source),
		"setting that is no string": settings("issuer", issuer, "uri", []any{workflow}),
		"empty setting":             settings("issuer", issuer, "uri", workflow, "sourceRepository", ""),
		"unknown instance":          settings("issuer", issuer, "uri", workflow, "instance", "public-good"),
		"another root":              settings("issuer", issuer, "uri", workflow, "root", strings.Repeat("0", 64)),
		"long setting":              settings("issuer", issuer, "uri", workflow+strings.Repeat("x", 4096)),
	} {
		if m, err := w.authority.Matcher(s); m != nil || !errors.Is(err, sigstore.ErrInvalid) {
			t.Errorf("%s: %v, %v; want ErrInvalid", name, m, err)
		}
	}
}

func TestIDsAreThoseOfTheSettings(t *testing.T) {
	w := newWorld(t)
	a := w.matcher("issuer", issuer, "uri", workflow)
	same := w.matcher("uri", workflow, "issuer", issuer, "instance", "private")
	other := w.matcher("issuer", issuer, "uri", workflow, "sourceRepository", source)
	if a.ID() != same.ID() || a.ID() == other.ID() {
		t.Errorf("%s, %s, %s", a.ID(), same.ID(), other.ID())
	}
}

// K33
func TestAttack_T20_StrangersCostNoCrypto(t *testing.T) {
	w := newWorld(t)
	stranger := sigstoretest.New(t, sigstoretest.Options{})
	l := workflowOf(strings.Replace(workflow, "acme", "evil", 1), "")
	e := w.evidence(stranger.Issue(l).SignStatement(statement).Log(stranger.Rekor1, "dsse 0.0.1"))
	done := newWorks()
	e.Once = done.once
	for range 3 {
		if _, err := w.judge(e, "issuer", issuer, "uri", workflow); err == nil {
			t.Error("a stranger was recognised")
		}
	}
	if len(done.effort) != 1 || done.effort[0] > 1 {
		t.Errorf("efforts %v, want that of reading it once", done.effort)
	}
}

func TestCryptoIsDoneOncePerEvidenceAndInstance(t *testing.T) {
	w := newWorld(t)
	e := w.signed(workflowOf(workflow, source))
	done := newWorks()
	e.Once = done.once
	for _, more := range [][]any{{}, {"sourceRepository", source}, {"sourceRepository", "**"}} {
		if _, err := w.judge(e, append([]any{"issuer", issuer, "uri", workflow}, more...)...); err != nil {
			t.Error(err)
		}
	}
	if len(done.effort) != 2 {
		t.Errorf("efforts %v, want two", done.effort)
	}
}

func TestSigned_ReadsLayersOfCosign(t *testing.T) {
	w := newWorld(t)
	s := w.Issue(workflowOf(workflow, source))
	simple := []byte(`{"critical":{}}`)
	b := s.SignMessage(simple)
	e := policy.SignedEvidence{
		MediaType: simplesigning.LayerMediaType, Content: simple, Message: simple, Signatures: [][]byte{b.Signature}, Now: w.Now.Add(time.Hour),
		Annotations: b.Annotations(w.Rekor1, "hashedrekord 0.0.1", w.TSA),
	}
	if _, err := w.judge(e, "issuer", issuer, "uri", workflow); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"intoto 0.0.1", "dsse 0.0.1"} {
		b = s.SignStatement(statement)
		e.MediaType, e.Content, e.Message, e.Signatures = dsse.EnvelopeMediaType, b.EnvelopeText(), b.Message, [][]byte{b.Signature}
		e.Annotations = b.Annotations(w.Rekor1, kind, w.TSA)
		if _, err := w.judge(e, "issuer", issuer, "uri", workflow); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		e.Content = append(e.Content, '\n')
		if _, err := w.judge(e, "issuer", issuer, "uri", workflow); (err == nil) != (kind == "dsse 0.0.1") {
			t.Errorf("%s, with another text: %v", kind, err)
		}
	}
}

// What is believed is e.Message, so evidence must be over that.
func TestAttack_T16_EvidenceOverSomethingElse(t *testing.T) {
	w := newWorld(t)
	good := w.signed(workflowOf(workflow, source))
	for name, change := range map[string]func(e *policy.SignedEvidence){
		"another message":   func(e *policy.SignedEvidence) { e.Message = append([]byte(nil), e.Message[:len(e.Message)-1]...) },
		"another signature": func(e *policy.SignedEvidence) { e.Signatures = [][]byte{{1}} },
		"two signatures":    func(e *policy.SignedEvidence) { e.Signatures = append(e.Signatures, e.Signatures[0]) },
		"no signature":      func(e *policy.SignedEvidence) { e.Signatures = nil },
		"no certificate": func(e *policy.SignedEvidence) {
			e.MediaType, e.Content = simplesigning.LayerMediaType, e.Message
		},
	} {
		e := good
		change(&e)
		if known, err := w.judge(e, "issuer", issuer, "uri", workflow); err == nil {
			t.Errorf("%s: %+v", name, known)
		}
	}
}

func TestTimeMatcher_SaysWhenASignatureExisted(t *testing.T) {
	w := newWorld(t)
	e := w.signed(workflowOf(workflow, source))
	m, err := w.authority.TimeMatcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := m.Seen(t.Context(), e); err != nil || !at.Equal(w.Now.Add(time.Minute)) {
		t.Errorf("%v, %v", at, err)
	}
	e.Signatures = [][]byte{{1}}
	if at, err := m.Seen(t.Context(), e); err == nil {
		t.Errorf("seen at %v, with another signature", at)
	}
	stamped, err := w.newAuthority(sigstore.Instance{Root: w.Root(), RequireTimestamps: true}).TimeMatcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := stamped.Seen(t.Context(), w.signed(workflowOf(workflow, source))); err == nil {
		t.Errorf("seen at %v, by a log where timestamps are required", at)
	}
	b := w.Issue(workflowOf(workflow, source)).SignStatement(statement).Log(w.Rekor1, "dsse 0.0.1").Stamp(w.TSA)
	if at, err := stamped.Seen(t.Context(), w.evidence(b)); err != nil || !at.Equal(w.Now.Add(2*time.Minute)) {
		t.Errorf("%v, %v", at, err)
	}
	for _, s := range []map[string]any{{"instance": "other"}, {"root": "0"}, {"issuer": issuer}, {"instance": 1}} {
		if m, err := w.authority.TimeMatcher(s); m != nil || !errors.Is(err, sigstore.ErrInvalid) {
			t.Errorf("%v: %v, %v", s, m, err)
		}
	}
}

func TestAttack_T5_ALayersEnvelopeWithoutTheSignatureFound(t *testing.T) {
	w := newWorld(t)
	b := w.Issue(workflowOf(workflow, source)).SignStatement(statement)
	e := policy.SignedEvidence{
		MediaType: dsse.EnvelopeMediaType, Content: b.EnvelopeText(), Message: b.Message, Signatures: [][]byte{[]byte("another")}, Now: w.Now.Add(time.Hour),
		Annotations: b.Annotations(w.Rekor1, "dsse 0.0.1", w.TSA),
	}
	if got, err := w.judge(e, "issuer", issuer, "uri", workflow); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTimesOfEvidenceWithoutASignerAreNotKnown(t *testing.T) {
	w := newWorld(t)
	m, err := w.authority.TimeMatcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := policy.SignedEvidence{MediaType: simplesigning.LayerMediaType, Signatures: [][]byte{[]byte("one")}, Now: w.Now}
	if at, err := m.Seen(t.Context(), e); !at.IsZero() || err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("%s, %v", at, err)
	}
}
