package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func TestAnUploadThatTheRegistryStopsTakingEnds(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{Timeout: 200 * time.Millisecond, MaxAttempts: 1})
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindUpload, Do: registrytest.Delay(time.Hour)})
	data := bytes.Repeat([]byte("x"), 32<<20)
	sum, _, _ := v1.SHA256(bytes.NewReader(data))
	err := h.client.PushBlob(context.Background(), h.repo.Digest(sum.String()), int64(len(data)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
	wantError(t, "upload", err, registry.ErrStalled)
}

func TestAttack_S2_ReadingBackNoticesOtherBytes(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	_, data, _ := h.Manifest("team/app", "v1")
	m, err := registry.NewManifest("application/vnd.oci.image.manifest.v1+json", append(data, ' '))
	if err != nil {
		t.Fatal(err)
	}
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Do: registrytest.StoreOther(data)})
	at := h.repo.Digest(m.Descriptor.Digest.String())
	if _, err := h.client.PushManifest(context.Background(), at, m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = h.client.Manifest(context.Background(), at)
	wantError(t, "read back", err, registry.ErrDigestMismatch)
	_, err = h.client.PushManifest(context.Background(), h.image, m, registry.PushOptions{})
	wantError(t, "under another digest", err, registry.ErrDigestMismatch)
}

func TestABlobsSourceMustBeTheBlob(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	data := bytes.Repeat([]byte("x"), 200_000)
	sum, _, _ := v1.SHA256(bytes.NewReader(data))
	ref := h.repo.Digest(sum.String())
	for name, source := range map[string][]byte{
		"other bytes": bytes.Repeat([]byte("y"), 200_000), "shorter": data[:100], "longer": append(data, 'x'), "empty": nil,
	} {
		err := h.client.PushBlob(context.Background(), ref, int64(len(data)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(source)), nil
		})
		wantError(t, name, err, registry.ErrDigestMismatch)
		if there, err := h.client.HasBlob(context.Background(), ref); there || err != nil {
			t.Errorf("%s: stored: %v, %v", name, there, err)
		}
	}
	for range 2 {
		err := h.client.PushBlob(context.Background(), ref, int64(len(data)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	uploads := 0
	for _, r := range h.Requests() {
		if r.Kind == registrytest.KindUpload && r.Method == "PUT" && r.Status == 201 {
			uploads++
		}
	}
	if uploads != 1 {
		t.Errorf("uploaded %d times; what is there is not sent again", uploads)
	}
}

func TestBlobsAreMountedWithinARegistry(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	layer := h.layer(t)
	other := h.repo.Registry.Repo("team", "other")
	ref := other.Digest(layer.Digest.String())
	if ok, err := h.client.MountBlob(context.Background(), ref, h.repo); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
	if there, err := h.client.HasBlob(context.Background(), ref); err != nil || !there {
		t.Errorf("%v, %v", there, err)
	}
	absent := other.Digest("sha256:" + strings.Repeat("0", 64))
	if ok, err := h.client.MountBlob(context.Background(), absent, h.repo); err != nil || ok {
		t.Errorf("a blob that is not there: %v, %v", ok, err)
	}
}

// push pushes data from sources that give it as read does.
func (h *hosted) push(t testing.TB, data []byte, read func() io.Reader) error {
	t.Helper()
	sum, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return h.client.PushBlob(context.Background(), h.repo.Digest(sum.String()), int64(len(data)), func() (io.ReadCloser, error) {
		return io.NopCloser(read()), nil
	})
}

func TestASourceThatFailsIsNoSourceOfOtherBytes(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 100_000)
	broken := errors.New("disk on fire")
	for what, c := range map[string]struct {
		err   error
		kind  registry.Kind
		opens int
	}{
		"an error of its own":  {broken, registry.ErrUnavailable, 2},
		"one that may pass":    {&registry.Error{Op: "read blob", Kind: registry.ErrUnavailable, Err: io.ErrUnexpectedEOF}, registry.ErrUnavailable, 2},
		"one that stays":       {&registry.Error{Op: "read blob", Kind: registry.ErrStalled}, registry.ErrStalled, 1},
		"other bytes upstream": {&registry.Error{Op: "read blob", Kind: registry.ErrDigestMismatch}, registry.ErrDigestMismatch, 1},
	} {
		for _, after := range []int{0, 70_000, len(data)} {
			h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 2})
			opens := 0
			err := h.push(t, data, func() io.Reader {
				opens++
				return io.MultiReader(bytes.NewReader(data[:after]), iotest.ErrReader(c.err))
			})
			if wantError(t, what, err, c.kind); opens != c.opens || !errors.Is(err, c.err) {
				t.Errorf("%s after %d bytes: opened %d times, want %d; %v", what, after, opens, c.opens, err)
			}
		}
	}
}

func TestASourceThatRecoversIsPushed(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	data := bytes.Repeat([]byte("x"), 100_000)
	opens := 0
	err := h.push(t, data, func() io.Reader {
		if opens++; opens == 1 {
			return io.MultiReader(bytes.NewReader(data[:10]), iotest.ErrReader(io.ErrClosedPipe))
		}
		return bytes.NewReader(data)
	})
	if err != nil || opens != 2 {
		t.Errorf("opened %d times, %v", opens, err)
	}
}

func TestAnEmptyBlobIsVerifiedToo(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	if err := h.push(t, nil, func() io.Reader { return bytes.NewReader(nil) }); err != nil {
		t.Error(err)
	}
	err := h.client.PushBlob(context.Background(), h.repo.Digest("sha256:"+strings.Repeat("0", 64)), 0, func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(nil)), nil
	})
	wantError(t, "under another digest", err, registry.ErrDigestMismatch)
}

// slowly reads in small steps; an answer comes in the midst of them.
type slowly struct{ io.Reader }

func (s slowly) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.Reader.Read(p[:min(len(p), 4<<10)])
}

func TestAnAnswerBeforeTheEndLeavesNobodyReading(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 3})
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindUpload, Times: 2, Do: registrytest.Status(503)})
	data := bytes.Repeat([]byte("x"), 2<<20)
	shared := bytes.NewReader(data)
	// All attempts share one reader, as those of one open file do.
	err := h.push(t, data, func() io.Reader {
		_, _ = shared.Seek(0, io.SeekStart)
		return slowly{shared}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAMountThatBecameAnUploadIsNoError(t *testing.T) {
	for what, f := range map[string]registrytest.Fault{
		"cannot be cancelled":  {Method: "DELETE", Do: registrytest.Status(500)},
		"hangs up on the end":  {Method: "DELETE", Do: registrytest.HangUp()},
		"is somewhere unsafe":  {Method: "POST", Do: registrytest.Reply(registrytest.Answer{Status: 202, Header: http.Header{"Location": {"file:///x"}}})},
		"is nowhere":           {Method: "POST", Do: registrytest.Reply(registrytest.Answer{Status: 202})},
		"is not allowed":       {Method: "POST", Do: registrytest.Status(403)},
		"is not known at all":  {Method: "POST", Do: registrytest.Status(405)},
		"is of another place":  {},
		"is taken for nothing": {Method: "DELETE", Do: registrytest.Hide()},
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		f.Kind = registrytest.KindUpload
		h.Inject(f)
		ref := h.repo.Registry.Repo("other").Digest("sha256:" + strings.Repeat("0", 64))
		from := h.repo
		if what == "is of another place" {
			from = name.MustParseReference("registry.example/team/app").Context()
		}
		if ok, err := h.client.MountBlob(context.Background(), ref, from); ok || err != nil {
			t.Errorf("%s: %v, %v", what, ok, err)
		}
	}
}

func TestAttack_R3_AnUploadElsewhereCarriesNoCredentials(t *testing.T) {
	data := []byte("blob")
	for _, c := range []struct {
		location    string
		credentials bool
		want        registry.Kind
	}{
		{"/upload/1", true, ""},
		{"https://registry.example/upload/1?state=a%2Fb", true, ""},
		{"https://registry.example:443/upload/1", true, ""},
		{"https://registry.example:8443/upload/1", false, ""},
		{"https://storage.test/upload/1", false, ""},
		{"http://registry.example/upload/1", false, registry.ErrInsecure},
		{"https://169.254.169.254/upload/1", false, registry.ErrInsecure},
		{"file:///upload/1", false, registry.ErrInsecure},
	} {
		var got []string
		serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPut:
				got = append(got, r.Header.Get("Authorization"))
				_, _ = io.Copy(io.Discard, r.Body)
				if !strings.HasSuffix(r.URL.RawQuery, "digest=sha256%3Afa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8") {
					t.Errorf("%s: query %q", c.location, r.URL.RawQuery)
				}
				w.WriteHeader(http.StatusCreated)
			case r.Header.Get("Authorization") == "":
				w.Header().Set("WWW-Authenticate", "Basic")
				w.WriteHeader(http.StatusUnauthorized)
			default:
				w.Header().Set("Location", c.location)
				w.WriteHeader(http.StatusAccepted)
			}
		})
		client, tag := public(t, remote.Options{}, onInternet{
			"https://registry.example": serve, "https://registry.example:443": serve, "https://registry.example:8443": serve, "https://storage.test": serve,
		})
		sum, _, _ := v1.SHA256(bytes.NewReader(data))
		err := client.PushBlob(context.Background(), tag.Digest(sum.String()), int64(len(data)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		})
		if c.want != "" {
			if wantError(t, c.location, err, c.want); len(got) != 0 {
				t.Errorf("%s was asked", c.location)
			}
			continue
		}
		if err != nil || len(got) != 1 || (got[0] != "") != c.credentials {
			t.Errorf("%s: %v, it got %q", c.location, err, got)
		}
	}
}

func TestAnUploadThatIsAnsweredWronglyIsNoSuccess(t *testing.T) {
	upload := func(method string, a registrytest.Answer) registrytest.Fault {
		return registrytest.Fault{Method: method, Kind: registrytest.KindUpload, Do: registrytest.Reply(a)}
	}
	at := func(place string) http.Header { return http.Header{"Location": {place}} }
	other := http.Header{"Docker-Content-Digest": {"sha256:" + strings.Repeat("0", 64)}}
	for what, c := range map[string]struct {
		fault registrytest.Fault
		want  registry.Kind
	}{
		"done before it began":      {upload("POST", registrytest.Answer{Status: 201, Header: at("/v2/team/app/blobs/uploads/1")}), registry.ErrMalformed},
		"begun nowhere":             {upload("POST", registrytest.Answer{Status: 202}), registry.ErrMalformed},
		"begun at no address":       {upload("POST", registrytest.Answer{Status: 202, Header: at("http://[::1")}), registry.ErrMalformed},
		"only accepted":             {upload("PUT", registrytest.Answer{Status: 202}), registry.ErrMalformed},
		"taken in part":             {upload("PUT", registrytest.Answer{Status: 206}), registry.ErrMalformed},
		"led elsewhere at its end":  {upload("PUT", registrytest.Answer{Status: 307, Header: at("/v2/elsewhere")}), registry.ErrMalformed},
		"taken for another content": {upload("PUT", registrytest.Answer{Status: 201, Header: other}), registry.ErrDigestMismatch},
		"too large":                 {upload("PUT", registrytest.Answer{Status: 413}), registry.ErrTooLarge},
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(c.fault)
		err := h.push(t, []byte("blob"), func() io.Reader { return strings.NewReader("blob") })
		wantError(t, what, err, c.want)
	}
}

func TestABlobThatNobodyCouldSendIsRefusedBeforeARequest(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	unopened := func() (io.ReadCloser, error) { t.Error("its source was opened"); return nil, io.EOF }
	err := h.client.PushBlob(t.Context(), h.image, -1, unopened)
	wantError(t, "of no size", err, registry.ErrReference)
	err = h.client.PushBlob(t.Context(), h.repo.Digest("sha384:"+strings.Repeat("0", 96)), 1, unopened)
	wantError(t, "of another algorithm", err, registry.ErrReference)
	_, err = h.client.MountBlob(t.Context(), h.repo.Digest("sha384:"+strings.Repeat("0", 96)), h.repo)
	wantError(t, "mounted, of another algorithm", err, registry.ErrReference)
	_, err = h.client.HasBlob(t.Context(), name.Repository{}.Digest(h.image.DigestStr()))
	wantError(t, "in no repository", err, registry.ErrReference)
	if n := len(h.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestABlobWhoseSourceCannotBeOpenedIsNotPushed(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 1})
	gone := errors.New("no such file")
	err := h.client.PushBlob(t.Context(), h.image, 1, func() (io.ReadCloser, error) { return nil, gone })
	if wantError(t, "cannot be opened", err, registry.ErrUnavailable); !errors.Is(err, gone) {
		t.Errorf("does not say why: %v", err)
	}
}

func TestAMountThatFailsIsToldFromOneThatIsNotDone(t *testing.T) {
	for what, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"server error": {registrytest.Status(500), registry.ErrUnavailable},
		"rate limit":   {registrytest.Status(429), registry.ErrRateLimited},
		"hangs up":     {registrytest.HangUp(), registry.ErrUnavailable},
		"another blob": {registrytest.Reply(registrytest.Answer{Status: 201, Header: http.Header{"Docker-Content-Digest": {"sha256:" + strings.Repeat("1", 64)}}}), registry.ErrDigestMismatch},
	} {
		h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 2})
		h.Inject(registrytest.Fault{Method: "POST", Kind: registrytest.KindUpload, Do: c.do})
		_, err := h.client.MountBlob(t.Context(), h.repo.Registry.Repo("other").Digest("sha256:"+strings.Repeat("0", 64)), h.repo)
		wantError(t, what, err, c.want)
	}
}

func TestAnUploadIsGivenUpWhileItWaitsForItsNextAttempt(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{RetryDelay: time.Hour, MaxRetryDelay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindUpload, Do: registrytest.Status(503)})
	time.AfterFunc(100*time.Millisecond, cancel)
	err := h.client.PushBlob(ctx, h.repo.Digest(blobDescriptor("", []byte("blob")).Digest.String()), 4, opener([]byte("blob")))
	if wantError(t, "given up", err, registry.ErrUnavailable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A registry may answer before it has read all, and the source may hang then: no caller
// waits for it longer than for an answer.
func TestASourceThatHangsAfterTheAnswerHoldsUpNobody(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 1, Timeout: 100 * time.Millisecond})
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindUpload, Do: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 32<<10))
			time.Sleep(20 * time.Millisecond) // by now the source is asked for more than it has
			w.WriteHeader(http.StatusForbidden)
		})
	}})
	source, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write(make([]byte, 64<<10)) }() // and then nothing more
	err := h.client.PushBlob(t.Context(), h.image, 1<<20, func() (io.ReadCloser, error) { return source, nil })
	wantError(t, "refused while it reads", err, registry.ErrDenied)
}
