// Package sigstorestack starts a private Sigstore on loopback, of the real programs, for
// tests.
//
//	s, err := sigstorestack.Start(dir, find)
//	defer s.Close()
//	token, err := s.People.Email("jane@acme.example")
//
// The stack has two issuers of identity tokens, Fulcio, a log of certificates (TesseraCT),
// Rekor v2, Rekor v1 with Trillian in memory, and a timestamp authority. It needs neither a
// database nor a network. All keys are made by [Start].
//
// The programs end with the process that started them, however that ends.
package sigstorestack

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// host is the name under which all services listen.
const host = "127.0.0.1"

// origin is the name of Rekor's logs in checkpoints. It is the host of their URLs.
const origin = host

// startTimeout bounds how long the services take to answer.
const startTimeout = 60 * time.Second

// Stack is a running instance.
type Stack struct {
	// People is the issuer of people's tokens, Workflows that of GitHub Actions' ones.
	People, Workflows *Issuer
	// Trust is what clients trust.
	Trust Trust

	dir       string
	processes *processes
	keys      keys
}

// Start starts the services, and returns when all of them answer. Their files and logs
// are in dir. find finds a program that .ci/tools builds, by its name.
//
// Start retries where another process takes a port in the moment between choosing it and
// using it.
func Start(dir string, find func(program string) (string, error)) (*Stack, error) {
	var s *Stack
	var err error
	for attempt := range 3 {
		if s, err = start(filepath.Join(dir, strconv.Itoa(attempt)), find); err == nil || !errors.Is(err, errEnded) {
			break
		}
	}
	return s, err
}

func start(dir string, find func(program string) (string, error)) (s *Stack, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s = &Stack{dir: dir, processes: newProcesses(dir, find)}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.People, err = startIssuer(); err != nil {
		return nil, err
	}
	if s.Workflows, err = startIssuer(); err != nil {
		return nil, err
	}
	if err := s.makeTrust(); err != nil {
		return nil, err
	}
	if err := s.writeFiles(); err != nil {
		return nil, err
	}
	return s, s.startServices()
}

// Close ends the services.
func (s *Stack) Close() {
	s.processes.end()
	for _, i := range []*Issuer{s.People, s.Workflows} {
		if i != nil {
			i.close()
		}
	}
}

// Logs is the end of what each service has logged.
func (s *Stack) Logs() string { return s.processes.logs() }

// makeTrust chooses ports and makes keys and certificates.
func (s *Stack) makeTrust() (err error) {
	if s.keys, err = newKeys(); err != nil {
		return err
	}
	now := time.Now().Add(-5 * time.Minute).Truncate(time.Second)
	ports, err := freePorts()
	if err != nil {
		return err
	}
	at := func(port int) string { return fmt.Sprintf("http://%s:%d", host, port) }
	s.Trust = Trust{
		CA:     Authority{URL: at(ports[0]), Start: now},
		TSA:    Authority{URL: at(ports[1]) + "/api/v1/timestamp", Start: now},
		CT:     Log{URL: at(ports[2]), Key: s.keys.ct.Public(), Start: now},
		Rekor1: Log{URL: at(ports[3]), Key: s.keys.rekor1.Public(), Start: now},
		Rekor2: Log{URL: at(ports[4]), Key: s.keys.rekor2.Public(), Start: now, V2: true},
	}
	if s.Trust.CA.Chain, err = s.keys.fulcioChain(now); err != nil {
		return err
	}
	s.Trust.TSA.Chain, err = s.keys.stampChain(now)
	return err
}

// freePorts are ports at which nothing listens.
func freePorts() (ports [5]int, err error) {
	for i := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return ports, err
		}
		defer func() { _ = l.Close() }() // once all are chosen: they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// Files of the services.
const (
	fileFulcioChain  = "fulcio-chain.pem"
	fileFulcioRoot   = "fulcio-root.pem"
	fileFulcioKey    = "fulcio.key"
	fileFulcioConfig = "fulcio.yaml"
	fileStampChain   = "tsa-chain.pem"
	fileStampKey     = "tsa.key"
	fileCTKey        = "ct.key"
	fileCTPublic     = "ct.pub"
	fileRekor1Key    = "rekor1.key"
	fileRekor2Key    = "rekor2.key"
)

// writeFiles writes what the services read.
func (s *Stack) writeFiles() error {
	w := fileWriter{dir: s.dir}
	fulcio, stamps := s.Trust.CA.Chain, s.Trust.TSA.Chain
	w.certificates(fileFulcioChain, fulcio...)
	w.certificates(fileFulcioRoot, fulcio[len(fulcio)-1])
	w.certificates(fileStampChain, stamps...)
	w.private(fileFulcioKey, s.keys.fulcio)
	w.private(fileStampKey, s.keys.stamper)
	w.private(fileRekor1Key, s.keys.rekor1)
	w.private(fileRekor2Key, s.keys.rekor2)
	w.legacyPrivate(fileCTKey, s.keys.ct)
	w.public(fileCTPublic, s.keys.ct.Public())
	w.write(fileFulcioConfig, []byte(fulcioConfig(s.People.URL, s.Workflows.URL)))
	return w.err
}

// startServices starts the programs and waits until they answer.
func (s *Stack) startServices() error {
	t, p := &s.Trust, s.processes
	ports, err := freePorts()
	if err != nil {
		return err
	}
	trillian, fulcioGRPC, fulcioMetrics, rekorGRPC, rekorMetrics := ports[0], ports[1], ports[2], ports[3], ports[4]
	p.start("trillian", "-listen", fmt.Sprintf("%s:%d", host, trillian))
	p.start("timestamp-server", "serve", "--host", host, "--port", portOf(t.TSA.URL), "--timestamp-signer", "file",
		"--file-signer-key-path", fileStampKey, "--file-signer-passwd", "", "--certificate-chain-path", fileStampChain,
		"--disable-ntp-monitoring")
	p.start("tesseract", "-http_endpoint", host+":"+portOf(t.CT.URL), "-origin", "ct.hallmark.test", "-private_key", fileCTKey,
		"-roots_pem_file", fileFulcioRoot, "-storage_dir", "ct", "-enable_publication_awaiter=false", "-checkpoint_interval", "1s",
		"-batch_max_age", "20ms")
	p.start("rekor-tiles", "serve", "--http-address", host, "--http-port", portOf(t.Rekor2.URL), "--grpc-address", host,
		"--grpc-port", strconv.Itoa(rekorGRPC), "--http-metrics-port", strconv.Itoa(rekorMetrics), "--hostname", origin,
		"--storage-dir", "rekor2", "--signer-filepath", fileRekor2Key, "--checkpoint-interval", "200ms", "--batch-max-age", "20ms")
	p.start("fulcio", "serve", "--host", host, "--port", portOf(t.CA.URL), "--grpc-host", host, "--grpc-port", strconv.Itoa(fulcioGRPC),
		"--metrics-port", strconv.Itoa(fulcioMetrics), "--legacy-unix-domain-socket", "fulcio.sock", "--ca", "fileca",
		"--fileca-cert", fileFulcioChain, "--fileca-key", fileFulcioKey, "--fileca-key-passwd", "none", "--fileca-watch=false", "--ct-log-url", t.CT.URL,
		"--ct-log-public-key-path", fileCTPublic, "--config-path", fileFulcioConfig)
	p.awaitTCP("trillian", fmt.Sprintf("%s:%d", host, trillian))
	p.start("rekor-server", "serve", "--rekor_server.address", host, "--port", portOf(t.Rekor1.URL), "--rekor_server.hostname", origin,
		"--rekor_server.signer", fileRekor1Key, "--trillian_log_server.address", host, "--trillian_log_server.port", strconv.Itoa(trillian),
		"--enable_retrieve_api=false", "--enabled_api_endpoints", "getLogInfo,getPublicKey,getLogProof,createLogEntry,getLogEntryByIndex,getLogEntryByUUID")
	p.await("timestamp-server", "http://"+host+":"+portOf(t.TSA.URL)+"/ping")
	p.await("tesseract", t.CT.URL+"/ct/v1/get-roots")
	p.await("rekor-tiles", t.Rekor2.URL+"/healthz")
	p.await("fulcio", t.CA.URL+"/healthz")
	p.await("rekor-server", t.Rekor1.URL+"/api/v1/log")
	return p.err
}

// keys are the private keys of the services, and those of the certificates above them.
type keys struct {
	fulcioRoot, fulcio                    *ecdsa.PrivateKey
	stampRoot, stampIntermediate, stamper *ecdsa.PrivateKey
	ct, rekor1                            *ecdsa.PrivateKey
	rekor2                                ed25519.PrivateKey
}
