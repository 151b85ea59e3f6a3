package verify_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// places are a registry with a signed and an unsigned image, each place of whose evidence can
// be made unreadable.
type places struct {
	hosted           *registrytest.Registry
	client           *remote.Client
	signed, unsigned name.Digest
	signer           person
}

func newPlaces(t *testing.T, format registry.Format) *places {
	t.Helper()
	p := &places{hosted: registrytest.New(registrytest.Options{}), signer: newPerson(t)}
	repo, err := name.NewRepository(registrytest.Start(t, p.hosted) + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	if p.client, err = remote.New(remote.Options{MaxAttempts: 1}); err != nil {
		t.Fatal(err)
	}
	for digest, tag := range map[*name.Digest]string{&p.signed: "signed", &p.unsigned: "unsigned"} {
		if *digest, err = registrytest.PushImage(t.Context(), p.hosted.Store(), repo.Tag(tag), registrytest.ImageOptions{Seed: tag}); err != nil {
			t.Fatal(err)
		}
	}
	// The store of the registry calls the repository as the client does.
	if _, err := sign.Image(t.Context(), p.hosted.Store(), p.signed, sign.ImageOptions{Formats: []registry.Format{format}}, p.signer); err != nil {
		t.Fatal(err)
	}
	return p
}

// breaks makes a place answer with a status.
func (p *places) breaks(place registry.Place, of name.Digest, status int) (mend func()) {
	if place == registry.PlaceReferrers {
		return p.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Ref: of.DigestStr(), Do: registrytest.Status(status)})
	}
	suffix := map[registry.Place]string{registry.PlaceSignatureTag: ".sig", registry.PlaceAttestationTag: ".att"}[place]
	return p.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: strings.Replace(of.DigestStr(), ":", "-", 1) + suffix, Do: registrytest.Status(status)})
}

func (p *places) verifier(t *testing.T, limits registry.Limits) *verify.Verifier {
	t.Helper()
	text := policy.Signatures{Keys: []policy.PublicKey{p.signer.key}, Threshold: 1}.Policy()
	v, err := verify.New(text, verify.Options{Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Artifactory answers 403 for tags that are absent, Harbor 401 for referrers, others 5xx.
var unreadable = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}

func TestAnUnreadablePlaceDeniesNothingThatOthersHold(t *testing.T) {
	for format, broken := range map[registry.Format]registry.Place{registry.FormatBundle: registry.PlaceSignatureTag, registry.FormatSimpleSigning: registry.PlaceReferrers} {
		p := newPlaces(t, format)
		for _, status := range unreadable {
			mend := p.breaks(broken, p.signed, status)
			if res, err := p.verifier(t, registry.Limits{}).Image(t.Context(), p.client, p.signed); err != nil || res.Warning != nil {
				t.Errorf("%s answers %d: %v", broken, status, err)
			}
			mend()
		}
	}
}

func TestAnUnreadablePlaceIsNoJudgementAndIsNamed(t *testing.T) {
	p := newPlaces(t, registry.FormatBundle)
	for broken, named := range map[registry.Place]string{registry.PlaceSignatureTag: ".sig", registry.PlaceReferrers: "referrers"} {
		for _, status := range unreadable {
			mend := p.breaks(broken, p.unsigned, status)
			_, err := p.verifier(t, registry.Limits{}).Image(t.Context(), p.client, p.unsigned)
			var denied *verify.Error
			var undecided *verify.UndecidedError
			if errors.As(err, &denied) || !errors.As(err, &undecided) || !strings.Contains(err.Error(), named) || len(undecided.Causes) != 1 {
				t.Errorf("%s answers %d: %v", broken, status, err)
			}
			mend()
		}
	}
	_, err := p.verifier(t, registry.Limits{}).Image(t.Context(), p.client, p.unsigned)
	isDenied(t, nil, err, verify.ReasonNoSignature)
}

// An attacker fills one place while another one cannot be read, which may hold what counts.
func TestAttack_E21_AFullPlaceHidesNoUnreadableOne(t *testing.T) {
	p := newPlaces(t, registry.FormatSimpleSigning)
	for i := range 4 {
		if _, err := registrytest.PushReferrer(t.Context(), p.hosted.Store(), p.signed, "application/vnd.dev.sigstore.bundle.v0.3+json", []byte{'{', byte('0' + i), '}'}, nil); err != nil {
			t.Fatal(err)
		}
	}
	mend := p.breaks(registry.PlaceSignatureTag, p.signed, http.StatusForbidden)
	v := p.verifier(t, registry.Limits{MaxReferrers: 2})
	_, err := v.Image(t.Context(), p.client, p.signed)
	var undecided *verify.UndecidedError
	if !errors.As(err, &undecided) || !strings.Contains(err.Error(), ".sig") {
		t.Errorf("%v", err)
	}
	mend()
	if _, err := v.Image(t.Context(), p.client, p.signed); err != nil {
		t.Error(err)
	}
}
