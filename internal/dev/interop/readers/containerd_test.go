package readers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// containerdPull is one pull into the content store of a haul.
type containerdPull struct {
	fetcher remotes.Fetcher
	into    *haul
}

func newContainerdPull(t *testing.T, from access, ref string, into *haul) (*containerdPull, ocispec.Descriptor, error) {
	t.Helper()
	if into.store == nil {
		var err error
		into.store, err = local.NewStore(t.TempDir())
		must(t, err)
	}
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithClient(from.client()),
		docker.WithPlainHTTP(docker.MatchAllHosts),
	)})
	name, root, err := resolver.Resolve(t.Context(), from.host+"/"+from.repository+separator(ref)+ref)
	if err != nil {
		return nil, root, err
	}
	fetcher, err := resolver.Fetcher(t.Context(), name)
	return &containerdPull{fetcher, into}, root, err
}

// separator stands between a repository and a tag or digest.
func separator(ref string) string {
	if strings.Contains(ref, ":") {
		return "@"
	}
	return ":"
}

// dispatch fetches content and what it leads to, as containerd does when it pulls,
// and goes on where something is refused.
func (p *containerdPull) dispatch(ctx context.Context, roots ...ocispec.Descriptor) {
	fetch := remotes.FetchHandler(p.into.store, p.fetcher)
	var seen sync.Map
	tolerant := images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		// What one entry does not give, another one of the same digest may.
		if _, again := seen.LoadOrStore(fmt.Sprint(desc.Digest, desc.MediaType, len(desc.Data), desc.URLs), true); again {
			return nil, images.ErrSkipDesc
		}
		if _, err := fetch(ctx, desc); p.into.failed(err) {
			return nil, images.ErrSkipDesc
		}
		children, err := images.Children(ctx, p.into.store, desc)
		p.into.failed(err)
		return children, nil
	})
	p.into.failed(images.Dispatch(ctx, tolerant, nil, roots...))
	p.into.failed(p.into.store.Walk(ctx, func(info content.Info) error {
		data, err := content.ReadBlob(ctx, p.into.store, ocispec.Descriptor{Digest: info.Digest, Size: info.Size})
		if err == nil {
			p.into.add(data)
		}
		return err
	}))
}

func pullWithContainerd(t *testing.T, from access, ref string, into *haul) error {
	t.Helper()
	p, root, err := newContainerdPull(t, from, ref, into)
	if err != nil {
		return err
	}
	p.dispatch(t.Context(), root)
	if !into.has(root.Digest.String()) {
		return errors.New("nothing was answered for " + ref)
	}
	return nil
}

func listWithContainerd(t *testing.T, from access, subject string, into *haul) error {
	t.Helper()
	p, _, err := newContainerdPull(t, from, subject, into)
	if err != nil {
		return err
	}
	list, err := p.fetcher.(remotes.ReferrersFetcher).FetchReferrers(t.Context(), digest.Digest(subject))
	if err != nil {
		return err
	}
	p.dispatch(t.Context(), list...)
	return nil
}
