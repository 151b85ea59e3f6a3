package registrytest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// ImageOptions configure PushImage. The same options give the same image, byte
// for byte.
type ImageOptions struct {
	// Seed makes the content differ from that of other seeds. Empty is a seed too.
	Seed string
	// Platform of the image. Zero: linux/amd64.
	Platform v1.Platform
	// Layers is how many layers it has. Zero: one.
	Layers int
	// LayerSize is the size of the file in each layer, in bytes that do not
	// compress. Zero: a short text.
	LayerSize int64
	// Config holds user, environment, labels and the like. Zero: none.
	Config v1.Config
	// Annotations of the manifest. Empty: none.
	Annotations map[string]string
	// Docker makes it an image of Docker's media types. False: OCI's.
	Docker bool
}

func (o ImageOptions) withDefaults() ImageOptions {
	if o.Platform.OS == "" && o.Platform.Architecture == "" {
		o.Platform = v1.Platform{OS: "linux", Architecture: "amd64"}
	}
	if o.Layers == 0 {
		o.Layers = 1
	}
	return o
}

// imageTypes are the media types of an image's parts.
type imageTypes struct{ manifest, config, layer types.MediaType }

func (o ImageOptions) types() imageTypes {
	if o.Docker {
		return imageTypes{types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer}
	}
	return imageTypes{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer}
}

// PushImage builds a small, real image and pushes it under ref, a tag or its digest. The
// image has gzipped tar layers with a file each, and a config with the platform.
// PushImage returns its digest.
func PushImage(ctx context.Context, s registry.Store, ref name.Reference, o ImageOptions) (name.Digest, error) {
	d, err := pushImage(ctx, s, ref.Context(), ref, o.withDefaults())
	return ref.Context().Digest(d.Digest.String()), err
}

// pushImage pushes an image under ref, or, if that is nil, by its digest.
func pushImage(ctx context.Context, s registry.Store, repo name.Repository, ref name.Reference, o ImageOptions) (v1.Descriptor, error) {
	kinds := o.types()
	m := v1.Manifest{SchemaVersion: 2, MediaType: kinds.manifest, Layers: []v1.Descriptor{}, Annotations: o.Annotations}
	config := v1.ConfigFile{
		Architecture: o.Platform.Architecture, OS: o.Platform.OS, OSVersion: o.Platform.OSVersion, Variant: o.Platform.Variant,
		Config: o.Config, RootFS: v1.RootFS{Type: "layers"},
	}
	for i := range o.Layers {
		layer, diffID, err := buildLayer(o, i)
		if err != nil {
			return v1.Descriptor{}, err
		}
		d := describeBytes(string(kinds.layer), layer)
		if err := pushBytes(ctx, s, repo, d, layer); err != nil {
			return v1.Descriptor{}, err
		}
		m.Layers = append(m.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
		config.History = append(config.History, v1.History{CreatedBy: "registrytest " + o.Seed})
	}
	data, err := json.Marshal(config)
	if err != nil {
		return v1.Descriptor{}, err
	}
	m.Config = describeBytes(string(kinds.config), data)
	if err := pushBytes(ctx, s, repo, m.Config, data); err != nil {
		return v1.Descriptor{}, err
	}
	return pushJSON(ctx, s, repo, ref, string(kinds.manifest), m)
}

// pushJSON pushes a manifest or index under ref, or, if that is nil, by its
// digest.
func pushJSON(ctx context.Context, s registry.Store, repo name.Repository, ref name.Reference, mediaType string, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	m, err := registry.NewManifest(mediaType, data)
	if err != nil {
		return v1.Descriptor{}, err
	}
	if ref == nil {
		ref = repo.Digest(m.Descriptor.Digest.String())
	}
	_, err = s.PushManifest(ctx, ref, m, registry.PushOptions{})
	return m.Descriptor, err
}

// buildLayer makes the image's layer number i, and returns the digest of the
// uncompressed archive too.
func buildLayer(o ImageOptions, i int) (layer []byte, diffID v1.Hash, err error) {
	identity := fmt.Sprintf("%s layer %d for %s", o.Seed, i, o.Platform)
	text := identity + "\n"
	size := cmp.Or(o.LayerSize, int64(len(text)))
	var content io.Reader = bytes.NewReader([]byte(text))
	if o.LayerSize > 0 {
		content = io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte(identity))), size)
	}
	var out bytes.Buffer
	level := gzip.DefaultCompression
	if o.LayerSize > 0 {
		level = gzip.NoCompression // it would not help, and take long
	}
	zip, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	sum := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(zip, sum))
	header := &tar.Header{Name: fmt.Sprintf("file-%d", i), Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err = archive.WriteHeader(header); err == nil {
		_, err = io.Copy(archive, content)
	}
	for _, c := range []io.Closer{archive, zip} {
		if closeErr := c.Close(); err == nil {
			err = closeErr
		}
	}
	return out.Bytes(), v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum.Sum(nil))}, err
}

// PushIndex builds an image for each platform (none: linux/amd64 and
// linux/arm64), as PushImage does, and an index of them, and pushes it under ref,
// a tag or its digest. The content depends on the repository's name, the tag and
// the platforms. It returns the digest of the index and those of the images.
func PushIndex(ctx context.Context, s registry.Store, ref name.Reference, platforms ...v1.Platform) (name.Digest, []name.Digest, error) {
	repo := ref.Context()
	if len(platforms) == 0 {
		platforms = []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	var images []name.Digest
	for _, p := range platforms {
		o := ImageOptions{Seed: repo.RepositoryStr() + ":" + ref.Identifier(), Platform: p}
		d, err := pushImage(ctx, s, repo, nil, o.withDefaults())
		if err != nil {
			return name.Digest{}, nil, err
		}
		d.Platform = &p
		index.Manifests = append(index.Manifests, d)
		images = append(images, repo.Digest(d.Digest.String()))
	}
	d, err := pushJSON(ctx, s, repo, ref, oci.MediaTypeIndex, index)
	if err != nil {
		return name.Digest{}, nil, err
	}
	return repo.Digest(d.Digest.String()), images, nil
}

// PushReferrer pushes a manifest with one layer that refers to subject, and returns its
// descriptor as the referrers API lists it. subject need not exist. Unlike
// registry.Attach, PushReferrer takes any artifact type, which is that of the layer too,
// and does not write the fallback tag.
func PushReferrer(ctx context.Context, s registry.Store, subject name.Digest, artifactType string, payload []byte, annotations map[string]string) (v1.Descriptor, error) {
	hash, err := registry.HashOf(subject)
	if err != nil {
		return v1.Descriptor{}, err
	}
	about, err := s.Resolve(ctx, subject)
	if err != nil {
		about = v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hash}
	}
	config := describeBytes(oci.MediaTypeEmpty, []byte(oci.EmptyConfig))
	layer := describeBytes(artifactType, payload)
	repo := subject.Context()
	if err := pushBytes(ctx, s, repo, config, []byte(oci.EmptyConfig)); err != nil {
		return v1.Descriptor{}, err
	}
	if err := pushBytes(ctx, s, repo, layer, payload); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := pushJSON(ctx, s, repo, nil, oci.MediaTypeManifest, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{layer},
		Annotations: annotations, ArtifactType: artifactType,
		Subject: &v1.Descriptor{MediaType: about.MediaType, Size: about.Size, Digest: about.Digest},
	})
	d.ArtifactType, d.Annotations = artifactType, annotations
	return d, err
}
