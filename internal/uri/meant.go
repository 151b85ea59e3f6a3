package uri

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// A mistake is why no builder writes a text, and what was probably meant.
type mistake struct {
	text, why string
	// meant are texts in place of it. Empty: they cannot be told.
	meant []string
}

func (m *mistake) Error() string {
	text := fmt.Sprintf("%.200q, which %s", shown(m.text), m.why)
	if len(m.meant) == 0 {
		return text
	}
	quoted := make([]string, 0, len(m.meant))
	for _, meant := range m.meant {
		quoted = append(quoted, fmt.Sprintf("%.200q", shown(meant)))
	}
	return text + "; want " + strings.Join(quoted, " or ")
}

// shown is a text without the login and query of a URI, which may hold secrets.
func shown(text string) string {
	scheme, rest, is := strings.Cut(text, "://")
	if !is {
		return text
	}
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		rest = "…" + authority[at:] + strings.TrimPrefix(rest, authority)
	}
	if query := strings.IndexByte(rest, '?'); query >= 0 && strings.Contains(path, "?") {
		rest = rest[:query] + "?…"
	}
	return scheme + "://" + rest
}

// errAny is about a pattern that matches everything.
var errAny = errors.New("matches any: leave the field out to accept any")

// step mends one mistake in a text. It returns the text as it was if there is none.
type step func(text string) (mended, why string)

// mend takes all steps. The first mistake is told, with the text that all steps make.
func mend(text string, steps ...step) (mended string, err *mistake) {
	mended = text
	for _, s := range steps {
		next, why := s(mended)
		if why != "" && err == nil {
			err = &mistake{text: text, why: why}
		}
		mended = next
	}
	return mended, err
}

// CheckSource refuses what can never be the source of a build, or matches what belongs to
// anyone. A source is the URI of a git repository without its ref. The error says what was
// probably meant.
func CheckSource(text string) error {
	if isAny(text) {
		return &mistake{text: text, why: errAny.Error()}
	}
	meant, err := mend(text, spaced, commandLine, schemeless("git+https://"), schemed, hosted, refInSource, slashed)
	if err != nil && checkSource(meant) == nil {
		err.meant = []string{meant}
	}
	if err != nil {
		return err
	}
	return checkSource(text)
}

func checkSource(text string) error {
	fail := func(why string, meant ...string) error { return &mistake{text, why, meant} }
	if !IsAbsolute(text) {
		return fail("is not an absolute URI such as git+https://github.com/acme/app")
	}
	_, rest, hierarchical := strings.Cut(text, "://")
	switch {
	case !hierarchical && HasWildcard(text):
		return fail("has a wildcard, but neither host nor path")
	case !hierarchical:
		return nil
	case strings.ContainsAny(rest, "?#"):
		return fail("has a query or fragment; the ref belongs in ref")
	case strings.Contains(rest, "@"):
		return fail("has a login or a ref; the ref belongs in ref")
	}
	segments := strings.Split(rest, "/")
	if err := checkSegments(text, segments); err != nil {
		return err
	}
	least, most := depth(segments[0])
	path := segments[1:]
	few, many := len(path), len(path) // segments of what it matches
	if at := slices.Index(path, "**"); at >= 0 {
		if many = most; at < len(path)-1 {
			few--
		}
	}
	switch {
	case len(path) == 0:
		return fail("names a host, and no repository")
	case many < least:
		return fail("names an owner, and no repository", text+"/*")
	case few > most:
		return fail("is longer than a repository's address at that host", strings.TrimSuffix(text, "/"+strings.Join(segments[most+1:], "/")))
	}
	return nil
}

// checkSegments refuses wildcards that stand for a part of a segment or for an owner, and
// ways up.
func checkSegments(text string, segments []string) error {
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		switch {
		case err != nil || s == "" && i > 0 || plain == "." || plain == ".." || strings.ContainsAny(plain, `/\`):
			return &mistake{text: text, why: fmt.Sprintf("has the segment %q", s)}
		case i == 0 && HasWildcard(s):
			return &mistake{text: text, why: "has a wildcard in its host, so it would match what belongs to anyone"}
		case i == 1 && HasWildcard(s):
			return &mistake{text: text, why: "has a wildcard in its first segment, so it would match what belongs to anyone"}
		case HasWildcard(s) && s != "*" && s != "**":
			all := slices.Clone(segments)
			all[i] = "*"
			return &mistake{text, "has * in a segment, and it stands for a whole one: name each, or match all", []string{strings.TrimSuffix(text, strings.Join(segments, "/")) + strings.Join(all, "/")}}
		}
	}
	_, err := ParsePattern(text)
	return err
}

// depth is how many segments a repository of a host has at least and at most.
func depth(host string) (least, most int) {
	switch host {
	case "github.com", "bitbucket.org", "codeberg.org":
		return 2, 2
	case "gitlab.com":
		return 2, 100
	}
	return 1, 100
}

// CheckBuilder refuses what can never be a builder ID, or matches what belongs to anyone.
// The error says what was probably meant.
func CheckBuilder(text string) error {
	if isAny(text) {
		return &mistake{text: text, why: "matches any builder, which anyone can run"}
	}
	meant, err := mend(text, spaced, schemeless("https://"), schemed, withoutGit, hosted)
	if err != nil && checkBuilder(meant) == nil {
		err.meant = []string{meant}
	}
	if err != nil {
		return err
	}
	return checkBuilder(text)
}

func checkBuilder(text string) error {
	if !IsAbsolute(text) {
		return &mistake{text: text, why: "is not an absolute URI such as https://ci.example/builder"}
	}
	if _, rest, _ := strings.Cut(text, "://"); strings.Contains(strings.SplitN(rest, "/", 2)[0], "@") {
		return &mistake{text: text, why: "has a login"}
	}
	if err := checkWorkflow(text); err != nil {
		return err
	}
	if HasWildcard(text) {
		before, _, _ := strings.Cut(text, "@")
		if _, rest, is := strings.Cut(before, "://"); is {
			segments := strings.Split(rest, "/")
			if len(segments) > 1 { // GitLab's workflows have an empty segment before their file
				segments = slices.DeleteFunc(segments, func(s string) bool { return s == "" })
			}
			if err := checkSegments(before, segments); err != nil {
				return err
			}
		}
		_, err := ParseOwned(text)
		return err
	}
	return nil
}

// CheckIdentity refuses a pattern that can never match the subject of a certificate, or
// matches what belongs to anyone, or what anyone can push. The error says what was probably meant.
func CheckIdentity(text string) error {
	meant, err := mend(text, spaced, schemed, hosted)
	if err != nil && checkIdentity(meant) == nil {
		err.meant = []string{meant}
	}
	if err != nil {
		return err
	}
	return checkIdentity(text)
}

func checkIdentity(text string) error {
	if strings.HasPrefix(text, "https://github.com/") && !strings.Contains(text, "@") {
		return &mistake{text, "has no ref, and the identity of a workflow has one", []string{text + "@refs/heads/main", text + "@refs/tags/*"}}
	}
	return checkBuilder(text)
}

// workflows is where GitHub looks for workflows.
const workflows = ".github/workflows"

// checkWorkflow refuses a workflow without a full ref, and one of GitHub without its file
// or ref, which its builder ID always has.
func checkWorkflow(text string) error {
	before, ref, pinned := strings.Cut(text, "@")
	fail := func(why string, meant ...string) error { return &mistake{text, why, meant} }
	path, ofGitHub := strings.CutPrefix(before, "https://github.com/")
	ofGitHub = ofGitHub && strings.Contains(path, "/"+workflows)
	segments := strings.Split(path, "/")
	isFile := strings.HasSuffix(path, ".yml") || strings.HasSuffix(path, ".yaml")
	// Wildcards in both may match workflows at any ref.
	isFlow := isFile || strings.HasPrefix(ref, "refs/") || HasWildcard(before) && HasWildcard(ref)
	switch file := segments[len(segments)-1]; {
	case !ofGitHub && (!pinned || !isFlow):
		return nil
	case !ofGitHub:
	case len(segments) != 5 && !slices.Contains(segments, "**"):
		return fail("is not https://github.com/OWNER/REPOSITORY/" + workflows + "/FILE@REF")
	case !HasWildcard(file) && !isFile:
		return fail("names no file of a workflow, which ends in .yml or .yaml")
	case !pinned:
		return fail("has no ref, and a workflow's ID has one", text+"@refs/heads/main", text+"@refs/tags/*")
	}
	switch {
	case isCommit(ref):
		return nil
	case isAny(ref) || ref == "refs/**":
		return fail("has a ref that matches any, also what anyone can push, such as pull requests", before+"@refs/heads/main", before+"@refs/tags/*")
	}
	err := CheckRef(ref)
	if m := (*mistake)(nil); errors.As(err, &m) {
		for i := range m.meant {
			m.meant[i] = before + "@" + m.meant[i]
		}
		return fail("has a ref that "+m.why, m.meant...)
	}
	return err
}

// isAny reports whether a pattern matches everything.
func isAny(text string) bool { return strings.Trim(text, "*/ ") == "" && HasWildcard(text) }

func spaced(text string) (string, string) {
	trimmed := strings.TrimSpace(text)
	if trimmed == text {
		return text, ""
	}
	return trimmed, "has a space at its beginning or end"
}

// commandLine mends what git takes for a repository over SSH, and builders do not write.
func commandLine(text string) (string, string) {
	plain := strings.TrimPrefix(strings.TrimPrefix(text, "git+"), "ssh://")
	login, path, is := strings.Cut(plain, ":")
	_, host, loggedIn := strings.Cut(login, "@")
	if !loggedIn {
		host = login
	}
	if !is || !loggedIn && !strings.Contains(host, ".") || strings.Contains(login, "/") || strings.HasPrefix(path, "//") {
		return text, ""
	}
	if i := strings.IndexByte(path, '/'); i > 0 && strings.Trim(path[:i], "0123456789") == "" {
		return text, "" // a port
	}
	return "git+https://" + host + "/" + strings.TrimPrefix(path, "/"), "is an address for git, and not an absolute URI"
}

// schemeless returns a step that puts a scheme before a host.
func schemeless(scheme string) step {
	return func(text string) (string, string) {
		plain := strings.TrimPrefix(strings.TrimLeft(text, "/"), "git+")
		host, _, hasPath := strings.Cut(plain, "/")
		name, port, _ := strings.Cut(host, ":")
		switch {
		case strings.Contains(text, "://") || strings.Trim(port, "0123456789") != "" || host != plain && !hasPath:
			return text, ""
		case hasPath && strings.Contains(name, ".") && !strings.ContainsAny(name, "@+"):
			return scheme + plain, "has no scheme, and is not an absolute URI"
		}
		return text, ""
	}
}

// schemed mends the case and the form of a scheme.
func schemed(text string) (string, string) {
	scheme, rest, is := strings.Cut(text, ":")
	if !is {
		return text, ""
	}
	lower := strings.ToLower(scheme)
	switch {
	case lower != scheme:
		return lower + ":" + rest, "has a scheme in upper case"
	case slices.Contains([]string{"https", "http", "git+https", "git+http", "git+ssh", "ssh"}, scheme) && !strings.HasPrefix(rest, "//"):
		return scheme + "://" + strings.TrimLeft(rest, "/"), "has a scheme without //"
	case strings.HasPrefix(scheme, "git+git+"):
		return strings.TrimPrefix(text, "git+"), "has git+ twice"
	}
	return text, ""
}

// withoutGit mends a builder with the scheme of a source.
func withoutGit(text string) (string, string) {
	if plain, is := strings.CutPrefix(text, "git+"); is {
		return plain, "has the scheme of a source"
	}
	return text, ""
}

// ports are those that URIs of a scheme leave out.
var ports = map[string]string{"https": "443", "http": "80", "ssh": "22", "git": "9418"}

// hosted mends the case, the port and the end of a host.
func hosted(text string) (string, string) {
	scheme, rest, is := strings.Cut(text, "://")
	if !is {
		return text, ""
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, why := rest[:end], ""
	if strings.Contains(host, "@") {
		return text, ""
	}
	note := func(next, because string) {
		if next != host && why == "" {
			why = because
		}
		host = next
	}
	note(strings.ToLower(host), "has a host in upper case")
	if name, port, err := net.SplitHostPort(host); err == nil && (port == "" || port == ports[strings.TrimPrefix(scheme, "git+")]) {
		note(name, "has the port that its scheme leaves out")
	}
	note(strings.TrimSuffix(host, "."), "has a host that ends in a dot")
	return scheme + "://" + host + rest[end:], why
}

// refInSource mends a source with its ref.
func refInSource(text string) (string, string) {
	scheme, rest, is := strings.Cut(text, "://")
	slash := strings.IndexByte(rest, '/')
	if !is || slash < 0 {
		return text, ""
	}
	at := strings.IndexAny(rest[slash:], "@#?")
	if at < 0 {
		return text, ""
	}
	why := "has a query"
	if rest[slash+at] != '?' {
		why = "has a login or a ref; the ref belongs in ref"
	}
	return scheme + "://" + rest[:slash+at], why
}

// slashed mends slashes at the end of a source, and several in a row.
func slashed(text string) (string, string) {
	scheme, rest, is := strings.Cut(text, "://")
	if !is || strings.HasPrefix(rest, "/") || !strings.Contains(rest, "/") {
		return text, "" // a file's host is empty
	}
	segments := slices.DeleteFunc(strings.Split(rest, "/"), func(s string) bool { return s == "" })
	if mended := strings.Join(segments, "/"); mended != rest {
		return scheme + "://" + mended, "has an empty segment, or a slash at its end"
	}
	return text, ""
}

// CheckRef refuses what can never be a full ref of git, or matches what anyone can push.
// The error says what was probably meant.
func CheckRef(text string) error {
	if isAny(text) {
		return &mistake{text: text, why: errAny.Error()}
	}
	why := refProblem(text)
	if why == "" {
		return nil
	}
	m := &mistake{text: text, why: why}
	for _, meant := range meantRefs(text) {
		if refProblem(meant) == "" && meant != text {
			m.meant = append(m.meant, meant)
		}
	}
	return m
}

// refProblem says why a text is not a full ref; "" if it is one. Source: git's
// git-check-ref-format.
func refProblem(text string) string {
	segments := strings.Split(text, "/")
	switch {
	case text == "":
		return "is empty"
	case isCommit(text):
		return "is a commit; it belongs in commit"
	case segments[0] != "refs" || len(segments) == 1:
		return "is not a full ref"
	case HasWildcard(segments[1]):
		return "would match what anyone can push, such as pull requests"
	case slices.Contains([]string{"head", "tag", "branch", "branches", "remotes"}, strings.ToLower(segments[1])):
		return "is not a ref of a server"
	case segments[1] != "heads" && segments[1] != "tags" && slices.Contains([]string{"heads", "tags"}, strings.ToLower(segments[1])):
		return "is in upper case where git has lower case"
	case len(segments) < 3 || segments[2] == "" && len(segments) == 3:
		return "names no branch or tag"
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return "has a space or control character"
	case strings.ContainsAny(text, "~^:?[\\") || strings.Contains(text, "..") || strings.Contains(text, "@{"):
		return "has characters that no ref has"
	case strings.ContainsAny(text, "(){}|") || strings.HasSuffix(text, "$"):
		return "looks like a regular expression, and is compared by segments"
	}
	for _, s := range segments {
		switch {
		case s == "":
			return "has an empty segment, or a slash at its end"
		case strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".lock") || strings.HasSuffix(s, "."):
			return fmt.Sprintf("has the segment %q, which no ref has", s)
		case HasWildcard(s) && s != "*" && s != "**":
			return "has * in a segment, and it stands for a whole one: name each, or match all"
		}
	}
	if _, err := ParsePattern(text); err != nil {
		return "has ** twice, or a wildcard beside @"
	}
	return ""
}

// isVersion reports whether a name looks like that of a tag.
func isVersion(name string) bool {
	plain := strings.TrimPrefix(strings.ToLower(name), "v")
	return plain != "" && strings.IndexByte("0123456789*", plain[0]) >= 0
}

// meantRefs are full refs that a text may mean, the likeliest first.
func meantRefs(text string) []string {
	name := strings.Trim(strings.TrimSpace(text), "/@^$ ")
	if isCommit(strings.ToLower(name)) {
		return nil
	}
	kind := ""
	for _, prefix := range []string{"refs/", "remotes/", "origin/", "heads/", "head/", "branches/", "branch/", "tags/", "tag/"} {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			if name = name[len(prefix):]; prefix != "refs/" && prefix != "remotes/" {
				kind = prefix
			}
		}
	}
	segments := slices.DeleteFunc(strings.Split(name, "/"), func(s string) bool { return s == "" })
	for i, s := range segments {
		if HasWildcard(s) && s != "**" {
			segments[i] = "*"
		}
	}
	plain := strings.Join(segments, "/")
	if plain == "refs" {
		return nil
	}
	if lower := strings.ToLower(name); lower == "head" || lower == "heads" || lower == "tags" {
		plain = map[string]string{"head": "main", "heads": "**", "tags": "**"}[lower]
		kind = map[string]string{"head": "heads/", "heads": "heads/", "tags": "tags/"}[lower]
	}
	switch {
	case strings.HasPrefix(kind, "tag"):
		return []string{"refs/tags/" + plain}
	case kind != "":
		return []string{"refs/heads/" + plain}
	case len(segments) > 0 && (segments[0] == "**" || segments[0] == "*") && len(segments) > 1:
		plain = strings.Join(segments[1:], "/")
		return []string{"refs/heads/" + plain, "refs/tags/" + plain}
	case isVersion(name):
		return []string{"refs/tags/" + plain, "refs/heads/" + plain}
	}
	return []string{"refs/heads/" + plain, "refs/tags/" + plain}
}

// isCommit reports whether text is a commit of git, by SHA-1 or SHA-256.
func isCommit(text string) bool {
	return (len(text) == 40 || len(text) == 64) && strings.Trim(text, "0123456789abcdef") == ""
}

// CheckExact refuses a URI that no other URI equals.
func CheckExact(text string) error {
	meant, err := mend(text, spaced, schemeless("https://"), schemed)
	if err != nil {
		if IsAbsolute(meant) {
			err.meant = []string{meant}
		}
		return err
	}
	switch u, bad := url.Parse(text); {
	case HasWildcard(text):
		return &mistake{text: text, why: "holds *, and is compared exactly"}
	case !IsAbsolute(text):
		return &mistake{text: text, why: "is not an absolute URI"}
	case bad == nil && u.User != nil:
		return &mistake{text: text, why: "has a login"}
	}
	return nil
}
