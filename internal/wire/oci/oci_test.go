package oci_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

var (
	digest   = "sha256:" + strings.Repeat("ab", 32)
	desc     = `{"mediaType":"application/octet-stream","size":3,"digest":"` + digest + `"}`
	manifest = `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeManifest + `","config":` + desc + `,"layers":[` + desc + `],"subject":` + desc + `,"artifactType":"t","annotations":{"a":"b"}}`
	index    = `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeIndex + `","manifests":[{"mediaType":"m","size":1,"digest":"` + digest + `","platform":{"os":"linux","architecture":"arm","variant":"v7","os.features":["x"]},"annotations":{"k":"v"},"data":"AQI=","urls":["u"],"artifactType":"at"}]}`
)

func TestManifestsAndIndexesAreRead(t *testing.T) {
	for _, contentType := range []string{"", oci.MediaTypeManifest} {
		d, err := oci.Parse(contentType, []byte(manifest))
		if err != nil || d.IsIndex || d.Config == nil || len(d.Layers) != 1 || d.Layers[0].Size != 3 ||
			d.Subject.Digest.String() != digest || d.ArtifactType != "t" || d.Annotations["a"] != "b" {
			t.Errorf("manifest served as %q: %+v, %v", contentType, d, err)
		}
	}
	d, err := oci.Parse("", []byte(index))
	if err != nil || !d.IsIndex || len(d.Manifests) != 1 {
		t.Fatalf("index: %+v, %v", d, err)
	}
	m := d.Manifests[0]
	if m.Platform.OS != "linux" || m.Platform.Variant != "v7" || len(m.Platform.OSFeatures) != 1 ||
		string(m.Data) != "\x01\x02" || len(m.URLs) != 1 || m.ArtifactType != "at" || m.Annotations["k"] != "v" {
		t.Errorf("descriptor: %+v", m)
	}
	for text, isIndex := range map[string]bool{
		strings.Replace(manifest, `"mediaType":"`+oci.MediaTypeManifest+`",`, "", 1): false,
		strings.Replace(index, `"mediaType":"`+oci.MediaTypeIndex+`",`, "", 1):       true,
		`{"schemaVersion":2,"manifests":null}`:                                       true,
	} {
		if d, err := oci.Parse("", []byte(text)); err != nil || d.IsIndex != isIndex {
			t.Errorf("without a mediaType: %+v, %v", d, err)
		}
	}
}

func TestAttack_I4_AManifestHasOneMeaning(t *testing.T) {
	both := strings.Replace(manifest, `"layers"`, `"manifests":[],"layers"`, 1)
	for name, c := range map[string]struct{ contentType, text string }{
		"served as an index":        {oci.MediaTypeIndex, manifest},
		"served as Docker":          {oci.MediaTypeDockerManifest, manifest},
		"manifest with manifests":   {"", both},
		"index with layers":         {"", strings.Replace(index, `"manifests"`, `"layers":[],"manifests"`, 1)},
		"index with a config":       {"", strings.Replace(index, `"manifests"`, `"config":`+desc+`,"manifests"`, 1)},
		"with schema 1 layers":      {"", strings.Replace(manifest, `"layers"`, `"fsLayers":[],"layers"`, 1)},
		"schema version 1":          {"", strings.Replace(manifest, `"schemaVersion":2`, `"schemaVersion":1`, 1)},
		"no schema version":         {"", strings.Replace(manifest, `"schemaVersion":2,`, ``, 1)},
		"mediaType a number":        {oci.MediaTypeManifest, strings.Replace(manifest, `"`+oci.MediaTypeManifest+`"`, `1`, 1)},
		"two mediaTypes":            {"", `{"mediaType":"x",` + manifest[1:]},
		"case variant of mediaType": {"", `{"MediaType":"x",` + manifest[1:]},
		"no config":                 {"", strings.Replace(manifest, `"config"`, `"conf"`, 1)},
		"no layers":                 {"", strings.Replace(manifest, `"layers"`, `"layer"`, 1)},
		"layers an object":          {"", strings.Replace(manifest, `[`+desc+`]`, desc, 1)},
		"annotations of numbers":    {"", strings.Replace(manifest, `{"a":"b"}`, `{"a":1}`, 1)},
		"artifactType a number":     {"", strings.Replace(manifest, `"t"`, `1`, 1)},
		"a list":                    {"", `[]`},
		"not JSON":                  {oci.MediaTypeManifest, `x`},
	} {
		if d, err := oci.Parse(c.contentType, []byte(c.text)); !errors.Is(err, oci.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, d, err)
		}
	}
	for _, contentType := range []string{"application/vnd.docker.distribution.manifest.v1+prettyjws", "text/html", "application/json"} {
		text := `{"schemaVersion":2,"config":` + desc + `,"layers":[]}`
		if d, err := oci.Parse(contentType, []byte(text)); !errors.Is(err, oci.ErrUnsupported) {
			t.Errorf("%s: %+v, %v; want ErrUnsupported", contentType, d, err)
		}
	}
}

func TestAttack_I5_DescriptorsAreExact(t *testing.T) {
	for name, d := range map[string]string{
		"negative size":    strings.Replace(desc, "3", "-1", 1),
		"fractional size":  strings.Replace(desc, "3", "3.5", 1),
		"huge size":        strings.Replace(desc, "3", "9223372036854775808", 1),
		"size a string":    strings.Replace(desc, "3", `"3"`, 1),
		"no size":          strings.Replace(desc, "size", "length", 1),
		"short sha512":     strings.Replace(desc, digest, "sha512:"+strings.Repeat("ab", 32), 1),
		"sha384":           strings.Replace(desc, digest, "sha384:"+strings.Repeat("ab", 48), 1),
		"unknown algoritm": strings.Replace(desc, "sha256:", "md5:", 1),
		"upper case":       strings.Replace(desc, digest, "sha256:"+strings.Repeat("AB", 32), 1),
		"short":            strings.Replace(desc, digest, digest[:70], 1),
		"no algorithm":     strings.Replace(desc, "sha256:", "", 1),
		"no digest":        strings.Replace(desc, "digest", "hash", 1),
		"no media type":    strings.Replace(desc, "mediaType", "type", 1),
		"bad data":         strings.Replace(desc, `"size"`, `"data":"!","size"`, 1),
		"urls of numbers":  strings.Replace(desc, `"size"`, `"urls":[1],"size"`, 1),
		"bad platform":     strings.Replace(desc, `"size"`, `"platform":{"os":1},"size"`, 1),
		"bad os features":  strings.Replace(desc, `"size"`, `"platform":{"os.features":[1]},"size"`, 1),
		"bad annotations":  strings.Replace(desc, `"size"`, `"annotations":[],"size"`, 1),
		"a string":         `"x"`,
	} {
		text := `{"schemaVersion":2,"config":` + desc + `,"layers":[` + d + `]}`
		if doc, err := oci.Parse(oci.MediaTypeManifest, []byte(text)); !errors.Is(err, oci.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, doc, err)
		}
	}
}

// Blobs may have sha512 digests; what names manifests may not, which is told.
func TestParse_DigestsOfBlobsMayBeSHA512(t *testing.T) {
	blob := strings.Replace(desc, digest, "sha512:"+strings.Repeat("ab", 64), 1)
	manifest := strings.Replace(blob, "application/octet-stream", oci.MediaTypeManifest, 1)
	for label, c := range map[string]struct {
		mediaType, text string
		want            error
	}{
		"config and layer": {oci.MediaTypeManifest, `{"schemaVersion":2,"config":` + blob + `,"layers":[` + blob + `]}`, nil},
		"subject":          {oci.MediaTypeManifest, `{"schemaVersion":2,"config":` + desc + `,"layers":[],"subject":` + manifest + `}`, oci.ErrUnsupported},
		"child":            {oci.MediaTypeIndex, `{"schemaVersion":2,"manifests":[` + manifest + `]}`, oci.ErrUnsupported},
		"other in index":   {oci.MediaTypeIndex, `{"schemaVersion":2,"manifests":[` + blob + `]}`, nil},
	} {
		if _, err := oci.Parse(c.mediaType, []byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", label, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("", []byte(manifest))
	f.Add(oci.MediaTypeIndex, []byte(index))
	f.Fuzz(func(t *testing.T, contentType string, text []byte) {
		d, err := oci.Parse(contentType, text)
		if err != nil {
			return
		}
		if d.IsIndex && (d.Config != nil || d.Layers != nil) || !d.IsIndex && (d.Config == nil || d.Manifests != nil) {
			t.Fatalf("neither manifest nor index: %+v", d)
		}
	})
}

// encoding/json, and with it most clients, finds "data" in "Data".
func TestAttack_P15_AMemberInAnotherCaseIsMalformed(t *testing.T) {
	for name, text := range map[string]string{
		"in the document":   strings.Replace(manifest, `"annotations"`, `"Subject":null,"annotations"`, 1),
		"alone":             strings.Replace(manifest, `"subject"`, `"Subject"`, 1),
		"in a descriptor":   strings.Replace(manifest, `"size"`, `"Data":"AQI=","size"`, 1),
		"folded by Unicode": strings.Replace(manifest, `"size"`, `"urlſ":["u"],"size"`, 1),
		"escaped":           strings.Replace(manifest, `"size"`, `"\u0044ata":"AQI=","size"`, 1),
		"in a platform":     strings.Replace(index, `"variant"`, `"OS.version":"1","variant"`, 1),
	} {
		if d, err := oci.Parse("", []byte(text)); !errors.Is(err, oci.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, d, err)
		}
	}
	list := strings.Replace(index, `"data"`, `"Data"`, 1)
	if all, err := oci.ParseReferrers([]byte(list)); err != nil || len(all) != 0 {
		t.Errorf("in a list: %v, %v", all, err)
	}
}

func TestPlainManifestsHoldNothingThatIsNotNamed(t *testing.T) {
	for text, plain := range map[string]bool{
		manifest: true,
		strings.Replace(manifest, `"annotations"`, `"annotation":{},"annotations"`, 1): false,
		strings.Replace(manifest, `"size"`, `"sizes":1,"size"`, 1):                     false,
		strings.Replace(manifest, `"size"`, `"artifactType":"x","size"`, 1):            true,
		"{": false,
	} {
		if oci.Plain([]byte(text)) != plain {
			t.Errorf("%s: %v", text, !plain)
		}
	}
}
