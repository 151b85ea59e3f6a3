package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Such conditions were accepted, and could only deny.
func TestAttack_T2_WhatCanNeverMatchIsRefused(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	load := func(conditions string) error {
		text := strings.Replace(policyText, "signature: {by: release}", "attestation: {type: slsaprovenance, by: builder, "+conditions+"}", 1)
		_, err := policy.Load(written(t, text, a, b, c), policy.ParseOptions{})
		return err
	}
	const builder = "builder: [https://ci.example/builder], "
	for conditions, want := range map[string]string{
		builder + "ref: [main]":                                                `in ref "main", which is not a full ref; want "refs/heads/main" or "refs/tags/main"`,
		builder + "ref: [refs/heads/main, v1.0]":                               `want "refs/tags/v1.0"`,
		builder + `ref: ["refs/heads/release-*"]`:                              `want "refs/heads/*"`,
		builder + "source: [github.com/acme/app]":                              `want "git+https://github.com/acme/app"`,
		builder + `source: ["git+https://github.com/acme/app-*"]`:              "stands for a whole one",
		builder + `source: ["git+https://github.com/acme/app "]`:               "space",
		builder + "source: [git+https://GitHub.com/acme/app]":                  "upper case",
		builder + "source: [git+https://github.com/acme/app/]":                 "slash at its end",
		builder + "source: [git+https://github.com:443/acme/app]":              "port",
		builder + "source: [git+https://github.com/a/b@refs/heads/main]":       "the ref belongs in ref",
		builder + `source: ["git+https://*.example/a/b"]`:                      "wildcard in its host",
		builder + "source: [git+https://g.example/a, git+https://g.example/a]": "twice",
		builder + "ref: [refs/heads/a, refs/heads/a]":                          "twice",
		builder + "source: []":                                                 "empty source",
		builder + "ref: []":                                                    "empty ref",
		builder + "ref: ['']":                                                  "is empty",
		builder + `commit: ["*"]`:                                              "40 or 64",
		builder + `buildType: ["https://ci.example/*"]`:                        "compared exactly",
		builder + `buildType: [" x"]`:                                          "space",
		builder + "buildType: [x, x]":                                          "twice",
		builder + "absentParameters: [x, x]":                                   "twice",
		builder + "absentParameters: ['']":                                     "empty name",
		"builder: [ci.example/builder]":                                        `want "https://ci.example/builder"`,
		"builder: [https://github.com/acme/ci/.github/workflows/b.yml]":        `b.yml@refs/heads/main"`,
		"builder: [https://github.com/acme/ci/.github/workflows/b.yml@main]":   `b.yml@refs/heads/main"`,
		`builder: ["**"]`:                                                      "anyone can run",
		"builder: [https://ci.example/b, https://ci.example/b]":                "twice",
	} {
		if err := load(conditions); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line 13, column") {
			t.Errorf("%s: %v, want %s", conditions, err, want)
		}
	}
	for _, conditions := range []string{
		builder + `source: ["git+https://github.com/acme/*", "git+https://git.example/team/**"], ref: ["refs/heads/*", refs/heads/release/v1]`,
		`builder: ["https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*"]`,
		builder + "source: [https://github.com/acme/app.git]",
	} {
		if err := load(conditions); err != nil {
			t.Errorf("%s: %v", conditions, err)
		}
	}
}

func TestWhatCanNeverMatch_InSummariesAndLevels(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	for text, want := range map[string]string{
		`attestation: {type: vsa, by: builder, verifier: ["https://v.example/*"]}`:                         "compared exactly",
		"attestation: {type: vsa, by: builder, verifier: [v.example/v1]}":                                  `want "https://v.example/v1"`,
		`attestation: {type: vsa, by: builder, verifier: [https://v.example], resource: ["oci://r/*"]}`:    "compared exactly",
		"attestation: {type: vsa, by: builder, verifier: [https://v.example], resource: ['']}":             "empty text",
		`attestation: {type: vsa, by: builder, verifier: [https://v.example], policyUri: "https://p/*"}`:   "in policyUri",
		"signature: {by: release}\nbuilders: {ci.example/builder: 3}":                                      `want "https://ci.example/builder"`,
		"signature: {by: release}\nbuilders: {\"https://ci.example/builders/*\": 3}":                       "one builder",
		"attestation: {type: vsa, by: builder, verifier: [https://v.example, https://v.example]}":          "twice",
		`attestation: {type: vsa, by: builder, verifier: [https://v.example], resource: ["oci://r/app "]}`: "space",
	} {
		_, err := policy.Load(written(t, strings.Replace(policyText, "signature: {by: release}", text, 1), a, b, c), policy.ParseOptions{})
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
