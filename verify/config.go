package verify

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/pattern"
)

// Annotations and labels that images have in common.
//
// Source: OCI Image Format Specification v1.1, annotations.md.
const (
	baseDigestKey = "org.opencontainers.image.base.digest"
	baseNameKey   = "org.opencontainers.image.base.name"
	versionKey    = "org.opencontainers.image.version"
)

var platformForm = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9.]+)?$`)

// check refuses a requirement that cannot mean what it says.
func (q *ConfigRequirement) check() error {
	if !q.NonRoot && !q.NoSecrets && !q.NoPrivilegedPorts && q.CreatedWithin == 0 && len(q.BaseImages) == 0 && len(q.Platforms) == 0 &&
		len(q.Labels) == 0 && len(q.Annotations) == 0 && q.MinVersion == "" {
		return fmt.Errorf("asks for nothing")
	}
	if err := emptyLists(map[string]bool{"baseImages": isEmpty(q.BaseImages), "platforms": isEmpty(q.Platforms)}); err != nil {
		return err
	}
	for _, p := range q.Platforms {
		if !platformForm.MatchString(p) {
			return fmt.Errorf("has in platforms %.100q, want OS/ARCHITECTURE[/VARIANT] as in linux/amd64", p)
		}
	}
	for _, b := range q.BaseImages {
		if _, err := pattern.Parse(b); err != nil && !isDigest(b) {
			return fmt.Errorf("has in baseImages %.200q, which is neither a digest nor a pattern: %w", b, err)
		}
	}
	if _, err := q.basePatterns(); err != nil {
		return fmt.Errorf("has baseImages that cannot be compared with one another: %w", err)
	}
	if _, ok := compareVersions(q.MinVersion, "0.0.0"); q.MinVersion != "" && !ok {
		return fmt.Errorf("has minVersion %.100q, which is no semantic version such as 1.2.3", q.MinVersion)
	}
	return nil
}

// judge says whether an image meets the requirement; until is when it stops to.
func (q *ConfigRequirement) judge(v *imageView, now time.Time, skew time.Duration) (until time.Time, p *problem) {
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
	if len(q.Platforms) > 0 && !slices.Contains(q.Platforms, v.platform()) && !slices.Contains(q.Platforms, v.OS+"/"+v.Architecture) {
		return until, problemf(ReasonPlatform, "it is for %q", v.platform())
	}
	if own := v.OS + "/" + v.Architecture; len(q.Platforms) > 0 && v.listedFor != "" && v.listedFor != own {
		return until, problemf(ReasonPlatform, "it is for %q, and the index lists it for %q", own, v.listedFor)
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

// judgeVersion judges the version in the manifest's annotations and the one in the
// labels, which may be that of the base image: whichever is there must do.
func (q *ConfigRequirement) judgeVersion(v *imageView) *problem {
	stated := false
	for _, of := range []map[string]string{v.annotations, v.Config.Labels} {
		version, there := of[versionKey]
		if order, ok := compareVersions(version, q.MinVersion); there && (!ok || order < 0) {
			return problemf(ReasonVersion, "its version is %q, less than %s", version, q.MinVersion)
		}
		stated = stated || there
	}
	if !stated {
		return problemf(ReasonVersion, "it does not say its version")
	}
	return nil
}

func (q *ConfigRequirement) judgeLabels(v *imageView) *problem {
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

func (q *ConfigRequirement) judgeCreated(v *imageView, now time.Time, skew time.Duration) (time.Time, *problem) {
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
func (q *ConfigRequirement) allowsBase(v *imageView) bool {
	if digest := v.annotations[baseDigestKey]; digest != "" && slices.Contains(q.BaseImages, digest) {
		return true
	}
	ref, err := name.ParseReference(strings.TrimSpace(v.annotations[baseNameKey]))
	if err != nil {
		return false
	}
	set, err := q.basePatterns()
	if err != nil {
		return false // check has refused it
	}
	_, ok := set.Match(ref.Context())
	return ok
}

// basePatterns are those of BaseImages that are no digests.
func (q *ConfigRequirement) basePatterns() (*pattern.Set, error) {
	var entries []pattern.Entry
	for _, b := range q.BaseImages {
		if p, err := pattern.Parse(b); err == nil {
			entries = append(entries, pattern.Entry{Pattern: p})
		}
	}
	return pattern.NewSet(entries)
}
