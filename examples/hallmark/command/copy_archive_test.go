package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

func TestCopy_ToAnArchiveAndBack(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	k := newKey(t)
	c := newCLI(t)
	c.must("sign", "--key", k.private, x.tag("v1"))
	archive := "oci-archive:" + filepath.Join(t.TempDir(), "app.tar") + ":v1"
	var r copyResult
	c.must("copy", "-o", "json", x.tag("v1"), archive).decode(&r)
	if r.Evidence.Copied != 1 || !strings.HasPrefix(r.Digest, strings.TrimSuffix(archive, ":v1")+"@sha256:") {
		t.Errorf("%+v", r)
	}
	c.must("verify", "--key", k.public, archive).prints("verified")
	c.must("inspect", archive).prints("signature")
	y := registryTarget(t, registrytest.Options{})
	c.must("copy", archive, y.tag("v1"))
	c.must("verify", "--key", k.public, y.tag("v1"))
}

func TestCopy_ToAnArchiveLeavesNothingBeside(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	dir := t.TempDir()
	c := newCLI(t)
	c.must("copy", x.tag("v1"), "oci-archive:"+filepath.Join(dir, "app.tar")+":v1")
	c.run("copy", x.tag("none"), "oci-archive:"+filepath.Join(dir, "none.tar")+":v1").exits(exitUndecided)
	c.run("copy", x.tag("v1"), "oci-archive:"+filepath.Join(dir, "no", "app.tar")+":v1").exits(exitUndecided)
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 || all[0].Name() != "app.tar" {
		t.Errorf("%v, %v", all, err)
	}
}

func TestCopy_TwoImagesIntoOneArchive(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	x.push("v2")
	archive := "oci-archive:" + filepath.Join(t.TempDir(), "app.tar")
	c := newCLI(t)
	c.must("copy", x.tag("v1"), archive+":v1")
	c.must("copy", x.tag("v2"), archive+":v2")
	c.must("inspect", archive+":v1")
	c.must("inspect", archive+":v2")
	c.run("inspect", archive).exits(exitUndecided).says("several images")
}

func TestArchive_IsNotSignedInPlace(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	file := filepath.Join(t.TempDir(), "app.tar")
	c := newCLI(t)
	c.must("copy", x.tag("v1"), "oci-archive:"+file+":v1")
	before, err := os.ReadFile(file)
	must(t, err)
	k := newKey(t)
	predicate := writeFile(t, filepath.Join(t.TempDir(), "p"), []byte(`{"x":1}`))
	c.run("sign", "--key", k.private, "oci-archive:"+file+":v1").exits(exitUndecided).says("by copy alone", "hint: ", "hallmark copy oci-archive:")
	c.run("attest", "--key", k.private, "--type", "https://x.example/t", "--predicate", predicate, "oci-archive:"+file+":v1").exits(exitUndecided).says("by copy alone")
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the archive changed: %v", err)
	}
}

func TestArchive_ErrorsSayWhatTheFileIs(t *testing.T) {
	c := newCLI(t)
	gz := writeFile(t, filepath.Join(t.TempDir(), "app.tar.gz"), []byte("\x1f\x8b\x08 and so on"))
	c.run("verify", "--key", newKey(t).public, "oci-archive:"+gz).exits(exitUndecided).prints("gunzip")
	c.run("copy", "oci-archive:"+gz, "oci-archive:"+gz+":v1").exits(exitUndecided).says("gunzip", "hint: ")
	c.run("inspect", "oci:"+gz).exits(exitUndecided).says("oci-archive:FILE:TAG")
}

func TestCopy_EvidenceOnly(t *testing.T) {
	x, y := registryTarget(t, registrytest.Options{}), registryTarget(t, registrytest.Options{})
	x.push("v1")
	k := newKey(t)
	c := newCLI(t)
	c.run("copy", "--evidence-only", x.tag("v1"), y.tag("v1")).exits(exitUndecided)
	c.must("copy", x.tag("v1"), y.tag("mirrored"))
	c.must("sign", "--key", k.private, x.tag("v1"))
	c.run("verify", "--key", k.public, y.tag("mirrored")).exits(exitDenied)
	var r copyResult
	c.must("copy", "--evidence-only", "-o", "json", x.tag("v1"), y.tag("other")).decode(&r)
	if r.Evidence.Copied != 1 || r.Manifests != (tally{}) {
		t.Errorf("%+v", r)
	}
	c.must("verify", "--key", k.public, y.tag("mirrored"))
	c.run("verify", "--key", k.public, y.tag("other")).exits(exitUndecided)
	c.run("copy", "--evidence-only", "--no-evidence", x.tag("v1"), y.tag("v1")).exits(exitUndecided).says("exclude each other")
}

func TestCopy_EvidenceOnlyMakesNoLayout(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	dir := t.TempDir()
	c := newCLI(t)
	c.run("copy", "--evidence-only", x.tag("v1"), "oci:"+filepath.Join(dir, "layout")+":v1").exits(exitUndecided)
	c.run("copy", "--evidence-only", x.tag("v1"), "oci-archive:"+filepath.Join(dir, "app.tar")+":v1").exits(exitUndecided)
	if all, err := os.ReadDir(dir); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestImages_OfOtherProgramsAreAnswered(t *testing.T) {
	k := newKey(t)
	for _, image := range []string{"-", "docker://registry.example/team/app:v1", "docker-archive:app.tar", "dir:app", "containers-storage:app"} {
		c := newCLI(t)
		c.run("inspect", "--", image).exits(exitUndecided).says("is not an image")
		c.run("verify", "--key", k.public, "--", image).exits(exitUndecided).prints("is not an image")
		c.run("sign", "--key", k.private, "--", image).exits(exitUndecided).says("is not an image")
	}
}
