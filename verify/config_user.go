package verify

import (
	"slices"
	"strconv"
	"strings"
)

// Users that an image may say it runs as, as USER or USER:GROUP.
//
// Source: OCI Image Format Specification v1.1, config.md ("User").

// administrators are names that mean an administrator wherever they are known, in
// lower case: root and its second name on BSD; those of Windows.
var administrators = []string{"root", "toor", "administrator", "administrators", "containeradministrator", "system", "localsystem", "trustedinstaller"}

// windowsSID begins the identifier by which Windows knows an account.
const windowsSID = "s-1-"

// windowsUser is the only user of a Windows image that is known to have no rights of
// an administrator: Windows' base images define it so. Names of Windows have no case.
const windowsUser = "containeruser"

// runsAsRoot reports whether the image may run as an administrator. Only these users
// do not:
//
//   - a number from 1 to 2^31-1, in decimal without sign and leading zeros: runtimes
//     have cut larger ones to 32 bits (CVE-2024-40635);
//   - a name other than root and its like, in letters, digits, and _ . -, which is the
//     image's to define in its /etc/passwd: that is not looked at;
//   - in an image for Windows, ContainerUser alone, since any other may be in the group
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

// isForWindows reports whether the config, or an index that lists the image, says so.
func (v *imageView) isForWindows() bool {
	return isWindows(v.OS) || v.listedFor != nil && isWindows(v.listedFor.OS)
}

func isWindows(os string) bool { return strings.EqualFold(strings.TrimSpace(os), "windows") }

// isNumber reports whether text is a number as it is written for a user or group.
func isNumber(text string) bool {
	return text != "" && len(text) <= 10 && strings.Trim(text, "0123456789") == ""
}

// isAccount reports whether text is the name of a user or group as useradd makes them.
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
