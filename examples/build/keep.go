package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

// keep copies the image with its evidence to an OCI layout in a new directory, beside
// the policy that it meets and its public keys.
func (s *story) keep(ctx context.Context, dir string) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	kept, err := layout.Open(filepath.Join(dir, "layout"), layout.Options{Create: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	tag := s.repo.Tag("v1")
	if _, err := registry.Copy(ctx, s.client, tag, kept, kept.Repository().Tag("v1"), registry.CopyOptions{}); err != nil {
		return err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	for name, from := range map[string]string{
		"production.yaml": filepath.Join(root, "examples", "policy", "production.yaml"),
		"builder.pub":     s.path("builder.pub"), "release.pub": s.path("release.pub"), "scanner.pub": s.path("scanner.pub"),
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	s.say("\nKept in %s.", dir)
	return nil
}
