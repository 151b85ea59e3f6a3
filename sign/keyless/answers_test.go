package keyless_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/sign/keyless"
)

// answering is a transport that answers everything, and remembers the last URL.
type answering struct {
	text string
	url  string
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.url = r.URL.String()
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a.text)), Request: r, Header: http.Header{}}, nil
}

func TestAmbient_AsksTheUsualHosts(t *testing.T) {
	product := func(path string) ([]byte, error) {
		if path != "/sys/class/dmi/id/product_name" {
			return nil, os.ErrNotExist
		}
		return []byte("Google Compute Engine\n"), nil
	}
	for want, c := range map[string]struct {
		answer    string
		variables map[string]string
		read      func(string) ([]byte, error)
	}{
		"https://agent.buildkite.com/v3/jobs/1%2F2/oidc/tokens":                   {`{"token":"` + ciToken + `"}`, map[string]string{"BUILDKITE_AGENT_ACCESS_TOKEN": "secret-of-agent", "BUILDKITE_JOB_ID": "1/2"}, nil},
		"http://metadata.google.internal/computeMetadata/v1/instance/service-acc": {ciToken, nil, product},
	} {
		transport := &answering{text: c.answer}
		source, err := keyless.Ambient(from(c.variables), keyless.AmbientOptions{Transport: transport, ReadFile: c.read})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := source(t.Context()); err != nil || token != ciToken || !strings.HasPrefix(transport.url, want) {
			t.Errorf("%q, %v from %s, want %s", token, err, transport.url, want)
		}
	}
}

func TestAmbient_AnswersThatAreNone(t *testing.T) {
	broken := errors.New("exit status 1")
	run := func(context.Context, string, ...string) ([]byte, error) { return nil, broken }
	for name, c := range map[string]struct {
		variables map[string]string
		want      error
	}{
		"not JSON":     {map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://actions.example", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-of-github"}, keyless.ErrUntrusted},
		"not a URL":    {map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://actions.example/%zz", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-of-github"}, keyless.ErrIdentity},
		"not an agent": {map[string]string{"BUILDKITE_AGENT_ACCESS_TOKEN": "secret-of-agent", "BUILDKITE_JOB_ID": "1", "BUILDKITE_AGENT_ENDPOINT": ":"}, keyless.ErrService},
		"CircleCI":     {map[string]string{"CIRCLECI": "true"}, broken},
	} {
		source, err := keyless.Ambient(from(c.variables), keyless.AmbientOptions{Transport: &answering{text: "token"}, Run: run})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := source(t.Context()); !errors.Is(err, c.want) || token != "" {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

func TestLogins_AnswersThatAreNone(t *testing.T) {
	show := func(context.Context, keyless.Prompt) error { return nil }
	noWait := func(context.Context, time.Duration) error { return nil }
	for text, change := range map[string]func(i *idp, o *keyless.LoginOptions){
		"malformed JSON": func(_ *idp, o *keyless.LoginOptions) { o.Transport = &answering{text: "provider"} },
		"it has no code": func(i *idp, _ *keyless.LoginOptions) {
			i.endpoints = func(e map[string]any) { e["device_authorization_endpoint"] = i.URL + "/empty" }
		},
		"no terminal": func(_ *idp, o *keyless.LoginOptions) {
			o.Show = func(context.Context, keyless.Prompt) error { return errors.New("no terminal") }
		},
		"it is not a token": func(i *idp, _ *keyless.LoginOptions) {
			i.endpoints = func(e map[string]any) { e["token_endpoint"] = i.URL + "/device" }
		},
	} {
		i := newIDP(t)
		o := keyless.LoginOptions{Issuer: i.URL, Show: show}
		change(i, &o)
		source := keyless.DeviceLoginWaiting(o, noWait)
		if token, err := source(t.Context()); err == nil || token != "" || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %q, %v", text, token, err)
		}
	}
}

func TestLogins_FindTheIssuerInTheConfiguration(t *testing.T) {
	i, w := newIDP(t), newWorld(t)
	config := w.ConfigJSON(2)
	first(config, "oidcUrls")["url"] = i.URL
	o := keyless.LoginOptions{SigningConfig: w.Marshal(config), Show: i.browse(nil)}
	if token, err := keyless.BrowserLogin(o)(t.Context()); err != nil || token == "" {
		t.Errorf("%q, %v", token, err)
	}
	o.Listen = "127.0.0.1:99999"
	if _, err := keyless.BrowserLogin(o)(t.Context()); !errors.Is(err, keyless.ErrIdentity) {
		t.Error(err)
	}
}

func TestTokensAreReadStrictly(t *testing.T) {
	w := newWorld(t)
	for _, token := range []string{"e30.!.c2ln", "e30.W10.c2ln", "e30.eyJpc3MiOjEsImlzcyI6Mn0.c2ln", strings.Repeat("e", 65<<10) + ".e30.e30"} {
		o := w.options(2)
		o.Identity = keyless.Token(token)
		w.refuses(o, keyless.ErrIdentity, "not a JSON web token")
	}
	o := w.options(2)
	o.Identity = func(context.Context) (string, error) { return "", keyless.ErrIdentity }
	w.refuses(o, keyless.ErrIdentity, "no usable identity token")
	o.SigningConfig = make([]byte, 5<<20)
	if _, err := keyless.New(o); !errors.Is(err, keyless.ErrConfig) || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}

func TestConflictsEndWithTheLog(t *testing.T) {
	w := newWorld(t)
	inner := w.lost("POST /api/v1/log/entries")
	w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			rw.WriteHeader(http.StatusNotFound)
			return true
		}
		return inner(rw, r)
	}
	w.refuses(w.options(1), keyless.ErrService, "404")
}
