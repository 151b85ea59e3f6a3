package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
)

// The parts of a CycloneDX 1.6 document that GoBinarySBOM writes
// (https://cyclonedx.org, bom-1.6.schema.json).
type (
	cdxDocument struct {
		Format       string         `json:"bomFormat"`
		SpecVersion  string         `json:"specVersion"`
		SerialNumber string         `json:"serialNumber,omitempty"`
		Version      int            `json:"version"`
		Metadata     cdxMetadata    `json:"metadata"`
		Components   []cdxComponent `json:"components"`
	}
	cdxMetadata struct {
		Component cdxComponent `json:"component"`
	}
	cdxComponent struct {
		Type       string        `json:"type"`
		Ref        string        `json:"bom-ref"`
		Name       string        `json:"name"`
		Version    string        `json:"version,omitempty"`
		PURL       string        `json:"purl"`
		Properties []cdxProperty `json:"properties,omitempty"`
	}
	cdxProperty struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

// GoBinarySBOM returns an SBOM of a Go binary: the modules that were linked, and the
// standard library. The format is CycloneDX 1.6 in JSON.
//
//   - A module's sum is the property "hallmark:go:sum". It is not the hash of a
//     file, as CycloneDX's hashes are.
//   - A binary does not say how its modules depend on one another, so neither does
//     the SBOM.
//   - The same binary always gives the same text. It has no time, and its serial
//     number is derived from the content.
//
// Errors are ErrOrigin.
func GoBinarySBOM(r io.ReaderAt) ([]byte, error) {
	info, err := readGoBinary(r)
	if err != nil {
		return nil, err
	}
	d := cdxDocument{
		Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata:   cdxMetadata{Component: cdxMain(info)},
		Components: []cdxComponent{cdxLibrary(debug.Module{Path: stdlib, Version: stdlibVersion(info.GoVersion)})},
	}
	for _, m := range info.Deps {
		used, local := usedModule(m)
		c := cdxLibrary(used)
		if local {
			c.Properties = []cdxProperty{{"hallmark:go:replacedBy", "a local directory"}}
		}
		d.Components = append(d.Components, c)
	}
	slices.SortFunc(d.Components, func(a, b cdxComponent) int { return strings.Compare(a.Ref, b.Ref) })
	d.Components = slices.CompactFunc(d.Components, func(a, b cdxComponent) bool { return a.Ref == b.Ref })
	text, err := d.marshal()
	if err != nil {
		return nil, err
	}
	d.SerialNumber = contentUUID(text)
	return d.marshal()
}

func cdxMain(info *debug.BuildInfo) cdxComponent {
	main := info.Main
	if main.Path == "" {
		main.Path = info.Path
	}
	if main.Version == "(devel)" {
		main.Version = ""
	}
	c := cdxLibrary(main)
	c.Type = "application"
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED", "vcs", "vcs.revision", "vcs.modified":
			c.Properties = append(c.Properties, cdxProperty{"hallmark:go:" + s.Key, s.Value})
		}
	}
	return c
}

func cdxLibrary(m debug.Module) cdxComponent {
	p := golangPURL(m.Path, m.Version)
	c := cdxComponent{Type: "library", Ref: p, Name: m.Path, Version: m.Version, PURL: p}
	if m.Sum != "" {
		c.Properties = []cdxProperty{{"hallmark:go:sum", m.Sum}}
	}
	return c
}

func (d cdxDocument) marshal() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	return b.Bytes(), nil
}

// contentUUID returns a UUID that is derived from content (version 8 of RFC 9562).
func contentUUID(content []byte) string {
	sum := sha256.Sum256(content)
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
