package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

const identityPolicy = `version: 1
identities:
  release:
    authority: sigstore
    settings: {instance: github, issuer: https://token.actions.githubusercontent.com, uri: https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*}
roles: {release: {identities: [release]}}
rules:
  - images: ["**"]
    require: [{signature: {by: release}}]
`

func TestIdentitiesNeedTheRootOfTheirInstance(t *testing.T) {
	const published = "../../internal/dev/conformance/testdata/roots/"
	s := newScene(t)
	must(t, os.WriteFile(s.policy, []byte(identityPolicy), 0o600))
	digest := s.signed.DigestStr()
	for label, x := range map[string]struct {
		args []string
		code int
		says string
	}{
		"its root":          {[]string{"-trusted-root", "github=" + published + "github.json"}, exitDenied, "no-trusted-signature"},
		"no root":           {nil, exitUndecided, "rootFile"},
		"another's":         {[]string{"-trusted-root", "public-good=" + published + "public-good.json"}, exitUndecided, "instance"},
		"without a name":    {[]string{"-trusted-root", published + "github.json"}, exitUndecided, "INSTANCE=FILE"},
		"twice":             {[]string{"-trusted-root", "github=a", "-trusted-root", "github=b"}, exitUndecided, "INSTANCE=FILE"},
		"a file not there":  {[]string{"-trusted-root", "github=none.json"}, exitUndecided, "none.json"},
		"a strict instance": {[]string{"-trusted-root", "private=" + published + "github.json"}, exitUndecided, "transparency logs"},
	} {
		var out bytes.Buffer
		code := run(t.Context(), append(s.args("signed", digest), x.args...), strings.NewReader(descriptor(digest)), &out)
		if code != x.code || !strings.Contains(out.String(), x.says) {
			t.Errorf("%s: exit %d: %s", label, code, out.String())
		}
	}
}
