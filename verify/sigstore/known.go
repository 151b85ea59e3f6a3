package sigstore

// Instances that are known by their names.
const (
	PublicGood = "public-good"
	GitHub     = "github"
)

// Known returns what evidence needs by an instance of this name; the caller sets its root.
//
//   - PublicGood is Sigstore's public instance: the strictest.
//   - GitHub is that of attestations of private repositories, and of releases. It has
//     neither transparency logs nor logs of certificates, and demands a timestamp.
//   - Any other name gets the zero Instance, which is the strictest.
//
// For the first two, CertificateAuthority chooses the root in a file with several.
func Known(name string) Instance {
	switch name {
	case PublicGood:
		return Instance{CertificateAuthority: "https://fulcio.sigstore.dev"}
	case GitHub:
		return Instance{CertificateAuthority: "fulcio.githubapp.com", WithoutLogs: true, WithoutCT: true}
	}
	return Instance{}
}
