package registrytest

import (
	"context"
	"net/http"
	"slices"
	"sync"
)

// Effect changes how requests are answered: next answers as the registry would,
// or with the effects of the faults that were injected later. The ready ones
// leave answers other than 2xx of next as they are.
type Effect func(next http.Handler) http.Handler

// Fault makes matching requests go wrong. A request matches that fits all fields
// that are set.
type Fault struct {
	// Method is the HTTP method. Empty: any.
	Method string
	// Kind is the part of the API. Empty: any.
	Kind Kind
	// Repo is the repository. Empty: any.
	Repo string
	// Ref is the tag, digest or upload ID. Empty: any.
	Ref string
	// Match decides about what the fields above let pass. It must be safe for
	// concurrent use. Nil: all of it.
	Match func(Request) bool
	// Skip is how many matching requests are answered well before. Zero: none.
	Skip int
	// Times is how many requests go wrong after them. Zero: all.
	Times int
	// Do is what goes wrong. Nil: nothing does.
	Do Effect
}

func (f *Fault) matches(info Request) bool {
	return (f.Method == "" || f.Method == info.Method) &&
		(f.Kind == "" || f.Kind == info.Kind) &&
		(f.Repo == "" || f.Repo == info.Repo) &&
		(f.Ref == "" || f.Ref == info.Ref) &&
		(f.Match == nil || f.Match(info))
}

// Chain combines effects; the first sees the request first and the answer last.
func Chain(effects ...Effect) Effect {
	return func(next http.Handler) http.Handler {
		for _, e := range slices.Backward(effects) {
			next = e(next)
		}
		return next
	}
}

// Inject makes matching requests go wrong, from now on until remove is called.
// Where several faults match, the first injected is the outermost; see Chain.
// Faults come before authentication: a challenge can be tampered with too, and
// counts as a request.
func (r *Registry) Inject(f Fault) (remove func()) {
	injected := &injectedFault{Fault: f}
	r.faults.mu.Lock()
	defer r.faults.mu.Unlock()
	r.faults.all = append(slices.Clone(r.faults.all), injected)
	return func() {
		r.faults.mu.Lock()
		defer r.faults.mu.Unlock()
		r.faults.all = slices.DeleteFunc(slices.Clone(r.faults.all), func(f *injectedFault) bool { return f == injected })
	}
}

type injectedFault struct {
	Fault

	mu      sync.Mutex
	matched int
}

// due counts a matching request, and reports whether it is to go wrong.
func (f *injectedFault) due() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.matched++
	return f.Do != nil && f.matched > f.Skip && (f.Times == 0 || f.matched-f.Skip <= f.Times)
}

type faults struct {
	mu  sync.RWMutex
	all []*injectedFault // replaced, never changed
}

func (fs *faults) wrap(r *Registry, info Request, next http.Handler) http.Handler {
	fs.mu.RLock()
	all := fs.all
	fs.mu.RUnlock()
	var effects []Effect
	for _, f := range all {
		if f.matches(info) && f.due() {
			effects = append(effects, f.Do)
		}
	}
	if len(effects) == 0 {
		return next
	}
	h := Chain(effects...)(next)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), targetKey{}, target{r, info})))
	})
}

// target is what an effect may need to know about a request.
type target struct {
	r    *Registry
	info Request
}

type targetKey struct{}

// targetOf returns what a request is about; an Effect that is used without a
// Registry gets none.
func targetOf(req *http.Request) (target, bool) {
	t, ok := req.Context().Value(targetKey{}).(target)
	return t, ok
}
