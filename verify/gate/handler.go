package gate

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/remote"
)

// Handler is the gate as an http.Handler. It is safe for concurrent use.
type Handler struct {
	gate      *gate
	upstreams map[string]*upstream
	// addresses are those of the upstreams, by their names.
	addresses map[string]name.Registry
	// client has the connections that all upstreams' clients share.
	client *remote.Client
	// personal are the origins of clients' own credentials.
	personal *origins
}

var _ http.Handler = (*Handler)(nil)

// upstream is a registry by the name that it is judged by, and its address.
type upstream struct {
	registry, address name.Registry
	// operator reads it with the operator's credentials.
	operator *origin
}

// NewHandler makes the gate as an http.Handler. Errors wrap ErrConfig.
func NewHandler(c Config) (*Handler, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	upstreams, err := c.registries()
	if err != nil {
		return nil, err
	}
	if len(upstreams) == 0 {
		return nil, fmt.Errorf("%w: Upstreams is empty", ErrConfig)
	}
	client, err := remote.New(c.Client)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	g := newGate(c)
	addresses := make(map[string]name.Registry, len(upstreams))
	for registry, up := range upstreams {
		addresses[registry] = up.address
	}
	for _, up := range upstreams {
		// A client for each: one that stalls must not hold up what is asked of others.
		up.operator = &origin{
			manifests: g.manifests, client: client.WithKeychain(c.Client.Keychain), registry: up.registry, address: up.address, elsewhere: addresses,
		}
	}
	return &Handler{gate: g, upstreams: upstreams, addresses: addresses, client: client, personal: newOrigins()}, nil
}

// ServeHTTP serves the pull API; see the package documentation.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	leave, refused := h.gate.limits.enter(clientOf(addressOf(r)))
	if refused != nil {
		h.gate.exchange(w, r, location{}, pull{}).refuse(refused)
		return
	}
	defer leave()
	l, about, refused := h.target(r)
	x := h.gate.exchange(w, r, l, about)
	switch {
	case refused != nil:
		x.refuse(refused)
	case l.at == atPing:
		x.ping()
	default:
		x.serve()
	}
}

// target is what a request is about.
func (h *Handler) target(r *http.Request) (location, pull, *refusal) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return location{}, pull{}, refuse(http.StatusMethodNotAllowed, codeUnsupported, "this gate is for pulling: only GET and HEAD are answered")
	}
	if r.URL.IsAbs() {
		return location{}, pull{}, refuse(http.StatusBadRequest, codeUnsupported, "this is not a forward proxy; ask for a path")
	}
	l, refused := locate(r.URL)
	if refused != nil {
		return location{}, pull{}, refused
	}
	if l.at == atPing {
		return l, pull{}, h.greet(r)
	}
	up, repo, refused := h.route(l.repo, r.URL.Query())
	if refused != nil {
		return location{}, pull{}, refused
	}
	from, refused := h.origin(r, up)
	return l, pull{repo, from}, refused
}

// route finds the upstream and the name under which a repository is judged.
func (h *Handler) route(path string, query url.Values) (*upstream, name.Repository, *refusal) {
	namespaces := query["ns"]
	if len(namespaces) > 1 {
		return nil, name.Repository{}, refuse(http.StatusBadRequest, codeName, "ns is given more than once")
	}
	to := Target{Repository: path}
	if len(namespaces) == 1 {
		to.Namespace = namespaces[0]
	}
	choose := h.gate.c.Select
	if choose == nil {
		choose = h.choose
	}
	host, repository, err := choose(to)
	if err != nil {
		return nil, name.Repository{}, refuse(http.StatusNotFound, codeNameUnknown, "%s", safe(err.Error()))
	}
	known, err := name.NewRegistry(host)
	if err != nil {
		return nil, name.Repository{}, refuse(http.StatusBadRequest, codeName, "the registry's name is malformed")
	}
	up := h.upstreams[known.RegistryStr()]
	if up == nil {
		return nil, name.Repository{}, refuse(http.StatusNotFound, codeNameUnknown, "this gate does not stand before %s", safe(known.Name()))
	}
	// Written out in full and read again. One name has one form then: Docker
	// Hub's short names get their "library/".
	repo, err := name.NewRepository(up.registry.Name() + "/" + repository)
	if err == nil {
		repo, err = name.NewRepository(up.registry.Name() + "/" + repo.RepositoryStr())
	}
	if err != nil || len(repo.RepositoryStr()) > maxRepository || !nameSyntax(repo.RepositoryStr()) {
		return nil, name.Repository{}, refuse(http.StatusBadRequest, codeName, "the repository's name is malformed")
	}
	return up, repo, nil
}

// choose is Config.Select's default.
func (h *Handler) choose(t Target) (host, repository string, err error) {
	if t.Namespace != "" {
		return t.Namespace, t.Repository, nil
	}
	if first, rest, found := strings.Cut(t.Repository, "/"); found {
		// Only a first segment of this form can be a host.
		isHost := strings.ContainsAny(first, ".:") || first == "localhost"
		if known, err := name.NewRegistry(first); err == nil && isHost && h.upstreams[known.RegistryStr()] != nil {
			return first, rest, nil
		}
	}
	if len(h.upstreams) == 1 {
		for _, only := range h.upstreams {
			return only.registry.Name(), t.Repository, nil
		}
	}
	return "", "", errors.New("say which registry is meant: by the first part of the name, as in registry.example/team/app, or by ?ns=")
}
