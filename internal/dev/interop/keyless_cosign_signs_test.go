package interop

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/interop/sigstorestack"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

// Images that cosign signs without a key.
var keylessSigns = []keylessWay{
	{name: "cosign3-rekor2", version: "cosign3", rekor: 2, stamped: true},
	{name: "cosign3-rekor1", version: "cosign3", rekor: 1, stamped: true},
	{name: "cosign2-sig-tag", version: "cosign2", rekor: 1},
	{name: "cosign2-sig-tag-stamped", version: "cosign2", rekor: 1, stamped: true},
	{name: "cosign2-bundle", version: "cosign2", rekor: 1, flags: []string{"--new-bundle-format"}},
}

// Attestations that cosign makes without a key.
var keylessAttests = []keylessWay{
	{name: "cosign3-rekor2", version: "cosign3", rekor: 2, stamped: true},
	{name: "cosign3-rekor1", version: "cosign3", rekor: 1, stamped: true},
	{name: "cosign2-att-tag-dsse", version: "cosign2", rekor: 1},
	{name: "cosign2-att-tag-intoto", version: "cosign2", rekor: 1, flags: []string{"--rekor-entry-type", "intoto"}},
	{name: "cosign2-bundle", version: "cosign2", rekor: 1, flags: []string{"--new-bundle-format"}},
}

// Files that cosign signs without a key.
var keylessBlobs = []keylessWay{
	{name: "cosign3-rekor2", version: "cosign3", rekor: 2, stamped: true},
	{name: "cosign3-rekor1", version: "cosign3", rekor: 1, stamped: true},
	{name: "cosign2-bundle", version: "cosign2", rekor: 1, flags: []string{"--new-bundle-format"}},
}

func TestWeVerifyWhatCosignSignsWithoutKey(t *testing.T) {
	host := inMemory.start(t)
	for _, w := range keylessSigns {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			w.run(t, "sign", "", s.image.String())
			s.judges(s.tag).accepts(t, byJane(t))
			refusesDefects(t, s.judges(s.tag), w, byJane(t))
			if _, err := s.judges(s.other)(t, byJane(t).verifier(t)); err == nil {
				t.Error("another image verified")
			}
		})
	}
}

func TestWeVerifyWhatCosignAttestsWithoutKey(t *testing.T) {
	host := inMemory.start(t)
	for _, w := range keylessAttests {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			predicate := writeFile(t, filepath.Join(t.TempDir(), "predicate.json"), []byte(`{"checked": true}`))
			w.run(t, "attest", "", "--type", keylessType, "--predicate", predicate, s.image.String())
			r := byJane(t)
			r.attested = true
			s.judges(s.tag).accepts(t, r)
			refusesDefects(t, s.judges(s.tag), w, r)
		})
	}
}

func TestWeVerifyFilesThatCosignSignsWithoutKey(t *testing.T) {
	for _, w := range keylessBlobs {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			bundle := w.signsBlob(t, blobText)
			judge := judgesBlob(blobText, bundle)
			judge.accepts(t, byJane(t))
			refusesDefects(t, judge, w, byJane(t))
			if _, err := judgesBlob(blobText+"!", bundle)(t, byJane(t).verifier(t)); err == nil {
				t.Error("another file verified")
			}
		})
	}
}

// refusesDefects judges evidence with one thing wrong at a time.
func refusesDefects(t *testing.T, judge judges, w keylessWay, good recognised) {
	t.Helper()
	otherP256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherEd25519, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ended := time.Now().Add(-time.Minute * 4)
	for _, d := range []struct {
		name, why string
		change    func(r *recognised)
		// none: the defect is none for evidence made this way.
		none bool
	}{
		{name: "identity", why: "the subject is", change: func(r *recognised) { r.settings["email"] = "john@acme.example" }},
		{name: "kind of identity", why: "the subject is", change: func(r *recognised) { r.settings["username"] = jane; delete(r.settings, "email") }},
		{name: "issuer", why: "the issuer is", change: func(r *recognised) { r.settings["issuer"] = "http://127.0.0.1:1" }},
		{name: "claim", why: "sourceRepository is", change: func(r *recognised) { r.settings["sourceRepository"] = "https://github.com/acme/app" }},
		{name: "log", why: "transparency log: 0 logs", change: func(r *recognised) {
			r.trust.Rekor1.Key, r.trust.Rekor2.Key = otherP256.Public(), otherEd25519
		}},
		{name: "log of certificates", why: "0 certificate transparency logs", change: func(r *recognised) { r.trust.CT.Key = otherP256.Public() }},
		{name: "end of trust in the log", why: "the log is not trusted at", change: func(r *recognised) { r.trust.Rekor1.End, r.trust.Rekor2.End = ended, ended }},
		{name: "end of trust in the log of certificates", why: "0 certificate transparency logs", change: func(r *recognised) { r.trust.CT.End = ended }},
		{name: "end of trust in the authority", why: "no authority is trusted and valid", change: func(r *recognised) { r.trust.CA.End = ended }},
		{name: "authority", why: "no certificate of the trust root has issued it", change: func(r *recognised) {
			r.trust.CA.Chain = sigstoretest.New(t, sigstoretest.Options{Now: time.Now()}).CA.Chain
		}},
		{name: "end of trust in the timestamp authority", why: "signing time", none: !w.stamped, change: func(r *recognised) {
			r.trust.TSA.End, r.requireTimestamps = ended, true
		}},
		{name: "no timestamp", why: "0 verified timestamps", none: w.stamped, change: func(r *recognised) { r.requireTimestamps = true }},
		{name: "time in the future", why: "is in the future", change: func(r *recognised) { r.now = time.Now().Add(-time.Hour) }},
	} {
		if d.none {
			continue
		}
		t.Run("refused/"+d.name, func(t *testing.T) {
			bad := good
			bad.settings = maps.Clone(good.settings)
			d.change(&bad)
			judge.refuses(t, bad, d.why)
		})
	}
}

// A workflow's certificate says more than its subject. The subject of a workflow that
// others call is not its caller's, so who may call it must be said.
func TestWeVerifyWhatWorkflowsSign(t *testing.T) {
	stack, host := sigstoreStack(t), inMemory.start(t)
	own := sigstorestack.Workflow{Repository: "acme/app", File: "release.yml", Ref: "refs/tags/v1"}
	shared := sigstorestack.Workflow{Repository: "acme/app", File: "build.yml", Ref: "refs/heads/main", Called: "shared/actions/.github/workflows/sign.yml@refs/tags/v3"}
	stranger := shared
	stranger.Repository = "evil/app"
	const source = "https://github.com/acme/app"
	ownURI, sharedURI := "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*", "https://github.com/shared/actions/.github/workflows/sign.yml@refs/tags/v3"
	for _, test := range []struct {
		name     string
		workflow sigstorestack.Workflow
		settings map[string]any
		refused  string
	}{
		{"own", own, map[string]any{"uri": ownURI, "sourceRef": "refs/tags/v1", "buildTrigger": "push", "runner": "github-hosted"}, ""},
		{"own, another ref", own, map[string]any{"uri": ownURI, "sourceRef": "refs/tags/v2"}, "sourceRef is"},
		{"own, another file", own, map[string]any{"uri": "https://github.com/acme/app/.github/workflows/test.yml@refs/tags/*"}, "the subject is"},
		{"shared", shared, map[string]any{"uri": sharedURI, "sourceRepository": source}, ""},
		{"shared, by any caller", shared, map[string]any{"uri": sharedURI}, "was called by another repository"},
		{"shared, called by another", stranger, map[string]any{"uri": sharedURI, "sourceRepository": source}, "sourceRepository is"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, host)
			token, err := stack.Workflows.Workflow(test.workflow)
			if err != nil {
				t.Fatal(err)
			}
			keylessSigns[0].run(t, "sign", token, s.image.String())
			r := recognised{settings: test.settings, trust: stack.Trust}
			r.settings["issuer"] = stack.Workflows.URL
			if test.refused != "" {
				s.judges(s.image).refuses(t, r, test.refused)
				return
			}
			if p := s.judges(s.image).accepts(t, r); p.Claims["sourceRepository"] != source || p.Claims["uri"] != test.workflow.URI() {
				t.Errorf("%+v", p.Claims)
			}
		})
	}
}
