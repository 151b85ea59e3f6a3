package registrytest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func (r *Registry) serveManifest(w http.ResponseWriter, req *http.Request, at location) {
	if no := checkRef(at.ref); no != nil {
		refuse(w, no)
		return
	}
	switch {
	case isRead(req):
		m, ok := r.content.manifest(at.repo, at.ref)
		if !ok {
			refuse(w, errManifestUnknown)
			return
		}
		serveContent(w, req, m.mediaType, m.digest, m.data)
	case req.Method == http.MethodPut:
		r.putManifest(w, req, at)
	case req.Method == http.MethodDelete:
		r.deleteManifest(w, at)
	default:
		refuse(w, errMethod)
	}
}

// serveContent serves bytes under the digest that they are claimed to have.
func serveContent(w http.ResponseWriter, req *http.Request, contentType, digest string, data []byte) {
	h := w.Header()
	h.Set("Docker-Content-Digest", digest)
	h.Set("ETag", etag(digest))
	h.Set("Accept-Ranges", "bytes")
	for _, conditional := range []string{"Range", "If-Match", "If-None-Match"} {
		if req.Header.Get(conditional) != "" {
			h.Set("Content-Type", contentType)
			http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(data))
			return
		}
	}
	reply(w, req, http.StatusOK, contentType, data)
}

func etag(digest string) string { return `"` + digest + `"` }

func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, at location) {
	data, no := readBody(req, r.o.MaxManifest)
	if no != nil {
		refuse(w, no)
		return
	}
	var check func(string) bool
	if r.o.Conditional {
		check = conditions(req.Header)
	}
	digest, subject, no := r.pushManifest(at.repo, at.ref, req.Header.Get("Content-Type"), data, check)
	if no != nil {
		refuse(w, no)
		return
	}
	created(w, "/v2/"+at.repo+"/manifests/"+at.ref, digest, r.indexed(subject))
}

// indexed is the subject if this registry lists its referrers.
func (r *Registry) indexed(subject string) string {
	if r.o.NoReferrers {
		return ""
	}
	return subject
}

// created answers a push.
func created(w http.ResponseWriter, location, digest, subject string) {
	h := w.Header()
	h.Set("Location", location)
	h.Set("Docker-Content-Digest", digest)
	h.Set("Content-Length", "0")
	if subject != "" {
		h.Set("OCI-Subject", subject)
	}
	w.WriteHeader(http.StatusCreated)
}

// conditions returns the check of a conditional push, nil where it has none.
//
// Source: RFC 9110, section 13.1.
func conditions(h http.Header) func(now string) bool {
	match, none := h.Values("If-Match"), h.Values("If-None-Match")
	if len(match) == 0 && len(none) == 0 {
		return nil
	}
	return func(now string) bool {
		return (len(match) == 0 || lists(match, now)) && !lists(none, now)
	}
}

// lists reports whether the values of a header list the entity tag of what
// exists; "*" stands for every one.
func lists(values []string, digest string) bool {
	if digest == "" {
		return false
	}
	for tag := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(digest) {
			return true
		}
	}
	return false
}

func (r *Registry) deleteManifest(w http.ResponseWriter, at location) {
	found := false
	if isDigest(at.ref) {
		found = r.content.change(at.repo, func(repo *repository) bool { return repo.deleteManifest(at.ref) })
	} else {
		found = r.DeleteTag(at.repo, at.ref)
	}
	if !found {
		refuse(w, errManifestUnknown)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// serveReferrers lists the referrers of a digest, page by page.
//
// Source: OCI Distribution Specification v1.1, "Listing Referrers".
func (r *Registry) serveReferrers(w http.ResponseWriter, req *http.Request, at location) {
	switch no := checkDigest(at.ref); {
	case !isRead(req):
		refuse(w, errMethod)
		return
	case r.o.NoReferrers:
		refuse(w, errNoEndpoint)
		return
	case no != nil:
		refuse(w, no)
		return
	}
	query := req.URL.Query()
	all := r.content.referrersOf(at.repo, at.ref)
	if filter := query.Get("artifactType"); filter != "" && !r.o.ConfigAsArtifactType {
		all = slices.DeleteFunc(slices.Clone(all), func(d v1.Descriptor) bool { return d.ArtifactType != filter })
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	from, _ := strconv.Atoi(query.Get("from")) // of no next page: from the start
	all = all[min(max(from, 0), len(all)):]
	if size := r.o.ReferrersPageSize; size > 0 && len(all) > size {
		all = all[:size]
		query.Set("from", strconv.Itoa(max(from, 0)+size))
		w.Header().Set("Link", nextLink(req.URL.Path, query))
	}
	writeIndex(w, req, all)
}

func nextLink(path string, query url.Values) string {
	return "<" + path + "?" + query.Encode() + `>; rel="next"`
}

func writeIndex(w http.ResponseWriter, req *http.Request, list []v1.Descriptor) {
	body, err := encodeIndex(list)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	reply(w, req, http.StatusOK, string(types.OCIImageIndex), body)
}

func encodeIndex(list []v1.Descriptor) ([]byte, error) {
	if list == nil {
		list = []v1.Descriptor{} // "manifests" is never null
	}
	return json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list})
}

// serveTags lists the tags of a repository.
//
// Source: OCI Distribution Specification v1.1, "Listing Tags".
func (r *Registry) serveTags(w http.ResponseWriter, req *http.Request, at location) {
	if !isRead(req) {
		refuse(w, errMethod)
		return
	}
	tags, known := r.content.tags(at.repo)
	if !known {
		refuse(w, errNameUnknown)
		return
	}
	query := req.URL.Query()
	if last := query.Get("last"); last != "" {
		i, found := slices.BinarySearch(tags, last)
		if found {
			i++
		}
		tags = tags[i:]
	}
	if n, err := strconv.Atoi(query.Get("n")); err == nil && n >= 0 && n < len(tags) {
		tags = tags[:n]
		if n > 0 {
			query.Set("last", tags[n-1])
			w.Header().Set("Link", nextLink(req.URL.Path, query))
		}
	}
	body, err := json.Marshal(map[string]any{"name": at.repo, "tags": append([]string{}, tags...)})
	if err != nil {
		return // strings can always be encoded
	}
	reply(w, req, http.StatusOK, "application/json", body)
}

// readBody reads a request's body of at most limit bytes.
func readBody(req *http.Request, limit int64) ([]byte, *refusal) {
	if req.ContentLength > limit {
		return nil, errTooLarge
	}
	var body bytes.Buffer
	if req.ContentLength > 0 {
		body.Grow(int(req.ContentLength) + bytes.MinRead) // which saves copies
	}
	n, err := body.ReadFrom(io.LimitReader(req.Body, limit+1))
	switch {
	case err != nil:
		return nil, errUploadInvalid
	case n > limit:
		return nil, errTooLarge
	}
	return body.Bytes(), nil
}
