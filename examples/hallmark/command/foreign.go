package command

import (
	"errors"

	"github.com/spf13/pflag"
)

// foreignFlags are flags of cosign that this program does not have, each with what does
// the same here. A test compares them with the table in cosign.md.
var foreignFlags = map[string]string{
	"certificate-identity-regexp":            "there are no regular expressions: in the URI of --certificate-identity, * stands for one whole segment and ** for any number, as in https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*",
	"certificate-oidc-issuer-regexp":         "there are no regular expressions: --certificate-oidc-issuer names the issuer exactly",
	"certificate-github-workflow-repository": "write --certificate-claim sourceRepository=https://github.com/OWNER/REPOSITORY",
	"certificate-github-workflow-ref":        "write --certificate-claim sourceRef=refs/heads/main",
	"certificate-github-workflow-sha":        "write --certificate-claim sourceDigest=COMMIT",
	"certificate-github-workflow-trigger":    "write --certificate-claim buildTrigger=push",
	"certificate-github-workflow-name":       "a name can be changed by the workflow: name its file with --certificate-claim buildConfig=https://github.com/OWNER/REPOSITORY/.github/workflows/FILE@REF",
	"certificate":                            "the certificate is read from the evidence; a bundle of a file holds it: --bundle",
	"cert":                                   "the certificate is read from the evidence; a bundle of a file holds it: --bundle",
	"certificate-chain":                      "authorities come from --trusted-root; make one of certificates with 'hallmark trusted-root create --help'",
	"ca-roots":                               "authorities come from --trusted-root; make one of certificates with 'hallmark trusted-root create --help'",
	"ca-intermediates":                       "authorities come from --trusted-root; make one of certificates with 'hallmark trusted-root create --help'",
	"timestamp-certificate-chain":            "authorities come from --trusted-root; make one of certificates with 'hallmark trusted-root create --help'",
	"sct":                                    "the certificate holds it",
	"insecure-ignore-sct":                    "keys need none; for a private instance without a log of certificates, write --without-ct INSTANCE",
	"insecure-ignore-tlog":                   "keys need none; for a private instance without a transparency log, write --without-logs INSTANCE",
	"private-infrastructure":                 "keys need no log; for a private instance without a transparency log, write --without-logs INSTANCE",
	"use-signed-timestamps":                  "timestamps are always read; --require-timestamps INSTANCE counts no other times",
	"rekor-url":                              "no log is asked: evidence holds what the log has signed",
	"offline":                                "verifying certificates never uses the network",
	"new-bundle-format":                      "every format is read at once",
	"experimental-oci11":                     "every format is read at once",
	"bundle-format":                          "every format is read at once",
	"check-claims":                           "the digest is always checked",
	"attachment":                             "a signature is of the image; attest what is attached to it",
	"max-workers":                            "bounds are set by the library",
	"local-image":                            "write oci:DIRECTORY:TAG in place of the image",
	"allow-http-registry":                    "write --insecure-http HOST[:PORT]; loopback needs none",
	"allow-insecure-registry":                "certificates of registries are always checked; for plain HTTP write --insecure-http HOST[:PORT]",
	"registry-username":                      "log in with docker login or podman login",
	"registry-password":                      "log in with docker login or podman login",
	"registry-token":                         "log in with docker login or podman login",
}

// foreign explains a flag of another program.
func foreign(err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if answer := foreignFlags[unknown.GetSpecifiedName()]; answer != "" {
			return usageError("--%s is a flag of cosign: %s", unknown.GetSpecifiedName(), answer)
		}
	}
	return usageError("%w", err)
}
