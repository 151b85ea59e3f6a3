package command

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const onlyRegular = "name a regular file; pipes, devices and directories are not read"

// errorAdvice says what a person can do about an error. The first entry that
// errors.Is finds counts, so that causes stand before what wraps them.
var errorAdvice = []struct {
	err  error
	next string
}{
	{context.Canceled, "it was interrupted; run it again"},
	{context.DeadlineExceeded, "raise --timeout, or look whether the registry answers"},

	{errNoPassword, "set " + passwordVariable + ", name a file with --password-file, or run it on a terminal"},
	{sign.ErrPassword, "check the password in " + passwordVariable + " or --password-file; an empty one needs keygen --insecure-empty-password"},
	{sign.ErrPermissions, "run chmod 600 on the private key"},
	{registry.ErrNotConfirmed, "nothing may rest on it yet: run the same command again; what is there already is kept"},
	{errNoPlugin, "run the same command with " + fullProgram + " in place of hallmark"},
	{policy.ErrInvalid, "of a file, see 'hallmark policy check'; of --key, give each public key once, and a --threshold of at most their number"},
	{sign.ErrSigner, "check the private key"},
	{predicate.ErrInvalid, "check that --type is what the file holds; 'hallmark attest --help' lists the types"},
	{scan.ErrTooLarge, "leave out what no reader needs, or attest it in parts"},
	{scan.ErrVersion, "use a version of the scanner that is known, or turn its output into SARIF"},
	{scan.ErrInvalid, "check that the file is the scanner's JSON; --scanned-on, --db-uri and --db-updated give what it does not say"},
	{attest.ErrTooLarge, "leave out what no reader needs, or attest it in parts"},
	{provenance.ErrEnvironment, "name the build system with --system, and check the variables that it sets"},
	{provenance.ErrTreeChanged, "look at what the command does to .git; a build must not rewrite where its source comes from"},
	{provenance.ErrCommand, "run the command by itself to see why it fails"},
	{errNothing, "'hallmark inspect' shows what is attached"},

	{registry.ErrUnauthorized, "log in with: docker login HOST"},
	{registry.ErrDenied, "ask for access to the repository, or log in as somebody else with: docker login HOST"},
	{registry.ErrRateLimited, "wait, or log in for a higher limit with: docker login HOST"},
	{registry.ErrInsecure, "if plain HTTP to this host is acceptable, say so with --insecure-http HOST"},
	{registry.ErrReference, "write registry/repository:tag, registry/repository@sha256:..., or oci:DIRECTORY[:tag]"},
	{registry.ErrNotFound, "check the spelling of the repository and tag, or of the directory; a registry also hides what one may not see"},
	{registry.ErrUnavailable, "look whether the registry can be reached, and try again"},
	{registry.ErrStalled, "look whether the registry can be reached, and try again"},
	{registry.ErrConflict, "somebody else was writing: run the same command again"},
	{registry.ErrTooMany, "remove what does not belong there; the limits hold against floods"},
	{registry.ErrTooLarge, "remove what does not belong there; the limits hold against floods"},
	{registry.ErrDigestMismatch, "do not use it: it was damaged or changed; restore it from where it came"},
	{registry.ErrMalformed, "do not use it: push it again from where it came"},
	{registry.ErrUnsupported, "convert the image to OCI or Docker schema 2, with sha256 digests"},

	{errNotRegular, onlyRegular},
	{fs.ErrInvalid, onlyRegular},
	{fs.ErrExist, "nothing is overwritten: choose another name, or move it away"},
	{fs.ErrNotExist, "check the path; if it is a key that is missing, 'hallmark keygen' makes a pair"},
	{fs.ErrPermission, "check who may read and write it"},
	{sign.ErrKey, "give the other file of the pair, or make a pair with 'hallmark keygen': sign takes the .key, verify the .pub"},
}

// reasonAdvice says what a person can do about a denial.
var reasonAdvice = map[verify.Reason]string{
	verify.ReasonNoSignature:          "sign it with 'hallmark sign', or if it was copied, copy its signatures too with 'hallmark copy'",
	verify.ReasonNoTrustedSignature:   "see who signed it with 'hallmark inspect'; give that key with --key only if you have it from its owner",
	verify.ReasonThreshold:            "have the owners of the other keys sign it too",
	verify.ReasonTooMuchEvidence:      "remove what does not belong to the image; 'hallmark inspect' shows it",
	verify.ReasonNotListed:            "verify the digest that the index lists",
	verify.ReasonNoRule:               "add a rule for the repository to the policy, or use an image of another one",
	verify.ReasonPolicyExpired:        "renew the policy",
	verify.ReasonDeniedByRule:         "use another image; the policy says why",
	verify.ReasonDeniedDigest:         "use another version of the image; the policy says why",
	verify.ReasonNoAttestation:        "have the attestation made with 'hallmark attest', or if the image was copied, copy its evidence too",
	verify.ReasonPredicate:            "have the attestation made again",
	verify.ReasonStale:                "have the attestation made again",
	verify.ReasonFuture:               "set the clocks, here and where it was made",
	verify.ReasonBuilder:              "build it with a builder that the policy names",
	verify.ReasonSource:               "build it from the source that the policy names",
	verify.ReasonBuildType:            "build it in a way that the policy allows",
	verify.ReasonParameters:           "build it with the parameters that the policy allows",
	verify.ReasonVulnerable:           "mend what was found, or accept it in the policy, with an end and a reason",
	verify.ReasonUnreadScan:           "attest the scan as type vulns, with 'hallmark scan-report --predicate vulns'",
	verify.ReasonDeniedPackage:        "build it without the package",
	verify.ReasonDeniedLicense:        "build it without the package",
	verify.ReasonTests:                "mend the tests, and have their result attested again",
	verify.ReasonVerifier:             "have it verified by a verifier that the policy names",
	verify.ReasonResource:             "have it verified for this repository",
	verify.ReasonVerificationFailed:   "ask its verifier why",
	verify.ReasonVerifiedPolicy:       "have it verified against the policy that is asked for",
	verify.ReasonLayout:               "have the steps recorded by those whom the layout names, and their links attached",
	verify.ReasonConfig:               "push the image again, with its config",
	verify.ReasonRoot:                 "give the image another user than root",
	verify.ReasonSecret:               "build the image without the secret, and revoke it",
	verify.ReasonPort:                 "let the image listen on a port from 1024",
	verify.ReasonCreated:              "build the image anew",
	verify.ReasonBaseImage:            "build the image on a base that the policy allows, and annotate it",
	verify.ReasonPlatform:             "use an image for an allowed platform",
	verify.ReasonLabels:               "build the image with the labels and annotations that the policy asks for",
	verify.ReasonVersion:              "use a newer version of the image",
	verify.ReasonNoTrustedAttestation: "have the role that the policy names attest it; 'hallmark inspect' shows who has",
	verify.ReasonNotIndex:             "leave --platform out: it is one image, not an index of several",
	verify.ReasonNoPlatform:           "'hallmark inspect' shows the platforms that there are",
	verify.ReasonAmbiguousPlatform:    "verify one of them by its digest",
}

// reasonAdviceOnFile is the same for files.
var reasonAdviceOnFile = map[verify.Reason]string{
	verify.ReasonNoSignature:        "give the file's signature with --bundle",
	verify.ReasonNoTrustedSignature: "check that the bundle belongs to this very file, and the --key to who signed it",
	verify.ReasonThreshold:          "have the owners of the other keys sign it too, and give each bundle with --bundle",
	verify.ReasonTooMuchEvidence:    "give only the bundles of this file",
}

// adviceOn says what to do about an error; empty where nobody can say.
func adviceOn(err error) string {
	for _, a := range errorAdvice {
		if errors.Is(err, a.err) {
			return strings.ReplaceAll(a.next, "HOST", hostOf(err))
		}
	}
	return ""
}

// hostOf finds the registry that an error of the store is about.
func hostOf(err error) string {
	var e *registry.Error
	if errors.As(err, &e) {
		if ref, err := name.ParseReference(e.Ref); err == nil {
			return ref.Context().RegistryStr()
		}
	}
	return "HOST"
}
