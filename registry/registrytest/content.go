package registrytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// content is what is stored. Stored bytes never change, so they are served without the
// lock.
type content struct {
	configAsArtifactType bool

	mu    sync.RWMutex
	repos map[string]*repository
}

// repository is keyed by digests as they are claimed: an attacker's content may
// have another.
type repository struct {
	manifests map[string]manifest
	blobs     map[string][]byte
	tags      map[string]string
	referrers map[string][]v1.Descriptor // by subject; a list is replaced or appended to
}

type manifest struct {
	mediaType string
	digest    string // as claimed
	data      []byte
	subject   string // the digest, or ""
}

// manifestFields are the parts of a manifest or index that a registry reads. The
// reading is as lenient as that of most registries.
type manifestFields struct {
	MediaType    string `json:"mediaType"`
	ArtifactType string `json:"artifactType"`
	Config       *struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
	} `json:"config"`
	Layers      []linked          `json:"layers"`
	Manifests   []linked          `json:"manifests"`
	Subject     *linked           `json:"subject"`
	Annotations map[string]string `json:"annotations"`
}

type linked struct {
	Digest string   `json:"digest"`
	URLs   []string `json:"urls"`
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// hashOf splits a digest of any algorithm.
func hashOf(digest string) v1.Hash {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return v1.Hash{Algorithm: algorithm, Hex: hex}
}

// repo returns a repository that is written to. It is called with mu held.
func (c *content) repo(name string) *repository {
	repo := c.repos[name]
	if repo == nil {
		repo = &repository{
			manifests: make(map[string]manifest),
			blobs:     make(map[string][]byte),
			tags:      make(map[string]string),
			referrers: make(map[string][]v1.Descriptor),
		}
		c.repos[name] = repo
	}
	return repo
}

// manifest returns what a tag or digest names.
func (c *content) manifest(name, ref string) (manifest, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	repo := c.repos[name]
	if repo == nil {
		return manifest{}, false
	}
	digest := ref
	if !isDigest(ref) {
		digest = repo.tags[ref]
	}
	m, ok := repo.manifests[digest]
	return m, ok
}

func (c *content) blob(name, digest string) ([]byte, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	repo := c.repos[name]
	if repo == nil {
		return nil, false
	}
	data, ok := repo.blobs[digest]
	return data, ok
}

func (c *content) putBlob(name, digest string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repo(name).blobs[digest] = data
}

// mount makes a blob of another repository available.
func (c *content) mount(name, from, digest string) bool {
	data, ok := c.blob(from, digest)
	if ok {
		c.putBlob(name, digest, data)
	}
	return ok
}

// putManifest stores bytes under the digest that they are claimed to have, if
// check (nil: no condition) holds for the digest that tag names before; tag ""
// sets none.
func (c *content) putManifest(name, tag string, m manifest, fields manifestFields, check func(now string) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	repo := c.repo(name)
	if check != nil && !check(repo.tags[tag]) {
		return false
	}
	repo.remove(m.digest)
	if fields.Subject != nil && fields.Subject.Digest != "" {
		m.subject = fields.Subject.Digest
		repo.referrers[m.subject] = append(repo.referrers[m.subject], c.referrer(m, fields))
	}
	repo.manifests[m.digest] = m
	if tag != "" {
		repo.tags[tag] = m.digest
	}
	return true
}

// remove forgets a manifest, and keeps the tags that name it.
func (repo *repository) remove(digest string) bool {
	m, ok := repo.manifests[digest]
	if !ok {
		return false
	}
	delete(repo.manifests, digest)
	if m.subject != "" {
		// A new list: the old one may be being served.
		repo.referrers[m.subject] = slices.DeleteFunc(slices.Clone(repo.referrers[m.subject]),
			func(d v1.Descriptor) bool { return d.Digest.String() == digest })
	}
	return true
}

// referrer describes a manifest as the referrers API does.
//
// Source: OCI Distribution Specification v1.1, "Listing Referrers".
func (c *content) referrer(m manifest, fields manifestFields) v1.Descriptor {
	d := v1.Descriptor{
		MediaType: types.MediaType(m.mediaType), Digest: hashOf(m.digest), Size: int64(len(m.data)),
		Annotations: fields.Annotations,
	}
	if !c.configAsArtifactType {
		d.ArtifactType = fields.ArtifactType
	}
	if fields.Config != nil && d.ArtifactType == "" {
		d.ArtifactType = fields.Config.MediaType
	}
	return d
}

func (c *content) referrersOf(name, subject string) []v1.Descriptor {
	c.mu.RLock()
	defer c.mu.RUnlock()
	repo := c.repos[name]
	if repo == nil {
		return nil
	}
	return repo.referrers[subject]
}

// missing reports whether the manifest lists content that the repository does
// not have. The subject need not be there.
func (c *content) missing(name string, fields manifestFields) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	repo := c.repos[name]
	if repo == nil {
		repo = &repository{}
	}
	if fields.Config != nil && repo.blobs[fields.Config.Digest] == nil {
		return true
	}
	for _, l := range fields.Layers {
		if len(l.URLs) == 0 && repo.blobs[l.Digest] == nil {
			return true
		}
	}
	for _, l := range fields.Manifests {
		if _, ok := repo.manifests[l.Digest]; !ok {
			return true
		}
	}
	return false
}

// pushManifest stores a manifest as a registry does, after checking it, and
// returns its digest and its subject's, if any. The condition check is applied
// to the digest that the tag names, "" for none.
func (r *Registry) pushManifest(repo, ref, mediaType string, data []byte, check func(now string) bool) (digest, subject string, no *refusal) {
	if no := checkRef(ref); no != nil {
		return "", "", no
	}
	digest = digestOf(data)
	tag := ref
	if isDigest(ref) {
		if ref != digest {
			return "", "", errDigestMismatch
		}
		tag, check = "", nil
	}
	if int64(len(data)) > r.o.MaxManifest {
		return "", "", errTooLarge
	}
	fields, ok := parseFields(data)
	if !ok || mediaType == "" || fields.MediaType != "" && fields.MediaType != mediaType {
		return "", "", errManifestInvalid
	}
	if r.o.RequireContent && r.content.missing(repo, fields) {
		return "", "", errManifestContent
	}
	m := manifest{mediaType: mediaType, digest: digest, data: bytes.Clone(data)}
	if !r.content.putManifest(repo, tag, m, fields, check) {
		return "", "", errCondition
	}
	if fields.Subject != nil {
		subject = fields.Subject.Digest
	}
	return digest, subject, nil
}

// parseFields fails unless the data is a JSON object.
func parseFields(data []byte) (fields manifestFields, ok bool) {
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil || object == nil {
		return fields, false
	}
	return fields, json.Unmarshal(data, &fields) == nil
}

// Put stores bytes as a manifest, unchecked: an attacker's who owns the registry.
// A ref that is a digest is believed, whatever the bytes; under a tag they are
// stored by their true digest, which is returned; with ref "" no tag is set.
func (r *Registry) Put(repo, ref, mediaType string, data []byte) (digest string) {
	digest = digestOf(data)
	tag := ref
	m := manifest{mediaType: mediaType, digest: digest, data: bytes.Clone(data)}
	if isDigest(ref) {
		tag, m.digest = "", ref
	}
	fields, _ := parseFields(data) // what is no manifest has no subject
	r.content.putManifest(repo, tag, m, fields, nil)
	return digest
}

// PutBlob stores a blob and returns its digest.
func (r *Registry) PutBlob(repo string, data []byte) (digest string) {
	digest = digestOf(data)
	r.content.putBlob(repo, digest, bytes.Clone(data))
	return digest
}

// PutBlobAs stores bytes as the blob of a digest that they need not have.
func (r *Registry) PutBlobAs(repo, claimedDigest string, data []byte) {
	r.content.putBlob(repo, claimedDigest, bytes.Clone(data))
}

// SetTag points a tag at a digest, which need not be there.
func (r *Registry) SetTag(repo, tag, digest string) {
	r.content.mu.Lock()
	defer r.content.mu.Unlock()
	r.content.repo(repo).tags[tag] = digest
}

// DeleteTag removes a tag, and reports whether it was there. The manifest stays.
func (r *Registry) DeleteTag(repo, tag string) bool {
	r.content.mu.Lock()
	defer r.content.mu.Unlock()
	tags := r.content.repo(repo).tags
	_, ok := tags[tag]
	delete(tags, tag)
	return ok
}

// Delete removes the manifest and the blob of a digest, with the tags that name
// it, and reports whether there was anything.
func (r *Registry) Delete(repo, digest string) bool {
	r.content.mu.Lock()
	defer r.content.mu.Unlock()
	in := r.content.repo(repo)
	manifest, blob := in.deleteManifest(digest), in.deleteBlob(digest)
	return manifest || blob
}

// deleteManifest forgets a manifest with the tags that name it, which may be
// there without it.
func (repo *repository) deleteManifest(digest string) bool {
	maps.DeleteFunc(repo.tags, func(_, d string) bool { return d == digest })
	return repo.remove(digest)
}

func (repo *repository) deleteBlob(digest string) bool {
	_, ok := repo.blobs[digest]
	delete(repo.blobs, digest)
	return ok
}

// change calls f with a repository that f may change.
func (c *content) change(name string, f func(repo *repository) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f(c.repo(name))
}

// Tags lists the tags of a repository, sorted.
func (r *Registry) Tags(repo string) []string {
	tags, _ := r.content.tags(repo)
	return tags
}

func (c *content) tags(name string) (tags []string, known bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	repo := c.repos[name]
	if repo == nil {
		return nil, false
	}
	return slices.Sorted(maps.Keys(repo.tags)), true
}

// Manifest returns what is stored under a tag or digest, unchecked. The caller
// must not change the bytes.
func (r *Registry) Manifest(repo, ref string) (mediaType string, data []byte, ok bool) {
	m, ok := r.content.manifest(repo, ref)
	return m.mediaType, m.data, ok
}

// Blob returns what is stored as the blob of a digest, unchecked. The caller must
// not change the bytes.
func (r *Registry) Blob(repo, digest string) (data []byte, ok bool) {
	return r.content.blob(repo, digest)
}
