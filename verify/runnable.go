package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Runnable is Child for what a container runtime would run of an image on a platform:
// the image itself or, of an index, what the index and those in it list for the
// platform. Platforms are compared as containerd does, which also takes an entry for a
// lesser platform where nothing better is listed, and the first index that fits. image
// comes from Image, Child or Platform of the same Verifier.
//
// Platform asks for what an index lists for exactly a platform; Runnable for all that
// could run. Where a runtime could run one of several, none is allowed:
//
//   - no entry is for the platform, or lesser ones alone: *Error, ReasonNoPlatform;
//   - several manifests could run: *Error, ReasonAmbiguousPlatform;
//   - the one that would run is denied: the *Error of Child.
func (v *Verifier) Runnable(ctx context.Context, r registry.Reader, image *Result, platform v1.Platform) (*Result, error) {
	if image == nil || image.by != v {
		return nil, ErrResult
	}
	if err := v.holds(image); err != nil {
		return nil, err
	}
	return (&chooser{v: v, r: r, platform: platform}).choose(ctx, image)
}

// chooser finds what containerd would run of an allowed image.
type chooser struct {
	v        *Verifier
	r        registry.Reader
	platform v1.Platform
	indexes  int
}

// runnable is a manifest that may run on the platform.
type runnable struct {
	result *Result
	err    error // it is denied
	lower  bool  // it would run only where nothing better is listed
}

// choose judges what will run of an allowed image: itself, or what the index, and the
// indexes in it, list for the platform. Where that could be one of several, none is
// allowed.
func (c *chooser) choose(ctx context.Context, image *Result) (*Result, error) {
	chosen, isIndex, err := c.candidates(ctx, image)
	switch {
	case err != nil:
		return nil, err
	case !isIndex:
		return image, nil
	}
	deny := func(reason Reason, detail string) (*Result, error) {
		return nil, &Error{Reason: reason, Reference: image.Reference, Digest: image.Digest, PolicyDigest: image.PolicyDigest, Rule: image.Rule, Detail: detail}
	}
	better := false
	for _, found := range chosen {
		better = better || !found.lower
	}
	switch {
	case !better:
		return deny(ReasonNoPlatform, fmt.Sprintf("the index lists no manifest for platform %s", c.platform.String()))
	case len(chosen) == 1:
		for _, found := range chosen {
			return found.result, found.err
		}
	}
	advice := "name the digest"
	if c.platform.Variant == "" && oci.NormalPlatform(c.platform).Architecture == "arm" {
		advice = "ask for the variant of the machine, such as linux/arm/v7"
	}
	return deny(ReasonAmbiguousPlatform, fmt.Sprintf("the index lists %d manifests for platform %s; %s", len(chosen), c.platform.String(), advice))
}

// candidates are the manifests of an index that containerd may run on the platform, by
// digest. What fits exactly goes before what fits otherwise, but only among the
// manifests of one index: containerd takes the first index that fits.
func (c *chooser) candidates(ctx context.Context, image *Result) (chosen map[string]runnable, isIndex bool, err error) {
	if c.indexes++; c.indexes > maxPlatformIndexes {
		return nil, true, fmt.Errorf("%s lists more than %d indexes", image.Reference, maxPlatformIndexes)
	}
	m, err := registry.ReadManifest(ctx, c.r, image.Digest)
	if err != nil {
		return nil, false, err
	}
	doc, err := m.Parse()
	if err != nil || !doc.IsIndex {
		return nil, false, err
	}
	exact := slices.ContainsFunc(doc.Manifests, func(d v1.Descriptor) bool {
		return d.MediaType.IsImage() && oci.FitOf(d.Platform, c.platform) == oci.FitExact
	})
	chosen = make(map[string]runnable)
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
func (c *chooser) add(ctx context.Context, chosen map[string]runnable, index *Result, d v1.Descriptor, lower bool) error {
	result, err := c.v.Child(ctx, c.r, index, index.Digest.Context().Digest(d.Digest.String()))
	var denied *Error
	if err != nil && !errors.As(err, &denied) {
		return err
	}
	found := map[string]runnable{d.Digest.String(): {result, err, lower}}
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
