package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Annotations of an entry of index.json that hold its name.
//
// Source: OCI Image Format Specification v1.1, annotations.md; containerd's
// export of images.
const (
	refNameAnnotation    = "org.opencontainers.image.ref.name"
	containerdAnnotation = "io.containerd.image.name"
)

// Annotations of the entries that "cosign save" writes, which have no names: one
// image or index, its signatures and its attestations.
//
// Source: cosign v2.6, pkg/oci/layout.
const (
	cosignKind  = "kind"
	cosignImage = "dev.cosignproject.cosign/image"
	cosignIndex = "dev.cosignproject.cosign/imageIndex"
	cosignSigs  = "dev.cosignproject.cosign/sigs"
	cosignAtts  = "dev.cosignproject.cosign/atts"
)

var cosignKinds = []string{cosignImage, cosignIndex, cosignSigs, cosignAtts}

// indexFile is index.json on disk, and as it was last read.
type indexFile struct {
	dir        *directory
	blobs      *blobs
	maxSize    int64
	maxEntries int

	mu   sync.Mutex
	last *index
}

// read reads index.json, and parses it where it has changed.
func (f *indexFile) read(op string) (*index, error) {
	data, err := f.dir.readFile(indexName, f.maxSize)
	if err != nil {
		return nil, f.dir.fileError(op, indexName, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != nil && bytes.Equal(f.last.data, data) {
		return f.last, nil
	}
	x, err := parseIndex(data)
	if err != nil {
		return nil, f.dir.fail(op, indexName, registry.ErrMalformed, "", err)
	}
	if len(x.entries) > f.maxEntries {
		return nil, f.dir.fail(op, indexName, registry.ErrTooMany, fmt.Sprintf("%d entries; the limit is %d", len(x.entries), f.maxEntries), nil)
	}
	f.last = x
	f.blobs.keepSubjects(x)
	return x, nil
}

// find returns the entry that a tag names. An entry whose name is the tag comes first.
// Otherwise it is the entry whose full name ends with the tag, or that implies the tag.
func (f *indexFile) find(op string, x *index, tag string) (v1.Descriptor, error) {
	all := x.matching(func(e entry) bool { return e.desc.Annotations[refNameAnnotation] == tag })
	if len(all) == 0 {
		suffix := ":" + tag
		all = x.matching(func(e entry) bool {
			return e.implied == tag ||
				strings.HasSuffix(e.desc.Annotations[refNameAnnotation], suffix) ||
				strings.HasSuffix(e.desc.Annotations[containerdAnnotation], suffix)
		})
	}
	if len(all) == 0 {
		return v1.Descriptor{}, f.dir.fail(op, tag, registry.ErrNotFound, "no entry of index.json has this tag", nil)
	}
	for _, d := range all[1:] {
		if d.Digest != all[0].Digest {
			return v1.Descriptor{}, f.dir.fail(op, tag, registry.ErrReference,
				fmt.Sprintf("it names %s and %s; ask for one of these digests", all[0].Digest, d.Digest), nil)
		}
	}
	return all[0], nil
}

// checkConditions fails with ErrConflict where a condition of a push does not hold.
func (f *indexFile) checkConditions(op, tag string, x *index, o registry.PushOptions) error {
	if tag == "" || o.IfMatch == "" && !o.IfAbsent {
		return nil
	}
	now, err := f.find(op, x, tag)
	exists := err == nil
	switch {
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return err
	case o.IfAbsent && exists:
		return f.dir.fail(op, tag, registry.ErrConflict, "the tag exists and names "+now.Digest.String(), nil)
	case o.IfMatch != "" && !exists:
		return f.dir.fail(op, tag, registry.ErrConflict, "the tag does not exist", nil)
	case o.IfMatch != "" && o.IfMatch != now.Digest.String():
		return f.dir.fail(op, tag, registry.ErrConflict, "the tag names "+now.Digest.String(), nil)
	}
	return nil
}

// write replaces index.json. It refuses what could not be read again.
func (f *indexFile) write(op string, x *index) error {
	if len(x.entries) > f.maxEntries {
		return f.dir.fail(op, indexName, registry.ErrTooMany, fmt.Sprintf("it would have more than %d entries", f.maxEntries), nil)
	}
	data, err := x.encode()
	if err != nil {
		return f.dir.fail(op, indexName, registry.ErrMalformed, "", err)
	}
	if int64(len(data)) > f.maxSize {
		return f.dir.fail(op, indexName, registry.ErrTooLarge, fmt.Sprintf("it would exceed %d bytes", f.maxSize), nil)
	}
	if _, err := parseIndex(data); err != nil {
		return f.dir.fail(op, indexName, registry.ErrMalformed, "", err)
	}
	if err := f.dir.writeFile(indexName, writeString(string(data))); err != nil {
		return f.dir.fileError(op, indexName, err)
	}
	return nil
}

// index is index.json. It is never changed once it is shared: an update
// works on a copy. What this package does not know in it is kept as it is.
type index struct {
	data    []byte   // what it was parsed from
	members []member // of the document, in their order
	entries []entry  // its manifests
}

type member struct {
	key string
	raw []byte
}

type entry struct {
	desc v1.Descriptor
	raw  []byte // the descriptor as it stands, or will stand, in the file
	// implied is the tag that an entry of "cosign save" would have in a registry.
	implied string
}

func parseIndex(data []byte) (*index, error) {
	doc, err := oci.Parse(oci.MediaTypeIndex, data)
	if err != nil {
		return nil, err
	}
	root, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	x := &index{data: data}
	for key, value := range root.Members() {
		x.members = append(x.members, member{key, value.Raw()})
	}
	for e := range root.Get("manifests").Elems() {
		x.entries = append(x.entries, entry{desc: doc.Manifests[len(x.entries)], raw: e.Raw()})
	}
	x.implyTags()
	return x, nil
}

// implyTags gives the signatures and attestations of "cosign save" their tags.
func (x *index) implyTags() {
	saved := x.matching(func(e entry) bool {
		kind := e.desc.Annotations[cosignKind]
		return kind == cosignImage || kind == cosignIndex
	})
	if len(saved) != 1 {
		return
	}
	for i, e := range x.entries {
		switch e.desc.Annotations[cosignKind] {
		case cosignSigs:
			x.entries[i].implied = oci.DigestTag(saved[0].Digest) + ".sig"
		case cosignAtts:
			x.entries[i].implied = oci.DigestTag(saved[0].Digest) + ".att"
		}
	}
}

func (x *index) matching(match func(entry) bool) []v1.Descriptor {
	var all []v1.Descriptor
	for _, e := range x.entries {
		if match(e) {
			all = append(all, e.desc)
		}
	}
	return all
}

// tags lists the tags that find can be asked for.
func (x *index) tags() []string {
	var all []string
	for _, e := range x.entries {
		if tag := e.tag(); tag != "" {
			all = append(all, tag)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// tag returns the tag of an entry, or "".
func (e entry) tag() string {
	for _, full := range []string{e.desc.Annotations[refNameAnnotation], e.desc.Annotations[containerdAnnotation]} {
		if tag := full[strings.LastIndexByte(full, ':')+1:]; oci.IsTag(tag) {
			return tag
		}
	}
	return e.implied
}

func listsDigest(entries []entry, h v1.Hash) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return e.desc.Digest == h })
}

// with returns a copy that holds other entries.
func (x *index) with(entries []entry) *index {
	return &index{members: x.members, entries: entries}
}

// encode writes the index as JSON. Members keep their order and text.
func (x *index) encode() ([]byte, error) {
	raws := make([][]byte, len(x.entries))
	for i, e := range x.entries {
		raws[i] = e.raw
	}
	list := slices.Concat([]byte("["), bytes.Join(raws, []byte(",")), []byte("]"))
	var b bytes.Buffer
	b.WriteByte('{')
	for _, m := range x.members {
		if m.key == "manifests" {
			m.raw = list
		}
		if err := writeMember(&b, m); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func writeMember(b *bytes.Buffer, m member) error {
	key, err := json.Marshal(m.key)
	if err != nil {
		return err
	}
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	b.Write(key)
	b.WriteByte(':')
	b.Write(m.raw)
	return nil
}

// newEntry makes an entry; a tag of "" leaves it without a name.
func newEntry(d v1.Descriptor, tag string) (entry, error) {
	d.Annotations = nil
	if tag != "" {
		d.Annotations = map[string]string{refNameAnnotation: tag}
	}
	raw, err := json.Marshal(d)
	return entry{desc: d, raw: raw}, err
}

// withoutName returns the entry without the annotations that name it.
func (e entry) withoutName() (entry, error) {
	left := make(map[string]string)
	for k, v := range e.desc.Annotations {
		if k != refNameAnnotation && k != containerdAnnotation && k != cosignKind {
			left[k] = v
		}
	}
	return e.annotated(left)
}

// annotated returns the entry with these annotations.
func (e entry) annotated(annotations map[string]string) (entry, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(e.raw, &fields); err != nil {
		return e, err
	}
	delete(fields, "annotations")
	if len(annotations) > 0 {
		raw, err := json.Marshal(annotations)
		if err != nil {
			return e, err
		}
		fields["annotations"] = raw
	}
	e.desc.Annotations = annotations
	var err error
	e.raw, err = json.Marshal(fields)
	return e, err
}

// relist returns the entries of an index.json in which tag names d and nothing else. An
// empty tag lists d without a name. It returns nil where the index needs no change.
func (x *index) relist(tag string, d v1.Descriptor, subjectOf func(v1.Hash) (v1.Hash, error)) ([]entry, error) {
	added, err := newEntry(d, tag)
	if err != nil {
		return nil, err
	}
	if tag == "" {
		if listsDigest(x.entries, d.Digest) {
			return nil, nil
		}
		return append(slices.Clone(x.entries), added), nil
	}
	var kept, named []entry
	for _, e := range x.entries {
		if e.desc.Annotations[refNameAnnotation] == tag {
			named = append(named, e)
		} else {
			kept = append(kept, e)
		}
	}
	if len(named) == 1 && oci.SameContent(named[0].desc, d) {
		return nil, nil
	}
	if kept, err = keepReferrers(kept, named, subjectOf); err != nil {
		return nil, err
	}
	return append(kept, added), nil
}

// keepReferrers appends to kept, without their name, those of the entries that
// lose it whose manifest is or may be a referrer.
func keepReferrers(kept, losing []entry, subjectOf func(v1.Hash) (v1.Hash, error)) ([]entry, error) {
	for _, e := range losing {
		subject, err := subjectOf(e.desc.Digest)
		if err == nil && subject == (v1.Hash{}) || listsDigest(kept, e.desc.Digest) {
			continue
		}
		unnamed, err := e.withoutName()
		if err != nil {
			return nil, err
		}
		kept = append(kept, unnamed)
	}
	return kept, nil
}
