package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestKeysTellWhatTheyAre(t *testing.T) {
	if a := newKey(t).Algorithm(); a != "ECDSA P-256" {
		t.Errorf("%q", a)
	}
	if a := (policy.PublicKey{}).Algorithm(); a != "" {
		t.Errorf("no key is %q", a)
	}
}

func TestKeysOfPoliciesAreReadAsPeopleKeepThem(t *testing.T) {
	key, err := sigkey.New(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	text := string(key.PEM())
	const rest = "roles: {a: {keys: [a]}}\nrules: [{images: ['**'], require: [{signature: {by: a}}]}]\n"
	for name, value := range map[string]string{
		"block":             "|\n      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      "),
		"indented block":    "|2\n          # comment\n        " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n        "),
		"folded block":      ">\n      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      "),
		"escapes":           `"` + strings.ReplaceAll(text, "\n", `\n`) + `"`,
		"escapes, unquoted": `'` + strings.ReplaceAll(text, "\n", `\n`) + `'`,
	} {
		p, err := policy.Parse([]byte("version: 1\nkeys:\n  a:\n    pem: "+value+"\n"+rest), policy.ParseOptions{})
		if err != nil || p.Keys["a"].Public.ID() != key.ID() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for kind, value := range map[sigkey.Kind]string{
		sigkey.KindCertificate: "-----BEGIN CERTIFICATE-----\nAQI=\n-----END CERTIFICATE-----\n",
		sigkey.KindPrivate:     "-----BEGIN PRIVATE KEY-----\nAQI=\n-----END PRIVATE KEY-----\n",
		sigkey.KindSeveral:     text + text,
		sigkey.KindOpenSSH:     "ssh-ed25519 AAAA a@b",
	} {
		_, err := policy.Parse(fmt.Appendf(nil, "version: 1\nkeys: {a: {pem: %q}}\n%s", value, rest), policy.ParseOptions{})
		var unusable *policy.KeyError
		if !errors.As(err, &unusable) || unusable.Kind != kind || !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%v, want kind %s", err, kind)
		}
	}
}
