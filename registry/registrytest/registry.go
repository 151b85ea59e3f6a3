package registrytest

import (
	"fmt"
	"net/http"
)

// Options configure a Registry. The zero value is a well-behaved registry with
// the referrers API, open to everyone.
type Options struct {
	// NoReferrers makes it a registry without the referrers API: that answers
	// 404, and pushes are answered without OCI-Subject. False: it has the API.
	NoReferrers bool
	// ReferrersPageSize is how many referrers are on one page. Zero: all.
	ReferrersPageSize int
	// ConfigAsArtifactType makes referrers lists as those of
	// go-containerregistry's in-memory registry are: artifactType is always the
	// config's media type, none where there is no config, and the filter is
	// ignored. False: as specified.
	ConfigAsArtifactType bool
	// Conditional makes pushes of manifests honour If-Match and
	// "If-None-Match: *". False: they are ignored, as by most registries.
	Conditional bool
	// RequireContent refuses manifests whose config, layers or children are not
	// in the repository. False: they are accepted.
	RequireContent bool
	// Auth demands bearer tokens. Nil: none are needed.
	Auth *TokenAuth
	// BasicUsers demands Basic authentication; it maps names to passwords. It is
	// ignored where Auth is set. Empty: none is needed.
	BasicUsers map[string]string
	// MaxManifest bounds a manifest, in bytes. Zero: 4 MiB.
	MaxManifest int64
	// MaxBlob bounds a blob, in bytes. Zero: 1 GiB.
	MaxBlob int64
	// MaxRequests bounds how many requests are remembered for Requests; later
	// ones are served, and not remembered. Zero: 10,000.
	MaxRequests int
}

func (o Options) withDefaults() Options {
	if o.MaxManifest == 0 {
		o.MaxManifest = 4 << 20
	}
	if o.MaxBlob == 0 {
		o.MaxBlob = 1 << 30
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = 10_000
	}
	return o
}

// Registry is a registry in memory. It serves the OCI Distribution
// Specification v1.1 as an [http.Handler], and the same content in this process
// as a registry.Store; see Store. It is safe for concurrent use.
type Registry struct {
	o       Options
	content content
	uploads uploads
	tokens  tokens
	faults  faults
	log     requestLog
}

// New makes an empty registry.
func New(o Options) *Registry {
	o = o.withDefaults()
	return &Registry{
		o:       o,
		content: content{repos: make(map[string]*repository), configAsArtifactType: o.ConfigAsArtifactType},
		uploads: uploads{open: make(map[string]*upload)},
		tokens:  tokens{issued: make(map[string]grant)},
		log:     requestLog{max: o.MaxRequests},
	}
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	info := r.describe(req)
	entry := r.log.begin(info)
	defer r.log.end(entry)
	rec := &recorder{ResponseWriter: w, log: &r.log, entry: entry}
	r.faults.wrap(r, info, http.HandlerFunc(r.serve)).ServeHTTP(rec, req)
}

// serve answers as a registry should.
func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	at := r.route(req.URL.Path)
	if at.kind == KindToken {
		r.serveToken(w, req)
		return
	}
	if !r.authorized(w, req, at) {
		return
	}
	if at.kind != KindPing && at.kind != KindOther && !validName(at.repo) {
		refuse(w, errName)
		return
	}
	switch at.kind {
	case KindPing:
		r.servePing(w, req)
	case KindManifest:
		r.serveManifest(w, req, at)
	case KindBlob:
		r.serveBlob(w, req, at)
	case KindUpload:
		r.serveUpload(w, req, at)
	case KindReferrers:
		r.serveReferrers(w, req, at)
	case KindTags:
		r.serveTags(w, req, at)
	default:
		refuse(w, errNoEndpoint)
	}
}

func (r *Registry) servePing(w http.ResponseWriter, req *http.Request) {
	if !isRead(req) {
		refuse(w, errMethod)
		return
	}
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	reply(w, req, http.StatusOK, "application/json", []byte("{}"))
}

func isRead(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead
}

// reply answers with a body; to HEAD with its headers alone.
func reply(w http.ResponseWriter, req *http.Request, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone
	}
}
