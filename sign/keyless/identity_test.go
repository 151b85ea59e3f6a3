package keyless_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/sign/keyless"
)

// from reads variables of a map.
func from(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

const ciToken = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjaSJ9.c2ln"

// serve answers every request, and remembers the last one.
func serve(t *testing.T, answer string) (url string, last *http.Request) {
	t.Helper()
	last = &http.Request{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = *r
		w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	return server.URL, last
}

func TestAmbient_FindsTheIdentityOf(t *testing.T) {
	github, askedGitHub := serve(t, `{"value":"`+ciToken+`"}`)
	buildkite, askedBuildkite := serve(t, `{"token":"`+ciToken+`"}`)
	google, askedGoogle := serve(t, ciToken+"\n")
	var ran []string
	run := func(_ context.Context, program string, arguments ...string) ([]byte, error) {
		ran = append([]string{program}, arguments...)
		return []byte(ciToken + "\n"), nil
	}
	read := func(path string) ([]byte, error) {
		if path != "/var/run/sigstore/cosign/oidc-token" {
			return nil, fs.ErrNotExist
		}
		return []byte(ciToken + "\n"), nil
	}
	for name, c := range map[string]struct {
		variables map[string]string
		o         keyless.AmbientOptions
		check     func() bool
	}{
		"GitLab": {map[string]string{"GITLAB_CI": "true", "SIGSTORE_ID_TOKEN": ciToken}, keyless.AmbientOptions{}, nil},
		"GitHub": {
			map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": github + "/x?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-of-github"}, keyless.AmbientOptions{},
			func() bool {
				return askedGitHub.URL.RawQuery == "api-version=2&audience=sigstore" && askedGitHub.Header.Get("Authorization") == "Bearer secret-of-github"
			},
		},
		"Buildkite": {
			map[string]string{"BUILDKITE_AGENT_ACCESS_TOKEN": "secret-of-agent", "BUILDKITE_JOB_ID": "4711", "BUILDKITE_AGENT_ENDPOINT": buildkite + "/v3"}, keyless.AmbientOptions{},
			func() bool {
				return askedBuildkite.Method == http.MethodPost && askedBuildkite.URL.Path == "/v3/jobs/4711/oidc/tokens" && askedBuildkite.Header.Get("Authorization") == "Token secret-of-agent"
			},
		},
		"CircleCI": {
			map[string]string{"CIRCLECI": "true"}, keyless.AmbientOptions{Run: run, Audience: "private"},
			func() bool { return strings.Join(ran, " ") == `circleci run oidc get --claims {"aud":"private"}` },
		},
		"a token file": {nil, keyless.AmbientOptions{ReadFile: read}, nil},
		"Google Cloud": {
			map[string]string{"GCE_METADATA_HOST": strings.TrimPrefix(google, "http://")}, keyless.AmbientOptions{},
			func() bool {
				return askedGoogle.Header.Get("Metadata-Flavor") == "Google" && askedGoogle.URL.RawQuery == "audience=sigstore&format=full"
			},
		},
	} {
		source, err := keyless.Ambient(from(c.variables), c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if token, err := source(t.Context()); err != nil || token != ciToken || c.check != nil && !c.check() {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

func TestAmbient_SaysWhatIsMissing(t *testing.T) {
	for text, variables := range map[string]map[string]string{
		"id-token: write":   {"GITHUB_ACTIONS": "true"},
		"SIGSTORE_ID_TOKEN": {"GITLAB_CI": "true"},
		"give none":         {"HOME": "/root"},
	} {
		if _, err := keyless.Ambient(from(variables), keyless.AmbientOptions{}); !errors.Is(err, keyless.ErrIdentity) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want ...%s...", err, text)
		}
	}
	source, err := keyless.Ambient(from(map[string]string{"CIRCLECI": "true"}), keyless.AmbientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source(t.Context()); !errors.Is(err, keyless.ErrIdentity) || !strings.Contains(err.Error(), "AmbientOptions.Run") {
		t.Error(err)
	}
}

func TestAttack_T21_AmbientSecretsStayHidden(t *testing.T) {
	url, _ := serve(t, `{"value":""}`)
	for name, variables := range map[string]map[string]string{
		"no token":   {"ACTIONS_ID_TOKEN_REQUEST_URL": url + "/?x=secret-of-github", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-of-github"},
		"plain HTTP": {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://actions.example/?x=secret-of-github", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-of-github"},
		"Buildkite":  {"BUILDKITE_AGENT_ACCESS_TOKEN": "secret-of-github", "BUILDKITE_JOB_ID": "1", "BUILDKITE_AGENT_ENDPOINT": "http://agent.example"},
	} {
		source, err := keyless.Ambient(from(variables), keyless.AmbientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := source(t.Context()); err == nil || strings.Contains(err.Error(), "secret-of-github") || token != "" {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

// workloadAPI is a SPIFFE Workload API that answers with a message.
func workloadAPI(t *testing.T, status string, message []byte) (address string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/SpiffeWorkloadAPI/FetchJWTSVID" || r.Header.Get("Workload.spiffe.io") != "true" || r.ProtoMajor != 2 {
			http.Error(w, "not a request of the Workload API", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))))
		w.Write(message)
		w.Header().Set("Grpc-Status", status)
	})}
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return "unix://" + path
}

func field(number byte, value string) []byte {
	return append(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(value))), value...)
}

func TestAmbient_AsksTheWorkloadAPI(t *testing.T) {
	for _, asked := range []string{strings.TrimPrefix(workloadAPI(t, "0", nil), "unix://"), "tcp://127.0.0.1:1"} {
		source, err := keyless.Ambient(from(map[string]string{"SPIFFE_ENDPOINT_SOCKET": asked}), keyless.AmbientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source(t.Context()); !errors.Is(err, keyless.ErrService) {
			t.Errorf("%s: %v", asked, err)
		}
	}
	svid := string(field(1, "spiffe://acme.example/ci")) + string(field(2, ciToken))
	good := append(field(1, svid), field(1, string(field(2, "another")))...)
	for name, c := range map[string]struct {
		status  string
		message []byte
		ok      bool
	}{
		"good":              {"0", good, true},
		"refused":           {"7", nil, false},
		"no identity":       {"0", nil, false},
		"no token":          {"0", field(1, string(field(1, "spiffe://acme.example/ci"))), false},
		"a length too long": {"0", []byte{1<<3 | 2, 200, 1}, false},
		"another type":      {"0", []byte{1 << 3, 1}, false},
	} {
		source, err := keyless.Ambient(from(map[string]string{"SPIFFE_ENDPOINT_SOCKET": workloadAPI(t, c.status, c.message)}), keyless.AmbientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		token, err := source(t.Context())
		if c.ok && (err != nil || token != ciToken) || !c.ok && !errors.Is(err, keyless.ErrService) {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
	for _, address := range []string{"unix://host/path", "api.sock", "tcp://192.0.2.1:8081", "https://spire.example", "unix://", "tcp://127.0.0.1", ":"} {
		source, err := keyless.Ambient(from(map[string]string{"SPIFFE_ENDPOINT_SOCKET": address}), keyless.AmbientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source(t.Context()); !errors.Is(err, keyless.ErrIdentity) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestTokenFile_IsReadEachTime(t *testing.T) {
	text := "one\n"
	source := keyless.TokenFile("token", func(string) ([]byte, error) { return []byte(text), nil })
	first, err := source(t.Context())
	text = "two\n"
	second, err2 := source(t.Context())
	if first != "one" || second != "two" || err != nil || err2 != nil {
		t.Errorf("%q, %v; %q, %v", first, err, second, err2)
	}
	for _, read := range []func(string) ([]byte, error){nil, func(string) ([]byte, error) { return nil, fs.ErrNotExist }} {
		if _, err := keyless.TokenFile("token", read)(t.Context()); !errors.Is(err, keyless.ErrIdentity) {
			t.Error(err)
		}
	}
}

// marshal writes JSON.
func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
