package gate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// exampleUpstream serves a registry with a signed and an unsigned image. It returns the
// address, and the verifier of a policy that wants signatures.
func exampleUpstream(ctx context.Context) (host string, stop func(), v *verify.Verifier) {
	host, stop, key := exampleRegistry(ctx)
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return host, stop, v
}

// exampleRegistry serves a registry with a signed and an unsigned image. It returns the
// address, and the key.
func exampleRegistry(ctx context.Context) (host string, stop func(), key policy.PublicKey) {
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		log.Fatal(err)
	}
	pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		log.Fatal(err)
	}
	repo, err := name.NewRepository(host + "/team/app")
	if err != nil {
		log.Fatal(err)
	}
	for _, tag := range []string{"signed", "unsigned"} {
		digest, err := registrytest.PushImage(ctx, hosted.Store(), repo.Tag(tag), registrytest.ImageOptions{Seed: tag})
		if err == nil && tag == "signed" {
			_, err = sign.Image(ctx, hosted.Store(), digest, sign.ImageOptions{}, pair.Signer)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	key, err = policy.ParsePublicKey(pair.PublicPEM)
	if err != nil {
		log.Fatal(err)
	}
	return host, stop, key
}

// status is that of the gate's response to a request for an image.
func status(gate *httptest.Server, tag string) string {
	resp, err := http.Get(gate.URL + "/v2/team/app/manifests/" + tag)
	if err != nil {
		log.Fatal(err)
	}
	_ = resp.Body.Close() // its status is all that is wanted
	return resp.Status
}

// A gate is a registry that serves only what the policy allows.
func ExampleNewHandler() {
	ctx := context.Background()
	upstream, stop, verifier := exampleUpstream(ctx)
	defer stop()

	handler, err := gate.NewHandler(gate.Config{
		Verifier:  verifier, // a verify.FileSource follows its file
		Upstreams: []gate.Upstream{{Registry: upstream}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	for _, tag := range []string{"signed", "unsigned"} {
		fmt.Println(tag, status(server, tag))
	}
	// Output:
	// signed 200 OK
	// unsigned 403 Forbidden
}

// A transport makes any OCI client of a Go program a verifying one.
func ExampleNewTransport() {
	ctx := context.Background()
	upstream, stop, verifier := exampleUpstream(ctx)
	defer stop()

	transport, err := gate.NewTransport(gate.Config{Verifier: verifier})
	if err != nil {
		log.Fatal(err)
	}
	client, err := remote.New(remote.Options{InsecureTransport: transport})
	if err != nil {
		log.Fatal(err)
	}
	for _, tag := range []string{"signed", "unsigned"} {
		ref, err := name.NewTag(upstream + "/team/app:" + tag)
		if err != nil {
			log.Fatal(err)
		}
		_, err = registry.ReadManifest(ctx, client, ref)
		var denial *verify.Error
		if errors.As(err, &denial) {
			fmt.Println(tag, denial.Reason)
			continue
		}
		fmt.Println(tag, err == nil)
	}
	// Output:
	// signed true
	// unsigned no-signature
}

// A gate can be tried out: it lets pass what the policy denies, and records it.
func ExampleConfig_insecureAuditOnly() {
	ctx := context.Background()
	upstream, stop, verifier := exampleUpstream(ctx)
	defer stop()

	var audit bytes.Buffer // a file, or a pipe to the system's log
	handler, err := gate.NewHandler(gate.Config{
		Verifier:          verifier,
		Upstreams:         []gate.Upstream{{Registry: upstream}},
		InsecureAuditOnly: true,
		Audit:             &audit,
		Logger:            slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler)
	for _, tag := range []string{"signed", "unsigned"} {
		fmt.Println(tag, status(server, tag))
	}
	server.Close()

	for line := range bytes.Lines(audit.Bytes()) {
		var e gate.Event
		if err := json.Unmarshal(line, &e); err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Kind+":", len(e.Unmet), "unmet")
	}
	// Output:
	// signed 200 OK
	// unsigned 200 OK
	// allowed: 0 unmet
	// would-deny: 1 unmet
}

// An exemption excuses a requirement of some digests until its end. Each pull by it is in
// the audit log, with who has decided it and why.
func ExampleConfig_exemptions() {
	ctx := context.Background()
	upstream, stop, key := exampleRegistry(ctx)
	defer stop()
	client, err := remote.New(remote.Options{})
	if err != nil {
		log.Fatal(err)
	}
	tag, err := name.NewTag(upstream + "/team/app:signed")
	if err != nil {
		log.Fatal(err)
	}
	image, err := registry.ReadManifest(ctx, client, tag)
	if err != nil {
		log.Fatal(err)
	}

	p := policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy()
	p.Requirements = map[string]policy.Requirement{
		"bill": {Attestation: &policy.AttestationRequirement{Type: "spdx", By: "signers"}},
	}
	p.Rules[0].Require = append(p.Rules[0].Require, policy.Requirement{Use: "bill"})
	p.Exemptions = []policy.Exemption{{
		Images: []string{upstream + "/team/*"}, Digests: []string{image.Descriptor.Digest.String()}, Requirement: "bill",
		Reason: "the scanner is down", By: "ann@example.com", Until: time.Now().AddDate(0, 0, 14),
	}}
	verifier, err := verify.New(p, verify.Options{})
	if err != nil {
		log.Fatal(err)
	}

	var audit bytes.Buffer
	handler, err := gate.NewHandler(gate.Config{
		Verifier:  verifier,
		Upstreams: []gate.Upstream{{Registry: upstream}},
		Audit:     &audit,
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler)
	fmt.Println(status(server, "signed"))
	server.Close()

	var e gate.Event
	if err := json.Unmarshal(audit.Bytes(), &e); err != nil {
		log.Fatal(err)
	}
	for _, x := range e.Exemptions {
		fmt.Println(e.Status, "from", x.Name, "by", x.By+":", x.Reason)
	}
	// Output:
	// 200 OK
	// exempted from bill by ann@example.com: the scanner is down
}
