package tuf_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

// Each of these does one thing that an honest repository does not. What was good stays.
func TestAttack_T19_RepositoriesThatLieAreRefused(t *testing.T) {
	for name, lie := range map[string]func(*repository){
		"timestamp rolled back": func(r *repository) {
			r.stamp.Signed.Version = 1
			r.publish()
		},
		"snapshot rolled back": func(r *repository) {
			r.stamp.Signed.Version++
			r.snap.Signed.Version = 1
			r.publish()
		},
		"targets rolled back": func(r *repository) {
			r.stamp.Signed.Version++
			r.snap.Signed.Version++
			r.targets.Signed.Version = 1
			r.publish()
		},
		"targets gone from the snapshot": func(r *repository) {
			r.stamp.Signed.Version++
			r.snap.Signed.Version++
			delete(r.snap.Signed.Meta, "targets.json")
			r.stamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(r.snap.Signed.Version)
			r.put(fmt.Sprintf("%d.snapshot.json", r.snap.Signed.Version), signed(r.t, r.snap, r.keys[metadata.SNAPSHOT]...))
			r.put("timestamp.json", signed(r.t, r.stamp, r.keys[metadata.TIMESTAMP]...))
		},
		"snapshot gone from the timestamp": func(r *repository) {
			r.stamp.Signed.Version++
			delete(r.stamp.Signed.Meta, "snapshot.json")
			r.put("timestamp.json", signed(r.t, r.stamp, r.keys[metadata.TIMESTAMP]...))
		},
		"frozen": func(r *repository) { r.now = r.now.Add(2 * day) },
		"snapshot expired": func(r *repository) {
			r.snap.Signed.Expires = r.now.Add(-time.Minute)
			r.release("three")
		},
		"targets expired": func(r *repository) {
			r.targets.Signed.Expires = r.now.Add(-time.Minute)
			r.release("three")
		},
		"mixed and matched": func(r *repository) {
			older := r.files["2.snapshot.json"]
			r.release("three")
			r.put("3.snapshot.json", older)
		},
		"targets of another version": func(r *repository) {
			older := r.files["2.targets.json"]
			r.release("three")
			r.put("3.targets.json", older)
		},
		"timestamp by another key": func(r *repository) {
			r.keys[metadata.TIMESTAMP] = r.keys[metadata.TARGETS]
			r.release("three")
		},
		"targets by the timestamp's key": func(r *repository) {
			r.keys[metadata.TARGETS] = r.keys[metadata.TIMESTAMP]
			r.release("three")
		},
		"another content": func(r *repository) {
			r.release("three")
			for file := range r.files {
				if strings.HasPrefix(file, "targets/") {
					r.files[file] = []byte("evil!")
				}
			}
		},
		"an arbitrary target": func(r *repository) {
			r.targets.Signed.Targets["other.json"] = r.targets.Signed.Targets[target]
			delete(r.targets.Signed.Targets, target)
			r.targets.Signed.Version++
			r.snap.Signed.Version++
			r.stamp.Signed.Version++
			r.publish()
		},
		"a target without hashes": func(r *repository) {
			r.release("three")
			r.targets.Signed.Targets[target].Hashes = nil
			r.targets.Signed.Version++
			r.snap.Signed.Version++
			r.stamp.Signed.Version++
			r.publish()
		},
		"endless timestamp": func(r *repository) { r.put("timestamp.json", bytes.Repeat([]byte(" "), 20_000)) },
		"endless root":      func(r *repository) { r.put("2.root.json", bytes.Repeat([]byte(" "), 600_000)) },
		"no JSON":           func(r *repository) { r.put("timestamp.json", []byte("<html>")) },
		"null": func(r *repository) {
			r.put("timestamp.json", []byte(`{"signatures":[],"signed":{"_type":"timestamp","meta":null}}`))
		},
		"a root by itself alone": func(r *repository) {
			r.replaceKeys(metadata.ROOT)
			r.root.Signed.Version++
			r.publishRoot(r.keys[metadata.ROOT]...)
		},
		"a root without its own keys": func(r *repository) {
			old := r.keys[metadata.ROOT]
			r.replaceKeys(metadata.ROOT)
			r.root.Signed.Version++
			r.publishRoot(old...)
		},
		"a root that skips a version": func(r *repository) {
			r.root.Signed.Version += 2
			r.put("2.root.json", signed(r.t, r.root, r.keys[metadata.ROOT]...))
		},
		"an expired root": func(r *repository) {
			r.root.Signed.Version++
			r.root.Signed.Expires = r.now.Add(-time.Minute)
			r.publishRoot(r.keys[metadata.ROOT]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, file := newRepository(t, "one"), stateFile(t)
			c := r.open(file)
			r.release("two")
			must(t, c.Refresh(t.Context()))
			kept, err := os.ReadFile(file)
			must(t, err)
			lie(r)
			if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrRefused) || c.Err() == nil {
				t.Errorf("%v, want ErrRefused", err)
			}
			holds(t, c, "two")
			// A root is kept as soon as it is verified, if it has expired, too.
			if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, kept) && name != "an expired root" {
				t.Errorf("what is kept has changed: %v", err)
			}
		})
	}
}

func TestAttack_T19_RootsNeedTheirThreshold(t *testing.T) {
	r := newRepository(t, "one")
	c := r.open("")
	r.addKey(metadata.ROOT)
	r.root.Signed.Roles[metadata.ROOT].Threshold = 2
	r.root.Signed.Version++
	r.publishRoot(r.keys[metadata.ROOT]...)
	must(t, c.Refresh(t.Context()))
	r.root.Signed.Version++
	for name, keys := range map[string]int{"one of two": 1, "none": 0} {
		r.publishRoot(r.keys[metadata.ROOT][:keys]...)
		if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	holds(t, c, "one")
	if got, _ := c.Current(); got.Root != 2 {
		t.Errorf("root %d", got.Root)
	}
}

func TestAttack_T19_ChainsOfRootsEnd(t *testing.T) {
	r := newRepository(t, "one")
	c := r.open("")
	for range 70 {
		r.root.Signed.Version++
		r.publishRoot(r.keys[metadata.ROOT]...)
	}
	if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrRefused) || !strings.Contains(err.Error(), "64 new roots") {
		t.Error(err)
	}
	holds(t, c, "one")
}

// Without the newest root a client would go on with keys that were replaced.
func TestAttack_T19_RootsThatWereSeenAreNotForgotten(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	c := r.open(file)
	old := r.keys[metadata.TIMESTAMP]
	r.replaceKeys(metadata.TIMESTAMP)
	r.root.Signed.Version++
	r.publishRoot(r.keys[metadata.ROOT]...)
	r.release("two")
	must(t, c.Refresh(t.Context()))
	r.remove("2.root.json")
	r.keys[metadata.TIMESTAMP] = old
	r.release("evil")
	for _, c := range []*tuf.Client{c, r.open(file)} {
		if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrRefused) {
			t.Error(err)
		}
		holds(t, c, "two")
	}
}

func TestAttack_T19_FilesThatWereChangedAreNotUsed(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	c := r.open(file)
	older, err := os.ReadFile(file)
	must(t, err)
	r.release("two")
	must(t, c.Refresh(t.Context()))
	newer, err := os.ReadFile(file)
	must(t, err)

	other := newRepository(t, "evil")
	foreign := stateFile(t)
	other.open(foreign)
	evil, err := os.ReadFile(foreign)
	must(t, err)
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	for name, text := range map[string][]byte{
		"another repository's": evil, "cut off": newer[:len(newer)/2], "empty": nil,
		"changed content": bytes.Replace(newer, []byte("dHdv"), []byte("ZXZp"), 1), "unknown member": append([]byte(`{"x":1,`), newer[1:]...),
	} {
		must(t, os.WriteFile(file, text, 0o600))
		r.answers(down)
		if c, err := tuf.Open(t.Context(), r.options(file)); c != nil || !errors.Is(err, tuf.ErrUnavailable) {
			t.Errorf("%s: opened, %v", name, err)
		}
		r.answers(nil)
		holds(t, r.open(file), "two")
	}

	// A file that was rolled back does not lead a process back.
	must(t, os.WriteFile(file, older, 0o600))
	r.answers(down)
	if err := c.Refresh(t.Context()); err == nil {
		t.Error("the repository was down")
	}
	holds(t, c, "two")
	r.answers(nil)
	must(t, c.Refresh(t.Context()))
	holds(t, r.open(file), "two")
}

func TestAttack_T19_RedirectsToPlainHTTPAreNotFollowed(t *testing.T) {
	r := newRepository(t, "one")
	c := r.open("")
	for _, to := range []string{"http://tuf.example/", "ftp://tuf.example/", "/timestamp.json"} {
		r.answers(func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, to, http.StatusFound) })
		if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrUnavailable) || !strings.Contains(err.Error(), "redirect") {
			t.Errorf("%s: %v", to, err)
		}
	}
	holds(t, c, "one")
}

func TestAttack_T19_TargetsThatCannotBeUsedAreRefused(t *testing.T) {
	r := newRepository(t, "one")
	o := r.options(stateFile(t))
	o.Check = func(text []byte) error {
		if string(text) == "bad" {
			return errors.New("not a trust root")
		}
		return nil
	}
	c, err := tuf.Open(t.Context(), o)
	must(t, err)
	r.release("bad")
	for range 2 {
		if err := c.Refresh(t.Context()); !errors.Is(err, tuf.ErrRefused) {
			t.Error(err)
		}
		holds(t, c, "one")
	}
}
