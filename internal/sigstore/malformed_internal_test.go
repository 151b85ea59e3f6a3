package sigstore

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestMalformedSCTsAreRefused(t *testing.T) {
	sct := slices.Concat([]byte{0}, make([]byte, 40), []byte{0, 0, 4, 3, 0, 1, 9})
	list := slices.Concat([]byte{0, byte(len(sct) + 2), 0, byte(len(sct))}, sct)
	good := appendElement(nil, tagOctets, list)
	if all, err := parseSCTs(good); err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	for n := range list {
		if all, err := parseSCTs(appendElement(nil, tagOctets, list[:n])); err == nil {
			t.Errorf("%d bytes of %d: %v", n, len(list), all)
		}
		// The lengths fit, and the timestamp is cut off.
		if cut := n - 4; cut >= 0 {
			short := slices.Concat([]byte{0, byte(cut + 2), 0, byte(cut)}, sct[:cut])
			if all, err := parseSCTs(appendElement(nil, tagOctets, short)); err == nil {
				t.Errorf("%d bytes of a timestamp: %v", cut, all)
			}
		}
	}
	if all, err := parseSCTs(list); err == nil {
		t.Errorf("without its octets: %v", all)
	}
	version := bytes.Clone(good)
	version[6] = 1
	if all, err := parseSCTs(version); err != nil || len(all) != 0 {
		t.Errorf("of another version: %v, %v", all, err)
	}
	one := list[2:]
	many := slices.Concat([]byte{byte(17 * len(one) >> 8), byte(17 * len(one))}, bytes.Repeat(one, 17))
	if all, err := parseSCTs(appendElement(nil, tagOctets, many)); err == nil {
		t.Errorf("too many: %d", len(all))
	}
}

func TestMalformedDERIsRefused(t *testing.T) {
	for name, der := range map[string]string{
		"nothing": "", "a tag": "\x30", "a long tag": "\x3f\x01\x00", "no length": "\x30\x81", "indefinite": "\x30\x80\x00\x00", "a length that begins with 0": "\x30\x82\x00\x80",
		"a length that is too long": "\x30\x81\x05hello", "huge": "\x30\x84\x7f\xff\xff\xff", "cut off": "\x30\x05hell",
	} {
		if e, rest, err := next([]byte(der)); err == nil {
			t.Errorf("%s: %+v, %x", name, e, rest)
		}
	}
	large := appendElement(nil, tagOctets, make([]byte, 70_000))
	if e, rest, err := next(large); err != nil || len(rest) > 0 || len(e.content) != 70_000 {
		t.Errorf("%d bytes: %v", len(e.content), err)
	}
	c := cursor{}
	if c.any(); c.err == nil {
		t.Error("an element of nothing")
	}
}

func TestMalformedBERIsRefused(t *testing.T) {
	for name, ber := range map[string]string{
		"nothing": "", "a tag": "\x30", "a primitive of indefinite length": "\x04\x80\x00\x00", "no end": "\x30\x80\x04\x00", "no length": "\x30\x82\x01",
		"a length of nine bytes": "\x30\x89123456789", "huge": "\x30\x88\x7f\xff\xff\xff\xff\xff\xff\xff", "cut off": "\x30\x05hell", "more behind": "\x04\x00\x04\x00",
		"pieces of something else": "\x24\x80\x02\x01\x01\x00\x00", "deep": strings.Repeat("\x30\x80", 100), "large": strings.Repeat("\x04\x00", maxBERSize),
	} {
		if der, err := fromBER([]byte(ber)); err == nil {
			t.Errorf("%s: %x", name, der)
		}
	}
}

func TestMalformedCheckpointsAreRefused(t *testing.T) {
	root, line := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "\u2014 log AAAAAAA=\n"
	good := "log\n7\n" + root + "\n\n" + line
	if c, err := parseCheckpoint(good); err != nil || c.size != 7 {
		t.Fatalf("%+v, %v", c, err)
	}
	for name, note := range map[string]string{
		"nothing": "", "no signature": "log\n7\n" + root + "\n\n", "no text": "\n\n" + line, "no origin": "\n7\n" + root + "\n\n" + line,
		"no size": "log\n" + root + "\n\n" + line, "size 0": "log\n0\n" + root + "\n\n" + line, "size with a zero": "log\n07\n" + root + "\n\n" + line,
		"negative size": "log\n-7\n" + root + "\n\n" + line, "short root": "log\n7\nAAAA\n\n" + line, "no base64": "log\n7\n?\n\n" + line,
		"no dash": "log\n7\n" + root + "\n\nlog AAAAAAA=\n", "no name": "log\n7\n" + root + "\n\n\u2014  AAAAAAA=\n", "short signature": "log\n7\n" + root + "\n\n\u2014 log AAAA\n",
		"no signature of a name": "log\n7\n" + root + "\n\n\u2014 log\n", "no line break": strings.TrimSuffix(good, "\n"), "a blank line": good + "\n", "large": good + strings.Repeat(line, 2000),
	} {
		if c, err := parseCheckpoint(note); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
