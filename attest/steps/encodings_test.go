package steps_test

import (
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/steps"
)

// inFixedLength writes the ECDSA signatures of an envelope as r and s, in lines.
func inFixedLength(t testing.TB, envelope []byte, size int) []byte {
	t.Helper()
	var e struct {
		PayloadType string `json:"payloadType"`
		Payload     string `json:"payload"`
		Signatures  []struct {
			KeyID string `json:"keyid"`
			Sig   string `json:"sig"`
		} `json:"signatures"`
	}
	must(t, json.Unmarshal(envelope, &e))
	e.Payload = e.Payload[:10] + "\r\n" + e.Payload[10:] + "\n"
	for i, s := range e.Signatures {
		der, err := base64.StdEncoding.DecodeString(s.Sig)
		must(t, err)
		var sig struct{ R, S *big.Int }
		_, err = asn1.Unmarshal(der, &sig)
		must(t, err)
		text := base64.StdEncoding.EncodeToString(append(sig.R.FillBytes(make([]byte, size)), sig.S.FillBytes(make([]byte, size))...))
		e.Signatures[i].Sig = text[:20] + "\n" + text[20:]
	}
	text, err := json.Marshal(e)
	must(t, err)
	return text
}

func TestAttack_E4_OneLinkInTwoEncodingsCountsOnce(t *testing.T) {
	for algorithm, size := range map[string]int{"p256": 32, "p384": 48} {
		b := newBuildWith(t, algorithm)
		layout, links := inFixedLength(t, b.signedLayout(), size), b.links()
		b.accepts(layout, links, b.options())
		fixed := make([][]byte, len(links))
		for i, l := range links {
			fixed[i] = inFixedLength(t, l, size)
		}
		b.accepts(layout, fixed, b.options())
		// Bob alone built it, in both encodings.
		b.refuses(steps.ReasonThreshold, layout, [][]byte{links[0], links[1], fixed[1], links[3]}, b.options())
	}
}
