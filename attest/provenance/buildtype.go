package provenance

// buildTypes is the URI of the document that explains the build types of this package.
const buildTypes = "https://github.com/hallmark-oci/hallmark/blob/main/attest/provenance/buildtypes.md"
