package command

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
)

// Programs whose commands and flags are answered.
const (
	ofCosign   = "cosign"
	ofNotation = "notation"
	ofSkopeo   = "skopeo"
	ofCrane    = "crane"
)

// foreignCommand is a command of another program, and a hint at what does the same here.
type foreignCommand struct{ program, hint string }

// foreignCommands are commands that this program has not, or whose subcommands it has not.
// A command of two words comes before one of its first.
var foreignCommands = sync.OnceValue(func() map[string]foreignCommand {
	return map[string]foreignCommand{
		"generate-key-pair":       {ofCosign, "make a pair of keys: hallmark keygen"},
		"verify-attestation":      {ofCosign, "name type, signer and conditions in a policy: hallmark verify --policy FILE IMAGE"},
		"attest-blob":             {ofCosign, "statements are about images; a file is signed by: hallmark sign-blob FILE --bundle FILE --key FILE"},
		"verify-blob-attestation": {ofCosign, "statements are about images; the signature of a file is verified by: hallmark verify-blob FILE --bundle FILE --key FILE"},
		"tree":                    {ofCosign, "see what is attached: hallmark inspect IMAGE"},
		"triangulate":             {ofCosign, "see where each piece of evidence is: hallmark inspect IMAGE"},
		"save":                    {ofCosign, "write the image and its evidence to a file: hallmark copy IMAGE oci-archive:FILE:TAG"},
		"load":                    {ofCosign, "read the image and its evidence from a file: hallmark copy oci-archive:FILE:TAG IMAGE"},
		"clean":                   {ofCosign, "remove what is attached: hallmark detach --type all IMAGE"},
		"attach":                  {ofCosign, "sign the image here, or copy its evidence with it: hallmark copy SOURCE DESTINATION"},
		"attach sbom":             {ofCosign, "sign the SBOM as an attestation: hallmark attest --key FILE --type spdx --predicate FILE IMAGE"},
		"attach signature":        {ofCosign, "sign the image here: hallmark sign --key FILE IMAGE"},
		"attach attestation":      {ofCosign, "sign the predicate here: hallmark attest --key FILE --type TYPE --predicate FILE IMAGE"},
		"dockerfile":              {ofCosign, "verify the base images by name, and pin the digests that are printed: hallmark verify --key FILE IMAGE"},
		"manifest":                {ofCosign, "verify the images by name, and pin the digests that are printed: hallmark verify --key FILE IMAGE"},
		"login":                   {ofCosign, "log in with docker or podman, whose credentials are used: docker login HOST"},
		"logout":                  {ofCrane, "log out with docker or podman, whose credentials are used: docker logout HOST"},
		"initialize":              {ofCosign, "get a trust root as a file: hallmark trusted-root fetch --help"},
		"env":                     {ofCosign, "the only variable is " + passwordVariable + "; see where it is read: hallmark sign --help"},
		"piv-tool":                {ofCosign, "keys on tokens are opened by plug-ins: hallmark sign --help"},
		"pkcs11-tool":             {ofCosign, "keys on tokens are opened by plug-ins: hallmark sign --help"},
		"generate":                {ofCosign, "sign the image, which needs no payload in a file: hallmark sign --key FILE IMAGE"},
		"upload":                  {ofCosign, "push files with oras, and sign what was pushed: hallmark sign --key FILE IMAGE"},
		"bundle":                  {ofCosign, "bundles are read as they are: hallmark verify-blob FILE --bundle FILE --key FILE"},
		"signing-config":          {ofCosign, "a signing configuration is read by: hallmark sign --keyless --signing-config FILE --trusted-root FILE IMAGE"},

		"list":              {ofNotation, "see what is attached: hallmark inspect IMAGE"},
		"ls":                {ofNotation, "see what is attached: hallmark inspect IMAGE"},
		"key":               {ofNotation, "keys are files: hallmark keygen"},
		"cert":              {ofNotation, "authorities are in a trust root: hallmark trusted-root create --help"},
		"certificate":       {ofNotation, "authorities are in a trust root: hallmark trusted-root create --help"},
		"plugin":            {ofNotation, "plug-ins are linked into a program of your own: hallmark sign --help"},
		"blob":              {ofNotation, "sign a file: hallmark sign-blob FILE --bundle FILE --key FILE"},
		"policy show":       {ofNotation, "see what a policy says of an image: hallmark policy explain FILE IMAGE"},
		"policy import":     {ofNotation, "a policy is a file: hallmark policy check FILE"},
		"policy init":       {ofCosign, "a policy is a file: hallmark policy check FILE"},
		"policy sign":       {ofCosign, "sign the file of a policy: hallmark sign-blob FILE --bundle FILE --key FILE"},
		"policy verify":     {ofCosign, "verify the file of a policy: hallmark verify-blob FILE --bundle FILE --key FILE"},
		"delete":            {ofSkopeo, "remove what is attached to an image: hallmark detach --type all IMAGE"},
		"list-tags":         {ofSkopeo, "name the image by its tag or digest: hallmark inspect IMAGE"},
		"sync":              {ofSkopeo, "copy images one by one: hallmark copy SOURCE DESTINATION"},
		"standalone-sign":   {ofSkopeo, "sign images where they are: hallmark sign --key FILE IMAGE"},
		"standalone-verify": {ofSkopeo, "verify images where they are: hallmark verify --key FILE IMAGE"},
		"pull":              {ofCrane, "write the image to a file: hallmark copy IMAGE oci-archive:FILE:TAG"},
		"push":              {ofCrane, "read the image from a file: hallmark copy oci-archive:FILE:TAG IMAGE"},
		"cp":                {ofCrane, "copy the image with its evidence: hallmark copy SOURCE DESTINATION"},
		"digest":            {ofCrane, "see the digest and what is attached: hallmark inspect IMAGE"},
		"config":            {ofCrane, "see the digest and what is attached: hallmark inspect IMAGE"},
		"validate":          {ofCrane, "verify who signed the image: hallmark verify --key FILE IMAGE"},
		"auth":              {ofCrane, "log in with docker or podman, whose credentials are used: docker login HOST"},
	}
})

// advised is an error with a hint of its own.
type advised struct {
	error
	hint string
}

func (e advised) Unwrap() error { return e.error }

// unknownCommand answers a command that cmd has not.
func unknownCommand(cmd *cobra.Command, given []string) error {
	name := given[0]
	path := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
	var keys []string
	if len(given) > 1 {
		keys = append(keys, strings.TrimSpace(path+" "+name+" "+given[1]))
	}
	for _, key := range append(keys, strings.TrimSpace(path+" "+name)) {
		if f, known := foreignCommands()[key]; known {
			return advised{usageError("%q is a command of %s", key, f.program), f.hint}
		}
	}
	err := usageError("unknown command %q for %q", registry.SafeText(name, maxText), cmd.CommandPath())
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if near := nearest(name, names); near != "" {
		return advised{err, "did you mean: " + cmd.CommandPath() + " " + near + " --help"}
	}
	return err
}

// answerUnknownCommands makes every command that has others answer for those it has not.
func answerUnknownCommands(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		answerUnknownCommands(c)
	}
	if !cmd.HasSubCommands() {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(cmd, args)
	}
	if cmd.RunE == nil {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

// unknownFlag answers a flag that cmd has not.
func (a *app) unknownFlag(cmd *cobra.Command, err error) error {
	if given := wordsOf(cmd, a.args); cmd.HasSubCommands() && len(given) > 0 {
		return unknownCommand(cmd, given) // its flags are as unknown
	}
	return foreign(cmd, err)
}

// wordsOf are the arguments behind a command's own name that are not flags. The values of
// flags that the command has are left out.
func wordsOf(cmd *cobra.Command, args []string) (words []string) {
	path := strings.Fields(cmd.CommandPath())[1:]
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return append(words, args[i+1:]...)
		case !strings.HasPrefix(arg, "-") || arg == "-":
			if len(path) > 0 && arg == path[0] {
				path = path[1:]
				continue
			}
			words = append(words, arg)
		case !strings.Contains(arg, "=") && takesValue(cmd, arg):
			i++
		}
	}
	return words
}

func takesValue(cmd *cobra.Command, arg string) bool {
	f := cmd.Flag(strings.TrimPrefix(arg, "--"))
	if short, isShort := strings.CutPrefix(arg, "-"); isShort && len(short) == 1 {
		f = cmd.Flags().ShorthandLookup(short)
	}
	return f != nil && f.NoOptDefVal == ""
}

// nearest is the name that a typing error may have made another of, or "".
func nearest(given string, names []string) string {
	best, least := "", max(1, len(given)/3)+1
	for _, name := range slices.Sorted(slices.Values(names)) {
		if d := distance(given, name, least); d < least {
			best, least = name, d
		}
		if len(given) >= 3 && strings.HasPrefix(name, given) && best == "" {
			best = name
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour, up
// to most. Texts of very different lengths are not compared.
func distance(a, b string, most int) int {
	if len(a) > 64 || len(b) > 64 || max(len(a)-len(b), len(b)-len(a)) > most {
		return most
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			other := 1
			if a[i-1] == b[j-1] {
				other = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+other)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// foreignVariables are variables of cosign that this program does not read. Each is looked
// at only where a command has failed in a way that it would have prevented.
var foreignVariables = []struct {
	name string
	errs []error
	hint string
}{
	{"COSIGN_PASSWORD", []error{errNoPassword, sign.ErrPassword}, "give the password in " + passwordVariable + ", or in a file: hallmark sign --password-file FILE --key FILE IMAGE"},
	{"COSIGN_REPOSITORY", []error{errDenied, errNothing}, "name where the evidence is: hallmark verify --evidence-repository REPOSITORY --key FILE IMAGE"},
	{"COSIGN_MAX_ATTACHMENT_SIZE", []error{registry.ErrTooLarge}, "say how much to read: hallmark verify --max-payload-bytes 67108864 --key FILE IMAGE"},
	{"SIGSTORE_ID_TOKEN", []error{keyless.ErrIdentity}, "write the token to a file, and name it: hallmark sign --keyless --identity-token FILE --signing-config FILE --trusted-root FILE IMAGE"},
	{"SIGSTORE_ROOT_FILE", []error{errNoRoot}, rootHint},
	{"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", []error{errNoRoot}, rootHint},
	{"SIGSTORE_REKOR_PUBLIC_KEY", []error{errNoRoot}, rootHint},
	{"SIGSTORE_TSA_CERTIFICATE_FILE", []error{errNoRoot}, rootHint},
	{"TUF_ROOT", []error{errNoRoot, errNoTUF}, "get a trust root as a file: hallmark trusted-root fetch --help"},
	{"TUF_ROOT_JSON", []error{errNoRoot, errNoTUF}, "get a trust root as a file: hallmark trusted-root fetch --help"},
	{"TUF_MIRROR", []error{errNoRoot, errNoTUF}, "get a trust root as a file: hallmark trusted-root fetch --help"},
	{"COSIGN_PKCS11_MODULE_PATH", []error{errNoPlugin}, "keys on tokens are opened by plug-ins: hallmark sign --help"},
	{"COSIGN_PKCS11_PIN", []error{errNoPlugin}, "keys on tokens are opened by plug-ins: hallmark sign --help"},
}

const rootHint = "make a trust root of certificates and keys: hallmark trusted-root create --help"

// foreignVariable tells of a variable that would have kept an error from happening, if this
// program read it. It returns the hint, or "".
func (a *app) foreignVariable(err error) string {
	for _, v := range foreignVariables {
		if !slices.ContainsFunc(v.errs, func(target error) bool { return errors.Is(err, target) }) {
			continue
		}
		if value, set := a.lookupEnv(v.name); set && value != "" {
			a.console.say("hallmark: %s is set, which is a variable of cosign and not read here", v.name)
			return v.hint
		}
	}
	return ""
}
