//go:build containers_image_openpgp

// Command containers-image pulls and signs images with containers/image, the
// library of skopeo, podman and buildah, as their copy commands do.
//
//	containers-image pull POLICY REGISTRIES.D REFERENCE DIRECTORY
//	containers-image sign PRIVATE-KEY PASSPHRASE-FILE REGISTRIES.D REFERENCE NEW-REFERENCE
//
// The interoperability tests run it beside Debian's skopeo, which is built with
// sigstore signatures disabled. It speaks plain HTTP: the tests' registries are
// on loopback. It is a module of its own: programs that import Hallmark do not
// get its dependencies. Build it with -tags containers_image_openpgp: without
// that tag containers/image needs the C library gpgme.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/signature/signer"
	"go.podman.io/image/v5/signature/sigstore"
	"go.podman.io/image/v5/types"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "containers-image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 5 && args[0] == "pull":
		return pull(ctx, args[1], args[2], args[3], args[4])
	case len(args) == 6 && args[0] == "sign":
		return sign(ctx, args[1], args[2], args[3], args[4], args[5])
	}
	return errors.New("usage: pull POLICY REGISTRIES.D REFERENCE DIRECTORY, or sign PRIVATE-KEY PASSPHRASE-FILE REGISTRIES.D REFERENCE NEW-REFERENCE")
}

// loopback keeps the machine's own configuration out.
func loopback(registriesDir string) *types.SystemContext {
	return &types.SystemContext{
		RegistriesDirPath:           registriesDir,
		SystemRegistriesConfPath:    os.DevNull,
		SystemRegistriesConfDirPath: registriesDir,
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
	}
}

func pull(ctx context.Context, policyPath, registriesDir, from, dir string) error {
	policy, err := signature.NewPolicyFromFile(policyPath)
	if err != nil {
		return err
	}
	src, err := docker.ParseReference("//" + from)
	if err != nil {
		return err
	}
	dst, err := directory.NewReference(dir)
	if err != nil {
		return err
	}
	return copyImage(ctx, policy, dst, src, &copy.Options{SourceCtx: loopback(registriesDir)})
}

func sign(ctx context.Context, keyPath, passphrasePath, registriesDir, from, to string) (err error) {
	passphrase, err := os.ReadFile(passphrasePath)
	if err != nil {
		return err
	}
	s, err := sigstore.NewSigner(sigstore.WithPrivateKeyFile(keyPath, bytes.TrimSpace(passphrase)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	src, err := docker.ParseReference("//" + from)
	if err != nil {
		return err
	}
	dst, err := docker.ParseReference("//" + to)
	if err != nil {
		return err
	}
	anything := &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	return copyImage(ctx, anything, dst, src, &copy.Options{
		RemoveSignatures: true, Signers: []*signer.Signer{s},
		SourceCtx: loopback(registriesDir), DestinationCtx: loopback(registriesDir),
	})
}

func copyImage(ctx context.Context, policy *signature.Policy, dst, src types.ImageReference, o *copy.Options) (err error) {
	judge, err := signature.NewPolicyContext(policy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, judge.Destroy()) }()
	_, err = copy.Image(ctx, judge, dst, src, o)
	return err
}
