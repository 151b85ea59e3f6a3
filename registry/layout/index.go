package layout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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

// layoutIndex is index.json. It is never changed once it is shared: an update
// works on a copy. What this package does not know in it is kept as it is.
type layoutIndex struct {
	data    []byte             // what it was parsed from
	members []layoutMember     // of the document, in their order
	entries []layoutIndexEntry // its manifests
}

type layoutMember struct {
	key string
	raw []byte
}

type layoutIndexEntry struct {
	desc v1.Descriptor
	raw  []byte // the descriptor as it stands, or will stand, in the file
	// implied is the tag that an entry of "cosign save" would have in a registry.
	implied string
}

func parseIndex(data []byte) (*layoutIndex, error) {
	doc, err := oci.Parse(oci.MediaTypeIndex, data)
	if err != nil {
		return nil, err
	}
	root, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	x := &layoutIndex{data: data}
	for key, member := range root.Members() {
		x.members = append(x.members, layoutMember{key, member.Raw()})
	}
	for e := range root.Get("manifests").Elems() {
		x.entries = append(x.entries, layoutIndexEntry{desc: doc.Manifests[len(x.entries)], raw: e.Raw()})
	}
	x.implyTags()
	return x, nil
}

// implyTags gives the signatures and attestations of "cosign save" their tags.
func (x *layoutIndex) implyTags() {
	saved := x.matching(func(e layoutIndexEntry) bool {
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

// readIndex reads index.json, and parses it where it has changed.
func (l *Layout) readIndex(op string) (*layoutIndex, error) {
	data, err := l.readFile(indexFile, l.o.MaxIndexSize)
	if err != nil {
		return nil, l.fileError(op, indexFile, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.index != nil && bytes.Equal(l.index.data, data) {
		return l.index, nil
	}
	x, err := parseIndex(data)
	if err != nil {
		return nil, l.fail(op, indexFile, registry.ErrMalformed, "", err)
	}
	if len(x.entries) > l.o.MaxEntries {
		return nil, l.fail(op, indexFile, registry.ErrTooMany, fmt.Sprintf("%d entries; the limit is %d", len(x.entries), l.o.MaxEntries), nil)
	}
	l.index = x
	l.forget(x)
	return x, nil
}

// forget drops what is remembered about manifests that are listed no more.
func (l *Layout) forget(x *layoutIndex) {
	kept := make(map[v1.Hash]v1.Hash, len(x.entries))
	for _, e := range x.entries {
		if of, known := l.subjects[e.desc.Digest]; known {
			kept[e.desc.Digest] = of
		}
	}
	l.subjects = kept
}

// find returns the entry that a tag names: the one whose name is the tag, or
// else the one whose full name ends with it or that implies it.
func (l *Layout) find(op string, x *layoutIndex, tag string) (v1.Descriptor, error) {
	all := x.matching(func(e layoutIndexEntry) bool { return e.desc.Annotations[refNameAnnotation] == tag })
	if len(all) == 0 {
		suffix := ":" + tag
		all = x.matching(func(e layoutIndexEntry) bool {
			return e.implied == tag ||
				strings.HasSuffix(e.desc.Annotations[refNameAnnotation], suffix) ||
				strings.HasSuffix(e.desc.Annotations[containerdAnnotation], suffix)
		})
	}
	if len(all) == 0 {
		return v1.Descriptor{}, l.fail(op, tag, registry.ErrNotFound, "no entry of index.json has this tag", nil)
	}
	for _, d := range all[1:] {
		if d.Digest != all[0].Digest {
			return v1.Descriptor{}, l.fail(op, tag, registry.ErrReference,
				fmt.Sprintf("it names %s and %s; ask for one of these digests", all[0].Digest, d.Digest), nil)
		}
	}
	return all[0], nil
}

func (x *layoutIndex) matching(match func(layoutIndexEntry) bool) []v1.Descriptor {
	var all []v1.Descriptor
	for _, e := range x.entries {
		if match(e) {
			all = append(all, e.desc)
		}
	}
	return all
}

// tags lists the tags that find can be asked for.
func (x *layoutIndex) tags() []string {
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
func (e layoutIndexEntry) tag() string {
	for _, full := range []string{e.desc.Annotations[refNameAnnotation], e.desc.Annotations[containerdAnnotation]} {
		if tag := full[strings.LastIndexByte(full, ':')+1:]; oci.IsTag(tag) {
			return tag
		}
	}
	return e.implied
}

func listsDigest(entries []layoutIndexEntry, h v1.Hash) bool {
	return slices.ContainsFunc(entries, func(e layoutIndexEntry) bool { return e.desc.Digest == h })
}

// with returns a copy that holds other entries.
func (x *layoutIndex) with(entries []layoutIndexEntry) *layoutIndex {
	return &layoutIndex{members: x.members, entries: entries}
}

// encode writes the index as JSON. Members keep their order and text.
func (x *layoutIndex) encode() ([]byte, error) {
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

func writeMember(b *bytes.Buffer, m layoutMember) error {
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
func newEntry(d v1.Descriptor, tag string) (layoutIndexEntry, error) {
	d.Annotations = nil
	if tag != "" {
		d.Annotations = map[string]string{refNameAnnotation: tag}
	}
	raw, err := json.Marshal(d)
	return layoutIndexEntry{desc: d, raw: raw}, err
}

// withoutName returns the entry without the annotations that name it.
func (e layoutIndexEntry) withoutName() (layoutIndexEntry, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(e.raw, &fields); err != nil {
		return e, err
	}
	left := make(map[string]string)
	for k, v := range e.desc.Annotations {
		if k != refNameAnnotation && k != containerdAnnotation {
			left[k] = v
		}
	}
	delete(fields, "annotations")
	if len(left) > 0 {
		raw, err := json.Marshal(left)
		if err != nil {
			return e, err
		}
		fields["annotations"] = raw
	}
	e.desc.Annotations = left
	var err error
	e.raw, err = json.Marshal(fields)
	return e, err
}
