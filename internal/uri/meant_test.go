package uri_test

import (
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/uri"
)

// checkAll checks texts, and what their errors say. Empty: the text is accepted.
func checkAll(t *testing.T, check func(string) error, cases map[string]string) {
	t.Helper()
	for text, want := range cases {
		err := check(text)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q is refused: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %s", text, err, want)
		case err != nil && len(err.Error()) > 1500:
			t.Errorf("%q: an error of %d bytes", text, len(err.Error()))
		}
	}
}

func TestCheckSource_SaysWhatWasMeant(t *testing.T) {
	const app = `want "git+https://github.com/acme/app"`
	checkAll(t, uri.CheckSource, map[string]string{
		"git+https://github.com/acme/*": "", "git+https://github.com/acme/**": "", "git+https://git.example/app": "", "https://git.example:8443/a/b": "",
		"git+https://git.example/team/**/app": "", "https://github.com/acme/app.git": "", "pkg:github/acme/app": "", "file:///srv/git/app": "",

		"github.com/acme/app": app, "//github.com/acme/app": app, "git+github.com/acme/app": app, "git+https:/github.com/acme/app": app, "GIT+https://github.com/acme/app": app,
		"git+https://github.com/acme/app@refs/heads/main": app, "git+https://github.com/acme/app#main": app, "git+https://github.com/acme/app?x=y": app,
		"git+https://github.com/acme/app/": app, "git+https://github.com//acme/app": app, "git+https://GitHub.com/acme/app": app, "git+https://github.com:443/acme/app": app,
		"git+https://github.com./acme/app": app, " git+https://github.com/acme/app": app, "git+https://github.com/acme/app\n": app, "git+git+https://github.com/acme/app": app,
		"git+https://github.com/acme/app/tree/main": app, "git+https://github.com/acme/app/**": app, "github.com:acme/app": app, "git@github.com:acme/app": app,
		"ssh://git@github.com:acme/app": app, "git+ssh://git@github.com:acme/app": app, "git+https://github.com:/acme/app": app,

		"git@github.com:acme/app.git": `want "git+https://github.com/acme/app.git"`, "git+https://github.com/acme": `want "git+https://github.com/acme/*"`,
		"git+https://github.com/acme/app-*": `want "git+https://github.com/acme/*"`, "git+https://gitlab.com/acme/*x/app": `want "git+https://gitlab.com/acme/*/app"`,
		"http://git.example:80/a": `want "http://git.example/a"`, "ssh://git.example:22/a": `want "ssh://git.example/a"`,
		"acme/app": "not an absolute URI such as git+https", "app": "not an absolute URI", "": "not an absolute URI", "git+https://github.com/{a,b}/app": "not an absolute URI",
		"*": "leave the field out", "**": "leave the field out", "**/*": "leave the field out", "*://github.com/acme/app": "not an absolute URI", "pkg:github/*": "neither host nor path",
		"git+https://*/acme/app": "wildcard in its host", "git+https://*.example/app": "wildcard in its host", "git+https://git.example*/app": "wildcard in its host",
		"git+https://github.com/*/app": "what belongs to anyone", "git+https://github.com/**": "what belongs to anyone", "git+https://github.com": "no repository",
		"git+https://github.com/acme/../evil": `segment ".."`, "git+https://github.com/acme/%2e%2e": "segment", "git+https://github.com/acme/a%2fb": "segment", "git+https://git.example/a/**/b/**": "** twice",
		"git+https://git.ex\u0430mple/a": "not an absolute URI", "git+https://jane:s3cret@github.com/acme/app": "login",
	})
}

func TestCheckRef_SaysWhatWasMeant(t *testing.T) {
	const main = `want "refs/heads/main"`
	checkAll(t, uri.CheckRef, map[string]string{
		"refs/heads/main": "", "refs/heads/*": "", "refs/heads/**": "", "refs/tags/v1.2.3+b": "", "refs/pull/1/merge": "", "refs/merge-requests/*/head": "", "refs/heads/x@y": "", "refs/heads/fix/#1": "",

		"main": main + ` or "refs/tags/main"`, "heads/main": main, "origin/main": main, "remotes/origin/main": main, "refs/remotes/origin/main": main, "refs/head/main": main,
		"refs/branches/main": main, "branch/main": main, "refs/Heads/main": main, "REFS/HEADS/main": main, "refs/main": main, "refs/heads/main ": main, " main": main, "^refs/heads/main$": main,
		"refs/heads/main/": main, "/refs/heads/main": main, "HEAD": main, "@refs/heads/main": main, "@main": main, "*/main": main, "refs/*/main": main, "**/main": main, "refs/heads//main": main,
		"v1.2.3": `want "refs/tags/v1.2.3" or "refs/heads/v1.2.3"`, "1.2": `want "refs/tags/1.2"`, "v*": `want "refs/tags/*"`, "tags/v1": `want "refs/tags/v1"`, "refs/tag/v1": `want "refs/tags/v1"`,
		"refs/heads/release-*": `want "refs/heads/*"`, "release/*": `want "refs/heads/release/*"`, "refs/tags/v*": `want "refs/tags/*"`, "refs/heads": `want "refs/heads/**"`, "refs/tags/": `want "refs/tags/**"`,
		"refs/**": `what anyone can push`, "*": "leave the field out", "**": "leave the field out", "refs": "not a full ref", "": "is empty", "refs/heads/(a|b)": "regular expression",
		"0123456789abcdef0123456789abcdef01234567": "belongs in commit", "refs/heads/a..b": "characters that no ref has", "refs/heads/.x": "segment", "refs/heads/x.lock": "segment",
		"refs/heads/main:sub": "characters", "refs/heads/**/x/**": "** twice", "refs/heads/a b": "space", "refs/heads/main@{1}": "characters",
	})
}

func TestCheckBuilder_SaysWhatWasMeant(t *testing.T) {
	const flow = "https://github.com/acme/ci/.github/workflows/build.yml"
	checkAll(t, uri.CheckBuilder, map[string]string{
		"https://ci.example/builder": "", flow + "@refs/heads/main": "", "https://github.com/acme/*/.github/workflows/*@refs/tags/*": "", "https://github.com/acme/**@refs/heads/main": "",
		flow + "@0123456789abcdef0123456789abcdef01234567": "", "https://github.com/acme/app/actions/runs/*": "", "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main": "",
		"https://gitlab.com/acme/**//.gitlab-ci.yml@refs/heads/*": "", "https://gitlab.com/acme/app/-/runners/12": "", "https://tekton.dev/chains/v2": "", "urn:x:y": "",
		"https://cloudbuild.googleapis.com/GoogleHostedWorker@v1": "", "https://ci.example/": "", "spiffe://ci.example/ns/a": "",

		"ci.example/builder": `want "https://ci.example/builder"`, "ci.example:8443/builder": `want "https://ci.example:8443/builder"`, "git+https://ci.example/b": `want "https://ci.example/b"`,
		"https://CI.example/b": `want "https://ci.example/b"`, "HTTPS://ci.example/b": `want "https://ci.example/b"`, "https://ci.example:443/b": `want "https://ci.example/b"`,
		" https://ci.example/b": `want "https://ci.example/b"`, "https:ci.example/b": `want "https://ci.example/b"`,
		flow: `want "` + flow + `@refs/heads/main"`, flow + "@main": `want "` + flow + `@refs/heads/main"`, flow + "@v1.2": `want "` + flow + `@refs/tags/v1.2"`,
		flow + "@refs/tags/v*": `want "` + flow + `@refs/tags/*"`, flow + "@*": "matches any", flow + "@refs/**": "what anyone can push", flow + "@": "is empty",
		"https://github.com/acme/ci/.github/workflows/build@refs/heads/main":               ".yml or .yaml",
		"https://github.com/acme/ci/.github/workflows@refs/heads/main":                     "OWNER/REPOSITORY",
		"https://github.com/acme/ci/blob/main/.github/workflows/build.yml@refs/heads/main": "OWNER/REPOSITORY",
		"https://github.com/acme/ci/.github/workflows/build-*@refs/heads/main":             "whole one",
		"https://gitlab.com/acme/app//.gitlab-ci.yml@main":                                 "refs/heads/main",
		"https://github.com/*/ci/.github/workflows/a.yml@refs/heads/main":                  "what belongs to anyone",
		"https://*/x/y": "what belongs to anyone", "https://*.example/x/y": "what belongs to anyone", "https://ci.example/*": "what belongs to anyone", "*": "anyone can run", "**": "anyone can run",
		"ci": "not an absolute URI", "": "not an absolute URI", "https://ci.example/a b": "not an absolute URI", "urn:x:*": "whole one", "https://u:s3cret@ci.example/b": "login",
	})
}

func TestCheckIdentity_SaysWhatWasMeant(t *testing.T) {
	const flow = "https://github.com/acme/ci/.github/workflows/build.yml"
	checkAll(t, uri.CheckIdentity, map[string]string{
		flow + "@refs/heads/main": "", flow + "@refs/tags/*": "", "https://github.com/acme/**@refs/tags/*": "", "https://github.com/acme/*/.github/workflows/*@refs/heads/main": "",
		"https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/*": "", "spiffe://acme.example/ns/*/sa/builder": "", "https://kubernetes.io/namespaces/ci/serviceaccounts/builder": "",
		"https://kubernetes.io/namespaces/*/serviceaccounts/builder": "", "https://buildkite.com/acme/app": "", "https://ci.example/team/app": "", flow + "@0123456789abcdef0123456789abcdef01234567": "",

		"https://github.com/acme/**@**": `want "https://github.com/acme/**@refs/heads/main" or "https://github.com/acme/**@refs/tags/*"`, flow + "@*": `want "` + flow + `@refs/heads/main" or "` + flow + `@refs/tags/*"`,
		"https://github.com/acme/**@refs/**": "what anyone can push", "https://github.com/acme/**@*/*/*": "what anyone can push", "https://gitlab.com/acme/**@**": "what anyone can push",
		"https://github.com/acme/**": `has no ref, and the identity of a workflow has one; want "https://github.com/acme/**@refs/heads/main"`, flow: "has no ref", flow + "@main": `want "` + flow + `@refs/heads/main"`,
		"https://GitHub.com/acme/**@**": "upper case", "https://GITHUB.com/acme/ci/.github/workflows/build.yml@refs/heads/main": `want "` + flow + `@refs/heads/main"`, " " + flow + "@refs/heads/main": `want "` + flow + `@refs/heads/main"`,
		"https://github.com/*/ci/.github/workflows/a.yml@refs/heads/main": "what belongs to anyone", "https://github.com/acme/ci/.github/workflows/build-*@refs/heads/main": "whole one",
	})
}

func TestCheckExact_SaysWhatWasMeant(t *testing.T) {
	checkAll(t, uri.CheckExact, map[string]string{
		"https://verifier.example": "", "urn:x": "",
		"verifier.example": "not an absolute URI", "verifier.example/v1": `want "https://verifier.example/v1"`, "https://v.example/*": "compared exactly", "https://v.example ": `want "https://v.example"`,
		"https://u:s3cret@v.example": "login",
	})
}

func TestErrorsOfChecks_HoldNoSecrets(t *testing.T) {
	for _, text := range []string{"git+https://jane:s3cret@github.com/acme/app", "git+https://s3cret@github.com/acme/*x", "https://ci.example/b?token=s3cret", "git+https://github.com/acme/app?token=s3cret", "https://s3cret@ci.example/*"} {
		for _, check := range []func(string) error{uri.CheckSource, uri.CheckBuilder, uri.CheckIdentity, uri.CheckExact} {
			if err := check(text); err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v", err)
			}
		}
	}
}

// What is accepted can match: without wildcards, its own text.
func FuzzChecks(f *testing.F) {
	f.Add("git+https://github.com/acme/app")
	f.Add("refs/heads/*")
	f.Add("https://github.com/acme/ci/.github/workflows/build.yml@refs/heads/main")
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range []struct {
			check func(string) error
			list  func([]string) uri.List
		}{{uri.CheckSource, uri.Sources}, {uri.CheckRef, uri.Refs}, {uri.CheckBuilder, uri.Builders}} {
			if c.check(text) == nil && !uri.HasWildcard(text) && !c.list([]string{text}).Has(text) {
				t.Errorf("%q is accepted, and does not match itself", text)
			}
		}
	})
}
