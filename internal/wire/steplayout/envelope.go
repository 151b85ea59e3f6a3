package steplayout

import (
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
)

// MaxEnvelopeBytes bounds the text of one envelope, of links and layouts alike.
const MaxEnvelopeBytes = 64 << 20

// errEnvelope says of an envelope that it cannot be read.
var errEnvelope = errors.New("unreadable envelope")

// Open reads an envelope of a link or layout. Nothing is verified.
func Open(text []byte) (strictjson.Value, *dsse.Envelope, error) {
	if len(text) > MaxEnvelopeBytes {
		return strictjson.Value{}, nil, fmt.Errorf("%w: %d bytes, more than %d", errEnvelope, len(text), MaxEnvelopeBytes)
	}
	root, err := strictjson.Parse(text)
	if err != nil {
		return root, nil, fmt.Errorf("%w: %w", errEnvelope, err)
	}
	e, err := dsse.Parse(root)
	if err != nil {
		return root, nil, fmt.Errorf("%w: %w", errEnvelope, err)
	}
	if e.PayloadType != dsse.PayloadTypeInToto {
		return root, nil, fmt.Errorf("%w: payloadType %.80q", errEnvelope, e.PayloadType)
	}
	return root, e, nil
}
