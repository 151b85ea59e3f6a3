package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// A store keeps content by its digest, in a directory that no other store may use.
func ExampleOpen_content() {
	dir, err := os.MkdirTemp("", "hallmark-store-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	kept, err := store.Open(dir, store.Options{MaxBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	_, err = store.Open(dir, store.Options{MaxBytes: 1 << 20})
	fmt.Println("in use:", errors.Is(err, store.ErrInUse))

	content := []byte("a layer")
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	if err := kept.Put(digest, content, store.Images); err != nil {
		log.Fatal(err)
	}
	file, size, found := kept.Get(context.Background(), digest, store.Images)
	if !found {
		log.Fatal("not found")
	}
	defer func() { _ = file.Close() }()
	read, err := io.ReadAll(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(size, string(read))
	// Output:
	// in use: true
	// 7 a layer
}
