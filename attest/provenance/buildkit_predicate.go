package provenance

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// buildKitFacts returns the facts of a predicate. internal is the name of its internal
// parameter.
func buildKitFacts(internal string, said strictjson.Value) (Facts, error) {
	run, err := readBuildKitRun(said)
	if err != nil {
		return Facts{}, err
	}
	source, err := run.source.parameters()
	if err != nil {
		return Facts{}, err
	}
	f := Facts{
		BuildType:          BuildTypeBuildKit,
		ExternalParameters: map[string]any{"configSource": source, "request": run.request.parameters()},
		InternalParameters: map[string]any{internal: run.internalParameters()},
		BuilderVersion:     maps.Clone(run.builderVersion),
		InvocationID:       run.invocationID,
		StartedOn:          run.started,
		FinishedOn:         run.finished,
	}
	if run.dockerfileVersion != "" {
		if f.BuilderVersion == nil {
			f.BuilderVersion = make(map[string]string)
		}
		f.BuilderVersion["dockerfile"] = run.dockerfileVersion
	}
	if len(run.materials) > maxModules {
		return Facts{}, fmt.Errorf("%w: the build has more than %d dependencies", ErrOrigin, maxModules)
	}
	for _, m := range run.materials {
		d, err := m.dependency()
		if err != nil {
			return Facts{}, err
		}
		f.Dependencies = append(f.Dependencies, d)
	}
	_, f.Warnings = run.vcsSource()
	f.Dependencies, err = run.source.among(f.Dependencies)
	return f, err
}

// among puts the source before the other dependencies and annotates the git
// repositories. BuildKit sorts all of them by URL, those of a Dockerfile's ADD
// included.
func (s *buildKitSource) among(all []predicate.ResourceDescriptor) ([]predicate.ResourceDescriptor, error) {
	var source []predicate.ResourceDescriptor
	if _, err := buildKitURL(s.URI); err == nil && s.URI != "" {
		d, err := s.dependency()
		if err != nil {
			return nil, err
		}
		if isGit(d) {
			source = append(source, annotated(d, true))
		}
	}
	placed := source
	for _, d := range all {
		if len(source) > 0 && idOf(d) == idOf(source[0]) {
			continue
		}
		if isGit(d) {
			d = annotated(d, false)
		}
		placed = append(placed, d)
	}
	return placed, nil
}

// buildKitRun holds what both versions of BuildKit's predicate say.
type buildKitRun struct {
	source            buildKitSource
	request           buildKitRequest
	materials         []buildKitMaterial
	builderPlatform   string
	targetPlatform    string
	dockerfileVersion string
	builderVersion    map[string]string
	invocationID      string
	started, finished time.Time
	vcs               map[string]string
	complete          bool // of the dependencies
	hermetic          bool
}

type buildKitSource struct {
	buildKitMaterial
	Path       string `json:"path"`
	EntryPoint string `json:"entryPoint"` // its name in v0.2
}

type buildKitMaterial struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

type buildKitRequest struct {
	Frontend string            `json:"frontend"`
	Args     map[string]string `json:"args"`
	Locals   []struct {
		Name string `json:"name"`
	} `json:"locals"`
}

type buildKitEnvironment struct {
	Platform          string `json:"platform"`
	DockerfileVersion string `json:"dockerfileVersion"`
}

type buildKitClient struct {
	VCS map[string]string `json:"vcs"`
}

// buildKit1 is a predicate of SLSA v1. Older versions of BuildKit have other names for
// some fields.
type buildKit1 struct {
	BuildDefinition struct {
		BuildType          string `json:"buildType"`
		ExternalParameters struct {
			ConfigSource buildKitSource  `json:"configSource"`
			Request      buildKitRequest `json:"request"`
			Parameters   buildKitRequest `json:"parameters"` // older
		} `json:"externalParameters"`
		InternalParameters struct {
			BuilderPlatform   string              `json:"builderPlatform"`
			TargetPlatform    string              `json:"targetPlatform"`
			DockerfileVersion string              `json:"dockerfileVersion"`
			Environment       buildKitEnvironment `json:"environment"` // older
		} `json:"internalParameters"`
		ResolvedDependencies []buildKitMaterial `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			Version map[string]string `json:"version"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string         `json:"invocationId"`
			OlderID      string         `json:"invocationID"`
			StartedOn    time.Time      `json:"startedOn"`
			FinishedOn   time.Time      `json:"finishedOn"`
			Client       buildKitClient `json:"buildkit_metadata"`
			Hermetic     bool           `json:"buildkit_hermetic"`
			Completeness struct {
				ResolvedDependencies bool `json:"resolvedDependencies"`
			} `json:"buildkit_completeness"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// buildKit02 is a predicate of SLSA v0.2.
type buildKit02 struct {
	BuildType  string             `json:"buildType"`
	Materials  []buildKitMaterial `json:"materials"`
	Invocation struct {
		ConfigSource buildKitSource      `json:"configSource"`
		Parameters   buildKitRequest     `json:"parameters"`
		Environment  buildKitEnvironment `json:"environment"`
	} `json:"invocation"`
	Metadata struct {
		InvocationID string         `json:"buildInvocationID"`
		StartedOn    time.Time      `json:"buildStartedOn"`
		FinishedOn   time.Time      `json:"buildFinishedOn"`
		Client       buildKitClient `json:"https://mobyproject.org/buildkit@v1#metadata"`
		Hermetic     bool           `json:"https://mobyproject.org/buildkit@v1#hermetic"`
		Completeness struct {
			Materials bool `json:"materials"`
		} `json:"completeness"`
	} `json:"metadata"`
}

func readBuildKitRun(said strictjson.Value) (run buildKitRun, err error) {
	var buildType string
	if said.Get("buildDefinition").Exists() {
		var p buildKit1
		err = strictjson.Decode(said, &p, strictjson.DecodeOptions{})
		run, buildType = p.run(), p.BuildDefinition.BuildType
	} else {
		var p buildKit02
		err = strictjson.Decode(said, &p, strictjson.DecodeOptions{})
		run, buildType = p.run(), p.BuildType
	}
	switch {
	case err != nil:
		return run, fmt.Errorf("%w: %w", ErrOrigin, err)
	case buildType != buildKitType1 && buildType != buildKitType02:
		return run, fmt.Errorf("%w: the build type is %.200q, not one of BuildKit", ErrOrigin, buildType)
	case !run.started.IsZero() && !run.finished.IsZero() && run.finished.Before(run.started):
		return run, fmt.Errorf("%w: the build finished before it started", ErrOrigin)
	}
	return run, nil
}

func (p *buildKit1) run() buildKitRun {
	def, meta := p.BuildDefinition, p.RunDetails.Metadata
	run := buildKitRun{
		source: def.ExternalParameters.ConfigSource, request: def.ExternalParameters.Request, materials: def.ResolvedDependencies,
		builderPlatform: def.InternalParameters.BuilderPlatform, targetPlatform: def.InternalParameters.TargetPlatform,
		dockerfileVersion: def.InternalParameters.DockerfileVersion, builderVersion: p.RunDetails.Builder.Version,
		invocationID: meta.InvocationID, started: meta.StartedOn, finished: meta.FinishedOn,
		vcs: meta.Client.VCS, complete: meta.Completeness.ResolvedDependencies, hermetic: meta.Hermetic,
	}
	if run.request.Frontend == "" {
		run.request = def.ExternalParameters.Parameters
	}
	if run.builderPlatform == "" {
		run.builderPlatform = def.InternalParameters.Environment.Platform
	}
	if run.invocationID == "" {
		run.invocationID = meta.OlderID
	}
	return run
}

func (p *buildKit02) run() buildKitRun {
	return buildKitRun{
		source: p.Invocation.ConfigSource, request: p.Invocation.Parameters, materials: p.Materials,
		builderPlatform: p.Invocation.Environment.Platform, dockerfileVersion: p.Invocation.Environment.DockerfileVersion,
		invocationID: p.Metadata.InvocationID, started: p.Metadata.StartedOn, finished: p.Metadata.FinishedOn,
		vcs: p.Metadata.Client.VCS, complete: p.Metadata.Completeness.Materials, hermetic: p.Metadata.Hermetic,
	}
}

// vcsSource returns the URI of the repository that BuildKit's client reports, or a
// warning that it has none.
func (r *buildKitRun) vcsSource() (uri string, warnings []Warning) {
	written := r.vcs["source"]
	if written == "" {
		return "", nil
	}
	uri, why := remoteURI(written)
	if why != "" {
		warnings = []Warning{{WarnRemote, "the remote that BuildKit's client reports " + why}}
	}
	return uri, warnings
}

func (r *buildKitRun) internalParameters() map[string]any {
	parameters := map[string]any{"dependenciesComplete": r.complete, "hermetic": r.hermetic}
	setText(parameters, "builderPlatform", r.builderPlatform)
	setText(parameters, "targetPlatform", r.targetPlatform)
	vcs := make(map[string]any)
	setText(vcs, "revision", r.vcs["revision"])
	source, _ := r.vcsSource()
	setText(vcs, "source", source)
	if len(vcs) > 0 {
		parameters["vcs"] = vcs
	}
	return parameters
}

func setText(parameters map[string]any, name, value string) {
	if value != "" {
		parameters[name] = cleanText(value)
	}
}

func (s *buildKitSource) parameters() (map[string]any, error) {
	parameters := make(map[string]any)
	setText(parameters, "path", s.Path+s.EntryPoint) // one of them is empty
	if s.URI == "" {
		return parameters, nil
	}
	if _, err := buildKitURL(s.URI); err != nil { // such as another target of the same build
		parameters["uriWithheld"] = true
		return parameters, nil
	}
	d, err := s.dependency()
	if err != nil {
		return nil, err
	}
	parameters["uri"] = d.URI
	if len(d.Digest) > 0 {
		digest := make(map[string]any)
		for algorithm, value := range d.Digest {
			digest[algorithm] = value
		}
		parameters["digest"] = digest
	}
	return parameters, nil
}

func (r *buildKitRequest) parameters() map[string]any {
	parameters := make(map[string]any)
	setText(parameters, "frontend", r.Frontend)
	args, withheld, locals := make(map[string]any), []any{}, []any{}
	for _, name := range slices.Sorted(maps.Keys(r.Args)) {
		if copiedArg(name) {
			args[name] = cleanText(r.Args[name])
		} else {
			withheld = append(withheld, name)
		}
	}
	for _, local := range r.Locals {
		locals = append(locals, map[string]any{"name": local.Name})
	}
	if len(args) > 0 {
		parameters["args"] = args
	}
	for name, list := range map[string][]any{"withheldArgs": withheld, "locals": locals} {
		if len(list) > 0 {
			parameters[name] = list
		}
	}
	return parameters
}

// copiedArg reports whether the value of a frontend's argument is recorded. BuildKit
// defines these arguments, and no secret belongs in them (frontend/dockerui, and the
// Dockerfile reference on build arguments). The argument cmdline may hold any option
// of a frontend, and is not recorded.
func copiedArg(name string) bool {
	switch name {
	case "target", "platform", "multi-platform", "no-cache", "force-network-mode", "hostname", "image-resolve-mode",
		"contextsubdir", "source", "shm-size", "ulimit",
		"build-arg:SOURCE_DATE_EPOCH", "build-arg:BUILDKIT_SYNTAX", "build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR",
		"build-arg:BUILDKIT_MULTI_PLATFORM", "build-arg:BUILDKIT_SANDBOX_HOSTNAME", "build-arg:BUILDKIT_INLINE_CACHE",
		"build-arg:BUILDKIT_CACHE_MOUNT_NS", "build-arg:BUILDKIT_DOCKERFILE_CHECK":
		return true
	}
	return false
}

// dependency describes what a build read.
func (m *buildKitMaterial) dependency() (predicate.ResourceDescriptor, error) {
	d := predicate.ResourceDescriptor{Digest: maps.Clone(m.Digest)}
	for algorithm, value := range m.Digest {
		sizes := map[string]int{"sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}
		if len(value) != sizes[algorithm] || !isHex(value) || value == "" {
			return d, fmt.Errorf("%w: a digest of the dependency %.200q is malformed", ErrOrigin, withoutUser(m.URI))
		}
	}
	var err error
	if strings.HasPrefix(m.URI, "pkg:") {
		d.URI, err = buildKitPURL(m.URI)
		return d, err
	}
	if d.URI, err = buildKitURL(m.URI); err != nil {
		return d, err
	}
	if commit := m.commit(); commit != "" {
		d.URI, d.Digest = gitURI(d.URI), map[string]string{"gitCommit": commit}
	}
	return d, nil
}

// commit returns the commit of a git repository, or "" for anything else. BuildKit
// writes it as a sha1, or for a repository of SHA-256 as a sha256. Other dependencies
// have no sha1.
func (m *buildKitMaterial) commit() string {
	if commit := m.Digest["sha1"]; commit != "" {
		return commit
	}
	repository, _, _ := strings.Cut(m.URI, "#")
	if strings.HasSuffix(repository, ".git") || strings.HasPrefix(m.URI, "git") || strings.HasPrefix(m.URI, "ssh:") {
		return m.Digest["sha256"]
	}
	return ""
}

// gitURI returns the URI of a git repository. BuildKit writes the ref and a directory
// after "#". Here the ref stands after "@", and the directory after "#" (SPDX,
// "download location").
func gitURI(u string) string {
	repository, fragment, _ := strings.Cut(u, "#")
	if !strings.HasPrefix(repository, "git:") {
		repository = "git+" + repository
	}
	ref, dir, _ := strings.Cut(fragment, ":")
	if ref != "" {
		repository += "@" + ref
	}
	if dir != "" {
		repository += "#" + dir
	}
	return repository
}

// buildKitURL returns a URL without user, password and query. The scp-like form
// "git@host:path" becomes a URL. An empty text stays empty.
func buildKitURL(text string) (string, error) {
	if host, path, ok := strings.Cut(text, ":"); ok && strings.Contains(host, "@") && !strings.Contains(host, "/") {
		text = "ssh://" + host + "/" + path
	}
	u, err := url.Parse(text)
	if err != nil || text != "" && (u.Scheme == "" || u.Host == "") {
		return "", fmt.Errorf("%w: %.200q is not a URL", ErrOrigin, withoutUser(text))
	}
	u.User, u.RawQuery, u.ForceQuery = nil, "", false
	return u.String(), nil
}

// withoutUser cuts user, password and query from a malformed URL, for messages. With
// an @ behind a question mark their ends cannot be told, and all of it is redacted.
func withoutUser(text string) string {
	text = redactText(text, nil)
	at, query := strings.LastIndexByte(text, '@'), strings.IndexByte(text, '?')
	switch {
	case query < 0:
		return text[at+1:]
	case at > query:
		return redacted
	}
	return text[at+1 : query]
}

// buildKitPURL returns the package URL of an image with the qualifiers digest, platform
// and ref_type. Other qualifiers may hold URLs.
func buildKitPURL(text string) (string, error) {
	head, query, _ := strings.Cut(text, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", fmt.Errorf("%w: the package URL %.200q is malformed", ErrOrigin, head)
	}
	head = escapeURI(head, "@", true)
	var kept []string
	for _, name := range []string{"digest", "platform", "ref_type"} {
		if value := values.Get(name); value != "" {
			kept = append(kept, name+"="+purlEscape(value))
		}
	}
	if len(kept) > 0 {
		head += "?" + strings.Join(kept, "&")
	}
	return head, nil
}
