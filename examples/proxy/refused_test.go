package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// page is a status and a text.
func page(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(text)
}

// watched starts a gate with settings, and returns where it is and where it is watched.
func watched(t *testing.T, change func(c *settings)) (r *running, image func(tag string) string, ready string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	admin := l.Addr().String()
	must(t, l.Close())
	r = start(t, func(_ string, c *settings) { c.Admin = admin; change(c) })
	return r, func(tag string) string { return "http://" + r.address + "/v2/team/app/manifests/" + tag }, "http://" + admin + "/readyz"
}

func TestReadyz_SaysThatTheNewestPolicyIsRefused(t *testing.T) {
	for _, strict := range []bool{false, true} {
		r, image, ready := watched(t, func(c *settings) { c.DenyOnRefusedPolicy = strict })
		path := filepath.Join(r.dir, "policy.yaml")
		good, err := os.ReadFile(path)
		must(t, err)
		write := func(text string) {
			must(t, os.WriteFile(path+".new", []byte(text), 0o600))
			must(t, os.Rename(path+".new", path))
			time.Sleep(5 * time.Millisecond)
		}
		if code, text := page(t, ready); code != http.StatusOK || !strings.Contains(text, "ready, by policy sha256:") {
			t.Errorf("%d %s", code, text)
		}
		write("version: 1\nrules: " + strings.Repeat("x", 10_000))
		wantReady, wantImage := http.StatusOK, http.StatusOK
		if strict {
			wantReady, wantImage = http.StatusServiceUnavailable, http.StatusForbidden
		}
		if code, text := page(t, ready); code != wantReady || !strings.Contains(text, "the newest policy was refused") || !strings.Contains(text, "rules") || len(text) > 1000 {
			t.Errorf("strict %t: %d %s", strict, code, text)
		}
		if code, text := page(t, image("signed")); code != wantImage || strict && !strings.Contains(text, "policy-refused") {
			t.Errorf("strict %t: %d %s", strict, code, text)
		}
		write(string(good))
		if code, text := page(t, ready); code != http.StatusOK || strings.Contains(text, "refused") {
			t.Errorf("after it was mended: %d %s", code, text)
		}
		if code, text := page(t, image("signed")); code != http.StatusOK {
			t.Errorf("after it was mended: %d %s", code, text)
		}
		must(t, r.stop())
	}
}

func TestReadyz_SaysThatNothingIsEnforced(t *testing.T) {
	r, image, ready := watched(t, func(c *settings) { c.InsecureAuditOnly = true })
	if code, text := page(t, ready); code != http.StatusOK || !strings.Contains(text, "not enforced") {
		t.Errorf("%d %s", code, text)
	}
	if code, text := page(t, image("unsigned")); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	if code, text := page(t, image("none")); code != http.StatusNotFound {
		t.Errorf("%d %s", code, text)
	}
	must(t, r.stop())
}

func TestFlagsReachTheGate(t *testing.T) {
	c, err := settingsOf([]string{"-policy", "p", "-upstream", "registry.example", "-insecure-audit-only", "-deny-on-refused-policy"}, io.Discard)
	must(t, err)
	if !c.InsecureAuditOnly || !c.DenyOnRefusedPolicy {
		t.Errorf("%+v", c)
	}
	var written settings
	must(t, decodeYAML([]byte("insecureAuditOnly: true\ndenyOnRefusedPolicy: true\n"), &written))
	if got := []bool{written.InsecureAuditOnly, written.DenyOnRefusedPolicy}; !slices.Equal(got, []bool{true, true}) {
		t.Errorf("%v", got)
	}
}
