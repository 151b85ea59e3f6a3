package command

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// rootCreateFlags name what a private instance consists of, each as URL=FILE.
type rootCreateFlags struct {
	authorities, stampers []string
	logs, tiledLogs, ct   []string
	start                 string
	out                   string
}

func (a *app) rootCreateCommand() *cobra.Command {
	var f rootCreateFlags
	cmd := &cobra.Command{
		Use:   "create --certificate-chain URL=FILE --out FILE",
		Short: "Write the trust root of a private instance",
		Long: `Write the trust root of a private instance, from its certificates and public keys. Each
flag but --start and --out may be repeated. Chains are PEM, the issuing certificate first,
or that of the timestamp authority's signer.

JSON is one object: file, sha256.`,
		Example: `  hallmark trusted-root create --certificate-chain https://fulcio.example=fulcio.pem --log-v2 https://log.example=log.pub --ct-log https://ct.example=ct.pub --timestamp-chain https://tsa.example=tsa.pem --out trusted_root.json`,
		Args:    arguments(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return a.createRoot(f) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.authorities, "certificate-chain", nil, "the certificate authority at this `URL=FILE`, with its chain")
	flags.StringArrayVar(&f.stampers, "timestamp-chain", nil, "the timestamp authority at this `URL=FILE`, with its chain")
	flags.StringArrayVar(&f.logs, "log", nil, "the transparency log of Rekor v1 at this `URL=FILE`, with its public key")
	flags.StringArrayVar(&f.tiledLogs, "log-v2", nil, "the transparency log of Rekor v2 at this `URL=FILE`, with its public key")
	flags.StringArrayVar(&f.ct, "ct-log", nil, "the log of certificates at this `URL=FILE`, with its public key")
	flags.StringVar(&f.start, "start", "", "the `TIME` from which all of them are trusted (default: when the first chain is valid)")
	flags.StringVar(&f.out, "out", "", "write the root to this `FILE`")
	return cmd
}

// The JSON of a trust root.
type (
	trustedRoot struct {
		MediaType    string          `json:"mediaType"`
		Logs         []rootLog       `json:"tlogs,omitempty"`
		Authorities  []rootAuthority `json:"certificateAuthorities,omitempty"`
		CTLogs       []rootLog       `json:"ctlogs,omitempty"`
		Timestamping []rootAuthority `json:"timestampAuthorities,omitempty"`
	}
	rootLog struct {
		BaseURL       string  `json:"baseUrl"`
		HashAlgorithm string  `json:"hashAlgorithm"`
		PublicKey     rootKey `json:"publicKey"`
		LogID         struct {
			KeyID []byte `json:"keyId"`
		} `json:"logId"`
	}
	rootKey struct {
		RawBytes   []byte     `json:"rawBytes"`
		KeyDetails string     `json:"keyDetails"`
		ValidFor   rootWindow `json:"validFor"`
	}
	rootWindow struct {
		Start time.Time `json:"start"`
	}
	rootAuthority struct {
		Subject struct {
			Organization string `json:"organization"`
			CommonName   string `json:"commonName"`
		} `json:"subject"`
		URI       string `json:"uri"`
		CertChain struct {
			Certificates []rootCertificate `json:"certificates"`
		} `json:"certChain"`
		ValidFor rootWindow `json:"validFor"`
	}
	rootCertificate struct {
		RawBytes []byte `json:"rawBytes"`
	}
)

const trustedRootType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

// rootMaker makes a trust root. The first error stays.
type rootMaker struct {
	start time.Time
	// seen are the keys of logs, and the first certificates of chains, in DER.
	seen map[string]bool
	err  error
}

// once returns an error for what stands in the root already: one key must not count twice.
func (m *rootMaker) once(path string, der []byte) error {
	if m.seen[string(der)] {
		return fmt.Errorf("%s: its key or first certificate is given twice", path)
	}
	m.seen[string(der)] = true
	return nil
}

func (a *app) createRoot(f rootCreateFlags) error {
	if len(f.authorities) == 0 || f.out == "" {
		return usageError("--certificate-chain and --out are required: name the certificate authority, and the file to write")
	}
	m := rootMaker{seen: make(map[string]bool)}
	if f.start != "" {
		if m.start, m.err = time.Parse(time.RFC3339, f.start); m.err != nil {
			return usageError("--start %q: want a time such as 2026-01-02T15:04:05Z", f.start)
		}
	}
	root := trustedRoot{MediaType: trustedRootType}
	root.Authorities = m.chains("certificate-chain", f.authorities)
	root.Timestamping = m.chains("timestamp-chain", f.stampers)
	root.Logs = append(m.logs("log", f.logs, false), m.logs("log-v2", f.tiledLogs, true)...)
	root.CTLogs = m.logs("ct-log", f.ct, false)
	if m.err != nil {
		return m.err
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return err
	}
	if _, err := sigstore.Contents(text); err != nil {
		return err
	}
	return a.writeRoot(f.out, append(text, '\n'), false)
}

// each reads the file of each URL=FILE.
func (m *rootMaker) each(flag string, pairs []string, use func(uri *url.URL, path string) error) {
	for _, pair := range pairs {
		if m.err != nil {
			return
		}
		base, path, ok := splitPair(pair)
		uri, err := url.Parse(base)
		if !ok || err != nil || uri.Hostname() == "" || uri.Scheme != "https" && uri.Scheme != "http" || uri.User != nil || uri.RawQuery+uri.Fragment != "" {
			m.err = usageError("--%s %s: want URL=FILE, with an https URL that has no user, query or fragment", flag, withoutSecrets(base))
			return
		}
		if err := use(uri, path); err != nil {
			m.err = fmt.Errorf("--%s: %w", flag, err)
		}
	}
}

func (m *rootMaker) chains(flag string, pairs []string) (all []rootAuthority) {
	m.each(flag, pairs, func(uri *url.URL, path string) error {
		text, _, err := readFile(path, maxTrustedRoot)
		if err != nil {
			return err
		}
		certs, err := readChain(text)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := m.once(path, certs[0].Raw); err != nil {
			return err
		}
		authority := rootAuthority{URI: uri.String()}
		for _, c := range certs {
			if m.start.IsZero() {
				m.start = c.NotBefore.UTC()
			}
			authority.Subject.CommonName = c.Subject.CommonName
			if len(c.Subject.Organization) > 0 {
				authority.Subject.Organization = c.Subject.Organization[0]
			}
			authority.CertChain.Certificates = append(authority.CertChain.Certificates, rootCertificate{c.Raw})
		}
		authority.ValidFor.Start = m.start
		all = append(all, authority)
		return nil
	})
	return all
}

// readChain reads certificates in PEM, each once. It refuses what pem.Decode would skip.
func readChain(text []byte) (all []*x509.Certificate, err error) {
	begun := bytes.Count(text, []byte("-----BEGIN "))
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, c.Equal) {
			return nil, fmt.Errorf("the certificate %q is there twice", c.Subject)
		}
		all = append(all, c)
	}
	if len(all) == 0 || len(all) != begun {
		return nil, fmt.Errorf("%d of %d certificates in PEM can be read", len(all), begun)
	}
	return all, nil
}

func (m *rootMaker) logs(flag string, pairs []string, tiled bool) (all []rootLog) {
	m.each(flag, pairs, func(uri *url.URL, path string) error {
		key, err := policy.LoadPublicKey(path)
		if err != nil {
			return err
		}
		l := rootLog{BaseURL: uri.String(), HashAlgorithm: "SHA2_256"}
		if l.PublicKey.RawBytes, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			return err
		}
		l.PublicKey.KeyDetails, l.PublicKey.ValidFor.Start = detailsOf(key), m.start
		if err := m.once(path, l.PublicKey.RawBytes); err != nil {
			return err
		}
		id := sha256.Sum256(l.PublicKey.RawBytes)
		// Rekor v2 names an Ed25519 key as signed notes do (C2SP signed-note).
		if raw, ok := key.Public().(ed25519.PublicKey); ok && tiled {
			id = sha256.Sum256(append([]byte(uri.Hostname()+"\n\x01"), raw...))
		}
		l.LogID.KeyID = id[:]
		all = append(all, l)
		return nil
	})
	return all
}

// detailsOf names a key's kind as trust roots do.
func detailsOf(key policy.PublicKey) string {
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		return map[int]string{256: "PKIX_ECDSA_P256_SHA_256", 384: "PKIX_ECDSA_P384_SHA_384", 521: "PKIX_ECDSA_P521_SHA_512"}[k.Params().BitSize]
	case *rsa.PublicKey:
		return fmt.Sprintf("PKIX_RSA_PKCS1V15_%d_SHA256", k.Size()*8)
	}
	return "PKIX_ED25519"
}
