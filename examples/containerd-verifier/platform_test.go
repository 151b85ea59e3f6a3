package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// platforms is a scene whose images are in indexes.
type platforms struct {
	*scene
	n int
}

func newPlatforms(t *testing.T) *platforms {
	t.Helper()
	return &platforms{scene: newScene(t)}
}

// entry stores an image, and describes it for a platform; "": for none.
func (s *platforms) entry(t *testing.T, platform string) v1.Descriptor {
	t.Helper()
	s.n++
	at, err := registrytest.PushImage(t.Context(), s.hosted.Store(), s.repo.Tag("part"), registrytest.ImageOptions{Seed: platform + strings.Repeat("x", s.n)})
	must(t, err)
	d, err := s.hosted.Store().Resolve(t.Context(), at)
	must(t, err)
	if platform != "" {
		d.Platform, err = v1.ParsePlatform(platform)
		must(t, err)
	}
	return d
}

// index stores a signed index.
func (s *platforms) index(t *testing.T, entries ...v1.Descriptor) v1.Descriptor {
	t.Helper()
	text, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: entries})
	must(t, err)
	digest := s.hosted.Put(s.repo.RepositoryStr(), "index", string(types.OCIImageIndex), text)
	_, err = sign.Image(context.Background(), s.hosted.Store(), s.repo.Digest(digest), sign.ImageOptions{}, s.signer)
	must(t, err)
	d, err := s.hosted.Store().Resolve(t.Context(), s.repo.Digest(digest))
	must(t, err)
	return d
}

func (s *platforms) deny(t *testing.T, all ...v1.Descriptor) {
	t.Helper()
	text, err := os.ReadFile(s.policy)
	must(t, err)
	more := "denyDigests:\n"
	for _, d := range all {
		more += "  - {digest: \"" + d.Digest.String() + "\", reason: CVE-1}\n"
	}
	must(t, os.WriteFile(s.policy, append(text, more...), 0o600))
}

func (s *platforms) run(t *testing.T, d v1.Descriptor, platform string) (code int, said string) {
	t.Helper()
	var out bytes.Buffer
	args := append(s.args("index", d.Digest.String()), "-platform", platform)
	code = run(t.Context(), args, strings.NewReader(descriptor(d.Digest.String())), &out)
	return code, out.String()
}

func TestAttack_P23_WhatWillRunIsWhatIsJudged(t *testing.T) {
	for label, c := range map[string]struct {
		entries  []string // platforms
		denied   []int    // which of them
		platform string
		code     int
		says     string
	}{
		"all denied":                {[]string{"linux/amd64", "linux/arm64"}, []int{0, 1}, "linux/amd64", exitDenied, "denied-digest"},
		"all but attestations":      {[]string{"linux/amd64", "unknown/unknown"}, []int{0}, "linux/amd64", exitDenied, "denied-digest"},
		"this one denied":           {[]string{"linux/amd64", "linux/arm64"}, []int{0}, "linux/amd64", exitDenied, "denied-digest"},
		"another denied":            {[]string{"linux/amd64", "linux/arm64"}, []int{0}, "linux/arm64", exitAllowed, "verified"},
		"none denied":               {[]string{"linux/amd64", "linux/arm64"}, nil, "linux/arm64", exitAllowed, "verified"},
		"no such platform":          {[]string{"linux/amd64", "linux/arm64"}, nil, "linux/s390x", exitDenied, "no-such-platform"},
		"attestations alone":        {[]string{"unknown/unknown"}, nil, "linux/amd64", exitDenied, "no-such-platform"},
		"ambiguous":                 {[]string{"linux/amd64", "linux/amd64"}, nil, "linux/amd64", exitDenied, "ambiguous-platform"},
		"ambiguous, one denied":     {[]string{"linux/amd64", "linux/amd64"}, []int{0}, "linux/amd64", exitDenied, "ambiguous-platform"},
		"of no platform":            {[]string{""}, nil, "linux/amd64", exitAllowed, "verified"},
		"of no platform, denied":    {[]string{"", "linux/arm64"}, []int{0}, "linux/amd64", exitDenied, "denied-digest"},
		"of no platform, too":       {[]string{"", "linux/amd64"}, nil, "linux/amd64", exitDenied, "ambiguous-platform"},
		"variant by default":        {[]string{"linux/arm64/v8", "linux/arm64/v9"}, []int{1}, "linux/arm64", exitAllowed, "verified"},
		"variant denied":            {[]string{"linux/arm64/v8", "linux/arm64/v9"}, []int{0}, "linux/arm64", exitDenied, "denied-digest"},
		"variant asked for":         {[]string{"linux/arm/v6", "linux/arm/v7"}, []int{0}, "linux/arm/v6", exitDenied, "denied-digest"},
		"variant that is not there": {[]string{"linux/arm/v6"}, nil, "linux/arm/v7", exitDenied, "no-such-platform"},
	} {
		t.Run(label, func(t *testing.T) {
			s := newPlatforms(t)
			var entries, denied []v1.Descriptor
			for _, p := range c.entries {
				entries = append(entries, s.entry(t, p))
			}
			for _, i := range c.denied {
				denied = append(denied, entries[i])
			}
			index := s.index(t, entries...)
			nested := s.index(t, index)
			if len(denied) > 0 {
				s.deny(t, denied...)
			}
			for kind, d := range map[string]v1.Descriptor{"index": index, "index of an index": nested} {
				if code, said := s.run(t, d, c.platform); code != c.code || !strings.Contains(said, c.says) {
					t.Errorf("%s: exit %d: %s", kind, code, said)
				}
			}
		})
	}
}

func TestAttack_P23_ThisMachinesPlatformIsTheDefault(t *testing.T) {
	s := newPlatforms(t)
	index := s.index(t, s.entry(t, "plan9/mips"))
	if code, said := s.run(t, index, ""); code != exitDenied || !strings.Contains(said, "no-such-platform") {
		t.Errorf("exit %d: %s", code, said)
	}
	if code, said := s.run(t, index, "linux"); code != exitUndecided || !strings.Contains(said, "OS/ARCH") {
		t.Errorf("exit %d: %s", code, said)
	}
}

// A manifest that is named by its digest is judged as it is: nothing else will run.
func TestAttack_P23_AManifestIsJudgedWhateverItsPlatform(t *testing.T) {
	s := newPlatforms(t)
	d := s.entry(t, "")
	_, err := sign.Image(t.Context(), s.hosted.Store(), s.repo.Digest(d.Digest.String()), sign.ImageOptions{}, s.signer)
	must(t, err)
	if code, said := s.run(t, d, "linux/s390x"); code != exitAllowed {
		t.Errorf("exit %d: %s", code, said)
	}
	s.deny(t, d)
	if code, said := s.run(t, d, "linux/s390x"); code != exitDenied {
		t.Errorf("exit %d: %s", code, said)
	}
}
