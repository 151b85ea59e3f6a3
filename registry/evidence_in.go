package registry

import (
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// EvidenceIn returns the subject by which Evidence and Detach find the evidence about a
// manifest in another repository: the same digest there. cosign reads and writes evidence
// there where COSIGN_REPOSITORY names the repository. For the zero repository it is subject.
func EvidenceIn(repo name.Repository, subject name.Digest) name.Digest {
	if repo == (name.Repository{}) {
		return subject
	}
	return repo.Digest(subject.DigestStr())
}

// ParseRepository reads REGISTRY/REPOSITORY, as users name a repository for evidence. The
// registry must be named, and no scheme or tag may be there. Errors are ErrReference.
func ParseRepository(text string) (name.Repository, error) {
	repo, err := oci.ParseRepository(text)
	if err != nil {
		return repo, &Error{Op: "read repository", Ref: safe(text), Kind: ErrReference, Err: err}
	}
	return repo, nil
}
