package verify

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

func TestVersionsAreOrderedAsSemanticVersioningSays(t *testing.T) {
	// Source: Semantic Versioning 2.0.0, section 11.
	ordered := []string{
		"0.0.1", "0.9.9", "1.0.0-0", "1.0.0-1", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
		"1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0", "100000000000.0.0",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			order, ok := compareVersions("v"+a, b+"+build."+a)
			if want := slices.Index([]int{-1, 0, 1}, order) - 1; !ok || want != order || (order < 0) != (i < j) || (order > 0) != (i > j) {
				t.Errorf("%s and %s: %d, %v", a, b, order, ok)
			}
		}
	}
	for _, bad := range []string{"", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3.4", "vv1.2.3", "1.2.3 ", "latest", "-1.2.3"} {
		if _, ok := compareVersions(bad, "1.0.0"); ok {
			t.Errorf("%q is a version", bad)
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0.0-alpha.1", "v1.0.0+x", "2.0.0")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, ok := compareVersions(a, b)
		ba, _ := compareVersions(b, a)
		if ab != -ba {
			t.Fatalf("%q and %q: %d and %d", a, b, ab, ba)
		}
		bc, ok2 := compareVersions(b, c)
		if ac, ok3 := compareVersions(a, c); ok && ok2 && ok3 && ab <= 0 && bc <= 0 && ac > 0 {
			t.Fatalf("%q, %q and %q are in no order", a, b, c)
		}
	})
}

func FuzzParseImage(f *testing.F) {
	f.Add([]byte(`{"os":"linux","architecture":"amd64","config":{"User":"1000","Env":["A=b"],"ExposedPorts":{"80/tcp":{}}},"history":[{"created_by":"x"}]}`))
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`)
	f.Fuzz(func(t *testing.T, config []byte) {
		v, err := parseImage(manifest, config)
		if err != nil {
			return
		}
		q := ConfigRequirement{NonRoot: true, NoSecrets: true, NoPrivilegedPorts: true, CreatedWithin: Duration(1), MinVersion: "1.0.0"}
		if _, p := q.judge(v, v.created(), 0); p == nil && v.Config.User == "" {
			t.Fatal("nobody runs it")
		}
	})
}

// Nothing that is asked for in place of a registry is answered, now or by what is
// added later.
func TestJudgementsByBundlesAskNoRegistry(t *testing.T) {
	digest, err := name.NewDigest("registry.example/team/app@sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	var r registry.Reader = noRegistry{}
	_, resolved := r.Resolve(t.Context(), digest)
	_, read := r.Manifest(t.Context(), digest)
	_, opened := r.Blob(t.Context(), digest, 1)
	var listed error
	for _, listed = range r.Referrers(t.Context(), digest) {
	}
	for what, err := range map[string]error{"resolve": resolved, "manifest": read, "blob": opened, "referrers": listed} {
		if !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, errNoRegistry) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
}

func TestTheEarlierOfTwoTimesOfWhichZeroIsNever(t *testing.T) {
	never, soon, late := time.Time{}, time.Unix(1, 0), time.Unix(2, 0)
	for _, x := range [][3]time.Time{{never, never, never}, {never, soon, soon}, {soon, never, soon}, {soon, late, soon}, {late, soon, soon}, {soon, soon, soon}} {
		if got := earlier(x[0], x[1]); !got.Equal(x[2]) {
			t.Errorf("of %v and %v: %v", x[0], x[1], got)
		}
	}
}
