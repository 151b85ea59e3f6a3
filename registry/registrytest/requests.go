package registrytest

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Request is a request that the registry got.
type Request struct {
	// Method, Path and Query are the request's; Query is as sent.
	Method, Path, Query string
	// Kind, Repo and Ref say what it asks for. Ref is a tag, a digest or an
	// upload's ID. Both are empty where the kind has none.
	Kind      Kind
	Repo, Ref string
	// Scopes are those that a request for a token asks for.
	Scopes []string
	// AuthScheme is the first word of the header Authorization, such as
	// "Bearer"; empty where there was none.
	AuthScheme string
	// UserAgent is the header User-Agent.
	UserAgent string
	// Header holds all headers, credentials included. It must not be changed.
	Header http.Header
	// Status is that of the answer; 0 where none was given (yet).
	Status int
	// Start and End are when the request came and when the answer was written;
	// End is zero while the request is being answered.
	Start, End time.Time
}

// Requests returns the requests since the last ResetRequests, in the order in
// which they came; those that are being answered are among them. See
// Options.MaxRequests.
func (r *Registry) Requests() []Request {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	all := make([]Request, len(r.log.entries))
	for i, e := range r.log.entries {
		all[i] = *e
	}
	return all
}

// ResetRequests forgets all requests.
func (r *Registry) ResetRequests() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.entries = nil
}

// describe says what a request is about. Of a request for a token by POST it
// reads the form in its body.
func (r *Registry) describe(req *http.Request) Request {
	at := r.route(req.URL.Path)
	scheme, _, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	info := Request{
		Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery,
		Kind: at.kind, Repo: at.repo, Ref: at.ref,
		AuthScheme: scheme, UserAgent: req.UserAgent(), Header: req.Header,
		Start: time.Now(),
	}
	if at.kind == KindToken {
		_ = req.ParseForm() // serveToken finds what there is of it
		info.Scopes = splitScopes(req.Form["scope"])
	}
	return info
}

// requestLog remembers requests from their beginning: a client that has its answer finds
// its request here.
type requestLog struct {
	max int

	mu      sync.Mutex
	entries []*Request
}

func (l *requestLog) begin(info Request) *Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) < l.max {
		l.entries = append(l.entries, &info)
	}
	return &info
}

func (l *requestLog) end(entry *Request) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	entry.End = now
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	log   *requestLog
	entry *Request
}

func (w *recorder) WriteHeader(status int) {
	w.log.mu.Lock()
	if w.entry.Status < http.StatusOK { // 1xx may come before
		w.entry.Status = status
	}
	w.log.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.unanswered() {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

func (w *recorder) unanswered() bool {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	return w.entry.Status == 0
}

// Unwrap gives http.ResponseController what it needs to flush.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
