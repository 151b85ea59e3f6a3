package keyless

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// AmbientOptions say how Ambient reads its surroundings. The zero value reads no file and
// runs no program.
type AmbientOptions struct {
	// Audience is the audience of the token. Empty: DefaultAudience.
	Audience string
	// ReadFile reads a file: os.ReadFile. Nil: token files, and the files by which Google
	// Cloud is recognised, are not read.
	ReadFile func(path string) ([]byte, error)
	// Run runs a program and returns what it writes to stdout. CircleCI needs it. Nil: none
	// is run.
	Run func(ctx context.Context, program string, arguments ...string) ([]byte, error)
	// Transport sends requests. Nil: one that uses the proxy of the environment.
	Transport http.RoundTripper
}

// ambient is what a source of Ambient works with.
type ambient struct {
	AmbientOptions
	getenv func(string) string
	client *client
}

// Ambient returns the source of the identity that the surroundings give, by the variables
// that getenv reads, such as os.Getenv. The first of these is used:
//
//   - SIGSTORE_ID_TOKEN holds a token: GitLab's id_tokens, with the audience "sigstore"
//   - GitHub Actions: ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN,
//     which are there where the job has the permission "id-token: write"
//   - Buildkite: BUILDKITE_AGENT_ACCESS_TOKEN and BUILDKITE_JOB_ID, at
//     BUILDKITE_AGENT_ENDPOINT or Buildkite's own
//   - CircleCI: CIRCLECI, by "circleci run oidc get"; see AmbientOptions.Run
//   - SPIFFE: the Workload API at SPIFFE_ENDPOINT_SOCKET
//   - the file /var/run/sigstore/cosign/oidc-token, as Kubernetes projects it
//   - Google Cloud: the metadata server, where GCE_METADATA_HOST, K_SERVICE,
//     CLOUD_RUN_JOB or the machine's product name say that there is one. It is asked by
//     plain HTTP, as there is nothing else.
//
// ErrIdentity says that there is none, or what is missing in a job of GitLab or GitHub.
func Ambient(getenv func(string) string, o AmbientOptions) (TokenSource, error) {
	if o.Audience == "" {
		o.Audience = DefaultAudience
	}
	a := &ambient{o, getenv, newClient(o.Transport)}
	switch {
	case getenv("SIGSTORE_ID_TOKEN") != "":
		return Token(getenv("SIGSTORE_ID_TOKEN")), nil
	case getenv("ACTIONS_ID_TOKEN_REQUEST_URL") != "" && getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN") != "":
		return a.github, nil
	case getenv("BUILDKITE_AGENT_ACCESS_TOKEN") != "" && getenv("BUILDKITE_JOB_ID") != "":
		return a.buildkite, nil
	case getenv("CIRCLECI") == "true":
		return a.circle, nil
	case getenv("SPIFFE_ENDPOINT_SOCKET") != "":
		return a.spiffe, nil
	case a.holds(tokenPath):
		return TokenFile(tokenPath, o.ReadFile), nil
	case a.onGoogle():
		return a.google, nil
	case getenv("GITHUB_ACTIONS") == "true":
		return nil, fmt.Errorf("%w: the job lacks the permission \"id-token: write\"", ErrIdentity)
	case getenv("GITLAB_CI") == "true":
		return nil, fmt.Errorf("%w: the job has no id_tokens entry SIGSTORE_ID_TOKEN with aud: %s", ErrIdentity, o.Audience)
	}
	return nil, fmt.Errorf("%w: the surroundings give none", ErrIdentity)
}

// tokenPath is where a token is projected into containers, by cosign's convention.
const tokenPath = "/var/run/sigstore/cosign/oidc-token"

func (a *ambient) read(path string) string {
	if a.ReadFile == nil {
		return ""
	}
	text, err := a.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (a *ambient) holds(path string) bool { return a.read(path) != "" }

const provider = "identity provider"

// ask sends a request whose JSON answer holds the token in a member.
func (a *ambient) ask(ctx context.Context, r call, member string) (string, error) {
	r.service = provider
	got, err := a.client.do(ctx, r)
	if err != nil {
		return "", err
	}
	var w map[string]any
	if err := got.decode(&w); err != nil {
		return "", badAnswer(provider, r.plainURL(), errors.New("it is not JSON"))
	}
	token, _ := w[member].(string)
	if token == "" {
		return "", badAnswer(provider, r.plainURL(), fmt.Errorf("it has no %q", member))
	}
	return token, nil
}

// plainURL is the URL without what may be secret.
func (r call) plainURL() string {
	text, _, _ := strings.Cut(r.url, "?")
	return text
}

// github asks GitHub Actions (docs.github.com, "OpenID Connect reference").
func (a *ambient) github(ctx context.Context) (string, error) {
	u, err := url.Parse(a.getenv("ACTIONS_ID_TOKEN_REQUEST_URL"))
	if err != nil {
		return "", fmt.Errorf("%w: ACTIONS_ID_TOKEN_REQUEST_URL is not a URL", ErrIdentity)
	}
	query := u.Query()
	query.Set("audience", a.Audience)
	u.RawQuery = query.Encode()
	secret := a.getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	return a.ask(ctx, call{
		method: http.MethodGet, url: u.String(), secrets: []string{secret},
		header: http.Header{"Authorization": {"Bearer " + secret}, "Accept": {"application/json"}},
	}, "value")
}

// buildkite asks Buildkite's agent API, as buildkite-agent oidc request-token does.
func (a *ambient) buildkite(ctx context.Context) (string, error) {
	endpoint := a.getenv("BUILDKITE_AGENT_ENDPOINT")
	if endpoint == "" {
		endpoint = "https://agent.buildkite.com/v3"
	}
	secret := a.getenv("BUILDKITE_AGENT_ACCESS_TOKEN")
	body, err := json.Marshal(map[string]string{"audience": a.Audience})
	if err != nil {
		return "", err
	}
	return a.ask(ctx, call{
		method: http.MethodPost, body: body, secrets: []string{secret},
		url:    strings.TrimSuffix(endpoint, "/") + "/jobs/" + url.PathEscape(a.getenv("BUILDKITE_JOB_ID")) + "/oidc/tokens",
		header: http.Header{"Authorization": {"Token " + secret}, "Content-Type": {"application/json"}, "Accept": {"application/json"}},
	}, "token")
}

// circle runs CircleCI's program: the tokens in its variables have another audience.
func (a *ambient) circle(ctx context.Context) (string, error) {
	if a.Run == nil {
		return "", fmt.Errorf("%w: CircleCI gives tokens by \"circleci run oidc get\"; see AmbientOptions.Run", ErrIdentity)
	}
	claims, err := json.Marshal(map[string]string{"aud": a.Audience})
	if err != nil {
		return "", err
	}
	out, err := a.Run(ctx, "circleci", "run", "oidc", "get", "--claims", string(claims))
	if err != nil {
		return "", fmt.Errorf("%w: circleci run oidc get: %w", ErrIdentity, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// onGoogle recognises Google Cloud without a request.
func (a *ambient) onGoogle() bool {
	for _, name := range []string{"GCE_METADATA_HOST", "K_SERVICE", "CLOUD_RUN_JOB"} {
		if a.getenv(name) != "" {
			return true
		}
	}
	product := a.read("/sys/class/dmi/id/product_name")
	return product == "Google" || product == "Google Compute Engine"
}

// google asks the metadata server (cloud.google.com, "Get an ID token from the metadata
// server"). The answer is the token itself.
func (a *ambient) google(ctx context.Context) (string, error) {
	host := a.getenv("GCE_METADATA_HOST")
	if host == "" {
		host = "metadata.google.internal"
	}
	query := url.Values{"audience": {a.Audience}, "format": {"full"}}
	u := url.URL{Scheme: "http", Host: host, Path: "/computeMetadata/v1/instance/service-accounts/default/identity", RawQuery: query.Encode()}
	got, err := a.client.do(ctx, call{
		service: provider, method: http.MethodGet, url: u.String(), plain: true, header: http.Header{"Metadata-Flavor": {"Google"}},
	})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(got.body)), nil
}
