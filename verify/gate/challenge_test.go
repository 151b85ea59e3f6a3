package gate_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// strict is a registry that shows nothing to who has no token of its own, and asks for
// one by two challenges. Its token service is at a path of it, or, with tokens, of
// another host. Forbidden credentials are known, and may read nothing.
func strict(t *testing.T, path, tokens string, deny http.HandlerFunc) (host string) {
	host = registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		realm := host
		if tokens != "" {
			realm = tokens
		}
		switch {
		case r.URL.Path == path:
			deny(w, r)
		case r.Header.Get("Authorization") == "Bearer forbidden":
			w.WriteHeader(http.StatusForbidden)
		default:
			repo, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests")
			w.Header().Add("WWW-Authenticate", `Negotiate`)
			w.Header().Add("WWW-Authenticate", `Bearer realm="http://`+realm+path+`",service="x",scope="repository:`+repo+`:pull"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	return host
}

// A client that sends its credentials only once it is asked for them has to be asked as the
// registry asks, whatever a token service says to who has none.
func TestClientIsAskedForCredentialsWhateverAnonymousGets(t *testing.T) {
	for label, deny := range map[string]http.HandlerFunc{
		"401": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"401 with a challenge": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="tokens"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"403":                        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"a token that opens nothing": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"token":"x"}`)) },
	} {
		for _, path := range []string{"/token", "/v2/token"} {
			for _, apart := range []bool{false, true} {
				s, tokens := newScene(t, registrytest.Options{}, nil), ""
				if apart {
					tokens = registrytest.Start(t, deny)
				}
				host := strict(t, path, tokens, deny)
				client := s.transport(host, nil)
				ask := func(repo, credentials string) reply {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/"+repo+"/manifests/x", nil)
					must(t, err)
					if credentials != "" {
						req.Header.Set("Authorization", credentials)
					}
					return send(t, client, req)
				}
				for _, credentials := range []string{"", "Bearer ended"} {
					for _, repo := range []string{"team/a", "team/b", "team/a"} {
						r := ask(repo, credentials)
						asked := r.header.Values("WWW-Authenticate")
						if r.status != http.StatusUnauthorized || !strings.HasPrefix(r.message(), "UNAUTHORIZED: ") ||
							len(asked) != 2 || asked[0] != "Negotiate" || !strings.Contains(asked[1], path) || !strings.Contains(asked[1], "repository:"+repo+":pull") {
							t.Errorf("%s at %s (on another host: %t), credentials %q, %s: %d %q %s", label, path, apart, credentials, repo, r.status, asked, r.body)
						}
					}
				}
				// Who is known and may not is told so.
				if r := ask("team/a", "Bearer forbidden"); r.status != http.StatusForbidden || r.header.Get("WWW-Authenticate") != "" {
					t.Errorf("%s at %s: credentials that are forbidden: %d %v", label, path, r.status, r.header)
				}
			}
		}
	}
}

func TestAChallengeThatIsTooLongIsNotRemembered(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	host := registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 10 {
			w.Header().Add("WWW-Authenticate", `Basic realm="`+strings.Repeat("x", 1000)+`"`)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	resp, err := s.transport(host, nil).Get("http://" + host + manifestPath + "signed")
	must(t, err)
	must(t, resp.Body.Close())
	if asked := resp.Header.Values("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || len(asked) > 0 {
		t.Errorf("%d, %d challenges", resp.StatusCode, len(asked))
	}
}

// The gate, too, asks clients without credentials for some where a token service answers 403; not
// so clients that have some, nor any where the credentials are the operator's.
func TestAnonymousIsAskedForCredentialsIfTheUpstreamSays403(t *testing.T) {
	deny := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	s := newScene(t, registrytest.Options{}, nil)
	upstream := strict(t, "/token", "", deny)
	ours := []string{`Basic realm="hallmark gate", charset="UTF-8"`}
	for _, at := range []struct {
		mode        gate.Credentials
		credentials []string
		status      int
		code        string
		challenge   []string
	}{
		{gate.PassThroughOrAnonymous, nil, http.StatusUnauthorized, "UNAUTHORIZED: ", ours},
		{gate.PassThroughOrAnonymous, basic("jane"), http.StatusForbidden, "DENIED: ", nil},
		{gate.PassThrough, basic("jane"), http.StatusForbidden, "DENIED: ", nil},
		{gate.Operator, nil, http.StatusForbidden, "DENIED: ", nil},
	} {
		s.start(upstream, func(c *gate.Config) { c.Credentials = at.mode })
		for _, path := range []string{manifestPath + "signed", manifestPath + s.signed.DigestStr(), blobPath(s.parts(s.signed)[1])} {
			r := s.get(path, at.credentials...)
			if asked := r.header.Values("WWW-Authenticate"); r.status != at.status || !strings.HasPrefix(r.message(), at.code) || !slices.Equal(asked, at.challenge) {
				t.Errorf("%s, credentials %q: %s: %d %q %s", at.mode, at.credentials, path, r.status, asked, r.body)
			}
		}
	}
}
