package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

// demoRegistry is the name that the demo's images are judged by.
const demoRegistry = "demo.example"

const demoPolicy = `version: 1
keys:
  release: {file: release.pub}
roles:
  release: {keys: [release]}
rules:
  - images: [demo.example/**]
    require:
      - signature: {by: release}
`

// demo shows the gate before a registry in this process, which holds a signed and
// an unsigned image and an index; it goes on until ctx ends.
func demo(ctx context.Context, c settings, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "hallmark-gate-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		return err
	}
	defer stop()
	if err := fill(ctx, hosted, dir); err != nil {
		return err
	}
	c.Policy = filepath.Join(dir, "policy.yaml")
	c.Upstreams = []upstreamSettings{{Registry: demoRegistry, Address: host}}
	c.Store.Dir = filepath.Join(dir, "store")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	source, err := verify.NewFileSource(c.Policy, verify.FileSourceOptions{})
	if err != nil {
		return err
	}
	var shown error
	log := logger(stderr, c.level)
	s, err := c.demoServer(source, log)
	if err != nil {
		return err
	}
	s.started = func(address string) {
		shown = show(ctx, address, stdout)
		if c.Once || shown != nil {
			cancel()
		}
	}
	return errors.Join(s.run(ctx), shown)
}

func (c settings) demoServer(source *verify.FileSource, log *slog.Logger) (*server, error) {
	g, err := c.gate(log)
	if err != nil {
		return nil, err
	}
	g.Verifier = source
	g.Help = "This is a demonstration: the image named signed is let through"
	return newServer(c, log, source, g)
}

// fill pushes the images, and writes the key and the policy.
func fill(ctx context.Context, hosted *registrytest.Registry, dir string) error {
	// The key never leaves this process.
	pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		return err
	}
	for file, text := range map[string][]byte{"release.pub": pair.PublicPEM, "policy.yaml": []byte(demoPolicy)} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			return err
		}
	}
	repo, err := name.NewRepository(demoRegistry + "/team/app")
	if err != nil {
		return err
	}
	store := hosted.Store()
	here := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	signed, err := registrytest.PushImage(ctx, store, repo.Tag("signed"), registrytest.ImageOptions{Seed: "signed", Platform: here, Layers: 2})
	if err != nil {
		return err
	}
	if _, err := registrytest.PushImage(ctx, store, repo.Tag("unsigned"), registrytest.ImageOptions{Seed: "unsigned", Platform: here, Layers: 2}); err != nil {
		return err
	}
	index, _, err := registrytest.PushIndex(ctx, store, repo.Tag("signed-index"), v1.Platform{OS: "linux", Architecture: "amd64"}, v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil {
		return err
	}
	for _, subject := range []name.Digest{signed, index} {
		if _, err := sign.Image(ctx, store, subject, sign.ImageOptions{}, pair.Signer); err != nil {
			return err
		}
	}
	return nil
}

// show pulls both images as a client would, and prints how others can.
func show(ctx context.Context, address string, out io.Writer) error {
	_, _ = fmt.Fprintf(out, "The gate is at %s. Behind it, a registry holds three images:\n\n", address)
	for _, x := range []struct {
		tag  string
		want int
	}{{"signed", http.StatusOK}, {"signed-index", http.StatusOK}, {"unsigned", http.StatusForbidden}} {
		status, said, err := pull(ctx, "http://"+address+"/v2/team/app/manifests/"+x.tag)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "  team/app:%-13s %d  %s\n", x.tag, status, said)
		if status != x.want {
			return fmt.Errorf("%s: %d, want %d", x.tag, status, x.want)
		}
	}
	_, _ = fmt.Fprintf(out, "\nTry it with any client; each :signed works, each :unsigned is refused:\n\n")
	for _, command := range []string{
		"curl -i http://GATE/v2/team/app/manifests/unsigned",
		"crane manifest GATE/team/app:signed",
		"crane manifest GATE/team/app:unsigned",
		"skopeo copy --src-tls-verify=false docker://GATE/team/app:unsigned dir:/tmp/out",
		"podman pull --tls-verify=false GATE/team/app:signed",
		"docker pull GATE/team/app:unsigned",
		"ctr images pull --plain-http GATE/team/app:signed",
		"regctl registry set --tls disabled GATE; regctl manifest get GATE/team/app:unsigned",
		"oras manifest fetch --plain-http GATE/team/app:unsigned",
	} {
		_, _ = fmt.Fprintln(out, "  "+strings.ReplaceAll(command, "GATE", address))
	}
	_, _ = fmt.Fprintln(out, "\nStop with Ctrl-C.")
	return nil
}

// pull asks for a manifest, and returns what the answer says.
func pull(ctx context.Context, url string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, "", err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.StatusCode, resp.Header.Get("Docker-Content-Digest"), nil
	}
	return resp.StatusCode, messageOf(body), nil
}

// messageOf is the message of an OCI error.
func messageOf(body []byte) string {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(body, &e); err != nil || len(e.Errors) == 0 {
		return "an answer without an explanation"
	}
	return e.Errors[0].Code + ": " + e.Errors[0].Message
}
