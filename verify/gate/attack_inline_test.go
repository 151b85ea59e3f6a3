package gate_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// inlineImage is an unsigned image that stands in one manifest: config and layer are in
// their descriptors, and the layer in an ordinary one.
func inlineImage(t *testing.T, more map[string]any) (manifest, layer []byte) {
	layer = gzipped(oldTar(func(h []byte) string {
		return fmt.Sprintf("%06o\x00 ", checksum(h, func(c byte) int { return int(c) }))
	}))
	config := []byte(`{"architecture":"amd64","os":"linux","config":{"Entrypoint":["bin/s"]},"rootfs":{"type":"layers","diff_ids":[]}}`)
	return manifestText(t, within(t, configType, config), []written{within(t, gzippedType, layer)}, more), layer
}

// faces are the gate as a handler and as a transport, each new.
func (s *scene) faces(change func(*gate.Config)) map[string]func(string) reply {
	host := registrytest.Start(s.t, s.hosted)
	s.start(host, change)
	client := s.transport(host, change)
	return map[string]func(string) reply{"handler": get(s), "transport": func(path string) reply {
		r := getBy(s.t, client, host, path)
		if denied := (*verify.Error)(nil); errors.As(r.err, &denied) { // what the handler says with a status
			text, err := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": "DENIED", "message": denied.Error()}}})
			must(s.t, err)
			r.status, r.body = http.StatusForbidden, text
		}
		return r
	}}
}

// refused wants a refusal by the gate or that there is no such thing, and nothing of some
// content.
func refused(t *testing.T, what string, r reply, content []byte) {
	t.Helper()
	if r.status != http.StatusForbidden && r.status != http.StatusNotFound || bytes.Contains(r.body, []byte(base64.StdEncoding.EncodeToString(content))) {
		t.Errorf("%s: %d %.300q, %v", what, r.status, r.body, r.err)
	}
}

// Clients take what stands in a descriptor's data, and never ask for the blob.
func TestAttack_P15_NoImagePassesInsideAFallbackList(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil)
	image, layer := inlineImage(t, nil)
	tag := tagsOf(s.signed.DigestStr())[0]
	_, before, _ := s.hosted.Manifest("team/app", tag)
	var list struct{ Manifests []json.RawMessage }
	must(t, json.Unmarshal(before, &list))
	entry := within(t, manifestType, image)
	entry.Platform = amd64
	again := entry
	again.Platform, again.URLs = nil, []string{"https://registry.example.test/x"}
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []any{entry, list.Manifests[0], again}})
	must(t, err)
	original := s.hosted.Put("team/app", tag, indexType, text)
	for face, get := range s.faces(nil) {
		r := get(manifestPath + tag)
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", face, r.status, r.body)
		}
		own := r.header.Get("Docker-Content-Digest")
		for ref, r := range map[string]reply{"by tag": r, "by its digest": get(manifestPath + own), "by the API": get("/v2/team/app/referrers/" + s.signed.DigestStr())} {
			var served struct{ Manifests []map[string]any }
			must(t, json.Unmarshal(r.body, &served))
			if r.status != http.StatusOK || len(served.Manifests) != 1 {
				t.Errorf("%s %s: %d %s", face, ref, r.status, r.body)
			}
			for _, e := range served.Manifests {
				for member := range e {
					if !slices.Contains([]string{"mediaType", "digest", "size", "artifactType", "annotations"}, member) {
						t.Errorf("%s %s: an entry with %s", face, ref, member)
					}
				}
			}
		}
		refused(t, face+": the upstream's list", get(manifestPath+original), image)
		refused(t, face+": the image", get(manifestPath+entry.Digest), image)
		refused(t, face+": its layer", get("/v2/team/app/blobs/"+digestOf(t, layer)), layer)
		if r := get(manifestPath + "signed"); r.status != http.StatusOK {
			t.Errorf("%s: the signed image: %d %s", face, r.status, r.body)
		}
	}
	if !slices.Contains(s.events.reasons(gate.EventDenied), string(verify.ReasonNoSignature)) {
		t.Error("nothing was judged")
	}
}

func TestAttack_P15_NoImagePassesAsEvidence(t *testing.T) {
	for _, o := range []registrytest.Options{{}, {NoReferrers: true}} {
		s := newScene(t, o, nil)
		subject := written{MediaType: manifestType, Digest: s.signed.DigestStr(), Size: 1}
		statement, code := []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}`), []byte("#!/bin/sh\nevil\n")
		const inTotoType = "application/vnd.in-toto+json"
		good, empty := within(t, inTotoType, statement), within(t, emptyType, []byte("{}"))
		runs := within(t, configType, []byte(`{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"]}}`))
		blob := func(mediaType string, content []byte) written {
			return written{MediaType: mediaType, Digest: s.hosted.PutBlob("team/app", content), Size: len(content)}
		}
		with := func(d written, change func(*written)) written { change(&d); return d }
		whole, _ := inlineImage(t, nil)
		for name, m := range map[string]struct {
			config written
			layers []written
			more   map[string]any
		}{
			"an image":                     {runs, []written{within(t, gzippedType, gzipped(code))}, nil},
			"an image in blobs":            {blob(configType, runs.Data), []written{blob(gzippedType, gzipped(code))}, nil},
			"an image, half and half":      {runs, []written{blob(gzippedType, gzipped(code))}, nil},
			"an image of Docker's":         {with(runs, func(d *written) { d.MediaType = "application/vnd.docker.container.image.v1+json" }), []written{within(t, "application/vnd.docker.image.rootfs.diff.tar.gzip", gzipped(code))}, nil},
			"an empty config":              {empty, []written{within(t, gzippedType, gzipped(code))}, nil},
			"a layer among evidence":       {empty, []written{good, within(t, gzippedType, gzipped(code))}, nil},
			"code as JSON":                 {empty, []written{within(t, "application/json", code)}, nil},
			"code as a statement":          {empty, []written{good, within(t, inTotoType, code)}, nil},
			"code as the config":           {within(t, emptyType, code), []written{good}, nil},
			"a config that runs":           {runs, []written{good}, nil},
			"other content than described": {empty, []written{with(good, func(d *written) { d.Data = append(slices.Clone(d.Data), ' ') })}, nil},
			"in another case":              {empty, []written{blob("application/json", []byte("{}"))}, map[string]any{"Layers": []written{within(t, gzippedType, gzipped(code))}}},
			"in an unknown member":         {empty, []written{good}, map[string]any{"blobs": []written{within(t, gzippedType, gzipped(code))}}},
			"in the subject":               {empty, []written{good}, map[string]any{"subject": with(subject, func(d *written) { d.Data = whole })}},
			"at an address":                {empty, []written{with(good, func(d *written) { d.URLs = []string{"https://registry.example.test/x"} })}, nil},
			"for a platform":               {empty, []written{with(good, func(d *written) { d.Platform = amd64 })}, nil},
			"in the annotations":           {empty, []written{good}, map[string]any{"annotations": map[string]string{registry.AnnotationContent: manifestType + " 1 application/json " + base64.StdEncoding.EncodeToString(code)}}},
			"in a layer's annotations": {empty, []written{with(good, func(d *written) {
				d.Annotations = map[string]string{registry.AnnotationContent: "x 1 " + inTotoType + " " + base64.StdEncoding.EncodeToString(code)}
			})}, nil},
		} {
			for _, tagged := range []bool{true, false} {
				more := map[string]any{"annotations": map[string]string{"name": name, "tagged": fmt.Sprint(tagged)}}
				if !tagged {
					more["subject"] = subject
				}
				for k, v := range m.more {
					more[k] = v
				}
				text := manifestText(t, m.config, m.layers, more)
				digest := s.hosted.Put("team/app", "", manifestType, text)
				refs := []string{digest}
				for _, tag := range tagsOf(s.signed.DigestStr())[1:] {
					if tagged {
						s.hosted.SetTag("team/app", tag, digest)
						refs = append(refs, tag)
					}
				}
				for face, get := range s.faces(nil) {
					for _, ref := range append(refs, digest) { // once more, after the tags
						refused(t, fmt.Sprintf("%s, %s as %.20s", name, face, ref), get(manifestPath+ref), code)
					}
				}
			}
		}
	}
}

// What is well-formed passes as before: inline as well as in blobs.
func TestEvidencePassesInlineAndInBlobs(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	subject := written{MediaType: manifestType, Digest: s.signed.DigestStr(), Size: 1}
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}`)
	for i, layer := range []written{within(t, "application/vnd.in-toto+json", statement), {MediaType: "application/vnd.in-toto+json", Digest: s.hosted.PutBlob("team/app", statement), Size: len(statement)}} {
		text := manifestText(t, within(t, emptyType, []byte("{}")), []written{layer}, map[string]any{"subject": subject, "annotations": map[string]string{"n": itoa(i)}})
		digest := s.hosted.Put("team/app", "", manifestType, text)
		for face, get := range s.faces(nil) {
			for _, path := range []string{manifestPath + digest, "/v2/team/app/blobs/" + digestOf(t, statement)} {
				if r := get(path); r.status != http.StatusOK {
					t.Errorf("%s %s: %d %s", face, path, r.status, r.body)
				}
			}
		}
	}
}

// An index that passes brings a manifest along that the policy denies: its client never
// asks for that one.
func TestAttack_P15_AJudgedIndexBringsNoDeniedImageAlong(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	image, _ := inlineImage(t, nil)
	denied := digestOf(t, image)
	inner := within(t, indexType, indexOf(t, within(t, manifestType, image)))
	lying := within(t, manifestType, image)
	lying.Size++
	for name, entry := range map[string]written{"in the index": within(t, manifestType, image), "in an index in it": inner, "other content": lying} {
		text := indexOf(t, entry)
		index := s.repo.Digest(s.hosted.Put("team/app", "index", indexType, text))
		s.sign(index)
		for face, get := range s.faces(nil) {
			if r := get(manifestPath + "index"); (r.status == http.StatusOK) != (name != "other content") {
				t.Errorf("%s, %s: %d %s", name, face, r.status, r.body)
			}
		}
		change := func(c *gate.Config) {
			c.Verifier = s.verifier(func(p *policy.Policy) {
				p.DenyDigests = []policy.DeniedDigest{{Digest: denied, Reason: "stolen key"}}
			})
		}
		for face, get := range s.faces(change) {
			for _, ref := range []string{"index", index.DigestStr()} {
				r := get(manifestPath + ref)
				if r.status != http.StatusForbidden || name != "other content" && !strings.Contains(r.message(), "stolen key") {
					t.Errorf("%s, %s by %.10s: %d %s", name, face, ref, r.status, r.body)
				}
			}
		}
	}
}

// A list's entry repeats content by an annotation of ours, which is inspected like data.
func TestAttack_P15_NoContentPassesInAListsAnnotations(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil)
	code := []byte("#!/bin/sh\nevil\n")
	tag := tagsOf(s.signed.DigestStr())[0]
	entry := func(n int, annotations map[string]string) written {
		return written{MediaType: manifestType, Digest: digestOf(t, []byte(itoa(n))), Size: 1, Annotations: annotations}
	}
	content := func(mediaType string, content []byte) string {
		return manifestType + " 1 " + mediaType + " " + base64.StdEncoding.EncodeToString(content)
	}
	_, signed, _ := s.hosted.Manifest("team/app", tag)
	var list struct{ Manifests []written }
	must(t, json.Unmarshal(signed, &list))
	lie := entry(1, map[string]string{registry.AnnotationContent: content("application/json", code), "a": "b"})
	lie.Digest = list.Manifests[0].Digest
	s.passes("signed") // whose signature is hidden afterwards
	s.hosted.Put("team/app", tag, indexType, indexOf(t, lie,
		entry(2, map[string]string{registry.AnnotationContent: content(gzippedType, gzipped(code))}),
		entry(3, map[string]string{registry.AnnotationContent: "x"}),
		entry(4, map[string]string{"containerd.io/distribution.source.x": "y"}),
		entry(5, map[string]string{registry.AnnotationContent: content("application/json", []byte("{}"))}),
	))
	r := s.get(manifestPath + tag)
	var served struct{ Manifests []written }
	must(t, json.Unmarshal(r.body, &served))
	if len(served.Manifests) != 1 || !maps.Equal(served.Manifests[0].Annotations, list.Manifests[0].Annotations) || served.Manifests[0].Annotations[registry.AnnotationContent] == "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}
