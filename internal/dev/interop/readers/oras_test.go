package readers

import (
	"bytes"
	"context"
	"io"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

func newORASRepository(t *testing.T, from access) *remote.Repository {
	t.Helper()
	repo, err := remote.NewRepository(from.host + "/" + from.repository)
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP, repo.Client = true, &auth.Client{Client: from.client()}
	return repo
}

// counting adds what is pushed to a haul.
type counting struct {
	oras.Target
	into *haul
}

func (c counting) Push(ctx context.Context, desc ocispec.Descriptor, body io.Reader) error {
	data, err := content.ReadAll(body, desc)
	if err != nil {
		return err
	}
	c.into.add(data)
	return c.Target.Push(ctx, desc, bytes.NewReader(data))
}

// pullWithORAS copies, and walks the graph as well, because a copy ends with what is
// refused first.
func pullWithORAS(t *testing.T, from access, ref string, into *haul) error {
	t.Helper()
	repo := newORASRepository(t, from)
	root, err := repo.Resolve(t.Context(), ref)
	if err != nil {
		return err
	}
	_, err = oras.Copy(t.Context(), repo, ref, counting{memory.New(), into}, "copied", oras.DefaultCopyOptions)
	into.failed(err)
	walkORAS(t.Context(), repo, root, into, make(visits))
	return nil
}

func listWithORAS(t *testing.T, from access, subject string, into *haul) error {
	t.Helper()
	repo := newORASRepository(t, from)
	root, err := repo.Resolve(t.Context(), subject)
	if err != nil {
		return err
	}
	seen := make(visits)
	return repo.Referrers(t.Context(), root, "", func(list []ocispec.Descriptor) error {
		for _, d := range list {
			walkORAS(t.Context(), repo, d, into, seen)
		}
		return nil
	})
}

func walkORAS(ctx context.Context, repo *remote.Repository, node ocispec.Descriptor, into *haul, seen visits) {
	if !seen.first(node.Digest.String()) {
		return
	}
	data, err := content.FetchAll(ctx, repo, node)
	if into.failed(err) {
		return
	}
	into.add(data)
	successors, err := content.Successors(ctx, repo, node)
	into.failed(err)
	for _, d := range successors {
		walkORAS(ctx, repo, d, into, seen)
	}
}
