package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// AlternateTag answers requests for a tag's manifest with the manifests of these
// digests of the same repository in turn, HEAD and GET alike.
func AlternateTag(digests ...string) Effect {
	var n atomic.Int64
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if len(digests) > 0 && isRead(req) {
				front, _ := cutLast(req.URL.Path)
				turn := int(n.Add(1)-1) % len(digests)
				req = req.Clone(req.Context())
				req.URL.Path = front + "/" + digests[turn]
			}
			next.ServeHTTP(w, req)
		})
	}
}

// Swallow accepts pushes of manifests and blobs, and stores nothing.
func Swallow() Effect { return onPush(func(*Registry, location, string) {}) }

// StoreOther accepts pushes of manifests and blobs, and stores other bytes: as a
// blob or a manifest pushed by digest, under the digest of what was sent; as a
// manifest pushed by tag, under that tag.
func StoreOther(other []byte) Effect {
	return onPush(func(r *Registry, at location, contentType string) {
		if at.kind == KindBlob {
			r.PutBlobAs(at.repo, at.ref, other)
			return
		}
		r.Put(at.repo, at.ref, contentType, other)
	})
}

// onPush answers the request that completes a push as if all were well, and
// calls store instead of storing it. Other requests are answered as always.
func onPush(store func(r *Registry, at location, contentType string)) Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			t, ok := targetOf(req)
			at := location{t.info.Kind, t.info.Repo, t.info.Ref}
			digest := req.URL.Query().Get("digest")
			switch {
			case ok && at.kind == KindManifest && req.Method == http.MethodPut:
				acceptManifest(w, req, t.r, at, store)
			case ok && at.kind == KindUpload && digest != "":
				acceptBlob(w, req, t.r, at, digest, store)
			default:
				next.ServeHTTP(w, req)
			}
		})
	}
}

func acceptManifest(w http.ResponseWriter, req *http.Request, r *Registry, at location, store func(*Registry, location, string)) {
	data, no := readBody(req, r.o.MaxManifest)
	if no != nil {
		refuse(w, no)
		return
	}
	store(r, at, req.Header.Get("Content-Type"))
	subject := ""
	if fields, ok := parseFields(data); ok && fields.Subject != nil {
		subject = fields.Subject.Digest
	}
	created(w, "/v2/"+at.repo+"/manifests/"+at.ref, digestOf(data), r.indexed(subject))
}

func acceptBlob(w http.ResponseWriter, req *http.Request, r *Registry, at location, digest string, store func(*Registry, location, string)) {
	if _, no := readBody(req, r.o.MaxBlob); no != nil {
		refuse(w, no)
		return
	}
	r.uploads.end(at.ref)
	store(r, location{KindBlob, at.repo, digest}, "")
	created(w, blobPath(at.repo, digest), digest, "")
}

// ReplaceReferrers answers requests for referrers with this list, on one page,
// also where the registry has no referrers API.
func ReplaceReferrers(list ...v1.Descriptor) Effect {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { writeIndex(w, req, list) })
	}
}

// AddReferrers adds to every page of a referrers list: invented descriptors,
// those of other subjects' referrers, or repetitions.
func AddReferrers(list ...v1.Descriptor) Effect {
	return Rewrite(func(a *Answer) {
		var page struct {
			v1.IndexManifest
			Manifests []json.RawMessage `json:"manifests"` // as they are, for they need not be valid
		}
		if json.Unmarshal(a.Body, &page) != nil {
			return
		}
		for _, d := range list {
			if data, err := json.Marshal(d); err == nil {
				page.Manifests = append(page.Manifests, data)
			}
		}
		if data, err := json.Marshal(page); err == nil {
			a.Body = data
		}
	})
}

// ChangeReferrers changes the entries of a list of referrers, on a page of the API
// or in the index under a fallback tag; keep false leaves one out. Other answers
// stay as they are. The digest of the index, where it has one, is that of what is
// sent.
func ChangeReferrers(change func(d *v1.Descriptor) (keep bool)) Effect {
	return Rewrite(func(a *Answer) {
		var index v1.IndexManifest
		if json.Unmarshal(a.Body, &index) != nil || index.MediaType != types.OCIImageIndex {
			return
		}
		kept := []v1.Descriptor{}
		for _, d := range index.Manifests {
			if change(&d) {
				kept = append(kept, d)
			}
		}
		index.Manifests = kept
		data, err := json.Marshal(index)
		if err != nil {
			return
		}
		a.Body = data
		if a.Header.Get("Docker-Content-Digest") != "" {
			a.Header.Set("Docker-Content-Digest", digestOf(data))
			a.Header.Set("ETag", etag(digestOf(data)))
		}
	})
}

// ClaimSubject answers pushes of manifests that have a subject with OCI-Subject, as if
// the referrers API listed them.
func ClaimSubject() Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			data, err := io.ReadAll(req.Body)
			if fields, ok := parseFields(data); ok && err == nil && fields.Subject != nil && req.Method == http.MethodPut {
				w.Header().Set("OCI-Subject", fields.Subject.Digest)
			}
			req.Body = io.NopCloser(bytes.NewReader(data))
			next.ServeHTTP(w, req)
		})
	}
}

// EndlessReferrers answers requests for referrers with pages of that many
// invented descriptors, each with a link to the next, without end.
func EndlessReferrers(perPage int) Effect {
	var pages atomic.Int64
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			n := pages.Add(1)
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, req.URL.EscapedPath(), n))
			list := InventReferrers(perPage, "application/vnd.example.invented")
			for i := range list {
				list[i].Digest = hashOf(digestOf(fmt.Appendf(nil, "invented %d on page %d", i, n)))
			}
			writeIndex(w, req, list)
		})
	}
}

// NextPage adds a link to a next page to every page: to another host, or, with
// LoopPage, back to itself.
func NextPage(url string) Effect {
	return SetHeader("Link", "<"+url+`>; rel="next"`)
}

// LoopPage makes every page link to itself.
func LoopPage() Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			NextPage(req.URL.RequestURI())(next).ServeHTTP(w, req)
		})
	}
}

// InventReferrers describes that many manifests of an artifact type which are
// nowhere.
func InventReferrers(n int, artifactType string) []v1.Descriptor {
	list := make([]v1.Descriptor, n)
	for i := range list {
		list[i] = v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Size: 600, ArtifactType: artifactType,
			Digest: hashOf(digestOf([]byte(strings.Join([]string{"invented", artifactType, fmt.Sprint(i)}, " ")))),
		}
	}
	return list
}
