package gate

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// ErrConfig is wrapped by every error about a Config.
var ErrConfig = errors.New("unusable configuration")

// Config configures a Handler or a Transport. For numbers and durations, zero is the
// default.
type Config struct {
	// Verifier judges. A *verify.Verifier is a Source; a verify.FileSource follows its
	// file. Its verify.Options say how long decisions are used. If its Cache is a
	// verify.SharedCache, gates share there what they allow; decisions about evidence only
	// with gates of the same EvidenceTypes and MaxEvidenceBytes. Required.
	//
	// Evidence may be kept apart from images: policy.Rule.EvidenceRepository, or
	// Options.EvidenceRepository for all rules, names where. The gate reads it there as
	// it reads images, in any registry. Clients' own credentials go to the upstream
	// alone. What that repository holds passes only by a rule about itself.
	Verifier verify.Source
	// DenyOnRefusedPolicy denies everything while the newest policy is refused
	// (verify.ReportingSource), with verify.ReasonPolicyRefused: a refused policy may have
	// revoked a key. It ends once the newest policy is in use. Refused for a Verifier that is
	// not a ReportingSource. Default: the last good policy decides.
	DenyOnRefusedPolicy bool
	// Upstreams are the registries behind the gate. At least one for NewHandler, none for
	// NewTransport.
	Upstreams []Upstream
	// Select chooses the upstream and repository of a request. Nil, in this order:
	// containerd's ?ns= names the registry; the first segment of the path is the registry
	// of an upstream; the only upstream.
	Select func(Target) (registry, repository string, err error)
	// Client configures the clients that read from upstreams, one for each: keychain,
	// roots, timeouts. Client.InsecureTransport and Client.Wrap are also those of NewTransport. Zero: the defaults
	// of remote.Options.
	Client remote.Options
	// Credentials say whose credentials upstreams get. Empty: Operator. Empty for
	// NewTransport, which uses those of each request.
	Credentials Credentials

	// Store keeps content on disk. Nil: nothing is kept, and concurrent downloads of one
	// blob share a temporary file.
	Store *store.Store
	// TempDir is for those files, and for responses too large to be held for slow clients.
	// Empty: os.TempDir.
	TempDir string
	// MaxSpoolBytes bounds the temporary files of blobs, which are kept for a minute after
	// their last client. A larger blob is kept alone. Default 4 GiB.
	MaxSpoolBytes int64

	// TagTTL is how long the upstream's last answer about a tag or a list of referrers is
	// used. MissingTTL is how long its answer is used that nothing exists. Default 10
	// seconds each.
	TagTTL, MissingTTL time.Duration
	// JudgeTimeout bounds the time to decide a request: to resolve the tag, read evidence,
	// wait for other judgements, and check. Then the response is 503. Default 30 seconds.
	JudgeTimeout time.Duration
	// AccessTTL is how long the upstream's answers are used that credentials may read a
	// repository, and that the repository has some content. Only with PassThrough, and for
	// a Transport. Default 30 seconds.
	AccessTTL time.Duration

	// InsecureOpenBlobs lets blobs pass that no judged manifest lists. Default: they are
	// denied.
	InsecureOpenBlobs bool
	// InsecureAuditOnly lets pass what is denied, and reports it as EventWouldDeny, with a
	// Warning header. Everything else is as in a gate that enforces: content has its digest,
	// and what cannot be judged does not pass, because nothing is known that could be
	// reported. What passes so is neither stored nor remembered as allowed, so a gate that
	// enforces can use the same store. Default: denials are enforced.
	InsecureAuditOnly bool
	// EvidenceTypes are further media types of layers of evidence, besides those of cosign,
	// Sigstore, in-toto, Notation and SBOMs, such as text/plain. The content must be a JSON
	// object or text: archives, scripts and binary content never pass. A type that ends in *
	// is a prefix of types that are not known, as in text/*. Types of images are refused.
	// Empty: none.
	EvidenceTypes []string
	// MaxEvidenceBytes bounds each blob of evidence. Default 32 MiB.
	MaxEvidenceBytes int64

	// MaxListBytes bounds a list of referrers, all pages together. A longer list is an
	// error (502): a client must not take a part for the whole. Default 4 MiB.
	MaxListBytes int64

	// MaxRequests bounds the requests that are served at once. Default 4096.
	MaxRequests int
	// MaxPerClient bounds those of one client: an address, or a /64 of IPv6. Of the
	// requests that wait for an upstream (Client.MaxInFlight), a client has at most a
	// quarter. Default a quarter of MaxRequests.
	MaxPerClient int
	// WriteTimeout ends a transfer to a client that takes less than 4 MiB within it.
	// Default 2 minutes.
	WriteTimeout time.Duration
	// MaxManifests bounds the memory of manifests that passed. Others, and evidence, have a
	// quarter of it besides, and at least 1 MiB. Default 16 MiB.
	MaxManifests int64
	// MaxDecisions bounds the decisions in memory: those that allow, those that deny and
	// those about evidence, each on its own, and as many links from manifests to what they
	// list. A decision has at most 512 bytes on average. Default 10,000.
	MaxDecisions int

	// Help ends each denial: where a person finds out more. Empty: nothing.
	Help string
	// Logger gets a record for each decision: denials and errors at level Warn, new
	// decisions at Info, repeated ones at Debug. Nil: no records.
	Logger *slog.Logger
	// Audit gets one line of JSON, in one call to Write, for each decision, refusal and
	// mismatch of content; see Event. Nil: no lines.
	Audit io.Writer
	// Observer is called for each Event and each Download. Nil: none.
	Observer Observer
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Upstream is a registry behind the gate.
type Upstream struct {
	// Registry is the name by which clients and policies call it, such as registry.example.
	Registry string
	// Address is its host or host:port, if that differs: a mirror, or an internal address.
	// Empty: Registry.
	Address string
}

// Target is the path and query of a request.
type Target struct {
	// Repository is the path between /v2/ and the endpoint. It is well-formed.
	Repository string
	// Namespace is containerd's ?ns=, or empty.
	Namespace string
}

// Credentials say whose credentials an upstream gets.
type Credentials string

const (
	// Operator: the keychain of Config.Client, for all clients.
	Operator Credentials = "operator"
	// PassThrough: each client's own credentials (HTTP Basic), which it must send. They are
	// sent to the upstream's token service only, so only one upstream is allowed. Content
	// that one client may read is given to another only after the upstream allowed that one
	// too.
	PassThrough Credentials = "pass-through"
	// PassThroughOrAnonymous is PassThrough, but clients without credentials may read what
	// the upstream gives to everyone.
	PassThroughOrAnonymous Credentials = "pass-through-or-anonymous"
)

func (c Config) withDefaults() (Config, error) {
	set(&c.TagTTL, 10*time.Second)
	set(&c.MissingTTL, 10*time.Second)
	set(&c.AccessTTL, 30*time.Second)
	set(&c.JudgeTimeout, 30*time.Second)
	set(&c.MaxEvidenceBytes, 32<<20)
	set(&c.MaxRequests, 4096)
	set(&c.MaxPerClient, max(1, c.MaxRequests/4))
	set(&c.WriteTimeout, 2*time.Minute)
	set(&c.MaxListBytes, 4<<20)
	set(&c.MaxSpoolBytes, 4<<30)
	set(&c.MaxManifests, 16<<20)
	set(&c.MaxDecisions, 10_000)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Credentials == "" {
		c.Credentials = Operator
	}
	if c.InsecureAuditOnly {
		c.Logger.Warn("InsecureAuditOnly is set: this gate reports denials and enforces none")
	}
	return c, c.check()
}

func set[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (c *Config) check() error {
	switch c.Credentials {
	case Operator, PassThrough, PassThroughOrAnonymous:
	default:
		return fmt.Errorf("%w: Credentials is %.40q", ErrConfig, c.Credentials)
	}
	switch {
	case c.Verifier == nil:
		return fmt.Errorf("%w: Verifier is missing", ErrConfig)
	case c.Credentials != Operator && len(c.Upstreams) > 1:
		return fmt.Errorf("%w: clients' credentials can go to one upstream only, and there are %d", ErrConfig, len(c.Upstreams))
	}
	if _, tells := c.Verifier.(verify.ReportingSource); c.DenyOnRefusedPolicy && !tells {
		return fmt.Errorf("%w: DenyOnRefusedPolicy is set, and Verifier (%T) does not tell of refused policies", ErrConfig, c.Verifier)
	}
	for i, t := range c.EvidenceTypes {
		if evidence.IsImageType(t) || !isMediaType(t) {
			return fmt.Errorf("%w: EvidenceTypes[%d] is %.100q, want a media type that is not one of images, such as text/plain or text/*", ErrConfig, i, t)
		}
	}
	return nil
}

// isMediaType reports whether text is a media type, or the beginning of some and a *.
// Source: RFC 6838, section 4.2.
func isMediaType(text string) bool {
	main, sub, _ := strings.Cut(text, "/")
	sub, open := strings.CutSuffix(sub, "*")
	return isToken(main) && (isToken(sub) || open && sub == "")
}

func isToken(text string) bool {
	return text != "" && strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$&^_.+-", r)
	}) < 0
}

// registries reads the upstreams.
func (c *Config) registries() (map[string]*upstream, error) {
	all := make(map[string]*upstream, len(c.Upstreams))
	for i, u := range c.Upstreams {
		known, err := name.NewRegistry(u.Registry)
		if err != nil || u.Registry == "" {
			return nil, fmt.Errorf("%w: Upstreams[%d].Registry is %.100q, want HOST or HOST:PORT", ErrConfig, i, u.Registry)
		}
		at := known
		if u.Address != "" {
			if at, err = name.NewRegistry(u.Address); err != nil {
				return nil, fmt.Errorf("%w: Upstreams[%d].Address is %.100q, want HOST or HOST:PORT", ErrConfig, i, u.Address)
			}
		}
		if all[known.RegistryStr()] != nil {
			return nil, fmt.Errorf("%w: there are two upstreams for %s", ErrConfig, known)
		}
		all[known.RegistryStr()] = &upstream{registry: known, address: at}
	}
	return all, nil
}

// randomKey is a key that lives as long as the process.
func randomKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return key
}
