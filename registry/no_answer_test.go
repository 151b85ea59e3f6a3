package registry_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// loginPage is what a proxy sends that wants credentials.
var loginPage = registrytest.Reply(registrytest.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>")})

// noAnswers are answers that say nothing about what was asked for.
func noAnswers() map[string]registrytest.Effect {
	all := map[string]registrytest.Effect{
		"compressed": registrytest.SetHeader("Content-Encoding", "gzip"), "redirects": registrytest.RedirectLoop(), "login page": loginPage,
		"large page": registrytest.Reply(registrytest.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: make([]byte, 5<<20)}),
	}
	for text, status := range map[string]int{"400": 400, "409": 409, "423": 423, "425": 425, "451": 451} {
		all[text] = registrytest.Status(status)
	}
	return all
}

// wantUnread expects an error that does not claim that there is no such thing.
func wantUnread(t *testing.T, label string, err error) {
	t.Helper()
	if !registry.Unreadable(err) {
		t.Errorf("%s: %v, want an error that says that it could not be read", label, err)
	}
}

func TestAttack_E12_CopyFailsWhenTheSourceHidesEvidence(t *testing.T) {
	for label, do := range noAnswers() {
		for what, match := range map[string]func(registrytest.Request, *scene) bool{
			"tag": func(q registrytest.Request, _ *scene) bool { return strings.HasSuffix(q.Ref, ".sig") },
			"referrer": func(q registrytest.Request, s *scene) bool {
				return q.Ref == s.referrers[s.root.Descriptor.Digest][0].String()
			},
		} {
			t.Run(what+", "+label, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				r, src := registryFor(t, false)
				must(t, s.copyTo(t, src, registry.CopyOptions{}))
				r.Inject(registrytest.Fault{Method: "GET", Kind: registrytest.KindManifest, Match: func(q registrytest.Request) bool { return match(q, s) }, Do: do})
				dst, _ := newLayout(t)
				_, err := registry.Copy(t.Context(), src, src.repo.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{})
				wantUnread(t, "copying", err)
			})
		}
	}
}

func TestAttack_E12_ACopyFailsWhereAPageComesInPlaceOfABlob(t *testing.T) {
	s := newScene(t)
	r, src := registryFor(t, false)
	must(t, s.copyTo(t, src, registry.CopyOptions{}))
	signature := hashOf("signature 1").String()
	r.Inject(registrytest.Fault{Method: "GET", Kind: registrytest.KindBlob, Ref: signature, Do: loginPage})
	dst, _ := newLayout(t)
	_, err := registry.Copy(t.Context(), src, src.repo.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{})
	wantUnread(t, "login page", err)
}

// The token service answers 400 once an identity token has ended (RFC 6749, section 5.2).
func TestAttack_E12_ACopyThatIsLoggedOutInItsMiddleFails(t *testing.T) {
	for _, noReferrers := range []bool{false, true} {
		s := newScene(t)
		r := registrytest.New(registrytest.Options{NoReferrers: noReferrers,
			Auth: &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}, Lifetime: 5 * time.Second}})
		c, err := remote.New(remote.Options{Keychain: credentials{user: "me", password: "secret"}, RetryDelay: time.Millisecond})
		must(t, err)
		src := &located{c, mustRepo(registrytest.Start(t, r) + "/team/app")}
		must(t, s.copyTo(t, src, registry.CopyOptions{}))
		var ended atomic.Bool
		r.Inject(registrytest.Fault{Kind: registrytest.KindToken, Match: func(registrytest.Request) bool { return ended.Load() }, Do: registrytest.Status(400)})
		dst, _ := newLayout(t)
		_, err = registry.Copy(t.Context(), src, src.repo.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{Progress: func(e registry.CopyEvent) {
			if e.Action == registry.CopyDone && e.Content.Digest == s.root.Descriptor.Digest {
				ended.Store(true)
			}
		}})
		wantKind(t, err, registry.ErrUnauthorized)
	}
}

func TestAttack_E12_WhatATokenServiceAnswersIsNotAboutContent(t *testing.T) {
	for label, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"400":        {registrytest.Status(400), registry.ErrUnauthorized},
		"403":        {registrytest.Status(403), registry.ErrDenied},
		"404":        {registrytest.Status(404), registry.ErrUnauthorized},
		"413":        {registrytest.Status(413), registry.ErrUnauthorized},
		"503":        {registrytest.Status(503), registry.ErrUnavailable},
		"429":        {registrytest.Status(429, "Retry-After", "60"), registry.ErrRateLimited},
		"no token":   {registrytest.ReplaceBody([]byte("{}")), registry.ErrUnauthorized},
		"compressed": {registrytest.SetHeader("Content-Encoding", "gzip"), registry.ErrUnauthorized},
	} {
		h := host(t, registrytest.Options{Auth: &registrytest.TokenAuth{AnonymousPull: true}}, remote.Options{MaxAttempts: 2})
		h.Inject(registrytest.Fault{Kind: registrytest.KindToken, Do: c.do})
		_, err := h.client.Manifest(context.Background(), h.tag)
		wantError(t, label, err, c.want)
		wantUnread(t, label, err)
	}
}

func TestAttack_E12_AFallbackTagThatMayNotBeReadIsNotAbsent(t *testing.T) {
	for label, do := range noAnswers() {
		h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
		attach(t, h.Store(), h.image, bundleItem("b"))
		h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: "sha256-" + imageHash(h).Hex, Do: do})
		_, err := lastReferrer(h.client, h)
		wantUnread(t, label, err)
	}
}

// lastReferrer is how many referrers of the image are listed, and the error at the end.
func lastReferrer(r registry.Reader, h *hosted) (n int, last error) {
	for _, err := range r.Referrers(context.Background(), h.image) {
		if last = err; err == nil {
			n++
		}
	}
	return n, last
}

func TestAttack_E12_ErrorPageDoesNotMakeAListAbsent(t *testing.T) {
	for label, do := range map[string]registrytest.Effect{
		"400": registrytest.Status(400), "405": registrytest.Status(405), "406": registrytest.Status(406), "login page": loginPage,
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		attach(t, h.client, h.image, bundleItem("b"))
		if n, err := lastReferrer(h.client, h); n != 1 || err != nil {
			t.Fatal(n, err) // it has the API
		}
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: do})
		_, err := lastReferrer(h.client, h)
		wantUnread(t, label, err)
	}
}

func TestAttack_E12_APageOfTheListThatIsNotThereIsAnError(t *testing.T) {
	h := host(t, registrytest.Options{ReferrersPageSize: 1}, remote.Options{})
	attach(t, h.client, h.image, bundleItem("a"), bundleItem("b"))
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Match: func(q registrytest.Request) bool { return q.Query != "" }, Do: registrytest.Status(404)})
	n, err := lastReferrer(h.client, h)
	wantError(t, "after the first page", err, registry.ErrUnavailable)
	if n != 1 {
		t.Errorf("%d referrers before it", n)
	}
}

// Pushed content is not an answer of the registry's: it is passed over.
func TestAttack_E19_ATagThatTheRegistryVouchesForIsContent(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	h.Put("team/app", "sha256-"+imageHash(h).Hex, "text/html", []byte("<html>"))
	if n, err := lastReferrer(h.client, h); n != 0 || err != nil {
		t.Errorf("%d referrers, %v", n, err)
	}
	_, err := h.client.Manifest(context.Background(), h.repo.Digest(hashOf("<html>").String()))
	if wantError(t, "by digest", err, registry.ErrUnsupported); registry.Unreadable(err) {
		t.Errorf("by digest: %v is said to be no answer", err)
	}
}
