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

// Runnable is Child for the manifest that a container runtime would run on a platform: the
// image itself, or what an index and its nested indexes list. image comes from Image, Child
// or Platform of the same Verifier.
//
// Platforms are compared as containerd does. It also takes an entry for a lesser platform
// if nothing better is listed, and takes the first index that fits. Platform, in contrast,
// wants an entry for exactly the platform.
//
// The decision, in this order:
//
//   - v did not make image, or image.ValidUntil has passed: ErrResult.
//   - A manifest cannot be read: the store's error.
//   - image is not an index: image.
//   - No entry fits, or only entries for lesser platforms: *Error, ReasonNoPlatform.
//   - Several manifests could run: *Error, ReasonAmbiguousPlatform.
//   - The manifest that would run is denied: the *Error of Child.
//   - Otherwise the Result of Child.
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

// choose judges the manifest that would run. If several could, none is allowed.
func (c *chooser) choose(ctx context.Context, image *Result) (*Result, error) {
	chosen, isIndex, err := c.candidates(ctx, image)
	switch {
	case err != nil:
		return nil, err
	case !isIndex:
		return image, nil
	}
	deny := func(reason Reason, detail string) (*Result, error) {
		return nil, &Error{Reason: reason, Reference: image.Reference, Digest: image.Digest, PolicyDigest: image.PolicyDigest, Rule: image.Rule, Team: image.Team, Detail: detail}
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
// digest. An exact fit goes before others only within one index: containerd takes the first
// index that fits.
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
