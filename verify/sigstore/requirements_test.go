package sigstore_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// judgedBy judges the image by a policy at a time after it was signed.
func (w *world) judgedBy(text string, after time.Duration, bundles ...[]byte) (*verify.Result, error) {
	w.t.Helper()
	linked := map[string]policy.Authority{"sigstore": w.authority}
	p, err := policy.Parse([]byte(text), policy.ParseOptions{Authorities: linked})
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked, Now: func() time.Time { return w.Now.Add(after) }})
	if err != nil {
		w.t.Fatal(err)
	}
	return v.Bundles(w.t.Context(), w.image(), bundles...)
}

func (w *world) image() name.Digest {
	w.t.Helper()
	digest, err := name.NewDigest(image)
	if err != nil {
		w.t.Fatal(err)
	}
	return digest
}

// isDenied checks that a piece of evidence, or the decision, has the reason.
func isDenied(t *testing.T, label string, res *verify.Result, err error, because verify.Reason, says string) {
	t.Helper()
	var denied *verify.Error
	if !errors.As(err, &denied) {
		t.Errorf("%s: %+v, %v; want it denied", label, res, err)
		return
	}
	for _, e := range denied.Evidence {
		if e.Reason == because && strings.Contains(e.Detail, says) {
			return
		}
	}
	t.Errorf("%s: %+v, want %s with %q", label, denied.Evidence, because, says)
}

func isAllowed(t *testing.T, label string, res *verify.Result, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", label, err)
	} else if len(res.Keys) != 1 {
		t.Errorf("%s: %+v", label, res.Keys)
	}
}

// byKey is a statement about the image whose signer is a key.
type byKey struct {
	*sigstoretest.Bundle
	w      *world
	signer *sigstoretest.Signer
	der    []byte
}

func (w *world) byKey(s *sigstoretest.Signer) byKey {
	w.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.Key.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	b := s.SignStatement(imageStatement(w.image()))
	delete(b.Material(), "certificate")
	b.Material()["publicKey"] = sigstoretest.Object{"hint": "h"}
	return byKey{b, w, s, der}
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// logged records the signature with a key.
func (b byKey) logged(l *sigstoretest.Log, kind string, key []byte) byKey {
	body := string(b.Body(kind))
	if l.V2 {
		body = strings.Replace(body, `"x509Certificate"`, `"publicKey"`, 1)
		body = strings.Replace(body, base64.StdEncoding.EncodeToString(b.signer.Certificate.Raw), base64.StdEncoding.EncodeToString(key), 1)
	} else {
		body = strings.Replace(body, base64.StdEncoding.EncodeToString(b.signer.PEM()), base64.StdEncoding.EncodeToString([]byte(pemOf(key))), 1)
	}
	name, version, _ := strings.Cut(kind, " ")
	b.AddEntry(l.Add(b.w.Instance, name, version, []byte(body), sigstoretest.Record{}))
	return b
}

func (b byKey) stamped(a *sigstoretest.Authority) byKey {
	b.Stamp(a)
	return b
}

const keyPolicy = `version: 1
timestamps:
  public: {authority: sigstore}
keys:
  release: {logged: true, pem: %q}
roles:
  release: {keys: [release]}
files: [{signature: {by: release}}]
rules:
  - images: [registry.example/acme/**]
    require:
      - signature: {by: release}
`

// The insider's backdated signature: what a key signs must be seen.
func TestAttack_T5_KeysThatMustBeLogged(t *testing.T) {
	w := newWorld(t)
	other := sigstoretest.New(t, sigstoretest.Options{})
	s := w.Issue(workflowOf(workflow, source))
	stranger := w.byKey(w.Issue(workflowOf(workflow, source))).der
	for label, c := range map[string]struct {
		bundle byKey
		ok     bool
		says   string
	}{
		"rekor v1":               {w.byKey(s).logged(w.Rekor1, "dsse 0.0.1", w.byKey(s).der), true, ""},
		"rekor v2, no time":      {w.byKey(s).logged(w.Rekor2, "dsse 0.0.2", w.byKey(s).der), true, ""},
		"a timestamp":            {w.byKey(s).stamped(w.TSA), true, ""},
		"nothing":                {w.byKey(s), false, "0 logs of the trust root"},
		"another's log":          {w.byKey(s).logged(other.Rekor1, "dsse 0.0.1", w.byKey(s).der), false, "0 logs of the trust root"},
		"another's timestamp":    {w.byKey(s).stamped(other.TSA), false, "does not have the timestamp authority"},
		"an entry of a stranger": {w.byKey(s).logged(w.Rekor1, "dsse 0.0.1", stranger), false, "key of the log entry differs"},
		"an entry of a certificate": {func() byKey {
			b := w.byKey(s)
			b.Log(w.Rekor1, "dsse 0.0.1")
			return b
		}(), false, "key of the log entry differs"},
		"an entry of another signature": {func() byKey {
			b, other := w.byKey(s), w.byKey(s).logged(w.Rekor1, "dsse 0.0.1", w.byKey(s).der)
			b.AddEntry(other.Entry(0))
			return b
		}(), false, "signature of the log entry differs"},
		"a stamp of another signature": {func() byKey {
			b := w.byKey(s)
			b.AddStamp(w.TSA.Stamp(w.Instance, []byte("another"), sigstoretest.Stamp{}))
			return b
		}(), false, "of another signature"},
	} {
		text := fmt.Sprintf(keyPolicy, pemOf(w.byKey(s).der))
		res, err := w.judgedBy(text, time.Hour, c.bundle.Text())
		if c.ok {
			isAllowed(t, label, res, err)
		} else {
			isDenied(t, label, res, err, verify.ReasonNotLogged, c.says)
		}
		res, err = w.judgedBy(strings.Replace(text, "logged: true, ", "", 1), time.Hour, c.bundle.Text())
		isAllowed(t, label+", not asked for", res, err)
	}
}

func TestResultsSayWhereALogHasAKeysSignature(t *testing.T) {
	w := newWorld(t)
	s := w.Issue(workflowOf(workflow, source))
	der := w.byKey(s).der
	res, err := w.judgedBy(fmt.Sprintf(keyPolicy, pemOf(der)), time.Hour, w.byKey(s).logged(w.Rekor1, "dsse 0.0.1", der).Text())
	if err != nil || !strings.HasPrefix(res.Keys[0].Claims["logIndex"], "10") || res.Keys[0].Signer != "" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAttack_T5_FilesByKeysThatMustBeLogged(t *testing.T) {
	w := newWorld(t)
	s := w.Issue(workflowOf(workflow, source))
	der := w.byKey(s).der
	p, err := policy.Parse(fmt.Appendf(nil, keyPolicy, pemOf(der)), policy.ParseOptions{Authorities: map[string]policy.Authority{"sigstore": w.authority}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: map[string]policy.Authority{"sigstore": w.authority}, Now: func() time.Time { return w.Now.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	file := []byte("a file")
	message := func() byKey {
		b := s.SignMessage(file)
		delete(b.Material(), "certificate")
		b.Material()["publicKey"] = sigstoretest.Object{"hint": "h"}
		return byKey{b, w, s, der}
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(file))
	for label, c := range map[string]struct {
		signature []byte
		ok        bool
	}{
		"logged":   {message().logged(w.Rekor1, "hashedrekord 0.0.1", der).Text(), true},
		"stamped":  {message().stamped(w.TSA).Text(), true},
		"neither":  {message().Text(), false},
		"detached": {message().Signature, false},
	} {
		res, err := v.Blob(t.Context(), bytes.NewReader(file), c.signature)
		if (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v", label, res, err)
		}
		if res, err = v.BlobDigest(t.Context(), digest, c.signature); (err == nil) != c.ok {
			t.Errorf("%s, by digest: %+v, %v", label, res, err)
		}
	}
}

// provenanceOf is a statement of provenance, of either version.
func provenanceOf(digest name.Digest, version, builder, repository, ref, commit string) []byte {
	sum := strings.TrimPrefix(digest.DigestStr(), "sha256:")
	if version == "v0.2" {
		return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":"https://slsa.dev/provenance/v0.2","predicate":{"builder":{"id":%q},"buildType":"https://ci.example/v1","invocation":{"configSource":{"uri":"git+%s@%s","digest":{"sha1":%q}}}}}`,
			sum, builder, repository, ref, commit)
	}
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://ci.example/v1","externalParameters":{},"resolvedDependencies":[{"uri":"git+%s@%s","digest":{"gitCommit":%q}}]},"runDetails":{"builder":{"id":%q}}}}`,
		sum, repository, ref, commit, builder)
}

const boundPolicy = `version: 1
keys: {spare: {pem: %q}}
identities:
  ci:
    authority: sigstore
    settings: {issuer: https://token.actions.githubusercontent.com, uri: "https://github.com/acme/**@refs/tags/*", sourceRepository: "**"}
roles:
  ci: {identities: [ci], keys: [spare], threshold: 1}
rules:
  - images: [registry.example/acme/**]
    require:
      - attestation:
          type: slsaprovenance
          by: ci
          builder: [https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1, https://github.com/acme/other/.github/workflows/ci.yml@refs/tags/v1]
          source: [git+https://github.com/acme/app, git+https://github.com/acme/other]
          ref: [refs/tags/v1, refs/heads/main]
          boundToCertificate: true
`

const commit = "0123456789abcdef0123456789abcdef01234567"

// buildBy is the certificate of a build.
func buildBy(uri, builder, repository, ref string) sigstoretest.Leaf {
	l := workflowOf(uri, repository)
	if builder != "" {
		l.Claims[9] = builder
	}
	if ref != "" {
		l.Claims[14] = ref
	}
	l.Claims[13] = commit
	return l
}

// What patterns leave open must be one thing for the provenance and its certificate.
func TestAttack_T14_PatternsAreBoundToTheCertificate(t *testing.T) {
	w := newWorld(t)
	text := fmt.Sprintf(boundPolicy, pemOf(w.byKey(w.Issue(workflowOf(workflow, source))).der))
	text = strings.NewReplacer("[https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1, https://github.com/acme/other/.github/workflows/ci.yml@refs/tags/v1]", `["https://github.com/acme/*/.github/workflows/*@refs/tags/*"]`,
		"[git+https://github.com/acme/app, git+https://github.com/acme/other]", `["git+https://github.com/acme/*"]`, "[refs/tags/v1, refs/heads/main]", `["refs/tags/*"]`).Replace(text)
	const other = "https://github.com/acme/other"
	statement := provenanceOf(w.image(), "v1", workflow, source, "refs/tags/v1", commit)
	for label, c := range map[string]struct {
		leaf    sigstoretest.Leaf
		because verify.Reason
		says    string
	}{
		"what both say":       {buildBy(workflow, workflow, source, "refs/tags/v1"), "", ""},
		"another source":      {buildBy(workflow, workflow, other, "refs/tags/v1"), verify.ReasonSource, other},
		"a stranger's source": {buildBy(workflow, workflow, "https://github.com/evil/app", "refs/tags/v1"), verify.ReasonSource, "evil"},
		"another ref":         {buildBy(workflow, workflow, source, "refs/tags/v2"), verify.ReasonSource, "refs/tags/v2"},
		"a branch":            {buildBy(workflow, workflow, source, "refs/heads/main"), verify.ReasonSource, `the policy wants "refs/tags/*"`},
		"another workflow":    {buildBy(workflow, strings.Replace(workflow, "release", "ci", 1), source, "refs/tags/v1"), verify.ReasonBuilder, "ci.yml"},
	} {
		bundle := w.Issue(c.leaf).SignStatement(statement).Log(w.Rekor1, "dsse 0.0.1").Text()
		res, err := w.judgedBy(text, time.Hour, bundle)
		if c.because == "" {
			isAllowed(t, label, res, err)
		} else {
			isDenied(t, label, res, err, c.because, c.says)
		}
	}
}

// A job writes its provenance itself; its identity provider does not let it write the
// certificate.
func TestAttack_T14_ProvenanceThatTheCertificateContradicts(t *testing.T) {
	w := newWorld(t)
	const other, otherBuilder = "https://github.com/acme/other", "https://github.com/acme/other/.github/workflows/ci.yml@refs/tags/v1"
	const stranger = "https://github.com/acme/evil/.github/workflows/x.yml@refs/tags/v1"
	honest := func(version string) []byte {
		return provenanceOf(w.image(), version, workflow, source, "refs/tags/v1", commit)
	}
	for label, c := range map[string]struct {
		leaf    sigstoretest.Leaf
		because verify.Reason
		says    string
	}{
		"what both say":                 {buildBy(workflow, workflow, source, "refs/tags/v1"), "", ""},
		"no builder but the subject":    {buildBy(workflow, "", source, "refs/tags/v1"), "", ""},
		"a stranger's workflow":         {buildBy(stranger, stranger, source, "refs/tags/v1"), verify.ReasonBuilder, stranger},
		"another builder of the policy": {buildBy(otherBuilder, otherBuilder, source, "refs/tags/v1"), verify.ReasonBuilder, otherBuilder},
		"a builder beside the subject":  {buildBy(workflow, stranger, source, "refs/tags/v1"), verify.ReasonBuilder, stranger},
		"a stranger's source":           {buildBy(workflow, workflow, "https://github.com/acme/evil", "refs/tags/v1"), verify.ReasonSource, `"https://github.com/acme/evil", the policy wants`},
		"another source of the policy":  {buildBy(workflow, workflow, other, "refs/tags/v1"), verify.ReasonSource, other},
		"another ref of the policy":     {buildBy(workflow, workflow, source, "refs/heads/main"), verify.ReasonSource, "refs/heads/main"},
		"another ref":                   {buildBy(workflow, workflow, source, "refs/heads/evil"), verify.ReasonSource, `sourceRef is "refs/heads/evil", the policy wants "refs/tags/v1"`},
		"no source":                     {buildBy(workflow, workflow, "", "refs/tags/v1"), verify.ReasonNotBound, "has no sourceRepository"},
		"no ref":                        {buildBy(workflow, workflow, source, ""), verify.ReasonNotBound, "has no sourceRef"},
		"a source with git+":            {buildBy(workflow, workflow, "git+"+source, "refs/tags/v1"), verify.ReasonSource, "git+"},
		"a source with an end":          {buildBy(workflow, workflow, source+".git", "refs/tags/v1"), verify.ReasonSource, source + ".git"},
	} {
		for _, version := range []string{"v1", "v0.2"} {
			text := fmt.Sprintf(boundPolicy, pemOf(w.byKey(w.Issue(workflowOf(workflow, source))).der))
			if c.leaf.Claims[12] == "" {
				text = strings.Replace(text, `, sourceRepository: "**"`, "", 1)
			}
			bundle := w.Issue(c.leaf).SignStatement(honest(version)).Log(w.Rekor1, "dsse 0.0.1").Text()
			res, err := w.judgedBy(text, time.Hour, bundle)
			if c.because == "" {
				isAllowed(t, label+" "+version, res, err)
			} else {
				isDenied(t, label+" "+version, res, err, c.because, c.says)
			}
			res, err = w.judgedBy(strings.Replace(text, "boundToCertificate: true", "", 1), time.Hour, bundle)
			isAllowed(t, label+" "+version+", not bound", res, err)
		}
	}
}

func TestAttack_T14_ABoundCommitIsTheCertificates(t *testing.T) {
	w := newWorld(t)
	text := strings.Replace(fmt.Sprintf(boundPolicy, pemOf(w.byKey(w.Issue(workflowOf(workflow, source))).der)),
		"boundToCertificate: true", "boundToCertificate: true\n          commit: [\""+commit+"\"]", 1)
	for label, claimed := range map[string]string{"the same": commit, "another": strings.Repeat("ab", 20), "none": ""} {
		l := buildBy(workflow, workflow, source, "refs/tags/v1")
		if l.Claims[13] = claimed; claimed == "" {
			delete(l.Claims, 13)
		}
		res, err := w.judgedBy(text, time.Hour, w.Issue(l).SignStatement(provenanceOf(w.image(), "v1", workflow, source, "refs/tags/v1", commit)).Log(w.Rekor1, "dsse 0.0.1").Text())
		switch label {
		case "the same":
			isAllowed(t, label, res, err)
		case "another":
			isDenied(t, label, res, err, verify.ReasonSource, "sourceDigest")
		default:
			isDenied(t, label, res, err, verify.ReasonNotBound, "has no sourceDigest")
		}
	}
}

func TestAttack_T14_AKeyIsBoundToNoCertificate(t *testing.T) {
	w := newWorld(t)
	s := w.Issue(workflowOf(workflow, source))
	der := w.byKey(s).der
	b := s.SignStatement(provenanceOf(w.image(), "v1", workflow, source, "refs/tags/v1", commit))
	delete(b.Material(), "certificate")
	b.Material()["publicKey"] = sigstoretest.Object{"hint": "h"}
	text := fmt.Sprintf(boundPolicy, pemOf(der))
	res, err := w.judgedBy(text, time.Hour, b.Text())
	isDenied(t, "a key", res, err, verify.ReasonNotBound, `a key has signed it, and the policy wants a certificate whose buildSigner is`)
	res, err = w.judgedBy(strings.Replace(text, "boundToCertificate: true", "", 1), time.Hour, b.Text())
	isAllowed(t, "a key, not bound", res, err)
}

// identityPolicy has one identity with more members.
func identityPolicy(more, requirement string) string {
	return `version: 1
identities:
  ci:
    authority: sigstore
    settings: {issuer: https://token.actions.githubusercontent.com, uri: https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*}
` + more + `
roles:
  ci: {identities: [ci]}
rules:
  - images: [registry.example/acme/**]
    require:
      - ` + requirement + "\n"
}

// The signature exists a minute after the instance's Now, by its log entry.
func TestAttack_T5_EndsOfIdentities(t *testing.T) {
	w := newWorld(t)
	at := func(d time.Duration) string { return w.Now.Add(d).UTC().Format(time.RFC3339) }
	bundle := w.Issue(workflowOf(workflow, source)).SignStatement(imageStatement(w.image())).Log(w.Rekor1, "dsse 0.0.1").Text()
	for label, c := range map[string]struct {
		more    string
		because verify.Reason
		until   time.Time
	}{
		"no end":                           {"", "", time.Time{}},
		"ends later":                       {"    notAfter: " + at(2*time.Hour), "", w.Now.Add(2 * time.Hour)},
		"has ended":                        {"    notAfter: " + at(30*time.Minute), verify.ReasonExpiredKey, time.Time{}},
		"has ended, stands":                {"    notAfter: " + at(30*time.Minute) + "\n    standsBefore: true", "", time.Time{}},
		"had ended before":                 {"    notAfter: " + at(time.Minute) + "\n    standsBefore: true", verify.ReasonExpiredKey, time.Time{}},
		"revoked":                          {"    revoked: " + at(30*time.Minute), verify.ReasonRevokedKey, time.Time{}},
		"revoked, stands":                  {"    revoked: " + at(30*time.Minute) + "\n    standsBefore: true", "", time.Time{}},
		"revoked at that moment":           {"    revoked: " + at(time.Minute) + "\n    standsBefore: true", verify.ReasonRevokedKey, time.Time{}},
		"revoked before":                   {"    revoked: " + at(-time.Minute) + "\n    standsBefore: true", verify.ReasonRevokedKey, time.Time{}},
		"revoked later, had ended before":  {"    revoked: " + at(30*time.Minute) + "\n    notAfter: " + at(-time.Minute) + "\n    standsBefore: true", verify.ReasonExpiredKey, time.Time{}},
		"revoked before, ended later":      {"    revoked: " + at(-time.Minute) + "\n    notAfter: " + at(30*time.Minute) + "\n    standsBefore: true", verify.ReasonRevokedKey, time.Time{}},
		"revoked and ended later, stands":  {"    revoked: " + at(30*time.Minute) + "\n    notAfter: " + at(30*time.Minute) + "\n    standsBefore: true", "", time.Time{}},
		"revoked in the future, no stands": {"    revoked: " + at(24*time.Hour), verify.ReasonRevokedKey, time.Time{}},
	} {
		res, err := w.judgedBy(identityPolicy(c.more, "signature: {by: ci}"), time.Hour, bundle)
		if c.because != "" {
			isDenied(t, label, res, err, c.because, "")
			continue
		}
		if isAllowed(t, label, res, err); err == nil && !res.ValidUntil.Equal(c.until) {
			t.Errorf("%s: until %v, want %v", label, res.ValidUntil, c.until)
		}
	}
}

// An old signature gets a new timestamp from anyone; its certificate stays as old.
func TestAttack_T5_AgeOfASignature(t *testing.T) {
	w := newWorld(t)
	s := w.Issue(workflowOf(workflow, source))
	for kind, text := range map[string][]byte{
		"signature: {by: ci, maxAge: 1h}": imageStatement(w.image()),
		"attestation: {type: \"https://acme.example/approval\", by: ci, acceptAnyContent: true, maxAge: 1h, maxAgeFrom: signature}": bytes.Replace(imageStatement(w.image()), []byte("https://sigstore.dev/cosign/sign/v1"), []byte("https://acme.example/approval"), 1),
		"attestation: {type: slsaprovenance, by: ci, builder: [\"" + workflow + "\"], maxAge: 1h, maxAgeFrom: signature}":           provenanceOf(w.image(), "v1", workflow, source, "refs/tags/v1", commit),
		"attestation: {type: openvex, by: ci, maxAge: 1h, maxAgeFrom: signature}":                                                   bytes.Replace(imageStatement(w.image()), []byte(`"https://sigstore.dev/cosign/sign/v1","predicate":{}`), []byte(`"https://openvex.dev/ns","predicate":{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2001-01-01T00:00:00Z","statements":[]}`), 1),
	} {
		bundle := s.SignStatement(text).Log(w.Rekor1, "dsse 0.0.1").Stamp(w.TSA).Text()
		res, err := w.judgedBy(identityPolicy("", kind), 59*time.Minute, bundle)
		if isAllowed(t, kind, res, err); err == nil && !res.ValidUntil.Equal(s.Certificate.NotBefore.Add(time.Hour)) {
			t.Errorf("%s: until %v", kind, res.ValidUntil)
		}
		res, err = w.judgedBy(identityPolicy("", kind), 61*time.Minute, bundle)
		isDenied(t, kind, res, err, verify.ReasonStale, "the policy wants it at most 1h0m0s ago")
	}
}

func TestPoliciesWhoseConditionsNoKeyCanMeetAreRefused(t *testing.T) {
	w := newWorld(t)
	der := w.byKey(w.Issue(workflowOf(workflow, source))).der
	const head = "version: 1\nkeys: {a: {pem: %q}}\nroles: {r: {keys: [a]}}\nrules:\n  - images: [registry.example/acme/**]\n    require:\n      - "
	for text, says := range map[string]string{
		head + "signature: {by: r, maxAge: 1h}":                                                                                         "needs 1 identities, and the role r has 0",
		head + "attestation: {type: spdx, by: r, maxAge: 1h, maxAgeFrom: signature}":                                                    "needs 1 identities",
		head + "attestation: {type: slsaprovenance, by: r, builder: [\"https://ci.example\"], boundToCertificate: true}":                "needs 1 identities",
		head + "attestation: {type: spdx, by: r, maxAge: 1h}":                                                                           "without maxAgeFrom",
		head + "attestation: {type: spdx, by: r, maxAgeFrom: signature}":                                                                "maxAgeFrom without maxAge",
		head + "attestation: {type: vuln, by: r, maxSeverity: low, maxAge: 1h, maxAgeFrom: log}":                                        `want signature`,
		head + "attestation: {type: spdx, by: r, boundToCertificate: true}":                                                             "has boundToCertificate",
		strings.Replace(head, "{pem: %q}", "{pem: %q, logged: true}", 1) + "signature: {by: r}":                                         "needs timestamps",
		strings.Replace(head, "roles:", "identities: {i: {authority: sigstore, standsBefore: true}}\nroles:", 1) + "signature: {by: r}": "needs revoked or notAfter",
	} {
		linked := map[string]policy.Authority{"sigstore": w.authority}
		p, err := policy.Parse(fmt.Appendf(nil, text, pemOf(der)), policy.ParseOptions{Authorities: linked})
		if p != nil || !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func TestResultsSayWhoWhenAndWhere(t *testing.T) {
	w := newWorld(t)
	bundle := w.Issue(workflowOf(workflow, source)).SignStatement(imageStatement(w.image())).Log(w.Rekor1, "dsse 0.0.1").Text()
	res, err := w.judgedBy(identityPolicy("", "signature: {by: ci}"), time.Hour, bundle)
	if err != nil {
		t.Fatal(err)
	}
	text, err := res.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"signer":"uri https://github.com/acme/app/.github/workflows/release.yml by ` + issuer + `"`, `"seenAt":"`, `"logIndex":"10`, `"sourceRepository":"` + source + `"`, `"issuer":"` + issuer + `"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s\nlacks %s", text, want)
		}
	}
}

func TestBlobDigest_JudgesAsBlobDoes(t *testing.T) {
	w := newWorld(t)
	file := []byte("a file")
	sum := sha256.Sum256(file)
	digest := fmt.Sprintf("sha256:%x", sum)
	s := w.Issue(workflowOf(workflow, source))
	statement := s.SignStatement(fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%x"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1"}`, sum))
	for label, c := range map[string]struct {
		digest string
		bundle []byte
		ok     bool
	}{
		"over bytes":         {digest, s.SignMessage(file).Log(w.Rekor1, "hashedrekord 0.0.1").Text(), true},
		"over bytes, v2":     {digest, s.SignMessage(file).Log(w.Rekor2, "hashedrekord 0.0.2").Stamp(w.TSA).Text(), true},
		"a statement":        {digest, statement.Log(w.Rekor1, "dsse 0.0.1").Text(), true},
		"another file":       {digest, s.SignMessage([]byte("another")).Log(w.Rekor1, "hashedrekord 0.0.1").Text(), false},
		"another identity":   {digest, w.Issue(sigstoretest.Leaf{Email: "a@b.example", Issuer: issuer}).SignMessage(file).Log(w.Rekor1, "hashedrekord 0.0.1").Text(), false},
		"the empty file":     {fmt.Sprintf("sha256:%x", sha256.Sum256(nil)), s.SignMessage(nil).Log(w.Rekor1, "hashedrekord 0.0.1").Text(), true},
		"of the empty file":  {digest, s.SignMessage(nil).Log(w.Rekor1, "hashedrekord 0.0.1").Text(), false},
		"no log has it":      {digest, s.SignMessage(file).Text(), false},
		"a digest in upper":  {strings.ToUpper(digest), nil, false},
		"a digest by sha512": {"sha512:" + strings.Repeat("ab", 64), nil, false},
		"no digest":          {"", nil, false},
	} {
		res, err := w.verifier("release").BlobDigest(t.Context(), c.digest, c.bundle)
		if (err == nil) != c.ok || (res == nil) == c.ok {
			t.Errorf("%s: %+v, %v", label, res, err)
		}
	}
}

// Many identities cost what one does: what cannot match is compared, and not verified.
func TestAttack_T20_ManyIdentitiesUseUpNoChecks(t *testing.T) {
	w := newWorld(t)
	var text strings.Builder
	text.WriteString("version: 1\nidentities:\n")
	var names []string
	for i := range 400 {
		names = append(names, fmt.Sprintf("i%d", i))
		fmt.Fprintf(&text, "  i%d: {authority: sigstore, settings: {issuer: %s, email: someone-%d@acme.example}}\n", i, issuer, i)
	}
	fmt.Fprintf(&text, "roles: {r: {identities: [%s], threshold: 1}}\nrules: [{images: [registry.example/acme/**], require: [{signature: {by: r}}]}]\n", strings.Join(names, ", "))
	signed := func(email string) []byte {
		return w.Issue(sigstoretest.Leaf{Email: email, Issuer: issuer}).SignStatement(imageStatement(w.image())).Log(w.Rekor1, "dsse 0.0.1").Text()
	}
	garbage := signed("mallory@evil.example")
	var bundles [][]byte
	for i := range 300 {
		bundles = append(bundles, append(slices.Clone(garbage), strings.Repeat(" ", i)...))
	}
	res, err := w.judgedBy(text.String(), time.Hour, append(bundles, signed("someone-399@acme.example"))...)
	isAllowed(t, "the last of many", res, err)
}
