package verify_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// pushConfig makes the world's image one with this config and these annotations.
func (w *world) pushConfig(config v1.Config, annotations map[string]string, created time.Time, history string) {
	w.t.Helper()
	image, err := mutate.Config(empty.Image, config)
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", "amd64", v1.Time{Time: created}
	file.History = []v1.History{{CreatedBy: history}}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		w.t.Fatal(err)
	}
	annotated := mutate.Annotations(image, annotations).(v1.Image)
	if w.image, err = registry.Push(context.Background(), w.store, w.repo, annotated); err != nil {
		w.t.Fatal(err)
	}
}

func TestAttack_I7_E13_EveryConditionOfTheConfigIsKept(t *testing.T) {
	user := v1.Config{User: "65532"}
	env := func(e ...string) v1.Config { return v1.Config{User: "65532", Env: e} }
	for label, c := range map[string]struct {
		require     string
		config      v1.Config
		annotations map[string]string
		created     time.Time
		history     string
		reason      verify.Reason
	}{
		"user":                  {"nonRoot: true", user, nil, now, "", ""},
		"user by name":          {"nonRoot: true", v1.Config{User: "app:app"}, nil, now, "", ""},
		"no user":               {"nonRoot: true", v1.Config{}, nil, now, "", verify.ReasonRoot},
		"root":                  {"nonRoot: true", v1.Config{User: "root"}, nil, now, "", verify.ReasonRoot},
		"root in case":          {"nonRoot: true", v1.Config{User: "Root"}, nil, now, "", verify.ReasonRoot},
		"root with group":       {"nonRoot: true", v1.Config{User: "root:app"}, nil, now, "", verify.ReasonRoot},
		"0":                     {"nonRoot: true", v1.Config{User: "0"}, nil, now, "", verify.ReasonRoot},
		"00":                    {"nonRoot: true", v1.Config{User: "00"}, nil, now, "", verify.ReasonRoot},
		"+0":                    {"nonRoot: true", v1.Config{User: "+0"}, nil, now, "", verify.ReasonRoot},
		"0:1000":                {"nonRoot: true", v1.Config{User: "0:1000"}, nil, now, "", verify.ReasonRoot},
		"blank":                 {"nonRoot: true", v1.Config{User: " "}, nil, now, "", verify.ReasonRoot},
		"root and a blank":      {"nonRoot: true", v1.Config{User: "root "}, nil, now, "", verify.ReasonRoot},
		"2^32":                  {"nonRoot: true", v1.Config{User: "4294967296"}, nil, now, "", verify.ReasonRoot}, // 0 in 32 bits
		"2^31":                  {"nonRoot: true", v1.Config{User: "2147483648:1"}, nil, now, "", verify.ReasonRoot},
		"2^64":                  {"nonRoot: true", v1.Config{User: "18446744073709551616"}, nil, now, "", verify.ReasonRoot},
		"-1":                    {"nonRoot: true", v1.Config{User: "-1"}, nil, now, "", verify.ReasonRoot},
		"2^31 - 1":              {"nonRoot: true", v1.Config{User: "2147483647"}, nil, now, "", ""},
		"only a group":          {"nonRoot: true", v1.Config{User: ":1000"}, nil, now, "", verify.ReasonRoot},
		"no secret":             {"noSecrets: true", env("PATH=/bin", "TOKEN_FILE=/run/x", "PASSWORD=", "SECRET=$FROM_OUTSIDE", "API_KEY=<none>"), nil, now, "/bin/sh -c #(nop) ENV A=b", ""},
		"where a secret is":     {"noSecrets: true", env("TOKEN_FILE=/token", "DB_PASSWORD_PATH=/pw"), nil, now, "", ""},
		"what is no path":       {"noSecrets: true", env("TOKEN_FILE=hunter2hunter2"), nil, now, "", verify.ReasonSecret},
		"secret header":         {"noSecrets: true", user, nil, now, "RUN curl -H 'Authorization: Bearer hunter2hunter2' https://x.example", verify.ReasonSecret},
		"secret variable":       {"noSecrets: true", env("DB_PASSWORD=hunter2"), nil, now, "", verify.ReasonSecret},
		"secret by its form":    {"noSecrets: true", env("X=ghp_0123456789abcdefABCDEF0123"), nil, now, "", verify.ReasonSecret},
		"secret key":            {"noSecrets: true", env("K=-----BEGIN RSA PRIVATE KEY-----"), nil, now, "", verify.ReasonSecret},
		"secret in a URL":       {"noSecrets: true", env("DB=postgres://u:p4ss@db/x"), nil, now, "", verify.ReasonSecret},
		"secret label":          {"noSecrets: true", v1.Config{Labels: map[string]string{"api_key": "abc123xyz"}}, nil, now, "", verify.ReasonSecret},
		"secret annotation":     {"noSecrets: true", user, map[string]string{"my.token": "abc123xyz"}, now, "", verify.ReasonSecret},
		"secret argument":       {"noSecrets: true", v1.Config{Cmd: []string{"serve", "--password=hunter2"}}, nil, now, "", verify.ReasonSecret},
		"secret in healthcheck": {"noSecrets: true", v1.Config{Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "curl -u x --password=hunter2 localhost"}}}, nil, now, "", verify.ReasonSecret},
		"secret in a trigger":   {"noSecrets: true", v1.Config{OnBuild: []string{"ENV DB_PASSWORD=hunter2"}}, nil, now, "", verify.ReasonSecret},
		"secret in history":     {"noSecrets: true", user, nil, now, "RUN |1 NPM_TOKEN=abcdef123 /bin/sh -c npm ci", verify.ReasonSecret},
		"port":                  {"noPrivilegedPorts: true", v1.Config{ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9000-9010/udp": {}}}, nil, now, "", ""},
		"port 80":               {"noPrivilegedPorts: true", v1.Config{ExposedPorts: map[string]struct{}{"80/tcp": {}}}, nil, now, "", verify.ReasonPort},
		"ports 80-9000":         {"noPrivilegedPorts: true", v1.Config{ExposedPorts: map[string]struct{}{"80-9000": {}}}, nil, now, "", verify.ReasonPort},
		"port that is none":     {"noPrivilegedPorts: true", v1.Config{ExposedPorts: map[string]struct{}{"http": {}}}, nil, now, "", verify.ReasonPort},
		"port too large":        {"noPrivilegedPorts: true", v1.Config{ExposedPorts: map[string]struct{}{"99999999999999": {}}}, nil, now, "", verify.ReasonPort},
		"created":               {"createdWithin: 48h", user, nil, now.Add(-24 * time.Hour), "", ""},
		"created long ago":      {"createdWithin: 48h", user, nil, now.Add(-72 * time.Hour), "", verify.ReasonCreated},
		"created never":         {"createdWithin: 48h", user, nil, time.Time{}, "", verify.ReasonCreated},
		"created in 1970":       {"createdWithin: 48h", user, nil, time.Unix(0, 0), "", verify.ReasonCreated},
		"created tomorrow":      {"createdWithin: 48h", user, nil, now.Add(24 * time.Hour), "", verify.ReasonFuture},
		"base by digest":        {`baseImages: ["sha256:` + strings.Repeat("ab", 32) + `"]`, user, map[string]string{"org.opencontainers.image.base.digest": "sha256:" + strings.Repeat("ab", 32)}, now, "", ""},
		"base by name":          {"baseImages: [index.docker.io/library/*]", user, map[string]string{"org.opencontainers.image.base.name": "alpine:3"}, now, "", ""},
		"other base":            {"baseImages: [registry.example/base/**]", user, map[string]string{"org.opencontainers.image.base.name": "registry.example/base-evil/x"}, now, "", verify.ReasonBaseImage},
		"no base":               {"baseImages: [registry.example/base/**]", user, nil, now, "", verify.ReasonBaseImage},
		"platform":              {"platforms: [linux/amd64]", user, nil, now, "", ""},
		"other platform":        {"platforms: [linux/arm64]", user, nil, now, "", verify.ReasonPlatform},
		"label":                 {"labels: {a: b}", v1.Config{Labels: map[string]string{"a": "b"}}, nil, now, "", ""},
		"other label":           {"labels: {a: b}", v1.Config{Labels: map[string]string{"a": "c"}}, nil, now, "", verify.ReasonLabels},
		"no annotation":         {"annotations: {a: b}", v1.Config{Labels: map[string]string{"a": "b"}}, nil, now, "", verify.ReasonLabels},
		"E13 version":           {"minVersion: 1.2.3", user, map[string]string{"org.opencontainers.image.version": "v1.10.0"}, now, "", ""},
		"E13 version too low":   {"minVersion: 1.2.3", user, map[string]string{"org.opencontainers.image.version": "1.2.3-rc.1"}, now, "", verify.ReasonVersion},
		"E13 version missing":   {"minVersion: 1.2.3", user, nil, now, "", verify.ReasonVersion},
		"E13 version is a tag":  {"minVersion: 1.2.3", user, map[string]string{"org.opencontainers.image.version": "latest"}, now, "", verify.ReasonVersion},
	} {
		w := newWorld(t)
		w.pushConfig(c.config, c.annotations, c.created, c.history)
		text := strings.Replace(policyText, "signature: {by: release}", "config: {"+c.require+"}", 1)
		res, err := w.judged(text, now, newPerson(t), newPerson(t), newPerson(t))
		if c.reason == "" {
			if err != nil {
				t.Errorf("%s: %v", label, err)
			}
			continue
		}
		denial, ok := err.(*verify.Error)
		if !ok || res != nil || denial.Reason != c.reason {
			t.Errorf("%s: %v, %v; want %s", label, res, err, c.reason)
		} else if text := denial.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "p4ss") || strings.Contains(text, "ghp_0") {
			t.Errorf("%s: the secret is told: %s", label, text)
		}
	}
}

// Labels of a base image are inherited by whatever is built on it: they must not
// speak for the image.
func TestAttack_E13_LabelsThatABaseImageLeavesSayNothing(t *testing.T) {
	const baseName, baseDigest, version = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest", "org.opencontainers.image.version"
	byName, byDigest := "baseImages: [registry.example/base/**]", `baseImages: ["sha256:`+hex64(1)+`"]`
	for label, c := range map[string]struct {
		require             string
		labels, annotations map[string]string
		reason              verify.Reason
	}{
		"another base by name":     {byName, map[string]string{baseName: "registry.example/base/good:1"}, map[string]string{baseName: "evil.example/base/bad:1"}, verify.ReasonBaseImage},
		"a base in labels alone":   {byName, map[string]string{baseName: "registry.example/base/good:1"}, nil, verify.ReasonBaseImage},
		"another base by digest":   {byDigest, map[string]string{baseDigest: "sha256:" + hex64(1)}, map[string]string{baseDigest: "sha256:" + hex64(2)}, verify.ReasonBaseImage},
		"a lower version":          {"minVersion: 2.0.0", map[string]string{version: "9.5.0"}, map[string]string{version: "1.0.0"}, verify.ReasonVersion},
		"a label of lower version": {"minVersion: 2.0.0", map[string]string{version: "1.0.0"}, map[string]string{version: "9.5.0"}, verify.ReasonVersion},
		"both high enough":         {"minVersion: 2.0.0", map[string]string{version: "2.0.0"}, map[string]string{version: "9.5.0"}, ""},
		"the base annotated":       {byDigest, map[string]string{baseDigest: "sha256:" + hex64(2)}, map[string]string{baseDigest: "sha256:" + hex64(1)}, ""},
	} {
		w := newWorld(t)
		w.pushConfig(v1.Config{User: "65532", Labels: c.labels}, c.annotations, now, "")
		res, err := w.judged(strings.Replace(policyText, signatureRequired, "config: {"+c.require+"}", 1), now, newPerson(t), newPerson(t), newPerson(t))
		t.Log(label)
		if c.reason != "" {
			isDenied(t, res, err, c.reason)
		} else if err != nil {
			t.Error(err)
		}
	}
}

func TestAttack_I1_ImageListedForAnotherPlatformIsDenied(t *testing.T) {
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "65532"}, nil, now, "") // for linux/amd64
	good := w.listed(w.image)
	good.Platform = &amd64
	other := good
	other.Platform = &v1.Platform{OS: "linux", Architecture: "s390x"}
	text := strings.Replace(policyText, signatureRequired, "config: {platforms: [linux/amd64]}", 1)
	w.indexOf(good)
	if _, err := w.judged(text, now, newPerson(t), newPerson(t), newPerson(t)); err != nil {
		t.Error(err)
	}
	for _, listed := range [][]v1.Descriptor{{other}, {good, other}, {other, good}} {
		w.indexOf(listed...)
		res, err := w.judged(text, now, newPerson(t), newPerson(t), newPerson(t))
		isDenied(t, res, err, verify.ReasonPlatform)
	}
}

// A bug in a reader is the error of one judgement, not the end of the process.
func TestAPanicOfAReaderIsNoDecision(t *testing.T) {
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "65532"}, nil, now, "")
	v, err := verify.New(loaded(t, strings.Replace(policyText, signatureRequired, configText, 1), newPerson(t), newPerson(t), newPerson(t)), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for label, r := range map[string]registry.Reader{"config": panickingBlobs{w.store}, "manifest": panickingManifests{w.store}} {
		var undecided *verify.UndecidedError
		if res, err := v.Image(context.Background(), r, w.image); res != nil || !errors.As(err, &undecided) {
			t.Errorf("%s: %v, %v", label, res, err)
		}
	}
}

type panickingBlobs struct{ registry.Store }

func (panickingBlobs) Blob(context.Context, name.Digest, int64) (io.ReadCloser, error) {
	panic("a bug")
}

type panickingManifests struct{ registry.Store }

func (panickingManifests) Manifest(context.Context, name.Reference) (registry.Manifest, error) {
	panic("a bug")
}

// What layers are called, and what is noted of them, is seen by everyone who pulls.
func TestAttack_I7_SecretsInLayersNamesAreFound(t *testing.T) {
	for label, c := range map[string]struct {
		annotations map[string]string
		found       bool
	}{
		"none":            {nil, false},
		"an archive":      {map[string]string{"org.opencontainers.image.title": "rootfs.tar.gz"}, false},
		"an example":      {map[string]string{"org.opencontainers.image.title": ".env.example"}, false},
		"a public key":    {map[string]string{"org.opencontainers.image.title": "id_rsa.pub"}, false},
		"a private key":   {map[string]string{"org.opencontainers.image.title": "home/app/.ssh/id_ed25519"}, true},
		"a TLS key":       {map[string]string{"org.opencontainers.image.title": "etc/tls/Server.KEY"}, true},
		"an environment":  {map[string]string{"org.opencontainers.image.title": ".env.production"}, true},
		"by its name":     {map[string]string{"example.token": "hunter2hunter2"}, true},
		"a login in it":   {map[string]string{"org.opencontainers.image.title": "https://u:hunter2@host/layer.tar"}, true},
		"a form of token": {map[string]string{"note": "ghp_0123456789abcdefABCDEF0123"}, true},
	} {
		w := newWorld(t)
		layer := mutate.Addendum{Layer: static.NewLayer([]byte("x"), types.OCIUncompressedLayer), Annotations: c.annotations}
		image, err := mutate.Append(empty.Image, layer)
		if err != nil {
			t.Fatal(err)
		}
		if w.image, err = registry.Push(context.Background(), w.store, w.repo, image); err != nil {
			t.Fatal(err)
		}
		res, err := w.judged(strings.Replace(policyText, signatureRequired, "config: {noSecrets: true}", 1), now, newPerson(t), newPerson(t), newPerson(t))
		if !c.found {
			if err != nil {
				t.Errorf("%s: %v", label, err)
			}
			continue
		}
		t.Log(label)
		if text := isDenied(t, res, err, verify.ReasonSecret).Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "ghp_0") {
			t.Errorf("%s: the secret is told: %s", label, text)
		}
	}
}

// Runtimes read configs without regard to case, so what is spelt otherwise
// must not pass unseen.
func TestAttack_I7_FieldsOfTheConfigInAnotherCaseAreRefused(t *testing.T) {
	for label, c := range map[string]struct{ require, config string }{
		"variables":     {"noSecrets: true", `{"config":{"User":"1","env":["DB_PASSWORD=hunter2hunter2"]}}`},
		"ports":         {"noPrivilegedPorts: true", `{"Config":{"User":"1","ExposedPorts":{"22/tcp":{}}}}`},
		"history":       {"noSecrets: true", `{"config":{"User":"1"},"History":[{"created_by":"RUN |1 NPM_TOKEN=abcdef123 npm ci"}]}`},
		"its commands":  {"noSecrets: true", `{"config":{"User":"1"},"history":[{"Created_By":"RUN |1 NPM_TOKEN=abcdef123 npm ci"}]}`},
		"a second user": {"nonRoot: true", `{"config":{"User":"1","user":"0"}}`},
	} {
		w := newWorld(t)
		w.pushConfigText(c.config)
		res, err := w.judged(strings.Replace(policyText, signatureRequired, "config: {"+c.require+"}", 1), now, newPerson(t), newPerson(t), newPerson(t))
		t.Log(label, err)
		isDenied(t, res, err, verify.ReasonConfig)
	}
}

// pushConfigText makes the world's image one whose config is exactly this text.
func (w *world) pushConfigText(config string) {
	w.t.Helper()
	sum := sha256.Sum256([]byte(config))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if err := w.store.PushBlob(context.Background(), w.repo.Digest(digest), int64(len(config)), func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(config)), nil
	}); err != nil {
		w.t.Fatal(err)
	}
	w.pushText("application/vnd.oci.image.manifest.v1+json", fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`, digest, len(config)))
}

func TestAConfigThatIsNoneMeetsNothing(t *testing.T) {
	for _, config := range []string{`[]`, `"linux"`, `null`, `{"config":`, `{"config":{"Env":"A=b"}}`} {
		w := newWorld(t)
		w.pushConfigText(config)
		res, err := w.judged(strings.Replace(policyText, signatureRequired, "config: {noPrivilegedPorts: true}", 1), now, newPerson(t), newPerson(t), newPerson(t))
		t.Log(config, err)
		isDenied(t, res, err, verify.ReasonConfig)
	}
}

// Only what cannot run is passed over: an entry for no platform that holds
// statements in place of layers.
func TestAttack_I7_AnImageThatIsListedAsAnAttestationIsJudged(t *testing.T) {
	text := strings.Replace(policyText, signatureRequired, configText, 1)
	called := map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	unknown := &v1.Platform{OS: "unknown", Architecture: "unknown"}
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "65532"}, nil, now, "")
	good := w.listed(w.image)
	w.pushConfig(v1.Config{User: "0"}, nil, now, "")
	evil := w.listed(w.image)
	statements := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},
"layers":[{"mediaType":"application/vnd.in-toto+json","digest":"sha256:%s","size":1}]}`, "sha256:"+hex64(1), hex64(2))
	w.pushText("application/vnd.oci.image.manifest.v1+json", statements)
	real := w.listed(w.image)
	real.Platform, real.Annotations = unknown, called
	for label, c := range map[string]struct {
		platform    *v1.Platform
		annotations map[string]string
	}{
		"for a platform": {&amd64, called},
		"for none":       {unknown, called},
		"without a word": {nil, called},
	} {
		evil.Platform, evil.Annotations = c.platform, c.annotations
		w.indexOf(good, real, evil)
		res, err := w.judged(text, now, newPerson(t), newPerson(t), newPerson(t))
		t.Log(label, err)
		isDenied(t, res, err, verify.ReasonRoot)
	}
	w.indexOf(good, real)
	if _, err := w.judged(text, now, newPerson(t), newPerson(t), newPerson(t)); err != nil {
		t.Errorf("an attestation manifest beside the image: %v", err)
	}
	w.indexOf(real)
	res, err := w.judged(text, now, newPerson(t), newPerson(t), newPerson(t))
	isDenied(t, res, err, verify.ReasonConfig) // there is no image
}

// A layer that can be unpacked and run makes an image of what else holds statements.
func TestAnAttestationManifestThatHoldsALayerIsAnImage(t *testing.T) {
	const statement, layer = "application/vnd.in-toto+json", "application/vnd.oci.image.layer.v1.tar"
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "65532"}, nil, now, "")
	good := w.listed(w.image)
	w.pushConfigText(`{"config":{"User":"0"}}`)
	config, err := w.store.Manifest(t.Context(), w.image)
	if err != nil {
		t.Fatal(err)
	}
	for types, denied := range map[[2]string]bool{{statement, statement}: false, {layer, statement}: true, {statement, layer}: true} {
		layers := fmt.Sprintf(`"layers":[{"mediaType":%q,"digest":"sha256:%s","size":1},{"mediaType":%q,"digest":"sha256:%s","size":1}]`, types[0], hex64(1), types[1], hex64(2))
		w.pushText("application/vnd.oci.image.manifest.v1+json", strings.Replace(string(config.Bytes), `"layers":[]`, layers, 1))
		called := w.listed(w.image)
		called.Platform, called.Annotations = &v1.Platform{OS: "unknown", Architecture: "unknown"}, map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
		w.indexOf(good, called)
		res, err := w.judged(strings.Replace(policyText, signatureRequired, configText, 1), now, newPerson(t), newPerson(t), newPerson(t))
		t.Log(types)
		if denied {
			isDenied(t, res, err, verify.ReasonRoot)
		} else if err != nil {
			t.Error(err)
		}
	}
}

func TestConfigOfAnIndexIsThatOfAllItsImages(t *testing.T) {
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "65532"}, nil, now, "")
	good := w.image
	w.pushConfig(v1.Config{User: "0"}, nil, now, "")
	bad := w.image
	text := strings.Replace(policyText, "signature: {by: release}", "config: {nonRoot: true}", 1)
	w.pushText("application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}`)
	bare := w.image
	huge := `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` + strings.Repeat("0", 64) + `","size":1000000000}`
	w.pushText("application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":`+huge+`,"layers":[]}`)
	heavy := w.image
	for label, c := range map[string]struct {
		children []name.Digest
		reason   verify.Reason
	}{
		"good":            {[]name.Digest{good}, ""},
		"one is bad":      {[]name.Digest{good, bad}, verify.ReasonRoot},
		"nothing":         {nil, verify.ReasonConfig},
		"no config":       {[]name.Digest{good, bare}, verify.ReasonConfig},
		"config too long": {[]name.Digest{good, heavy}, verify.ReasonConfig},
	} {
		manifests := []v1.Descriptor{}
		for _, d := range c.children {
			desc, err := w.store.Resolve(context.Background(), d)
			if err != nil {
				t.Fatal(err)
			}
			manifests = append(manifests, desc)
		}
		content, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Manifests: manifests})
		if err != nil {
			t.Fatal(err)
		}
		w.pushText("application/vnd.oci.image.index.v1+json", string(content))
		res, err := w.judged(text, now, newPerson(t), newPerson(t), newPerson(t))
		if c.reason == "" && err != nil {
			t.Errorf("%s: %v", label, err)
		} else if c.reason != "" {
			isDenied(t, res, err, c.reason)
		}
	}
}

// pushText stores a manifest of exactly this text, and makes it the world's
// image.
func (w *world) pushText(mediaType, text string) {
	w.t.Helper()
	m, err := registry.NewManifest(mediaType, []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	w.image = w.repo.Digest(m.Descriptor.Digest.String())
	if _, err := w.store.PushManifest(context.Background(), w.image, m, registry.PushOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func TestAConfigIsJudgedWithinABudgetAsWithoutOne(t *testing.T) {
	w := newWorld(t)
	text := strings.Replace(policyText, "signature: {by: release}", "config: {nonRoot: true}", 1)
	for user, reason := range map[string]verify.Reason{"65532": "", "0": verify.ReasonRoot} {
		w.pushConfig(v1.Config{User: user}, nil, now, "")
		own, end := budget.Session(budget.With(t.Context(), budget.New()))
		v, err := verify.New(loaded(t, text, newPerson(t), newPerson(t), newPerson(t)), verify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		res, err := v.Image(own, w.store, w.image)
		end()
		if reason != "" {
			isDenied(t, res, err, reason)
		} else if err != nil {
			t.Errorf("user %s: %v", user, err)
		}
	}
}

func TestMorePatternsOfBaseImagesThanCanBeComparedAreRefused(t *testing.T) {
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "1"}, map[string]string{"org.opencontainers.image.base.name": "registry.example/base/app-7:1"}, now, "")
	with := func(n int) string {
		return strings.Replace(policyText, signatureRequired, `config: {baseImages: ["`+strings.Join(manyPatterns()[:n], `", "`)+`"]}`, 1)
	}
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	if _, err := w.judged(with(1000), now, people...); err != nil {
		t.Error(err)
	}
	if _, err := policy.Load(written(t, with(2001), people...), policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "baseImages") {
		t.Errorf("%v; want it to be refused", err)
	}
}

// manyPatterns are more than can be compared with one another.
func manyPatterns() (all []string) {
	for i := range 2001 {
		all = append(all, fmt.Sprintf("registry.example/*/app-%d", i))
	}
	return all
}
