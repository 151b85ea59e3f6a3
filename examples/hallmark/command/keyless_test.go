package command

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// signingConfig is the file of a signing configuration whose services are at a URL.
func signingConfig(t *testing.T, url string) string {
	t.Helper()
	service := `[{"url": "` + url + `", "majorApiVersion": 1, "operator": "acme", "validFor": {"start": "2026-01-01T00:00:00Z"}}]`
	return write(t, "signing_config.json", `{"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "caUrls": `+service+`, "oidcUrls": `+service+
		`, "rekorTlogUrls": `+service+`, "rekorTlogConfig": {"selector": "ANY"}}`)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeylessFlagsGoTogether(t *testing.T) {
	config := signingConfig(t, "http://127.0.0.1:1")
	for text, args := range map[string][]string{
		"--key and --keyless":                    {"sign", "--key", "a.key", "--keyless", "a/b:c"},
		"--signing-config is missing":            {"sign", "--keyless", "a/b:c"},
		"--keyless is missing":                   {"sign", "--key", "a.key", "--signing-config", config, "a/b:c"},
		"--replace and --keyless":                {"attest", "--keyless", "--replace", "--type", "custom", "--predicate", config, "a/b:c"},
		"no IMAGE to attest":                     {"provenance", "--builder", "https://ci.example", "--keyless"},
		"sign by a certificate with --keyless":   {"sign-blob", config, "--bundle", "b"},
		"no trust root":                          {"sign-blob", config, "--bundle", "b", "--keyless", "--signing-config", config, "--identity-token", config},
		"unusable signing configuration":         {"sign-blob", config, "--bundle", "b", "--keyless", "--signing-config", write(t, "x", "{}"), "--identity-token", config},
		"no usable identity token: the surround": {"sign-blob", config, "--bundle", "b", "--keyless", "--signing-config", config},
	} {
		newCLI(t).run(args...).exits(exitUndecided).says(text)
	}
}

func TestKeylessSigningFailsWithoutAFile(t *testing.T) {
	const secret = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiY2kiLCJleHAiOjk5OTk5OTk5OTl9.c2ln"
	fulcio := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"message":"`+r.Header.Get("Authorization")+` is not welcome"}`, http.StatusForbidden)
	}))
	defer fulcio.Close()
	dir := t.TempDir()
	blob, bundle := write(t, "app", "a file"), filepath.Join(dir, "app.bundle")
	args := []string{"sign-blob", blob, "--bundle", bundle, "--keyless", "--signing-config", signingConfig(t, fulcio.URL), "--trusted-root", publicGoodRoot}
	ambient := newCLI(t)
	ambient.env["SIGSTORE_ID_TOKEN"] = secret
	for _, got := range []outcome{ambient.run(args...), newCLI(t).run(append(args, "--identity-token", write(t, "token", secret))...)} {
		got.exits(exitUndecided).says("fulcio "+fulcio.URL, "403", "hint: ")
		if strings.Contains(got.stderr, "eyJ") {
			t.Errorf("it shows the token: %s", got.stderr)
		}
	}
	if _, err := os.Stat(bundle); err == nil {
		t.Error("a bundle was written")
	}
}
