package gate

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hallmark-oci/hallmark/internal/budget"
)

// maxTagPage bounds how many tags a client may ask for at once.
const maxTagPage = 10_000

// tagList answers with a list of tags, as the upstream gives it. A name in it says
// nothing about what it names: that is judged when it is pulled.
// Source: OCI Distribution Specification v1.1, "Listing Tags".
func (x *exchange) tagList() error {
	query := x.r.URL.Query()
	limit := 0
	if n := query.Get("n"); n != "" {
		var err error
		if limit, err = strconv.Atoi(n); err != nil || limit < 0 || limit > maxTagPage {
			return refuse(http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n is not a number from 0 to %d", maxTagPage)
		}
	}
	last := query.Get("last")
	if last != "" && !tagSyntax(last) {
		return refuse(http.StatusBadRequest, codeTag, "last is malformed")
	}
	ctx, end := budget.Scope(x.ctx)
	defer end()
	page, err := x.p.from.client.Tags(ctx, x.p.from.at(x.p.repo), limit, last)
	if err != nil {
		return err
	}
	if page.Tags == nil {
		page.Tags = []string{}
	}
	name := x.l.repo
	body, err := json.Marshal(struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{name, page.Tags})
	if err != nil {
		return err
	}
	end()
	x.audit.tell(x)
	h := x.w.Header()
	if page.More {
		next := url.Values{"last": {page.Tags[len(page.Tags)-1]}}
		for _, kept := range []string{"n", "ns"} {
			if v := query.Get(kept); v != "" {
				next.Set(kept, v)
			}
		}
		h.Set("Link", "</v2/"+name+"/tags/list?"+next.Encode()+`>; rel="next"`)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h["X-Content-Type-Options"] = noSniff
	h["Docker-Distribution-Api-Version"] = apiVersion
	x.begin(http.StatusOK)
	if !x.isHead() {
		sum := sha256.Sum256(body)
		x.send(x.ctx, "tags "+hexOf(sum[:]), body)
	}
	return nil
}
