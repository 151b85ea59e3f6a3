package keyless_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/sign/keyless"
)

func TestAttack_T21_TokensInAnswersThatAreNone(t *testing.T) {
	w := newWorld(t)
	token := w.IDToken(sigstoretest.Object{"sub": workflow})
	for name, text := range map[string]string{
		"a name that stands twice": fmt.Sprintf(`{%q: 1, %q: 2}`, token, token),
		"a name of one part":       fmt.Sprintf(`{%q: 1, %q: 2}`, strings.Split(token, ".")[1], strings.Split(token, ".")[1]),
	} {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
			w.Handle = func(rw http.ResponseWriter, _ *http.Request) bool {
				rw.WriteHeader(status)
				io.WriteString(rw, text)
				return true
			}
			if err := signAny(w.signer(w.options(2))); !errors.Is(err, keyless.ErrService) || strings.Contains(err.Error(), strings.Split(token, ".")[1]) {
				t.Errorf("%s, %d: %v", name, status, err)
			}
		}
	}
}

// What a provider gives with a status other than 200 is a token, too.
func TestAttack_T21_TokensOfAnswersThatAreRefused(t *testing.T) {
	for _, status := range []int{http.StatusAccepted, http.StatusPartialContent, http.StatusBadRequest} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"value": %q}`, ciToken)
		}))
		t.Cleanup(server.Close)
		for name, variables := range map[string]map[string]string{
			"GitHub": {"ACTIONS_ID_TOKEN_REQUEST_URL": server.URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-of-github"},
			"Google": {"GCE_METADATA_HOST": strings.TrimPrefix(server.URL, "http://")},
		} {
			source, err := keyless.Ambient(from(variables), keyless.AmbientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if token, err := source(t.Context()); token != "" || !errors.Is(err, keyless.ErrService) || strings.Contains(err.Error(), strings.Split(ciToken, ".")[1]) {
				t.Errorf("%s, %d: %q, %v", name, status, token, err)
			}
		}
	}
}

func TestAttack_T21_CodesOfLoginsInErrors(t *testing.T) {
	const code = "4/code+secret=="
	for name, c := range map[string]struct {
		status int
		answer func(url.Values) string
	}{
		"as the error":   {http.StatusBadRequest, func(q url.Values) string { return q.Get("code") }},
		"the verifier":   {http.StatusBadRequest, func(q url.Values) string { return q.Get("code_verifier") }},
		"escaped":        {http.StatusForbidden, func(q url.Values) string { return q.Encode() }},
		"escaped by 400": {http.StatusBadRequest, func(q url.Values) string { return url.QueryEscape(q.Get("code")) }},
	} {
		i := newIDP(t)
		var verifier string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			verifier = r.PostFormValue("code_verifier")
			text, _ := json.Marshal(map[string]string{"error": c.answer(r.PostForm)})
			w.WriteHeader(c.status)
			w.Write(text)
		}))
		t.Cleanup(server.Close)
		i.endpoints = func(e map[string]any) { e["token_endpoint"] = server.URL }
		show := i.browse(func(q url.Values) { q.Set("code", code) })
		_, err := keyless.BrowserLogin(keyless.LoginOptions{Issuer: i.URL, Show: show})(t.Context())
		if err == nil || verifier == "" {
			t.Fatalf("%s: %v", name, err)
		}
		for _, secret := range []string{code, url.QueryEscape(code), verifier} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The metadata server answers plain HTTP: a proxy would read the token, or give another.
func TestAttack_T21_ProxiesSeeNoTokens(t *testing.T) {
	const child = "HALLMARK_TEST_PROXY_CHILD"
	if os.Getenv(child) != "" {
		source, err := keyless.Ambient(from(map[string]string{"GCE_METADATA_HOST": "metadata.invalid"}), keyless.AmbientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := source(t.Context()); err == nil {
			t.Errorf("%q, by a proxy", token)
		}
		return
	}
	proxy, last := serve(t, ciToken)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy, "http_proxy="+proxy, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil || last.URL != nil {
		t.Errorf("%v: %s; the proxy was asked for %v", err, out, last.URL)
	}
}
