package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// settings are what the YAML file holds. Names of files in it are looked for from
// its directory.
type settings struct {
	// Listen is where clients connect. Empty: 127.0.0.1:5000.
	Listen string `json:"listen,omitempty"`
	// Admin serves /healthz and /readyz. Empty: nothing does.
	Admin string `json:"admin,omitempty"`
	// Policy is the policy file. Required.
	Policy string `json:"policy,omitempty"`
	// TrustedRoots are those of the instances that the policy's identities name. They are
	// read at the start. Empty: the policy brings its own, as rootFile.
	TrustedRoots []rootSettings `json:"trustedRoots,omitempty"`
	// EvidenceRepository holds the evidence about images whose rule names no other, as
	// REGISTRY/REPOSITORY. Empty: each image's repository.
	EvidenceRepository string `json:"evidenceRepository,omitempty"`
	// Limits bound the evidence that is read for one image, before those of the policy.
	Limits policy.Limits `json:"limits,omitzero"`
	// MaxEvidenceBytes bounds each blob of evidence that clients may pull. Zero: 32 MiB.
	MaxEvidenceBytes int64 `json:"maxEvidenceBytes,omitempty"`
	// Upstreams are the registries behind the gate. At least one.
	Upstreams []upstreamSettings `json:"upstreams,omitempty"`
	// TLS is the server's certificate. Empty: plain HTTP, on loopback only.
	TLS tlsSettings `json:"tls,omitempty"`
	// UpstreamCA holds roots, as PEM, in place of the system's. Empty: those.
	UpstreamCA string `json:"upstreamCA,omitempty"`
	// Credentials is operator, pass-through or pass-through-or-anonymous. Empty:
	// operator.
	Credentials string `json:"credentials,omitempty"`
	// Store keeps content on disk. Empty: nothing is kept.
	Store storeSettings `json:"store,omitempty"`
	// EvidenceTypes are further media types of what is attached to images and may be pulled,
	// such as text/plain: JSON objects and text. Empty: those of package gate.
	EvidenceTypes []string `json:"evidenceTypes,omitempty"`
	// DenyOnRefusedPolicy denies everything while the newest policy is refused. False: the
	// last good policy decides.
	DenyOnRefusedPolicy bool `json:"denyOnRefusedPolicy,omitempty"`
	// InsecureAuditOnly reports what is denied, and lets it pass. False: it does not pass.
	InsecureAuditOnly bool `json:"insecureAuditOnly,omitempty"`
	// Audit is the audit log, which is only ever appended to. Empty: none.
	Audit string `json:"audit,omitempty"`
	// Log is the level. Empty: info.
	Log string `json:"log,omitempty"`
	// Help ends each refusal. Empty: nothing.
	Help string `json:"help,omitempty"`
	// MaxRequests and MaxPerClient bound the requests at once. Zero: 4096, 1024.
	MaxRequests  int `json:"maxRequests,omitempty"`
	MaxPerClient int `json:"maxPerClient,omitempty"`
	// MaxConnections bounds the connections of clients that are open at once; others
	// wait. Zero: 8192.
	MaxConnections int `json:"maxConnections,omitempty"`
	// TagTTL is how long a tag is taken to name the same. Zero: 10s.
	TagTTL policy.Duration `json:"tagTTL,omitempty"`
	// Grace is how long running pulls may take to end. Zero: 5m.
	Grace policy.Duration `json:"grace,omitempty"`

	// Demo and Once are flags only.
	Demo bool `json:"-"`
	Once bool `json:"-"`

	level slog.Level
}

type upstreamSettings struct {
	// Registry is its name, Address where it is reached. Address empty: there.
	Registry string `json:"registry"`
	Address  string `json:"address,omitempty"`
	// TokenRealms are hosts, with their port where it is not that of HTTPS, whose token
	// service may be given its credentials. Empty: the registry's own host, its
	// parent domains, and Docker Hub's.
	TokenRealms []string `json:"tokenRealms,omitempty"`
	// InsecurePlainHTTP speaks plain HTTP to it, and to no other port of its host,
	// although it is not on loopback.
	InsecurePlainHTTP bool `json:"insecurePlainHTTP,omitempty"`
}

// rootSettings are a trust root, and what its instance lacks.
type rootSettings struct {
	// Instance is its name in policies: public-good, github, or that of a private one.
	Instance string `json:"instance"`
	File     string `json:"file"`
	// SHA256 is the digest that the file must have, in hex. Empty: any.
	SHA256 string `json:"sha256,omitempty"`
	// WithoutLogs and WithoutCT are for private instances that have no transparency log,
	// or no log of certificates. RequireTimestamps counts no other times.
	WithoutLogs       bool `json:"withoutLogs,omitempty"`
	WithoutCT         bool `json:"withoutCT,omitempty"`
	RequireTimestamps bool `json:"requireTimestamps,omitempty"`
}

type tlsSettings struct {
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
}

type storeSettings struct {
	Dir string `json:"dir,omitempty"`
	// MaxBytes bounds it. Zero: 64 GiB.
	MaxBytes int64 `json:"maxBytes,omitempty"`
	// AlwaysVerify hashes content on each read.
	AlwaysVerify bool `json:"alwaysVerify,omitempty"`
}

// readSettings reads the file.
func readSettings(path string) (c settings, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := decodeYAML(text, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	names := []*string{&c.Policy, &c.TLS.Cert, &c.TLS.Key, &c.UpstreamCA, &c.Store.Dir, &c.Audit}
	for i := range c.TrustedRoots {
		names = append(names, &c.TrustedRoots[i].File)
	}
	for _, name := range names {
		if *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(filepath.Dir(path), *name)
		}
	}
	return c, nil
}

// decodeYAML reads one YAML document as the JSON that it stands for. It refuses what
// could be misread: unknown fields, also such as differ in case, repeated ones, anchors,
// aliases, tags, and fields without a value.
func decodeYAML(text []byte, to any) error {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var document, next yaml.Node
	if err := documents.Decode(&document); err == io.EOF {
		return errors.New("it is empty")
	} else if err != nil {
		return err
	}
	if err := documents.Decode(&next); err != io.EOF {
		return errors.New("more than one document, or none that can be read to its end")
	}
	plain, err := plainJSON(document.Content[0], reflect.TypeOf(to).Elem())
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, to)
}

// plainJSON is the JSON that a node stands for, in place of a value of a type.
func plainJSON(n *yaml.Node, t reflect.Type) ([]byte, error) {
	switch {
	case n.Kind == yaml.AliasNode, n.Anchor != "", n.Style&yaml.TaggedStyle != 0:
		return nil, fmt.Errorf("line %d: anchors, aliases and tags are not allowed: write the value out", n.Line)
	case n.Kind == yaml.ScalarNode:
		return plainScalar(n)
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		return plainObject(n, t)
	case n.Kind != yaml.SequenceNode || t.Kind() != reflect.Slice:
		return nil, fmt.Errorf("line %d: want one value", n.Line)
	}
	all := make([]json.RawMessage, 0, len(n.Content))
	for _, element := range n.Content {
		plain, err := plainJSON(element, t.Elem())
		if err != nil {
			return nil, err
		}
		all = append(all, plain)
	}
	return json.Marshal(all)
}

// plainObject is the JSON of a mapping in place of a struct.
func plainObject(n *yaml.Node, t reflect.Type) ([]byte, error) {
	fields := make(map[string]reflect.Type)
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			fields[name] = t.Field(i).Type
		}
	}
	object := make(map[string]json.RawMessage)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		field, known := fields[key.Value]
		if !known || key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 {
			return nil, fmt.Errorf("line %d: unknown field %q", key.Line, key.Value)
		}
		if _, twice := object[key.Value]; twice {
			return nil, fmt.Errorf("line %d: %q stands twice", key.Line, key.Value)
		}
		plain, err := plainJSON(n.Content[i+1], field)
		if err != nil {
			return nil, err
		}
		object[key.Value] = plain
	}
	return json.Marshal(object)
}

// plainScalar is the JSON of a text, a bool or a decimal number. Zero would count as not
// given.
func plainScalar(n *yaml.Node) ([]byte, error) {
	switch tag := n.ShortTag(); {
	case tag == "!!str", tag == "!!timestamp":
		return json.Marshal(n.Value)
	case tag == "!!bool" && (n.Value == "true" || n.Value == "false"):
		return []byte(n.Value), nil
	case tag == "!!int" && strings.Trim(n.Value, "-0123456789") == "" && strings.TrimLeft(n.Value, "-0") == strings.TrimLeft(n.Value, "-") && n.Value != "0":
		return []byte(n.Value), nil
	}
	return nil, fmt.Errorf("line %d: %q: want text in quotes, true, false, or a decimal number that is not zero", n.Line, n.Value)
}

// overrule applies flags, and checks the whole.
func (c *settings) overrule(given settings, upstreams []string) error {
	for _, x := range []struct{ to, from *string }{
		{&c.Listen, &given.Listen},
		{&c.Admin, &given.Admin},
		{&c.Policy, &given.Policy},
		{&c.TLS.Cert, &given.TLS.Cert},
		{&c.TLS.Key, &given.TLS.Key},
		{&c.Store.Dir, &given.Store.Dir},
		{&c.Audit, &given.Audit},
		{&c.Log, &given.Log},
	} {
		if *x.from != "" {
			*x.to = *x.from
		}
	}
	c.DenyOnRefusedPolicy = c.DenyOnRefusedPolicy || given.DenyOnRefusedPolicy
	c.InsecureAuditOnly = c.InsecureAuditOnly || given.InsecureAuditOnly
	c.Demo, c.Once = given.Demo, given.Once
	if len(upstreams) > 0 {
		c.Upstreams = nil
		for _, u := range upstreams {
			host, address, _ := strings.Cut(u, "=")
			c.Upstreams = append(c.Upstreams, upstreamSettings{Registry: host, Address: address})
		}
	}
	return c.check()
}

func (c *settings) check() error {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:5000"
	}
	if c.Log != "" {
		if err := c.level.UnmarshalText([]byte(c.Log)); err != nil {
			return fmt.Errorf("log: %w", err)
		}
	}
	switch {
	case c.Once && !c.Demo:
		return errors.New("-once is for -demo")
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return errors.New("a certificate needs its key, and a key its certificate")
	case c.TLS.Cert == "" && !isLoopback(c.Listen):
		return fmt.Errorf("listen address %s is not on loopback and needs TLS: give -tls-cert and -tls-key", c.Listen)
	case c.Demo:
		return nil
	case c.Policy == "":
		return errors.New("no policy: give -policy FILE, or policy in the settings file")
	case len(c.Upstreams) == 0:
		return errors.New("give -upstream, or upstreams in the file")
	}
	return nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// gate makes what package gate needs of the settings.
func (c *settings) gate(log *slog.Logger) (gate.Config, error) {
	g := gate.Config{
		Credentials: gate.Credentials(c.Credentials), Help: c.Help, Logger: log,
		MaxEvidenceBytes: c.MaxEvidenceBytes, EvidenceTypes: c.EvidenceTypes,
		DenyOnRefusedPolicy: c.DenyOnRefusedPolicy, InsecureAuditOnly: c.InsecureAuditOnly,
		MaxRequests: c.MaxRequests, MaxPerClient: c.MaxPerClient, TagTTL: time.Duration(c.TagTTL),
		Client: remote.Options{UserAgent: "hallmark-gate", Logger: log},
	}
	for _, u := range c.Upstreams {
		if err := u.add(&g); err != nil {
			return g, err
		}
	}
	if c.UpstreamCA != "" {
		text, err := os.ReadFile(c.UpstreamCA)
		if err != nil {
			return g, err
		}
		g.Client.RootCAs = x509.NewCertPool()
		if !g.Client.RootCAs.AppendCertsFromPEM(text) {
			return g, fmt.Errorf("%s: no certificate found", c.UpstreamCA)
		}
	}
	if c.Store.Dir != "" {
		held, err := store.Open(c.Store.Dir, store.Options{MaxBytes: c.Store.MaxBytes, AlwaysVerify: c.Store.AlwaysVerify})
		if err != nil {
			return g, err
		}
		g.Store = held
	}
	return g, nil
}

// authorities are those that policies may name.
func (c *settings) authorities() (map[string]policy.Authority, error) {
	if len(c.TrustedRoots) == 0 {
		return map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()}, nil
	}
	instances := make(map[string]sigstore.Instance)
	for _, r := range c.TrustedRoots {
		if _, twice := instances[r.Instance]; twice || r.Instance == "" || r.File == "" {
			return nil, fmt.Errorf("trustedRoots: instance %q: want an instance and a file, each instance once", r.Instance)
		}
		i := sigstore.Known(r.Instance)
		i.RootFile, i.SHA256 = r.File, r.SHA256
		i.WithoutLogs, i.WithoutCT = i.WithoutLogs || r.WithoutLogs, i.WithoutCT || r.WithoutCT
		i.RequireTimestamps = r.RequireTimestamps
		instances[r.Instance] = i
	}
	a, err := sigstore.New(instances)
	if err != nil {
		return nil, fmt.Errorf("trustedRoots: %w", err)
	}
	return map[string]policy.Authority{"sigstore": a}, nil
}

// verifier says how decisions are made.
func (c *settings) verifier() (o verify.Options, err error) {
	o.Limits = registry.Limits{
		MaxItems: c.Limits.MaxItems, MaxReferrers: c.Limits.MaxReferrers, MaxPayloadBytes: c.Limits.MaxPayloadBytes, MaxTotalBytes: c.Limits.MaxTotalBytes,
	}
	if o.Authorities, err = c.authorities(); err != nil || c.EvidenceRepository == "" {
		return o, err
	}
	if o.EvidenceRepository, err = registry.ParseRepository(c.EvidenceRepository); err != nil {
		err = fmt.Errorf("evidenceRepository: %w", err)
	}
	return o, err
}

// add adds an upstream, and how it is spoken to.
func (u upstreamSettings) add(g *gate.Config) error {
	g.Upstreams = append(g.Upstreams, gate.Upstream{Registry: u.Registry, Address: u.Address})
	at := u.Address
	if at == "" {
		at = u.Registry
	}
	if u.InsecurePlainHTTP {
		g.Client.InsecurePlainHTTP = append(g.Client.InsecurePlainHTTP, at)
	}
	if len(u.TokenRealms) == 0 {
		return nil
	}
	host, err := name.NewRegistry(at)
	if err != nil {
		return err
	}
	if g.Client.TokenRealms == nil {
		g.Client.TokenRealms = make(map[string][]string)
	}
	g.Client.TokenRealms[host.RegistryStr()] = u.TokenRealms
	return nil
}
