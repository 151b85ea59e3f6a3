package sigstorego

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstorego "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// trial is a bundle that both judge.
type trial struct {
	what                   string
	root, bundle, artifact []byte
	// ours judges it by ours, and theirs says who must have signed.
	ours   func(*testing.T, trial) error
	theirs []sigstorego.PolicyOption
	// withoutLogs: the instance has neither logs nor logs of certificates, as GitHub's.
	withoutLogs bool
	// isValid: both must accept it.
	isValid bool
}

// valid is a trial that both must accept.
func (tr trial) valid() trial {
	tr.isValid = true
	return tr
}

// of is the trial with another bundle.
func (tr trial) of(what string, text []byte) trial {
	tr.what, tr.bundle, tr.isValid = tr.what+": "+what, text, false
	return tr
}

// verdict is what both say of a trial. Nil: it is accepted.
type verdict struct{ ours, theirs error }

func (tr trial) judge(t *testing.T) verdict { return verdict{tr.ours(t, tr), tr.judgeByTheirs()} }

// judgeByTheirs judges by sigstore-go. A panic is a refusal.
func (tr trial) judgeByTheirs() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sigstore-go panics: %v", p)
		}
	}()
	trusted, err := root.NewTrustedRootFromJSON(tr.root)
	if err != nil {
		return err
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(tr.bundle); err != nil {
		return err
	}
	demands := []sigstorego.VerifierOption{sigstorego.WithTransparencyLog(1), sigstorego.WithSignedCertificateTimestamps(1), sigstorego.WithObserverTimestamps(1)}
	if tr.withoutLogs {
		demands = []sigstorego.VerifierOption{sigstorego.WithSignedTimestamps(1)}
	}
	v, err := sigstorego.NewVerifier(trusted, demands...)
	if err != nil {
		return err
	}
	_, err = v.Verify(&b, sigstorego.NewPolicy(sigstorego.WithArtifact(bytes.NewReader(tr.artifact)), tr.theirs...))
	return err
}

// signedBy demands an identity of both.
func (tr trial) signedBy(t *testing.T, settings map[string]any) trial {
	t.Helper()
	san := settings["uri"]
	if san == nil {
		san = settings["email"]
	}
	id, err := sigstorego.NewShortCertificateIdentity(settings["issuer"].(string), "", san.(string), "")
	if err != nil {
		t.Fatal(err)
	}
	tr.theirs = []sigstorego.PolicyOption{sigstorego.WithCertificateIdentity(id)}
	tr.ours = func(t *testing.T, tr trial) error { return tr.judgeByOurs(t, settings) }
	return tr
}

// judgeByOurs judges by a policy, as a program would.
func (tr trial) judgeByOurs(t *testing.T, settings map[string]any) error {
	authority, err := sigstore.New(map[string]sigstore.Instance{"private": {Root: tr.root, WithoutLogs: tr.withoutLogs, WithoutCT: tr.withoutLogs}})
	if err != nil {
		return err
	}
	linked := map[string]policy.Authority{"sigstore": authority}
	text := "version: 1\nidentities:\n  signer:\n    authority: sigstore\n    settings:\n"
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		text += fmt.Sprintf("      %s: %q\n", name, settings[name])
	}
	text += "roles:\n  signers: {identities: [signer]}\nfiles: [{signature: {by: signers}}]\nrules:\n  - {images: ['**'], require: [{signature: {by: signers}}]}\n"
	p, err := policy.Parse([]byte(text), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Blob(t.Context(), bytes.NewReader(tr.artifact), tr.bundle)
	var refusal *verify.Error
	if errors.As(err, &refusal) {
		for _, e := range refusal.Evidence {
			err = fmt.Errorf("%w; %s: %s", err, e.Reason, e.Detail)
		}
	}
	return err
}
