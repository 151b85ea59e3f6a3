package built_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/built"
)

func digestOf(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// metadataFile is what BuildKit's clients wrote; see the README beside it.
func metadataFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "attest", "provenance", "testdata", "buildkit", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// artifacts is an artifacts.json of GoReleaser: pairs of a type and a name, each with a
// digest or without.
func artifacts(images ...[3]string) string {
	parts := []string{`{"name":"app_linux_amd64.tar.gz","path":"dist/app.tar.gz","goos":"linux","type":"Archive","extra":{"ID":"app","Digest":"sha256:00"}}`}
	for _, i := range images {
		extra := `"ID":"app"`
		if i[2] != "" {
			extra += `,"Digest":"` + i[2] + `"`
		}
		parts = append(parts, fmt.Sprintf(`{"name":%q,"path":%q,"internal_type":9,"type":%q,"extra":{%s}}`, i[1], i[1], i[0], extra))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func names(images []built.Image) (all []string) {
	for _, i := range images {
		all = append(all, strings.TrimSpace(i.Digest.Name()+" "+i.Tag+" "+i.Target))
	}
	return all
}

func TestImagesOfEachTool(t *testing.T) {
	const pushed = "registry.example.test/team/app@sha256:72134b8ec027cdb52a2e2f3181f600e134d00ffcd45f0c6878a95dfd0c76148e"
	a, b, c := digestOf("a"), digestOf("b"), digestOf("c")
	for what, test := range map[string]struct {
		data string
		want []string
	}{
		"buildx, two names": {string(metadataFile(t, "buildx-max")), []string{pushed + " v1", pushed + " latest"}},
		"buildx, no index":  {string(metadataFile(t, "buildx-image")), []string{"registry.example.test/team/app@sha256:af2cd8c46947adf6e6fa7b274b1cb5c1e28e005070f1e44c132241d13620b8b9 v4"}},
		"buildctl":          {string(metadataFile(t, "buildctl")), []string{"registry.example.test/team/app@sha256:a1ffe84a9532582226df54d0c381c87a01d1ebe0fca0c6debe67d6f43699b899 v1"}},
		"default host":      {`{"image.name":"docker.io/library/app:1","containerimage.digest":"` + a + `"}`, []string{"index.docker.io/library/app@" + a + " 1"}},
		"canonical name":    {`{"image.name":"example.test/app@` + a + `","containerimage.digest":"` + a + `"}`, []string{"example.test/app@" + a}},
		"ko": {"example.test/app@" + a + "\nexample.test/app@" + b + "\nexample.test:5000/tools/x:v1@" + b + "\r\n\nexample.test/app@" + a + "\n",
			[]string{"example.test/app@" + a, "example.test/app@" + b, "example.test:5000/tools/x@" + b + " v1"}},
		"list": {"# release 7\n  example.test/app:v1@" + a + "  \n\n#example.test/app:v2@" + b, []string{"example.test/app@" + a + " v1"}},
		"goreleaser": {artifacts([3]string{"Docker Image", "example.test/app:v1-amd64", ""}, [3]string{"Published Docker Image", "example.test/app:v1-amd64", b},
			[3]string{"Docker Manifest", "example.test/app:v1", a}), []string{"example.test/app@" + b + " v1-amd64", "example.test/app@" + a + " v1"}},
		"goreleaser, version 2": {artifacts([3]string{"Docker Image V2", "app:v1", c}), []string{"index.docker.io/library/app@" + c + " v1"}},
		"goreleaser with ko":    {artifacts([3]string{"Docker Manifest", "example.test/app", c}), []string{"example.test/app@" + c}},
		"digests.txt": {strings.Repeat("a", 64) + " example.test/app:v1\n" + strings.Repeat("b", 64) + "  example.test/app:v2\n",
			[]string{"example.test/app@" + a + " v1", "example.test/app@" + b + " v2"}},
	} {
		images, err := built.Images([]byte(test.data))
		if got := names(images); !slices.Equal(got, test.want) || err != nil {
			t.Errorf("%s: %q, %v; want %q", what, got, err, test.want)
		}
	}
	images, err := built.Images(metadataFile(t, "bake"))
	if err != nil || len(images) != 2 || images[0].Target != "a" || images[1].Target != "b" || images[1].Digest.RepositoryStr() != "team/b" {
		t.Errorf("bake: %v, %v", images, err)
	}
}

func TestResultsThatNameNoManifestAreRefused(t *testing.T) {
	a, b := digestOf("a"), digestOf("b")
	named := func(members string) string { return `{"image.name":"example.test/app:v1",` + members + `}` }
	for what, c := range map[string]struct {
		data string
		kind error
	}{
		"nothing":              {"", built.ErrFormat},
		"white space":          {" \n\t\n", built.ErrFormat},
		"comments alone":       {"# none\n", built.ErrFormat},
		"other JSON":           {`{"builds":[]}`, built.ErrFormat},
		"an empty array":       {`[]`, built.ErrFormat},
		"half an object":       {`{"image.name":`, built.ErrFormat},
		"a member twice":       {`{"image.name":"a","image.name":"b","containerimage.digest":"` + a + `"}`, built.ErrFormat},
		"no name":              {`{"containerimage.digest":"` + a + `"}`, built.ErrNoDigest},
		"no digest":            {named(`"x":1`), built.ErrNoDigest},
		"digest of no kind":    {named(`"containerimage.digest":"sha512:00"`), built.ErrNoDigest},
		"digest is a number":   {named(`"containerimage.digest":1`), built.ErrNoDigest},
		"an image ID":          {named(`"containerimage.digest":"` + a + `","containerimage.config.digest":"` + a + `"`), built.ErrNoDigest},
		"a malformed name":     {`{"image.name":"UPPER:v1","containerimage.digest":"` + a + `"}`, built.ErrFormat},
		"an empty name":        {`{"image.name":"a,,b","containerimage.digest":"` + a + `"}`, built.ErrFormat},
		"two digests":          {named(`"containerimage.digest":"` + a + `","containerimage.descriptor":{"digest":"` + b + `"}`), built.ErrConflict},
		"digest of a name":     {`{"image.name":"example.test/app@` + b + `","containerimage.digest":"` + a + `"}`, built.ErrConflict},
		"one target of two":    {`{"a":` + named(`"containerimage.digest":"`+a+`"`) + `,"b":{"buildx.build.ref":"x"}}`, built.ErrNoDigest},
		"a tag alone":          {"example.test/app:v1\n", built.ErrNoDigest},
		"one of two":           {"example.test/app@" + a + "\nexample.test/app\n", built.ErrNoDigest},
		"a short digest":       {"example.test/app@sha256:00\n", built.ErrNoDigest},
		"another algorithm":    {"example.test/app@sha512:" + strings.Repeat("a", 128) + "\n", built.ErrNoDigest},
		"no reference":         {"ko: command not found\n", built.ErrFormat},
		"a log":                {"2026/01/01 Using base example.test/app\nexample.test/app@" + a, built.ErrFormat},
		"an iidfile":           {a, built.ErrNoDigest},
		"a digest file":        {a + "\n", built.ErrNoDigest},
		"an ID of buildah":     {strings.Repeat("a", 64) + "\n", built.ErrNoDigest},
		"a digest among names": {"example.test/app@" + a + "\n" + b, built.ErrNoDigest},
		"UTF-16":               {"\xff\xfea\x00", built.ErrFormat},
		"a byte order mark":    {"\ufeffexample.test/app@" + a, built.ErrFormat},
		"a long line":          {strings.Repeat("a", 5000), built.ErrFormat},
		"a snapshot":           {artifacts([3]string{"Docker Image", "example.test/app:v1", ""}), built.ErrNoDigest},
		"two releases": {artifacts([3]string{"Docker Manifest", "example.test/app:v1", a}, [3]string{"Docker Manifest", "example.test/app:v1", b}),
			built.ErrConflict},
		"no images in it":   {artifacts(), built.ErrFormat},
		"a digest of sizes": {artifacts([3]string{"Docker Image", "example.test/app:v1", "sha256:00"}), built.ErrNoDigest},
		"what jq lacks":     {"example.test/app@" + a + "\nnull\n", built.ErrFormat},
		"sums of files":     {strings.Repeat("a", 64) + "  ./App.tar.gz\n", built.ErrFormat},
	} {
		if images, err := built.Images([]byte(c.data)); !errors.Is(err, c.kind) || images != nil {
			t.Errorf("%s: %v, %v; want %v", what, images, err, c.kind)
		}
	}
}

func TestNamesKeepTheLinesOfLists(t *testing.T) {
	a := digestOf("a")
	for what, c := range map[string]struct {
		data string
		want []string
	}{
		"tags and layouts": {"example.test/app:v1\n./out/layout:v1\noci:dir@" + a + "\nexample.test/app:v1\n", []string{"example.test/app:v1", "./out/layout:v1", "oci:dir@" + a}},
		"metadata":         {`{"image.name":"example.test/app:1","containerimage.digest":"` + a + `"}`, []string{"example.test/app:1@" + a}},
		"digests.txt":      {strings.Repeat("a", 64) + " example.test/app:v1\n", []string{"example.test/app:v1@" + a}},
	} {
		got, err := built.Names([]byte(c.data))
		if !slices.Equal(got, c.want) || err != nil {
			t.Errorf("%s: %q, %v; want %q", what, got, err, c.want)
		}
	}
	if got, err := built.Names([]byte(a + "\n")); !errors.Is(err, built.ErrNoDigest) || !strings.Contains(err.Error(), "--iidfile") || got != nil {
		t.Errorf("an iidfile: %q, %v", got, err)
	}
}

func TestResultsAreBounded(t *testing.T) {
	many := strings.Repeat("example.test/app:v1\n", built.MaxImages+1)
	if _, err := built.Names([]byte(many)); !errors.Is(err, built.ErrFormat) {
		t.Errorf("too many images: %v", err)
	}
	if _, err := built.Names(bytes.Repeat([]byte(" "), built.MaxSize+1)); !errors.Is(err, built.ErrFormat) {
		t.Errorf("too many bytes: %v", err)
	}
}

func FuzzImages(f *testing.F) {
	f.Add(metadataFile(f, "buildx-max"))
	f.Add(metadataFile(f, "bake"))
	f.Add([]byte(artifacts([3]string{"Docker Image", "example.test/app:v1", digestOf("a")})))
	f.Add([]byte("# list\nexample.test/app:v1@" + digestOf("a") + "\n" + strings.Repeat("a", 64) + " app:v1\n"))
	f.Add([]byte(digestOf("a")))
	f.Fuzz(func(t *testing.T, data []byte) {
		images, err := built.Images(data)
		if (err == nil) != (len(images) > 0) {
			t.Fatalf("%d images and %v", len(images), err)
		}
		if err != nil && !errors.Is(err, built.ErrFormat) && !errors.Is(err, built.ErrNoDigest) && !errors.Is(err, built.ErrConflict) {
			t.Fatalf("an error of no kind: %v", err)
		}
		if _, failed := built.Names(data); err == nil && failed != nil {
			t.Fatalf("images without names: %v", failed)
		}
	})
}

func TestAListOfTooManyImagesIsRefused(t *testing.T) {
	list := strings.Repeat("example.test/app@"+digestOf("a")+"\n", built.MaxImages+2)
	if all, err := built.Images([]byte(list)); all != nil || !errors.Is(err, built.ErrFormat) {
		t.Errorf("%d images, %v", len(all), err)
	}
}

// What a build tool, or an attacker in its place, writes is an error or a list, in time.
func TestAttack_F3_HostileResultsAreRefused(t *testing.T) {
	a, b := digestOf("a"), digestOf("b")
	metadata := func(fields string) string { return `{"containerimage.digest":"` + a + `",` + fields + `}` }
	for what, data := range map[string]string{
		"a huge number":        metadata(`"image.name":"example.test/app:v1","n":1` + strings.Repeat("0", 100_000)),
		"a number as a digest": `{"containerimage.digest":1e999,"image.name":"example.test/app:v1"}`,
		"two digests":          metadata(`"containerimage.digest":"` + b + `","image.name":"example.test/app:v1"`),
		"depth":                strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
		"a way up":             metadata(`"image.name":"../../etc:v1"`),
		"an escape":            metadata(`"image.name":"example.test/\u001b[31m:v1"`),
		"more behind":          metadata(`"image.name":"example.test/app:v1"`) + " x",
		"many images":          strings.Repeat("example.test/app\n", 1_000_000),
		"many blank lines":     strings.Repeat("\n", 4_000_000),
		"many comments":        strings.Repeat("# x\n", 1_000_000),
		"a long line":          "example.test/" + strings.Repeat("a", 1_000_000),
		"a terminal's title":   "\x1b]0;x\a\n",
		"a zero byte":          "example.test/app\x00\n",
		"UTF-16":               "\xff\xfee\x00x\x00",
		"two digests of one":   artifacts([3]string{"Docker Image", "example.test/app:v1", a}, [3]string{"Docker Image", "example.test/app:v1", b}),
		"a layout's path":      artifacts([3]string{"Docker Image", "oci:../../x", a}),
		"null":                 "null",
	} {
		began := time.Now()
		names, err := built.Names([]byte(data))
		if took := time.Since(began); err == nil || names != nil || took > 10*time.Second || strings.ContainsAny(err.Error(), "\x1b\x00\a") || len(err.Error()) > 1000 {
			t.Errorf("%s: %d names, %.200v, in %s", what, len(names), err, took)
		}
	}
}
