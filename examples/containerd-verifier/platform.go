package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/oci"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// maxIndexes bounds the indexes that are read for one image.
const maxIndexes = 20

// parsePlatform reads -platform; empty: this machine's.
func parsePlatform(text string) (v1.Platform, error) {
	if text == "" {
		return v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}, nil
	}
	p, err := v1.ParsePlatform(text)
	if err != nil || p.OS == "" || p.Architecture == "" {
		return v1.Platform{}, fmt.Errorf("-platform %q: want OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64", text)
	}
	return *p, nil
}

// chooser finds what containerd would run of an allowed image.
type chooser struct {
	v        *verify.Verifier
	r        registry.Reader
	platform v1.Platform
	indexes  int
}

// candidate is a manifest that may run on the platform.
type candidate struct {
	result *verify.Result
	err    error // it is denied
	exact  bool  // its variant is the platform's, too
}

// choose judges what will run of an allowed image: itself, or what the index, and the
// indexes in it, list for the platform. Where that could be one of several, none is
// allowed.
func (c *chooser) choose(ctx context.Context, image *verify.Result) (*verify.Result, error) {
	all, isIndex, err := c.candidates(ctx, image)
	if err != nil || !isIndex {
		return image, err
	}
	chosen := make(map[string]candidate)
	for _, exact := range []bool{true, false} {
		for digest, found := range all {
			if found.exact == exact {
				chosen[digest] = found
			}
		}
		if len(chosen) > 0 {
			break
		}
	}
	deny := func(reason verify.Reason, detail string) (*verify.Result, error) {
		return nil, &verify.Error{Reason: reason, Reference: image.Reference, Digest: image.Digest, PolicyDigest: image.PolicyDigest, Rule: image.Rule, Detail: detail}
	}
	switch len(chosen) {
	case 0:
		return deny(verify.ReasonNoPlatform, fmt.Sprintf("the index lists no manifest for platform %s", c.platform.String()))
	case 1:
		for _, found := range chosen {
			return found.result, found.err
		}
	}
	return deny(verify.ReasonAmbiguousPlatform, fmt.Sprintf("the index lists %d manifests for platform %s; name the digest", len(chosen), c.platform.String()))
}

// candidates are the manifests of an index that may run on the platform, by digest. One
// that is listed for no platform may: containerd reads its config.
func (c *chooser) candidates(ctx context.Context, image *verify.Result) (all map[string]candidate, isIndex bool, err error) {
	if c.indexes++; c.indexes > maxIndexes {
		return nil, true, fmt.Errorf("%s lists more than %d indexes", image.Reference, maxIndexes)
	}
	m, err := registry.ReadManifest(ctx, c.r, image.Digest)
	if err != nil {
		return nil, false, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil || !doc.IsIndex {
		return nil, false, err
	}
	all = make(map[string]candidate)
	for _, d := range doc.Manifests {
		if !oci.IsManifestType(string(d.MediaType)) || d.Platform != nil && !c.fits(d.Platform) {
			continue
		}
		if err := c.add(ctx, all, image, d); err != nil {
			return nil, true, err
		}
	}
	return all, true, nil
}

func (c *chooser) add(ctx context.Context, all map[string]candidate, index *verify.Result, d v1.Descriptor) error {
	result, err := c.v.Child(ctx, c.r, index, index.Digest.Context().Digest(d.Digest.String()))
	var denied *verify.Error
	if err != nil && !errors.As(err, &denied) {
		return err
	}
	if err != nil || !d.MediaType.IsIndex() {
		exact := !d.MediaType.IsIndex() && (d.Platform == nil || variant(d.Platform.Architecture, d.Platform.Variant) == variant(c.platform.Architecture, c.platform.Variant))
		before, again := all[d.Digest.String()]
		all[d.Digest.String()] = candidate{result, err, exact || again && before.exact}
		return nil
	}
	below, _, err := c.candidates(ctx, result)
	for digest, found := range below {
		all[digest] = found
	}
	return err
}

// fits reports whether an entry is for the platform, whatever its variant.
func (c *chooser) fits(have *v1.Platform) bool {
	return have.OS == c.platform.OS && have.Architecture == c.platform.Architecture &&
		(c.platform.Variant == "" || variant(have.Architecture, have.Variant) == variant(c.platform.Architecture, c.platform.Variant)) &&
		(c.platform.OSVersion == "" || have.OSVersion == c.platform.OSVersion)
}

// variant is a variant as containerd normalises it: that which an architecture has by
// default has no name (containerd/platforms, database.go).
func variant(architecture, v string) string {
	switch {
	case architecture == "arm64" && (v == "8" || v == "v8"), architecture == "amd64" && v == "v1":
		return ""
	case architecture == "arm" && (v == "" || v == "7"):
		return "v7"
	}
	return v
}
