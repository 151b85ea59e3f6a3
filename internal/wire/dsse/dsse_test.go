package dsse_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	oracle "github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
)

func parse(text []byte) (*dsse.Envelope, error) {
	v, err := strictjson.Parse(text)
	if err != nil {
		return nil, err
	}
	return dsse.Parse(v)
}

func TestPAEIsThatOfSecureSystemsLab(t *testing.T) {
	for _, c := range []struct{ payloadType, payload string }{
		{"", ""}, {"application/vnd.in-toto+json", "{}"}, {"http://example.com/HelloWorld", "hello world"}, {"é", "\x00\n ü"},
	} {
		if got, want := dsse.PAE(c.payloadType, []byte(c.payload)), oracle.PAE(c.payloadType, []byte(c.payload)); !bytes.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", c, got, want)
		}
	}
}

func TestEnvelopeMeansTheSameToSecureSystemsLab(t *testing.T) {
	e := &dsse.Envelope{PayloadType: dsse.PayloadTypeInToto, Payload: []byte(`{"a":"<>"}`), Signatures: [][]byte{{0xff, 0xfe}, {1}}}
	written, err := e.TextWithKeyID()
	if err != nil {
		t.Fatal(err)
	}
	text := written.Bytes()
	var theirs oracle.Envelope
	if err := json.Unmarshal(text, &theirs); err != nil {
		t.Fatal(err)
	}
	payload, err := theirs.DecodeB64Payload()
	if err != nil || !bytes.Equal(payload, e.Payload) || theirs.PayloadType != e.PayloadType || len(theirs.Signatures) != 2 {
		t.Errorf("they read %q, %+v, %v", payload, theirs, err)
	}
	ours, err := parse(text)
	if err != nil || !bytes.Equal(ours.Payload, e.Payload) || !bytes.Equal(ours.Signatures[0], e.Signatures[0]) {
		t.Errorf("we read %+v, %v", ours, err)
	}
}

func TestALargePayloadIsHeldOnce(t *testing.T) {
	part := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	e := dsse.New("type", []byte("<"), part, part, []byte(">"))
	e.Signatures = [][]byte{{1}}
	if want := dsse.PAE("type", e.Payload); !bytes.Equal(e.PAE(), want) || len(e.Payload) != 2*len(part)+2 {
		t.Fatal("the envelope was put together wrongly")
	}
	text, err := e.Text()
	if err != nil {
		t.Fatal(err)
	}
	text = text.Wrap([]byte(`{"outer":`), []byte("}"))
	read, err := io.ReadAll(iotest.HalfReader(text.Open()))
	if err != nil || !bytes.Equal(read, text.Bytes()) || int64(len(read)) != text.Size() {
		t.Fatalf("streamed, the text has %d bytes, %v; want %d", len(read), err, text.Size())
	}
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := io.Copy(io.Discard, text.Open()); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<18 {
		t.Errorf("streaming %d bytes allocates %d", text.Size(), allocated)
	}
	v, err := strictjson.Parse(read)
	if err != nil {
		t.Fatal(err)
	}
	again, err := dsse.Parse(v.Get("outer"))
	if err != nil || !bytes.Equal(again.PAE(), e.PAE()) {
		t.Fatalf("read again: %v", err)
	}
}

func TestAttack_E8_GarbageSignatureDoesNotHideAGoodOne(t *testing.T) {
	e, err := parse([]byte(`{"payloadType":"t","payload":"e30=","signatures":[{"sig":"!"},{},{"sig":"AQI="},{"keyid":7,"sig":null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Signatures) != 4 || !bytes.Equal(e.Signatures[2], []byte{1, 2}) {
		t.Errorf("signatures %x", e.Signatures)
	}
}

func TestMalformedEnvelopesAreRefused(t *testing.T) {
	many := bytes.Repeat([]byte(`{"sig":"AQI="},`), dsse.MaxSignatures)
	for name, text := range map[string]string{
		"no payloadType":    `{"payload":"e30=","signatures":[{"sig":"AQI="}]}`,
		"no payload":        `{"payloadType":"t","signatures":[{"sig":"AQI="}]}`,
		"payload no base64": `{"payloadType":"t","payload":"{}","signatures":[{"sig":"AQI="}]}`,
		"no signatures":     `{"payloadType":"t","payload":"e30=","signatures":[]}`,
		"signatures object": `{"payloadType":"t","payload":"e30=","signatures":{"sig":"AQI="}}`,
		"too many":          `{"payloadType":"t","payload":"e30=","signatures":[` + string(many) + `{"sig":"AQI="}]}`,
		"case variant":      `{"PayloadType":"t","payload":"e30=","signatures":[{"sig":"AQI="}]}`,
		"a list":            `[]`,
	} {
		if e, err := parse([]byte(text)); !errors.Is(err, dsse.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, e, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"","sig":"AQI="}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := parse(text)
		if err != nil {
			return
		}
		if !bytes.Equal(e.PAE(), dsse.PAE(e.PayloadType, e.Payload)) {
			t.Fatal("what is verified is not what is handed out")
		}
		again, err := e.Text()
		if err != nil {
			t.Fatal(err)
		}
		e2, err := parse(again.Bytes())
		if err != nil || !bytes.Equal(e2.PAE(), e.PAE()) || len(e2.Signatures) != len(e.Signatures) {
			t.Fatalf("written and read again: %+v, %v", e2, err)
		}
	})
}
