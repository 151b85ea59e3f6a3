// Package simplesigning reads and writes the payload of cosign's signatures.
//
// Source: cosign specs/SIGNATURE_SPEC.md, "Payload: Simple Signing", and
// containers-signature(5).
package simplesigning

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Type is the critical.type of an image signature.
const Type = "cosign container image signature"

// LayerMediaType is the media type of the layer that holds a payload.
const LayerMediaType = "application/vnd.dev.cosign.simplesigning.v1+json"

// AnnotationSignature is the layer annotation that holds the signature.
const AnnotationSignature = "dev.cosignproject.cosign/signature"

// AnnotationCertificate marks a signature by a certificate instead of a key.
const AnnotationCertificate = "dev.sigstore.cosign/certificate"

// MaxSize bounds a payload, which has some hundred bytes.
const MaxSize = 64 << 20

// ErrMalformed is wrapped by every error of Parse.
var ErrMalformed = errors.New("malformed simple signing payload")

// Payload says which digest was signed, and under which name.
type Payload struct {
	DockerReference string
	ManifestDigest  string
	// Annotations are the members of "optional" that are strings.
	Annotations map[string]string
}

type wireIdentity struct {
	DockerReference string `json:"docker-reference"`
}

type wireImage struct {
	ManifestDigest string `json:"docker-manifest-digest"`
}

type wireCritical struct {
	Identity wireIdentity `json:"identity"`
	Image    wireImage    `json:"image"`
	Type     string       `json:"type"`
}

type wirePayload struct {
	Critical wireCritical      `json:"critical"`
	Optional map[string]string `json:"optional"`
}

// Marshal writes the payload byte for byte as sigstore does: no white space,
// fields in the order that cosign writes, optional null when empty.
func (p *Payload) Marshal() ([]byte, error) {
	w := wirePayload{
		Critical: wireCritical{wireIdentity{p.DockerReference}, wireImage{p.ManifestDigest}, Type},
	}
	if len(p.Annotations) > 0 {
		w.Optional = p.Annotations
	}
	return json.Marshal(w)
}

// Parse reads a payload. "critical" may hold nothing that is not understood;
// "optional", an object, may hold anything.
//
// What is larger than MaxSize is none: a file of that size may have been signed
// without being looked at.
func Parse(data []byte) (*Payload, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxSize)
	}
	root, err := strictjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := only(root, "critical", "optional"); err != nil {
		return nil, err
	}
	critical := root.Get("critical")
	identity, image := critical.Get("identity"), critical.Get("image")
	for _, known := range []struct {
		v    strictjson.Value
		keys []string
	}{
		{critical, []string{"identity", "image", "type"}},
		{identity, []string{"docker-reference"}},
		{image, []string{"docker-manifest-digest"}},
	} {
		if err := only(known.v, known.keys...); err != nil {
			return nil, err
		}
	}
	if !critical.Get("type").Is(Type) {
		return nil, fmt.Errorf("%w: critical.type is not %q", ErrMalformed, Type)
	}
	p := &Payload{}
	var ok bool
	if p.ManifestDigest, ok = image.Get("docker-manifest-digest").Str(); !ok {
		return nil, fmt.Errorf("%w: no docker-manifest-digest", ErrMalformed)
	}
	if p.DockerReference, ok = identity.Get("docker-reference").Str(); !ok {
		return nil, fmt.Errorf("%w: no docker-reference", ErrMalformed)
	}
	optional := root.Get("optional")
	switch optional.Kind() {
	case strictjson.Object, strictjson.Null, strictjson.Missing:
	default:
		return nil, fmt.Errorf("%w: optional is not an object", ErrMalformed)
	}
	for k, v := range optional.Members() {
		if s, ok := v.Str(); ok {
			if p.Annotations == nil {
				p.Annotations = make(map[string]string)
			}
			p.Annotations[k] = s
		}
	}
	return p, nil
}

func only(v strictjson.Value, keys ...string) error {
	if v.Kind() != strictjson.Object {
		return fmt.Errorf("%w: object with %q is missing", ErrMalformed, keys)
	}
members:
	for k := range v.Members() {
		for _, known := range keys {
			if k == known {
				continue members
			}
		}
		return fmt.Errorf("%w: unknown field %.60q", ErrMalformed, k)
	}
	return nil
}

// Resembles reports whether somebody could take data for a payload: it names a
// manifest's digest where payloads do, as readers see that are less strict than
// Parse (names in another case, given twice, or beside others).
func Resembles(data []byte) bool {
	var p struct {
		Critical struct {
			Image struct {
				Named anyDigest `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	// Members of another type hide none of the others, and what follows hides
	// nothing.
	_ = json.NewDecoder(bytes.NewReader(data)).Decode(&p)
	return bool(p.Critical.Image.Named)
}

// anyDigest is true once a string has been read into it, whatever comes after.
type anyDigest bool

// UnmarshalJSON implements json.Unmarshaler.
func (d *anyDigest) UnmarshalJSON(text []byte) error {
	if text[0] == '"' && len(text) > len(`""`) {
		*d = true
	}
	return nil
}
