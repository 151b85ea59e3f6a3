package gate

import (
	"context"
	"io"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// origin is where content of one upstream is read, with one client's credentials, or
// the operator's. Work is shared only between requests of the same origin, but for what
// is shared by digest after each had its access checked.
type origin struct {
	client *registry.Client
	// manifests are those that the gate holds.
	manifests *manifests
	// address is where the upstream is reached; repositories keep the names that
	// they are judged by everywhere else.
	address name.Registry
	// personal is set where the credentials are a client's own: its access is checked
	// before shared content is served.
	personal bool
	// challenge is what asks a client for credentials where the upstream has answered
	// 401 or 403; none: others would not help. Nil: they are the operator's, and no
	// client can help.
	challenge func(status int) []string
}

var _ registry.Reader = (*origin)(nil)

func (o *origin) at(repo name.Repository) name.Repository {
	repo.Registry = o.address
	return repo
}

func (o *origin) ref(ref name.Reference) name.Reference {
	if d, ok := ref.(name.Digest); ok {
		return o.digest(d)
	}
	return o.at(ref.Context()).Tag(ref.Identifier())
}

func (o *origin) digest(d name.Digest) name.Digest { return o.at(d.Context()).Digest(d.DigestStr()) }

// Resolve implements registry.Reader.
func (o *origin) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	return o.client.Resolve(ctx, o.ref(ref))
}

// Manifest implements registry.Reader. What the gate holds already is not read
// again: access to it was checked for the request as a whole.
func (o *origin) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	if d, ok := ref.(name.Digest); ok {
		if m, ok := o.manifests.held.Get(d.DigestStr()); ok {
			return registry.Manifest{Descriptor: m.descriptor(), Bytes: m.bytes}, nil
		}
	}
	return o.client.Manifest(ctx, o.ref(ref))
}

// Blob implements registry.Reader.
func (o *origin) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	return o.client.Blob(ctx, o.digest(ref), size)
}

// Referrers implements registry.Reader.
func (o *origin) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return o.client.Referrers(ctx, o.digest(subject))
}

// pull is what one request is about.
type pull struct {
	repo name.Repository
	from *origin
}

func (p pull) digest(d string) name.Digest { return p.repo.Digest(d) }
