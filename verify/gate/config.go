package gate

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// ErrConfig is wrapped by every error about a Config.
var ErrConfig = errors.New("unusable configuration")

// Config says what a Handler or a Transport judges by, and where it reads. For each
// number and duration, zero means the default.
type Config struct {
	// Verifier judges. A *verify.Verifier is a Source of itself; a FileSource
	// follows its file. Its verify.Options say how long decisions are used, from when
	// what they rest on was judged. Where its Cache is a verify.SharedCache, gates share
	// there what they allow. A gate uses those about evidence only of gates with the same
	// EvidenceTypes and MaxEvidenceBytes. Required.
	//
	// Evidence may be kept apart from images: policy.Rule.EvidenceRepository, or
	// Options.EvidenceRepository for all rules, names where. The gate reads it there as
	// it reads images, in any registry. Clients' own credentials go to the upstream
	// alone. What that repository holds passes only by a rule about itself.
	Verifier verify.Source
	// Upstreams are the registries behind the gate. At least one for New; not
	// used by NewTransport.
	Upstreams []Upstream
	// Select decides which upstream and repository a request is about. Nil:
	// containerd's ?ns= names the registry; without it, the first segment of the
	// path does, where it is the registry of an upstream; otherwise it is the
	// only upstream.
	Select func(Target) (registry, repository string, err error)
	// Client are the options of the clients that read from upstreams, one for each:
	// keychain, roots, timeouts. Its Transport is that of
	// NewTransport's base, too. Zero: theirs.
	Client remote.Options
	// Credentials say with whose credentials upstreams are asked. Empty: Operator.
	// Not used by NewTransport, which uses those of each request.
	Credentials Credentials

	// Store keeps content on disk. Nil: content is not kept, and concurrent
	// downloads of one blob share a temporary file.
	Store *store.Store
	// TempDir is for those files, and for answers that are too large to be held for slow
	// clients. Empty: os.TempDir.
	TempDir string
	// MaxSpoolBytes bounds the temporary files of blobs that are kept for up to a minute
	// after their last client, for those that ask for another part of one. One that is
	// larger is kept alone. Default 4 GiB.
	MaxSpoolBytes int64

	// TagTTL is how long a tag, or a list of referrers, is taken to be what the
	// upstream said last; MissingTTL, that there is none. Default 10 seconds each.
	TagTTL, MissingTTL time.Duration
	// JudgeTimeout bounds the time in which a request must be decided: resolving the tag,
	// reading evidence however slowly it comes, waiting for others, checking. A request
	// that is not decided by then gets 503. Default 30 seconds.
	JudgeTimeout time.Duration
	// AccessTTL is how long an upstream's word holds that credentials may read a
	// repository, and that the repository has some content. Default 30 seconds. Only
	// with PassThrough, and for a Transport.
	AccessTTL time.Duration

	// InsecureOpenBlobs lets blobs pass that no judged manifest lists: only where
	// something else protects them. Default: they are refused.
	InsecureOpenBlobs bool
	// EvidenceTypes are further media types of layers of evidence, which passes
	// when its subject was allowed. Their content must be a JSON object. A type that
	// ends in * is a prefix; media types of images are never evidence. The known ones
	// are those of cosign, Sigstore, in-toto, Notation and SBOMs. Empty: no others.
	EvidenceTypes []string
	// MaxEvidenceBytes bounds each blob of evidence. Default 32 MiB.
	MaxEvidenceBytes int64

	// MaxListBytes bounds a list of referrers, all pages together. A longer one is an
	// error (502), not cut off: a client must not take a part for the whole. Default 4 MiB.
	MaxListBytes int64

	// MaxRequests bounds the requests that are served at once. Default 4096.
	MaxRequests int
	// MaxPerClient bounds those of one client address; with IPv6, of a /64. Default a
	// quarter of MaxRequests. Of the requests that wait for an upstream at once
	// (Client.MaxInFlight), each client has a quarter at most.
	MaxPerClient int
	// WriteTimeout ends a transfer to a client that takes less than 4 MiB within
	// it. Default 2 minutes.
	WriteTimeout time.Duration
	// MaxManifests bounds the bytes, with what was parsed of them, of manifests that
	// are kept in memory and were let through. Others, and evidence, have a quarter of
	// it apart from that, and 1 MiB at least. Default 16 MiB.
	MaxManifests int64
	// MaxDecisions bounds the decisions that are kept in memory: those that
	// allow, and apart from them those that deny, and those about evidence; and as many
	// links from what manifests list to them. They have 512 bytes each at most, on
	// average. Default 10,000.
	MaxDecisions int

	// Help ends each refusal: where a person finds out more. Empty: nothing.
	Help string
	// Logger gets a record for each decision: refusals and new decisions as
	// Warn and Info, repeated ones as Debug. Nil: none.
	Logger *slog.Logger
	// Audit gets one line of JSON for each decision that was reached, each
	// refusal, and each content that was not what it should be; see Event. It is
	// written to in one call a line. Nil: none.
	Audit io.Writer
	// Observer is told of all of that, and of each download. Nil: none.
	Observer Observer
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Upstream is a registry behind the gate.
type Upstream struct {
	// Registry is the name under which its repositories are judged, such as
	// registry.example: what clients and policies call it.
	Registry string
	// Address is where it is reached, host or host:port, where that differs: a
	// mirror, or an address inside a network. Empty: Registry.
	Address string
}

// Target is what a request's path and query say.
type Target struct {
	// Repository is the path between /v2/ and the endpoint. It is well-formed.
	Repository string
	// Namespace is containerd's ?ns=, or empty.
	Namespace string
}

// Credentials say with whose credentials an upstream is asked.
type Credentials string

const (
	// Operator: the keychain of Config.Client, for all clients.
	Operator Credentials = "operator"
	// PassThrough: each client's own, which it must give (HTTP Basic). They go to the
	// upstream's token service and nowhere else, so there can be one upstream only.
	// What one client may read is given to another only after the upstream was asked
	// about that one too.
	PassThrough Credentials = "pass-through"
	// PassThroughOrAnonymous is PassThrough, and lets clients without credentials read
	// what the upstream gives to all. For the rest it asks them for credentials.
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
	return nil
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
