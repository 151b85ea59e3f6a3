package command

import (
	"regexp"
	"strings"
	"sync"
)

// foreignImages begin images of other programs, each with what to write here.
var foreignImages = []struct{ prefix, answer string }{
	{"docker://", "leave out docker://, as in registry.example/team/app:v1"},
	{"https://", "leave out https://, as in registry.example/team/app:v1"},
	{"http://", "leave out http://, and write --insecure-http HOST[:PORT]; loopback needs none"},
	{"oci://", "leave out oci:// for an image in a registry; an image in a layout is oci:DIRECTORY:TAG"},
	{"oci-layout://", "write oci:DIRECTORY:TAG"},
	{"oci-layout:", "write oci:DIRECTORY:TAG"},
	{"ocidir://", "write oci:DIRECTORY:TAG"},
	{"docker-archive:", "write it as an OCI archive first: skopeo copy docker-archive:FILE oci-archive:FILE:TAG"},
	{"docker-daemon:", "push it to a registry, or write an archive: skopeo copy docker-daemon:IMAGE oci-archive:FILE:TAG"},
	{"containers-storage:", "push it to a registry, or write an archive: skopeo copy containers-storage:IMAGE oci-archive:FILE:TAG"},
	{"dir:", "write it as a layout first: skopeo copy dir:DIRECTORY oci:DIRECTORY:TAG"},
	{"file://", "write oci:DIRECTORY:TAG, or oci-archive:FILE:TAG"},
}

// checkImage refuses arguments that are images to other programs alone, or no images.
func checkImage(image string) error {
	if image == stdinName {
		return usageError("- is not an image: a list of images on stdin is read by --images-from -, of commands that have it")
	}
	if digestAlone().MatchString(image) {
		return usageError("%s is a digest without a repository: write REPOSITORY@%s; the file of docker build --iidfile holds the digest of a configuration, which names no image in a registry: take --metadata-file, and read it by --images-from", image, image)
	}
	for _, f := range foreignImages {
		if strings.HasPrefix(image, f.prefix) {
			return usageError("%s is not an image here: %s", image, f.answer)
		}
	}
	return nil
}

var digestAlone = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^sha(256|384|512):[0-9a-fA-F]{32,128}$`) })

// stdinName is the name of a file that stands for stdin.
const stdinName = "-"
