package keyless_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
)

// first is the first service of a kind in a configuration.
func first(config sigstoretest.Object, kind string) sigstoretest.Object {
	return config[kind].([]any)[0].(sigstoretest.Object)
}

func TestConfigurationsThatCannotSignAreRefused(t *testing.T) {
	w := newWorld(t)
	past := sigstoretest.Object{"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
	for name, c := range map[string]struct {
		change func(config, root sigstoretest.Object)
		text   string
	}{
		"another version": {func(c, _ sigstoretest.Object) {
			c["mediaType"] = "application/vnd.dev.sigstore.signingconfig.v0.1+json"
		}, "mediaType"},
		"an unknown member":         {func(c, _ sigstoretest.Object) { c["rekorUrl"] = "https://rekor.example" }, "rekorUrl"},
		"plain HTTP":                {func(c, _ sigstoretest.Object) { first(c, "caUrls")["url"] = "http://fulcio.example" }, "https is required"},
		"plain HTTP to a log":       {func(c, _ sigstoretest.Object) { first(c, "rekorTlogUrls")["url"] = "http://127.0.0.1.example" }, "https is required"},
		"a user in a URL":           {func(c, _ sigstoretest.Object) { first(c, "tsaUrls")["url"] = "https://me@tsa.example" }, "not the URL of a service"},
		"a query in a URL":          {func(c, _ sigstoretest.Object) { first(c, "tsaUrls")["url"] = "https://tsa.example?x=1" }, "no query"},
		"no URL":                    {func(c, _ sigstoretest.Object) { first(c, "caUrls")["url"] = "" }, "not the URL of a service"},
		"no start":                  {func(c, _ sigstoretest.Object) { delete(first(c, "caUrls"), "validFor") }, "no start"},
		"no authority":              {func(c, _ sigstoretest.Object) { delete(c, "caUrls") }, "no certificate authority"},
		"an authority of the past":  {func(c, _ sigstoretest.Object) { first(c, "caUrls")["validFor"] = past }, "no certificate authority"},
		"another major version":     {func(c, _ sigstoretest.Object) { first(c, "caUrls")["majorApiVersion"] = 3 }, "no certificate authority"},
		"no log":                    {func(c, _ sigstoretest.Object) { delete(c, "rekorTlogUrls") }, "no transparency log"},
		"a log of the past":         {func(c, _ sigstoretest.Object) { first(c, "rekorTlogUrls")["validFor"] = past }, "no transparency log"},
		"v2 without timestamps":     {func(c, _ sigstoretest.Object) { delete(c, "tsaUrls") }, "no timestamp authority"},
		"no selector":               {func(c, _ sigstoretest.Object) { delete(c, "rekorTlogConfig") }, "rekorTlogConfig: selector"},
		"an unknown selector":       {func(c, _ sigstoretest.Object) { c["tsaConfig"] = sigstoretest.Object{"selector": "SOME"} }, "tsaConfig: selector"},
		"more than there are":       {func(c, _ sigstoretest.Object) { c["tsaConfig"] = sigstoretest.Object{"selector": "EXACT", "count": 2} }, "wants 2 services"},
		"exactly none":              {func(c, _ sigstoretest.Object) { c["tsaConfig"] = sigstoretest.Object{"selector": "EXACT"} }, "wants 0 services"},
		"a root without logs":       {func(_, r sigstoretest.Object) { r["tlogs"] = []any{} }, "no transparency log"},
		"a root without CT":         {func(_, r sigstoretest.Object) { r["ctlogs"] = []any{} }, "no certificate transparency log"},
		"a root without timestamps": {func(_, r sigstoretest.Object) { r["timestampAuthorities"] = []any{} }, "no timestamp authority"},
		"a root without authority":  {func(_, r sigstoretest.Object) { r["certificateAuthorities"] = []any{} }, "no certificate authority"},
		"too many services":         {func(c, _ sigstoretest.Object) { c["tsaUrls"] = slices.Repeat(c["tsaUrls"].([]any), 65) }, "the limit is 64"},
		"not a root":                {func(_, r sigstoretest.Object) { r["mediaType"] = "root" }, "unusable trust root"},
	} {
		config, root := w.ConfigJSON(2), w.RootJSON()
		c.change(config, root)
		o := w.options(2)
		o.SigningConfig, o.TrustedRoot = w.Marshal(config), w.Marshal(root)
		if s, err := keyless.New(o); s != nil || !errors.Is(err, keyless.ErrConfig) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want ...%s...", name, err, c.text)
		}
	}
	o := w.options(2)
	o.SigningConfig = []byte(`{"mediaType":1`)
	if _, err := keyless.New(o); !errors.Is(err, keyless.ErrConfig) {
		t.Error(err)
	}
	o = w.options(2)
	o.TrustedRoot = nil
	if _, err := keyless.New(o); !errors.Is(err, keyless.ErrConfig) || !strings.Contains(err.Error(), "no trust root") {
		t.Error(err)
	}
	o = w.options(2)
	o.Identity = nil
	if _, err := keyless.New(o); !errors.Is(err, keyless.ErrIdentity) {
		t.Error(err)
	}
	if len(w.Requests()) > 0 {
		t.Errorf("New asked for %v", w.Requests())
	}
}

func TestAClientTrustConfigHoldsBoth(t *testing.T) {
	w := newWorld(t)
	o := w.options(2)
	o.SigningConfig, o.TrustedRoot = w.Marshal(sigstoretest.Object{
		"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json", "trustedRoot": w.RootJSON(), "signingConfig": w.ConfigJSON(2),
	}), nil
	if err := signAny(w.signer(o)); err != nil {
		t.Error(err)
	}
}

func TestTagsNeedRekorV1(t *testing.T) {
	w := newWorld(t)
	store, digest := w.image()
	_, err := sign.Image(t.Context(), store, digest, sign.ImageOptions{Formats: []registry.Format{registry.FormatSimpleSigning}}, w.signer(w.options(2)))
	if !errors.Is(err, keyless.ErrFormat) || len(w.Requests()) > 0 {
		t.Errorf("%v, %v", err, w.Requests())
	}
}

func TestInstancesWithoutLogsAreStated(t *testing.T) {
	w := newWorld(t)
	config := w.ConfigJSON()
	delete(config, "rekorTlogUrls")
	o := w.options()
	o.SigningConfig, o.WithoutLogs, o.WithoutCT = w.Marshal(config), true, true
	w.Certificate = func(l *sigstoretest.Leaf) { l.WithoutSCT = true }
	if err := signAny(w.signer(o)); err != nil {
		t.Error(err)
	}
}

// several services by name, each of an operator and of a time at which it began.
func several(w *world, version int, names ...string) (all []any) {
	for n, name := range names {
		operator, _, _ := strings.Cut(name, "-")
		all = append(all, sigstoretest.Object{
			"url": w.URL + "/" + name, "majorApiVersion": version, "operator": operator,
			"validFor": sigstoretest.Object{"start": w.Now.Add(time.Duration(n-100) * time.Hour).Format(time.RFC3339)},
		})
	}
	return all
}

func TestSelectorsChooseLogs(t *testing.T) {
	for name, c := range map[string]struct {
		selector sigstoretest.Object
		down     []string
		ok       bool
		want     []string // who must have been asked
		entries  int
	}{
		"ANY":                    {sigstoretest.Object{"selector": "ANY"}, nil, true, nil, 1},
		"ANY, one is down":       {sigstoretest.Object{"selector": "ANY"}, []string{"a-new"}, true, nil, 1},
		"ANY, all are down":      {sigstoretest.Object{"selector": "ANY"}, []string{"a-new", "b"}, false, []string{"a-new", "b"}, 0},
		"ALL":                    {sigstoretest.Object{"selector": "ALL"}, nil, true, []string{"a-new", "b"}, 2},
		"ALL, one is down":       {sigstoretest.Object{"selector": "ALL"}, []string{"b"}, false, nil, 0},
		"EXACT one":              {sigstoretest.Object{"selector": "EXACT", "count": 1}, []string{"b"}, true, nil, 1},
		"EXACT two, one is down": {sigstoretest.Object{"selector": "EXACT", "count": 2}, []string{"b"}, false, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			config := w.ConfigJSON()
			config["rekorTlogUrls"], config["rekorTlogConfig"] = several(w, 1, "a-old", "a-new", "b"), c.selector
			w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
				log, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
				if !strings.HasPrefix(path, "api/v1/log") {
					return false
				}
				if slices.Contains(c.down, log) {
					rw.WriteHeader(http.StatusServiceUnavailable)
					return true
				}
				r.URL.Path = "/" + path
				return false
			}
			o := w.options()
			o.SigningConfig = w.Marshal(config)
			store, digest := w.image()
			_, err := sign.Image(t.Context(), store, digest, sign.ImageOptions{}, w.signer(o))
			if c.selector["selector"] == "ALL" && c.ok || c.entries > 1 {
				// Both names lead to one log here, which counts once.
				if !errors.Is(err, keyless.ErrUntrusted) || !strings.Contains(err.Error(), "there twice") {
					t.Errorf("%v", err)
				}
			} else if (err == nil) != c.ok {
				t.Errorf("%v", err)
			}
			if n := w.Asked("POST /a-old"); n > 0 {
				t.Error("the older log of an operator was asked")
			}
			for _, log := range c.want {
				if w.Asked("POST /"+log) == 0 {
					t.Errorf("%s was not asked", log)
				}
			}
		})
	}
}
