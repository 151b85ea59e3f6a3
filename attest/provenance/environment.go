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
	// ErrNoSystem: no known build system is detected.
	ErrNoSystem = errors.New("no build system detected")
	// ErrEnvironment: a variable that the build system always sets is missing or
	// malformed, or several build systems are detected.
	ErrEnvironment = errors.New("unusable build environment")
)

// maxVariable bounds the value of one variable, in bytes.
const maxVariable = 4 << 10

// EnvironmentOptions name the build system and its variables.
type EnvironmentOptions struct {
	// System names the build system, as Systems lists them. Empty: it is
	// detected. Tekton and Google Cloud Build set no variables by themselves, and
	// must be named.
	System string
	// Lookup reads a variable, as os.LookupEnv does. Required.
	Lookup func(key string) (string, bool)
}

// Systems returns the names of the known build systems.
func Systems() []string {
	var names []string
	for _, s := range systems() {
		names = append(names, s.name)
	}
	return names
}

// Variables returns the allow-list of a build system: the variables that
// Environment may read. It returns nil for an unknown system.
func Variables(name string) []string {
	for _, s := range systems() {
		if s.name == name {
			return s.variables()
		}
	}
	return nil
}

// Environment returns the facts in the environment of a build system. buildtypes.md
// says what the parameters of each build type mean.
//
//   - URLs lose logins, queries and fragments.
//   - A commit is 40 or 64 lower-case hex digits.
//   - The address of a repository that has no URI, such as a path, is left out with
//     a warning in Facts.Warnings. The source keeps its commit.
//
// A build step that sets variables can forge all of these facts. Gather them, and
// sign the provenance, where no build step runs.
//
// Errors are ErrNoSystem, ErrEnvironment and attest.ErrOptions. An ErrEnvironment lists
// all variables that are missing or malformed.
//
// Tekton sets no variables. A step of its Task passes them on:
//
//	env:
//	  - {name: TEKTON_NAMESPACE, value: $(context.taskRun.namespace)}
//	  - {name: TEKTON_TASK_NAME, value: $(context.task.name)}
//	  - {name: TEKTON_TASKRUN_NAME, value: $(context.taskRun.name)}
//	  - {name: TEKTON_TASKRUN_UID, value: $(context.taskRun.uid)}
//	  - {name: TEKTON_SOURCE_URL, value: $(params.source-url)}
//	  - {name: TEKTON_SOURCE_REF, value: $(params.source-ref)}
//	  - {name: TEKTON_SOURCE_COMMIT, value: $(params.source-commit)}
func Environment(o EnvironmentOptions) (Facts, error) {
	if o.Lookup == nil {
		return Facts{}, fmt.Errorf("%w: EnvironmentOptions.Lookup is not set; give os.LookupEnv", attest.ErrOptions)
	}
	s, err := o.find()
	if err != nil {
		return Facts{}, err
	}
	r := &reader{system: s, lookup: o.Lookup}
	f := r.facts()
	if err := r.failure(); err != nil {
		return Facts{}, err
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
		return nil, fmt.Errorf("%w: the build system %.100q is not known; use one of %s", attest.ErrOptions, o.System, strings.Join(Systems(), ", "))
	case len(found) == 0:
		return nil, ErrNoSystem
	case len(found) > 1:
		return nil, fmt.Errorf("%w: both %s and %s are detected; name one of them", ErrEnvironment, found[0].name, found[1].name)
	}
	return found[0], nil
}

// system maps the environment of a build system to facts.
type system struct {
	name string
	// buildType is the URI, title the system's own name.
	buildType, title string
	// marker is the variable by which the system is detected. Empty: the system
	// must be named. markerValue is the marker's value. Empty: any value.
	marker, markerValue string
	external, internal  []field
	version             []field
	// repository, ref and commit are the source. The first repository with a URI
	// counts, and the first ref that is set.
	repository, ref []template
	commit          template
	invocation      template
	// started is when the build began.
	started template
	clock   clock
	// derive adds what the table cannot express. derived are the variables that
	// it reads.
	derive  func(r *reader, f *Facts)
	derived []string
}

// marked reports whether the environment has the system's marker.
func (s *system) marked(lookup func(string) (string, bool)) bool {
	if s.marker == "" {
		return false
	}
	value, _ := lookup(s.marker)
	return value != "" && (s.markerValue == "" || value == s.markerValue)
}

// template is text with variables in it, as in "${HOST}/${REPO}". It is empty if one
// of them is not set.
type template string

// field is a parameter and its template.
type field struct {
	// path is the parameter's place, as in "workflow.ref".
	path string
	from template
	kind kind
	need bool
}

// kind is the kind of a parameter's value.
type kind int

const (
	// text is kept, except the logins and queries of URLs in it.
	text kind = iota
	// address is the URL of a server, without login, query and fragment.
	address
	// remote is the URL of a git repository, or is left out with a warning.
	remote
	// count is a number.
	count
)

// clock is the format of a time.
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

// variables returns the allow-list of the system.
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

// reader reads the environment of one system. It keeps all that is wrong, each once.
type reader struct {
	system   *system
	lookup   func(string) (string, bool)
	warnings []Warning
	// missing are the variables that are not set, wrong is what else is to be mended.
	missing, wrong []string
}

func (r *reader) fail(format string, args ...any) {
	if why := fmt.Sprintf(format, args...); !slices.Contains(r.wrong, why) {
		r.wrong = append(r.wrong, why)
	}
}

// lack notes variables that are not set, though they must be.
func (r *reader) lack(templates ...template) {
	for _, t := range templates {
		for _, name := range t.variables() {
			if value, _ := r.lookup(name); value == "" && !slices.Contains(r.missing, name) {
				r.missing = append(r.missing, name)
			}
		}
	}
}

// failure is an error about all that is missing or malformed.
func (r *reader) failure() error {
	all := r.wrong
	switch n := len(r.missing); {
	case n == 1:
		all = append([]string{r.missing[0] + " is not set"}, all...)
	case n > 1:
		all = append([]string{strings.Join(r.missing[:n-1], ", ") + " and " + r.missing[n-1] + " are not set"}, all...)
	}
	if len(all) == 0 {
		return nil
	}
	if r.system.marker == "" && len(r.missing) > 0 { // the step passes all of them on
		source := slices.Concat(variablesOf(append(slices.Clone(r.system.repository), r.system.commit))...)
		all = append(all, "the source needs "+strings.Join(source, " and "))
	}
	return fmt.Errorf("%w of %s: %s", ErrEnvironment, r.system.title, strings.Join(all, "; "))
}

// get reads a variable. It returns "" for one that is not set.
func (r *reader) get(name string) string {
	value, _ := r.lookup(name)
	if len(value) > maxVariable || !utf8.ValidString(value) || strings.ContainsFunc(value, isControl) {
		r.fail("%s has more than %d bytes, control characters, or invalid UTF-8", name, maxVariable)
		return ""
	}
	return value
}

// expand returns a template's value. It returns "" if a variable is not set.
func (r *reader) expand(t template) string { return r.expandWith(t, r.get) }

// remote returns the URI of the repository that a template names. It returns "" with a
// warning if there is none, and without a warning if a variable is not set.
func (r *reader) remote(t template) (uri string, set bool) {
	value := r.expandWith(t, func(name string) string { v, _ := r.lookup(name); return v })
	if value == "" {
		return "", false
	}
	uri, why := remoteURI(value)
	if why != "" {
		w := Warning{WarnRemote, fmt.Sprintf("the remote in %s %s", strings.Join(t.variables(), ", "), why)}
		if !slices.Contains(r.warnings, w) {
			r.warnings = append(r.warnings, w)
		}
	}
	return uri, true
}

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
	f.Warnings = r.warnings
	if s.derive != nil {
		s.derive(r, &f)
	}
	return f
}

func (r *reader) parameters(fields []field) map[string]any {
	all := make(map[string]any)
	for _, f := range fields {
		if f.kind == remote {
			uri, isSet := r.remote(f.from)
			if uri != "" {
				set(all, f.path, uri)
			}
			if !isSet && f.need {
				r.lack(f.from)
			}
			continue
		}
		value := r.expand(f.from)
		if value == "" {
			if f.need {
				r.lack(f.from)
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
		clean, why := remoteURI(value)
		if why != "" {
			r.fail("%s is not a URL that can be recorded: it %s", strings.Join(f.from.variables(), ", "), why)
		}
		return clean
	case count:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			r.fail("%s is not a number", strings.Join(f.from.variables(), ", "))
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

// source returns the repository that the build was started from.
func (r *reader) source() []predicate.ResourceDescriptor {
	s := r.system
	repository, isSet := r.repository()
	commit, ref := r.expand(s.commit), r.first(s.ref)
	switch {
	case !isSet && commit == "":
		return nil
	case !isSet:
		r.fail("%s is not set", strings.Join(slices.Concat(variablesOf(s.repository)...), " or "))
		return nil
	case commit == "":
		r.lack(s.commit)
		return nil
	case !commitPattern().MatchString(commit):
		r.fail("%s is not a commit of 40 or 64 lower-case hex digits", strings.Join(s.commit.variables(), ""))
		return nil
	case ref != "" && !isRef(ref):
		r.fail("%s is not the name of a ref", strings.Join(slices.Concat(variablesOf(s.ref)...), " or "))
		return nil
	}
	return []predicate.ResourceDescriptor{sourceAt(repository, ref, commit)}
}

// repository returns the URI of the first repository that has one, and whether one is
// set.
func (r *reader) repository() (uri string, isSet bool) {
	before := r.warnings
	for _, t := range r.system.repository {
		u, is := r.remote(t)
		isSet = isSet || is
		if u != "" {
			r.warnings = before // an alternative has no URI, and is not needed
			return u, true
		}
	}
	return "", isSet
}

func variablesOf(all []template) (names [][]string) {
	for _, t := range all {
		names = append(names, t.variables())
	}
	return names
}

// invocation returns the URI of the run. Only the table adds a query or a fragment.
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
		r.fail("%s is not a URI", strings.Join(r.system.invocation.variables(), ", "))
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
		r.fail("%s is not a time since the year 2000", strings.Join(r.system.started.variables(), ""))
		return time.Time{}
	}
	return t.UTC()
}
