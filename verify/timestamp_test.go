package verify_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// notary is a time authority: it signs the hash of a signature with the time.
type notary struct {
	*houseCA
	key ed25519.PrivateKey
}

func newNotary(t *testing.T) *notary {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &notary{newHouseCA(t), key}
}

func (n *notary) TimeMatcher(settings map[string]any) (policy.TimeMatcher, error) {
	if len(settings) != 0 {
		return nil, errors.New("there are no settings")
	}
	return notaryClock{n.key.Public().(ed25519.PublicKey)}, nil
}

type notaryClock struct{ key ed25519.PublicKey }

func (c notaryClock) ID() string { return fmt.Sprintf("notary:%x", []byte(c.key)) }

func (c notaryClock) Seen(_ context.Context, e policy.SignedEvidence) (time.Time, error) {
	var b struct {
		VerificationMaterial struct {
			TimestampVerificationData struct {
				RFC3161Timestamps []struct{ SignedTimestamp []byte } `json:"rfc3161Timestamps"`
			}
		}
	}
	if err := json.Unmarshal(e.Content, &b); err != nil {
		return time.Time{}, err
	}
	for _, stamp := range b.VerificationMaterial.TimestampVerificationData.RFC3161Timestamps {
		text, sig, found := strings.Cut(string(stamp.SignedTimestamp), " ")
		if !found || !ed25519.Verify(c.key, []byte(text), []byte(sig)) {
			continue
		}
		at, of, _ := strings.Cut(text, "|")
		if len(e.Signatures) == 1 && of == fmt.Sprintf("%x", sha256.Sum256(e.Signatures[0])) {
			return time.Parse(time.RFC3339, at)
		}
	}
	return time.Time{}, errors.New("no timestamp of this notary")
}

func (n *notary) stamp(at time.Time, signature []byte) string {
	text := fmt.Sprintf("%s|%x", at.UTC().Format(time.RFC3339), sha256.Sum256(signature))
	return base64.StdEncoding.EncodeToString([]byte(text + " " + string(ed25519.Sign(n.key, []byte(text)))))
}

// stamped is a signature of the image, with the timestamp that notarised makes of
// the signature.
func (w *world) stamped(by person, notarised func(signature []byte) string) registry.Item {
	text := envelope(w.t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(w.image)), by)
	var e struct{ Signatures []struct{ Sig []byte } }
	if err := json.Unmarshal(text, &e); err != nil {
		w.t.Fatal(err)
	}
	return bundleOf(fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":""},"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":%q}]}},"dsseEnvelope":%s}`,
		bundleType, notarised(e.Signatures[0].Sig), text))
}

var revokedAt = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

var stampPolicy = strings.NewReplacer(
	"  a: {file: a.pub}", "  a: {file: a.pub, revoked: 2026-05-01T00:00:00Z, standsBefore: true}",
	"roles:", "timestamps:\n  notary: {authority: house}\nroles:",
).Replace(policyText)

func TestAttack_T5_OfARevokedKeyOnlyThatStandsWhichWasSeenBefore(t *testing.T) {
	n, a, b, c := newNotary(t), newPerson(t), newPerson(t), newPerson(t)
	before, after := revokedAt.Add(-time.Second), revokedAt
	for label, x := range map[string]struct {
		policy string
		stamp  func(signature []byte) string
		stands bool
	}{
		"seen before":               {stampPolicy, func(s []byte) string { return n.stamp(before, s) }, true},
		"seen at that moment":       {stampPolicy, func(s []byte) string { return n.stamp(after, s) }, false},
		"another signature's":       {stampPolicy, func([]byte) string { return n.stamp(before, []byte("another")) }, false},
		"another notary's":          {stampPolicy, func(s []byte) string { return newNotary(t).stamp(before, s) }, false},
		"none":                      {stampPolicy, func([]byte) string { return "" }, false},
		"no key asks":               {strings.Replace(stampPolicy, ", standsBefore: true", "", 1), func(s []byte) string { return n.stamp(before, s) }, false},
		"the key has ended as well": {strings.Replace(stampPolicy, "standsBefore: true", "standsBefore: true, notAfter: 2026-06-01T00:00:00Z", 1), func(s []byte) string { return n.stamp(before, s) }, false},
	} {
		t.Run(label, func(t *testing.T) {
			w := newWorld(t)
			w.attach(w.image, w.stamped(a, x.stamp))
			res, err := w.judgedBy(n, x.policy, a, b, c)
			if x.stands {
				if err != nil || len(res.Keys) != 1 || !res.Keys[0].SeenAt.Equal(before) {
					t.Fatalf("%+v, %v", res, err)
				}
				return
			}
			because := verify.ReasonRevokedKey
			if label == "the key has ended as well" {
				because = verify.ReasonExpiredKey
			}
			isDenied(t, res, err, verify.ReasonNoTrustedSignature, because)
		})
	}
}

// A signature that was made since hides no earlier one.
func TestAttack_T5_LaterSignaturesOfARevokedKeyHideNoEarlierOne(t *testing.T) {
	n, a := newNotary(t), newPerson(t)
	w := newWorld(t)
	w.attach(w.image, w.stamped(a, func(s []byte) string { return n.stamp(revokedAt.Add(time.Hour), s) }))
	w.sign(w.image, sign.ImageOptions{}, a)
	w.attach(w.image, w.stamped(a, func(s []byte) string { return n.stamp(revokedAt.Add(-time.Hour), s) }))
	if res, err := w.judgedBy(n, stampPolicy, a, newPerson(t), newPerson(t)); err != nil || len(res.Keys) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestTimestampsOfAPolicyAreChecked(t *testing.T) {
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	for label, x := range map[string]struct {
		policy string
		linked map[string]policy.Authority
		says   string
	}{
		"not linked":       {stampPolicy, nil, "not linked"},
		"no clocks":        {stampPolicy, map[string]policy.Authority{"house": newHouseCA(t)}, "does not say when signatures existed"},
		"wrong settings":   {strings.Replace(stampPolicy, "{authority: house}", "{authority: house, settings: {x: 1}}", 1), map[string]policy.Authority{"house": newNotary(t)}, "no settings"},
		"twice":            {strings.Replace(stampPolicy, "roles:", "  again: {authority: house}\nroles:", 1), map[string]policy.Authority{"house": newNotary(t)}, "same as again"},
		"without a clock":  {strings.Replace(stampPolicy, "timestamps:\n  notary: {authority: house}\n", "", 1), nil, "needs timestamps"},
		"of a key that is": {strings.Replace(stampPolicy, "revoked: 2026-05-01T00:00:00Z, ", "", 1), map[string]policy.Authority{"house": newNotary(t)}, "not"},
	} {
		_, err := policy.Load(written(t, x.policy, a, b, c), policy.ParseOptions{Authorities: x.linked})
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", label, err)
		}
	}
}
