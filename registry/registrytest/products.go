package registrytest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Product is a registry that is imitated: one that deviates from the specification as the
// documentation of a product, or reports about it, say. It is made by New.
type Product struct {
	// Name is the product's, with the setting or version that matters.
	Name string
	// Deviates says what it does otherwise than the specification, or what it lacks.
	Deviates string
	// Source is where that is said.
	Source string

	o      Options
	faults []func(*Registry) Fault
}

// New makes an empty registry that behaves like the product.
func (p Product) New() *Registry {
	r := New(p.o)
	for _, fault := range p.faults {
		r.Inject(fault(r))
	}
	return r
}

// Products returns the registries that are imitated.
func Products() []Product {
	return slices.Concat(productsWithoutReferrers(), productsWithReferrers(), productsWithImmutableTags())
}

func productsWithoutReferrers() []Product {
	return []Product{{
		Name:     "GitLab",
		Deviates: "lists no referrers; answers the tag sha256-HEX with the manifest sha256:HEX",
		Source:   "https://github.com/oras-project/oras-go/issues/1396",
		o:        Options{NoReferrers: true},
		faults:   []func(*Registry) Fault{tagsAreDigests},
	}, {
		Name:     "Artifactory (virtual repository)",
		Deviates: "lists no referrers; answers with 403 for manifests that do not exist",
		Source:   "https://github.com/sigstore/cosign/issues/2973",
		o:        Options{NoReferrers: true},
		faults:   []func(*Registry) Fault{absentIsForbidden},
	}, {
		Name:     "Harbor 2.7",
		Deviates: "lists no referrers: answers with 401 without a challenge",
		Source:   "https://github.com/goharbor/harbor/issues/17928",
		o:        Options{NoReferrers: true},
		faults: []func(*Registry) Fault{func(*Registry) Fault {
			return Fault{Kind: KindReferrers, Do: refusing(&refusal{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "unauthorized"})}
		}},
	}, {
		Name:     "GHCR",
		Deviates: "lists no referrers: redirects to a page that does not exist",
		Source:   "https://github.com/project-zot/zot/issues/4060",
		o:        Options{NoReferrers: true},
		faults: []func(*Registry) Fault{func(*Registry) Fault {
			return Fault{Kind: KindReferrers, Do: seeOther("/-/v2/packages/container/package")}
		}},
	}, {
		Name:     "Docker Hub",
		Deviates: "lists no referrers; counts requests for manifests",
		Source:   "https://docs.docker.com/docker-hub/usage/pulls/",
		o:        Options{NoReferrers: true},
		faults: []func(*Registry) Fault{func(*Registry) Fault {
			return Fault{Method: http.MethodGet, Kind: KindManifest, Do: Chain(SetHeader("RateLimit-Limit", "100;w=21600"), SetHeader("RateLimit-Remaining", "0;w=21600"))}
		}},
	}, {
		Name:     "Nexus",
		Deviates: "lists no referrers; wants Basic authentication",
		Source:   "https://github.com/oras-project/oras-py/pull/86",
		o:        Options{NoReferrers: true, BasicUsers: map[string]string{"user": "password"}},
	}, {
		Name:     "Google Artifact Registry (2024)",
		Deviates: "lists no referrers",
		Source:   "https://github.com/actions/attest-build-provenance/issues/80",
		o:        Options{NoReferrers: true},
	}, {
		Name:     "Amazon ECR (2024)",
		Deviates: "lists no referrers, and says in OCI-Subject that it does",
		Source:   "https://github.com/sigstore/sigstore-js/pull/1183",
		o:        Options{NoReferrers: true},
		faults: []func(*Registry) Fault{func(*Registry) Fault {
			return Fault{Method: http.MethodPut, Kind: KindManifest, Do: ClaimSubject()}
		}},
	}, {
		Name:     "a registry that answers everything",
		Deviates: "lists no referrers: answers with 200 and a page",
		Source:   "https://github.com/sigstore/sigstore-js/pull/1187",
		o:        Options{NoReferrers: true},
		faults: []func(*Registry) Fault{func(*Registry) Fault {
			return Fault{Kind: KindReferrers, Do: Reply(Answer{Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html></html>")})}
		}},
	}}
}

func productsWithReferrers() []Product {
	return []Product{{
		Name:     "Harbor",
		Deviates: "nothing",
		Source:   "https://github.com/goharbor/harbor/issues/17928",
	}, {
		Name:     "Amazon ECR",
		Deviates: "nothing",
		Source:   "https://github.com/aws-observability/aws-otel-python-instrumentation/pull/837",
	}, {
		Name:     "Quay",
		Deviates: "answers with 400 for referrers of a manifest that does not exist",
		Source:   "https://github.com/quay/quay/pull/3071",
		faults: []func(*Registry) Fault{func(r *Registry) Fault {
			unknown := func(q Request) bool { _, there := r.content.manifest(q.Repo, q.Ref); return !there }
			return Fault{Kind: KindReferrers, Match: unknown, Do: refusing(&refusal{status: http.StatusBadRequest, code: "MANIFEST_INVALID", message: "manifest invalid"})}
		}},
	}, {
		Name:     "Azure Container Registry",
		Deviates: "lists referrers without their artifact type",
		Source:   "https://github.com/Azure/acr/issues/784",
		faults: []func(*Registry) Fault{func(*Registry) Fault {
			return Fault{Kind: KindReferrers, Do: ChangeReferrers(func(d *v1.Descriptor) bool { d.ArtifactType = ""; return true })}
		}},
	}, {
		Name:     "olareg",
		Deviates: "loses referrers that are pushed at the same time",
		Source:   "measured: 151 referrers pushed at once, and 86 to 139 listed",
		faults:   []func(*Registry) Fault{losesReferrers},
	}}
}

func productsWithImmutableTags() []Product {
	immutable := func(name, source string, o Options, no refusal) Product {
		return Product{
			Name: name, Deviates: fmt.Sprintf("lets no tag be changed: answers with %d %s", no.status, no.code), Source: source, o: o,
			faults: []func(*Registry) Fault{func(r *Registry) Fault { return tagsAreImmutable(r, no) }},
		}
	}
	return []Product{
		immutable("Harbor, immutable tags", "https://github.com/goharbor/harbor/issues/17332", Options{},
			refusal{status: http.StatusPreconditionFailed, code: "PRECONDITION", message: "Failed to process request due to '%[1]s:%[2]s' configured as immutable."}),
		immutable("Amazon ECR, immutable tags", "https://github.com/moby/buildkit/issues/3776", Options{},
			refusal{status: http.StatusBadRequest, code: "TAG_INVALID", message: "The image tag '%[2]s' already exists in the '%[1]s' repository and cannot be overwritten because the repository is immutable."}),
		immutable("Google Artifact Registry, immutable tags", "https://cloud.google.com/artifact-registry/docs/docker/manage-images", Options{NoReferrers: true},
			refusal{status: http.StatusBadRequest, code: "MANIFEST_INVALID", message: "cannot update tag %[2]s. The repository has enabled tag immutability"}),
		immutable("Nexus, redeployment disabled", "https://github.com/GoogleContainerTools/jib/issues/3057", Options{NoReferrers: true},
			refusal{status: http.StatusBadRequest, code: "BLOB_UPLOAD_INVALID", message: "blob upload invalid: Repository does not allow updating assets: %[1]s"}),
	}
}

// refusing answers in place of the registry, without a challenge.
func refusing(no *refusal) Effect {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, no) })
	}
}

func seeOther(location string) Effect {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusSeeOther)
		})
	}
}

// tagsAreDigests reads tags of the form sha256-HEX as digests, if there is such a manifest.
func tagsAreDigests(r *Registry) Fault {
	digestOf := func(tag string) string { return strings.Replace(tag, "sha256-", "sha256:", 1) }
	return Fault{
		Kind: KindManifest,
		Match: func(q Request) bool {
			_, there := r.content.manifest(q.Repo, digestOf(q.Ref))
			return there && strings.HasPrefix(q.Ref, "sha256-") && (q.Method == http.MethodGet || q.Method == http.MethodHead)
		},
		Do: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				front, tag := cutLast(req.URL.Path)
				req = req.Clone(req.Context())
				req.URL.Path = front + "/" + digestOf(tag)
				next.ServeHTTP(w, req)
			})
		},
	}
}

// absentIsForbidden answers as if a manifest that does not exist could not be read by
// this user.
func absentIsForbidden(r *Registry) Fault {
	return Fault{
		Kind: KindManifest,
		Match: func(q Request) bool {
			_, there := r.content.manifest(q.Repo, q.Ref)
			return !there && (q.Method == http.MethodGet || q.Method == http.MethodHead)
		},
		Do: func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				t, _ := targetOf(req)
				refuse(w, &refusal{status: http.StatusForbidden, code: "UNAUTHORIZED", message: fmt.Sprintf(
					"The client does not have permission for manifest: Download request for repo:path 'docker-cache:%s/%s/list.manifest.json' is forbidden for user: 'token:writer'.",
					t.info.Repo, t.info.Ref)})
			})
		},
	}
}

// tagsAreImmutable refuses to change a tag that exists. The message has the repository and
// the tag.
func tagsAreImmutable(r *Registry, no refusal) Fault {
	return Fault{
		Method: http.MethodPut, Kind: KindManifest,
		Match: func(q Request) bool {
			_, there := r.content.manifest(q.Repo, q.Ref)
			return there && !isDigest(q.Ref)
		},
		Do: func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				t, _ := targetOf(req)
				told := no
				told.message = fmt.Sprintf(no.message+"%.0[1]s%.0[2]s", t.info.Repo, t.info.Ref)
				refuse(w, &told)
			})
		},
	}
}

// losesReferrers makes the registry read the list of referrers, store the manifest, and
// write the list with one entry more: what others have added in between is lost.
func losesReferrers(r *Registry) Fault {
	var writing sync.Mutex
	return Fault{Method: http.MethodPut, Kind: KindManifest, Do: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			t, _ := targetOf(req)
			before := r.content.lists(t.info.Repo)
			next.ServeHTTP(w, req)
			time.Sleep(5 * time.Millisecond)
			writing.Lock()
			defer writing.Unlock()
			r.content.change(t.info.Repo, func(repo *repository) bool {
				m, ok := repo.manifests[t.info.Ref]
				if ok && m.subject != "" {
					own := slices.DeleteFunc(slices.Clone(repo.referrers[m.subject]), func(d v1.Descriptor) bool { return d.Digest.String() != m.digest })
					kept := slices.DeleteFunc(before[m.subject], func(d v1.Descriptor) bool { return d.Digest.String() == m.digest })
					repo.referrers[m.subject] = append(kept, own...)
				}
				return ok
			})
		})
	}}
}

// lists returns a copy of the lists of referrers of a repository.
func (c *content) lists(name string) map[string][]v1.Descriptor {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make(map[string][]v1.Descriptor)
	if repo := c.repos[name]; repo != nil {
		for subject, list := range repo.referrers {
			all[subject] = slices.Clone(list)
		}
	}
	return all
}
