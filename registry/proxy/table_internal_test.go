package proxy

import (
	"net/url"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/oci"
)

func TestAttack_P1_WhatPathsMean(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	long := strings.Repeat("a", 2*maxRepository+1)
	for path, want := range map[string]location{
		"/v2":                               {at: atPing},
		"/v2/":                              {at: atPing},
		"/v2/a/manifests/v1":                {atManifest, "a", "v1"},
		"/v2/a/manifests/sha256:" + hex:     {atManifest, "a", "sha256:" + hex},
		"/v2/a/b/c/blobs/sha256:" + hex:     {atBlob, "a/b/c", "sha256:" + hex},
		"/v2/a/referrers/sha256:" + hex:     {atReferrers, "a", "sha256:" + hex},
		"/v2/a/tags/list":                   {atTags, "a", ""},
		"/v2/tags/manifests/list":           {atManifest, "tags", "list"},
		"/v2/Host.example:5000/a/tags/list": {atTags, "Host.example:5000/a", ""},
	} {
		if l, refused := locate(&url.URL{Path: path}); refused != nil || l != want {
			t.Errorf("%s: %+v, %+v", path, l, refused)
		}
	}
	for _, path := range []string{
		"/v2/a/tags/other", "/v2/a/other/list", "/v2/a/blobs/uploads", "/v2/a/uploads/list", "/v2/manifests/v1", "/v2/A/manifests/v1", "/v2/a/B/manifests/v1", "/v2/Host:x/a/manifests/v1",
		"/v2/Host:5000/A/manifests/v1", "/v2/a b/manifests/v1", "/v2/" + long + "/manifests/v1", "/v2/a/manifests/-v1", "/v2/a/blobs/v1", "/v2/a/blobs/sha256:" + hex[1:], "/v2/a/blobs/sha256:" + hex + "0",
		"/v2/a/blobs/sha256:" + strings.ToUpper(hex), "/v2/a/blobs/sha256:g" + hex[1:], "/v2/a/blobs/sha256:/" + hex[1:], "/v2/a/blobs/sha256::" + hex[1:], "/v2/a/blobs/sha256:`" + hex[1:], "/v2/a/blobs/sha512:" + hex + hex, "/v2/a/blobs/x:y",
	} {
		if l, refused := locate(&url.URL{Path: path}); refused == nil {
			t.Errorf("%s was read as %+v", path, l)
		}
	}
	if r := checkDigest("sha512:" + hex + hex); !strings.Contains(r.message, "only sha256") {
		t.Errorf("%+v", r)
	}
	if r := checkDigest("sha256:" + hex[1:]); !strings.Contains(r.message, "malformed") {
		t.Errorf("%+v", r)
	}
}

func TestEvidenceTagsAreReadExactly(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for tag, suffix := range map[string]string{"sha256-" + hex: "", "sha256-" + hex + ".sig": ".sig", "sha256-" + hex + ".att": ".att", "sha256-" + hex + ".sbom": ".sbom"} {
		if subject, got, ok := evidenceTag(tag); !ok || got != suffix || subject != "sha256:"+hex {
			t.Errorf("%s: %s %s %v", tag, subject, got, ok)
		}
	}
	for _, tag := range []string{"", "v1", "sha256-", "sha256-" + hex[1:], "sha256-" + hex + "x", "sha256-" + hex + ".sig2", "sha512-" + hex, hex, "sha256-X" + hex[1:], "sha256-X" + hex[1:] + ".sig", "sha256-0.sig"} {
		if subject, _, ok := evidenceTag(tag); ok {
			t.Errorf("%s is about %s", tag, subject)
		}
	}
}

func TestRangesAreReadAsTheSpecificationHasThem(t *testing.T) {
	for header, want := range map[string]span{
		"": {0, 10, false}, "bytes=0-9": {0, 10, true}, "bytes=0-": {0, 10, true}, "bytes=3-5": {3, 6, true}, "bytes=3-99": {3, 10, true}, "bytes=-3": {7, 10, true}, "bytes=-99": {0, 10, true},
		"bytes=5-3": {0, 10, false}, "bytes=0-1,3-4": {0, 10, false}, "bytes=x-1": {0, 10, false}, "bytes=1-x": {0, 10, false}, "bytes=-": {0, 10, false}, "bytes=5": {0, 10, false}, "lines=1-2": {0, 10, false}, "bytes=9-9": {9, 10, true},
	} {
		if got, refused := spanOf(header, 10); refused != nil || got != want {
			t.Errorf("%q: %+v, %+v", header, got, refused)
		}
	}
	for _, header := range []string{"bytes=10-", "bytes=10-20", "bytes=-0"} {
		if got, refused := spanOf(header, 10); refused == nil {
			t.Errorf("%q: %+v", header, got)
		}
	}
}

func TestOnlyWhatCanBeNothingElseIsEvidence(t *testing.T) {
	e := newEvidenceTypes([]string{"application/vnd.own.*", "text/own"})
	document := func(index bool, config int64, layers ...v1.Descriptor) *oci.Document {
		return &oci.Document{IsIndex: index, Config: &v1.Descriptor{Size: config}, Layers: layers}
	}
	layer := func(mediaType string, size int64) v1.Descriptor {
		return v1.Descriptor{MediaType: types.MediaType(mediaType), Size: size}
	}
	for name, x := range map[string]struct {
		d    *oci.Document
		fits bool
	}{
		"bundle":           {document(false, 2, layer("application/vnd.dev.sigstore.bundle.v0.3+json", 9)), true},
		"two":              {document(false, 2, layer("application/spdx+json", 9), layer("text/own", 9)), true},
		"own":              {document(false, 2, layer("application/vnd.own.x", 9)), true},
		"own, longer":      {document(false, 2, layer("text/own2", 9)), false},
		"nothing":          {document(false, 2), false},
		"index":            {&oci.Document{IsIndex: true, Layers: []v1.Descriptor{layer("application/json", 1)}, Config: &v1.Descriptor{}}, false},
		"image layer":      {document(false, 2, layer("application/vnd.oci.image.layer.v1.tar+gzip", 9)), false},
		"one image layer":  {document(false, 2, layer("application/json", 9), layer("application/vnd.oci.image.layer.v1.tar", 9)), false},
		"large":            {document(false, 2, layer("application/json", 101)), false},
		"config too large": {document(false, 101, layer("application/json", 9)), false},
	} {
		if got := e.fits(x.d, 100); got != x.fits {
			t.Errorf("%s: %v", name, got)
		}
	}
	for start, archive := range map[string]bool{"{}": false, "\x1f\x8b\x08": true, "\x7fELF": true, "": false, "PK\x03\x04": true, strings.Repeat("a", 257) + "ustar": true, strings.Repeat("a", 600): false, strings.Repeat("\x00", 512): false} {
		if isArchive([]byte(start)) != archive {
			t.Errorf("%.20q", start)
		}
	}
}
