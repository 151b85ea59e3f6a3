package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func TestAttack_R8_PagesStayInTheirListAndEnd(t *testing.T) {
	elsewhere, got := foreign(t, http.NotFound)
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"another host":       {registrytest.NextPage("http://" + elsewhere + "/v2/team/app/referrers/x"), registry.ErrInsecure},
		"another repository": {registrytest.NextPage("/v2/team/other/referrers/sha256:00"), registry.ErrInsecure},
		"another part":       {registrytest.NextPage("/v2/_catalog"), registry.ErrInsecure},
		"itself":             {registrytest.LoopPage(), registry.ErrTooMany},
		"without end":        {registrytest.EndlessReferrers(50), registry.ErrTooMany},
	} {
		h := host(t, registrytest.Options{}, remote.Options{MaxReferrerPages: 20, MaxReferrers: 500})
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: c.do})
		var last error
		n := 0
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			last = err
			n++
		}
		if wantError(t, name, last, c.want); n > 501 {
			t.Errorf("%s: %d referrers", name, n)
		}
	}
	if len(got()) != 0 {
		t.Error("the other host was asked")
	}
}

func TestReferrersAreReadPageByPage(t *testing.T) {
	for _, ro := range []registrytest.Options{{}, {ReferrersPageSize: 2}, {ConfigAsArtifactType: true}} {
		h := host(t, ro, remote.Options{})
		for i := range 5 {
			if _, err := registrytest.PushReferrer(context.Background(), h.Store(), h.image, "application/x", []byte{byte(i)}, nil); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 5 {
			t.Errorf("%+v: %d referrers, want 5", ro, n)
		}
		for range h.client.Referrers(context.Background(), h.image) {
			break // an iteration may be broken off
		}
	}
}

func TestAReferrersListMissingForOneRepositoryHidesNoOther(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	if _, err := registrytest.PushReferrer(context.Background(), h.Store(), h.image, "application/x", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Repo: "team/none", Do: registrytest.Status(404)})
	for range h.client.Referrers(context.Background(), h.repo.Registry.Repo("team", "none").Digest(h.image.DigestStr())) {
		t.Error("nothing is there")
	}
	n := 0
	for range h.client.Referrers(context.Background(), h.image) {
		n++
	}
	if n != 1 {
		t.Errorf("%d referrers, want 1", n)
	}
}

func TestAmongSeveralLinksTheNextPageIsFound(t *testing.T) {
	h := host(t, registrytest.Options{ReferrersPageSize: 1}, remote.Options{})
	for i := range 3 {
		if _, err := registrytest.PushReferrer(context.Background(), h.Store(), h.image, "application/x", []byte{byte(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Rewrite(func(a *registrytest.Answer) {
		if link := a.Header.Get("Link"); link != "" {
			a.Header.Set("Link", `</v2/first>; rel="first"; title="a, b", `+link+`, </v2/last>; rel=last`)
		}
	})})
	n := 0
	for _, err := range h.client.Referrers(context.Background(), h.image) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d referrers, want 3", n)
	}
}

func TestAListThatCannotBeReadIsNoEmptyList(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"server error": {registrytest.Status(500), registry.ErrUnavailable},
		"rate limit":   {registrytest.Status(429), registry.ErrRateLimited},
		"forbidden":    {registrytest.Status(403), registry.ErrDenied},
		"not JSON":     {registrytest.ReplaceBody([]byte("<html>")), registry.ErrMalformed},
		"truncated":    {registrytest.Truncate(10), registry.ErrUnavailable},
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: c.do})
		var last error
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			last = err
		}
		wantError(t, name, last, c.want)
	}
}

func TestAttack_E19_AFallbackTagThatIsNoListListsNothing(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	tag := strings.Replace(h.image.DigestStr(), ":", "-", 1)
	mediaType, image, _ := h.Manifest("team/app", "v1")
	const list = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":1,"digest":%q}]}`
	for name, c := range map[string]struct {
		mediaType string
		data      []byte
		want      int
	}{
		"an image":          {mediaType, image, 0},
		"garbage":           {"application/vnd.oci.image.index.v1+json", []byte("garbage"), 0},
		"a list of indexes": {"application/vnd.oci.image.index.v1+json", fmt.Appendf(nil, list, "sha256:"+strings.Repeat("a", 64)), 1},
		"the image itself":  {"application/vnd.oci.image.index.v1+json", fmt.Appendf(nil, list, h.image.DigestStr()), 0},
	} {
		h.Put("team/app", tag, c.mediaType, c.data)
		n := 0
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			n++
		}
		if n != c.want {
			t.Errorf("%s: %d referrers, want %d", name, n, c.want)
		}
	}
}

func TestALinkOfSeveralRelationsLeadsToTheNextPage(t *testing.T) {
	for _, rel := range []string{`rel="last next"`, `REL=next`, `rel="NEXT"`} {
		h := host(t, registrytest.Options{}, remote.Options{})
		path := "/v2/team/app/referrers/" + h.image.DigestStr()
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Times: 1, Do: registrytest.SetHeader("Link", "<"+path+"?page=2>; "+rel)})
		for _, err := range h.client.Referrers(context.Background(), h.image) {
			t.Errorf("%s: %v", rel, err)
		}
		pages := 0
		for _, r := range h.Requests() {
			if r.Kind == registrytest.KindReferrers {
				pages++
			}
		}
		if pages != 2 {
			t.Errorf("%s: %d pages were read", rel, pages)
		}
	}
}

func TestAPageThatCannotBeReadIsNotTheEndOfTheList(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"vanished":          {registrytest.Status(404), registry.ErrUnavailable},
		"not allowed":       {registrytest.Status(405), registry.ErrUnsupported},
		"a web page":        {registrytest.SetHeader("Content-Type", "text/html"), registry.ErrMalformed},
		"not JSON":          {registrytest.ReplaceBody([]byte("{")), registry.ErrMalformed},
		"server error":      {registrytest.Status(500), registry.ErrUnavailable},
		"followed by none":  {registrytest.NextPage("http://[::1"), registry.ErrMalformed},
		"followed by other": {registrytest.NextPage("?n=1#%zz"), registry.ErrMalformed},
	} {
		h := host(t, registrytest.Options{ReferrersPageSize: 1}, remote.Options{MaxAttempts: 1})
		for i := range 3 {
			_, err := registrytest.PushReferrer(t.Context(), h.Store(), h.image, "application/x", []byte{byte(i)}, nil)
			must(t, err)
		}
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Skip: 1, Do: c.do})
		var last error
		n := 0
		for _, err := range h.client.Referrers(t.Context(), h.image) {
			if last = err; err == nil {
				n++
			}
		}
		if wantError(t, name, last, c.want); n == 0 {
			t.Errorf("%s: the first page was not given", name)
		}
		if !registry.Unreadable(last) {
			t.Errorf("%s: the rest of the list is taken for absent: %v", name, last)
		}
	}
}

func TestALinkThatIsNoneLeadsNowhere(t *testing.T) {
	for _, link := range []string{"", "next", "<", "</v2/x; rel=next", `/v2/x; rel="next"`, "</v2/x>", `</v2/x>; rel=first, <; rel=next`, "><"} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.SetHeader("Link", link)})
		for _, err := range h.client.Referrers(t.Context(), h.image) {
			t.Errorf("%q: %v", link, err)
		}
		pages := 0
		for _, r := range h.Requests() {
			if r.Kind == registrytest.KindReferrers {
				pages++
			}
		}
		if pages != 1 {
			t.Errorf("%q: %d pages", link, pages)
		}
	}
}

func TestAListUnderTheFallbackTagIsBounded(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{MaxReferrers: 3})
	h.Put("team/app", strings.Replace(h.image.DigestStr(), ":", "-", 1), ociIndex, testIndex(t, registrytest.InventReferrers(4, "application/x")...).Bytes)
	var last error
	n := 0
	for _, err := range h.client.Referrers(t.Context(), h.image) {
		if last = err; err == nil {
			n++
		}
	}
	if wantError(t, "one too many", last, registry.ErrTooMany); n != 3 {
		t.Errorf("%d referrers before the error, want 3", n)
	}
}

// Pages that hold nothing, and lead on for ever, end at the bound of pages.
func TestAttack_R8_PagesThatHoldNothingEnd(t *testing.T) {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		n++
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		w.Header().Set("Link", fmt.Sprintf("<%s?n=%d>; rel=\"next\"", r.URL.Path, n))
		_, _ = io.WriteString(w, `{"schemaVersion":2,"manifests":[]}`)
	}))
	defer server.Close()
	client, err := remote.New(remote.Options{MaxReferrerPages: 5})
	if err != nil {
		t.Fatal(err)
	}
	subject, err := name.NewDigest(strings.TrimPrefix(server.URL, "http://") + "/a@sha256:" + strings.Repeat("0", 64))
	if err != nil {
		t.Fatal(err)
	}
	for _, err = range client.Referrers(t.Context(), subject) {
	}
	if !errors.Is(err, registry.ErrTooMany) || n > 7 {
		t.Errorf("%d pages, %v", n, err)
	}
}

// Some registries say so with a status that others deny by.
func TestReferrersThatAreUnsupportedAreNoAPI(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Rewrite(func(a *registrytest.Answer) {
		a.Status, a.Body = http.StatusForbidden, []byte(`{"errors":[{"code":"UNSUPPORTED"}]}`)
	})})
	for d, err := range h.client.Referrers(t.Context(), h.image) {
		t.Errorf("%v, %v", d, err)
	}
}
