package verify

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/pattern"
	"github.com/hallmark-oci/hallmark/internal/semver"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Annotations and labels that are the same in all images.
//
// Source: OCI Image Format Specification v1.1, annotations.md.
const (
	baseDigestKey = "org.opencontainers.image.base.digest"
	baseNameKey   = "org.opencontainers.image.base.name"
	versionKey    = "org.opencontainers.image.version"
)

// configuration judges images by the conditions of a requirement about their config.
type configuration struct {
	*policy.ConfigRequirement
	cel expressions
}

// judge says whether an image meets the requirement. until is when it stops to.
func (q configuration) judge(v *imageView, c *circumstances) (until time.Time, p *problem) {
	if q.NonRoot && v.runsAsRoot() {
		return until, problemf(ReasonRoot, "config.User is %q, the policy wants another user than root", v.Config.User)
	}
	if q.NoSecrets {
		if at := v.secretAt(); at != "" {
			return until, problemf(ReasonSecret, "%s looks like a secret", at)
		}
	}
	if port := v.privilegedPort(); q.NoPrivilegedPorts && port != "" {
		return until, problemf(ReasonPort, "it exposes the port %q, the policy wants 1024 or above", port)
	}
	if len(q.Platforms) > 0 && !q.allowsPlatform(v.is()) {
		return until, unwanted(ReasonPlatform, "its platform", v.platform(), q.Platforms)
	}
	if len(q.Platforms) > 0 && v.listedFor != nil && !sameMachine(v.is(), *v.listedFor) {
		return until, problemf(ReasonPlatform, "its platform is %q, and the index lists it as %q", v.platform(), v.listedFor.String())
	}
	if len(q.BaseImages) > 0 && !q.allowsBase(v) {
		return until, problemf(ReasonBaseImage, "its base image is %q with digest %q, which the policy does not list", v.annotations[baseNameKey], v.annotations[baseDigestKey])
	}
	if p := q.judgeLabels(v); p != nil {
		return until, p
	}
	if q.MinVersion != "" {
		if p := q.judgeVersion(v); p != nil {
			return until, p
		}
	}
	until, p = q.judgeCreated(v, c.now, c.skew)
	if p != nil || len(q.cel) == 0 {
		return until, p
	}
	ends, p := q.cel.judge(c, v.variables(c))
	return earlier(until, ends), p
}

// allowsPlatform compares platforms in their normal forms. One that is listed without a
// variant allows every variant.
func (q configuration) allowsPlatform(have v1.Platform) bool {
	return slices.ContainsFunc(q.Platforms, func(text string) bool {
		parts := append(strings.Split(text, "/"), "", "")
		want := v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
		return sameMachine(have, want) && (want.Variant == "" || oci.NormalPlatform(have).Variant == oci.NormalPlatform(want).Variant)
	})
}

// sameMachine compares OS and architecture in their normal forms.
func sameMachine(a, b v1.Platform) bool {
	a, b = oci.NormalPlatform(a), oci.NormalPlatform(b)
	return a.OS == b.OS && a.Architecture == b.Architecture
}

// judgeVersion judges the version in the manifest's annotations and the one in the labels,
// which may come from the base image. Each that is there must be high enough.
func (q configuration) judgeVersion(v *imageView) *problem {
	stated := false
	for _, of := range []map[string]string{v.annotations, v.Config.Labels} {
		version, there := of[versionKey]
		if order, ok := semver.Compare(version, q.MinVersion); there && (!ok || order < 0) {
			return problemf(ReasonVersion, "%s is %q, the policy wants at least %s", versionKey, version, q.MinVersion)
		}
		stated = stated || there
	}
	if !stated {
		return problemf(ReasonVersion, "it has no label or annotation %s", versionKey)
	}
	return nil
}

func (q configuration) judgeLabels(v *imageView) *problem {
	for _, x := range []struct {
		what       string
		want, have map[string]string
	}{{"label", q.Labels, v.Config.Labels}, {"annotation", q.Annotations, v.annotations}} {
		for _, key := range slices.Sorted(maps.Keys(x.want)) {
			if got, there := x.have[key]; !there || got != x.want[key] {
				return unwanted(ReasonLabels, "its "+x.what+" "+key, got, []string{x.want[key]})
			}
		}
	}
	return nil
}

func (q configuration) judgeCreated(v *imageView, now time.Time, skew time.Duration) (time.Time, *problem) {
	if q.CreatedWithin == 0 {
		return time.Time{}, nil
	}
	created := v.created()
	if created.IsZero() {
		return time.Time{}, problemf(ReasonCreated, "it does not say when it was created")
	}
	if created.After(now.Add(skew)) {
		return time.Time{}, problemf(ReasonFuture, "created is %s, in the future; the clock says %s", utc(created), utc(now))
	}
	ends := created.Add(time.Duration(q.CreatedWithin))
	if !now.Before(ends) {
		return time.Time{}, problemf(ReasonCreated, "created is %s, the policy wants it at most %s ago", utc(created), time.Duration(q.CreatedWithin))
	}
	return ends, nil
}

// allowsBase reports whether the policy lists the base image, by its digest or by a
// pattern of its repository.
func (q configuration) allowsBase(v *imageView) bool {
	if digest := v.annotations[baseDigestKey]; digest != "" && slices.Contains(q.BaseImages, digest) {
		return true
	}
	ref, err := name.ParseReference(strings.TrimSpace(v.annotations[baseNameKey]))
	if err != nil {
		return false
	}
	set, err := pattern.SetOf(q.BaseImages)
	if err != nil {
		return false // cannot be: the policy was checked
	}
	_, ok := set.Match(ref.Context())
	return ok
}
