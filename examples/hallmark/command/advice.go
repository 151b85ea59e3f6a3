package command

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/built"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policytest"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// A hint tells the user what to do next, in one sentence. A command of this program
// ends it after ": ", or stands in single quotes; tests run each. Words in
// capitals are filled in by fill, or stay for the user to fill in.
//
//	HOST    the registry that an error is about
//	IMAGE   the image that was judged
//	POLICY  the policy that it was judged by
//	FILE    a file that only the user knows
const hintLabel = "hint: "

const onlyRegular = "name a regular file; pipes, devices and directories are not read: ls -l FILE"

// errorAdvice has a hint for each kind of error. The first entry that errors.Is finds
// counts, so causes stand above the errors that wrap them.
var errorAdvice = []struct {
	err  error
	next string
}{
	{errNotDone, "take those images again: hallmark verify --key FILE --images-from FILE"},
	{context.Canceled, "it was interrupted; see what is attached by now: hallmark inspect IMAGE"},
	{context.DeadlineExceeded, "raise --timeout; see whether the registry answers: hallmark inspect --timeout 30m IMAGE"},

	{errKeySource, "put the key into a variable or file, and name it: hallmark sign --key env://NAME IMAGE"},
	{errNoPassword, "set " + passwordVariable + ", or put the password into a file: hallmark sign --password-file FILE --key FILE IMAGE"},
	{sign.ErrPassword, "check the password in " + passwordVariable + " or --password-file; for a key without one: hallmark keygen --insecure-empty-password"},
	{sign.ErrPermissions, "let only its owner read the private key: chmod 600 FILE"},
	{registry.ErrNotConfirmed, "rely on nothing that was written; see what is there, and run the same command again: hallmark inspect IMAGE"},
	{errNoRoot, "get it, and name it with --trusted-root: hallmark trusted-root fetch --help"},
	{errNoTUF, "use the program hallmark-full, or a root whose digest you know: hallmark trusted-root fetch --from URL --sha256 HEX --out FILE"},
	{errOtherSum, "do not use what was fetched; ask the instance's operator for the digest of its root, and give it: hallmark trusted-root fetch --from URL --sha256 HEX --out FILE"},
	{errNoPlugin, "link the plug-in in a program of your own: go doc github.com/hallmark-oci/hallmark/examples/hallmark/command.Plugins"},
	{policytest.ErrNoCases, "write a case, or record one: hallmark policy record --policy FILE --name NAME IMAGE"},
	{policytest.ErrPolicy, "see what is wrong with the policy of the case: hallmark policy check FILE"},
	{policytest.ErrInvalid, "mend the case file by the schema of: hallmark policy schema --of test"},
	{policy.ErrInvalid, "check its path and mend it: hallmark policy check FILE"},
	{sigstore.ErrInvalid, "check that the file is a trust root, or get one: hallmark trusted-root fetch --help"},
	{keyless.ErrIdentity, "name the file with your token, or log in with --device: hallmark sign --keyless --identity-token FILE --signing-config FILE --trusted-root FILE IMAGE"},
	{keyless.ErrFormat, "write a bundle, and leave --format out: hallmark sign --keyless --signing-config FILE --trusted-root FILE IMAGE"},
	{keyless.ErrConfig, "check that --signing-config and --trusted-root are current, and of one instance: hallmark trusted-root check FILE"},
	{keyless.ErrUntrusted, "nothing was signed: check that --signing-config and --trusted-root are of one instance: hallmark trusted-root show FILE"},
	{keyless.ErrService, "nothing was signed; see what is asked, and try again: hallmark sign --verbose --keyless --signing-config FILE --trusted-root FILE IMAGE"},
	{sign.ErrSigner, "check that the private key is what you expect: hallmark public-key --key FILE"},
	{predicate.ErrInvalid, "check that --type is what the file holds; the types are listed by: hallmark attest --help"},
	{scan.ErrTooLarge, "leave out what no reader needs, or attest it in parts: hallmark attest --key FILE --type vulns --predicate FILE IMAGE"},
	{scan.ErrVersion, "use a known version of the scanner, or convert its output to SARIF: hallmark scan-report --format sarif FILE"},
	{scan.ErrInvalid, "check that the file is the scanner's JSON; flags add what it lacks: hallmark scan-report --help"},
	{attest.ErrTooLarge, "leave out what no reader needs, or attest it in parts: hallmark attest --key FILE --type TYPE --predicate FILE IMAGE"},
	{provenance.ErrEnvironment, "name the build system with --system, and check the variables that it sets: hallmark provenance --help"},
	{provenance.ErrTreeChanged, "a build must not change its source's commit or remote; find out what the command does to .git: git status"},
	{provenance.ErrCommand, "run the command by itself to see why it fails; what else is recorded: hallmark provenance --help"},
	{built.ErrNoDigest, "name what the build wrote with digests and repositories, such as the metadata file of buildx: hallmark sign --key FILE --images-from FILE"},
	{built.ErrConflict, "build again into a new file, and take the images from it: hallmark sign --key FILE --images-from FILE"},
	{built.ErrFormat, "see what is read: " + adviceOnLists},
	{errArchive, "copy it to a layout, and copy it back at the end: hallmark copy oci-archive:FILE:TAG oci:DIRECTORY:TAG"},
	{layout.ErrArchive, "write an archive with: hallmark copy SOURCE oci-archive:FILE:TAG"},
	{errNothing, "see what is attached: hallmark inspect IMAGE"},

	{registry.ErrUnauthorized, "log in: docker login HOST"},
	{registry.ErrDenied, "ask for access to the repository, or log in as another user: docker login HOST"},
	{registry.ErrImmutable, "exempt the tags sha256-* from the registry's rule for immutable tags, or keep evidence elsewhere: hallmark sign --evidence-repository REPOSITORY --key FILE IMAGE"},
	{registry.ErrNoBundles, "write the formats of cosign's tags, sig or att: hallmark sign --format sig --key FILE IMAGE"},
	{registry.ErrRateLimited, "wait, or log in for a higher limit: docker login HOST"},
	{registry.ErrInsecure, "if plain HTTP to this host is acceptable: hallmark inspect --insecure-http HOST IMAGE"},
	{registry.ErrReference, "write registry/repository:tag, registry/repository@sha256:... or oci:DIRECTORY[:tag]: hallmark inspect IMAGE"},
	{registry.ErrNotFound, "check the spelling of the repository and tag, or of the directory; a registry may hide what you may not see: docker login HOST"},
	{registry.ErrUnavailable, "check that the registry can be reached, and see what is asked: hallmark inspect --verbose IMAGE"},
	{registry.ErrStalled, "check that the registry can be reached, and see what is asked: hallmark inspect --verbose IMAGE"},
	{registry.ErrConflict, "another client may be writing: see what is there, and run the same command again: hallmark inspect IMAGE"},
	{registry.ErrTooMany, "remove what does not belong to the image; see what is attached: hallmark inspect IMAGE"},
	{registry.ErrTooLarge, "remove what does not belong to the image; see what is attached: hallmark inspect IMAGE"},
	{registry.ErrDigestMismatch, "do not use it: it was damaged or changed; restore it from its source: hallmark copy SOURCE DESTINATION"},
	{registry.ErrMalformed, "do not use it; restore it from its source: hallmark copy SOURCE DESTINATION"},
	{registry.ErrUnsupported, "convert the image to OCI, with sha256 digests: skopeo copy --format oci docker://IMAGE docker://IMAGE"},

	{errNotRegular, onlyRegular},
	{fs.ErrInvalid, onlyRegular},
	{fs.ErrExist, "nothing is overwritten; choose another name, or move the file away: ls -l FILE"},
	{fs.ErrNotExist, "check the path, and the directory that it starts from: ls -l FILE"},
	{fs.ErrPermission, "check who may read and write the file: ls -l FILE"},
	{sign.ErrKey, "make a pair of keys with: hallmark keygen"},
}

// reasonAdvice has a hint for each reason to deny an image.
var reasonAdvice = map[verify.Reason]string{
	verify.ReasonNoSignature:          "sign it, or copy it with its signatures from where it was signed: hallmark sign --key FILE IMAGE",
	verify.ReasonNoTrustedSignature:   "see who signed it, and trust only keys and identities that their owners gave you: hallmark inspect IMAGE",
	verify.ReasonThreshold:            "have the owners of the other keys sign it too: hallmark sign --key FILE IMAGE",
	verify.ReasonTooMuchEvidence:      "remove what does not belong to the image; see what is attached: hallmark inspect IMAGE",
	verify.ReasonNotExempt:            "list its digest in the exemption as well, or have it meet the requirement: hallmark policy explain POLICY IMAGE",
	verify.ReasonNotListed:            "verify the digest that the index lists: hallmark inspect IMAGE",
	verify.ReasonNoRule:               "add a rule for the repository to the policy, and check it: hallmark policy check POLICY",
	verify.ReasonPolicyExpired:        "renew the policy, and check it: hallmark policy check POLICY",
	verify.ReasonPolicyRefused:        "mend the newest policy, which the gate has refused: hallmark policy check POLICY",
	verify.ReasonDeniedByRule:         "use another image; see why the policy denies it: hallmark policy explain POLICY IMAGE",
	verify.ReasonDeniedDigest:         "use another version of the image; see what the policy says: hallmark policy explain POLICY IMAGE",
	verify.ReasonNoAttestation:        "attest it, or copy it with its evidence: hallmark attest --key FILE --type TYPE --predicate FILE IMAGE",
	verify.ReasonPredicate:            "have it attested again: hallmark attest --replace --key FILE --type TYPE --predicate FILE IMAGE",
	verify.ReasonStale:                "have it attested again: hallmark attest --replace --key FILE --type TYPE --predicate FILE IMAGE",
	verify.ReasonFuture:               "set the clock of this machine, and of the one that attested it; see the times: hallmark inspect IMAGE",
	verify.ReasonBuilder:              "build it with a builder that the policy names: hallmark policy explain POLICY IMAGE",
	verify.ReasonSource:               "build it from a source that the policy names: hallmark policy explain POLICY IMAGE",
	verify.ReasonBuildType:            "build it in a way that the policy names: hallmark policy explain POLICY IMAGE",
	verify.ReasonExpression:           "read what the policy wants of it: hallmark policy explain POLICY IMAGE",
	verify.ReasonMember:               "read what the policy wants of it: hallmark policy explain POLICY IMAGE",
	verify.ReasonNotBound:             "have the build sign its provenance by its own identity: hallmark attest --keyless --type slsaprovenance --predicate FILE IMAGE",
	verify.ReasonParameters:           "build it with parameters that the policy allows: hallmark policy explain POLICY IMAGE",
	verify.ReasonVulnerable:           "mend what was found, or accept it in the policy with an end and a reason; see what the policy wants: hallmark policy explain POLICY IMAGE",
	verify.ReasonUnreadScan:           "attest the scan as type vulns: hallmark scan-report --predicate vulns -o json FILE",
	verify.ReasonDeniedPackage:        "build it without the package; see what is in it: hallmark download sbom IMAGE",
	verify.ReasonDeniedLicense:        "build it without the package; see what is in it: hallmark download sbom IMAGE",
	verify.ReasonTests:                "mend the tests, and attest their new result: hallmark attest --replace --key FILE --type test-result --predicate FILE IMAGE",
	verify.ReasonVerifier:             "have it verified by a verifier that the policy names: hallmark policy explain POLICY IMAGE",
	verify.ReasonResource:             "have it verified for this repository; see what the policy wants: hallmark policy explain POLICY IMAGE",
	verify.ReasonVerificationFailed:   "ask the verifier why it failed; read what it says: hallmark download attestation --type vsa --predicate IMAGE",
	verify.ReasonVerifiedPolicy:       "have it verified against a policy that this policy names: hallmark policy explain POLICY IMAGE",
	verify.ReasonLayout:               "have every step recorded by a key that the layout names, and attach its link; see what the policy wants: hallmark policy explain POLICY IMAGE",
	verify.ReasonConfig:               "push the image again, with its config: hallmark copy SOURCE DESTINATION",
	verify.ReasonRoot:                 "give the image a user other than root; see what the policy wants: hallmark policy explain POLICY IMAGE",
	verify.ReasonSecret:               "build the image without the secret, and revoke the secret; see what the policy wants: hallmark policy explain POLICY IMAGE",
	verify.ReasonPort:                 "let the image listen on port 1024 or above; see what the policy wants: hallmark policy explain POLICY IMAGE",
	verify.ReasonCreated:              "build the image again; see what the policy wants: hallmark policy explain POLICY IMAGE",
	verify.ReasonBaseImage:            "build the image on a base that the policy allows, and annotate it: hallmark policy explain POLICY IMAGE",
	verify.ReasonPlatform:             "use an image for an allowed platform: hallmark policy explain POLICY IMAGE",
	verify.ReasonLabels:               "build the image with the labels and annotations that the policy asks for: hallmark policy explain POLICY IMAGE",
	verify.ReasonVersion:              "use a newer version of the image; see what the policy wants: hallmark policy explain POLICY IMAGE",
	verify.ReasonNoTrustedAttestation: "have a key of the role that the policy names attest it; see whose keys have: hallmark inspect IMAGE",
	verify.ReasonNotIndex:             "it is one image, not an index of several: leave --platform out: hallmark verify --key FILE IMAGE",
	verify.ReasonNoPlatform:           "see the platforms that the index lists: hallmark inspect IMAGE",
	verify.ReasonAmbiguousPlatform:    "verify one of them by its digest: hallmark inspect IMAGE",
}

// reasonAdviceOnFile has a hint for each reason to deny a file.
var reasonAdviceOnFile = map[verify.Reason]string{
	verify.ReasonNoSignature:        "give the file's signature with --bundle or --signature: hallmark verify-blob FILE --bundle FILE --key FILE",
	verify.ReasonNoTrustedSignature: "check that the bundle belongs to this very file, and the key or identity to its signer: hallmark verify-blob FILE --bundle FILE --key FILE",
	verify.ReasonThreshold:          "have the owners of the other keys sign it too, and give each bundle: hallmark verify-blob FILE --bundle FILE --bundle FILE --key FILE",
	verify.ReasonTooMuchEvidence:    "give only the bundles of this file: hallmark verify-blob FILE --bundle FILE --key FILE",

	verify.ReasonNoAttestation:        "give the attestation about this very file: hallmark verify-blob FILE --bundle FILE --policy FILE",
	verify.ReasonNoTrustedAttestation: "check that the key, the identity or the role in the policy is that of its signer: hallmark verify-blob FILE --bundle FILE --policy FILE",
}

// adviceWithoutPolicy is the hint for a denial by flags where the advice is to read the
// policy.
const adviceWithoutPolicy = "see what the evidence says: hallmark inspect IMAGE"

// adviceOn is the hint for an error, or empty.
func adviceOn(err error) string {
	if key := (*sign.KeyError)(nil); errors.As(err, &key) && key.Advice != "" {
		return key.Advice
	}
	if next := transportAdvice(err); next != "" {
		return fill(next, "HOST", hostOf(err))
	}
	if next := adviceMissing(err); next != "" {
		return next
	}
	for _, a := range errorAdvice {
		if errors.Is(err, a.err) {
			return fill(a.next, "HOST", hostOf(err))
		}
	}
	return ""
}

// Hints for what the transport says of a registry.
const (
	advicePlainHTTP = "the registry speaks plain HTTP; if that is acceptable: hallmark inspect --insecure-http HOST IMAGE"
	adviceAuthority = "the registry's certificate is not trusted here; add its authority to those of the system, and see what is asked: hallmark inspect --verbose IMAGE"
	adviceName      = "the host is not found; check its spelling, and see what is asked: hallmark inspect --verbose IMAGE"
	adviceProxy     = "the proxy does not answer; check HTTPS_PROXY and NO_PROXY, and see what is asked: hallmark inspect --verbose IMAGE"
)

// adviceNoKey is the hint for a key whose file is not there.
const adviceNoKey = "check the path; for a key that does not exist yet: hallmark keygen"

// adviceNoPlace is the hint for a layout or an archive that is not there.
const adviceNoPlace = "check the path of the directory or archive: ls -l FILE"

// adviceMissing is the hint for a file that is not there, or empty: the table has one.
func adviceMissing(err error) string {
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return ""
	case errors.Is(err, registry.ErrNotFound):
		return adviceNoPlace
	case errors.Is(err, policy.ErrInvalid):
		return ""
	case errors.Is(err, policy.ErrKey), errors.As(err, new(noKeyFile)):
		return adviceNoKey
	}
	return ""
}

// hintForms are one command each, as the commands that may fail write it. A hint names the
// command that has failed.
var hintForms = []map[string]string{
	{
		"sign": "hallmark sign --key FILE --images-from FILE", "attest": "hallmark attest --key FILE --type TYPE --predicate FILE --images-from FILE",
		"verify": "hallmark verify --key FILE --images-from FILE", "inspect": "hallmark inspect --images-from FILE", "copy": "hallmark copy --images-from FILE DESTINATION",
	},
	{
		"sign": "hallmark sign --key env://NAME IMAGE", "attest": "hallmark attest --key env://NAME --type TYPE --predicate FILE IMAGE", "verify": "hallmark verify --key env://NAME IMAGE",
		"inspect": "hallmark inspect --key env://NAME IMAGE", "sign-blob": "hallmark sign-blob --key env://NAME --bundle FILE FILE", "verify-blob": "hallmark verify-blob --key env://NAME --bundle FILE FILE",
		"public-key": "hallmark public-key --key env://NAME", "detach": "hallmark detach --type signature --key env://NAME IMAGE", "import-key-pair": "hallmark import-key-pair --key env://NAME",
	},
	{
		"sign": "hallmark sign --password-file FILE --key FILE IMAGE", "attest": "hallmark attest --password-file FILE --key FILE --type TYPE --predicate FILE IMAGE",
		"keygen": "hallmark keygen --password-file FILE", "sign-blob": "hallmark sign-blob --password-file FILE --key FILE --bundle FILE FILE",
		"public-key": "hallmark public-key --password-file FILE --key FILE", "import-key-pair": "hallmark import-key-pair --password-file FILE --key FILE",
	},
}

// ofCommand puts the command that has failed in place of another in a hint.
func ofCommand(next, command string) string {
	for _, form := range hintForms {
		own, has := form[command]
		if !has {
			continue
		}
		for _, other := range form {
			if before, is := strings.CutSuffix(next, other); is {
				return before + own
			}
		}
	}
	if before, is := strings.CutSuffix(next, adviceOnLists); is {
		return before + "hallmark " + command + " --help"
	}
	return next
}

// adviceOnLists says where the forms of lists are described.
const adviceOnLists = "hallmark sign --help"

// transportAdvice is the hint for an error of the network, or empty.
func transportAdvice(err error) string {
	var (
		record  tls.RecordHeaderError
		trust   *tls.CertificateVerificationError
		name    *net.DNSError
		network *net.OpError
	)
	switch {
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return advicePlainHTTP
	case errors.As(err, &trust):
		return adviceAuthority
	case errors.As(err, &network) && network.Op == "proxyconnect":
		return adviceProxy
	case errors.As(err, &name) && name.IsNotFound:
		return adviceName
	}
	return ""
}

// fill puts a value in place of a word of a hint. A value that a shell would read as more
// than one word stays out, since hints are copied to shells.
func fill(hint, word, value string) string {
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return !plainInShell(r) }) {
		return hint
	}
	return strings.ReplaceAll(hint, word, value)
}

func plainInShell(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@:/._+-,", r)
}

// hostOf is the registry that an error is about, as docker login knows it, or empty: no
// host is guessed.
func hostOf(err error) string {
	host := registry.HostOf(err)
	if host == name.DefaultRegistry {
		return "docker.io"
	}
	return host
}
