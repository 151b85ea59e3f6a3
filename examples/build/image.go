package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// appPackage is the program that is built.
const appPackage = "examples/build/app"

// moduleRoot returns the root directory of this module.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	return filepath.Dir(strings.TrimSpace(string(out))), err
}

// sourceTree copies the sources of the program into a directory of their own. The build
// step sees no other files.
func sourceTree(ctx context.Context, dir string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	for _, file := range []string{"go.mod", "go.sum", appPackage + "/main.go"} {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(to, content, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// goEnvironment returns the variables that a Go build needs. They forbid it the network.
func goEnvironment() []string {
	env := []string{"GOPROXY=off", "GOFLAGS=-mod=readonly", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOWORK=off"}
	for _, name := range []string{"PATH", "HOME", "GOCACHE", "GOMODCACHE", "GOPATH", "GOROOT", "TMPDIR", "LOCALAPPDATA", "USERPROFILE", "SYSTEMROOT"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func variableNames(env []string) (names []string) {
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		names = append(names, name)
	}
	return names
}

// assemble returns an image of one program. The same program gives the same digest.
func assemble(binary string, labels ...string) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	created := time.Unix(0, 0).UTC()
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(content)), ModTime: created}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	packed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, packed)
	if err != nil {
		return nil, err
	}
	config := v1.Config{Entrypoint: []string{"/app"}, User: "65532:65532", Labels: map[string]string{"org.opencontainers.image.version": "v1"}}
	for _, l := range labels {
		name, value, _ := strings.Cut(l, "=")
		config.Labels[name] = value
	}
	if image, err = mutate.Config(image, config); err != nil {
		return nil, err
	}
	return mutate.CreatedAt(image, v1.Time{Time: created})
}

// show prints the provenance.
func (s *story) show(p *predicate.Provenance) error {
	text, err := json.MarshalIndent(p, "   ", "  ")
	if err != nil {
		return err
	}
	s.say("   %s", text)
	return nil
}
