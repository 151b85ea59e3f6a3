package sigstorestack

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"
)

// audience is what Fulcio wants of tokens.
const audience = "sigstore"

// tokenLifetime is how long tokens are valid.
const tokenLifetime = time.Hour

// Issuer is an OpenID Connect identity provider. It serves its configuration and keys, and
// gives tokens to the test alone.
type Issuer struct {
	// URL identifies it.
	URL    string
	key    *rsa.PrivateKey
	server *http.Server
}

func startIssuer() (*Issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	i := &Issuer{URL: "http://" + l.Addr().String(), key: key}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /.well-known/openid-configuration", i.configuration)
	routes.HandleFunc("GET /keys", i.keys)
	i.server = &http.Server{Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = i.server.Serve(l) }() // until it is closed
	return i, nil
}

func (i *Issuer) close() { _ = i.server.Close() }

// configuration answers by OpenID Connect Discovery 1.0, section 4.
func (i *Issuer) configuration(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token",
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
}

// keys answers with a JSON Web Key Set (RFC 7517).
func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	exponent := bytes.TrimLeft(binary.BigEndian.AppendUint32(nil, uint32(i.key.E)), "\x00")
	answer(w, map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "key", "n": b64url(i.key.N.Bytes()), "e": b64url(exponent),
	}}})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}

func b64url(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// Email is a token of a person.
func (i *Issuer) Email(address string) (string, error) {
	return i.Token(map[string]any{"email": address, "email_verified": true, "sub": address})
}

// Workflow says what GitHub Actions run.
type Workflow struct {
	// Repository is the source repository as owner/name. File is the workflow's file in it,
	// and Ref the ref of both, such as refs/tags/v1.
	Repository, File, Ref string
	// Called is the workflow that signs, as owner/name/path@ref, where it is a reusable one
	// that File calls. Empty: File's own.
	Called string
}

// Job is the workflow that signs, as owner/name/path@ref.
func (w Workflow) Job() string {
	if w.Called != "" {
		return w.Called
	}
	return w.Repository + "/.github/workflows/" + w.File + "@" + w.Ref
}

// URI is the subject of the workflow's certificate.
func (w Workflow) URI() string { return "https://github.com/" + w.Job() }

// Claims are those of a token of the workflow.
func (w Workflow) Claims() map[string]any {
	commit := strings.Repeat("0123456789", 4)
	own := Workflow{Repository: w.Repository, File: w.File, Ref: w.Ref}
	owner, _, _ := strings.Cut(w.Repository, "/")
	return map[string]any{
		"sub": "repo:" + w.Repository + ":ref:" + w.Ref, "repository": w.Repository, "repository_id": "1000", "repository_owner": owner,
		"repository_owner_id": "100", "repository_visibility": "public", "ref": w.Ref, "sha": commit, "event_name": "push",
		"workflow": "release", "workflow_ref": own.Job(), "workflow_sha": commit, "job_workflow_ref": w.Job(), "job_workflow_sha": commit,
		"run_id": "7", "run_attempt": "1", "runner_environment": "github-hosted",
	}
}

// Workflow is a token of a workflow.
func (i *Issuer) Workflow(w Workflow) (string, error) { return i.Token(w.Claims()) }

// Token is a token with the claims, which may replace those that every token has.
func (i *Issuer) Token(claims map[string]any) (string, error) {
	now := time.Now()
	all := map[string]any{"iss": i.URL, "aud": audience, "iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(tokenLifetime).Unix()}
	maps.Copy(all, claims)
	body, err := json.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("claims of a token: %w", err)
	}
	signed := b64url([]byte(`{"alg":"RS256","kid":"key","typ":"JWT"}`)) + "." + b64url(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errors.Join(errors.New("the issuer could not sign"), err)
	}
	return signed + "." + b64url(signature), nil
}
