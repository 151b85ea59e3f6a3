package verify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func FuzzParseImage(f *testing.F) {
	f.Add([]byte(`{"os":"linux","architecture":"amd64","config":{"User":"1000","Env":["A=b"],"ExposedPorts":{"80/tcp":{}}},"history":[{"created_by":"x"}]}`))
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`)
	f.Fuzz(func(t *testing.T, config []byte) {
		v, err := parseImage(manifest, config)
		if err != nil {
			return
		}
		q := configuration{ConfigRequirement: &policy.ConfigRequirement{NonRoot: true, NoSecrets: true, NoPrivilegedPorts: true, CreatedWithin: policy.Duration(1), MinVersion: "1.0.0"}}
		if _, p := q.judge(v, &circumstances{now: v.created()}); p == nil && v.Config.User == "" {
			t.Fatal("no caller runs it")
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

// clockWithoutLog knows times, and no log.
type clockWithoutLog struct{}

func (clockWithoutLog) ID() string { return "" }

func (clockWithoutLog) Seen(context.Context, policy.SignedEvidence) (time.Time, error) {
	return time.Time{}, nil
}

func TestAClockThatKeepsNoLogIsNotAskedForEntries(t *testing.T) {
	s := &sighting{}
	if ended := s.askLog(nil, &trustedClock{clock: clockWithoutLog{}}, policy.SignedEvidence{}); ended != nil || s.logged {
		t.Errorf("%+v, %v", s, ended)
	}
}

func TestWhatIsTooLargeMeetsNoRequirementOfAConfig(t *testing.T) {
	if (oversize{}).mayMeet(&need{config: &configuration{}}) {
		t.Error("evidence may be a config")
	}
}

func TestWhereThePolicyWantsNoSourceNoneIsCompared(t *testing.T) {
	if p := newAttestation(&policy.AttestationRequirement{}).sameSource(provenance{}, nil); p != nil {
		t.Error(p)
	}
}
