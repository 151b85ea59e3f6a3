package gate_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// Where an upstream is reached, where it redirects to, and which resolver was asked, is
// the operator's business. The log has it.
func TestAttack_P19_ErrorsNameNoAddress(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	leading := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://inner.corp.invalid:4711/secret"+r.URL.Path, http.StatusTemporaryRedirect)
	})
	telling := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not at inner.corp.invalid:4711"}]}`)
	})
	failing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = fmt.Fprint(w, `{"errors":[{"code":"inner.corp.invalid:4711","message":"10.0.0.2:53"}]}`)
	})
	for name, address := range map[string]string{
		"no connection": "127.0.0.1:1", "no such host": "inner.corp.invalid:4711",
		"a redirect": registrytest.Start(t, leading), "an error that tells": registrytest.Start(t, telling), "a failure that tells": registrytest.Start(t, failing),
	} {
		s.start(address, func(c *gate.Config) { c.Client.Timeout = 2 * time.Second })
		for _, path := range s.everyEndpoint("team/app") {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				r := s.ask(method, path)
				r.header.Del("Date")
				told := string(r.body) + fmt.Sprint(r.header)
				for _, secret := range []string{address, "127.0.0.1", "inner", "4711", "10.0.0", ":53", "lookup", "dial", "secret/"} {
					if strings.Contains(told, secret) {
						t.Errorf("%s: %s %s: the client is told %q: %s", name, method, path, secret, told)
					}
				}
				if r.status < 400 && !strings.Contains(path, "/referrers/") {
					t.Errorf("%s: %s: %d", name, path, r.status)
				}
			}
		}
	}
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	causes := 0
	for _, e := range s.events.all {
		if strings.Contains(strings.Join(e.Causes, " "), "inner.corp.invalid") {
			causes++
		}
	}
	if causes == 0 {
		t.Error("no event says what was the cause")
	}
}

func TestAttack_P19_TheStatusLineNamesNoAddress(t *testing.T) {
	telling := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"not at inner.corp.invalid:4711"}]}`)
	})
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, telling), nil)
	answer := s.bytesOf("HEAD /v2/team/app/manifests/signed HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 403 ") || strings.Contains(answer, "inner") || strings.Contains(answer, "127.0.0.1") {
		t.Errorf("%q", answer)
	}
}

// Evidence that comes in drips, each of them progress, ends with the judgement's
// time, for all who wait for it.
func TestAttack_E22_OneJudgementHasOneDeadline(t *testing.T) {
	for _, kind := range []registrytest.Kind{registrytest.KindManifest, registrytest.KindReferrers} {
		s := newScene(t, registrytest.Options{}, nil)
		slow, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("slow"), registrytest.ImageOptions{Seed: "slow"})
		must(t, err)
		s.sign(slow)
		s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
			c.JudgeTimeout = time.Second
			c.Client.StallTimeout, c.Client.Timeout = 0, 0
		})
		s.passes("signed")
		s.hosted.Inject(registrytest.Fault{Kind: kind, Do: registrytest.Drip(16, 50*time.Millisecond)})
		began := time.Now()
		for range 3 { // asking again does not prolong it
			path := manifestPath + "slow"
			if kind == registrytest.KindReferrers {
				path = "/v2/team/app/referrers/" + s.signed.DigestStr()
			}
			if r := s.get(path); r.status != http.StatusServiceUnavailable || !strings.HasPrefix(r.message(), "UNAVAILABLE: it cannot be judged now") {
				t.Errorf("%s: %d %s", kind, r.status, r.body)
			}
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: it took %v", kind, took)
		}
	}
}
