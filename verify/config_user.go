package verify

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Users that an image may say it runs as, as USER or USER:GROUP.
//
// Source: OCI Image Format Specification v1.1, config.md ("User").
var (
	// userID is a number as it is written for a user; userName is a name as useradd
	// makes them.
	userID   = regexp.MustCompile(`^[1-9][0-9]{0,9}$`)
	userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,62}\$?$`)
	// userGroup is a group, by its number or name, or none.
	userGroup = regexp.MustCompile(`^(?:[0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,62}\$?|)$`)
)

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
	case !userGroup.MatchString(group):
		return true
	case userID.MatchString(user):
		_, err := strconv.ParseInt(user, 10, 32)
		return err != nil
	}
	return !userName.MatchString(user) || slices.Contains(administrators, name) || strings.HasPrefix(name, windowsSID)
}

// isForWindows reports whether the config, or an index that lists the image, says so.
func (v *imageView) isForWindows() bool {
	listed, _, _ := strings.Cut(v.listedFor, "/")
	return isWindows(v.OS) || isWindows(listed)
}

func isWindows(os string) bool { return strings.EqualFold(strings.TrimSpace(os), "windows") }
