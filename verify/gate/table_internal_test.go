package gate

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
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
		"/v2/a/blobs/sha256:" + strings.ToUpper(hex), "/v2/a/blobs/sha256:g" + hex[1:], "/v2/a/blobs/sha256:/" + hex[1:], "/v2/a/blobs/sha256::" + hex[1:], "/v2/a/blobs/sha256:`" + hex[1:], "/v2/a/blobs/sha512:" + hex + hex[1:], "/v2/a/blobs/sha384:" + hex + hex[:32], "/v2/a/manifests/sha512:" + hex + hex, "/v2/a/blobs/x:y",
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
	e := evidenceRules{[]string{"application/vnd.own.*", "text/own", "application/*"}, 100}
	empty := descriptor{oci.MediaTypeEmpty, 2, ""}
	statement, spdx := descriptor{"application/vnd.in-toto+json", 9, ""}, descriptor{"application/spdx+json", 9, ""}
	for name, x := range map[string]struct {
		config descriptor
		layers []descriptor
		more   string
		admits bool
	}{
		"statement":               {empty, []descriptor{statement}, "", true},
		"two":                     {empty, []descriptor{spdx, {"text/own", 9, ""}}, "", true},
		"own":                     {empty, []descriptor{{"application/vnd.own.x", 9, ""}}, "", true},
		"config of its type":      {descriptor{"text/own", 2, ""}, []descriptor{{"text/own", 9, ""}}, "", true},
		"cosign's config":         {descriptor{oci.MediaTypeConfig, 2, ""}, []descriptor{statement}, "", true},
		"artifact type":           {descriptor{oci.MediaTypeEmpty, 2, `,"artifactType":"x"`}, []descriptor{statement}, `,"artifactType":"x"`, true},
		"annotations":             {empty, []descriptor{{statement.mediaType, 9, `,"annotations":{"a":"b"}`}}, `,"annotations":{"a":"b"}`, true},
		"inline":                  {descriptor{oci.MediaTypeEmpty, 2, `,"data":"e30="`}, []descriptor{statement}, "", true},
		"own, longer":             {empty, []descriptor{{"text/own2", 9, ""}}, "", false},
		"no layer":                {empty, nil, "", false},
		"image layer":             {empty, []descriptor{{"application/vnd.oci.image.layer.v1.tar+gzip", 9, ""}}, "", false},
		"Docker layer":            {empty, []descriptor{{"application/vnd.docker.image.rootfs.diff.tar.gzip", 9, ""}}, "", false},
		"one image layer":         {empty, []descriptor{statement, {"application/vnd.oci.image.layer.v1.tar", 9, ""}}, "", false},
		"unknown config":          {descriptor{"text/other", 2, ""}, []descriptor{statement}, "", true},
		"image layer as config":   {descriptor{"application/vnd.oci.image.layer.v1.tar", 2, ""}, []descriptor{statement}, "", false},
		"large":                   {empty, []descriptor{{statement.mediaType, 101, ""}}, "", false},
		"config too large":        {descriptor{oci.MediaTypeEmpty, 101, ""}, []descriptor{statement}, "", false},
		"platform":                {empty, []descriptor{{statement.mediaType, 9, `,"platform":{"os":"linux","architecture":"amd64"}`}}, "", false},
		"urls":                    {empty, []descriptor{{statement.mediaType, 9, `,"urls":["https://x.example/y"]`}}, "", false},
		"config with urls":        {descriptor{oci.MediaTypeEmpty, 2, `,"urls":["https://x.example/y"]`}, []descriptor{statement}, "", false},
		"inline, other content":   {descriptor{oci.MediaTypeEmpty, 2, `,"data":"eyB9"`}, []descriptor{statement}, "", false},
		"inline, no evidence":     {empty, []descriptor{inlined(statement.mediaType, "#!/bin/sh")}, "", false},
		"inline, another kind":    {empty, []descriptor{inlined(statement.mediaType, "{}")}, "", false},
		"inline config that runs": {inlined(oci.MediaTypeConfig, `{"config":{"Cmd":["sh"]}}`), []descriptor{statement}, "", false},
		"subject with data":       {empty, []descriptor{statement}, `,"subject":` + inlined(oci.MediaTypeManifest, "{}").String(), false},
		"unknown member":          {empty, []descriptor{statement}, `,"blobs":[]`, false},
		"unknown in a layer":      {empty, []descriptor{{statement.mediaType, 9, `,"content":"x"`}}, "", false},
		"for containerd":          {empty, []descriptor{{statement.mediaType, 9, `,"annotations":{"containerd.io/snapshot/x":"y"}`}}, "", false},
		"content in annotations":  {empty, []descriptor{statement}, `,"annotations":{"io.github.hallmark-oci.content":"x 1 application/json IyEvYmluL3No"}`, false},
	} {
		var layers []string
		for _, l := range x.layers {
			layers = append(layers, l.String())
		}
		text := `{"schemaVersion":2,"config":` + x.config.String() + `,"layers":[` + strings.Join(layers, ",") + `]` + x.more + `}`
		doc, err := oci.Parse(oci.MediaTypeManifest, []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := e.admit(&manifest{bytes: []byte(text), doc: doc}); got != x.admits {
			t.Errorf("%s: %v", name, got)
		}
	}
	if e.admit(&manifest{doc: &oci.Document{IsIndex: true}}) {
		t.Error("an index")
	}
}

// descriptor is one as it is written: more are further members of it.
type descriptor struct {
	mediaType string
	size      int
	more      string
}

func (d descriptor) String() string {
	digest := strings.Repeat("ab", 32)
	if d.mediaType == oci.MediaTypeEmpty && d.size == 2 {
		digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	}
	if _, inline, ok := strings.Cut(d.more, "@"); ok {
		return `{"mediaType":"` + d.mediaType + `","size":` + strconv.Itoa(d.size) + inline + `}`
	}
	return `{"mediaType":"` + d.mediaType + `","size":` + strconv.Itoa(d.size) + `,"digest":"sha256:` + digest + `"` + d.more + `}`
}

// inlined is a descriptor that brings its content along.
func inlined(mediaType, content string) descriptor {
	sum := sha256.Sum256([]byte(content))
	return descriptor{mediaType, len(content), `@,"digest":"sha256:` + hex.EncodeToString(sum[:]) + `","data":"` + base64.StdEncoding.EncodeToString([]byte(content)) + `"`}
}

func TestInlineContentIsItselfByEitherHash(t *testing.T) {
	data := []byte("content")
	for digest, want := range map[string]bool{
		fmt.Sprintf("%x", sha512.Sum512(data)):            true,
		fmt.Sprintf("%x", sha512.Sum512([]byte("other"))): false,
	} {
		d := v1.Descriptor{Data: data, Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha512", Hex: digest}}
		if got := isItself(d); got != want {
			t.Errorf("%s: %t", digest, got)
		}
	}
}
