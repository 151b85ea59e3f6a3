// Package buildkit reads the metadata files of BuildKit's clients: buildctl, docker
// buildx build and docker buildx bake.
//
// Sources: docker buildx, docs/reference/buildx_build.md and buildx_bake.md (measured
// with v0.38), buildctl (v0.34).
package buildkit

import (
	"errors"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// ErrNotMetadata says that the JSON is not a metadata file.
var ErrNotMetadata = errors.New("it is not a metadata file of BuildKit")

// Target is the metadata of one build.
type Target struct {
	// Name is the target of docker buildx bake. Empty: the file has one build.
	Name  string
	Value strictjson.Value
}

// Targets returns the builds of a metadata file. The file of docker buildx bake holds
// one object for each target.
//
// Errors are strictjson.ErrSyntax and ErrNotMetadata.
func Targets(data []byte) ([]Target, error) {
	root, err := strictjson.ParseExact(data) // users choose the names of targets
	if err != nil {
		return nil, err
	}
	if isMetadata(root) {
		return []Target{{Value: root}}, nil
	}
	var targets []Target
	for name, value := range root.Members() {
		if isMetadata(value) {
			targets = append(targets, Target{name, value})
		}
	}
	if len(targets) == 0 {
		return nil, ErrNotMetadata
	}
	return targets, nil
}

func isMetadata(v strictjson.Value) bool {
	for key := range v.Members() {
		if key == "image.name" || strings.HasPrefix(key, "containerimage.") ||
			strings.HasPrefix(key, "buildx.build.") && key != "buildx.build.warnings" { // bake's stand beside the targets
			return true
		}
	}
	return false
}
