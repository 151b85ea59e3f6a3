package command

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

// The vectors of sigstore-conformance, which certificates of the public instance signed.
const (
	vectors        = "../../../internal/dev/conformance/testdata/bundle-verify"
	publicGoodRoot = "../../../internal/dev/conformance/testdata/roots/public-good.json"
	gitHubRoot     = "../../../internal/dev/conformance/testdata/roots/github.json"

	beaconIssuer = "https://token.actions.githubusercontent.com"
	beaconSource = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon"
	beacon       = beaconSource + "/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)

// asked are the arguments that verify the file of the vectors.
func asked(vector string, more ...string) []string {
	return append([]string{"verify-blob", filepath.Join(vectors, "a.txt"), "--bundle", filepath.Join(vectors, vector, "bundle.sigstore.json")}, more...)
}

// byBeacon are the flags that trust the signer of the vectors. Those of more go before
// flags of the same name.
func byBeacon(more ...string) []string {
	for _, pair := range [][2]string{{"--trusted-root", publicGoodRoot}, {"--certificate-oidc-issuer", beaconIssuer}, {"--certificate-identity", beacon}} {
		if !slices.Contains(more, pair[0]) {
			more = append(more, pair[0], pair[1])
		}
	}
	return more
}

// rooted are the flags of byBeacon with the vector's own trust root, if it has one.
func rooted(vector string) []string {
	if root := filepath.Join(vectors, vector, "trusted_root.json"); fileExists(root) {
		return byBeacon("--trusted-root", root)
	}
	return byBeacon()
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestVerifyBlob_ByCertificate(t *testing.T) {
	for _, vector := range []string{"happy-path-v0.1", "happy-path-v0.3", "rekor2-happy-path"} {
		newCLI(t).must(asked(vector, rooted(vector)...)...).prints("verified", "by "+beacon)
	}
	newCLI(t).must(asked("happy-path-v0.3", byBeacon("--explain")...)...).prints("vouched for by "+beaconIssuer, "source "+beaconSource, "signed by 20")
	var reports []verify.Report
	newCLI(t).must(asked("happy-path-v0.3", byBeacon("-o", "json")...)...).decode(&reports)
	if k := reports[0].Keys; len(k) != 1 || k[0].SeenAt.IsZero() || k[0].Claims["sourceRepository"] != beaconSource {
		t.Errorf("%+v", k)
	}
	for label, args := range map[string][]string{
		"of a whole segment": {"--certificate-identity", strings.Replace(beacon, "main", "*", 1)},
		"named instance":     {"--instance", "public-good"},
		"claims":             {"--certificate-claim", "sourceRepository=" + beaconSource, "--certificate-claim", "sourceRef=refs/heads/*"},
		"stated type":        {"--certificate-identity-type", "uri"},
		"one of two":         {"--certificate-identity", "https://github.com/acme/app/x.yml@refs/heads/main", "--certificate-identity", beacon},
	} {
		t.Log(label)
		newCLI(t).must(asked("happy-path-v0.3", byBeacon(args...)...)...)
	}
}

func TestVerifyBlob_ByCertificateDenied(t *testing.T) {
	for label, args := range map[string][]string{
		"another identity":   {"--certificate-identity", strings.Replace(beacon, "main", "dev", 1)},
		"another issuer":     {"--certificate-oidc-issuer", "https://accounts.example"},
		"another type":       {"--certificate-identity-type", "username"},
		"another repository": {"--certificate-claim", "sourceRepository=https://github.com/acme/app"},
		"a claim it lacks":   {"--certificate-claim", "deploymentEnvironment=production"},
		"part of a segment":  {"--certificate-identity", beacon[:len(beacon)-1]},
	} {
		newCLI(t).run(asked("happy-path-v0.3", byBeacon(args...)...)...).exits(exitDenied).prints("denied")
		t.Log(label)
	}
	for _, vector := range []string{"signature-mismatch_fail", "invalid-ct-key_fail", "integrated-time-in-future_fail"} {
		newCLI(t).run(asked(vector, rooted(vector)...)...).exits(exitDenied)
	}
	newCLI(t).run(asked("happy-path-v0.3", "--trusted-root", "github="+gitHubRoot, "--instance", "github", "--certificate-oidc-issuer", beaconIssuer, "--certificate-identity", beacon)...).exits(exitDenied)
}

// One certificate is one signer, by however many identities it is recognised.
func TestAttack_T13_OneCertificateMeetsTwoIdentities(t *testing.T) {
	both := byBeacon("--certificate-identity", beacon, "--certificate-identity", strings.Replace(beacon, "main", "*", 1))
	newCLI(t).must(asked("happy-path-v0.3", both...)...)
	newCLI(t).run(asked("happy-path-v0.3", append(both, "--threshold", "2")...)...).exits(exitDenied)
	twice := append(asked("happy-path-v0.3", both...), "--threshold", "2", "--bundle", filepath.Join(vectors, "happy-path-v0.1", "bundle.sigstore.json"))
	newCLI(t).run(twice...).exits(exitDenied)
	for label, identity := range map[string]string{
		"another case": strings.Replace(beacon, "sigstore", "Sigstore", 1), "a slash at the end": beacon + "/", "escaped": strings.Replace(beacon, "main", "%6dain", 1),
		"another host": strings.Replace(beacon, "github.com", "github.com.", 1), "a soft hyphen": strings.Replace(beacon, "main", "ma\u00adin", 1), "a blank": beacon + " ",
	} {
		t.Log(label)
		newCLI(t).run(asked("happy-path-v0.3", byBeacon("--certificate-identity", identity)...)...).exits(exitDenied)
	}
}

// K1, K3, K4, K22, K23, K29, by flags.
func TestAttack_T13_FlagsThatTrustTooMuch(t *testing.T) {
	for label, c := range map[string]struct {
		args []string
		says string
	}{
		"no issuer":                {[]string{"--trusted-root", publicGoodRoot, "--certificate-identity", beacon}, "--certificate-oidc-issuer is missing"},
		"no identity":              {[]string{"--trusted-root", publicGoodRoot, "--certificate-oidc-issuer", beaconIssuer}, "--certificate-identity is missing"},
		"claims alone":             {[]string{"--trusted-root", publicGoodRoot, "--certificate-claim", "sourceRepository=**"}, "--certificate-identity is missing"},
		"no root":                  {[]string{"--certificate-identity", beacon, "--certificate-oidc-issuer", beaconIssuer}, "hint: get it, and name it with --trusted-root"},
		"any workflow at any ref":  {byBeacon("--certificate-identity", "https://github.com/acme/**@**"), `want "https://github.com/acme/**@refs/heads/main" or "https://github.com/acme/**@refs/tags/*"`},
		"any owner":                {byBeacon("--certificate-identity", "https://github.com/**"), "belongs to anyone"},
		"any email":                {byBeacon("--certificate-identity", "*@acme.example"), "compared exactly"},
		"any issuer":               {byBeacon("--certificate-oidc-issuer", "https://*"), "issuer"},
		"two @":                    {byBeacon("--certificate-identity", beacon+"@x"), "more than one @"},
		"unknown claim":            {byBeacon("--certificate-claim", "source=x"), "source"},
		"claim that is a setting":  {byBeacon("--certificate-claim", "issuer=x"), "each NAME once"},
		"claim twice":              {byBeacon("--certificate-claim", "runner=a", "--certificate-claim", "runner=b"), "each NAME once"},
		"empty claim":              {byBeacon("--certificate-claim", "runner="), "runner"},
		"unknown instance":         {byBeacon("--without-ct", "absent"), "absent"},
		"two issuers":              {byBeacon("--certificate-oidc-issuer", beaconIssuer, "--certificate-oidc-issuer", "https://accounts.example"), "the one issuer"},
		"an identity twice":        {byBeacon("--certificate-identity", beacon, "--certificate-identity", beacon), "same identity"},
		"more than there are":      {byBeacon("--threshold", "2"), "threshold"},
		"GitHub's root, strict":    {[]string{"--trusted-root", gitHubRoot, "--certificate-identity", beacon, "--certificate-oidc-issuer", beaconIssuer}, "transparency logs"},
		"another instance's":       {byBeacon("--instance", "github"), "fulcio.githubapp.com"},
		"a root that is not there": {byBeacon("--trusted-root", "x=none.json"), "none.json"},
		"a root twice":             {byBeacon("--trusted-root", publicGoodRoot, "--trusted-root", gitHubRoot), "one file"},
		"a policy, too":            {byBeacon("--policy", "p.yaml"), "decides alone"},
	} {
		o := newCLI(t).run(asked("happy-path-v0.3", c.args...)...)
		if o.exits(exitUndecided); !strings.Contains(o.stderr, c.says) {
			t.Errorf("%s: %s", label, o.stderr)
		}
	}
}

func TestVerifyBlob_ByIdentitiesOfAPolicy(t *testing.T) {
	root, err := os.ReadFile(publicGoodRoot)
	must(t, err)
	sum := sha256.Sum256(root)
	write := func(pin string) string {
		return writeFile(t, filepath.Join(t.TempDir(), "policy.yaml"), []byte(`version: 1
identities:
  beacon:
    authority: sigstore
    settings: {issuer: `+beaconIssuer+`, uri: `+beacon+`, instance: public-good, root: "`+pin+`"}
roles: {release: {identities: [beacon]}}
files: [{signature: {by: release}}]
rules:
  - images: [registry.example/**]
    require: [{signature: {by: release}}]
`))
	}
	good, named := write(hex.EncodeToString(sum[:])), []string{"--trusted-root", "public-good=" + publicGoodRoot, "--trusted-root", "github=" + gitHubRoot}
	newCLI(t).must(asked("happy-path-v0.3", append(named, "--policy", good)...)...).prints("verified", beacon)
	newCLI(t).run(asked("signature-mismatch_fail", append(named, "--policy", good)...)...).exits(exitDenied)
	newCLI(t).must(append([]string{"policy", "check", good}, named...)...).prints("good")
	newCLI(t).must(append([]string{"policy", "explain", good, "registry.example/app"}, named...)...)
	for _, args := range [][]string{{"policy", "check", good}, {"verify", "--policy", good, "registry.example/app"}, asked("happy-path-v0.3", "--policy", good)} {
		newCLI(t).run(args...).exits(exitUndecided).says("line ", "--trusted-root", "hint: get it")
	}
	newCLI(t).run(append([]string{"policy", "check", write(strings.Repeat("0", 64))}, named...)...).exits(exitUndecided).says("SHA-256")
	newCLI(t).run("policy", "check", good, "--trusted-root", publicGoodRoot).exits(exitUndecided).says("instance")
}

func TestVerifyBlob_ByARootOfThePolicy(t *testing.T) {
	root, err := os.ReadFile(publicGoodRoot)
	must(t, err)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "root.json"), root)
	write := func(pin string) string {
		return writeFile(t, filepath.Join(dir, "policy.yaml"), []byte(`version: 1
identities:
  beacon:
    authority: sigstore
    settings: {issuer: `+beaconIssuer+`, uri: `+beacon+`, rootFile: root.json, root: "`+pin+`"}
roles: {release: {identities: [beacon]}}
files: [{signature: {by: release}}]
rules: [{images: ["**"], require: [{signature: {by: release}}]}]
`))
	}
	good := write(sumOf(root))
	newCLI(t).must(asked("happy-path-v0.3", "--policy", good)...).prints("verified", beacon)
	newCLI(t).must("policy", "check", good)
	newCLI(t).must(asked("happy-path-v0.3", "--policy", good, "--trusted-root", gitHubRoot, "--without-logs", "default", "--without-ct", "default")...)
	newCLI(t).run("policy", "check", write(strings.Repeat("0", 64))).exits(exitUndecided).says("SHA-256")
}

func TestFlagsOfCosignAreAnswered(t *testing.T) {
	for flag, want := range map[string]string{
		"--certificate-identity-regexp":            "* stands for one whole segment",
		"--certificate-oidc-issuer-regexp":         "exactly",
		"--certificate-github-workflow-repository": "--certificate-claim sourceRepository=",
		"--insecure-ignore-tlog":                   "--without-logs",
		"--offline":                                "never uses the network",
	} {
		for _, command := range []string{"verify", "verify-blob"} {
			newCLI(t).run(command, flag, "x").exits(exitUndecided).says(flag+" is a flag of cosign", want)
		}
	}
	newCLI(t).run("verify", "--bogus").exits(exitUndecided).says("unknown flag: --bogus")
}

// Statements about files that are not signatures, which verify-blob does not count.
var statementsOfTheSuite = []string{"happy-path-intoto-in-dsse-v3", "intoto-with-custom-trust-root", "rekor2-dsse-happy-path"}

func TestVectorsOfTheSuiteAreJudgedAsItSays(t *testing.T) {
	all, err := filepath.Glob(filepath.Join(vectors, "*", "bundle.sigstore.json"))
	must(t, err)
	if len(all) != 70 {
		t.Errorf("%d vectors, want 70", len(all))
	}
	for _, path := range all {
		vector, file := filepath.Base(filepath.Dir(path)), filepath.Join(vectors, "a.txt")
		within := func(name string) string { return filepath.Join(vectors, vector, name) }
		if fileExists(within("artifact")) {
			file = within("artifact")
		}
		by := rooted(vector)
		if fileExists(within("key.pub")) {
			by = []string{"--key", within("key.pub")}
		}
		judge(t, vector, file, path, by)
		text, err := os.ReadFile(file)
		must(t, err)
		judge(t, vector, digestPrefix+sumOf(text), path, by)
	}
}

func judge(t *testing.T, vector, file, bundle string, by []string) {
	t.Helper()
	o := newCLI(t).run(append([]string{"verify-blob", file, "--bundle", bundle}, by...)...)
	if slices.Contains(statementsOfTheSuite, vector) {
		o.exits(exitDenied).prints("wrong-type")
	} else if refused := o.code != exitOK; refused != strings.HasSuffix(vector, "_fail") {
		t.Errorf("%s, %s: exit code %d: %s%s", vector, file, o.code, o.stdout, o.stderr)
	}
}
