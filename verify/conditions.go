package verify

import (
	"context"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// conditions are the conditions of the policy at one time, about one image or file. They
// are the contents of an evaluation.
type conditions struct{ circumstances }

func newConditions(ctx context.Context, p *compiled, image name.Digest, now time.Time) *conditions {
	return &conditions{circumstances{ctx: ctx, now: now, skew: p.skew, image: image, builders: p.builders}}
}

func (c *conditions) meets(leaf *need, f fact, excused map[string]bool) (time.Time, *problem) {
	in := c.circumstances
	in.excused, in.signer = excused, f.known
	if leaf.attestation != nil {
		return leaf.attestation.judge(f.statement, &in)
	}
	q := leaf.signature
	if q.SameRepository && !sameRepository(f.repository, c.image.Context()) {
		return time.Time{}, unwanted(ReasonWrongRepository, "its repository", f.repository, []string{c.image.Context().Name()})
	}
	for k, want := range q.Annotations {
		if got, there := f.annotations[k]; !there || got != want {
			return time.Time{}, unwanted(ReasonAnnotations, "its annotation "+k, got, []string{want})
		}
	}
	if q.MaxAge == 0 {
		return time.Time{}, nil
	}
	return in.withinAge(in.signedAfter(), q.MaxAge)
}

func (c *conditions) excuses(leaf *need, documents []vexDocument) (map[string]bool, time.Time, error) {
	return harmless(documents, leaf.attestation, c.now, c.skew)
}

// sameRepository compares a docker-reference, which may be a short name or have a tag,
// with a repository.
func sameRepository(reference string, repo name.Repository) bool {
	ref, err := name.ParseReference(reference)
	return err == nil && ref.Context().Name() == repo.Name()
}
