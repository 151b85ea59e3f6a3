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

// smallBlob is up to what size a blob is sent without asking first whether it
// is there: the question would cost as much as the blob.
const smallBlob = 64 << 10

// PushBlob implements Writer with a POST and one PUT (distribution
// specification, "POST then PUT"). What fails in a way that may pass is begun
// again from the start.
func (c *Client) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	r, want, err := c.hosts.blobRequest("push blob", http.MethodPut, ref)
	if err != nil {
		return err
	}
	if size < 0 {
		return r.fail(registry.ErrReference, nil, "the size of a blob that is pushed must be known")
	}
	if size > smallBlob {
		if there, err := c.HasBlob(ctx, ref); there || err != nil && !registry.Refused(err) {
			return err
		}
	}
	u := &upload{send: c.send, host: c.hosts.of(r.repo), r: r, want: want}
	for attempt := 1; ; attempt++ {
		err := u.blob(ctx, size, open)
		if err == nil {
			return nil
		}
		if again, failed := c.send.pause(ctx, r, attempt, err); !again {
			return failed
		}
	}
}

// upload is how a blob gets to a registry.
type upload struct {
	send *sender
	host *host
	r    *request
	want v1.Hash
}

// blob sends it once.
func (u *upload) blob(ctx context.Context, size int64, open func() (io.ReadCloser, error)) error {
	r := u.r
	a, err := u.start(ctx, nil)
	if err != nil {
		return err
	}
	target, err := u.target(a)
	if err != nil {
		return err
	}
	source, err := open()
	if err != nil {
		return r.fail(registry.KindOf(err), err, "the blob's source cannot be opened")
	}
	defer func() { _ = source.Close() }() // only read from
	body := newCheckedSource(source, u.want, size)
	put := *r
	put.push, put.url, put.body, put.size = true, target, body, size
	put.header = http.Header{"Content-Type": {"application/octet-stream"}}
	a, err = u.send.do(ctx, &put, maxErrorBody)
	switch failed := body.take(ctx, u.send.o.Timeout); {
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
	return claimed(r, a.header, u.want)
}

// start asks for an upload, or for a mount.
func (u *upload) start(ctx context.Context, query url.Values) (*answer, error) {
	start := *u.r
	start.push, start.method = true, http.MethodPost
	start.url = u.host.url(u.r.repo, "blobs", "uploads", "")
	start.url.RawQuery = query.Encode()
	start.header = http.Header{}
	return u.send.do(ctx, &start, maxErrorBody)
}

// target checks where the registry wants the blob: like a redirect.
func (u *upload) target(a *answer) (*url.URL, error) {
	location := a.header.Get("Location")
	if a.status != http.StatusAccepted || location == "" {
		return nil, u.r.fail(registry.ErrMalformed, nil, fmt.Sprintf("the registry answered the start of an upload with HTTP %d and no place", a.status))
	}
	target, err := u.host.redirect(u.r, a.url, location)
	if err != nil {
		return nil, err
	}
	// The rest of the query belongs to the registry, and is kept as it is.
	digest := "digest=" + url.QueryEscape(u.want.String())
	if target.RawQuery != "" {
		digest = "&" + digest
	}
	target.RawQuery += digest
	return target, nil
}

// cancel ends the upload that a registry has begun in place of a mount, as a
// courtesy: it ends by itself too, and not every registry knows how.
func (u *upload) cancel(ctx context.Context, a *answer) {
	location := a.header.Get("Location")
	target, err := u.host.redirect(u.r, a.url, location)
	if err != nil || location == "" {
		return
	}
	cancel := *u.r
	cancel.push, cancel.method, cancel.url = true, http.MethodDelete, target
	_, _ = u.send.attempt(ctx, &cancel, maxErrorBody)
}

// MountBlob makes a blob of another repository of the same registry appear in
// ref's, without sending it; false where the registry does not do so.
func (c *Client) MountBlob(ctx context.Context, ref name.Digest, from name.Repository) (bool, error) {
	r, want, err := c.hosts.blobRequest("mount blob", http.MethodPost, ref)
	if err != nil {
		return false, err
	}
	if from.RegistryStr() != ref.Context().RegistryStr() {
		return false, nil
	}
	r.from = from
	u := &upload{send: c.send, host: c.hosts.of(r.repo), r: r, want: want}
	a, err := u.start(ctx, url.Values{"mount": {want.String()}, "from": {from.RepositoryStr()}})
	var e *registry.Error
	switch {
	case errors.As(err, &e) && e.Status/100 == 4 && e.Kind != registry.ErrRateLimited:
		return false, nil // not allowed or not known; an ordinary upload will tell
	case err != nil:
		return false, err
	case a.status != http.StatusCreated:
		u.cancel(ctx, a)
		return false, nil
	}
	return true, claimed(r, a.header, want)
}
