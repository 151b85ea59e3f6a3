package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// maxRetryAfter bounds what a registry can ask others to wait.
const maxRetryAfter = 24 * time.Hour

// Bounds of what is read of an answer that is only explained or thrown away.
const (
	maxErrorBody = 16 << 10
	maxDrain     = 64 << 10
)

// request is one request to a registry, as often as it has to be sent.
type request struct {
	op     string
	ref    string
	repo   name.Repository
	method string
	url    *url.URL
	header http.Header
	push   bool            // needs the right to push
	from   name.Repository // a mount needs the right to pull from here
	// open gives a body that can be sent again, body one that can be sent once;
	// both nil: none. size is its length.
	open func() io.Reader
	body io.Reader
	size int64
	// stream leaves the answer's body to the caller, unbounded in time but for
	// StallTimeout.
	stream bool
	// list: the answer is a list, which is held while what it lists is read.
	list bool
	// tag: the request is about a tag.
	tag bool
	// consume reads the body of a list of referrers, of up to maxListBytes, in place of
	// answer.body; nil: it does not.
	consume func(body io.Reader) error
	// hurry shortens the time that is left for the attempt under way; nil: it has none of
	// its own.
	hurry func(time.Duration)
	// unplace gives back the place in flight of the attempt under way, once it waits for a
	// budget in place of that; nil: it has none of its own.
	unplace func()
	// once: what fails is not tried again here.
	once bool
	// accept lists further statuses that are no error. 200 to 299 are none.
	accept []int
}

func (r *request) fail(kind registry.Kind, err error, detail string) error {
	return &registry.Error{Op: r.op, Ref: r.ref, Host: r.repo.RegistryStr(), Kind: kind, Detail: detail, Err: err}
}

// stray is fail for a response that does not answer the request. It says nothing
// about what was asked for.
func (r *request) stray(kind registry.Kind, err error, detail string) error {
	return &registry.Error{Op: r.op, Ref: r.ref, Host: r.repo.RegistryStr(), Kind: kind, Detail: detail, Err: err, Unanswered: true}
}

// answer is a response whose small body has been read.
type answer struct {
	status int
	header http.Header
	url    *url.URL
	body   []byte        // nil with request.stream
	stream io.ReadCloser // the body, with request.stream
	length int64
}

// transportError is the error of a request that was not answered. peer says where it was
// sent, if err does not.
func (r *request) transportError(ctx context.Context, err error, peer string) error {
	if private := (*netguard.Error)(nil); errors.As(err, &private) {
		return r.fail(registry.ErrInsecure, nil, "the registry redirects into a private network: "+private.Error())
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, registry.ErrDenied): // by a transport that judges
		return r.fail(registry.ErrDenied, err, "")
	}
	return r.fail(registry.ErrUnavailable, err, peer)
}

// drain empties a body within reason, for the connection to be used again.
func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDrain))
	_ = resp.Body.Close()
}

// asError makes an error about a request of a panic that was caught: of a keychain's or
// transport's code, in a goroutine that no caller knows of.
func asError(op, ref string, err error) error {
	if _, ok := err.(*panics.Error); ok {
		return &registry.Error{Op: op, Ref: ref, Kind: registry.ErrUnavailable, Err: err}
	}
	return err
}

// unauthorized is a 401 with what the registry wants to see. It does not leave this
// package.
type unauthorized struct {
	err        *registry.Error
	challenges []string
}

func (u *unauthorized) Error() string { return u.err.Error() }

func (u *unauthorized) Unwrap() error { return u.err }

func kindOfStatus(status int) registry.Kind {
	switch {
	case status == http.StatusUnauthorized:
		return registry.ErrUnauthorized
	case status == http.StatusForbidden:
		return registry.ErrDenied
	case status == http.StatusNotFound:
		return registry.ErrNotFound
	case status == http.StatusTooManyRequests:
		return registry.ErrRateLimited
	case status == http.StatusPreconditionFailed:
		return registry.ErrConflict
	case status == http.StatusRequestEntityTooLarge:
		return registry.ErrTooLarge
	case status == http.StatusRequestTimeout || status >= 500:
		return registry.ErrUnavailable
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		return registry.ErrMalformed
	case status/100 == 4:
		return registry.ErrUnsupported
	}
	return registry.ErrMalformed
}

// kindOf returns the kind of an error response: by its status, and by the OCI error code
// and text where registries differ in the status.
func (r *request) kindOf(status int, code, text string) registry.Kind {
	writes := r.method == http.MethodPut && r.tag
	conditional := r.header.Get("If-Match") != "" || r.header.Get("If-None-Match") != ""
	switch {
	case writes && status/100 == 4 && saysImmutable(code, text):
		return registry.ErrImmutable
	case code == "TOOMANYREQUESTS" && status/100 == 4:
		return registry.ErrRateLimited
	case code == "UNSUPPORTED" && status/100 == 4 && status != http.StatusNotFound:
		return registry.ErrUnsupported
	case status == http.StatusPreconditionFailed && !(writes && conditional):
		return registry.ErrDenied // by a rule of the registry's: no condition was set
	case status == http.StatusConflict && writes:
		return registry.ErrConflict
	}
	return kindOfStatus(status)
}

// saysImmutable reports whether a registry refuses to change a tag that exists.
//
// Sources: Amazon ECR (TAG_INVALID, "cannot be overwritten because the repository is
// immutable", moby/buildkit#3776); Harbor (PRECONDITION, "configured as immutable",
// goharbor/harbor#17332); Quay and others (TAG_IMMUTABLE); Google Artifact Registry
// ("has enabled tag immutability"); Sonatype Nexus ("does not allow updating assets").
func saysImmutable(code, text string) bool {
	switch code {
	case "TAG_INVALID", "TAG_IMMUTABLE", "TAG_ALREADY_EXISTS", "IMMUTABLE":
		return true
	}
	text = strings.ToLower(text)
	for _, words := range []string{"immutab", "cannot be overwritten", "cannot overwrite", "not allow updating", "tag already exists"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// explanation reads the OCI error body (distribution specification, "Error codes"): its
// first code, and all of it as text. Anything else, such as a page of HTML, explains
// nothing.
func explanation(body []byte) (code, text string) {
	root, err := strictjson.Parse(body)
	if err != nil {
		return "", ""
	}
	var parts []string
	for e := range root.Get("errors").Elems() {
		named, _ := e.Get("code").Str()
		message, _ := e.Get("message").Str()
		if detail, ok := e.Get("detail").Str(); ok { // of Nexus
			message += " " + detail
		}
		if code == "" && isCode(named) {
			code = named
		}
		if p := strings.TrimSpace(named + " " + message); p != "" && len(parts) < 4 {
			parts = append(parts, p)
		}
	}
	return code, safe(redact(strings.Join(parts, "; ")))
}

// isCode reports whether a text has the form of an error code.
func isCode(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

// redact removes what may be secret from a registry's text: the credentials
// and the query of every URL.
func redact(s string) string {
	parts := strings.Split(strings.Join(strings.Fields(s), " "), "://")
	for i := 1; i < len(parts); i++ {
		parts[i] = withoutSecrets(parts[i])
	}
	return strings.Join(parts, "://")
}

// withoutSecrets is a URL after its scheme, and the text behind it, without
// credentials and query.
func withoutSecrets(s string) string {
	authority, tail := cutToken(s, `/?#<>" `)
	s = authority[strings.LastIndex(authority, "@")+1:]
	path, rest := cutToken(tail, `?#<>" `)
	if rest == "" || rest[0] != '?' && rest[0] != '#' {
		return s + tail
	}
	_, rest = cutToken(rest, `<>" `)
	return s + path + "?…" + rest
}

// read turns a response into an answer or an error.
func (r *request) read(ctx context.Context, resp *http.Response, maxBody int64) (*answer, error) {
	ok := resp.StatusCode/100 == 2
	for _, s := range r.accept {
		ok = ok || resp.StatusCode == s
	}
	if !ok {
		return nil, r.statusError(resp)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, url: resp.Request.URL, length: resp.ContentLength}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		_ = resp.Body.Close()
		return nil, r.stray(registry.ErrMalformed, nil, "the answer is compressed, which was not asked for")
	}
	if r.stream {
		a.stream = resp.Body
		return a, nil
	}
	defer drain(resp)
	if r.consume != nil && resp.StatusCode == http.StatusOK && contentType(resp.Header) == oci.MediaTypeIndex {
		return a, r.consumed(ctx, resp)
	}
	body, err := readMessage(ctx, r, resp, maxBody)
	switch {
	case errors.Is(err, budget.ErrLater):
		return nil, err
	case errors.Is(err, limit.ErrExceeded) && !oci.IsManifestType(contentType(resp.Header)):
		return nil, r.stray(registry.ErrTooLarge, err, "")
	case errors.Is(err, limit.ErrExceeded):
		return nil, r.fail(registry.ErrTooLarge, err, "")
	case err != nil:
		return nil, r.transportError(resp.Request.Context(), err, (&dialled{}).missingIn(err, resp.Request.URL.Host))
	}
	a.body = body
	return a, nil
}

// statusError explains an answer that is an error.
func (r *request) statusError(resp *http.Response) error {
	defer drain(resp)
	e := &registry.Error{Op: r.op, Ref: r.ref, Host: r.repo.RegistryStr(), Status: resp.StatusCode}
	if body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)); err == nil {
		e.Code, e.Detail = explanation(body)
	}
	e.Kind = r.kindOf(e.Status, e.Code, e.Detail)
	e.RetryAfter = retryAfterOf(resp, time.Now())
	if e.Status == http.StatusUnauthorized {
		return &unauthorized{e, resp.Header.Values("WWW-Authenticate")}
	}
	return e
}
