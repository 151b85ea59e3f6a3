package registrytest

import (
	"encoding/json"
	"net/http"

	"github.com/hallmark-oci/hallmark/registry"
)

// refusal is an answer that says no: over HTTP with a status and a code, in this
// process as an error of a kind.
//
// Source: OCI Distribution Specification v1.1, "Error Codes".
type refusal struct {
	status  int
	code    string
	message string
	kind    registry.Kind
}

var (
	errNoEndpoint      = &refusal{http.StatusNotFound, "UNSUPPORTED", "there is no such endpoint", registry.ErrUnsupported}
	errMethod          = &refusal{http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported", registry.ErrUnsupported}
	errName            = &refusal{http.StatusBadRequest, "NAME_INVALID", "invalid repository name", registry.ErrReference}
	errNameUnknown     = &refusal{http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry", registry.ErrNotFound}
	errTag             = &refusal{http.StatusBadRequest, "MANIFEST_INVALID", "neither a tag nor a digest", registry.ErrReference}
	errDigest          = &refusal{http.StatusBadRequest, "DIGEST_INVALID", "only sha256 digests of 64 lower-case hex digits are supported", registry.ErrReference}
	errDigestMismatch  = &refusal{http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content", registry.ErrDigestMismatch}
	errManifestUnknown = &refusal{http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown to registry", registry.ErrNotFound}
	errManifestInvalid = &refusal{http.StatusBadRequest, "MANIFEST_INVALID", "the manifest is no JSON object, or not of its Content-Type", registry.ErrMalformed}
	errManifestContent = &refusal{http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "the manifest lists content that is unknown to the repository", registry.ErrNotFound}
	errBlobUnknown     = &refusal{http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry", registry.ErrNotFound}
	errUploadUnknown   = &refusal{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", registry.ErrNotFound}
	errUploadInvalid   = &refusal{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "the body could not be read, or is not the chunk expected", registry.ErrMalformed}
	errUploadRange     = &refusal{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "chunks must come in order", registry.ErrMalformed}
	errTooLarge        = &refusal{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "the content exceeds this registry's limit", registry.ErrTooLarge}
	errCondition       = &refusal{http.StatusPreconditionFailed, "DENIED", "the tag is not in the state that the request demands", registry.ErrConflict}
	errTooMany         = &refusal{http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many uploads or tokens at once", registry.ErrRateLimited}
	errUnauthorized    = &refusal{http.StatusUnauthorized, "UNAUTHORIZED", "authentication required", registry.ErrUnauthorized}
)

// refuse answers with the specification's error body.
func refuse(w http.ResponseWriter, no *refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Del("Content-Length")
	w.WriteHeader(no.status)
	_, _ = w.Write(errorBody(no.code, no.message)) // to HEAD, net/http sends no body
}

func errorBody(code, message string) []byte {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	data, err := json.Marshal(struct {
		Errors []problem `json:"errors"`
	}{[]problem{{code, message}}})
	if err != nil {
		return nil // two strings can always be encoded
	}
	return data
}
