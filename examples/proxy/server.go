package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

const (
	defaultGrace = 5 * time.Minute
	// certificateInterval is how often the certificate's files are looked at.
	certificateInterval = 10 * time.Second
)

// serve runs the gate until ctx ends, and then lets running pulls end.
func serve(ctx context.Context, c settings, log *slog.Logger) error {
	o, err := c.verifier()
	if err != nil {
		return errors.Join(errUsage, err)
	}
	source, err := verify.NewFileSource(c.Policy, verify.FileSourceOptions{Options: o, Logger: log})
	if err != nil {
		return errors.Join(errUsage, err)
	}
	g, err := c.gate(log)
	if err != nil {
		return errors.Join(errUsage, err)
	}
	if g.Store != nil {
		defer func() { _ = g.Store.Close() }() // nothing is written to it any more
	}
	g.Verifier = source
	if c.Audit != "" {
		file, err := os.OpenFile(c.Audit, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // each line was written in one call
		g.Audit = file
	}
	s, err := newServer(c, log, source, g)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

func newServer(c settings, log *slog.Logger, source *verify.FileSource, g gate.Config) (*server, error) {
	handler, err := gate.NewHandler(g)
	if err != nil {
		return nil, errors.Join(errUsage, err)
	}
	return &server{c: c, log: log, source: source, handler: handler}, nil
}

// server is the gate with its listeners.
type server struct {
	c       settings
	log     *slog.Logger
	source  *verify.FileSource
	handler http.Handler
	ending  atomic.Bool
	// started is called with the address once clients can connect; nil: none is
	// told.
	started func(address string)
}

func (s *server) run(ctx context.Context) error {
	plain, err := net.Listen("tcp", s.c.Listen)
	if err != nil {
		return err
	}
	listener := bound(plain, s.c.MaxConnections)
	server := s.serverOf(s.handler)
	if s.c.TLS.Cert != "" {
		certificate := &certificate{c: s.c.TLS, log: s.log}
		if _, err := certificate.get(nil); err != nil {
			return errors.Join(errUsage, err, listener.Close())
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get, // Without HTTP/2, whose status has no text: containerd shows no other.
			NextProtos: []string{"http/1.1"}}
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	servers := []*http.Server{server}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	if s.c.Admin != "" {
		at, err := net.Listen("tcp", s.c.Admin)
		if err != nil {
			return errors.Join(err, server.Close())
		}
		admin := s.serverOf(s.admin())
		servers = append(servers, admin)
		go func() { failed <- admin.Serve(at) }()
	}
	s.log.Info("gate listening", "address", listener.Addr().String(), "tls", s.c.TLS.Cert != "", "policy", s.c.Policy)
	if s.started != nil {
		s.started(listener.Addr().String())
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	return errors.Join(err, s.end(servers))
}

// serverOf is a server whose clients cannot hold it up: times for headers, for idling
// and for answers, and the size of headers. What the gate sends it gives time for by
// itself, piece by piece, however long it takes in all.
func (s *server) serverOf(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

// end lets what is running end.
func (s *server) end(servers []*http.Server) error {
	s.ending.Store(true)
	grace := time.Duration(s.c.Grace)
	if grace == 0 {
		grace = defaultGrace
	}
	s.log.Info("gate stopping; running pulls may end", "grace", grace)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var all error
	for _, x := range servers {
		if err := x.Shutdown(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("pulls were cut off: %w", err), x.Close())
		}
	}
	return all
}

// admin answers those who watch over the gate.
func (s *server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready, status := s.readiness(r.Context())
		if status != http.StatusOK {
			http.Error(w, ready, status)
			return
		}
		_, _ = fmt.Fprintln(w, ready)
	})
	return mux
}

// maxRefused bounds what /readyz says of a refused policy.
const maxRefused = 500

// readiness says whether clients are to be sent here, and by which policy they are served.
func (s *server) readiness(ctx context.Context) (text string, status int) {
	if s.ending.Load() {
		return "closing", http.StatusServiceUnavailable
	}
	v, err := s.source.Verifier(ctx)
	if err != nil {
		return registry.SafeText(err.Error(), maxRefused), http.StatusServiceUnavailable
	}
	text = "ready, by policy " + v.PolicyDigest()
	if refused := s.source.Err(); refused != nil {
		why := registry.SafeText(refused.Error(), maxRefused)
		if s.c.DenyOnRefusedPolicy && !s.c.InsecureAuditOnly {
			return "denying everything: the newest policy was refused: " + why, http.StatusServiceUnavailable
		}
		// The last good policy decides: this is no reason to send clients away.
		text = "ready, by the last good policy " + v.PolicyDigest() + "; the newest policy was refused: " + why
	}
	if s.c.InsecureAuditOnly {
		text += "; denials are reported and not enforced (insecureAuditOnly)"
	}
	return text, http.StatusOK
}

// certificate is read again when its file changes. A broken one changes nothing.
type certificate struct {
	c   tlsSettings
	log *slog.Logger

	mu       sync.Mutex
	held     *tls.Certificate
	looked   time.Time
	modified time.Time
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil && time.Since(c.looked) < certificateInterval {
		return c.held, nil
	}
	c.looked = time.Now()
	info, err := os.Stat(c.c.Cert)
	if err == nil && c.held != nil && info.ModTime().Equal(c.modified) {
		return c.held, nil
	}
	var read tls.Certificate
	if err == nil {
		read, err = tls.LoadX509KeyPair(c.c.Cert, c.c.Key)
	}
	switch {
	case err == nil:
		c.held, c.modified = &read, info.ModTime()
		c.log.Info("certificate loaded", "file", c.c.Cert)
	case c.held == nil:
		return nil, err
	default:
		c.log.Error("certificate rejected; keeping the last good one", "error", err)
	}
	return c.held, nil
}
