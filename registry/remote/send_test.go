package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func TestAttack_R5_RetriesAreBoundedAndCancelAtOnce(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		after    string
		requests int
		told     time.Duration
	}{
		"huge": {"1000000000", 1, day}, "negative": {"-5", 3, 0}, "a date far off": {"Fri, 31 Dec 2999 23:59:59 GMT", 1, day},
		"a date gone by": {"Fri, 31 Dec 1999 23:59:59 GMT", 3, 0}, "garbage": {"soon", 3, 0}, "an hour": {"3600", 1, time.Hour},
	} {
		for status, kind := range map[int]registry.Kind{429: registry.ErrRateLimited, 503: registry.ErrUnavailable} {
			h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 3, MaxRetryDelay: 10 * time.Millisecond})
			h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(status, "Retry-After", c.after)})
			_, err := h.client.Resolve(context.Background(), h.tag)
			e := wantError(t, name, err, kind)
			if n := len(h.Requests()); n != c.requests || e.RetryAfter != c.told {
				t.Errorf("%s: %d requests, RetryAfter %s", name, n, e.RetryAfter)
			}
		}
	}
	h := host(t, registrytest.Options{}, remote.Options{RetryDelay: time.Hour, MaxRetryDelay: time.Hour})
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(503)})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.client.Resolve(ctx, h.tag); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while waiting: %v", err)
	}
}

func TestWhatPassesIsTriedAgain(t *testing.T) {
	for name, do := range map[string]registrytest.Effect{"429": registrytest.Status(429), "503": registrytest.Status(503), "hang-up": registrytest.HangUp()} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Times: 2, Do: do})
		if _, err := h.client.Manifest(context.Background(), h.tag); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		h.Inject(registrytest.Fault{Kind: registrytest.KindUpload, Method: "PUT", Times: 2, Do: do})
		data := []byte("content " + name)
		sum, _, _ := v1.SHA256(bytes.NewReader(data))
		err := h.client.PushBlob(context.Background(), h.repo.Digest(sum.String()), int64(len(data)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		})
		if err != nil {
			t.Errorf("%s: upload: %v", name, err)
		}
	}
}

func TestAttack_R10_ErrorTextsOfRegistriesAreSanitised(t *testing.T) {
	body := `{"errors":[{"code":"DENIED","message":"\u001b[31mred\u001b[0m see https://user:hunter2@registry.example/x?sig=s3cr3t#frag and \u202eevil"}]}`
	for name, answer := range map[string]registrytest.Answer{
		"escapes and secrets": {Status: 403, Body: []byte(body)},
		"a page of HTML":      {Status: 403, Body: []byte("<html><script>alert(1)</script>")},
		"10 MB":               {Status: 403, Body: []byte(`{"errors":[{"message":"` + strings.Repeat("a", 10<<20) + `"}]}`)},
		"long message":        {Status: 403, Body: []byte(`{"errors":[{"message":"` + strings.Repeat("a", 10<<10) + `"}]}`)},
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Reply(answer)})
		_, err := h.client.Manifest(context.Background(), h.tag)
		wantError(t, name, err, registry.ErrDenied)
		text := err.Error()
		for _, bad := range []string{"\x1b", "hunter2", "s3cr3t", "\u202e", "<html>"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: the error holds %q: %q", name, bad, text)
			}
		}
		if len(text) > 2000 {
			t.Errorf("%s: an error of %d bytes", name, len(text))
		}
	}
}

func TestWhatDoesNotPassIsNotTriedAgain(t *testing.T) {
	for status, kind := range map[int]registry.Kind{
		501: registry.ErrUnavailable, 403: registry.ErrDenied, 404: registry.ErrNotFound, 400: registry.ErrMalformed,
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(status)})
		_, err := h.client.Manifest(context.Background(), h.tag)
		if e := wantError(t, fmt.Sprint(status), err, kind); e.Status != status || len(h.Requests()) != 1 {
			t.Errorf("%d: %d requests, %v", status, len(h.Requests()), err)
		}
	}
}

func TestAWaitThatWasAskedForIsWaited(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{RetryDelay: time.Millisecond})
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(429, "Retry-After", "5")})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.client.Manifest(ctx, h.tag); !errors.Is(err, context.DeadlineExceeded) || len(h.Requests()) != 1 {
		t.Errorf("%d requests, %v", len(h.Requests()), err)
	}
}

func TestAttack_R10_EveryURLIsRedacted(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	body := `{"errors":[{"code":"DENIED","message":"see https://a.example/,https://user:hunter2@b.example/x and <https://u:hunter2@c.example/y?sig=hunter2> (https://p:hunter2@d.example)"}]}`
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Reply(registrytest.Answer{Status: 403, Body: []byte(body)})})
	_, err := h.client.Manifest(context.Background(), h.tag)
	if wantError(t, "two URLs", err, registry.ErrDenied); strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "d.example") {
		t.Error(err)
	}
}

func TestATokenServiceIsAskedAgain(t *testing.T) {
	for name, do := range map[string]registrytest.Effect{"429": registrytest.Status(429), "503": registrytest.Status(503), "hang-up": registrytest.HangUp()} {
		h := host(t, registrytest.Options{Auth: &registrytest.TokenAuth{AnonymousPull: true}}, remote.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindToken, Times: 2, Do: do})
		if _, err := h.client.Manifest(t.Context(), h.tag); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatATokenServiceSaysIsToldAndHeeded(t *testing.T) {
	auth := &registrytest.TokenAuth{AnonymousPull: true}
	h := host(t, registrytest.Options{Auth: auth}, remote.Options{MaxAttempts: 2})
	h.Inject(registrytest.Fault{Kind: registrytest.KindToken, Do: registrytest.Status(503)})
	_, err := h.client.Manifest(t.Context(), h.tag)
	if e := wantError(t, "down", err, registry.ErrUnavailable); e.Status != 503 || errors.Is(err, context.Canceled) {
		t.Errorf("no request gave up: %v", err)
	}
	h = host(t, registrytest.Options{Auth: auth}, remote.Options{})
	h.Inject(registrytest.Fault{Kind: registrytest.KindToken, Do: registrytest.Status(429, "Retry-After", "5")})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = h.client.Manifest(ctx, h.tag)
	asked := 0
	for _, r := range h.Requests() {
		if r.Kind == registrytest.KindToken {
			asked++
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) || asked != 1 {
		t.Errorf("asked %d times within the time that it asked for: %v", asked, err)
	}
}
