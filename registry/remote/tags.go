package remote

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// TagPage is a part of a repository's list of tags.
type TagPage struct {
	// Tags are well-formed tags, in the registry's order.
	Tags []string
	// More is true if the registry has tags after the last of these.
	More bool
}

// Tags lists at most limit of a repository's tags: those after the tag named last. If
// limit is 0, the registry decides how many. Malformed tags are left out. A repository
// that does not exist is ErrNotFound.
//
// Source: OCI Distribution Specification v1.1, "Listing Tags".
func (c *Client) Tags(ctx context.Context, repo name.Repository, limit int, last string) (TagPage, error) {
	const op = "list tags of"
	if err := checkRepo(op, repo); err != nil {
		return TagPage{}, err
	}
	target := c.hosts.of(repo).url(repo, "tags", "list")
	query := url.Values{}
	if limit > 0 {
		query.Set("n", strconv.Itoa(limit))
	}
	if last != "" {
		query.Set("last", last)
	}
	target.RawQuery = query.Encode()
	r := &request{
		op: op, ref: safe(repo.Name()), repo: repo, method: http.MethodGet,
		url: target, header: http.Header{"Accept": {"application/json"}},
	}
	a, err := c.send.do(ctx, r, c.o.MaxManifestBytes)
	if err != nil {
		return TagPage{}, err
	}
	leave, err := budget.Parse(ctx, a.body)
	if err != nil {
		return TagPage{}, r.fail(registry.ErrUnavailable, err, "")
	}
	defer leave()
	root, err := strictjson.Parse(a.body)
	if err != nil {
		return TagPage{}, r.fail(registry.ErrMalformed, err, "")
	}
	var page TagPage
	for v := range root.Get("tags").Elems() {
		if tag, ok := v.Str(); ok && oci.IsTag(tag) {
			page.Tags = append(page.Tags, tag)
		}
	}
	next, err := r.nextPage(a)
	page.More = next != nil && len(page.Tags) > 0
	return page, err
}
