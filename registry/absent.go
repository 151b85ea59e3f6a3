package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/pause"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// Some registries refuse to answer about tags that do not exist, as if their users had
// no right to read: Artifactory with 403, others with 401 or 501. Nothing could ever be
// attached to an image there. A writer that only adds evidence therefore takes such an
// answer for "not found" under the conditions of seemsAbsent and staysAbsent. Readers, and
// writers that remove, never do.

// Refused reports whether a store has answered that it does not serve a request: with an
// HTTP status of 400 to 499, but for 404, 408 and 429, or with 501. Asking again gives
// the same answer. Refused errors are Unreadable: they do not tell whether the content
// exists.
func Refused(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch e.Status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	case http.StatusNotImplemented:
		return true
	}
	return e.Status/100 == 4 && e.Kind != ErrRateLimited
}

// seemsAbsent reports whether a refused read of a tag may mean that the tag does not
// exist: the store gives the same answer about a random tag.
func seemsAbsent(ctx context.Context, r Reader, tag name.Tag, refused error) bool {
	if !Refused(refused) {
		return false
	}
	other := randomTag(tag)
	_, err := ReadManifest(ctx, r, other)
	return err != nil && answerOf(refused, tag) == answerOf(err, other)
}

// randomTag returns a tag of the same form that does not exist.
func randomTag(like name.Tag) name.Tag {
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	front, _, _ := strings.Cut(like.TagStr(), "-")
	_, suffix, _ := strings.Cut(like.TagStr(), ".")
	if suffix != "" {
		suffix = "." + suffix
	}
	return like.Context().Tag(front + "-" + hex.EncodeToString(random[:]) + suffix)
}

// answer is what an error says about a tag, without the tag.
type answer struct {
	status     int
	kind       Kind
	code, text string
}

// varying are parts of an answer that differ from request to request: times and IDs.
var varying = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[0-9a-fA-F][0-9a-fA-F:.T-]{7,}|[0-9]+`)
})

func answerOf(err error, about name.Tag) answer {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return answer{}
	}
	without := strings.ReplaceAll(e.Detail, about.TagStr(), "")
	return answer{e.Status, e.Kind, e.Code, varying().ReplaceAllString(without, "")}
}

// staysAbsent returns an error if a tag that seemsAbsent may exist after all: the repository
// cannot be read, or the tag can be read a while later. A registry may refuse reads for a
// moment, and what the tag holds would be overwritten. ErrConflict says that the tag exists.
func staysAbsent(ctx context.Context, s Store, tag name.Tag, m Manifest) error {
	if err := provesReading(ctx, s, tag.Context(), m); err != nil {
		return err
	}
	if err := pause.For(ctx, tagSettle); err != nil {
		return err
	}
	_, err := ReadManifest(ctx, s, tag)
	switch {
	case err == nil:
		return &Error{Op: "attach under", Ref: text(tag), Kind: ErrConflict, Detail: "the registry refused to read the tag a moment ago, and it exists"}
	case errors.Is(err, ErrNotFound), seemsAbsent(ctx, s, tag, err):
		return nil
	}
	return err
}

// provesReading stores a manifest by its digest and reads it back. A user who may not
// read a repository does not learn which of its tags exist, and overwrites none.
func provesReading(ctx context.Context, s Store, repo name.Repository, m Manifest) error {
	if _, err := s.PushManifest(ctx, repo.Digest(m.Descriptor.Digest.String()), m, PushOptions{}); err != nil {
		return err
	}
	return confirmManifest(ctx, s, repo, m.Descriptor)
}

// noBundles says that a registry takes the fallback tag of an image for the image's
// digest. It never holds a list of referrers then.
func noBundles(tag name.Tag) error {
	return &Error{Op: "attach under", Ref: text(tag), Kind: ErrNoBundles, Host: tag.RegistryStr(),
		Detail: "it answers this tag with the image itself, and lists no referrers; attach in the formats of the tags .sig and .att"}
}

// holdsReferrers reports whether a fallback tag holds a list of referrers of subject.
func (h heldTag) holdsReferrers(subject v1.Hash) bool {
	if h.doc == nil || !h.doc.IsIndex {
		return h.doc == nil
	}
	for _, d := range h.doc.Manifests {
		if oci.MayRefer(d, subject) {
			return true
		}
	}
	return len(h.doc.Manifests) == 0
}
