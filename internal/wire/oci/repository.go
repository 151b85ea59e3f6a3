package oci

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// ParseRepository reads REGISTRY/REPOSITORY. No part has a default, and no scheme or tag
// may be there.
func ParseRepository(text string) (name.Repository, error) {
	repo, err := name.NewRepository(text, name.StrictValidation)
	if err == nil && strings.Contains(text, "//") {
		err = fmt.Errorf("it has an empty part, or a scheme in front")
	}
	if err != nil {
		return name.Repository{}, fmt.Errorf("repository %.200q: want REGISTRY/REPOSITORY, such as registry.example/team/app: %w", text, err)
	}
	return repo, nil
}
