package registrytest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

func (r *Registry) serveBlob(w http.ResponseWriter, req *http.Request, at location) {
	if no := checkBlobDigest(at.ref); no != nil {
		refuse(w, no)
		return
	}
	switch data, ok := r.content.blob(at.repo, at.ref); {
	case !isRead(req) && req.Method != http.MethodDelete:
		refuse(w, errMethod)
	case !ok:
		refuse(w, errBlobUnknown)
	case isRead(req):
		serveContent(w, req, "application/octet-stream", at.ref, data)
	default:
		r.content.change(at.repo, func(repo *repository) bool { return repo.deleteBlob(at.ref) })
		w.WriteHeader(http.StatusAccepted)
	}
}

// maxUploads bounds the uploads that are open at once.
const maxUploads = 1000

type uploads struct {
	mu   sync.Mutex
	open map[string]*upload
}

// upload is a blob that comes in chunks.
type upload struct {
	repo string

	mu   sync.Mutex
	data []byte
}

func (u *uploads) start(repo string) (id string, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.open) >= maxUploads {
		return "", false
	}
	id = rand.Text()
	u.open[id] = &upload{repo: repo}
	return id, true
}

func (u *uploads) find(repo, id string) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	if up := u.open[id]; up != nil && up.repo == repo {
		return up
	}
	return nil
}

func (u *uploads) end(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, id)
}

func (r *Registry) serveUpload(w http.ResponseWriter, req *http.Request, at location) {
	if at.ref == "" {
		r.startUpload(w, req, at)
		return
	}
	up := r.uploads.find(at.repo, at.ref)
	if up == nil {
		refuse(w, errUploadUnknown)
		return
	}
	if req.URL.Query().Get(stateParam) != at.ref {
		refuse(w, errUploadInvalid)
		return
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	switch req.Method {
	case http.MethodGet:
		progress(w, at, len(up.data), http.StatusNoContent)
	case http.MethodPatch:
		r.appendChunk(w, req, at, up)
	case http.MethodPut:
		r.finishUpload(w, req, at, up)
	case http.MethodDelete:
		r.uploads.end(at.ref)
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, errMethod)
	}
}

// startUpload mounts the blob, stores it at once, or opens a session.
func (r *Registry) startUpload(w http.ResponseWriter, req *http.Request, at location) {
	if req.Method != http.MethodPost {
		refuse(w, errMethod)
		return
	}
	query := req.URL.Query()
	if digest := query.Get("digest"); digest != "" {
		r.storeUpload(w, req, at, nil, digest)
		return
	}
	from, digest := query.Get("from"), query.Get("mount")
	if digest != "" && r.mayRead(req, from) && r.content.mount(at.repo, from, digest) {
		created(w, blobPath(at.repo, digest), digest, "")
		return
	}
	id, ok := r.uploads.start(at.repo)
	if !ok {
		refuse(w, errTooMany)
		return
	}
	at.ref = id
	progress(w, at, 0, http.StatusAccepted)
}

func blobPath(repo, digest string) string { return "/v2/" + repo + "/blobs/" + digest }

// stateParam is part of each upload's URL, as in other registries. It finds clients that
// do not keep the query.
const stateParam = "_state"

// progress tells how much of an upload has come, and where to go on.
func progress(w http.ResponseWriter, at location, size, status int) {
	h := w.Header()
	h.Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/%s?%s=%s", at.repo, at.ref, stateParam, at.ref))
	h.Set("Docker-Upload-UUID", at.ref)
	h.Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
	if status != http.StatusNoContent {
		h.Set("Content-Length", "0")
	}
	w.WriteHeader(status)
}

func (r *Registry) appendChunk(w http.ResponseWriter, req *http.Request, at location, up *upload) {
	if span := req.Header.Get("Content-Range"); span != "" {
		first, _, _ := strings.Cut(span, "-")
		if start, err := strconv.Atoi(first); err != nil || start != len(up.data) {
			progress(w, at, len(up.data), errUploadRange.status)
			return
		}
	}
	chunk, no := readBody(req, r.o.MaxBlob-int64(len(up.data)))
	if no != nil {
		refuse(w, no)
		return
	}
	up.data = join(up.data, chunk)
	progress(w, at, len(up.data), http.StatusAccepted)
}

// join appends without copying the first, large chunk of most uploads.
func join(have, chunk []byte) []byte {
	if len(have) == 0 {
		return chunk
	}
	return append(have, chunk...)
}

func (r *Registry) finishUpload(w http.ResponseWriter, req *http.Request, at location, up *upload) {
	r.uploads.end(at.ref)
	r.storeUpload(w, req, at, up.data, req.URL.Query().Get("digest"))
}

// storeUpload stores what has come together with the request's body.
func (r *Registry) storeUpload(w http.ResponseWriter, req *http.Request, at location, have []byte, digest string) {
	chunk, no := readBody(req, r.o.MaxBlob-int64(len(have)))
	if no == nil {
		no = r.pushBlob(at.repo, digest, join(have, chunk))
	}
	if no != nil {
		refuse(w, no)
		return
	}
	created(w, blobPath(at.repo, digest), digest, "")
}

// pushBlob stores a blob as a registry does, after checking it. It keeps data.
func (r *Registry) pushBlob(repo, digest string, data []byte) *refusal {
	if no := checkBlobDigest(digest); no != nil {
		return no
	}
	if !oci.Holds(hashOf(digest), data) {
		return errDigestMismatch
	}
	r.content.putBlob(repo, digest, data)
	return nil
}
