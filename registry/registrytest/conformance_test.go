package registrytest_test

import (
	"bytes"
	"context"
	"io"
	"iter"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// brokenStores break the contract, each in one way; the value names the subtest
// that must notice.
var brokenStores = map[string]struct {
	noticed string
	hooks   func(s registry.Store) registrytest.Hooks
}{
	"resolves without a media type": {"manifests_are_read", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Resolve: func(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
			d, err := s.Resolve(ctx, ref)
			d.MediaType = ""
			return d, err
		}}
	}},
	"reads other manifests": {"a_tag_moves", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Manifest: func(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
			m, err := s.Manifest(ctx, ref)
			m.Bytes = append([]byte(" "), m.Bytes...)
			return m, err
		}}
	}},
	"has an error of its own for what is absent": {"what_is_absent", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Blob: func(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
			body, err := s.Blob(ctx, ref, size)
			if err != nil {
				err = io.ErrUnexpectedEOF
			}
			return body, err
		}}
	}},
	"takes every digest": {"malformed_references_are_ErrReference", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Referrers: func(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
			return func(func(v1.Descriptor, error) bool) {}
		}}
	}},
	"ignores sizes": {"a_blob_of_another_size", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Blob: func(ctx context.Context, ref name.Digest, _ int64) (io.ReadCloser, error) {
			return s.Blob(ctx, ref, -1)
		}}
	}},
	"cuts blobs in silence": {"blobs_are_read", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Blob: func(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
			body, err := s.Blob(ctx, ref, size)
			if err != nil {
				return nil, err
			}
			return io.NopCloser(io.LimitReader(body, 10)), nil
		}}
	}},
	"fails without referrers": {"no_referrers", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Referrers: func(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
			return func(yield func(v1.Descriptor, error) bool) { yield(v1.Descriptor{}, registry.ErrNotFound) }
		}}
	}},
	"lists one referrer": {"referrers_are_listed", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Referrers: func(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
			return func(yield func(v1.Descriptor, error) bool) {
				for d, err := range s.Referrers(ctx, subject) {
					yield(d, err)
					return
				}
			}
		}}
	}},
	"lists on after an error": {"an_error_ends_a_list", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Referrers: func(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
			return func(yield func(v1.Descriptor, error) bool) {
				for d, err := range s.Referrers(ctx, subject) {
					if !yield(d, err) || err != nil && !yield(d, err) {
						return
					}
				}
			}
		}}
	}},
	"goes on with a list after its context has ended": {"an_error_ends_a_list", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Referrers: func(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
			return func(yield func(v1.Descriptor, error) bool) {
				for d, err := range s.Referrers(context.WithoutCancel(ctx), subject) {
					if ended := ctx.Err(); ended != nil {
						err = ended
					}
					if !yield(d, err) {
						return
					}
				}
			}
		}}
	}},
	"ignores contexts when reading": {"a_cancelled_context_is_an_error$", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Resolve: func(_ context.Context, ref name.Reference) (v1.Descriptor, error) {
			return s.Resolve(context.Background(), ref)
		}}
	}},
	"ignores contexts when writing": {"a_cancelled_context_is_an_error_to_writers", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{PushManifest: func(_ context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
			return s.PushManifest(context.Background(), ref, m, o)
		}}
	}},
	"goes on pushing": {"a_context_cancelled_while_a_blob_is_pushed", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{PushBlob: func(_ context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
			return s.PushBlob(context.Background(), ref, size, open)
		}}
	}},
	"stores blobs unchecked": {"a_blob_is_exactly", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{PushBlob: func(_ context.Context, _ name.Digest, _ int64, open func() (io.ReadCloser, error)) error {
			_, err := open()
			return err
		}}
	}},
	"has every blob": {"a_blob_whose_source_fails", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{HasBlob: func(context.Context, name.Digest) (bool, error) { return true, nil }}
	}},
	"loses manifests": {"manifests_are_stored", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{PushManifest: func(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
			if _, ok := ref.(name.Tag); ok {
				return registry.PushReport{}, nil
			}
			return s.PushManifest(ctx, ref, m, o)
		}}
	}},
	"promises conditions and ignores them": {"conditions_that_do_not_hold", ignoringConditions},
	"promises to let one writer win":       {"of_writers_with_one_condition", ignoringConditions},
	"indexes no subjects, and says it does": {"concurrent_writers", func(s registry.Store) registrytest.Hooks {
		return registrytest.Hooks{Referrers: func(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
			return func(func(v1.Descriptor, error) bool) {}
		}}
	}},
}

func ignoringConditions(s registry.Store) registrytest.Hooks {
	return registrytest.Hooks{PushManifest: func(ctx context.Context, ref name.Reference, m registry.Manifest, _ registry.PushOptions) (registry.PushReport, error) {
		return s.PushManifest(ctx, ref, m, registry.PushOptions{})
	}}
}

const brokenVariable = "REGISTRYTEST_BROKEN_STORE"

// TestBrokenStore runs the conformance test on one broken store, in a process of
// TestConformance_NoticesBrokenStores.
func TestBrokenStore(t *testing.T) {
	broken, ok := brokenStores[os.Getenv(brokenVariable)]
	if !ok {
		t.Skip("it fails, and is run by TestConformance_NoticesBrokenStores")
	}
	registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
		s := registrytest.New(registrytest.Options{}).Store()
		return registrytest.Faulty(s, broken.hooks(s)), mustRepo(t, "registry.example/app")
	})
}

func TestConformance_NoticesBrokenStores(t *testing.T) {
	for what, broken := range brokenStores {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestBrokenStore$/^"+broken.noticed, "-test.v")
			cmd.Env = append(os.Environ(), brokenVariable+"="+what)
			out, err := cmd.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("--- FAIL: TestBrokenStore/"+strings.TrimSuffix(broken.noticed, "$"))) {
				t.Errorf("the conformance test passed, error %v:\n%s", err, out)
			}
		})
	}
}
