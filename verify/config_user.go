package verify

import (
	"slices"
	"strconv"
	"strings"
)

// Forms of the user in an image's config: USER or USER:GROUP.
//
// Source: OCI Image Format Specification v1.1, config.md ("User").

// administrators are names of administrators in lower case: root and its second name on
// BSD, and those of Windows.
var administrators = []string{"root", "toor", "administrator", "administrators", "containeradministrator", "system", "localsystem", "trustedinstaller"}

// windowsSID begins the identifier of an account in Windows.
const windowsSID = "s-1-"

// windowsUser is the only user of a Windows image that is known not to be an
// administrator: Windows' base images define it. Names in Windows ignore case.
const windowsUser = "containeruser"

// runsAsRoot reports whether the image may run as an administrator. Only these users are
// known not to be administrators:
//
//   - a number from 1 to 2^31-1, in decimal without sign and leading zeros. Runtimes
//     have cut larger ones to 32 bits (CVE-2024-40635).
//   - a name of letters, digits, and _ . - that is not in administrators. The image's
//     /etc/passwd defines its number, and is not read.
//   - in an image for Windows, ContainerUser alone. Any other user may be in the group
//     of the administrators.
func (v *imageView) runsAsRoot() bool {
	user, group, _ := strings.Cut(v.Config.User, ":")
	name := strings.ToLower(user)
	switch {
	case v.isForWindows():
		return strings.ToLower(v.Config.User) != windowsUser
	case group != "" && !isNumber(group) && !isAccount(group):
		return true
	case isNumber(user) && user[0] != '0':
		_, err := strconv.ParseInt(user, 10, 32)
		return err != nil
	}
	return !isAccount(user) || slices.Contains(administrators, name) || strings.HasPrefix(name, windowsSID)
}

// isForWindows reports whether the config, or an index that lists the image, names
// Windows.
func (v *imageView) isForWindows() bool {
	return isWindows(v.OS) || v.listedFor != nil && isWindows(v.listedFor.OS)
}

func isWindows(os string) bool { return strings.EqualFold(strings.TrimSpace(os), "windows") }

// isNumber reports whether text is the number of a user or group.
func isNumber(text string) bool {
	return text != "" && len(text) <= 10 && strings.Trim(text, "0123456789") == ""
}

// isAccount reports whether text is a name that useradd gives to users and groups.
func isAccount(text string) bool {
	name := strings.TrimSuffix(text, "$")
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '.' && c != '-') {
			return false
		}
	}
	return name != "" && len(name) <= 63
}
