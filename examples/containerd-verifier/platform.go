package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
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
	lower  bool  // it would run only where nothing better is listed
}

// choose judges what will run of an allowed image: itself, or what the index, and the
// indexes in it, list for the platform. Where that could be one of several, none is
// allowed.
func (c *chooser) choose(ctx context.Context, image *verify.Result) (*verify.Result, error) {
	chosen, isIndex, err := c.candidates(ctx, image)
	if err != nil || !isIndex {
		return image, err
	}
	deny := func(reason verify.Reason, detail string) (*verify.Result, error) {
		return nil, &verify.Error{Reason: reason, Reference: image.Reference, Digest: image.Digest, PolicyDigest: image.PolicyDigest, Rule: image.Rule, Detail: detail}
	}
	better := false
	for _, found := range chosen {
		better = better || !found.lower
	}
	switch {
	case !better:
		return deny(verify.ReasonNoPlatform, fmt.Sprintf("the index lists no manifest for platform %s", c.platform.String()))
	case len(chosen) == 1:
		for _, found := range chosen {
			return found.result, found.err
		}
	}
	advice := "name the digest"
	if c.platform.Variant == "" && oci.NormalPlatform(c.platform).Architecture == "arm" {
		advice = "set -platform to the variant of this machine, such as linux/arm/v7"
	}
	return deny(verify.ReasonAmbiguousPlatform, fmt.Sprintf("the index lists %d manifests for platform %s; %s", len(chosen), c.platform.String(), advice))
}

// candidates are the manifests of an index that containerd may run on the platform, by
// digest. What fits exactly goes before what fits otherwise, but only among the
// manifests of one index: containerd takes the first index that fits.
func (c *chooser) candidates(ctx context.Context, image *verify.Result) (chosen map[string]candidate, isIndex bool, err error) {
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
	exact := slices.ContainsFunc(doc.Manifests, func(d v1.Descriptor) bool {
		return d.MediaType.IsImage() && oci.FitOf(d.Platform, c.platform) == oci.FitExact
	})
	chosen = make(map[string]candidate)
	for _, d := range doc.Manifests {
		fit := oci.FitOf(d.Platform, c.platform)
		hidden := exact && d.MediaType.IsImage() && (fit == oci.FitLower || fit == oci.FitVariant)
		if !oci.IsManifestType(string(d.MediaType)) || fit == oci.FitNone || hidden {
			continue
		}
		if err := c.add(ctx, chosen, image, d, fit == oci.FitLower); err != nil {
			return nil, true, err
		}
	}
	return chosen, true, nil
}

// add judges an entry of an index.
func (c *chooser) add(ctx context.Context, chosen map[string]candidate, index *verify.Result, d v1.Descriptor, lower bool) error {
	result, err := c.v.Child(ctx, c.r, index, index.Digest.Context().Digest(d.Digest.String()))
	var denied *verify.Error
	if err != nil && !errors.As(err, &denied) {
		return err
	}
	found := map[string]candidate{d.Digest.String(): {result, err, lower}}
	if err == nil && d.MediaType.IsIndex() {
		if found, _, err = c.candidates(ctx, result); err != nil {
			return err
		}
	}
	for digest, more := range found {
		if before, again := chosen[digest]; again {
			more.lower = more.lower && before.lower
		}
		chosen[digest] = more
	}
	return nil
}
