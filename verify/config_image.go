package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// imageView are the facts that an image states about itself.
//
// Source: OCI Image Format Specification v1.1, config.md.
type imageView struct {
	text         []byte // the config itself
	annotations  map[string]string
	layers       []map[string]string // annotations of each layer, and of the config behind them
	listedFor    *v1.Platform        // the platform in an index, or nil
	OS           string              `json:"os"`
	Architecture string              `json:"architecture"`
	Variant      string              `json:"variant"`
	Created      string              `json:"created"`
	Config       processView         `json:"config"`
	Container    processView         `json:"container_config"` // by which Docker's builder made the image
	History      []historyView       `json:"history"`
}

type processView struct {
	User         string            `json:"User"`
	Env          []string          `json:"Env"`
	Entrypoint   []string          `json:"Entrypoint"`
	Cmd          []string          `json:"Cmd"`
	OnBuild      []string          `json:"OnBuild"`
	Healthcheck  healthView        `json:"Healthcheck"`
	Labels       map[string]string `json:"Labels"`
	ExposedPorts map[string]any    `json:"ExposedPorts"`
}

type healthView struct {
	Test []string `json:"Test"`
}

type historyView struct {
	CreatedBy string `json:"created_by"`
	Comment   string `json:"comment"`
}

// parseImage reads the manifest and the config of an image.
func parseImage(manifest, config []byte) (*imageView, error) {
	doc, err := oci.Parse("", manifest)
	if err != nil {
		return nil, err
	}
	root, err := strictjson.Parse(config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if root.Kind() != strictjson.Object {
		return nil, fmt.Errorf("config: it is not an object")
	}
	view := &imageView{text: config, annotations: doc.Annotations}
	for _, l := range doc.Layers {
		view.layers = append(view.layers, l.Annotations)
	}
	if doc.Config != nil {
		view.layers = append(view.layers, doc.Config.Annotations)
	}
	// Runtimes read the config without regard to case.
	if err := strictjson.Decode(root, view, strictjson.DecodeOptions{RefuseOtherCase: true}); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return view, nil
}

func (v *imageView) is() v1.Platform {
	return v1.Platform{OS: v.OS, Architecture: v.Architecture, Variant: v.Variant}
}

func (v *imageView) platform() string {
	return strings.TrimSuffix(v.OS+"/"+v.Architecture+"/"+v.Variant, "/")
}

// created is the time at which the image says it was created. It is zero where that is
// not a time after 1970, which reproducible builds write.
func (v *imageView) created() time.Time {
	t, err := time.Parse(time.RFC3339, v.Created)
	if err != nil || t.Unix() <= 0 {
		return time.Time{}
	}
	return t
}

// privilegedPort is the first exposed port that is below 1024 or cannot be read, or "".
func (v *imageView) privilegedPort() string {
	var ports []string
	for port := range v.Config.ExposedPorts {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	for _, port := range ports {
		number, _, _ := strings.Cut(port, "/")
		first, _, _ := strings.Cut(number, "-")
		n := 0
		for _, c := range []byte(first) {
			if c < '0' || c > '9' || n > 65535 {
				return port
			}
			n = 10*n + int(c-'0')
		}
		if first == "" || n < 1024 || n > 65535 {
			return port
		}
	}
	return ""
}
