package remote

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/parallel"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// errNoAPI says that a registry does not have the referrers API.
var errNoAPI = errors.New("no referrers API")

// Referrers implements Reader (distribution specification, "Listing Referrers"). Until
// the registry has shown that it has the API, the fallback tag is read at the same time.
// That a registry lacks the API is not remembered: a 404 may be about one repository.
//
// Once a registry has shown the API, answers other than a list or a 404 are errors.
// Before, a refusal such as 401 or 403 is an error too, which comes after the entries of
// the fallback tag.
//
// A fallback tag that does not hold an index lists nothing, since an attacker who can
// push could have written it. Nor does one that holds the subject itself, as at GitLab,
// or entries that are not referrers.
func (c *Client) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		r, h, err := c.hosts.blobRequest("list referrers of", http.MethodGet, subject)
		if err == nil {
			_, err = registry.HashOf(subject)
		}
		if err != nil {
			yield(v1.Descriptor{}, err)
			return
		}
		repo := subject.Context()
		r.url = c.hosts.of(repo).url(repo, "referrers", h.String())
		r.header, r.list = http.Header{"Accept": {oci.MediaTypeIndex}}, true
		others := func(d v1.Descriptor, err error) bool { return d.Digest == h || yield(d, err) }
		if err := c.referrers(ctx, r, h, others); err != nil {
			yield(v1.Descriptor{}, err)
		}
	}
}

func (c *Client) referrers(ctx context.Context, r *request, subject v1.Hash, yield func(v1.Descriptor, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hasAPI := &c.hosts.of(r.repo).referrers
	byTag := func() ([]v1.Descriptor, error) { return c.fallback(ctx, r.repo, subject) }
	if !hasAPI.get() {
		byTag = parallel.Start(byTag)
	}
	list := listing{send: c.send, hasAPI: hasAPI}
	first, next, err := list.page(ctx, r)
	absent := errors.Is(err, errNoAPI)
	if absent || registry.Refused(err) && !hasAPI.get() {
		all, failed := byTag()
		for _, d := range all {
			if !yield(d, nil) {
				return nil
			}
		}
		if absent {
			err = asError(r.op, r.ref, failed)
		}
	}
	if absent || err != nil {
		return err
	}
	hasAPI.set()
	return list.pages(ctx, r, first, next, yield)
}

// listing is one list of referrers, whose pages are read.
type listing struct {
	send   *sender
	hasAPI *sharedFlag
	read   int64 // bytes of its pages
}

// countedReader adds to n what is read.
type countedReader struct {
	io.Reader
	n *int64
}

func (r countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	*r.n += int64(n)
	return n, err
}

// pages yields the first page and follows the links to the others. How many entries a
// page has is the registry's choice: those without any are counted, the others are
// bounded by their entries and their bytes.
func (l *listing) pages(ctx context.Context, r *request, page []v1.Descriptor, next *url.URL, yield func(v1.Descriptor, error) bool) error {
	sum := func(u *url.URL) [sha256.Size]byte { return sha256.Sum256([]byte(u.String())) } // they may be long
	seen, o := map[[sha256.Size]byte]bool{sum(r.url): true}, l.send.o
	total, without := 0, 0
	for {
		for _, d := range page {
			if total++; total > o.MaxReferrers {
				return r.fail(registry.ErrTooMany, nil, fmt.Sprintf("more than %d referrers", o.MaxReferrers))
			}
			if !yield(d, nil) {
				return nil
			}
		}
		if next == nil {
			return nil
		}
		if len(page) == 0 {
			without++
		}
		switch {
		case seen[sum(next)]:
			return r.fail(registry.ErrTooMany, nil, "its pages lead back")
		case without >= o.MaxReferrerPages:
			return r.fail(registry.ErrTooMany, nil, fmt.Sprintf("more than %d pages without an entry", o.MaxReferrerPages))
		case l.read/maxListBytes >= int64(o.MaxReferrerPages):
			return r.fail(registry.ErrTooMany, nil, fmt.Sprintf("pages of more than %d times %d bytes", o.MaxReferrerPages, maxListBytes))
		}
		seen[sum(next)] = true
		at := *r
		at.url = next
		var err error
		if page, next, err = l.page(ctx, &at); err != nil {
			if errors.Is(err, errNoAPI) {
				err = r.stray(registry.ErrUnavailable, nil, "a page of the list is not there")
			}
			return err
		}
	}
}

// page reads one page of the list. errNoAPI: the registry does not have it, at
// least not for this repository. One that has shown that it has the API says so
// with a 404 alone: by anything else, a list that is there would become absent.
func (l *listing) page(ctx context.Context, r *request) ([]v1.Descriptor, *url.URL, error) {
	known := l.hasAPI.get()
	r.accept = []int{http.StatusNotFound}
	if !known {
		r.accept = append(r.accept, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented)
	}
	var list []v1.Descriptor
	r.consume = func(body io.Reader) (err error) {
		list, err = oci.ReadReferrers(countedReader{body, &l.read}, l.send.o.MaxReferrers+1) // one more shows that there are too many
		return err
	}
	a, err := l.send.do(ctx, r, l.send.o.MaxManifestBytes)
	if e, ok := errors.AsType[*registry.Error](err); ok && e.Code == "UNSUPPORTED" && !known {
		return nil, nil, errNoAPI
	}
	if err != nil {
		return nil, nil, err
	}
	isList := a.status == http.StatusOK && contentType(a.header) == oci.MediaTypeIndex
	switch {
	case !isList && known && a.status != http.StatusNotFound:
		return nil, nil, r.stray(registry.ErrMalformed, nil, "what came is no list of referrers")
	case !isList:
		return nil, nil, errNoAPI
	}
	next, err := r.nextPage(a)
	return list, next, err
}

// nextPage reads the Link headers. A page elsewhere than in the same list of the
// same registry is refused.
func (r *request) nextPage(a *answer) (*url.URL, error) {
	target := nextLink(a.header.Values("Link"))
	if target == "" {
		return nil, nil
	}
	to, err := r.url.Parse(target)
	if err != nil {
		return nil, r.stray(registry.ErrMalformed, nil, "the link to the next page is malformed")
	}
	if to.Scheme != r.url.Scheme || to.Host != r.url.Host || to.Path != r.url.Path || to.User != nil {
		return nil, r.fail(registry.ErrInsecure, nil, "the next page is said to be at "+registry.SafeText(to.Host+to.Path, 200))
	}
	return to, nil
}

// nextLink finds the target of rel=next (RFC 8288, section 3). A header may hold
// several links.
func nextLink(headers []string) string {
	for _, rest := range headers {
		for {
			var target, params string
			var ok bool
			if _, rest, ok = strings.Cut(rest, "<"); !ok {
				break
			}
			if target, rest, ok = strings.Cut(rest, ">"); !ok {
				break
			}
			params, _, _ = strings.Cut(rest, "<") // those of the next link are not its own
			for _, p := range strings.FieldsFunc(params, func(r rune) bool { return r == ';' || r == ',' }) {
				name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
				if strings.EqualFold(name, "rel") && slices.Contains(strings.Fields(strings.ToLower(strings.Trim(value, `" `))), "next") {
					return target
				}
			}
		}
	}
	return ""
}

// fallback lists the referrers that the fallback tag holds (distribution specification,
// "Referrers Tag Schema"). A malformed entry hides no other.
//
// Source: GitLab takes the tag for the subject's digest (oras-project/oras-go#1396).
func (c *Client) fallback(ctx context.Context, repo name.Repository, subject v1.Hash) ([]v1.Descriptor, error) {
	tag := repo.Tag(oci.DigestTag(subject))
	r, err := c.hosts.manifestRequest("read manifest", http.MethodGet, tag)
	if err != nil {
		return nil, err
	}
	r.list = true
	m, err := c.rawManifest(ctx, r, tag)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	leave, err := budget.Parse(ctx, m.Bytes)
	if err != nil {
		return nil, r.fail(registry.ErrUnavailable, err, "")
	}
	defer leave()
	list, err := oci.ParseFallback(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil || m.Descriptor.Digest == subject {
		return nil, nil // an attacker could have put it there
	}
	list = slices.DeleteFunc(list, func(d v1.Descriptor) bool { return !oci.MayRefer(d, subject) })
	if len(list) > c.o.MaxReferrers {
		return list[:c.o.MaxReferrers], &registry.Error{Op: "list referrers of", Ref: text(tag), Kind: registry.ErrTooMany}
	}
	return list, nil
}
