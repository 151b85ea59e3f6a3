package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
	"github.com/hallmark-oci/hallmark/sign"
)

// Bounds of what is written and read.
const ()

// Digests are the digests of one artifact: lower-case hex by algorithm. sha256
// must be among them.
type Digests = map[string]string

// Artifacts are files by their names: relative paths with slashes, see the
// package documentation.
type Artifacts map[string]Digests

// SHA256 makes Artifacts of the sha256 of each file in lower-case hex.
func SHA256(files map[string]string) Artifacts {
	all := make(Artifacts, len(files))
	for name, sum := range files {
		all[name] = Digests{"sha256": sum}
	}
	return all
}

// Link says what one step of a build has read and made.
//
// Source: in-toto specification v1.0, section 4.4.
type Link struct {
	// Name is that of the step in the layout: letters, digits, ".", "_" and "-",
	// not beginning with a dot. Required.
	Name string
	// Command is what was run, with its arguments. Empty: nothing was, or it is
	// not said. Secrets do not belong here: a link is public.
	Command []string
	// Materials are the files that were there before, Products those that were
	// there afterwards. Empty: none.
	Materials, Products Artifacts
	// ByProducts are anything else about the run: "stdout", "stderr",
	// "return-value". Nothing rests on them. Bytes that are no UTF-8 become
	// U+FFFD. Empty: none.
	ByProducts map[string]any
	// Environment is what is recorded of the environment. Nothing rests on it.
	// Empty: nothing.
	Environment map[string]any
}

// SignLink signs a link and returns its envelope (DSSE, JSON), with one signature
// for each key. in-toto verifies RSA signatures as PSS, Ed25519 without prehash
// and ECDSA with the curve's own hash; a signer that signs otherwise is
// ErrOptions (see sign.SignerOptions). Other errors are ErrLink, sign.ErrSigner
// and sign.ErrKey.
func SignLink(ctx context.Context, l Link, signers ...sign.Signer) ([]byte, error) {
	payload, err := l.payload()
	if err != nil {
		return nil, err
	}
	return signPayload(ctx, payload, signers)
}

// payload is the text that is signed. It is read again, so that nothing is signed
// that Verify would not accept.
func (l Link) payload() ([]byte, error) {
	err := checkStepName(l.Name)
	if err == nil {
		err = l.check()
	}
	if i := slices.IndexFunc(l.Command, func(arg string) bool { return !utf8.ValidString(arg) }); err == nil && i >= 0 {
		err = fmt.Errorf("part %d of its command is no UTF-8", i+1)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLink, err)
	}
	text, err := marshal(in_toto.Link{
		Type: "link", Name: l.Name, Command: nonNil(l.Command),
		Materials: toHashes(l.Materials), Products: toHashes(l.Products),
		ByProducts: nonNilMap(l.ByProducts), Environment: nonNilMap(l.Environment),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLink, err)
	}
	if _, err := readLink(text); err != nil {
		return nil, err
	}
	return text, nil
}

// marshal writes JSON. HTML characters stay as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Others expect empty lists and objects, not null.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func nonNilMap(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func toHashes(all Artifacts) map[string]in_toto.HashObj {
	hashes := make(map[string]in_toto.HashObj, len(all))
	maps.Copy(hashes, all)
	return hashes
}

// ReadLink reads the link of an envelope and checks its form. Nothing is
// verified: it shows what a link says, not what is so. Errors are ErrLink.
func ReadLink(envelope []byte) (*Link, error) {
	_, e, err := steplayout.Open(envelope)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLink, err)
	}
	return readLink(e.Payload)
}

func readLink(payload []byte) (*Link, error) {
	l, err := decodeLink(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLink, err)
	}
	return l, nil
}

func decodeLink(payload []byte) (*Link, error) {
	root, err := strictjson.Parse(payload)
	if err != nil {
		return nil, err
	}
	if !root.Get("_type").Is("link") {
		return nil, errors.New(`_type is not "link"`)
	}
	for _, field := range []string{"name", "command", "materials", "products", "byproducts", "environment"} {
		if !root.Get(field).Exists() {
			return nil, fmt.Errorf("%s is missing", field)
		}
	}
	var wire in_toto.Link
	if err := strictjson.Decode(root, &wire, strictjson.DecodeOptions{RefuseUnknown: true}); err != nil {
		return nil, err
	}
	l := &Link{
		Name: wire.Name, Command: wire.Command, ByProducts: wire.ByProducts, Environment: wire.Environment,
		Materials: toArtifacts(wire.Materials), Products: toArtifacts(wire.Products),
	}
	return l, l.check()
}

func toArtifacts(hashes map[string]in_toto.HashObj) Artifacts {
	all := make(Artifacts, len(hashes))
	maps.Copy(all, hashes)
	return all
}

// check refuses artifacts that could be mistaken for others.
func (l *Link) check() error {
	if l.Name == "" || len(l.Name) > steplayout.MaxNameBytes || steplayout.HasControl(l.Name) {
		return fmt.Errorf("its name %s is empty, too long or not printable", steplayout.Printable(l.Name))
	}
	if err := l.Materials.check(); err != nil {
		return fmt.Errorf("materials: %w", err)
	}
	if err := l.Products.check(); err != nil {
		return fmt.Errorf("products: %w", err)
	}
	return nil
}

func (all Artifacts) check() error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := steplayout.CheckPath(name); err != nil {
			return err
		}
		if len(all[name]["sha256"]) != 64 {
			return fmt.Errorf("%s has no sha256 of 64 digits", steplayout.Printable(name))
		}
		for algorithm, sum := range all[name] {
			if !isLowerHex(sum) {
				return fmt.Errorf("the %.40q of %s is not lower-case hex", algorithm, steplayout.Printable(name))
			}
		}
	}
	return nil
}

func isLowerHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

// checkStepName refuses what others could take for a path or pattern: in-toto
// makes file names of the names of steps.
func checkStepName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if name == "" || len(name) > steplayout.MaxNameBytes || name[0] == '.' || strings.Trim(name, allowed) != "" {
		return fmt.Errorf("the name of a step is made of letters, digits, \".\", \"_\" and \"-\", and does not begin with a dot: %s", steplayout.Printable(name))
	}
	return nil
}
