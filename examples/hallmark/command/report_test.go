package command

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// page is the report on an inspection.
func page(t *testing.T, i *inspector, r verify.Inspection) string {
	t.Helper()
	var b strings.Builder
	made, err := template.New("report").Parse(reportTemplate)
	must(t, err)
	must(t, made.Execute(&b, newReporting(i, r).report(r)))
	return b.String()
}

// inspectionOf has a text in every place that an attacker or a registry can write.
func inspectionOf(text string) verify.Inspection {
	lines := func(names ...string) (all []predicate.SummaryLine) {
		for _, n := range names {
			all = append(all, predicate.SummaryLine{Name: n, Value: text})
		}
		return append(all, predicate.SummaryLine{Name: text, Value: text})
	}
	piece := func(kind, predicateType string, facts []predicate.SummaryLine) verify.InspectedEvidence {
		return verify.InspectedEvidence{
			Description: registry.Description{
				Kind: kind, Format: registry.Format(text), Place: registry.Place(text), Manifest: text, ArtifactType: text, MediaType: text, PredicateType: predicateType,
				Signer:   registry.SignerHint{KeyID: text, Hint: text, Certificate: true, Identities: []string{text}, Issuer: text, SourceRepository: text},
				Subjects: []string{text}, SubjectMatches: true, Repository: text, Annotations: map[string]string{"k": text}, Created: text, Error: text,
			},
			Predicate: facts, VerifiedBy: []verify.Principal{},
			Judged: []verify.Evidence{{KeyID: text, Requirement: text, Reason: verify.Reason(text), Detail: text}},
		}
	}
	return verify.Inspection{Image: text, InspectedManifest: verify.InspectedManifest{
		Digest: text, MediaType: text, ArtifactType: text, Error: text,
		Decision: &verify.Report{
			Status: verify.StatusDenied, Reason: verify.Reason(text), Detail: text, Rule: text, Policy: text, AsOf: time.Unix(1, 0),
			Requirements:   []verify.Met{{Requirement: text, Title: text, Keys: []verify.Principal{{ID: text, Name: text}, {ID: text, Signer: text}}}},
			Unmet:          []verify.Unmet{{Requirement: text, Title: text, Reason: verify.Reason(text), Detail: text}},
			DeniedChildren: []verify.DeniedChild{{Digest: text, Platform: text, Reason: text}},
			Evidence:       []verify.Evidence{{Place: registry.Place(text), Manifest: text, Reason: verify.Reason(text), Detail: text}},
		},
		Evidence: []verify.InspectedEvidence{
			piece("attestation", predicate.TypeProvenance, lines("builder", "source", "commit", "finished", "build type")),
			piece("attestation", predicate.TypeSPDX, lines("format", "name", "created", "packages")),
			piece("attestation", predicate.TypeVulns, lines("scanner", "finished", "database", "database updated", "findings")),
			piece("attestation", text, lines("x")), piece(kindOther, text, nil), piece(kindSBOM, text, nil), piece(text, text, nil),
		},
		Manifests: []verify.InspectedManifest{{
			Digest: text, MediaType: text, Platform: text, AttestationOf: text, Error: text,
			Statements: []verify.UnsignedStatement{{PredicateType: text, Predicate: lines("x"), Error: text}},
		}},
	}}
}

var (
	tags  = regexp.MustCompile(`<[^>]*>`)
	hrefs = regexp.MustCompile(`(?i)\s(?:href|src|action|srcset|style|on[a-z]+)\s*=\s*"?([^">]*)`)
)

func TestAttack_F6_ReportEscapesWhateverIsAttached(t *testing.T) {
	plain := tags.FindAllString(page(t, &inspector{}, inspectionOf("plain")), -1)
	for _, text := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`, `https://evil.example/"onclick="x`,
		`</style><script>alert(1)</script>`, `</title><script>x</script>`, `</code></p></main>`, `<!--`, `-->`, `]]>`, `<svg/onload=alert(1)>`,
		`{{.}}`, `{{template "badge" .}}`, `url(https://evil.example/x)`, `}*{background:url(//evil.example)}`, `expression(alert(1))`, `&lt;script&gt;`, `&#60;script>`,
		"\u202egnp.exe", "a\x00b\x1b[31m\x07", "\xff\xfe<script>", "\u2066\u2069\u200b\ufeff", "a\r\nb\u2028c", "+ADw-script+AD4-", `\u003cscript\u003e`,
		strings.Repeat("<b>", 100_000), strings.Repeat("a", 1<<20), strings.Repeat("\u0301", 10_000), strings.Repeat("x: 1 y, ", 50_000),
		"1: 1 <script>", "99999999999999999999: 1 critical", "0", "2: 1 critical, 1 \"><script>x",
	} {
		got := page(t, &inspector{}, inspectionOf(text))
		found := tags.FindAllString(got, -1)
		noFigures := func(all []string) []string { // a claim says how many
			return slices.DeleteFunc(slices.Clone(all), func(tag string) bool {
				return slices.Contains([]string{"b", "span", "ul", "li", "code", "small"}, strings.Trim(strings.Fields(tag)[0], "</>"))
			})
		}
		if !slices.Equal(noFigures(found), noFigures(plain)) {
			t.Errorf("%.40q: the page has other tags", text)
		}
		for _, at := range hrefs.FindAllStringSubmatch(strings.Join(found, ""), -1) {
			if !strings.HasPrefix(at[1], "#") {
				t.Errorf("%.40q: %.80q", text, at[0])
			}
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%.40q: the page has %q", text, got[i:i+3])
		}
		if len(got) > 300_000 {
			t.Errorf("%.40q: the page has %d bytes", text, len(got))
		}
	}
}

func TestAttack_F6_ReportIsBounded(t *testing.T) {
	r := inspectionOf("x")
	r.Evidence = slices.Repeat(r.Evidence, 3000)
	r.Manifests = slices.Repeat(r.Manifests, 1000)
	r.Evidence[0].Predicate = slices.Repeat(r.Evidence[0].Predicate, 10_000)
	r.Evidence[0].Judged = slices.Repeat(r.Evidence[0].Judged, 10_000)
	r.Decision.Evidence = slices.Repeat(r.Decision.Evidence, 10_000)
	r.Decision.DeniedChildren = slices.Repeat(r.Decision.DeniedChildren, 10_000)
	got := page(t, &inspector{}, r)
	if len(got) > 1_000_000 || !strings.Contains(got, "entries are left out") || !strings.Contains(got, "more lines") {
		t.Errorf("the page has %d bytes", len(got))
	}
}

func TestReport_SaysThatNothingIsVerifiedWithoutKeyAndPolicy(t *testing.T) {
	x := layoutTarget(t)
	c, keys := newCLI(t), team(t)
	shipped(t, x, keys, "")
	const unverified = "Nothing in this report is verified"
	plain := c.must("inspect", "-o", "html", x.tag("v1")).prints(unverified, "not judged", ">not verified<", "https://ci.example/builder", "Not verified: it says")
	if strings.Contains(plain.stdout, ">counts<") || strings.Contains(plain.stdout, "Signed by") {
		t.Error("something is said to be verified")
	}
	keyed := c.must("inspect", "-o", "html", "--key", keys["builder"].public, x.tag("v1")).prints("verified by the given keys", ">signed by a given key<", ">not verified<", "not judged")
	judged := c.must("inspect", "-o", "html", "--policy", policyIn(t, "production.yaml", keys, here...), x.tag("v1")).
		prints("<strong>verified</strong>", "verified by the policy", ">counts<", "Signed by builder", "signature by release", "Built by ", "Scanned by ", keys["release"].id)
	for _, o := range []outcome{keyed, judged} {
		if strings.Contains(o.stdout, unverified) {
			t.Error("it says that nothing is verified")
		}
	}
	c.must("inspect", "-o", "html", "--policy", policyIn(t, "production.yaml", team(t), here...), x.tag("v1")).
		prints("<strong>denied</strong>", ">not met<", ">does not count<")
}

func TestReport_IsOneFileWithoutScript(t *testing.T) {
	x := layoutTarget(t)
	x.pushIndex("v1")
	got := newCLI(t).must("inspect", "-o", "html", "--recursive", x.tag("v1")).stdout
	_, style, _ := strings.Cut(got, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	for _, want := range []string{policy, `<html lang="en">`, "linux/arm64", "prefers-color-scheme: dark", "@media print"} {
		if !strings.Contains(html.UnescapeString(got), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, no := range []string{"<script", "<link", "<img", "<iframe", "<object", "@import", "url(", "http-equiv=\"refresh\"", "javascript:"} {
		if strings.Contains(strings.ToLower(got), no) {
			t.Errorf("the page has %s", no)
		}
	}
}

func TestReport_ReadsAnyConfig(t *testing.T) {
	for _, config := range []string{`{}`, `null`, `[]`, `{"config":null}`, `{"created":"x"}`, `{"os":"linux","config":{"Cmd":["a\u001b","<b>"],"User":"<script>"}}`, "", strings.Repeat("[", 10_000)} {
		x := layoutTarget(t)
		pushConfigured(t, x, config)
		o := newCLI(t).must("inspect", "-o", "html", x.tag("v1"))
		if strings.Contains(o.stdout, "<script>") || strings.Contains(o.stdout, "\x1b") {
			t.Errorf("%.40q is not escaped", config)
		}
	}
}

// pushConfigured pushes an image with this text as its config.
func pushConfigured(t *testing.T, x target, config string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	sum := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(config)))
	hash, err := v1.NewHash(sum)
	must(t, err)
	must(t, x.store.PushBlob(ctx, x.repo.Digest(sum), int64(len(config)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(config)), nil }))
	m, err := registry.NewManifest("application/vnd.oci.image.manifest.v1+json",
		fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`, hash, len(config)))
	must(t, err)
	_, err = x.store.PushManifest(ctx, x.repo.Tag("v1"), m, registry.PushOptions{})
	must(t, err)
}

func TestReport_IsOfInspectAlone(t *testing.T) {
	newCLI(t).run("verify", "-o", "html", "a/b:c").exits(exitUndecided).says("use text or json")
}
