package command

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Answers that several flags share.
const (
	answerPattern   = "there are no regular expressions: in the URI of --certificate-identity, * stands for one whole segment and ** for any number, as in https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*"
	answerEvidence  = "the certificate is read from the evidence; a bundle of a file holds it: --bundle"
	answerRoot      = "authorities come from --trusted-root; make one of certificates with 'hallmark trusted-root create --help'"
	answerNoLog     = "keys need none; for a private instance without a transparency log, write --without-logs INSTANCE"
	answerNoUpload  = "signing with a key uploads nothing; what --keyless asks is in --signing-config"
	answerServices  = "the services of an instance are in --signing-config, and its authorities in --trusted-root"
	answerToken     = "write the token to a file, and name it with --identity-token; --device logs a person in"
	answerLogin     = "log in with docker login or podman login"
	answerTLS       = "certificates of registries are always checked; for plain HTTP write --insecure-http HOST[:PORT]"
	answerSystemTLS = "the system's certificates are used; in Go, give remote.Options a transport"
	answerBundle    = "the bundle of a file holds it: --bundle"
	answerFormats   = "every format is read at once"
	answerToken11   = "keys on tokens are opened by plug-ins, which --key names by their scheme"
	answerCreate    = "authorities and logs are named one by one: 'hallmark trusted-root create --help'"
	answerAttach    = "nothing is attached that was not signed here: 'hallmark attest --help'"
	answerFetch     = "a trust root is a file: 'hallmark trusted-root fetch --help'"
	answerSize      = "it is read from the file"
)

// foreignFlags are flags of other programs that this one does not have, each with what does
// the same here.
var foreignFlags = sync.OnceValue(func() map[string]map[string]string {
	return map[string]map[string]string{
		ofCosign: {
			"certificate-identity-regexp":            answerPattern,
			"certificate-oidc-issuer-regexp":         "there are no regular expressions: --certificate-oidc-issuer names the issuer exactly",
			"certificate-github-workflow-repository": "write --certificate-claim sourceRepository=https://github.com/OWNER/REPOSITORY",
			"certificate-github-workflow-ref":        "write --certificate-claim sourceRef=refs/heads/main",
			"certificate-github-workflow-sha":        "write --certificate-claim sourceDigest=COMMIT",
			"certificate-github-workflow-trigger":    "write --certificate-claim buildTrigger=push",
			"certificate-github-workflow-name":       "a name can be changed by the workflow: name its file with --certificate-claim buildConfig=https://github.com/OWNER/REPOSITORY/.github/workflows/FILE@REF",
			"certificate":                            answerEvidence,
			"cert":                                   answerEvidence,
			"allow-certificate-chain":                answerEvidence,
			"certificate-chain":                      answerRoot,
			"ca-roots":                               answerRoot,
			"ca-intermediates":                       answerRoot,
			"timestamp-certificate-chain":            answerRoot,
			"sct":                                    "the certificate holds it",
			"insecure-ignore-sct":                    "keys need none; for a private instance without a log of certificates, write --without-ct INSTANCE",
			"insecure-ignore-tlog":                   answerNoLog,
			"ignore-tlog":                            answerNoLog,
			"private-infrastructure":                 "keys need no log; for a private instance without a transparency log, write --without-logs INSTANCE",
			"use-signed-timestamps":                  "timestamps are always read; --require-timestamps INSTANCE counts no other times",
			"rekor-url":                              "no log is asked: evidence holds what the log has signed",
			"offline":                                "verifying certificates never uses the network",
			"new-bundle-format":                      answerFormats,
			"experimental-oci11":                     answerFormats,
			"bundle-format":                          answerFormats,
			"check-claims":                           "the digest is always checked",
			"attachment":                             "a signature is of the image; attest what is attached to it",
			"attachment-tag-prefix":                  "tags of evidence are those of the image's digest",
			"max-workers":                            "bounds are set by the library",
			"local-image":                            "write oci:DIRECTORY:TAG in place of the image",
			"allow-http-registry":                    "write --insecure-http HOST[:PORT]; loopback needs none",
			"allow-insecure-registry":                answerTLS,
			"insecure-skip-verify":                   answerTLS,
			"registry-username":                      answerLogin,
			"registry-password":                      answerLogin,
			"registry-token":                         answerLogin,
			"username":                               answerLogin,
			"password":                               "a flag would show it to every process: write --password-file FILE, or set " + passwordVariable,
			"password-stdin":                         "write --password-file FILE, or set " + passwordVariable,
			"k8s-keychain":                           answerLogin,
			"registry-cacert":                        answerSystemTLS,
			"registry-client-cert":                   answerSystemTLS,
			"registry-client-key":                    answerSystemTLS,
			"registry-server-name":                   answerSystemTLS,
			"registry-referrers-mode":                "referrers are written and found in every registry; for older clients write --format both",
			"annotations":                            "write --annotation KEY=VALUE, once for each",
			"key-pair":                               "write --key FILE",
			"output-key-prefix":                      "write --out PREFIX",
			"outfile":                                "write --out FILE",
			"kms":                                    "keys of a key service are made there; plug-ins open them, which --key names by their scheme",
			"tlog-upload":                            answerNoUpload,
			"upload":                                 "the signature is attached to the image; to see it: 'hallmark download signature IMAGE'",
			"no-upload":                              "the attestation is attached to the image; to see it: 'hallmark download attestation IMAGE'",
			"yes":                                    "nothing is asked: leave it out",
			"force":                                  "nothing is asked: leave it out",
			"use-signing-config":                     "write --signing-config FILE",
			"fulcio-url":                             answerServices,
			"fulcio-auth-flow":                       answerToken,
			"oidc-issuer":                            answerServices,
			"oidc-client-id":                         answerServices,
			"oidc-client-secret-file":                answerServices,
			"oidc-redirect-url":                      answerToken,
			"oidc-provider":                          answerToken,
			"oidc-disable-ambient-providers":         answerToken,
			"timestamp-server-url":                   answerServices,
			"timestamp-server-name":                  answerServices,
			"timestamp-client-cacert":                answerServices,
			"timestamp-client-cert":                  answerServices,
			"timestamp-client-key":                   answerServices,
			"rekor-entry-type":                       answerServices,
			"issue-certificate":                      "write --keyless, which makes a key for one signature",
			"sk":                                     answerToken11,
			"slot":                                   answerToken11,
			"output-signature":                       answerBundle,
			"output-certificate":                     answerBundle,
			"output-payload":                         "the payload is part of the evidence: 'hallmark download signature IMAGE'",
			"output-attestation":                     "the attestation is attached to the image: 'hallmark download attestation IMAGE'",
			"output-file":                            "messages go to stderr, and results to stdout",
			"rfc3161-timestamp":                      answerBundle,
			"rfc3161-timestamp-bundle":               answerBundle,
			"rekor-response":                         answerBundle,
			"tsr":                                    answerBundle,
			"b64":                                    answerBundle,
			"payload":                                "the payload is read from the evidence",
			"record-creation-timestamp":              "no time is written that is not signed",
			"sign-container-identity":                "the name that is signed is the repository's",
			"signing-algorithm":                      "the key decides: 'hallmark keygen --algorithm ed25519'",
			"signature-digest-algorithm":             "the key decides: 'hallmark keygen --algorithm ed25519'",
			"statement":                              "name the predicate and its type: --predicate FILE --type TYPE",
			"hash":                                   answerSize,
			"digest":                                 "name the file by its digest in its place: sha256:HEX",
			"digestAlg":                              "files are named by sha256:HEX",
			"artifact":                               answerBundle,
			"attestation":                            answerAttach,
			"sbom":                                   answerAttach,
			"input-format":                           answerAttach,
			"file":                                   answerAttach,
			"files":                                  answerAttach,
			"ct":                                     answerAttach,
			"predicate-type":                         "write --type TYPE",
			"base-image-only":                        "name the base image, and verify it",
			"only":                                   "write --evidence-only for the evidence, or --no-evidence for the image",
			"sig-only":                               "write --evidence-only",
			"json":                                   "write -o json",
			"staging":                                answerFetch,
			"mirror":                                 answerFetch,
			"root":                                   answerFetch,
			"root-checksum":                          answerFetch,
			"show-descriptions":                      "the only variable is " + passwordVariable,
			"show-sensitive-values":                  "the only variable is " + passwordVariable,
			"base-config":                            answerServices,
			"rekor-config":                           answerServices,
			"tsa-config":                             answerServices,
			"with-default-rekor-v2":                  answerServices,
			"with-default-services":                  answerServices,
			"no-default-ctfe":                        answerCreate,
			"no-default-fulcio":                      answerCreate,
			"no-default-oidc":                        answerCreate,
			"no-default-rekor":                       answerCreate,
			"no-default-tsa":                         answerCreate,
			"ctfe":                                   answerCreate,
			"fulcio":                                 answerCreate,
			"rekor":                                  answerCreate,
			"tsa":                                    answerCreate,
		},
		ofNotation: {
			"signature-format":  "write --format bundle, sig or both",
			"insecure-registry": answerTLS,
			"plain-http":        "write --insecure-http HOST[:PORT]; loopback needs none",
			"user-metadata":     "write --annotation KEY=VALUE, once for each",
			"oci-layout":        "write oci:DIRECTORY:TAG in place of the image",
			"scope":             "images and their signers are named in a policy: 'hallmark policy check FILE'",
		},
		ofSkopeo: {
			"tls-verify":        answerTLS,
			"src-tls-verify":    answerTLS,
			"dest-tls-verify":   answerTLS,
			"authfile":          answerLogin,
			"src-authfile":      answerLogin,
			"dest-authfile":     answerLogin,
			"creds":             answerLogin,
			"src-creds":         answerLogin,
			"dest-creds":        answerLogin,
			"all":               "everything that an index lists is copied",
			"raw":               "write -o json",
			"preserve-digests":  "digests are always preserved",
			"remove-signatures": "write --no-evidence",
			"multi-arch":        "everything that an index lists is copied, or one --platform",
		},
		ofCrane: {
			"insecure": answerTLS,
		},
	}
})

// foreign explains a flag of another program, one of another command, or a mistyped one.
func foreign(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError("%w", err)
	}
	name := unknown.GetSpecifiedName()
	for _, program := range []string{ofCosign, ofNotation, ofSkopeo, ofCrane} {
		if answer := foreignFlags()[program][name]; answer != "" {
			return usageError("--%s is a flag of %s: %s", name, program, answer)
		}
	}
	var own []string
	add := func(f *pflag.Flag) { own = append(own, f.Name) }
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	if near := nearest(name, own); near != "" && len(name) > 1 {
		return usageError("%w; did you mean --%s", err, near)
	}
	if others := havingFlag(cmd.Root(), name); len(others) > 0 && len(name) > 1 {
		return usageError("%w; it is a flag of %s", err, strings.Join(others, ", "))
	}
	return usageError("%w", err)
}

// havingFlag lists the commands that have a flag.
func havingFlag(cmd *cobra.Command, name string) (names []string) {
	if cmd.Flags().Lookup(name) != nil {
		names = append(names, cmd.CommandPath())
	}
	for _, c := range cmd.Commands() {
		names = slices.Concat(names, havingFlag(c, name))
	}
	return names[:min(len(names), 3)]
}
