package provenance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/provenance"
)

// pin is the digest that references without one are resolved to in these tests.
const pin = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

func resolveAll(_ context.Context, _ string) (string, error) { return pin, nil }

func digestOf(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func urisOf(f provenance.Facts) []string {
	var uris []string
	for _, d := range f.Dependencies {
		if len(d.Digest["sha256"]) != 64 || !strings.Contains(d.URI, "?digest=sha256:"+d.Digest["sha256"]) {
			uris = append(uris, fmt.Sprintf("digest %v of ", d.Digest)+d.URI)
			continue
		}
		short := strings.ReplaceAll(d.URI, "?digest="+pin, "")
		uris = append(uris, strings.TrimPrefix(short, "pkg:docker/"))
	}
	return uris
}

func TestDockerfileNamesTheImagesThatATargetNeeds(t *testing.T) {
	const frontend = "docker/dockerfile@1.7?digest=sha256:5555555555555555555555555555555555555555555555555555555555555555"
	const lint = "registry.example/tools/lint?digest=sha256:6666666666666666666666666666666666666666666666666666666666666666"
	text := readFile(t, "testdata/origin/Dockerfile.service")
	for name, c := range map[string]struct {
		o    provenance.DockerfileOptions
		want string
	}{
		"the last stage": {provenance.DockerfileOptions{}, frontend + " golang@1.26-alpine " + lint + " alpine@3.22 registry.example:5000/base/static@nonroot"},
		"another target": {provenance.DockerfileOptions{Target: "TEST"}, frontend + " golang@1.26-alpine " + lint + " registry.example/testdata@7"},
		"by number":      {provenance.DockerfileOptions{Target: "2", NoFrontend: true}, "alpine@3.22"},
		"arguments": {provenance.DockerfileOptions{Target: "build", NoFrontend: true, Args: map[string]string{"GO_VERSION": "1.99", "BUILDPLATFORM": "linux/arm64", "VARIANT": "undeclared"}},
			"golang@1.99-alpine&platform=linux%2Farm64 " + lint},
		"an image by argument": {provenance.DockerfileOptions{NoFrontend: true, Args: map[string]string{"BASE_IMAGE": "certs"}}, "golang@1.26-alpine " + lint + " alpine@3.22"},
	} {
		c.o.Resolve = resolveAll
		facts, err := provenance.Dockerfile(t.Context(), text, c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(urisOf(facts), " "); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

func TestDockerfileSyntax(t *testing.T) {
	pinned := "alpine:3.22@" + digestOf("a")
	for text, want := range map[string]string{
		"FROM alpine":                              "alpine@latest",
		"from  alpine:3.22\n":                      "alpine@3.22",
		"\ufeffFROM alpine\r\nRUN x\r\n":           "alpine@latest",
		"FROM " + pinned:                           "alpine@3.22?digest=" + digestOf("a"),
		"FROM alpine@" + digestOf("b"):             "alpine?digest=" + digestOf("b"),
		"FROM docker.io/library/alpine":            "alpine@latest",
		"FROM team/app":                            "team/app@latest",
		"FROM localhost:5000/app:1":                "localhost:5000/app@1",
		"FROM scratch":                             "",
		"FROM \\\n# no\n\n  alpine \\\n AS \\\n x": "alpine@latest",
		"# escape=`\nFROM `\n alpine\nRUN c:\\":    "alpine@latest",
		"# not a directive\n# escape=`\nFROM alpine\nRUN a \\\nFROM no":                            "alpine@latest",
		"#!/usr/bin/env x\n# syntax=some/frontend:2 extra\nFROM alpine":                            "some/frontend@2 alpine@latest",
		"# comment\n# syntax=some/frontend\nFROM alpine":                                           "alpine@latest",
		"ARG A=1 B=2\nFROM x:$A$B":                                                                 "x@12",
		"ARG A=al\nARG B=${A}pine\nFROM ${B}":                                                      "alpine@latest",
		"ARG A\nFROM x:${A:-d}":                                                                    "x@d",
		"ARG A=\nFROM x:${A-d}y":                                                                   "x@y",
		"ARG A=\nFROM x:${A:-${B:-deep}}":                                                          "x@deep",
		"ARG A=1\nFROM x${A:+:set}":                                                                "x@set",
		"FROM x${A:+:set}":                                                                         "x@latest",
		"ARG A='$B'\nARG B=1\nFROM \"x:1\"":                                                        "x@1",
		"FROM --platform=linux/amd64 x":                                                            "x@latest&platform=linux%2Famd64",
		"FROM --platform=$TARGETPLATFORM x":                                                        "x@latest",
		"FROM a AS one\nFROM ONE as two\nFROM two":                                                 "a@latest",
		"FROM a AS b\nFROM b AS c\nFROM b":                                                         "a@latest",
		"FROM a AS alpine\nFROM alpine":                                                            "a@latest",
		"FROM alpine AS alpine\nRUN x":                                                             "alpine@latest",
		"FROM a\nFROM b":                                                                           "b@latest",
		"FROM a\nFROM b\nCOPY --from=0 / /":                                                        "a@latest b@latest",
		"FROM b AS last\nCOPY --from=later / /\nFROM c AS later\nFROM last":                        "b@latest c@latest",
		"FROM a\nRUN --mount=type=bind,from=t/x:1,target=/x y":                                     "a@latest t/x@1",
		"FROM a\nRUN --mount=\"type=bind,from=t/x:1\" y":                                           "a@latest t/x@1",
		"FROM a\nRUN echo --mount=from=b --from=c":                                                 "a@latest",
		"FROM a\nONBUILD COPY --from=b / /":                                                        "a@latest",
		"FROM a\nRUN <<A cat && <<'B' cat\nFROM x\nA\nFROM y\nB\nCOPY --from=c / /":                "a@latest c@latest",
		"FROM a\nRUN x=$((1<<2))\nCOPY --from=c / /":                                               "a@latest c@latest",
		"FROM a\nRUN cat <<<word\nCOPY --from=c / /":                                               "a@latest c@latest",
		"FROM a\nRUN echo '<<EOF'\nCOPY --from=c / /":                                              "a@latest c@latest",
		"FROM a\nCOPY <<'EOF' ${DIR}/f\nFROM x\nEOF\nCOPY --from=c / /":                            "a@latest c@latest",
		"FROM a\nRUN it's 1<<2\nCOPY --from=c / /":                                                 "a@latest c@latest",
		"FROM a\nRUN echo \u00e9 ${x:-y} && it's\nLABEL a=\u00e9\nCOPY --link --from=c \u00e9 /":   "a@latest c@latest",
		"FROM a\nENV X <<EOF\nCOPY --from=c / /":                                                   "a@latest c@latest",
		"FROM a\nRUN x \\\\\nCOPY --from=c / /":                                                    "a@latest c@latest",
		"FROM a\nCOPY --from=a@" + digestOf("c") + " / /\nCOPY --from=a@" + digestOf("c") + " / /": "a@latest a?digest=" + digestOf("c"),
	} {
		facts, err := provenance.Dockerfile(t.Context(), []byte(text), provenance.DockerfileOptions{Resolve: resolveAll})
		if got := strings.Join(urisOf(facts), " "); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestDockerfileRefusesWhatDoesNotTell(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                       "",
		"no FROM":                     "ARG A=1\n",
		"RUN before FROM":             "RUN x\nFROM a",
		"FROM nothing":                "FROM",
		"FROM of an unset variable":   "FROM ${BASE}",
		"FROM with an unset tag":      "FROM a:$TAG",
		"too many words":              "FROM a b",
		"AS nothing":                  "FROM a AS",
		"unknown flag":                "FROM --pull=never a",
		"no reference":                "FROM UPPER",
		"a short digest":              "FROM a@sha256:12",
		"another algorithm":           "FROM a@sha512:" + strings.Repeat("a", 128),
		"two stages of one name":      "FROM a AS x\nFROM b AS X",
		"no such stage":               "FROM a\nCOPY --from=7 / /",
		"variable in COPY --from":     "ARG B=1\nFROM a\nCOPY --from=${B} / /",
		"variable in RUN --mount":     "FROM a\nRUN --mount=from=$B x",
		"mount from nothing":          "FROM a\nRUN --mount=type=bind,from= x",
		"open here document":          "FROM a\nRUN <<EOF\nx\n",
		"open variable":               "FROM a:${B",
		"open quote":                  "FROM 'a",
		"an operator of later syntax": "ARG A=1\nFROM a:${A#1}",
		"a required variable":         "FROM a:${A:?}",
		"bad escape":                  "# escape=x\nFROM a",
		"escape twice":                "# escape=`\n# escape=\\\nFROM a",
		"a word that grows":           "ARG A=" + strings.Repeat("a", 3000) + "\nARG B=$A$A\nFROM a",
		"deep variables":              "FROM " + strings.Repeat("${A:-", 20) + strings.Repeat("}", 20),
		"too long":                    "FROM a\n" + strings.Repeat("#", 1<<20),
		"too many lines":              "FROM a" + strings.Repeat("\n", 30000),
	} {
		f, err := provenance.Dockerfile(t.Context(), []byte(text), provenance.DockerfileOptions{Resolve: resolveAll})
		if !errors.Is(err, provenance.ErrOrigin) || len(f.Dependencies) > 0 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	if _, err := provenance.Dockerfile(t.Context(), []byte("FROM a AS x"), provenance.DockerfileOptions{Target: "y", Resolve: resolveAll}); !errors.Is(err, provenance.ErrOrigin) {
		t.Errorf("an unknown target: %v", err)
	}
}

// A builder may take files from the image "evil" in each of these: what another
// reading of it would hide is refused.
func TestAttack_S6_ADockerfileHidesNoImage(t *testing.T) {
	for _, text := range []string{
		// Flags that are others without their quotes and escapes.
		"FROM a\nCOPY --f\"rom\"=evil / /\n",
		"FROM a\nCOPY --fr\\om=evil / /\n",
		"FROM a\nRUN --mount=type=bind,fr\"om=evil\" x\n",
		"FROM a\nRUN --mount=type=bind,fr\\om=evil x\n",
		"FROM a\nRUN --mount='type=bind,\"target=a\"\"b\",from=evil' x\n",
		"FROM a\nRUN --mo\"unt\"=type=bind,from=evil x\n",
		"# escape=`\nFROM a\nCOPY --link=` --from=evil / /\n",
		"FROM a\nCOPY --link=\u00e0--from=evil / /\n",
		// White space that parts words.
		"FROM a\nCOPY\v--from=evil / /\n",
		"FROM a\nCOPY\f--from=evil / /\n",
		"FROM a\nCOPY\r--from=evil / /\n",
		"FROM a\nCOPY --link\v--from=evil / /\n",
		"FROM a\nCOPY --link\u00a0--from=evil / /\n",
		"FROM a\nRUN x \\\n\u00a0# <<\"RUN y\"\n\\\nCOPY --from=evil / /\nRUN y\n",
		// Here documents that begin or end elsewhere.
		"FROM a\nRUN <<E\\OF\nEOF\nCOPY --from=evil / /\nRUN <<X\nE\\OF\nX\n",
		"FROM a\nRUN <<EOF\nEOF\r\r\nCOPY --from=evil / /\nRUN <<EOF\nEOF\n",
		"FROM a\nRUN <<RUN don't\nCOPY --from=evil / /\nRUN\n",
		"FROM a\nRUN ${x!} <<RUN\nCOPY --from=evil / /\nRUN\n",
		"FROM a\nRUN ${x:- <<RUN}\nCOPY --from=evil / /\nRUN}\n",
		"FROM evil\nRUN ${x:-<<E}\nFROM good\nE\n",
		"# escape=`\nFROM a\nRUN \\' <<E '\nCOPY --from=evil / /\nE '\n",
		// Directives that are none.
		"# check=\n# escape=`\nFROM a\nRUN x `\nCOPY --from=evil / /\n",
		"# syntax=\n# escape=`\nFROM a\nRUN x `\nCOPY --from=evil / /\n",
		"# syn-tax=x\n# escape=`\nFROM a\nRUN x `\nCOPY --from=evil / /\n",
		"#!/bin/x\n# escape=`\nFROM a\nRUN x `\nCOPY --from=evil / /\n",
		"// syntax=evil\nFROM a\n",
		// No instructions.
		"FROM a\nCO\\PY --from=evil / /\n",
		"FROM a\nINCLUDE evil\n",
		"FROM a\nONBUILD --x RUN <<E\nFROM good\nE\n",
		"FROM a\nONBUILD INCLUDE evil\n",
	} {
		f, err := provenance.Dockerfile(t.Context(), []byte(text), provenance.DockerfileOptions{Resolve: resolveAll})
		switch got := strings.Join(urisOf(f), " "); {
		case err == nil && !strings.Contains(got, "evil"):
			t.Errorf("%q: only %s", text, got)
		case err != nil && !errors.Is(err, provenance.ErrOrigin):
			t.Errorf("%q: %v, want ErrOrigin", text, err)
		}
	}
}

func TestDockerfileImagesMustBeResolved(t *testing.T) {
	failed := errors.New("no such image")
	calls := 0
	for name, c := range map[string]struct {
		resolve func(context.Context, string) (string, error)
		want    error
	}{
		"no resolver":   {nil, attest.ErrOptions},
		"it fails":      {func(context.Context, string) (string, error) { return "", failed }, failed},
		"to nothing":    {func(context.Context, string) (string, error) { return "", nil }, provenance.ErrOrigin},
		"to a tag":      {func(context.Context, string) (string, error) { return "latest", nil }, provenance.ErrOrigin},
		"to upper case": {func(context.Context, string) (string, error) { return strings.ToUpper(digestOf("a")), nil }, provenance.ErrOrigin},
	} {
		if _, err := provenance.Dockerfile(t.Context(), []byte("FROM a"), provenance.DockerfileOptions{Resolve: c.resolve}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	count := func(_ context.Context, reference string) (string, error) {
		if reference != "a:1" {
			t.Errorf("asked for %s", reference)
		}
		calls++
		return pin, nil
	}
	text := "FROM b@" + digestOf("b") + " AS b\nFROM a:1 AS x\nFROM a:1\nCOPY --from=x / /\nCOPY --from=a:1 / /\nCOPY --from=b / /"
	if _, err := provenance.Dockerfile(t.Context(), []byte(text), provenance.DockerfileOptions{Resolve: count}); err != nil || calls != 1 {
		t.Errorf("%v, asked %d times", err, calls)
	}
}

func TestBaseImageComesFromAnnotations(t *testing.T) {
	const nameKey, digestKey = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"
	for name, c := range map[string]struct {
		annotations map[string]string
		want        string
		err         error
	}{
		"none":             {nil, "", nil},
		"both":             {map[string]string{nameKey: "registry.example/base:1", digestKey: pin}, "registry.example/base@1", nil},
		"name with digest": {map[string]string{nameKey: "alpine@" + pin, digestKey: pin}, "alpine", nil},
		"another digest":   {map[string]string{nameKey: "alpine@" + digestOf("2"), digestKey: pin}, "", provenance.ErrOrigin},
		"no digest":        {map[string]string{nameKey: "alpine:3.22"}, "", provenance.ErrOrigin},
		"malformed digest": {map[string]string{nameKey: "alpine:3.22", digestKey: "sha256:1"}, "", provenance.ErrOrigin},
		"malformed name":   {map[string]string{nameKey: "https://x/", digestKey: pin}, "", provenance.ErrOrigin},
	} {
		facts, err := provenance.BaseImage(c.annotations)
		if got := strings.Join(urisOf(facts), " "); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, err, c.want, c.err)
		}
	}
	facts, err := provenance.BaseImage(map[string]string{digestKey: pin})
	if err != nil || len(facts.Dependencies) != 1 || facts.Dependencies[0].Digest["sha256"] != pin[len("sha256:"):] {
		t.Errorf("only a digest: %+v, %v", facts, err)
	}
}

func FuzzDockerfile(f *testing.F) {
	f.Add(readFile(f, "testdata/origin/Dockerfile.service"), "")
	f.Add([]byte("ARG A=${B:-\"x\"}\nFROM --platform=$P $A AS y\nRUN <<E --mount=from=0\nE\nCOPY --from=y / /"), "Y")
	f.Fuzz(func(t *testing.T, text []byte, target string) {
		facts, err := provenance.Dockerfile(t.Context(), text, provenance.DockerfileOptions{Target: target, Resolve: resolveAll})
		if err != nil {
			if !errors.Is(err, provenance.ErrOrigin) {
				t.Fatal(err)
			}
			return
		}
		for _, d := range facts.Dependencies {
			if len(d.Digest["sha256"]) != 64 || !strings.HasPrefix(d.URI, "pkg:docker/") {
				t.Fatalf("%+v", d)
			}
		}
	})
}
