package provenance_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/provenance"
)

// gitHubJob is what GitHub Actions sets in a job.
var gitHubJob = map[string]string{
	"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "team/app", "GITHUB_EVENT_NAME": "push",
	"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": "8f1e5b3c0c4d7a6b9e2f1a0d3c5b7e9f8a6d4c2b", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1",
	"GITHUB_WORKFLOW_REF": "team/app/.github/workflows/release.yml@refs/heads/main", "GITHUB_TOKEN": "not recorded",
}

// FromEnvironment makes provenance in a job of GitHub Actions. A real program leaves
// Lookup out.
func ExampleFromEnvironment() {
	p, err := provenance.FromEnvironment(context.Background(), provenance.Options{
		BuilderID:  "https://ci.example/builder",
		NoWorkTree: true,
		Lookup:     func(key string) (string, bool) { value, set := gitHubJob[key]; return value, set },
		Warn:       func(w provenance.Warning) { fmt.Println("warning:", w) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("build type:", p.BuildDefinition.BuildType)
	for _, source := range p.Sources() {
		fmt.Println("source:    ", source.URI)
		fmt.Println("ref:       ", source.Ref)
	}
	fmt.Println("run:       ", p.RunDetails.Metadata.InvocationID)
	// Output:
	// build type: https://actions.github.io/buildtypes/workflow/v1
	// source:     git+https://github.example/team/app
	// ref:        refs/heads/main
	// run:        https://github.example/team/app/actions/runs/7/attempts/1
}

// A job that runs on a checkout from a path has a commit, and no URI of its source.
func ExampleWarning() {
	job := map[string]string{
		"JENKINS_URL": "https://ci.example/", "JOB_NAME": "app", "BUILD_NUMBER": "7", "BUILD_URL": "https://ci.example/job/app/7/",
		"GIT_URL": `C:\repos\app`, "GIT_COMMIT": "8f1e5b3c0c4d7a6b9e2f1a0d3c5b7e9f8a6d4c2b",
	}
	p, err := provenance.FromEnvironment(context.Background(), provenance.Options{
		BuilderID:  "https://ci.example/builder",
		NoWorkTree: true,
		Lookup:     func(key string) (string, bool) { value, set := job[key]; return value, set },
		Warn:       func(w provenance.Warning) { fmt.Println("warning:", w) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("recorded:", p.BuildDefinition.InternalParameters["warnings"])
	fmt.Println("sources: ", len(p.Sources()))
	// Output:
	// warning: the remote in GIT_URL is a path on the build machine (remote-left-out)
	// recorded: [remote-left-out]
	// sources:  0
}

// Record hashes the files of a directory before and after a command. Secrets in the
// arguments are redacted.
func ExampleRecord() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.txt"), []byte("source"), 0o600); err != nil {
		log.Fatal(err)
	}
	copier := []string{"cp", "main.txt", "app"}
	if runtime.GOOS == "windows" {
		copier = []string{"cmd", "/c", "copy", "main.txt", "app"}
	}
	recorded, err := provenance.Record(context.Background(), provenance.RecordOptions{Command: copier, Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	p, err := provenance.New("https://ci.example/builder", recorded.Facts())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exit code:", p.BuildDefinition.InternalParameters["exitCode"])
	for _, material := range p.BuildDefinition.ResolvedDependencies {
		fmt.Println("material: ", material.Name)
	}
	for _, product := range recorded.Subjects() {
		fmt.Println("product:  ", product.Name)
	}
	// Output:
	// exit code: 0
	// material:  main.txt
	// product:   app
}

// ReadTree reads the source before a build step runs, and Recheck makes sure that the
// step did not change where the source comes from.
func ExampleReadTree() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// This directory is in no git repository. In one, ReadTree returns a Tree, and
	// tree.Facts() are its facts.
	var source provenance.Facts
	tree, err := provenance.ReadTree(ctx, provenance.WorkTreeOptions{Dir: dir})
	if errors.Is(err, provenance.ErrNoWorkTree) {
		fmt.Println("no git work tree")
	}
	if err != nil {
		source, err = provenance.WithoutTree(err)
	}
	if err != nil {
		log.Fatal(err)
	}
	// The build step runs here.
	if tree != nil {
		if err := tree.Recheck(ctx, provenance.WorkTreeOptions{Dir: dir}); err != nil {
			log.Fatal(err)
		}
		source = tree.Facts()
	}
	fmt.Println(len(source.Dependencies), "dependencies")
	// Output:
	// no git work tree
	// 0 dependencies
}

// GoBinary reads the toolchain and the modules of a program from its file.
func ExampleGoBinary() {
	path, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	program, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer program.Close()
	facts, err := provenance.GoBinary(program)
	if err != nil {
		log.Fatal(err)
	}
	toolchain := facts.BuilderDependencies[0]
	fmt.Println(strings.HasPrefix(toolchain.URI, "pkg:golang/stdlib@"), toolchain.Name == runtime.Version())
	// Output:
	// true true
}

// Dockerfile finds the images that an image is built from.
func ExampleDockerfile() {
	text := []byte(`ARG VERSION=3.20
FROM golang:1.26 AS build
RUN go build -o /app .
FROM alpine:$VERSION
COPY --from=build /app /app
`)
	facts, err := provenance.Dockerfile(context.Background(), text, provenance.DockerfileOptions{
		Resolve: func(_ context.Context, reference string) (string, error) {
			digest, known := map[string]string{
				"golang:1.26": "sha256:1111111111111111111111111111111111111111111111111111111111111111",
				"alpine:3.20": "sha256:2222222222222222222222222222222222222222222222222222222222222222",
			}[reference]
			if !known {
				return "", fs.ErrNotExist
			}
			return digest, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range facts.Dependencies {
		fmt.Println(d.URI[:len("pkg:docker/golang@1.26")], d.Digest["sha256"][:4])
	}
	// Output:
	// pkg:docker/golang@1.26 1111
	// pkg:docker/alpine@3.20 2222
}
