package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// Error codes.
// Source: OCI Distribution Specification v1.1, "Error Codes".
const (
	codeDenied       = "DENIED"
	codeName         = "NAME_INVALID"
	codeNameUnknown  = "NAME_UNKNOWN"
	codeDigest       = "DIGEST_INVALID"
	codeTag          = "TAG_INVALID"
	codeManifest     = "MANIFEST_UNKNOWN"
	codeBlob         = "BLOB_UNKNOWN"
	codeUnsupported  = "UNSUPPORTED"
	codeUnauthorized = "UNAUTHORIZED"
	codeTooMany      = "TOOMANYREQUESTS"
	codeUnavailable  = "UNAVAILABLE"
	codeRange        = "SIZE_INVALID"
)

// refusal is a response that is an error. It is an error itself: shared work can return it.
type refusal struct {
	status  int
	code    string
	message string
	// detail is added for machines; nil: nothing.
	detail any
	// retryAfter is sent to the client; zero: nothing.
	retryAfter time.Duration
	// reason is the policy's, or a word of this package, for the log.
	reason string
	// cause is the whole error, for the log alone.
	cause string
	// denied is the decision; nil: no verifier decided. cached: it was reached before.
	denied *verify.Error
	cached bool
	// byRules: the gate's own rules of what passes denied it, not a verifier.
	byRules bool
	// credentials: an upstream refused some, and others may help.
	credentials bool
	// challenge is the WWW-Authenticate headers that ask for credentials.
	challenge []string
}

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, args...), reason: strings.ToLower(code)}
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// maxMessage bounds the sentence that clients show.
const maxMessage = 1200

// denial explains a denial: the image, the reason, and what is missing.
func denial(e *verify.Error, asked string) *refusal {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", asked)
	if digest := e.Digest.DigestStr(); digest != "" && !strings.Contains(asked, digest) {
		fmt.Fprintf(&b, " (%s)", digest)
	}
	fmt.Fprintf(&b, " is denied: %s: %s", e.Reason, e.Detail)
	for i, u := range e.Unmet {
		if i == 0 && u.Reason == e.Reason {
			continue // it was said
		}
		fmt.Fprintf(&b, "; %s: %s: %s", u.Title, u.Reason, u.Detail)
	}
	if e.Rule != "" {
		fmt.Fprintf(&b, "; the rule%s for %s decides", ofTeam(e.Team), e.Rule)
	}
	r := refuse(http.StatusForbidden, codeDenied, "%s", b.String())
	r.reason, r.denied = string(e.Reason), e
	// Little: some clients print it behind the message.
	r.detail = map[string]any{"reason": e.Reason}
	return r
}

// ofTeam says whose rule decides, if it is a team's.
func ofTeam(team string) string {
	if team == "" {
		return ""
	}
	return " of the team " + team
}

// report is the refusal for the audit log, without evidence.
func (r *refusal) report(image string) verify.Report {
	to := verify.Report{Image: image, Status: verify.StatusUndecided, Reason: verify.Reason(r.reason)}
	switch e := r.denied; {
	case e != nil:
		to.Status, to.Policy, to.Rule, to.Team, to.Detail, to.Unmet = verify.StatusDenied, e.PolicyDigest, e.Rule, e.Team, e.Detail, e.Unmet
		if e.Digest.DigestStr() != "" {
			to.Digest = e.Digest.String()
		}
	case r.cause != "":
		to.Causes = []string{r.cause}
	case r.code == codeDenied:
		to.Status, to.Detail = verify.StatusDenied, r.message
	}
	return to
}

// failure maps an error of reading or judging. None of these errors is a decision. The
// client is told its kind; the log has all of it, which may name internal addresses.
func failure(err error, code string) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	r = failureOf(err, code)
	r.cause = registry.SafeText(err.Error(), maxMessage)
	return r
}

func failureOf(err error, code string) *refusal {
	var undecided *verify.UndecidedError
	var e *registry.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errLate):
		r := refuse(http.StatusServiceUnavailable, codeUnavailable, "it cannot be judged now: the judgement took longer than Config.JudgeTimeout allows")
		r.reason, r.retryAfter = "too-slow", retryLater
		return r
	case errors.As(err, &undecided) && errors.As(err, &e):
		return unavailable(e, "it cannot be judged now: "+told(e)+": "+safe(e.Op+" "+e.Ref))
	case errors.Is(err, context.Canceled):
		r := refuse(http.StatusServiceUnavailable, codeUnavailable, "the request was given up")
		r.reason = "canceled"
		return r
	case errors.As(err, &e):
		return ofRegistry(e, code)
	}
	r := refuse(http.StatusServiceUnavailable, codeUnavailable, "it cannot be judged now; the gate's log says why")
	r.retryAfter, r.reason = retryLater, "undecided"
	return r
}

// told is the sentence that a client gets about an upstream's error: its kind, HTTP status
// and the specification's code. No other text of an upstream, resolver or connection is
// repeated.
func told(e *registry.Error) string {
	said := "the upstream registry " + toldOf(e.Kind)
	if e.Status == 0 {
		return said
	}
	said += fmt.Sprintf(" (HTTP %d", e.Status)
	if word, _, _ := strings.Cut(e.Detail, " "); slices.Contains(upstreamCodes, word) {
		said += " " + word
	}
	return said + ")"
}

// upstreamCodes are the specification's codes.
// Source: OCI Distribution Specification v1.1, "Error Codes".
var upstreamCodes = []string{
	"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN",
	"NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
}

func toldOf(kind registry.Kind) string {
	switch kind {
	case registry.ErrNotFound:
		return "does not have it"
	case registry.ErrUnauthorized:
		return "wants credentials"
	case registry.ErrDenied:
		return "denies access"
	case registry.ErrRateLimited:
		return "asks for fewer requests"
	case registry.ErrStalled:
		return "sends too slowly"
	case registry.ErrTooLarge, registry.ErrTooMany:
		return "sends more than the gate's limits allow"
	case registry.ErrDigestMismatch:
		return "sent something other than what was asked for"
	case registry.ErrMalformed:
		return "sent something malformed"
	case registry.ErrUnsupported:
		return "sent something of a kind that is not supported"
	case registry.ErrReference:
		return "cannot be asked for this name"
	case registry.ErrInsecure:
		return "leads to where the gate does not go"
	}
	return "cannot be reached, or failed"
}

// retryLater is sent if the upstream names no time.
const retryLater = 5 * time.Second

func safe(s string) string { return registry.SafeText(s, maxMessage/2) }

// ofRegistry maps an upstream's answers.
func ofRegistry(e *registry.Error, code string) *refusal {
	said := told(e)
	switch e.Kind {
	case registry.ErrNotFound:
		return refuse(http.StatusNotFound, code, "%s", said)
	case registry.ErrUnauthorized:
		r := refuse(http.StatusUnauthorized, codeUnauthorized, "%s", said)
		r.credentials = true
		return r
	case registry.ErrDenied:
		// Not DENIED with our own words: the gate's policy has not spoken.
		r := refuse(http.StatusForbidden, codeDenied, "%s", said)
		r.credentials = true
		return r
	case registry.ErrReference:
		return refuse(http.StatusBadRequest, codeName, "%s", said)
	case registry.ErrMalformed, registry.ErrUnsupported:
		r := refuse(http.StatusForbidden, codeDenied, "it cannot be judged: %s", said)
		r.reason = "malformed"
		return r
	}
	return unavailable(e, said)
}

// unavailable says that asking again may help.
func unavailable(e *registry.Error, message string) *refusal {
	r := refuse(http.StatusServiceUnavailable, codeUnavailable, "%s", message)
	r.reason = "upstream-unavailable"
	r.retryAfter = max(e.RetryAfter, retryLater)
	switch {
	case e.Kind == registry.ErrRateLimited:
		r.status, r.code, r.reason = http.StatusTooManyRequests, codeTooMany, "upstream-rate-limited"
	case e.Kind == registry.ErrDigestMismatch || e.Kind == registry.ErrTooLarge || e.Kind == registry.ErrInsecure || e.Kind == registry.ErrTooMany:
		r.status, r.reason = http.StatusBadGateway, "upstream-lies"
	case e.Status >= 500 && e.Status != http.StatusServiceUnavailable:
		r.status = http.StatusBadGateway
	case e.Kind == registry.ErrUnauthorized || e.Kind == registry.ErrDenied:
		r.status, r.reason = http.StatusBadGateway, "upstream-denies-evidence"
	}
	return r
}

// deniedError is the error of a Transport that a policy denies an image.
type deniedError struct {
	message string
	denial  *verify.Error
}

func (e *deniedError) Error() string { return e.message }

// Unwrap returns the denial.
func (e *deniedError) Unwrap() error { return e.denial }

// Is reports whether target is registry.ErrDenied.
func (e *deniedError) Is(target error) bool { return target == registry.ErrDenied }

// told is the sentence that clients show.
func (r *refusal) told(help string) string {
	message := r.message
	if help != "" && r.status == http.StatusForbidden {
		message += ". " + help
	}
	return registry.SafeText(message, maxMessage)
}

// write sends the refusal.
func (r *refusal) write(w http.ResponseWriter, req *http.Request, help string) {
	message := r.told(help)
	body, err := json.Marshal(map[string]any{"errors": []any{ociError{r.code, message, r.detail}}})
	if err != nil { // a detail that has no JSON
		body, _ = json.Marshal(map[string]any{"errors": []any{ociError{r.code, message, nil}}})
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if r.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((r.retryAfter+time.Second-1)/time.Second)))
	}
	if len(r.challenge) > 0 {
		h["Www-Authenticate"] = r.challenge
	}
	if r.status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD")
	}
	if req.Method == http.MethodHead {
		if r.status != http.StatusForbidden || !inStatusLine(w, req, r.status, r.code+": "+message) {
			w.WriteHeader(r.status)
		}
		return
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // the client has gone
}

// maxPhrase bounds a status line: some clients read no longer ones.
const maxPhrase = 400

// inStatusLine answers HEAD with the sentence in the status line, and reports whether it
// could. A response to HEAD has no body, and containerd, which resolves by HEAD, shows its
// user only that line. net/http writes its own phrases, so the connection is taken over,
// and closed. HTTP/2 has no reason phrases.
// Source: RFC 9112, section 4.
func inStatusLine(w http.ResponseWriter, req *http.Request, status int, sentence string) bool {
	if req.ProtoMajor != 1 || req.ProtoMinor != 1 {
		return false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // the client has its answer, or has gone
	_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, _ = fmt.Fprintf(buffered, "HTTP/1.1 %d %s\r\n", status, ascii(registry.SafeText(sentence, maxPhrase)))
	header := w.Header()
	header.Set("Connection", "close")
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_ = header.Write(buffered)
	_, _ = buffered.WriteString("\r\n")
	_ = buffered.Flush()
	return true
}

type ociError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}
