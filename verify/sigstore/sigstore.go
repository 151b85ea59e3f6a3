// Package sigstore recognises who has signed by certificates, as Sigstore issues them:
// people and CI workflows that hold no keys.
//
//	instance := sigstore.Instance{RootFile: "trusted_root.json"}
//	authority, err := sigstore.New(map[string]sigstore.Instance{"public-good": instance})
//	linked := map[string]policy.Authority{"sigstore": authority}
//	p, err := policy.Load("policy.yaml", policy.ParseOptions{Authorities: linked})
//	v, err := verify.New(p, verify.Options{Authorities: linked})
//
// A policy then names identities:
//
//	identities:
//	  release:
//	    authority: sigstore
//	    settings:
//	      issuer: https://token.actions.githubusercontent.com
//	      uri: https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*
//
// A policy can bring its trust root instead, as a file beside it; see [Authority.Matcher].
// [Authority.Renew] replaces the root of an instance. Timestamps of a policy, for keys that
// are revoked or must be logged, are described at [Authority.TimeMatcher].
//
// # What is verified
//
//   - The certificate is issued by an authority of the trust root, whose whole chain and
//     trust hold at each verified time.
//   - As many logs of certificates as are demanded have seen it.
//   - As many transparency logs as are demanded have recorded the digest, the signature
//     and the certificate, by their signed entry timestamps, and by inclusion proofs with
//     checkpoints where there are any.
//   - As many times as are demanded are known, by signed entry timestamps or timestamp
//     authorities. All of them lie within the certificate's validity.
//   - The identity matches. That is compared before any signature is checked.
//   - The signature is the certificate's key's, over the bytes or the digest of a file, or
//     over the envelope of a statement.
//
// Distinct keys count, not entries or names. A log or authority that the root does not
// have says nothing. What a log of the root says wrongly denies.
//
// # What is not verified
//
// No network is asked. A trust root that a newer one has replaced is not noticed; see
// [Instance.SHA256] and package tuf below this one. Witnesses of checkpoints do not count.
// Certificates are not revoked: they are valid for minutes. What a certificate claims is the
// word of its issuer's identity provider.
//
// # Limits
//
// A signature has at most 16 log entries and 16 timestamps, none twice; a trust root has at
// most 4 MiB. The work is charged to the judgement, in checks of a P-256 signature: the
// chain and the timestamps of logs of certificates, then each log entry and timestamp by
// the keys of the trust root, and each 8 KiB that is read. A certificate that was verified
// before is charged as if it were new.
//
// # Decision
//
// The branches of [policy.Matcher.Signed] for an identity here, in order. All but the last
// do not recognise the signer; the error says found and wanted.
//
//   - The evidence is malformed, or holds another message than the one to be verified.
//   - It offers no certificate, or one that is not a signer's.
//   - The certificate's issuer, subject or claims are not the identity's. Until here no
//     signature has been checked.
//   - The trust root in use is not the one that the identity pins.
//   - The bundle claims another digest than the file's.
//   - A log entry is there twice, or is of a log of the root and does not verify, or is about
//     another digest, signature or certificate.
//   - Too few logs of the root have recorded the signature.
//   - A timestamp is there twice; too few times are known; one is in the future.
//   - A log was not trusted at the signing time.
//   - A time is outside of the certificate's validity.
//   - No authority of the root has issued the certificate, or none that was trusted then.
//   - Too few logs of certificates have seen it.
//   - The signature does not verify.
//   - Otherwise the signer is recognised, with the earliest time, the beginning of the
//     certificate, the claims, and the index in a log.
//
// # Differences from sigstore-go
//
// A test has some 7,000 bundles judged by this package and by sigstore-go 1.3, nearly all of
// them with one defect. This package refuses what sigstore-go accepts:
//
//   - names of JSON members as files of Protocol Buffers have them;
//   - numbers with a fraction or an exponent, and numbers in place of the name of a hash or
//     key;
//   - a kindVersion that is incomplete, or is not that of the log entry;
//   - a root hash or tree size that is not the checkpoint's, and for Rekor v2 a log index
//     that is not the proof's;
//   - the body of an entry of Rekor v2 that is not the one that was logged: sigstore-go
//     computes it, and reads the given one no further;
//   - members of an entry of Rekor v1 that are unknown or written in another case;
//   - an envelope's hash in an entry of Rekor v1 that is missing or is not a digest;
//   - a checkpoint of Rekor v1 whose signature is under another name than its origin;
//   - an entry of one of the root's logs that does not verify, beside others that do;
//   - a log that was not trusted at the signing time, for Rekor v2;
//   - one of several verified times that is outside of the certificate's validity;
//   - a timestamp that names another certificate than its signer's, or is malformed in what
//     sigstore-go does not read;
//   - a certificate without key usage for digital signatures, for any use, or of an
//     authority;
//   - a subject of another type, such as an email that is the text of a URI, and more than
//     one subject;
//   - two issuers in one certificate, and Fulcio's extensions that are not strings in UTF-8
//     without control characters;
//   - a workflow that another repository called, unless the identity says sourceRepository;
//   - more than 16 signed certificate timestamps;
//   - an empty certificate in a chain, and a timestamp that is there twice;
//   - a statement without a known _type, or with its digest in upper case;
//   - a trust root whose chains are out of order or hold a certificate twice, or that lacks
//     a URL, the start of a validity or part of a log's ID.
//
// It accepts what sigstore-go refuses:
//
//   - a keyid beside the signature of an envelope, which is a hint;
//   - base64 with line breaks;
//   - a log entry of type dsse 0.0.2, which Rekor v2 no longer makes;
//   - any keyDetails and payloadType in a log entry: nothing rests on them;
//   - a signature by Ed25519 that Rekor v1 has recorded with the SHA-256 of the artifact;
//   - a checkpoint of Rekor v1 that others have signed, too;
//   - a timestamp in BER;
//   - a statement with unknown members, as in-toto demands;
//   - a message digest by another algorithm than that of the log entry: both must be the
//     artifact's.
//
// # Formats
//
// Bundles of version 0.1 to 0.3, cosign's layer annotations; log entries hashedrekord
// 0.0.1, dsse 0.0.1, intoto 0.0.1 and 0.0.2 of Rekor v1, hashedrekord and dsse 0.0.2 of
// Rekor v2; timestamps by RFC 3161 in DER or BER. A chain in a bundle is not trusted: only
// the root's certificates are.
package sigstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// ErrInvalid is wrapped by every error about an instance or about settings.
var ErrInvalid = errors.New("unusable sigstore configuration")

// maxDemanded bounds the logs and times that an instance can demand.
const maxDemanded = 8

// Instance is a Sigstore deployment: a trust root, and what evidence needs by it. The root
// must hold what is demanded.
type Instance struct {
	// Root is the text of the trust root, RootFile names a file that holds it. Exactly one
	// is given. The text is a TrustedRoot, a ClientTrustConfig, or several roots, one on
	// each line, as GitHub writes them.
	Root     []byte
	RootFile string
	// CertificateAuthority chooses one of several roots: the URI of one of its certificate
	// authorities, such as "fulcio.githubapp.com". Empty: there is one root.
	CertificateAuthority string
	// SHA256 is the digest that the text must have, in hex. Empty: it may have any.
	SHA256 string
	// Logs is how many transparency logs must have recorded a signature. CTLogs is how many
	// logs of certificates must have seen its certificate. Times is how many logs or
	// authorities must say a time. Zero: one.
	Logs, CTLogs, Times int
	// WithoutLogs demands no transparency log, and WithoutCT no log of certificates: for
	// instances that have none, such as GitHub's. False: see Logs and CTLogs.
	WithoutLogs, WithoutCT bool
	// RequireTimestamps counts times of timestamp authorities alone. False: the time of a
	// signed entry timestamp of Rekor v1 counts, too.
	RequireTimestamps bool
}

// Authority recognises signers by certificates. It is safe for concurrent use.
type Authority struct {
	instances map[string]*instance
	// own are instances whose roots policies name.
	own *lru.Cache[string, *instance]
}

var (
	_ policy.ChangingAuthority  = (*Authority)(nil)
	_ policy.TimeAuthority      = (*Authority)(nil)
	_ policy.FileAuthority      = (*Authority)(nil)
	_ policy.DescribedAuthority = (*Authority)(nil)
)

// maxOwn bounds the instances of policies that are kept for their next policy.
const maxOwn = 64

// instance is an Instance in use.
type instance struct {
	name    string
	options Instance // without its text
	demands sigstore.Demands
	root    atomic.Pointer[trusted]
}

// trusted is a trust root in use.
type trusted struct {
	*sigstore.Root
	sum string // of the text that held it, in hex
}

// New makes an authority of named instances. At least one; see PolicyRoots.
func New(instances map[string]Instance) (*Authority, error) {
	if len(instances) == 0 {
		return nil, fmt.Errorf("%w: no instance", ErrInvalid)
	}
	a := PolicyRoots()
	for _, name := range slices.Sorted(maps.Keys(instances)) {
		made, err := newInstance(name, instances[name])
		if err != nil {
			return nil, fmt.Errorf("%w: instance %.100q: %w", ErrInvalid, name, err)
		}
		a.instances[name] = made
	}
	return a, nil
}

// PolicyRoots makes an authority without instances, for policies that bring their own trust
// roots as files; see Authority.Matcher.
func PolicyRoots() *Authority {
	return &Authority{instances: make(map[string]*instance), own: lru.New[string](func(*instance) int64 { return 1 }, maxOwn)}
}

// Renew replaces the trust root of an instance, for a caller that fetches it, such as by
// TUF. It checks the root as New does. A root that is refused changes nothing: the last good
// one is used on.
//
// Evidence is judged by the root that is in use when its signature is checked. Generation
// changes with the root.
func (a *Authority) Renew(name string, root []byte) error {
	i := a.instances[name]
	if i == nil {
		return fmt.Errorf("%w: there is no instance %.100q", ErrInvalid, name)
	}
	if err := i.use(root); err != nil {
		return fmt.Errorf("%w: instance %.100q: %w", ErrInvalid, name, err)
	}
	return nil
}

// Generation identifies the trust roots that are in use, and what is demanded by them.
func (a *Authority) Generation() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(a.instances)) {
		all = append(all, fmt.Sprintf("%q %s", name, a.instances[name].identity()))
	}
	sum := sha256.Sum256([]byte(strings.Join(all, "\n")))
	return hex.EncodeToString(sum[:])
}

// identity is equal for instances by which all evidence is judged alike.
func (i *instance) identity() string {
	return fmt.Sprintf("%x %+v", i.root.Load().SHA256(), i.demands)
}

func newInstance(name string, o Instance) (*instance, error) {
	text := o.Root
	if (len(o.Root) > 0) == (o.RootFile != "") {
		return nil, errors.New("want exactly one of Root and RootFile")
	}
	if o.RootFile != "" {
		var err error
		if text, _, err = file.Read(o.RootFile, sigstore.MaxRootSize); err != nil {
			return nil, err
		}
	}
	o.Root = nil
	i := &instance{name: name, options: o}
	var err error
	if i.demands, err = o.demands(); err != nil {
		return nil, err
	}
	return i, i.use(text)
}

// use uses a trust root, once it is checked.
func (i *instance) use(text []byte) error {
	sum := sha256.Sum256(text)
	t := &trusted{sum: hex.EncodeToString(sum[:])}
	if err := isPinned(t.sum, i.options.SHA256); err != nil {
		return err
	}
	var err error
	if t.Root, err = choose(text, i.options.CertificateAuthority); err != nil {
		return err
	}
	if err := check(i.demands, t.Root); err != nil {
		return err
	}
	i.root.Store(t)
	return nil
}

// isPinned compares the digest of a root's text with the one that it must have, if any.
func isPinned(sum, pin string) error {
	if pin != "" && pin != sum {
		return fmt.Errorf("the trust root has the SHA-256 %s, want %.80q", sum, pin)
	}
	return nil
}

// choose finds the root of a certificate authority among several.
func choose(text []byte, uri string) (*sigstore.Root, error) {
	roots, err := sigstore.ParseRoots(text)
	if err != nil {
		return nil, err
	}
	var chosen []*sigstore.Root
	for _, r := range roots {
		if uri == "" || r.HasAuthority(uri) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) != 1 {
		return nil, fmt.Errorf("%d of %d trust roots have the CertificateAuthority %.200q, want one", len(chosen), len(roots), uri)
	}
	return chosen[0], nil
}

func (o Instance) demands() (d sigstore.Demands, err error) {
	number := func(field string, n int, without bool) int {
		switch {
		case n < 0 || n > maxDemanded:
			err = fmt.Errorf("%s is %d, want 0 to %d", field, n, maxDemanded)
		case without && n > 0:
			err = fmt.Errorf("%s is %d, and it is to be demanded of none", field, n)
		case without:
			return 0
		case n == 0:
			return 1
		}
		return n
	}
	d = sigstore.Demands{
		Logs: number("Logs", o.Logs, o.WithoutLogs), CTLogs: number("CTLogs", o.CTLogs, o.WithoutCT),
		Times: number("Times", o.Times, false), Timestamps: o.RequireTimestamps,
	}
	return d, err
}

// check checks that a root holds what is demanded.
func check(d sigstore.Demands, root *sigstore.Root) error {
	times := root.TimestampAuthorities()
	if !d.Timestamps {
		times += root.Logs()
	}
	for _, need := range []struct {
		what       string
		have, want int
		hint       string
	}{
		{"certificate authorities", root.Authorities(), 1, ""},
		{"transparency logs", root.Logs(), d.Logs, "; WithoutLogs demands none"},
		{"logs of certificates", root.CTLogs(), d.CTLogs, "; WithoutCT demands none"},
		{"authorities and logs that say times", times, d.Times, ""},
	} {
		if need.have < need.want {
			return fmt.Errorf("the trust root has %d %s, want %d%s", need.have, need.what, need.want, need.hint)
		}
	}
	return nil
}
