package sign_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

func ExampleGenerate() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	pair, err := sign.Generate(context.Background(), sign.KeyOptions{
		Algorithm:   sign.ECDSAP384,
		Password:    []byte("correct horse battery staple"),
		PrivatePath: filepath.Join(dir, "release.key"),
		PublicPath:  filepath.Join(dir, "release.pub"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	private, _, _ := strings.Cut(string(pair.PrivatePEM), "\n")
	public, _, _ := strings.Cut(string(pair.PublicPEM), "\n")
	fmt.Println(private)
	fmt.Println(public)
	fmt.Println("characters of the key's ID:", len(pair.ID))
	// Output:
	// -----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
	// -----BEGIN PUBLIC KEY-----
	// characters of the key's ID: 64
}

// A file that is not a private key is named for what it is.
func ExampleLoad() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	o := sign.KeyOptions{Password: []byte("secret"), PrivatePath: filepath.Join(dir, "release.key"), PublicPath: filepath.Join(dir, "release.pub")}
	if _, err := sign.Generate(context.Background(), o); err != nil {
		fmt.Println(err)
		return
	}
	password := func(context.Context) ([]byte, error) { return []byte("secret"), nil }
	for _, path := range []string{o.PrivatePath, o.PublicPath} {
		_, err := sign.Load(context.Background(), path, sign.LoadOptions{Password: password})
		var unusable *sign.KeyError
		switch {
		case err == nil:
			fmt.Println(filepath.Base(path), "is a private key")
		case errors.As(err, &unusable):
			fmt.Println(filepath.Base(path), "is a", unusable.Kind)
			fmt.Println(unusable.Advice)
		}
	}
	// Output:
	// release.key is a private key
	// release.pub is a public-key
	// give the private key of the pair
}

// newExampleSigner makes a signer of a new key.
func newExampleSigner() (sign.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return sign.New(key, sign.SignerOptions{})
}

func ExampleImage() {
	ctx := context.Background()
	store := registrytest.New(registrytest.Options{}).Store()
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		fmt.Println(err)
		return
	}
	digest, err := registry.Push(ctx, store, repo, empty.Image)
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := newExampleSigner()
	if err != nil {
		fmt.Println(err)
		return
	}
	o := sign.ImageOptions{
		Formats:     []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning},
		Annotations: map[string]string{"commit": "4f2a"},
	}
	for range 2 {
		signed, err := sign.Image(ctx, store, digest, o, signer)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, s := range signed.Signatures {
			fmt.Printf("%s, existed: %v\n", s.Format, s.Existed)
		}
	}
	// Output:
	// bundle, existed: false
	// simple-signing, existed: false
	// bundle, existed: true
	// simple-signing, existed: true
}

// The tag is set once the image is signed.
func ExamplePushAndSign() {
	ctx := context.Background()
	store := registrytest.New(registrytest.Options{}).Store()
	tag, err := name.NewTag("registry.example/team/app:v1")
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := newExampleSigner()
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := sign.PushAndSign(ctx, store, tag, empty.Image, sign.ImageOptions{}, signer)
	if err != nil {
		fmt.Println(err)
		return
	}
	tagged, err := store.Resolve(ctx, tag)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the tag is what was signed:", tagged.Digest.String() == signed.Digest.DigestStr())
	// Output:
	// the tag is what was signed: true
}

func ExampleBlob() {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	signer, err := sign.LoadPEM(context.Background(), text, sign.LoadOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	bundle, err := sign.Blob(context.Background(), strings.NewReader("a release"), signer)
	if err != nil {
		fmt.Println(err)
		return
	}
	var b struct {
		MediaType        string
		MessageSignature struct{ MessageDigest struct{ Algorithm string } }
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.MediaType)
	fmt.Println(b.MessageSignature.MessageDigest.Algorithm)
	// Output:
	// application/vnd.dev.sigstore.bundle.v0.3+json
	// SHA2_384
}
