package proxy_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/hallmark-oci/hallmark/registry/proxy"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// go-containerregistry's client logs in by itself, through the transport, and its
// tokens are what the judgement reads with.
func TestTransportGuardsAClientThatLogsIn(t *testing.T) {
	for _, o := range []registrytest.Options{{}, {Auth: &registrytest.TokenAuth{Users: map[string]string{"jane": "secret"}}}} {
		s := newScene(t, registrytest.Options{}, nil)
		guardedRegistry := registrytest.New(o)
		for _, tag := range []string{"signed", "unsigned"} {
			image, err := registrytest.PushImage(t.Context(), guardedRegistry.Store(), s.repo.Tag(tag), registrytest.ImageOptions{Seed: tag})
			must(t, err)
			if tag == "signed" {
				signOn(t, guardedRegistry, image, s.signer)
			}
		}
		host := registrytest.Start(t, guardedRegistry)
		guarded, err := proxy.NewTransport(proxy.Config{Verifier: s.verifier(nil), TempDir: t.TempDir()})
		must(t, err)
		login := authn.Anonymous
		if o.Auth != nil {
			login = authn.FromConfig(authn.AuthConfig{Username: "jane", Password: "secret"})
		}
		options := []remote.Option{remote.WithTransport(guarded), remote.WithAuth(login)}
		tag := func(tag string) name.Tag {
			ref, err := name.NewTag(host + "/team/app:" + tag)
			must(t, err)
			return ref
		}
		for range 2 {
			image, err := remote.Image(tag("signed"), options...)
			must(t, err)
			layers, err := image.Layers()
			must(t, err)
			for _, l := range layers {
				body, err := l.Compressed()
				must(t, err)
				if n, err := io.Copy(io.Discard, body); err != nil || n == 0 {
					t.Errorf("%d bytes, %v", n, err)
				}
				must(t, body.Close())
			}
			_, err = remote.Image(tag("unsigned"), options...)
			var refused *transport.Error
			if !errors.As(err, &refused) || refused.StatusCode != http.StatusForbidden || !strings.Contains(err.Error(), "no-signature") {
				t.Errorf("%v", err)
			}
		}
		if o.Auth == nil {
			continue
		}
		// Content that is held is not given to who has no login, and tokens that
		// have ended are asked for again.
		if _, err := remote.Image(tag("signed"), remote.WithTransport(guarded)); err == nil {
			t.Error("somebody without a login got the image")
		}
		guardedRegistry.RevokeTokens()
		if _, err := remote.Image(tag("signed"), options...); err != nil {
			t.Errorf("with a new token: %v", err)
		}
	}
}

func TestAMissingTagOfEvidenceCostsTheUpstreamNothingTheSecondTime(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	missing := "/v2/team/app/manifests/" + strings.Replace(s.signed.DigestStr(), ":", "-", 1) + ".att"
	if r := s.get(missing); r.status != http.StatusNotFound {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.hosted.ResetRequests()
	for _, path := range []string{missing, "/v2/team/app/manifests/" + s.signed.DigestStr()} {
		s.get(path)
	}
	if n := len(s.hosted.Requests()); n != 0 {
		t.Errorf("%d requests: %v", n, s.hosted.Requests())
	}
}

// The requests that one cold pull by tag costs, one after another.
func TestAColdJudgementAddsAtMostThreeRoundTrips(t *testing.T) {
	for _, o := range []registrytest.Options{{}, {NoReferrers: true}} {
		s := newScene(t, o, nil)
		// Slow enough that what is asked at once is seen to be.
		s.hosted.Inject(registrytest.Fault{Do: registrytest.Delay(20 * time.Millisecond)})
		s.passes("signed")
		depth := 0
		var last registrytest.Request
		for _, r := range s.hosted.Requests() {
			if depth == 0 || !r.Start.Before(last.End) {
				depth++
				last = r
			} else if r.End.After(last.End) {
				last.End = r.End
			}
		}
		if depth > 4 {
			t.Errorf("%d requests one after another: %v", depth, s.hosted.Requests())
		}
	}
}
