package remote

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/hallmark-oci/hallmark/registry"
)

// RemoveManifest implements Remover. Where the registry does not let manifests be
// removed the error is ErrUnsupported, where it does not let this user,
// ErrDenied.
func (c *Client) RemoveManifest(ctx context.Context, ref name.Digest) error {
	if _, err := registry.HashOf(ref); err != nil {
		return err
	}
	r, err := c.manifestRequest("remove manifest", http.MethodDelete, ref)
	if err != nil {
		return err
	}
	_, err = c.send(ctx, r, maxErrorBody)
	return err
}
