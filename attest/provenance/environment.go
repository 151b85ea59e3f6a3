package provenance

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/lazy"
)

// Errors of Environment, for errors.Is.
var (
	// ErrNoSystem: the environment is not that of a build system that is known.
	ErrNoSystem = errors.New("no build system detected")
	// ErrEnvironment: a variable that the build system sets is missing or
	// malformed, or several build systems are detected.
	ErrEnvironment = errors.New("unusable build environment")
)

// maxVariable bounds the value of one variable.
const maxVariable = 4 << 10

// EnvironmentOptions say whose environment is read.
type EnvironmentOptions struct {
	// System names the build system, as Systems lists them. Empty: it is
	// detected. Tekton and Google Cloud Build have to be named: they set nothing
	// by themselves.
	System string
	// Lookup reads a variable, as os.LookupEnv does. Required.
	Lookup func(key string) (string, bool)
}

// Systems lists the names of the build systems that are known.
func Systems() []string {
	var names []string
	for _, s := range systems() {
		names = append(names, s.name)
	}
	return names
}

// Variables lists the variables that are ever read for a build system; nil for
// one that is not known.
func Variables(name string) []string {
	for _, s := range systems() {
		if s.name == name {
			return s.variables()
		}
	}
	return nil
}

// Environment gives the facts that the environment of a build system holds. What
// each one is mapped from stands in its table; what its parameters mean, in the
// document of its build type. URLs lose logins, queries and fragments. A commit
// is 40 or 64 lower-case hex digits.
//
// Whoever can set variables in the build can forge all of it: sign provenance
// where the build's own steps cannot. Errors are ErrNoSystem, ErrEnvironment and
// attest.ErrOptions.
func Environment(o EnvironmentOptions) (Facts, error) {
	if o.Lookup == nil {
		return Facts{}, fmt.Errorf("%w: no Lookup; give os.LookupEnv", attest.ErrOptions)
	}
	s, err := o.find()
	if err != nil {
		return Facts{}, err
	}
	r := &reader{system: s, lookup: o.Lookup}
	f := r.facts()
	if r.err != nil {
		return Facts{}, r.err
	}
	return f, nil
}

func (o EnvironmentOptions) find() (*system, error) {
	var found []*system
	for _, s := range systems() {
		switch {
		case o.System == s.name:
			return s, nil
		case o.System == "" && s.marked(o.Lookup):
			found = append(found, s)
		}
	}
	switch {
	case o.System != "":
		return nil, fmt.Errorf("%w: build system %.100q is not known; use one of %s", attest.ErrOptions, o.System, strings.Join(Systems(), ", "))
	case len(found) == 0:
		return nil, ErrNoSystem
	case len(found) > 1:
		return nil, fmt.Errorf("%w: it looks like %s and like %s; name one", ErrEnvironment, found[0].name, found[1].name)
	}
	return found[0], nil
}

// system is how the environment of a build system is mapped.
type system struct {
	name string
	// buildType is the URI, title the system's own name.
	buildType, title string
	// marker is the variable that tells the system, and markerValue what it must
	// be; empty: anything. Without a marker the system has to be named.
	marker, markerValue string
	external, internal  []field
	version             []field
	// repository, ref and commit are the source; repository may be a URL or
	// user@host:path. Of several alternatives the first that is set counts.
	repository, ref []template
	commit          template
	invocation      template
	// started is when the build began.
	started template
	clock   clock
	// derive adds what no table can say.
	derive func(r *reader, f *Facts)
	// derived are the variables that it reads.
	derived []string
}

// marked reports whether the environment is the system's.
func (s *system) marked(lookup func(string) (string, bool)) bool {
	if s.marker == "" {
		return false
	}
	value, _ := lookup(s.marker)
	return value != "" && (s.markerValue == "" || value == s.markerValue)
}

// template is text with variables in it, as in "${HOST}/${REPO}". It has no value
// where one of them is not set.
type template string

// field is a parameter and where it comes from.
type field struct {
	// path is its place, as in "workflow.ref".
	path string
	from template
	kind kind
	need bool
}

// kind says what a value must be.
type kind int

const (
	// text is what it is, but for logins and queries of URLs in it.
	text kind = iota
	// address is a URL, which loses its login, query and fragment.
	address
	// count is a number.
	count
)

// clock says how a time is written.
type clock int

const (
	rfc3339 clock = iota
	unixSeconds
	unixMilliseconds
)

var variablePattern = lazy.Regexp(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func (t template) variables() (names []string) {
	for _, m := range variablePattern().FindAllStringSubmatch(string(t), -1) {
		names = append(names, m[1])
	}
	return names
}

// variables is the allow-list of the system.
func (s *system) variables() []string {
	all := slices.Clone(s.derived)
	if s.marker != "" {
		all = append(all, s.marker)
	}
	templates := slices.Concat(s.repository, s.ref, []template{s.commit, s.invocation, s.started})
	for _, f := range slices.Concat(s.external, s.internal, s.version) {
		templates = append(templates, f.from)
	}
	for _, t := range templates {
		all = append(all, t.variables()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// reader reads the environment of one system. It keeps the first error.
type reader struct {
	system *system
	lookup func(string) (string, bool)
	err    error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w of %s: %s", ErrEnvironment, r.system.title, fmt.Sprintf(format, args...))
	}
}

// get reads a variable; "" where it is not set.
func (r *reader) get(name string) string {
	value, _ := r.lookup(name)
	if len(value) > maxVariable || !utf8.ValidString(value) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		r.fail("%s is longer than %d bytes, or holds what no such value has", name, maxVariable)
		return ""
	}
	return value
}

// expand gives a template's value; "" where a variable is not set.
func (r *reader) expand(t template) string { return r.expandWith(t, r.get) }

func (r *reader) expandWith(t template, get func(string) string) string {
	complete := true
	value := variablePattern().ReplaceAllStringFunc(string(t), func(m string) string {
		v := get(m[2 : len(m)-1])
		complete = complete && v != ""
		return v
	})
	if !complete {
		return ""
	}
	return value
}

func (r *reader) first(all []template) string {
	for _, t := range all {
		if v := r.expand(t); v != "" {
			return v
		}
	}
	return ""
}

func (r *reader) facts() Facts {
	s := r.system
	f := Facts{
		BuildType:          s.buildType,
		ExternalParameters: r.parameters(s.external), InternalParameters: r.parameters(s.internal),
		InvocationID: r.invocation(), StartedOn: r.time(),
	}
	for path, value := range r.parameters(s.version) {
		if f.BuilderVersion == nil {
			f.BuilderVersion = make(map[string]string)
		}
		f.BuilderVersion[path] = fmt.Sprint(value)
	}
	f.Dependencies = r.source()
	if s.derive != nil {
		s.derive(r, &f)
	}
	return f
}

func (r *reader) parameters(fields []field) map[string]any {
	all := make(map[string]any)
	for _, f := range fields {
		value := r.expand(f.from)
		if value == "" {
			if f.need {
				r.fail("%s is not set", strings.Join(f.from.variables(), " or "))
			}
			continue
		}
		set(all, f.path, r.value(f, value))
	}
	return all
}

func (r *reader) value(f field, value string) any {
	switch f.kind {
	case address:
		clean := sourceURL(value)
		if clean == "" {
			r.fail("%s is no URL", strings.Join(f.from.variables(), ", "))
		}
		return clean
	case count:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			r.fail("%s is no number", strings.Join(f.from.variables(), ", "))
		}
		return n
	}
	return cleanText(value)
}

// set stores a value at a path of names.
func set(m map[string]any, path string, value any) {
	name, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		m[name] = value
		return
	}
	inner, _ := m[name].(map[string]any)
	if inner == nil {
		inner = make(map[string]any)
		m[name] = inner
	}
	set(inner, rest, value)
}

var refPattern = lazy.Regexp(`^[A-Za-z0-9._/@+#=,-]+$`)

// source is the repository that was built from.
func (r *reader) source() []predicate.ResourceDescriptor {
	s := r.system
	repository, commit, ref := r.first(s.repository), r.expand(s.commit), r.first(s.ref)
	switch {
	case repository == "" && commit == "":
		return nil
	case repository == "":
		r.fail("%s is not set", strings.Join(slices.Concat(variablesOf(s.repository)...), " or "))
		return nil
	case !commitPattern().MatchString(commit):
		r.fail("%s is no commit of 40 or 64 lower-case hex digits", strings.Join(s.commit.variables(), ""))
		return nil
	case ref != "" && !refPattern().MatchString(ref):
		r.fail("%s is no name of a ref", strings.Join(slices.Concat(variablesOf(s.ref)...), " or "))
		return nil
	}
	clean := sourceURL(repository)
	if clean == "" {
		r.fail("%s is no URL of a repository", strings.Join(slices.Concat(variablesOf(s.repository)...), " or "))
		return nil
	}
	uri := "git+" + clean
	if ref != "" {
		uri += "@" + ref
	}
	return []predicate.ResourceDescriptor{{URI: uri, Digest: map[string]string{"gitCommit": commit}}}
}

func variablesOf(all []template) (names [][]string) {
	for _, t := range all {
		names = append(names, t.variables())
	}
	return names
}

// sourceURL is remoteURL for URLs with a host.
func sourceURL(text string) string {
	clean := remoteURL(text)
	if u, err := url.Parse(clean); err != nil || u.Host == "" {
		return ""
	}
	return clean
}

// invocation is the URI of the run. It has a query or fragment only where the
// table writes one.
func (r *reader) invocation() string {
	value := r.expandWith(r.system.invocation, func(name string) string {
		v := r.get(name)
		if !strings.Contains(v, "://") {
			return v
		}
		return withoutCredentials(v)
	})
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || !u.IsAbs() {
		r.fail("%s is no URI", strings.Join(r.system.invocation.variables(), ", "))
		return ""
	}
	return u.String()
}

func (r *reader) time() time.Time {
	value := r.expand(r.system.started)
	if value == "" {
		return time.Time{}
	}
	var t time.Time
	var err error
	if r.system.clock == rfc3339 {
		t, err = time.Parse(time.RFC3339, value)
	} else {
		var n int64
		n, err = strconv.ParseInt(value, 10, 64)
		if t = time.Unix(n, 0); r.system.clock == unixMilliseconds {
			t = time.UnixMilli(n)
		}
	}
	if err != nil || t.Year() < 2000 || t.Year() > 9999 {
		r.fail("%s is no time", strings.Join(r.system.started.variables(), ""))
		return time.Time{}
	}
	return t.UTC()
}
