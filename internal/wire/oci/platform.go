package oci

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Fit is how the platform of an index's entry goes with a platform that is asked for.
type Fit int

const (
	// FitNone is that of an entry that clients for the platform do not run.
	FitNone Fit = iota
	// FitLower is that of an entry for a lesser platform, such as linux/386 for
	// linux/amd64: clients may run it where the index lists nothing better.
	FitLower
	// FitDoubtful is that of an entry that does not say all of its platform: clients
	// may take it for the one that is asked for.
	FitDoubtful
	// FitVariant is that of an entry for some variant, where none is asked for.
	FitVariant
	// FitExact is that of an entry for the platform.
	FitExact
)

// FitOf compares platforms as containerd does, by NormalPlatform. An entry that has no
// platform, no OS or no architecture is doubtful: a client may put its own in the place.
func FitOf(have *v1.Platform, want v1.Platform) Fit {
	if have == nil {
		return FitDoubtful
	}
	h, w := NormalPlatform(*have), NormalPlatform(want)
	fit := fitOfVariant(h, w, want.Variant != "")
	switch {
	case h.OS != "" && h.OS != w.OS:
		return FitNone
	case h.Architecture == "":
		return FitDoubtful
	case h.Architecture != w.Architecture && !runsLesser(w.Architecture, h.Architecture):
		return FitNone
	case h.Architecture != w.Architecture:
		return FitLower
	case fit == FitLower:
	case h.OS == "":
		return FitDoubtful
	case w.OSVersion != "" && h.OSVersion != w.OSVersion:
		return fitOfVersion(h, w)
	}
	return fit
}

// runsLesser reports whether containerd runs a lesser architecture where it finds
// nothing better.
func runsLesser(architecture, lesser string) bool {
	return architecture == "amd64" && lesser == "386" || architecture == "arm64" && lesser == "arm"
}

// fitOfVariant compares the variants of normalised platforms. Which variant of arm a
// machine has is not known unless it is asked for: each goes with it alike.
func fitOfVariant(have, want v1.Platform, asked bool) Fit {
	switch {
	case have.Variant == want.Variant && (asked || want.Architecture != "arm"):
		return FitExact
	case !asked:
		return FitVariant
	}
	return FitLower
}

// fitOfVersion compares versions of the OS that are not equal. containerd does so for
// Windows alone, by build, and takes an entry without a version.
func fitOfVersion(have, want v1.Platform) Fit {
	build := func(version string) []string {
		return strings.SplitN(version, ".", 4)[:min(3, strings.Count(version, ".")+1)]
	}
	if want.OS != "windows" || have.OSVersion == "" || slices.Equal(build(have.OSVersion), build(want.OSVersion)) {
		return FitDoubtful
	}
	return FitLower
}

// ParsePlatform reads OS/ARCH[/VARIANT], as in linux/arm64, and returns the normal form.
// The version of the OS may follow its name in brackets, as containerd writes it, or the
// whole after a colon, as go-containerregistry does: windows(10.0.17763)/amd64.
func ParsePlatform(text string) (v1.Platform, error) {
	var p v1.Platform
	names, version, _ := strings.Cut(text, ":")
	parts := strings.Split(names, "/")
	if name, bracketed, found := strings.Cut(parts[0], "("); found && version == "" {
		if version, found = strings.CutSuffix(bracketed, ")"); !found {
			return p, fmt.Errorf("platform %.100q: a bracket is not closed", text)
		}
		parts[0] = name
	}
	if len(parts) < 2 || len(parts) > 3 {
		return p, fmt.Errorf("platform %.100q: want OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64", text)
	}
	for _, part := range append(parts, version) {
		if strings.Trim(part, platformLetters) != "" {
			return p, fmt.Errorf("platform %.100q: want letters, digits, dots, hyphens and underscores", text)
		}
	}
	if p.OS, p.Architecture, p.OSVersion = parts[0], parts[1], version; len(parts) == 3 {
		p.Variant = parts[2]
	}
	if p.OS == "" || p.Architecture == "" || len(parts) == 3 && p.Variant == "" {
		return p, fmt.Errorf("platform %.100q: a part is empty", text)
	}
	return AskedPlatform(p), nil
}

// AskedPlatform is the normal form of a platform that is asked for. A variant that is named
// stays named, also where the normal form leaves it out: arm64/v8 is not any arm64.
func AskedPlatform(p v1.Platform) v1.Platform {
	n := NormalPlatform(p)
	if n.Variant == "" && p.Variant != "" {
		n.Variant = map[string]string{"amd64": "v1", "arm64": "v8"}[n.Architecture]
	}
	return n
}

const platformLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// NormalPlatform is a platform by the names that containerd compares
// (containerd/platforms, Normalize), and 386 for all names of it. An OS that is not
// named stays so.
func NormalPlatform(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	switch p.Architecture {
	case "i386", "i486", "i586", "i686":
		p.Architecture, p.Variant = "386", ""
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	p.Variant = normalVariant(p.Architecture, p.Variant)
	return p
}

func normalVariant(architecture, variant string) string {
	switch architecture + "/" + variant {
	case "amd64/v1", "arm64/8", "arm64/v8", "arm64/v8.0":
		return ""
	case "arm64/9", "arm64/9.0", "arm64/v9.0":
		return "v9"
	case "arm/", "arm/7":
		return "v7"
	case "arm/5", "arm/6", "arm/8":
		return "v" + variant
	}
	return variant
}
