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

// Digests are the digests of one artifact: lower-case hex by algorithm. One of the
// algorithms is sha256.
type Digests = map[string]string

// Artifacts are the digests of files by artifact name. The package documentation
// says which names are valid.
type Artifacts map[string]Digests

// SHA256 returns Artifacts for files given by name and sha256 in lower-case hex.
func SHA256(files map[string]string) Artifacts {
	all := make(Artifacts, len(files))
	for name, sum := range files {
		all[name] = Digests{"sha256": sum}
	}
	return all
}

// Link lists what one step of a build read and made.
//
// Source: in-toto specification v1.0, section 4.4.
type Link struct {
	// Name is the name of the step in the layout. Required.
	Name string
	// Command is the command that was run, with its arguments. A link is public,
	// so leave secrets out. Empty: no command is recorded.
	Command []string
	// Materials are the files before the step, Products the files after it.
	// Empty: none.
	Materials, Products Artifacts
	// ByProducts hold more about the run, such as "stdout", "stderr" and
	// "return-value". Verify does not judge them. Bytes that are not UTF-8 become
	// U+FFFD. Empty: none.
	ByProducts map[string]any
	// Environment holds what is recorded of the environment. Verify does not
	// judge it. Empty: nothing.
	Environment map[string]any
}

// SignLink signs a link and returns its DSSE envelope as JSON, with one signature
// for each signer. Signers use the algorithms by which in-toto verifies, which
// sign.SignerOptions selects:
//
//   - RSA with PSS
//   - Ed25519 without prehash
//   - ECDSA with the curve's own hash
//
// Errors are ErrOptions for a signer with another algorithm, ErrLink,
// sign.ErrSigner and sign.ErrKey.
func SignLink(ctx context.Context, l Link, signers ...sign.Signer) ([]byte, error) {
	payload, err := l.payload()
	if err != nil {
		return nil, err
	}
	return signPayload(ctx, payload, signers)
}

// payload returns the text to sign. It reads the text back, so nothing is signed
// that Verify would refuse.
func (l Link) payload() ([]byte, error) {
	err := checkStepName(l.Name)
	if err == nil {
		err = l.check()
	}
	if i := slices.IndexFunc(l.Command, func(arg string) bool { return !utf8.ValidString(arg) }); err == nil && i >= 0 {
		err = fmt.Errorf("argument %d of its command is not UTF-8", i+1)
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

// marshal returns v as JSON without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// nonNil returns the list, or an empty one for nil: other tools expect an empty
// list or object, and refuse null.
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

// ReadLink returns the link of an envelope. It checks the link's form, and verifies
// no signature. Errors are ErrLink.
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

// check refuses names and artifacts that other tools could read as others.
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

// checkStepName refuses names that could be taken for a path or a pattern. in-toto
// uses step names in file names.
func checkStepName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if name == "" || len(name) > steplayout.MaxNameBytes || name[0] == '.' || strings.Trim(name, allowed) != "" {
		return fmt.Errorf("the step name %s has other characters than letters, digits, \".\", \"_\" and \"-\", or begins with a dot", steplayout.Printable(name))
	}
	return nil
}
