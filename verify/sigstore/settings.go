package sigstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Settings that say by which instance is judged.
const (
	settingInstance = "instance"
	settingRoot     = "root"
	settingRootFile = "rootFile"
)

// Settings of an instance whose root the policy names, as the fields of Instance.
const (
	settingCA         = "certificateAuthority"
	settingLogs       = "logs"
	settingCTLogs     = "ctLogs"
	settingTimes      = "times"
	settingNoLogs     = "withoutLogs"
	settingNoCT       = "withoutCT"
	settingTimestamps = "requireTimestamps"
)

// Settings of an identity beside the claims of a certificate.
const (
	settingIssuer = "issuer"
	settingSource = policy.ClaimSource
)

// maxSetting bounds a setting.
const maxSetting = 2048

// FileSettings implements policy.FileAuthority: rootFile names a trust root.
func (a *Authority) FileSettings() []string { return []string{settingRootFile} }

// judged is by which instance a policy has something judged.
type judged struct {
	by *instance
	// pin is the digest that the text of the root must have, in hex, whenever it is used.
	// Empty: it may have any.
	pin string
	// id is equal for settings that mean the same instance.
	id string
}

// root is the root that is in use.
func (j judged) root() (*trusted, error) {
	t := j.by.root.Load()
	return t, isPinned(t.sum, j.pin)
}

// take takes the instance out of settings, and returns the others, which are texts.
func (a *Authority) take(settings map[string]any) (j judged, rest map[string]string, err error) {
	held, own := settings[settingRootFile]
	named := maps.Clone(settings)
	delete(named, settingRootFile)
	o := Instance{}
	for _, name := range []string{settingCA, settingLogs, settingCTLogs, settingTimes, settingNoLogs, settingNoCT, settingTimestamps} {
		value, there := named[name]
		if !there {
			continue
		}
		if !own {
			return j, nil, fmt.Errorf("%w: %s is a setting beside rootFile; that of a linked instance is the program's", ErrInvalid, name)
		}
		if err := o.set(name, value); err != nil {
			return j, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		delete(named, name)
	}
	if rest, err = texts(named); err != nil {
		return j, nil, err
	}
	name, linked := rest[settingInstance]
	j.pin = rest[settingRoot]
	delete(rest, settingInstance)
	delete(rest, settingRoot)
	switch {
	case own && linked:
		return j, nil, fmt.Errorf("%w: want either instance or rootFile", ErrInvalid)
	case own:
		j.by, err = a.ownInstance(held, j.pin, o)
	default:
		j.by, err = a.find(name)
	}
	if err != nil {
		return j, nil, err
	}
	if _, err := j.root(); err != nil {
		return j, nil, fmt.Errorf("%w: instance %q: %w", ErrInvalid, j.by.name, err)
	}
	if j.id = fmt.Sprintf("%q", j.by.name); own {
		j.id = "own " + j.by.identity()
	}
	return j, rest, nil
}

// set sets a field of an instance by the setting of its name.
func (o *Instance) set(name string, value any) (err error) {
	plain := strictjson.Plain(value)
	text, isText := plain.(string)
	truth, isTruth := plain.(bool)
	number, isNumber := plain.(json.Number)
	n, wrong := number.Int64()
	isNumber = isNumber && wrong == nil && n >= 1 && n <= maxDemanded
	is := false
	switch name {
	case settingCA:
		o.CertificateAuthority, is = text, isText && text != ""
	case settingLogs:
		o.Logs, is = int(n), isNumber
	case settingCTLogs:
		o.CTLogs, is = int(n), isNumber
	case settingTimes:
		o.Times, is = int(n), isNumber
	case settingNoLogs:
		o.WithoutLogs, is = truth, isTruth
	case settingNoCT:
		o.WithoutCT, is = truth, isTruth
	case settingTimestamps:
		o.RequireTimestamps, is = truth, isTruth
	}
	if !is {
		return fmt.Errorf("%s is %.80v, want %v", name, plain, instanceSettings()[name]["description"])
	}
	return nil
}

// ownInstance is the instance of a root that a policy names.
func (a *Authority) ownInstance(held any, pin string, o Instance) (*instance, error) {
	f, read := held.(policy.File)
	sum := sha256.Sum256(f.Text)
	switch {
	case !read:
		return nil, fmt.Errorf("%w: rootFile was not read; a policy in Go sets a policy.File", ErrInvalid)
	case pin == "":
		return nil, fmt.Errorf("%w: rootFile needs root, the SHA-256 of the file: %x", ErrInvalid, sum)
	}
	o.SHA256 = pin
	id := fmt.Sprintf("%x %#v", sum, o)
	if made, known := a.own.Get(id); known {
		return made, nil
	}
	o.Root = f.Text
	made, err := newInstance("", o)
	if err != nil {
		return nil, fmt.Errorf("%w: rootFile %.200q: %w", ErrInvalid, f.Name, err)
	}
	a.own.Put(id, made)
	return made, nil
}

// find finds the instance that settings name. Where there is one, they need not.
func (a *Authority) find(name string) (*instance, error) {
	names := slices.Sorted(maps.Keys(a.instances))
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	i := a.instances[name]
	switch {
	case i == nil && len(names) == 0:
		return nil, fmt.Errorf("%w: the program links no instance; name a trust root with rootFile", ErrInvalid)
	case i == nil:
		return nil, fmt.Errorf("%w: instance is %.100q, want one of %q", ErrInvalid, name, names)
	}
	return i, nil
}

// texts are settings, which must all be strings.
func texts(settings map[string]any) (map[string]string, error) {
	given := make(map[string]string)
	for name, value := range settings {
		text, ok := value.(string)
		if !ok || text == "" || len(text) > maxSetting {
			return nil, fmt.Errorf("%w: %.100q is not a string of 1 to %d bytes", ErrInvalid, name, maxSetting)
		}
		given[name] = text
	}
	return given, nil
}

// idOf is the same for the same settings.
func idOf(instance string, given map[string]string) string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(given)) {
		fmt.Fprintf(&all, "%q: %q\n", name, given[name])
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s", instance, all.String()))
	return "sigstore:" + hex.EncodeToString(sum[:])
}

// instanceSettings describe the settings that say by which instance is judged.
func instanceSettings() map[string]map[string]any {
	return map[string]map[string]any{
		settingInstance:   text("the name of an instance that the program links; it may be left out where there is one"),
		settingRoot:       {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "the SHA-256 that the text of the trust root must have, in hex; required with rootFile"},
		settingRootFile:   text("a file beside the policy that holds a trust root, in place of instance"),
		settingCA:         text("the URI of a certificate authority, which chooses one of several roots in rootFile"),
		settingLogs:       count("transparency logs that must have recorded a signature"),
		settingCTLogs:     count("logs of certificates that must have seen the certificate"),
		settingTimes:      count("logs or authorities that must say a time"),
		settingNoLogs:     truth("true demands no transparency log"),
		settingNoCT:       truth("true demands no log of certificates"),
		settingTimestamps: truth("true counts times of timestamp authorities alone"),
	}
}

func text(description string) map[string]any {
	return map[string]any{"type": "string", "minLength": 1, "maxLength": maxSetting, "description": description}
}

func truth(description string) map[string]any {
	return map[string]any{"type": "boolean", "description": description}
}

func count(of string) map[string]any {
	return map[string]any{"type": "integer", "minimum": 1, "maximum": maxDemanded, "description": fmt.Sprintf("1 to %d: how many %s", maxDemanded, of)}
}

// SettingsSchema implements policy.DescribedAuthority.
func (a *Authority) SettingsSchema() (identities, timestamps map[string]any) {
	identity, times := make(map[string]any), make(map[string]any)
	for name, schema := range instanceSettings() {
		identity[name], times[name] = schema, schema
	}
	identity[settingIssuer] = text("who has vouched for the subject, exactly")
	identity[sigstore.SubjectEmail] = text("the subject is this address; exactly one of email, uri and username is given")
	identity[sigstore.SubjectURI] = text("the subject is a URI; * stands for one whole segment, ** for any number")
	identity[sigstore.SubjectUsername] = text("the subject is this name")
	for _, name := range sigstore.Claims() {
		identity[name] = text("what the certificate's extension " + name + " must say; * and ** are as in uri")
	}
	object := func(properties map[string]any) map[string]any {
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	}
	identities = object(identity)
	identities["required"] = []any{settingIssuer}
	return identities, object(times)
}
