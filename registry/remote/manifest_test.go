package remote_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func TestAttack_R1_WrongBytesAreNeverReturned(t *testing.T) {
	ctx := context.Background()
	for what, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"flipped byte":        {registrytest.FlipByte(), registry.ErrDigestMismatch},
		"wrong digest header": {registrytest.WrongDigestHeader(), registry.ErrDigestMismatch},
		"garbage digest":      {registrytest.SetHeader("Docker-Content-Digest", "sha256:xyz"), registry.ErrDigestMismatch},
		"other body":          {registrytest.ReplaceBody([]byte(`{}`)), registry.ErrDigestMismatch},
		"truncated":           {registrytest.Truncate(20), registry.ErrUnavailable},
		"endless":             {registrytest.Endless(), registry.ErrTooLarge},
		"connection hangs up": {registrytest.HangUp(), registry.ErrUnavailable},
		"announced too long":  {registrytest.ContentLength(100_000), registry.ErrUnavailable},
		"stalls":              {registrytest.Drip(0, time.Hour), registry.ErrStalled},
		"one byte at a time":  {registrytest.Drip(1, 50*time.Millisecond), registry.ErrStalled},
		"never answers":       {registrytest.Delay(time.Hour), registry.ErrStalled},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := host(t, registrytest.Options{}, remote.Options{Timeout: 300 * time.Millisecond, MaxManifestBytes: 100_000})
			h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: c.do})
			for _, ref := range []name.Reference{h.image, h.tag} {
				m, err := h.client.Manifest(ctx, ref)
				if _, isTag := ref.(name.Tag); isTag && what == "other body" {
					// Under a tag only the header says which digest it should be.
					wantError(t, "by tag", err, registry.ErrDigestMismatch)
					continue
				}
				wantError(t, ref.String(), err, c.want)
				if m.Bytes != nil && err == nil {
					t.Error("bytes were returned")
				}
			}
		})
	}
}

func TestAttack_R1_WrongBlobsEndInAnErrorNotInEOF(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"flipped byte":       {registrytest.FlipByte(), registry.ErrDigestMismatch},
		"shorter":            {registrytest.ReplaceBody([]byte("x")), registry.ErrDigestMismatch},
		"longer":             {registrytest.ReplaceBody(make([]byte, 1<<20)), registry.ErrTooLarge},
		"truncated":          {registrytest.Truncate(10), registry.ErrUnavailable},
		"endless":            {registrytest.Endless(), registry.ErrTooLarge},
		"stalls":             {registrytest.Drip(3, time.Hour), registry.ErrStalled},
		"one byte at a time": {registrytest.Drip(1, 20*time.Millisecond), registry.ErrStalled},
		"does not answer":    {registrytest.Delay(time.Hour), registry.ErrStalled},
		"compressed":         {registrytest.GzipBomb(1 << 16), registry.ErrMalformed},
		"hangs up":           {registrytest.HangUp(), registry.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := host(t, registrytest.Options{}, remote.Options{Timeout: 300 * time.Millisecond, StallTimeout: 300 * time.Millisecond, MaxBlobBytes: 1 << 20})
			layer := h.layer(t)
			h.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: c.do})
			_, err := h.blob(context.Background(), layer, layer.Size)
			wantError(t, "of known size", err, c.want)
			if name != "longer" {
				_, err = h.blob(context.Background(), layer, -1)
				wantError(t, "of unknown size", err, c.want)
			}
		})
	}
	h := host(t, registrytest.Options{}, remote.Options{})
	layer := h.layer(t)
	if data, err := h.blob(context.Background(), layer, layer.Size); err != nil || int64(len(data)) != layer.Size {
		t.Errorf("a good blob: %d bytes, %v", len(data), err)
	}
	_, err := h.blob(context.Background(), layer, layer.Size-1)
	wantError(t, "a descriptor that says too little", err, registry.ErrTooLarge)
	_, err = h.blob(context.Background(), layer, layer.Size+1)
	wantError(t, "a descriptor that says too much", err, registry.ErrDigestMismatch)
}

func TestASlowReaderIsNoSlowSender(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{Timeout: 100 * time.Millisecond, StallTimeout: 100 * time.Millisecond})
	layer := h.layer(t)
	body, err := h.client.Blob(context.Background(), h.repo.Digest(layer.Digest.String()), layer.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := body.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if _, err := io.ReadAll(body); err != nil {
		t.Errorf("after a pause of the reader's: %v", err)
	}
}

func TestAttack_R6_CompressedAndOversizedAnswersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"gzip bomb":   {registrytest.GzipBomb(1 << 26), registry.ErrMalformed},
		"huge header": {registrytest.HugeHeader(10 << 20), registry.ErrUnavailable},
		"endless":     {registrytest.Endless(), registry.ErrTooLarge},
	} {
		h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 1, MaxManifestBytes: 1 << 20})
		h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: c.do})
		_, err := h.client.Manifest(context.Background(), h.tag)
		wantError(t, name, err, c.want)
	}
}

func TestAttack_I4_ManifestsOfTwoMeaningsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"served as an index": {registrytest.SetHeader("Content-Type", "application/vnd.oci.image.index.v1+json"), registry.ErrMalformed},
		"schema 1":           {registrytest.SetHeader("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"), registry.ErrUnsupported},
		"a web page":         {registrytest.SetHeader("Content-Type", "text/html"), registry.ErrUnsupported},
		"no type":            {registrytest.SetHeader("Content-Type", ";"), registry.ErrUnsupported},
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: c.do})
		_, err := h.client.Manifest(context.Background(), h.image)
		if name == "no type" {
			if err != nil {
				t.Errorf("the manifest's own mediaType counts where the header says none: %v", err)
			}
			continue
		}
		wantError(t, name, err, c.want)
	}
}

func TestResolveManagesWithoutHEAD(t *testing.T) {
	for what, do := range map[string]registrytest.Effect{
		"no HEAD": registrytest.Status(405), "no digest": registrytest.DropHeader("Docker-Content-Digest"), "other algorithm": registrytest.SetHeader("Docker-Content-Digest", "sha512:"+strings.Repeat("0", 128)),
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Method: "HEAD", Do: do})
		d, err := h.client.Resolve(context.Background(), h.tag)
		if err != nil || d.Digest.String() != h.image.DigestStr() || d.Size == 0 {
			t.Errorf("%s: %+v, %v", what, d, err)
		}
	}
}

func TestAttack_R2_WhatWasResolvedIsWhatIsRead(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	resolved, err := h.client.Resolve(context.Background(), h.tag)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registrytest.PushImage(context.Background(), h.Store(), h.tag, registrytest.ImageOptions{Seed: "moved"}); err != nil {
		t.Fatal(err)
	}
	m, err := h.client.Manifest(context.Background(), h.repo.Digest(resolved.Digest.String()))
	if err != nil || m.Descriptor.Digest != resolved.Digest {
		t.Errorf("%v, %v; want what was resolved, %s", m.Descriptor, err, resolved.Digest)
	}
	if now, err := h.client.Resolve(context.Background(), h.tag); err != nil || now.Digest == resolved.Digest {
		t.Errorf("the tag has not moved: %v, %v", now, err)
	}
	// Nor does a registry decide by lying about what a digest is.
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.WrongDigestHeader()})
	_, err = h.client.Resolve(context.Background(), h.image)
	wantError(t, "resolve a digest", err, registry.ErrDigestMismatch)
}

func TestADescriptorIsFullWhateverTheRegistryLeavesOut(t *testing.T) {
	for what, f := range map[string]registrytest.Fault{
		"no Content-Type":          {Do: registrytest.SetHeader("Content-Type", ";")},
		"parameters":               {Do: registrytest.SetHeader("Content-Type", "Application/vnd.oci.image.manifest.v1+json; charset=utf-8; =")},
		"no length in answer HEAD": {Method: "HEAD", Do: registrytest.ContentLength(0)},
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		f.Kind = registrytest.KindManifest
		h.Inject(f)
		d, err := h.client.Resolve(context.Background(), h.image)
		if err != nil || d.MediaType != "application/vnd.oci.image.manifest.v1+json" || d.Size == 0 || d.Digest.String() != h.image.DigestStr() {
			t.Errorf("%s: resolved %+v, %v", what, d, err)
		}
		if m, err := h.client.Manifest(context.Background(), h.image); err != nil || m.Descriptor.MediaType != d.MediaType || m.Descriptor.Size != d.Size {
			t.Errorf("%s: read %+v, %v; want %+v", what, m.Descriptor, err, d)
		}
	}
}

func TestAttack_R1_SizesAtTheEndOfTheirRangeAreNoCrash(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxBlobBytes: math.MaxInt64, MaxManifestBytes: math.MaxInt64})
	layer := h.layer(t)
	_, err := h.blob(context.Background(), layer, math.MaxInt64)
	wantError(t, "a descriptor of 2^63-1 bytes", err, registry.ErrTooLarge)
	_, err = h.blob(context.Background(), layer, math.MaxInt64-1)
	wantError(t, "a descriptor of one byte less", err, registry.ErrDigestMismatch)
	if _, err := h.blob(context.Background(), layer, -1); err != nil {
		t.Errorf("a blob without limit: %v", err)
	}
	if _, err := h.client.Manifest(context.Background(), h.image); err != nil {
		t.Errorf("a manifest without limit: %v", err)
	}
}

func TestAManifestThatIsTooLargeIsNotResolvedEither(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxManifestBytes: 50})
	for _, ref := range []name.Reference{h.tag, h.image} {
		_, err := h.client.Resolve(t.Context(), ref)
		wantError(t, ref.String(), err, registry.ErrTooLarge)
	}
	for _, r := range h.Requests() {
		if r.Method != "HEAD" {
			t.Errorf("%s %s was asked for what is known to be too large", r.Method, r.Path)
		}
	}
}

func TestWhatIsNoManifestIsNotPushed(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	for what, c := range map[string]struct {
		mediaType, data string
		want            registry.Kind
	}{
		"no JSON":           {ociManifest, "{", registry.ErrMalformed},
		"of another shape":  {ociManifest, `{"schemaVersion":2,"manifests":[]}`, registry.ErrMalformed},
		"a web page":        {"text/html", "<html>", registry.ErrUnsupported},
		"of no type at all": {"", `{"schemaVersion":1}`, registry.ErrMalformed},
	} {
		_, err := h.client.PushManifest(t.Context(), h.tag, mustManifest(t, c.mediaType, []byte(c.data)), registry.PushOptions{})
		wantError(t, what, err, c.want)
	}
	if n := len(h.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAPushThatIsAnsweredWronglyIsNoSuccess(t *testing.T) {
	for what, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"taken for another":   {registrytest.WrongDigestHeader(), registry.ErrDigestMismatch},
		"too large":           {registrytest.Status(413), registry.ErrTooLarge},
		"led elsewhere":       {registrytest.Redirect("/v2/elsewhere"), registry.ErrMalformed},
		"not modified":        {registrytest.Status(304), registry.ErrMalformed},
		"a method unknown":    {registrytest.Status(405), registry.ErrUnsupported},
		"a changed condition": {registrytest.Status(412), registry.ErrConflict},
		"a conflict":          {registrytest.Status(409), registry.ErrConflict},
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Do: c.do})
		_, err := h.client.PushManifest(t.Context(), h.tag, testManifest(t, "other", nil), registry.PushOptions{IfMatch: `"x"`})
		wantError(t, what, err, c.want)
	}
}

// Registries agree on no status for a tag that must not change, and answer with that of a
// conflict where no condition was set.
func TestARefusedPushSaysWhatTheRegistrySays(t *testing.T) {
	for what, c := range map[string]struct {
		status        int
		code, message string
		want          registry.Kind
	}{
		"Harbor":                      {412, "PRECONDITION", "Failed to process request due to 'app:v1' configured as immutable.", registry.ErrImmutable},
		"ECR":                         {400, "TAG_INVALID", "The image tag 'v1' already exists in the 'app' repository", registry.ErrImmutable},
		"Quay":                        {409, "TAG_IMMUTABLE", "", registry.ErrImmutable},
		"Artifact Registry":           {400, "MANIFEST_INVALID", "cannot update tag v1. The repository has enabled tag immutability", registry.ErrImmutable},
		"a rule, without a condition": {412, "PROJECTPOLICYVIOLATION", "vulnerable", registry.ErrDenied},
		"not a conflict of ours":      {412, "DENIED", "", registry.ErrDenied},
		"too many":                    {403, "TOOMANYREQUESTS", "slow down", registry.ErrRateLimited},
		"unsupported":                 {403, "UNSUPPORTED", "", registry.ErrUnsupported},
		"not a code":                  {403, "tag_invalid", "", registry.ErrDenied},
	} {
		h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 1})
		body := fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, c.code, c.message)
		h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Do: registrytest.Reply(registrytest.Answer{Status: c.status, Body: []byte(body)})})
		_, err := h.client.PushManifest(t.Context(), h.tag, testManifest(t, "other", nil), registry.PushOptions{})
		e := wantError(t, what, err, c.want)
		if e.Host != h.host || !strings.Contains(e.Detail, c.code) || c.code == strings.ToUpper(c.code) && e.Code != c.code {
			t.Errorf("%s: host %q, code %q, detail %q", what, e.Host, e.Code, e.Detail)
		}
	}
}

// A transport of the caller's may not look at the context: what comes too late is
// late even so.
func TestABlobThatIsAnsweredTooLateIsNotRead(t *testing.T) {
	late := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(w, "blob")
	})
	client, tag := public(t, remote.Options{Timeout: 10 * time.Millisecond, MaxAttempts: 1}, onInternet{"https://registry.example": late})
	_, err := readBlob(client, tag.Digest(blobDescriptor("", []byte("blob")).Digest.String()), 4)
	wantError(t, "late", err, registry.ErrStalled)
}

func TestManifestsAreRemovedWhereTheRegistryAllowsIt(t *testing.T) {
	for what, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"by none":         {registrytest.Status(405), registry.ErrUnsupported},
		"not by this one": {registrytest.Status(403), registry.ErrDenied},
		"not there":       {registrytest.Hide(), registry.ErrNotFound},
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Method: "DELETE", Do: c.do})
		wantError(t, what, h.client.RemoveManifest(t.Context(), h.image), c.want)
	}
	h := host(t, registrytest.Options{}, remote.Options{})
	err := h.client.RemoveManifest(t.Context(), h.repo.Digest("sha512:"+strings.Repeat("0", 128)))
	wantError(t, "of another algorithm", err, registry.ErrReference)
	err = h.client.RemoveManifest(t.Context(), name.Repository{}.Digest(h.image.DigestStr()))
	wantError(t, "of no repository", err, registry.ErrReference)
	if n := len(h.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	must(t, h.client.RemoveManifest(t.Context(), h.image))
	_, err = h.client.Resolve(t.Context(), h.image)
	wantError(t, "what was removed", err, registry.ErrNotFound)
}

func TestAListOfTagsIsReadOrAnError(t *testing.T) {
	list := func(body string, link string) registrytest.Effect {
		return registrytest.Reply(registrytest.Answer{Status: 200, Header: http.Header{"Link": {link}}, Body: []byte(body)})
	}
	for what, c := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"not JSON":           {list("<html>", ""), registry.ErrMalformed},
		"twice the same key": {list(`{"tags":["v1"],"tags":["v2"]}`, ""), registry.ErrMalformed},
		"more elsewhere":     {list(`{"tags":["v1"]}`, `<https://elsewhere.test/v2/team/app/tags/list>; rel="next"`), registry.ErrInsecure},
		"more nowhere":       {list(`{"tags":["v1"]}`, `<http://[::1>; rel="next"`), registry.ErrMalformed},
		"no repository":      {registrytest.Hide(), registry.ErrNotFound},
		"without end":        {registrytest.Endless(), registry.ErrTooLarge},
	} {
		h := host(t, registrytest.Options{}, remote.Options{MaxManifestBytes: 100_000})
		h.Inject(registrytest.Fault{Kind: registrytest.KindTags, Do: c.do})
		_, err := h.client.Tags(t.Context(), h.repo, 0, "")
		wantError(t, what, err, c.want)
	}
	h := host(t, registrytest.Options{}, remote.Options{})
	_, err := h.client.Tags(t.Context(), name.Repository{}, 0, "")
	wantError(t, "of no repository", err, registry.ErrReference)
	h.Inject(registrytest.Fault{Kind: registrytest.KindTags, Do: list(`{"tags":["v1","../x",7,"-","v2"]}`, "")})
	if page, err := h.client.Tags(t.Context(), h.repo, 0, ""); err != nil || !slices.Equal(page.Tags, []string{"v1", "v2"}) || page.More {
		t.Errorf("%+v, %v; want what is a tag", page, err)
	}
}
