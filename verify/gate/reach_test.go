package gate_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// written is a descriptor as an attacker writes it.
type written struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int               `json:"size"`
	Data         []byte            `json:"data,omitempty"`
	URLs         []string          `json:"urls,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Platform     map[string]string `json:"platform,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

var amd64 = map[string]string{"os": "linux", "architecture": "amd64"}

// within is content in a descriptor, and nowhere else.
func within(t testing.TB, mediaType string, content []byte) written {
	t.Helper()
	return written{MediaType: mediaType, Digest: digestOf(t, content), Size: len(content), Data: content}
}

func digestOf(t testing.TB, content []byte) string {
	t.Helper()
	return "sha256:" + fmt.Sprintf("%x", sha256.Sum256(content))
}

// manifestText is a manifest of what an attacker likes.
func manifestText(t testing.TB, config written, layers []written, more map[string]any) []byte {
	t.Helper()
	m := map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": layers}
	for k, v := range more {
		m[k] = v
	}
	text, err := json.Marshal(m)
	must(t, err)
	return text
}

func indexOf(t testing.TB, entries ...written) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": entries})
	must(t, err)
	return text
}

const gzippedType = "application/vnd.oci.image.layer.v1.tar+gzip"

// tagsOf are the tags that hold evidence about a digest.
func tagsOf(digest string) []string {
	fallback := strings.Replace(digest, ":", "-", 1)
	return []string{fallback, fallback + ".sig", fallback + ".att", fallback + ".sbom"}
}

var (
	anyDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	anyBase64 = regexp.MustCompile(`[A-Za-z0-9+/_-]{2,}={0,2}`)
)

// reached is all content that a client can get from a gate, by its digest.
type reached struct {
	t   testing.TB
	get func(path string) reply
	// contents has no order; asked are the paths.
	contents map[string][]byte
	asked    map[string]bool
	// answers are the contents that were answers; the others stood in those.
	answers map[string]bool
}

// reach follows all that any client follows: each digest that is named anywhere, as a
// manifest, as a blob, and as what has referrers; and each content that stands in JSON
// in base64, wherever.
func reach(t testing.TB, get func(path string) reply, refs ...string) *reached {
	t.Helper()
	r := &reached{t: t, get: get, contents: make(map[string][]byte), asked: make(map[string]bool), answers: make(map[string]bool)}
	for _, ref := range refs {
		r.ask(manifestPath + ref)
	}
	return r
}

func (r *reached) ask(path string) {
	if r.asked[path] {
		return
	}
	r.asked[path] = true
	answer := r.get(path)
	if answer.err == nil && answer.status == http.StatusOK {
		r.answers[digestOf(r.t, answer.body)] = true
		r.read(answer.body)
	}
	if location := answer.header.Get("Location"); location != "" {
		r.t.Errorf("%s leads to %s", path, location)
	}
	for _, link := range answer.header.Values("Link") {
		r.t.Errorf("%s links to %s", path, link)
	}
}

// read follows what some content names and holds.
func (r *reached) read(content []byte) {
	digest := digestOf(r.t, content)
	if _, known := r.contents[digest]; known {
		return
	}
	r.contents[digest] = content
	for _, d := range anyDigest.FindAllString(string(content), -1) {
		for _, path := range []string{manifestPath + d, "/v2/team/app/blobs/" + d, "/v2/team/app/referrers/" + d} {
			r.ask(path)
		}
		for _, tag := range tagsOf(d) {
			r.ask(manifestPath + tag)
		}
	}
	if !json.Valid(content) {
		return
	}
	for _, text := range anyBase64.FindAllString(string(content), -1) {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if inner, err := encoding.DecodeString(text); err == nil && len(inner) > 8 && !bytes.Equal(inner, content) {
				r.read(inner)
			}
		}
	}
}

// attacker writes what may be written to the repository.
type attacker struct {
	*scene
	random *rand.Rand
	// forbidden are contents that must not be reached, by their digests.
	forbidden map[string]string
	n         int
}

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content) // into memory
	_ = w.Close()
	return b.Bytes()
}

func pick[T any](a *attacker, all ...T) T { return all[a.random.IntN(len(all))] }

// content is something, and what it is, which is forbidden or not.
func (a *attacker) content() []byte {
	a.n++
	mark := fmt.Sprintf("%d-%d", a.n, a.random.Uint64())
	code := []byte("#!/bin/sh\nevil " + mark + "\n")
	all := map[string]func() []byte{
		"tar": func() []byte {
			return oldTar(func(h []byte) string {
				copy(h[20:], mark)
				return fmt.Sprintf("%06o\x00 ", checksum(h, func(c byte) int { return int(c) }))
			})
		},
		"gzip":   func() []byte { return gzipped(code) },
		"script": func() []byte { return code },
		"ELF":    func() []byte { return append([]byte("\x7fELF"), code...) },
		"config": func() []byte {
			return []byte(`{"architecture":"amd64","os":"linux","config":{"Entrypoint":["` + mark + `"]}}`)
		},
		"text":     func() []byte { return []byte("SPDXVersion: SPDX-2.3\n" + mark + "\n") },
		"document": func() []byte { return []byte(`{"document":"` + mark + `"}`) },
		"envelope": func() []byte {
			return []byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}],"n":"` + mark + `"}`)
		},
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range all {
			if !yield(name) {
				return
			}
		}
	})
	name := pick(a, names...)
	content := all[name]()
	if name != "document" && name != "envelope" {
		a.forbidden[digestOf(a.t, content)] = name
	}
	return content
}

// descriptor describes content as it likes, and puts it into the descriptor, or into the
// repository, or both.
func (a *attacker) descriptor(content []byte, mediaType string) written {
	d := written{MediaType: mediaType, Digest: digestOf(a.t, content), Size: len(content)}
	if a.random.IntN(3) > 0 {
		d.Data = content
	}
	if d.Data == nil || a.random.IntN(2) == 0 {
		a.hosted.PutBlob("team/app", content)
	}
	switch a.random.IntN(8) {
	case 0:
		d.URLs = []string{"https://registry.example.test/x"}
	case 1:
		d.Annotations = map[string]string{"io.github.hallmark-oci.content": manifestType + " 1 " + mediaType + " " + base64.StdEncoding.EncodeToString(content)}
	case 2:
		d.Platform = amd64
	case 3:
		d.Size++
	}
	return d
}

var attackersTypes = []string{
	configType, layerType, gzippedType, emptyType, "application/json", "application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json",
	"text/spdx", "application/cose", "application/octet-stream", "application/vnd.docker.image.rootfs.diff.tar.gzip", "text/plain", "application/jose+json",
}

// image is a manifest of anything, which may name a subject.
func (a *attacker) image() []byte {
	var layers []written
	for range 1 + a.random.IntN(3) {
		layers = append(layers, a.descriptor(a.content(), pick(a, attackersTypes...)))
	}
	config := a.descriptor(pick(a, []byte("{}"), a.content()), pick(a, attackersTypes...))
	more := map[string]any{"annotations": map[string]string{"n": itoa(a.random.Int())}}
	if a.random.IntN(3) > 0 {
		more["subject"] = written{MediaType: manifestType, Digest: a.signed.DigestStr(), Size: 1}
	}
	if a.random.IntN(3) == 0 {
		more["artifactType"] = pick(a, attackersTypes...)
	}
	if a.random.IntN(6) == 0 {
		more["Layers2"] = layers
	}
	return manifestText(a.t, config, layers, more)
}

// entries are those that a tag lists.
func (a *attacker) entries(tag string) []written {
	var list struct{ Manifests []written }
	if _, text, ok := a.hosted.Manifest("team/app", tag); ok {
		must(a.t, json.Unmarshal(text, &list))
	}
	return list.Manifests
}

// list is an index of such images and of other lists, and of further entries.
func (a *attacker) list(depth int, entries ...written) []byte {
	for range 1 + a.random.IntN(3) {
		content, mediaType := a.image(), manifestType
		if depth < 2 && a.random.IntN(4) == 0 {
			content, mediaType = a.list(depth+1), indexType
		}
		a.hosted.Put("team/app", "", mediaType, content)
		d := a.descriptor(content, mediaType)
		d.ArtifactType = pick(a, "", "application/vnd.dev.sigstore.bundle.v0.3+json", configType)
		if a.random.IntN(2) == 0 {
			d.Platform = amd64
		}
		if mediaType == manifestType && !json.Valid(content) {
			a.t.Fatal("malformed")
		}
		entries = append(entries, d)
	}
	return indexOf(a.t, entries...)
}

// Whatever an attacker writes to the repository, what a client reaches from any answer of
// the gate is the image that was judged, or evidence by what it is.
func TestAttack_P15_NothingIsReachedThatWasNotJudged(t *testing.T) {
	for seed := range uint64(15) {
		for _, o := range []registrytest.Options{{}, {NoReferrers: true}} {
			s := newScene(t, o, nil)
			a := &attacker{scene: s, random: rand.New(rand.NewPCG(seed, 1)), forbidden: make(map[string]string)}
			judged := reach(t, get(s), "signed")
			tags := tagsOf(s.signed.DigestStr())
			s.hosted.Put("team/app", tags[0], indexType, a.list(0, a.entries(tags[0])...))
			for _, tag := range tags[1:] {
				s.hosted.Put("team/app", tag, manifestType, a.image())
			}
			s.hosted.Put("team/app", "other", manifestType, a.image())
			s.hosted.Put("team/app", "list", indexType, a.list(0))
			refs := append(tags, "signed", "other", "list", s.signed.DigestStr())
			for digest := range a.forbidden {
				refs = append(refs, digest)
			}
			host := registrytest.Start(t, s.hosted)
			s.start(host, nil) // what the first one remembers is of before
			client := s.transport(host, nil)
			for face, get := range map[string]func(string) reply{
				"handler":   get(s),
				"transport": func(path string) reply { return getBy(t, client, host, path) },
			} {
				found := reach(t, get, refs...)
				for digest, content := range found.contents {
					if what := a.forbidden[digest]; what != "" {
						t.Fatalf("seed %d, without referrers %v: %s is reached by the %s: %.200q", seed, o.NoReferrers, what, face, content)
					}
					if _, ok := judged.contents[digest]; !ok && found.answers[digest] && !isJSONObject(content) {
						t.Fatalf("seed %d, without referrers %v: by the %s: %.200q", seed, o.NoReferrers, face, content)
					}
				}
			}
			if again := reach(t, get(s), "signed"); len(again.contents) < len(judged.contents)-1 /* the list is another */ {
				t.Fatalf("seed %d, without referrers %v: the signed image is not pulled any more", seed, o.NoReferrers)
			}
		}
	}
}

func isJSONObject(content []byte) bool {
	set, err := kinds.Of(bytes.NewReader(content))
	return err == nil && set&kinds.JSON != 0
}

func getBy(t testing.TB, client *http.Client, host, path string) reply {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+path, nil)
	must(t, err)
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, body, err}
}

func get(s *scene) func(string) reply { return func(path string) reply { return s.get(path) } }
