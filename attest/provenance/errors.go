package provenance

import (
	"errors"

	"github.com/hallmark-oci/hallmark/internal/hashtree"
)

// ErrConflict says that two sources of facts contradict each other.
var ErrConflict = errors.New("sources contradict each other")

// Errors of Record about the files of the tree, for errors.Is.
var (
	// ErrFileChanged: a file changed while it was hashed, twice in a row.
	ErrFileChanged = hashtree.ErrChanged
	// ErrFileName: a file's name is not UTF-8, or holds control characters such as
	// line feeds. RecordOptions.Ignore can leave the file out.
	ErrFileName = hashtree.ErrName
	// ErrTooLarge: the tree has more than a million files, or more than 1 TiB.
	ErrTooLarge = hashtree.ErrTooLarge
)
