package provenance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
)

// metadataFile is a file that docker buildx v0.38 or buildctl v0.34 wrote, with
// registry and git host renamed. The secrets in it were given to the build on
// purpose.
func metadataFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "buildkit", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// recordedStatements are the provenance statements in an index that BuildKit
// made, that of linux/amd64 first.
func recordedStatements(t testing.TB, which string) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "registry", "testdata", "buildkit", which, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := attest.ParseStatement(data); err == nil && strings.HasPrefix(s.PredicateType, "https://slsa.dev/provenance/") {
			found = append(found, data)
		}
	}
	if len(found) != 2 {
		t.Fatalf("%d statements", len(found))
	}
	if !strings.Contains(string(found[0]), "team/app@v1?platform=linux%2Famd64") {
		slices.Reverse(found)
	}
	return found
}

func textOf(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	baseURI = "pkg:docker/registry.example.test/base@1?platform=linux%2Famd64"
	gitHead = "62f7eff0860f5fd58ffa92c5a862fbb03cd3b1cf"
)

func TestBuildKitProvenanceOfEveryVersion(t *testing.T) {
	for which, want := range map[string]struct{ external, internal, started, finished, run string }{
		"v1": {
			`{"configSource":{},"request":{"frontend":"dockerfile.v0","locals":[{"name":"context"},{"name":"dockerfile"}],"withheldArgs":["build-arg:API_TOKEN","build-arg:VERSION"]}}`,
			`{"buildkit":{"builderPlatform":"linux/amd64","dependenciesComplete":false,"hermetic":false,"targetPlatform":"linux/amd64","vcs":{"revision":"4b220de5058abfd01ff619c9d2ff6b09a049bea0","source":"https://git.example.test/team/app.git"}}}`,
			"2026-11-23T17:34:04.38655465Z", "2026-11-23T17:34:04.593782949Z", "qa7e97dmlucmwtgngn41sbmdp",
		},
		"v0.2": {
			`{"configSource":{},"request":{"frontend":"dockerfile.v0","locals":[{"name":"context"},{"name":"dockerfile"}]}}`,
			`{"buildkit":{"builderPlatform":"linux/amd64","dependenciesComplete":false,"hermetic":false,"vcs":{"revision":"4b220de5058abfd01ff619c9d2ff6b09a049bea0","source":"https://git.example.test/team/app.git"}}}`,
			"2026-11-23T17:34:04.665455213Z", "2026-11-23T17:34:04.709302233Z", "yeclf6guwyt1do5ulc0ikkml4",
		},
	} {
		statement := recordedStatements(t, which)[0]
		parsed, err := attest.ParseStatement(statement)
		if err != nil {
			t.Fatal(err)
		}
		for form, text := range map[string][]byte{"statement": statement, "predicate": parsed.Predicate} {
			f, err := provenance.BuildKitProvenance(text)
			if err != nil {
				t.Errorf("%s, %s: %v", which, form, err)
				continue
			}
			if got := textOf(t, f.ExternalParameters); got != want.external || f.BuildType != provenance.BuildTypeBuildKit {
				t.Errorf("%s, %s: external parameters\n%s, want\n%s", which, form, got, want.external)
			}
			if got := textOf(t, f.InternalParameters); got != want.internal {
				t.Errorf("%s, %s: internal parameters\n%s, want\n%s", which, form, got, want.internal)
			}
			if f.StartedOn.Format(time.RFC3339Nano) != want.started || f.FinishedOn.Format(time.RFC3339Nano) != want.finished || f.InvocationID != want.run {
				t.Errorf("%s, %s: %v to %v, run %q", which, form, f.StartedOn, f.FinishedOn, f.InvocationID)
			}
			if len(f.Dependencies) != 2 || f.Dependencies[0].URI != baseURI || len(f.Dependencies[0].Digest["sha256"]) != 64 {
				t.Errorf("%s, %s: dependencies %v", which, form, f.Dependencies)
			}
			if !reflect.DeepEqual(f.BuilderVersion, map[string]string{"dockerfile": "1.28.0-dev"}) {
				t.Errorf("%s, %s: builder version %v", which, form, f.BuilderVersion)
			}
		}
	}
}

func TestBuildKitMetadataOfOneAndSeveralPlatforms(t *testing.T) {
	one, err := provenance.BuildKitMetadata(metadataFile(t, "buildx-single"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"configSource":{"path":"Dockerfile"},"request":{"frontend":"dockerfile.v0","locals":[{"name":"context"},{"name":"dockerfile"}],"withheldArgs":["build-arg:API_TOKEN","build-arg:VERSION"]}}`
	if got := textOf(t, one.ExternalParameters); got != want {
		t.Errorf("one platform: external parameters\n%s, want\n%s", got, want)
	}
	if !one.StartedOn.IsZero() || one.InvocationID != "" || one.InternalParameters["buildx.build.ref"] != "r/r0/wcnspreoawauhrwyqsm38lf7b" {
		t.Errorf("one platform: %+v", one)
	}
	two, err := provenance.BuildKitMetadata(metadataFile(t, "buildx-max"))
	if err != nil {
		t.Fatal(err)
	}
	if got := textOf(t, two.ExternalParameters); got != want {
		t.Errorf("two platforms: external parameters\n%s, want\n%s", got, want)
	}
	for _, name := range []string{"buildkit:linux/amd64", "buildkit:linux/arm64"} {
		if two.InternalParameters[name] == nil {
			t.Errorf("two platforms: no internal parameter %s", name)
		}
	}
	if d := two.Dependencies; len(d) != 2 || d[0].URI != baseURI || d[1].URI != strings.Replace(baseURI, "amd64", "arm64", 1) {
		t.Errorf("two platforms: dependencies %v", d)
	}
	if two.InvocationID != "dwhy04lbtglf71vh5utl9rk9f" || !two.FinishedOn.After(two.StartedOn) {
		t.Errorf("two platforms: run %q from %v to %v", two.InvocationID, two.StartedOn, two.FinishedOn)
	}
}

func TestBuildKitSourcesFromGitAreNamedAsElsewhere(t *testing.T) {
	f, err := provenance.BuildKitMetadata(metadataFile(t, "buildx-git"))
	if err != nil {
		t.Fatal(err)
	}
	const source = "git+https://git.example.test/team/app.git@main"
	if want := `{"configSource":{"digest":{"gitCommit":"` + gitHead + `"},"path":"Dockerfile","uri":"` + source + `"},"request":{"frontend":"dockerfile.v0","withheldArgs":["build-arg:VERSION"]}}`; textOf(t, f.ExternalParameters) != want {
		t.Errorf("external parameters\n%s, want\n%s", textOf(t, f.ExternalParameters), want)
	}
	if d := f.Dependencies[0]; d.URI != source || !reflect.DeepEqual(d.Digest, map[string]string{"gitCommit": gitHead}) {
		t.Errorf("dependency %v", d)
	}
	sha256 := strings.Repeat("ab", 32)
	for uri, want := range map[[2]string]string{
		{"https://user:pw@git.example.test/a.git#refs/tags/v1:dir/sub", "sha1"}:         "git+https://git.example.test/a.git@refs/tags/v1#dir/sub",
		{"https://git.example.test/a#main", "sha1"}:                                     "git+https://git.example.test/a@main",
		{"https://git.example.test/a.git#:dir", "sha1"}:                                 "git+https://git.example.test/a.git#dir",
		{"https://git.example.test/a.git", "sha256"}:                                    "git+https://git.example.test/a.git",
		{"git@git.example.test:team/a.git#main", "sha1"}:                                "git+ssh://git.example.test/team/a.git@main",
		{"ssh://git@git.example.test:22/a.git#main", "sha256"}:                          "git+ssh://git.example.test:22/a.git@main",
		{"git://git.example.test/a.git#main", "sha1"}:                                   "git://git.example.test/a.git@main",
		{"https://files.example.test/a.tar.gz?X-Signature=s3cr3t#top", "sha256"}:        "https://files.example.test/a.tar.gz#top",
		{"pkg:docker/x@1?digest=sha256%3A00&vcs_url=https%3A%2F%2Fu%3Ap%40h", "sha256"}: "pkg:docker/x@1?digest=sha256:00",
		{"pkg:docker/x@1?ref_type=bundle&platform=linux%2Farm%2Fv7", "sha256"}:          "pkg:docker/x@1?platform=linux%2Farm%2Fv7&ref_type=bundle",
	} {
		digest := sha256
		if uri[1] == "sha1" {
			digest = gitHead
		}
		f, err := provenance.BuildKitProvenance(fmt.Appendf(nil, `{"buildType":"https://mobyproject.org/buildkit@v1","materials":[{"uri":%q,"digest":{%q:%q}}]}`, uri[0], uri[1], digest))
		if err != nil || f.Dependencies[0].URI != want {
			t.Errorf("%s: %v, %v; want %s", uri[0], f.Dependencies, err, want)
			continue
		}
		if strings.HasPrefix(want, "git") != (f.Dependencies[0].Digest["gitCommit"] == digest) {
			t.Errorf("%s: digest %v", uri[0], f.Dependencies[0].Digest)
		}
	}
}

func TestBuildKitArgumentsOfKnownMeaningAreCopied(t *testing.T) {
	f, err := provenance.BuildKitProvenance([]byte(`{"buildDefinition":{"buildType":"https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
		"externalParameters":{"configSource":{"uri":"target:base","path":"app.Dockerfile"},"request":{"frontend":"gateway.v0","args":{
			"source":"docker/dockerfile:1","target":"release","label:com.example":"x","context:other":"https://u:p@example.test/","build-arg:foo":"1","build-arg:FOO":"2",
			"build-arg:SOURCE_DATE_EPOCH":"1767323045","cache-imports":"[{\"Attrs\":{\"token\":\"x\"}}]","add-hosts":"a=10.0.0.1"},
			"secrets":[{"id":"npm"}],"ssh":[{"id":"default"}]}},
		"internalParameters":{"builderPlatform":"linux/arm64","github_run_id":"7"}},
		"runDetails":{"builder":{"id":"https://forged.example.test","version":{"buildkit":"v0.34.2"}},"metadata":{"invocationID":"older","buildkit_hermetic":true,"buildkit_completeness":{"request":true,"resolvedDependencies":true}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	const external = `{"configSource":{"path":"app.Dockerfile","uriWithheld":true},"request":{"args":{"build-arg:SOURCE_DATE_EPOCH":"1767323045","source":"docker/dockerfile:1","target":"release"},` +
		`"frontend":"gateway.v0","withheldArgs":["add-hosts","build-arg:FOO","build-arg:foo","cache-imports","context:other","label:com.example"]}}`
	if got := textOf(t, f.ExternalParameters); got != external {
		t.Errorf("external parameters\n%s, want\n%s", got, external)
	}
	if got := textOf(t, f.InternalParameters); got != `{"buildkit":{"builderPlatform":"linux/arm64","dependenciesComplete":true,"hermetic":true}}` {
		t.Errorf("internal parameters %s", got)
	}
	if f.InvocationID != "older" || f.BuilderVersion["buildkit"] != "v0.34.2" {
		t.Errorf("run %q, builder version %v", f.InvocationID, f.BuilderVersion)
	}
}

func TestAttack_S5_SecretsInBuildKitsProvenanceAreNotCopied(t *testing.T) {
	sources := map[string]provenance.Facts{}
	for _, which := range []string{"v1", "v0.2"} {
		for i, text := range recordedStatements(t, which) {
			f, err := provenance.BuildKitProvenance(text)
			if err != nil || !strings.Contains(string(text), "hunter2") {
				t.Fatalf("%s: %v, or nothing to hide", which, err)
			}
			sources[fmt.Sprint(which, i)] = f
		}
	}
	for _, name := range []string{"buildx-single", "buildx-max", "buildx-git", "buildx-image"} {
		data := metadataFile(t, name)
		f, err := provenance.BuildKitMetadata(data)
		if err != nil || !strings.Contains(string(data), "xxxxx") {
			t.Fatalf("%s: %v, or nothing to hide", name, err)
		}
		sources[name] = f
	}
	for name, f := range sources {
		p, err := provenance.New("https://builder.example.test", f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text := textOf(t, p)
		for _, secret := range []string{"s3cr3t", "hunter2", "user:", "xxxxx"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %q is in %s", name, secret, text)
			}
		}
	}
	for _, text := range []string{
		`{"buildType":"https://mobyproject.org/buildkit@v1","materials":[{"uri":"https://u:hunter2@x example/?k=hunter2","digest":{}}]}`,
		`{"buildType":"https://mobyproject.org/buildkit@v1","materials":[{"uri":"https://u:hunter2@example.test/?k=hunter2","digest":{"sha256":"00"}}]}`,
		`{"buildType":"https://mobyproject.org/buildkit@v1","materials":[{"uri":"pkg:docker/x?k=hunter2&%zz","digest":{}}]}`,
	} {
		if _, err := provenance.BuildKitProvenance([]byte(text)); !errors.Is(err, provenance.ErrOrigin) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

func TestAttack_S7_BuildKitDoesNotDecideTheBuilder(t *testing.T) {
	f, err := provenance.BuildKitMetadata(metadataFile(t, "buildx-max")) // made with a builder ID of its own
	if err != nil {
		t.Fatal(err)
	}
	p, err := provenance.New("https://builder.example.test", f)
	if err != nil || p.RunDetails.Builder.ID != "https://builder.example.test" || strings.Contains(textOf(t, p), "ci.example.test") {
		t.Errorf("%v, %v", p, err)
	}
}

func TestBuildKitThatTellsNoOriginIsRefused(t *testing.T) {
	statement := string(recordedStatements(t, "v0.2")[0])
	const start = `{"buildType":"https://mobyproject.org/buildkit@v1",`
	for what, text := range map[string]string{
		"empty":                     "",
		"a list":                    "[]",
		"no object":                 `"x"`,
		"more after it":             statement + "{}",
		"another predicate type":    strings.ReplaceAll(statement, "https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"),
		"another build type":        strings.Replace(statement, "https://mobyproject.org/buildkit@v1", "https://example.test/make@v1", 1),
		"no build type":             `{"materials":[]}`,
		"no subject":                `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v0.2","subject":[],"predicate":{}}`,
		"no predicate":              `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v0.2","subject":[{"digest":{"sha256":"00"}}]}`,
		"duplicate keys":            start + `"buildType":"x"}`,
		"arguments are numbers":     start + `"invocation":{"parameters":{"args":{"x":1}}}}`,
		"materials are no list":     start + `"materials":{}}`,
		"a time is none":            start + `"metadata":{"buildStartedOn":"yesterday"}}`,
		"finished before it began":  start + `"metadata":{"buildStartedOn":"2026-01-02T00:00:00Z","buildFinishedOn":"2026-01-01T00:00:00Z"}}`,
		"a digest in upper case":    start + `"materials":[{"uri":"pkg:docker/x@1","digest":{"sha256":"` + strings.Repeat("AB", 32) + `"}}]}`,
		"a digest of no known kind": start + `"materials":[{"uri":"pkg:docker/x@1","digest":{"md6":""}}]}`,
		"a material without a name": start + `"materials":[{"uri":"","digest":{"sha256":"x"}}]}`,
		"a material that is a path": start + `"materials":[{"uri":"../../x","digest":{}}]}`,
		"too deep":                  start + `"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	} {
		if f, err := provenance.BuildKitProvenance([]byte(text)); !errors.Is(err, provenance.ErrOrigin) {
			t.Errorf("%s: %+v, %v", what, f, err)
		}
	}
	single := string(metadataFile(t, "buildx-single"))
	for what, text := range map[string]string{
		"empty":              "",
		"no metadata":        `{"a":1,"b":{"c":2}}`,
		"provenance alone":   statement,
		"no provenance":      string(metadataFile(t, "buildctl")),
		"several targets":    string(metadataFile(t, "bake")),
		"provenance is text": `{"image.name":"x","buildx.build.provenance":"x"}`,
		"another build type": strings.Replace(single, "buildkit@v1", "make@v1", 1),
	} {
		if f, err := provenance.BuildKitMetadata([]byte(text)); !errors.Is(err, provenance.ErrOrigin) {
			t.Errorf("metadata, %s: %+v, %v", what, f, err)
		}
	}
	two := string(metadataFile(t, "buildx-max"))
	for what, change := range map[string][2]string{
		"arguments": {`"build-arg:VERSION": "1.0.0"`, `"target": "x"`}, "runs": {"dwhy04lbtglf71vh5utl9rk9f", "another"},
	} {
		// The one provenance alone is changed, and all of it.
		first, rest, _ := strings.Cut(two, "buildx.build.provenance/linux/arm64")
		text := strings.ReplaceAll(first, change[0], change[1]) + "buildx.build.provenance/linux/arm64" + rest
		if _, err := provenance.BuildKitMetadata([]byte(text)); !errors.Is(err, provenance.ErrConflict) {
			t.Errorf("other %s: %v", what, err)
		}
	}
}

func FuzzBuildKit(f *testing.F) {
	f.Add(metadataFile(f, "buildx-max"))
	for _, name := range []string{"buildx-git", "buildx-image", "bake", "buildctl"} {
		f.Add(metadataFile(f, name))
	}
	for _, which := range []string{"v1", "v0.2"} {
		f.Add(recordedStatements(f, which)[0])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func([]byte) (provenance.Facts, error){provenance.BuildKitMetadata, provenance.BuildKitProvenance} {
			facts, err := read(data)
			if err != nil {
				if !errors.Is(err, provenance.ErrOrigin) && !errors.Is(err, provenance.ErrConflict) {
					t.Fatalf("an error of no kind: %v", err)
				}
				continue
			}
			if _, err := provenance.New("https://builder.example.test", facts); err != nil && !errors.Is(err, predicate.ErrInvalid) {
				t.Fatalf("facts that cannot be put together: %v", err)
			}
		}
	})
}

func TestBuildKitRemotesWithoutURIAreLeftOut(t *testing.T) {
	for remote, want := range map[string]string{
		`C:\\repos\\app`: "remote-left-out", "../app": "remote-left-out", "https://u:1/hunter2@host/a": "remote-left-out",
		"git@git.example:app": "", "https://git.example/größe": "",
	} {
		f, err := provenance.BuildKitProvenance([]byte(`{"buildType":"https://mobyproject.org/buildkit@v1",
"metadata":{"https://mobyproject.org/buildkit@v1#metadata":{"vcs":{"source":"` + remote + `","revision":"abc"}}}}`))
		if err != nil || strings.Join(reasons(f.Warnings), " ") != want {
			t.Errorf("%s: %v, %v; want %q", remote, f.Warnings, err, want)
			continue
		}
		p, err := provenance.New("https://builder.example.test", f)
		if err != nil || strings.Contains(textOf(t, p), "vcs\":{\"revision\":\"abc\"}") != (want != "") || strings.Contains(textOf(t, p), "hunter2") {
			t.Errorf("%s: %v, %v", remote, p, err)
		}
	}
}
