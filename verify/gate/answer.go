package gate

import (
	"net/http"
	"strconv"
	"strings"
)

// manifest answers with a manifest's bytes: those that were judged.
func (x *exchange) manifest(m *manifest, warning string) error {
	if !accepts(x.r.Header.Values("Accept"), m.mediaType) {
		return refuse(http.StatusNotFound, codeManifest, "%s is a %s, which the request's Accept header leaves out", x.named(), m.mediaType)
	}
	x.warn(x.hidden(warning))
	h := x.w.Header()
	h["Content-Type"] = []string{m.mediaType}
	h["Docker-Content-Digest"] = []string{m.digest}
	h["Docker-Distribution-Api-Version"] = apiVersion
	h["Etag"] = []string{`"` + m.digest + `"`}
	h["X-Content-Type-Options"] = noSniff
	if strings.Contains(x.r.Header.Get("If-None-Match"), `"`+m.digest+`"`) {
		x.begin(http.StatusNotModified)
		return nil
	}
	h["Content-Length"] = []string{strconv.Itoa(len(m.bytes))}
	x.begin(http.StatusOK)
	if !x.isHead() {
		x.send(x.ctx, m.digest, m.bytes)
	}
	return nil
}

// ping says that this is a registry.
func (x *exchange) ping() {
	h := x.w.Header()
	h["Docker-Distribution-Api-Version"] = apiVersion
	h.Set("Content-Type", "application/json")
	x.begin(http.StatusOK)
	_, _ = x.w.Write([]byte("{}")) // the client has gone
}

// accepts reports whether a client takes a media type. Quality values are not
// looked at: there is one thing that can be sent.
func accepts(accept []string, mediaType string) bool {
	if len(accept) == 0 {
		return true
	}
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			kind, _, _ := strings.Cut(part, ";")
			switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
			case mediaType, "*/*", "application/*":
				return true
			}
		}
	}
	return false
}
