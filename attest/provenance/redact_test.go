package provenance

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// secretKey is as long as a key of RSA 4096.
var secretKey = "-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("S3CR3T"+strings.Repeat("x", 58)+"\n", 50) + "-----END RSA PRIVATE KEY-----\n"

func TestAttack_S5_NoSecretIsInTheOutputsTail(t *testing.T) {
	for name, c := range map[string]struct {
		output  string
		limit   int
		secrets []string
		want    string
	}{
		"private key":             {"a\n" + secretKey + "b\n", 1 << 20, nil, "a\n[redacted]\nb\n"},
		"private key, cut":        {"a\n" + secretKey + "b\n", 500, nil, "b\n"},
		"private key, beginning":  {"a\n" + secretKey[:500], 1 << 20, nil, "a\n[redacted]"},
		"private key, end":        {secretKey[500:] + "b\n", 1 << 20, nil, "[redacted]\nb\n"},
		"PGP key":                 {"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nS3CR3T\n-----END PGP PRIVATE KEY BLOCK-----\n", 1000, nil, "[redacted]\n"},
		"several lines":           {"cfg={\n S3CR3T\n}\nb\n", 1000, []string{"{\n S3CR3T\n}"}, "cfg=[redacted]\nb\n"},
		"several lines, terminal": {"cfg={\r\n S3CR3T\r\n}\r\nb\n", 1000, []string{"{\n S3CR3T\n}"}, "cfg=[redacted]\r\nb\n"},
		"one within another":      {"abcS3CR3T\n", 1000, []string{"abc", "abcS3CR3T"}, "[redacted]\n"},
		"one overlaps another":    {"S3CR3T\n", 1000, []string{"S3CR", "R3T"}, "[redacted]\n"},
		"with a line feed":        {"S3CR3T b\n", 1000, []string{"S3CR3T\n"}, "[redacted] b\n"},
		"cut by the tail":         {"a\ncorrect-S3CR3T b\nc\n", 10, []string{"correct-S3CR3T"}, "c\n"},
		"cut exactly":             {"correct-S3CR3T", 13, []string{"correct-S3CR3T"}, ""},
		"longer than what it was": {strings.Repeat("x\n", 100), 100, []string{"x"}, strings.Repeat("[redacted]\n", 9)},
		"variable":                {"NPM_TOKEN=S3CR3T\n{\"apiKey\": \"S3CR3T\"}\n", 1000, nil, "NPM_TOKEN=[redacted]\n{\"apiKey\": [redacted]\n"},
		"no secret":               {"line 1\nline 2\n--- PASS: TestX (0.00s)\n", 1000, nil, "line 1\nline 2\n--- PASS: TestX (0.00s)\n"},
		"no secret, cut":          {"line 1\nline 2\nline 3\n", 17, nil, "line 2\nline 3\n"},
		"no secret, whole lines":  {"line 1\nline 2\nline 3\n", 14, nil, "line 2\nline 3\n"},
		"no line feed, cut":       {"one long line", 4, nil, ""},
	} {
		if got := redactTail(c.output, c.limit, c.secrets); string(got) != c.want || len(got) > c.limit {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAttack_S5_ASecretThatTheTailCutsIsNotRecorded(t *testing.T) {
	const secret = "correct-horse-S3CR3T"
	for name, c := range map[string]struct {
		script, shown string
		tail          int
	}{
		"named":       {"echo $SECRET; echo end", "end\n", len(secret) + 3},
		"private key": {`printf %s "$KEY"; echo end`, "end\n", 1000},
	} {
		r, err := Record(t.Context(), RecordOptions{
			Command: []string{"sh", "-c", "yes filler | head -n 30000; " + c.script}, Dir: t.TempDir(), OutputTail: c.tail,
			Env: []string{"PATH=/usr/bin:/bin", "SECRET=" + secret, "KEY=" + secretKey}, Redact: []string{secret},
		})
		if err != nil {
			t.Skipf("needs a shell: %v", err)
		}
		if string(r.Output) != c.shown {
			t.Errorf("%s: %q, want %q", name, r.Output, c.shown)
		}
	}
}

func TestAttack_S5_NoSecretIsInTheCommand(t *testing.T) {
	for _, c := range [][]string{
		{"docker", "build", "--build-arg=NPM_TOKEN=S3CR3T"}, {"docker", "run", "--env=API_KEY=S3CR3T"}, {"docker", "run", "--env", "API_KEY=S3CR3T"},
		{"helm", "--set=db.password=S3CR3T"}, {"helm", "--set", "auth[0].token=S3CR3T"}, {"go", "build", "-ldflags=-X main.token=S3CR3T"},
		{"npm", "config", "set", "//registry.example/:_auth=S3CR3T"}, {"env", "DB_PASS=S3CR3T"}, {"openssl", "-passin", "pass:S3CR3T"},
		{"sh", "-c", "export API_KEY=S3CR3T; make"}, {"sh", "-c", "tool --token S3CR3T"}, {"sh", "-c", "tool --token \\\n  S3CR3T"},
		{"sh", "-c", `API_KEY="a S3CR3T" make`}, {"sh", "-c", `API_KEY='a S3CR3T' make`}, {"sh", "-c", `API_KEY=a\ S3CR3T make`},
		{"sh", "-c", "vault login token S3CR3T"}, {"curl", "-d", `{"token": "S3CR3T"}`}, {"curl", "-d", `{"token":"S3CR3T"}`},
		{"curl", "https://host/x?access_token=S3CR3T"}, {"curl", "https://host/x?a=1&sig=S3CR3T"}, {"sh", "-c", "curl 'https://host/x?sig=S3CR3T' -o f"},
		{"curl", "-H", "PRIVATE-TOKEN: S3CR3T"}, {"curl", "-H", "X-Api-Key: S3CR3T"}, {"curl", "-H", "X-Auth: a S3CR3T"},
		{"curl", "-H", "Authorization: token S3CR3T"}, {"curl", "-H", "authorization:S3CR3T"}, {"curl", "-H", "Cookie: id=S3CR3T"},
		{"tool", "--token", "-S3CR3T"}, {"tool", "--token", "--password", "S3CR3T"}, {"tool", secretKey},
		{"git", "clone", "https://user:p@S3CR3T@host/x"}, {"git", "clone", "https://user:p/S3CR3T@host/x"}, {"git", "clone", "https://S3CR3T@host/x"},
		{"sh", "-c", "git clone 'https://user:\"S3CR3T@host/x'"},
	} {
		if got := strings.Join(redactCommand(c, nil), " "); strings.Contains(got, "S3CR3T") {
			t.Errorf("%q", got)
		}
	}
}

func TestWhatIsNoSecretStaysInTheCommand(t *testing.T) {
	for _, c := range [][]string{
		{"go", "build", "-trimpath", "-ldflags=-s -w -X main.version=v1.2.3", "-o", "out/app", "./cmd/app"},
		{"docker", "buildx", "build", "--platform", "linux/amd64,linux/arm64", "-t", "registry.example/team/app:v1", "."},
		{"sh", "-c", "make -j4 && cp a b; echo done"}, {"curl", "-fsSL", "https://host.example/path/file.tar.gz"},
		{"git", "clone", "git@git.example:team/app.git"}, {"make", "pass", "PREFIX=/usr"},
	} {
		if got := redactCommand(c, []string{""}); !slices.Equal(got, c) {
			t.Errorf("%q is recorded as %q", c, got)
		}
	}
}

func TestAttack_S5_NoCredentialsAreInURLs(t *testing.T) {
	for _, url := range []string{
		"oauth2:S3CR3T@git.example/team/app", "https:oauth2:S3CR3T@git.example/x", "ext::sh -c 'curl -u x:S3CR3T h'", "ext::S3CR3T", "git@host:S3CR3T@x",
		"https://user:p@S3CR3T@host/x", "https://host/x?token=S3CR3T",
	} {
		if got, _ := remoteURI(url); strings.Contains(got, "S3CR3T") {
			t.Errorf("remoteURI: %q", got)
		}
	}
	for _, url := range []string{
		"https://user:S3CR3T?x@host/y", "https://user:S3CR3T@ho st/y", "oauth2:S3CR3T@git.example/team/app", "h:/?token=S3CR3T", "h:/?a=b@c&token=S3CR3T", "h?x@S3CR3T",
	} {
		if _, err := buildKitURL(url); err == nil || strings.Contains(err.Error(), "S3CR3T") {
			t.Errorf("buildKitURL of %q: %v", url, err)
		}
	}
}

func TestAttack_S5_NoCredentialsAreInParametersThatMayBeURLs(t *testing.T) {
	env := map[string]string{
		"GITLAB_CI": "true", "CI_PROJECT_URL": "https://git.example/x", "CI_JOB_NAME": "deploy to https://u:S3CR3T@host/?a=S3CR3T", "CI_COMMIT_REF_NAME": "main",
		"CI_COMMIT_SHA": strings.Repeat("6", 40), "CI_CONFIG_PATH": "https://ci.example/ci.yml?private_token=S3CR3T",
	}
	f, err := Environment(EnvironmentOptions{Lookup: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
	text, _ := json.Marshal(f)
	if err != nil || bytes.Contains(text, []byte("S3CR3T")) || f.ExternalParameters["configPath"] != "https://ci.example/ci.yml" ||
		f.ExternalParameters["job"] != "deploy to https://host/?[redacted]" {
		t.Errorf("%s, %v", text, err)
	}
	for _, predicate := range []string{
		`{"buildDefinition":{"buildType":"` + buildKitType1 + `","externalParameters":{"configSource":{"path":"https://u:S3CR3T@h/Dockerfile"},"request":{"frontend":"gateway.v0","args":{"cmdline":"--token S3CR3T","source":"https://u:S3CR3T@h/f"}}}}}`,
		`{"buildType":"` + buildKitType02 + `","invocation":{"configSource":{"entryPoint":"https://h/Dockerfile?t=S3CR3T"},"parameters":{"frontend":"gateway.v0","args":{"cmdline":"S3CR3T"}}}}`,
	} {
		f, err = BuildKitProvenance([]byte(predicate))
		text, _ = json.Marshal(f)
		source, _ := f.ExternalParameters["configSource"].(map[string]any)
		if err != nil || bytes.Contains(text, []byte("S3CR3T")) || source["path"] != "https://h/Dockerfile" {
			t.Errorf("%s, %v", text, err)
		}
	}
}
