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

// Annotations and labels that images have in common.
//
// Source: OCI Image Format Specification v1.1, annotations.md.
const (
	baseDigestKey = "org.opencontainers.image.base.digest"
	baseNameKey   = "org.opencontainers.image.base.name"
	versionKey    = "org.opencontainers.image.version"
)

// configuration judges images by a requirement about their config.
type configuration struct{ *policy.ConfigRequirement }

// judge says whether an image meets the requirement; until is when it stops to.
func (q configuration) judge(v *imageView, now time.Time, skew time.Duration) (until time.Time, p *problem) {
	if q.NonRoot && v.runsAsRoot() {
		return until, problemf(ReasonRoot, "it runs as %q", v.Config.User)
	}
	if q.NoSecrets {
		if at := v.secretAt(); at != "" {
			return until, problemf(ReasonSecret, "%s looks like one", at)
		}
	}
	if port := v.privilegedPort(); q.NoPrivilegedPorts && port != "" {
		return until, problemf(ReasonPort, "it exposes %q", port)
	}
	if len(q.Platforms) > 0 && !q.allowsPlatform(v.is()) {
		return until, problemf(ReasonPlatform, "it is for %q", v.platform())
	}
	if len(q.Platforms) > 0 && v.listedFor != nil && !sameMachine(v.is(), *v.listedFor) {
		return until, problemf(ReasonPlatform, "it is for %q, and the index lists it for %q", v.platform(), v.listedFor.String())
	}
	if len(q.BaseImages) > 0 && !q.allowsBase(v) {
		return until, problemf(ReasonBaseImage, "its base is %q, %q", v.annotations[baseNameKey], v.annotations[baseDigestKey])
	}
	if p := q.judgeLabels(v); p != nil {
		return until, p
	}
	if q.MinVersion != "" {
		if p := q.judgeVersion(v); p != nil {
			return until, p
		}
	}
	return q.judgeCreated(v, now, skew)
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

// judgeVersion judges the version in the manifest's annotations and the one in the
// labels, which may be that of the base image: whichever is there must do.
func (q configuration) judgeVersion(v *imageView) *problem {
	stated := false
	for _, of := range []map[string]string{v.annotations, v.Config.Labels} {
		version, there := of[versionKey]
		if order, ok := semver.Compare(version, q.MinVersion); there && (!ok || order < 0) {
			return problemf(ReasonVersion, "its version is %q, less than %s", version, q.MinVersion)
		}
		stated = stated || there
	}
	if !stated {
		return problemf(ReasonVersion, "it does not say its version")
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
				return problemf(ReasonLabels, "its %s %q is %q", x.what, key, got)
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
		return time.Time{}, problemf(ReasonFuture, "it says that it was created at %s", created.UTC().Format(time.RFC3339))
	}
	ends := created.Add(time.Duration(q.CreatedWithin))
	if !now.Before(ends) {
		return time.Time{}, problemf(ReasonCreated, "it was created at %s", created.UTC().Format(time.RFC3339))
	}
	return ends, nil
}

// allowsBase reports whether the base that the image names is allowed: by its
// digest, or by a pattern of its repository.
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
		return false // the policy was checked
	}
	_, ok := set.Match(ref.Context())
	return ok
}
