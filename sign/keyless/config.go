package keyless

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// maxConfigBytes bounds a signing configuration with its trust root, and maxServices the
// services of one kind in it.
const (
	maxConfigBytes = 4 << 20
	maxServices    = 64
)

// Media types of signing configurations, and of what holds one.
const (
	signingConfigV02 = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
	trustConfigV01   = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
)

// service is one of a signing configuration.
type service struct {
	url        string
	version    int64
	operator   string
	start, end time.Time
}

func (s service) valid(now time.Time) bool {
	return !now.Before(s.start) && (s.end.IsZero() || !now.After(s.end))
}

// selector says how many services of a kind are used.
type selector struct {
	Kind  string `json:"selector"`
	Count int64  `json:"count"`
}

// config is a signing configuration.
type config struct {
	ca, oidc, logs, tsa      []service
	selectLogs, selectStamps selector
	// root is the text of the trust root that a ClientTrustConfig holds; nil: none.
	root []byte
}

// choice are services in the order of their use, and how many are needed.
type choice struct {
	services []service
	need     int
}

type wireService struct {
	URL             string `json:"url"`
	MajorAPIVersion int64  `json:"majorApiVersion"`
	ValidFor        struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end"`
	} `json:"validFor"`
	Operator string `json:"operator"`
}

type wireConfig struct {
	MediaType       string        `json:"mediaType"`
	CAURLs          []wireService `json:"caUrls"`
	OIDCURLs        []wireService `json:"oidcUrls"`
	RekorTlogURLs   []wireService `json:"rekorTlogUrls"`
	RekorTlogConfig selector      `json:"rekorTlogConfig"`
	TSAURLs         []wireService `json:"tsaUrls"`
	TSAConfig       selector      `json:"tsaConfig"`
}

// parseConfig reads a signing configuration, or a ClientTrustConfig.
func parseConfig(text []byte) (*config, error) {
	if len(text) > maxConfigBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrConfig, maxConfigBytes)
	}
	v, err := strictjson.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c := &config{}
	if v.Get("mediaType").Is(trustConfigV01) {
		c.root, v = v.Get("trustedRoot").Raw(), v.Get("signingConfig")
	}
	var w wireConfig
	if err := strictjson.Decode(v, &w, strictjson.DecodeOptions{RefuseUnknown: true}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if w.MediaType != signingConfigV02 {
		return nil, fmt.Errorf("%w: mediaType is %.80q, want %q", ErrConfig, w.MediaType, signingConfigV02)
	}
	for _, kind := range []struct {
		name string
		from []wireService
		to   *[]service
	}{{"caUrls", w.CAURLs, &c.ca}, {"oidcUrls", w.OIDCURLs, &c.oidc}, {"rekorTlogUrls", w.RekorTlogURLs, &c.logs}, {"tsaUrls", w.TSAURLs, &c.tsa}} {
		if *kind.to, err = services(kind.from); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConfig, kind.name, err)
		}
	}
	c.selectLogs, c.selectStamps = w.RekorTlogConfig, w.TSAConfig
	return c, nil
}

func services(from []wireService) (all []service, err error) {
	if len(from) > maxServices {
		return nil, fmt.Errorf("%d services, the limit is %d", len(from), maxServices)
	}
	for _, w := range from {
		u, err := url.Parse(w.URL)
		if err == nil {
			err = secure(u)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", safetext.Of(w.URL, 200), err)
		}
		if u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("%s: a service's URL has no query", safetext.Of(w.URL, 200))
		}
		if w.ValidFor.Start.IsZero() {
			return nil, fmt.Errorf("%s: validFor has no start", safetext.Of(w.URL, 200))
		}
		all = append(all, service{strings.TrimSuffix(w.URL, "/"), w.MajorAPIVersion, w.Operator, w.ValidFor.Start, w.ValidFor.End})
	}
	return all, nil
}

// newest returns the valid services of the first of versions that has one: one of each
// operator, those that began last first.
func newest(all []service, now time.Time, versions ...int64) (found []service) {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b service) int { return b.start.Compare(a.start) })
	for _, version := range versions {
		operators := make(map[string]bool)
		for _, s := range sorted {
			if s.version == version && s.valid(now) && !operators[s.operator] {
				operators[s.operator] = true
				found = append(found, s)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// choose applies a selector to services.
func (s selector) choose(found []service) (choice, error) {
	c := choice{found, len(found)}
	switch s.Kind {
	case "ALL":
		return c, nil
	case "ANY":
		c.need = 1
	case "EXACT":
		if s.Count < 1 || s.Count > int64(len(found)) {
			return choice{}, fmt.Errorf("the selector wants %d services, and %d are valid", s.Count, len(found))
		}
		c.need = int(s.Count)
	default:
		return choice{}, fmt.Errorf("selector %.40q, want ALL, ANY or EXACT", s.Kind)
	}
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return c, nil
}

// plan says which services one signature needs.
type plan struct{ logs, stamps choice }

// plan chooses services. annotations says that only entries with signed entry timestamps
// are of use, as Rekor v1 makes them.
func (c *config) plan(now time.Time, annotations, withoutLogs bool) (p plan, err error) {
	versions := []int64{2, 1}
	if annotations {
		versions = []int64{1}
	}
	if !withoutLogs {
		logs := newest(c.logs, now, versions...)
		switch {
		case len(logs) == 0 && annotations && len(newest(c.logs, now, 2)) > 0:
			return p, fmt.Errorf("%w: .sig and .att tags hold entries of Rekor v1, and the signing configuration has Rekor v2 alone", ErrFormat)
		case len(logs) == 0:
			return p, fmt.Errorf("%w: no transparency log in rekorTlogUrls is valid now; without one, verifiers refuse signatures unless they are told to demand none", ErrConfig)
		}
		if p.logs, err = c.selectLogs.choose(logs); err != nil {
			return p, fmt.Errorf("%w: rekorTlogConfig: %w", ErrConfig, err)
		}
	}
	stamps := newest(c.tsa, now, 1)
	if len(stamps) > 0 {
		if p.stamps, err = c.selectStamps.choose(stamps); err != nil {
			return p, fmt.Errorf("%w: tsaConfig: %w", ErrConfig, err)
		}
	}
	if len(stamps) == 0 && (len(p.logs.services) == 0 || p.logs.services[0].version != 1) {
		return p, fmt.Errorf("%w: no timestamp authority in tsaUrls is valid now, and only Rekor v1 says a time itself", ErrConfig)
	}
	return p, nil
}

// authority is the certificate authority in use.
func (c *config) authority(now time.Time) (service, error) {
	found := newest(c.ca, now, 1)
	if len(found) == 0 {
		return service{}, fmt.Errorf("%w: no certificate authority in caUrls is valid now", ErrConfig)
	}
	return found[0], nil
}
