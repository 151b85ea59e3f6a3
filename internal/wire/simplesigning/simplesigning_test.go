package simplesigning_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	oracle "github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

const (
	digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	good   = `{"critical":{"identity":{"docker-reference":"reg.example/a/b"},"image":{"docker-manifest-digest":"` + digest + `"},"type":"cosign container image signature"},"optional":{"k":"v","creator":"x","timestamp":1}}`
)

func TestPayloadIsWrittenByteForByteAsSigstoreDoes(t *testing.T) {
	ref, err := name.NewDigest("reg.example/a/b@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, annotations := range []map[string]string{nil, {}, {"b": "2", "a": "<1>"}} {
		theirs := oracle.Cosign{Image: ref, Annotations: map[string]any{}}
		for k, v := range annotations {
			theirs.Annotations[k] = v
		}
		if len(annotations) == 0 {
			theirs.Annotations = nil
		}
		want, err := theirs.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		p := simplesigning.Payload{DockerReference: "reg.example/a/b", ManifestDigest: digest, Annotations: annotations}
		if got, err := p.Marshal(); err != nil || string(got) != string(want) {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
}

func TestPayloadIsRead(t *testing.T) {
	p, err := simplesigning.Parse([]byte(good))
	if err != nil || p.DockerReference != "reg.example/a/b" || p.ManifestDigest != digest ||
		!maps.Equal(p.Annotations, map[string]string{"k": "v", "creator": "x"}) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestPayloadsOfAnotherMeaningAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"other type":          strings.Replace(good, "cosign container", "atomic container", 1),
		"no type":             strings.Replace(good, `,"type":"cosign container image signature"`, "", 1),
		"unknown critical":    strings.Replace(good, `"critical":{`, `"critical":{"expires":1,`, 1),
		"unknown image":       strings.Replace(good, `"image":{`, `"image":{"platform":"x",`, 1),
		"unknown at the root": `{"x":1,` + good[1:],
		"no digest":           strings.Replace(good, "docker-manifest-digest", "digest", 1),
		"digest a number":     strings.Replace(good, `"`+digest+`"`, "1", 1),
		"reference a number":  strings.Replace(good, `"reg.example/a/b"`, "1", 1),
		"critical twice":      strings.Replace(good, `{"critical"`, `{"critical":{},"critical"`, 1),
		"case variant":        strings.Replace(good, `"critical"`, `"Critical"`, 1),
		"trailing":            good + "x",
		"a list":              "[]",
	} {
		if p, err := simplesigning.Parse([]byte(text)); !errors.Is(err, simplesigning.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, p, err)
		}
	}
}

// What readers that are less strict would take for a payload resembles one.
func TestResembles(t *testing.T) {
	for text, want := range map[string]bool{
		good: true,
		strings.Replace(good, `"critical"`, `"Critical"`, 1):                             true,
		strings.Replace(good, `{"critical"`, `{"x":1,"critical":{},"critical"`, 1):       true,
		strings.Replace(good, `"docker-reference":`, `"docker-reference":1,"other":`, 1): true,
		"  " + good + "\n":         true,
		"":                         false,
		"{}":                       false,
		"a file\n":                 false,
		`{"critical":"no object"}`: false,
	} {
		if got := simplesigning.Resembles([]byte(text)); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := simplesigning.Parse(text)
		if err != nil {
			return
		}
		out, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := simplesigning.Parse(out)
		if err != nil || again.ManifestDigest != p.ManifestDigest || again.DockerReference != p.DockerReference ||
			!maps.Equal(again.Annotations, p.Annotations) {
			t.Fatalf("written and read again: %+v, %v; was %+v", again, err, p)
		}
	})
}

func TestAttack_E5_AMemberGivenTwiceHidesNoResemblance(t *testing.T) {
	digest := `{"image":{"docker-manifest-digest":"sha256:aa"}}`
	for text, want := range map[string]bool{
		`{"critical":` + digest + `,"critical":{"image":{"docker-manifest-digest":""}}}`: true,
		`{"critical":{"image":{"docker-manifest-digest":""}},"critical":` + digest + `}`: true,
		`{"critical":` + digest + `,"critical":null}`:                                    true,
		`{"critical":` + digest + `} and more`:                                           true,
		`{"critical":{"image":{"docker-manifest-digest":""}}}`:                           false,
		`{"critical":{"image":{"docker-manifest-digest":5}}}`:                            false,
		`{"other":` + digest + `}`:                                                       false,
	} {
		if got := simplesigning.Resembles([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestAttack_E6_APayloadIsNoLargerThanAFileThatIsLookedAt(t *testing.T) {
	text := `{"critical":{"identity":{"docker-reference":"r"},"image":{"docker-manifest-digest":"sha256:aa"},"type":"cosign container image signature"},"optional":{"p":"` +
		strings.Repeat("x", simplesigning.MaxSize) + `"}}`
	if _, err := simplesigning.Parse([]byte(text)); !errors.Is(err, simplesigning.ErrMalformed) {
		t.Errorf("%v, want ErrMalformed", err)
	}
}

func TestAnnotationsMayDifferInCaseAlone(t *testing.T) {
	want := map[string]string{"Env": "a", "env": "b"}
	text, err := (&simplesigning.Payload{DockerReference: "r", ManifestDigest: "sha256:aa", Annotations: want}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	p, err := simplesigning.Parse(text)
	if err != nil || !maps.Equal(p.Annotations, want) {
		t.Errorf("%+v, %v", p, err)
	}
}
