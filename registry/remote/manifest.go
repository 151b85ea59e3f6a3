package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// manifestTypes is the Accept header of every request for a manifest.
var manifestTypes = []string{strings.Join([]string{
	oci.MediaTypeManifest, oci.MediaTypeIndex, oci.MediaTypeDockerManifest, oci.MediaTypeDockerIndex,
}, ", ")}

// Resolve implements Reader with one HEAD request. If the answer is incomplete, it uses
// Manifest.
func (c *Client) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	r, err := c.hosts.manifestRequest("resolve", http.MethodHead, ref)
	if err != nil {
		return v1.Descriptor{}, err
	}
	r.accept = []int{http.StatusMethodNotAllowed} // some have no HEAD
	a, err := c.send.do(ctx, r, 0)
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := v1.NewHash(a.header.Get("Docker-Content-Digest"))
	mediaType := contentType(a.header)
	if err != nil || digest.Algorithm != "sha256" || a.length <= 0 || !oci.IsManifestType(mediaType) {
		m, err := c.Manifest(ctx, ref)
		return m.Descriptor, err
	}
	if d, ok := ref.(name.Digest); ok && digest.String() != d.DigestStr() {
		return v1.Descriptor{}, r.fail(registry.ErrDigestMismatch, nil, "the registry says that this is "+digest.String())
	}
	if a.length > c.o.MaxManifestBytes {
		return v1.Descriptor{}, r.fail(registry.ErrTooLarge, nil, "")
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: digest, Size: a.length}, nil
}

// contentType is the media type without parameters, which are not looked at:
// malformed ones must not make a type that is there look like none.
func contentType(h http.Header) string {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// Manifest implements Reader. If the registry names no media type, the manifest's own
// counts.
func (c *Client) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	r, err := c.hosts.manifestRequest("read manifest", http.MethodGet, ref)
	if err != nil {
		return registry.Manifest{}, err
	}
	m, err := c.rawManifest(ctx, r, ref)
	if err != nil {
		return registry.Manifest{}, err
	}
	doc, err := parsed(ctx, r, m)
	if err != nil {
		return registry.Manifest{}, err
	}
	m.Descriptor.MediaType = types.MediaType(doc.MediaType)
	return m, nil
}

// rawManifest reads a manifest, which may be malformed or of an unknown type. A registry
// sends a manifest's type, or names its digest. A page in its place, such as a login
// page of a proxy, is not an answer.
func (c *Client) rawManifest(ctx context.Context, r *request, ref name.Reference) (registry.Manifest, error) {
	a, err := c.send.do(ctx, r, c.o.MaxManifestBytes)
	if err != nil {
		return registry.Manifest{}, err
	}
	m := registry.Manifest{Descriptor: oci.Describe(contentType(a.header), a.body), Bytes: a.body}
	m.ETag = strong(a.header.Get("ETag"))
	mismatch := matching(r, m, ref)
	if mismatch == nil {
		mismatch = claimed(r, a.header, m.Descriptor.Digest)
	}
	_, byDigest := ref.(name.Digest)
	vouched := mismatch == nil && (byDigest || a.header.Get("Docker-Content-Digest") != "")
	if !vouched && !oci.IsManifestType(string(m.Descriptor.MediaType)) {
		if _, err := oci.ParseInBudget(ctx, string(m.Descriptor.MediaType), m.Bytes); err != nil {
			if ctx.Err() != nil {
				return registry.Manifest{}, r.fail(registry.ErrUnavailable, ctx.Err(), "")
			}
			return registry.Manifest{}, r.stray(registry.KindOf(err), err, "what came is no manifest")
		}
	}
	return m, mismatch
}

// strong returns an entity tag that If-Match can use, or none for a weak one, such as
// proxies write (RFC 9110, section 13.1.1).
func strong(etag string) string {
	if strings.HasPrefix(etag, "W/") {
		return ""
	}
	return etag
}

func matching(r *request, m registry.Manifest, ref name.Reference) error {
	if d, ok := ref.(name.Digest); ok && m.Descriptor.Digest.String() != d.DigestStr() {
		return r.fail(registry.ErrDigestMismatch, nil, "the content is "+m.Descriptor.Digest.String())
	}
	return nil
}

// claimed compares the digest that a registry names with the content's own. A registry
// may name a blob by another algorithm than that of the request.
func claimed(r *request, h http.Header, actual v1.Hash) error {
	v := h.Get("Docker-Content-Digest")
	digest, err := v1.NewHash(v)
	if err == nil && actual.Algorithm == "sha512" && digest.Algorithm == "sha256" {
		return nil
	}
	if v != "" && (err != nil || digest != actual) {
		return r.fail(registry.ErrDigestMismatch, nil, "the content is "+actual.String()+", the registry calls it "+registry.SafeText(v, 100))
	}
	return nil
}

func parsed(ctx context.Context, r *request, m registry.Manifest) (*oci.Document, error) {
	doc, err := oci.ParseInBudget(ctx, string(m.Descriptor.MediaType), m.Bytes)
	switch {
	case err == nil:
		return doc, nil
	case ctx.Err() != nil:
		return nil, r.fail(registry.ErrUnavailable, ctx.Err(), "")
	case m.Descriptor.MediaType != "" && !oci.IsManifestType(string(m.Descriptor.MediaType)), errors.Is(err, oci.ErrUnsupported):
		return nil, r.fail(registry.ErrUnsupported, err, "")
	}
	return nil, r.fail(registry.ErrMalformed, err, "")
}

// PushManifest implements Writer. It needs the right to push.
func (c *Client) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	r, err := c.hosts.manifestRequest("push manifest", http.MethodPut, ref)
	if err != nil {
		return registry.PushReport{}, err
	}
	checked := registry.Manifest{Descriptor: oci.Describe(string(m.Descriptor.MediaType), m.Bytes), Bytes: m.Bytes}
	if err := matching(r, checked, ref); err != nil {
		return registry.PushReport{}, err
	}
	doc, err := parsed(ctx, r, checked)
	if err != nil {
		return registry.PushReport{}, err
	}
	r.push, r.once = true, o.Once
	r.header = http.Header{"Content-Type": {doc.MediaType}}
	if o.IfMatch != "" {
		r.header.Set("If-Match", o.IfMatch)
	}
	if o.IfAbsent {
		r.header.Set("If-None-Match", "*")
	}
	r.open = func() io.Reader { return bytes.NewReader(m.Bytes) }
	r.size = int64(len(m.Bytes))
	a, err := c.send.do(ctx, r, maxErrorBody)
	if err != nil {
		return registry.PushReport{}, err
	}
	if err := claimed(r, a.header, checked.Descriptor.Digest); err != nil {
		return registry.PushReport{}, err
	}
	subject := a.header.Get("OCI-Subject")
	return registry.PushReport{SubjectIndexed: doc.Subject != nil && subject == doc.Subject.Digest.String()}, nil
}

// RemoveManifest implements Remover. The error is ErrUnsupported if the registry does
// not remove manifests, and ErrDenied if it does not do so for this user.
func (c *Client) RemoveManifest(ctx context.Context, ref name.Digest) error {
	if _, err := registry.HashOf(ref); err != nil {
		return err
	}
	r, err := c.hosts.manifestRequest("remove manifest", http.MethodDelete, ref)
	if err != nil {
		return err
	}
	_, err = c.send.do(ctx, r, maxErrorBody)
	return err
}
