package sigstore

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"time"
)

// Tags of CMS.
const (
	tagContext0          = 0xa0
	tagContext0Primitive = 0x80
	tagContext1          = 0xa1
	tagGeneralizedTime   = 0x18
)

// parseTimestamp reads a time-stamp response, or a token alone, in BER or DER.
func parseTimestamp(text []byte) (*token, error) {
	der, err := fromBER(text)
	if err != nil {
		return nil, errTimestamp
	}
	outer, err := only(der, tagSequence)
	if err != nil {
		return nil, errTimestamp
	}
	c := outer.inside()
	if status, isResponse := c.optional(tagSequence); isResponse {
		granted := status.inside().take(tagInteger).content
		if len(granted) != 1 || granted[0] > 1 {
			return nil, errTimestamp
		}
		inner := c.take(tagSequence)
		if c.end() != nil {
			return nil, errTimestamp
		}
		c = inner.inside()
	}
	kind := c.take(tagOID)
	data, err := only(c.take(tagContext0).content, tagSequence)
	if err != nil || c.end() != nil || string(kind.content) != oidSignedData {
		return nil, errTimestamp
	}
	t := &token{}
	if !t.readSignedData(data.inside()) {
		return nil, errTimestamp
	}
	return t, nil
}

// readSignedData reads SignedData (RFC 5652, section 5.1) with exactly one signer.
func (t *token) readSignedData(c *cursor) bool {
	c.take(tagInteger)                    // version
	algorithms := c.take(tagSet).inside() // the signer states its own
	for algorithms.more() {
		algorithms.take(tagSequence)
	}
	if algorithms.end() != nil {
		return false
	}
	content := c.take(tagSequence).inside()
	kind := content.take(tagOID)
	octets, err := only(content.take(tagContext0).content, tagOctets)
	if err != nil || content.end() != nil || string(kind.content) != oidTSTInfo {
		return false
	}
	t.content = octets.content
	if certificates, there := c.optional(tagContext0); there {
		list := certificates.inside()
		for list.more() && len(t.embedded) < maxEmbedded {
			if e := list.any(); e.tag == tagSequence {
				t.embedded = append(t.embedded, e.whole)
			}
		}
	}
	c.optional(tagContext1) // revocation lists
	signer, err := only(c.take(tagSet).content, tagSequence)
	return err == nil && c.end() == nil && t.readSigner(signer.inside()) && t.readInfo()
}

// readSigner reads SignerInfo (RFC 5652, section 5.3).
func (t *token) readSigner(c *cursor) bool {
	c.take(tagInteger) // version
	if id, byKey := c.optional(tagContext0Primitive); byKey {
		t.keyID = id.content
	} else {
		id := c.take(tagSequence).inside()
		t.issuer, t.serial = id.take(tagSequence).whole, id.take(tagInteger).content
		if id.end() != nil {
			return false
		}
	}
	t.digest = hashOIDs[string(c.take(tagSequence).inside().take(tagOID).content)]
	attributes := c.take(tagContext0)
	algorithm := c.take(tagSequence).inside().take(tagOID)
	t.signature = c.take(tagOctets).content
	c.optional(tagContext1) // attributes that are not signed
	hash, known := signatureOIDs[string(algorithm.content)]
	if hash == 0 {
		hash = t.digest
	}
	t.hash = hash
	return c.end() == nil && known && t.digest != 0 && t.readAttributes(attributes.inside())
}

// readAttributes reads the signed attributes: each once, with one value.
func (t *token) readAttributes(c *cursor) bool {
	t.attribute = make(map[string]element)
	var all []element
	for c.more() {
		a := c.take(tagSequence)
		all = append(all, a)
		inside := a.inside()
		kind := inside.take(tagOID)
		values := inside.take(tagSet).inside()
		value := values.any()
		_, twice := t.attribute[string(kind.content)]
		if inside.end() != nil || values.end() != nil || twice {
			return false
		}
		t.attribute[string(kind.content)] = value
	}
	t.signed = sortedSet(all)
	sum := t.digest.New()
	sum.Write(t.content)
	kind, digest := t.attribute[oidContentType], t.attribute[oidMessageDigest]
	return c.end() == nil && kind.tag == tagOID && string(kind.content) == oidTSTInfo &&
		digest.tag == tagOctets && bytes.Equal(digest.content, sum.Sum(nil))
}

// readInfo reads TSTInfo (RFC 3161, section 2.4.2): what existed, and when.
func (t *token) readInfo() bool {
	der, err := fromBER(t.content)
	if err != nil {
		return false
	}
	info, err := only(der, tagSequence)
	if err != nil {
		return false
	}
	c := info.inside()
	version := c.take(tagInteger)
	c.take(tagOID) // policy
	imprint := c.take(tagSequence).inside()
	t.imprint.hash = hashOIDs[string(imprint.take(tagSequence).inside().take(tagOID).content)]
	t.imprint.sum = imprint.take(tagOctets).content
	c.take(tagInteger) // serial
	at := c.take(tagGeneralizedTime)
	if c.err != nil || imprint.end() != nil || !bytes.Equal(version.content, []byte{1}) || t.imprint.hash == crypto.Hash(0) {
		return false
	}
	if rest, err := asn1.UnmarshalWithParams(at.whole, &t.at, "generalized"); err != nil || len(rest) > 0 {
		return false
	}
	t.at = t.at.In(time.UTC)
	return true
}
