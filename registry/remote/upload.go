package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/hallmark-oci/hallmark/registry"
)

// probeBlob is up to what size a blob is sent without asking first whether it
// is there: the question would cost as much as the blob.
const smallBlob = 64 << 10

// PushBlob implements Writer with a POST and one PUT (distribution
// specification, "POST then PUT"). What fails in a way that may pass is begun
// again from the start.
func (c *Client) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	r, want, err := c.blobRequest("push blob", http.MethodPut, ref)
	if err != nil {
		return err
	}
	if size < 0 {
		return r.fail(registry.ErrReference, nil, "the size of a blob that is pushed must be known")
	}
	if size > smallBlob {
		if there, err := c.HasBlob(ctx, ref); err != nil || there {
			return err
		}
	}
	for attempt := 1; ; attempt++ {
		err := c.upload(ctx, r, want, size, open)
		if err == nil {
			return nil
		}
		if again, failed := c.pause(ctx, r, attempt, err); !again {
			return failed
		}
	}
}

func (c *Client) upload(ctx context.Context, r *request, want v1.Hash, size int64, open func() (io.ReadCloser, error)) error {
	a, err := c.startUpload(ctx, r, nil)
	if err != nil {
		return err
	}
	target, err := c.uploadTarget(r, a, want)
	if err != nil {
		return err
	}
	source, err := open()
	if err != nil {
		return r.fail(registry.KindOf(err), err, "the blob's source cannot be opened")
	}
	defer func() { _ = source.Close() }() // only read from
	body := newCheckedSource(source, want, size)
	put := *r
	put.push, put.url, put.body, put.size = true, target, body, size
	put.header = http.Header{"Content-Type": {"application/octet-stream"}}
	a, err = c.send(ctx, &put, maxErrorBody)
	switch failed := body.take(ctx, c.o.Timeout); {
	case errors.Is(failed, errSource):
		return r.fail(registry.ErrDigestMismatch, failed, "")
	case failed != nil:
		return r.fail(registry.KindOf(failed), failed, "the blob's source failed")
	case err != nil:
		return err
	}
	if a.status != http.StatusCreated && a.status != http.StatusNoContent && a.status != http.StatusOK {
		return r.fail(registry.ErrMalformed, nil, fmt.Sprintf("the registry answered the upload with HTTP %d", a.status))
	}
	return claimed(r, a.header, want)
}

func (c *Client) startUpload(ctx context.Context, r *request, query url.Values) (*answer, error) {
	start := *r
	start.push, start.method = true, http.MethodPost
	start.url = c.host(r.repo).url(r.repo, "blobs", "uploads", "")
	start.url.RawQuery = query.Encode()
	start.header = http.Header{}
	return c.send(ctx, &start, maxErrorBody)
}

// uploadTarget checks where the registry wants the blob: like a redirect.
func (c *Client) uploadTarget(r *request, a *answer, want v1.Hash) (*url.URL, error) {
	location := a.header.Get("Location")
	if a.status != http.StatusAccepted || location == "" {
		return nil, r.fail(registry.ErrMalformed, nil, fmt.Sprintf("the registry answered the start of an upload with HTTP %d and no place", a.status))
	}
	target, err := c.redirect(c.host(r.repo), r, a.url, location)
	if err != nil {
		return nil, err
	}
	// The rest of the query belongs to the registry, and is kept as it is.
	digest := "digest=" + url.QueryEscape(want.String())
	if target.RawQuery != "" {
		digest = "&" + digest
	}
	target.RawQuery += digest
	return target, nil
}

// MountBlob makes a blob of another repository of the same registry appear in
// ref's, without sending it; false where the registry does not do so.
func (c *Client) MountBlob(ctx context.Context, ref name.Digest, from name.Repository) (bool, error) {
	r, want, err := c.blobRequest("mount blob", http.MethodPost, ref)
	if err != nil {
		return false, err
	}
	if from.RegistryStr() != ref.Context().RegistryStr() {
		return false, nil
	}
	r.from = from
	a, err := c.startUpload(ctx, r, url.Values{"mount": {want.String()}, "from": {from.RepositoryStr()}})
	var e *registry.Error
	switch {
	case errors.As(err, &e) && e.Status/100 == 4 && e.Kind != registry.ErrRateLimited:
		return false, nil // not allowed or not known; an ordinary upload will tell
	case err != nil:
		return false, err
	case a.status != http.StatusCreated:
		c.cancelUpload(ctx, r, a)
		return false, nil
	}
	return true, claimed(r, a.header, want)
}

// cancelUpload ends the upload that a registry has begun in place of a mount, as
// a courtesy: it ends by itself too, and not every registry knows how.
func (c *Client) cancelUpload(ctx context.Context, r *request, a *answer) {
	location := a.header.Get("Location")
	target, err := c.redirect(c.host(r.repo), r, a.url, location)
	if err != nil || location == "" {
		return
	}
	cancel := *r
	cancel.push, cancel.method, cancel.url = true, http.MethodDelete, target
	_, _ = c.attempt(ctx, &cancel, maxErrorBody)
}
