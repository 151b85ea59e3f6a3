package provenance

// buildTypes is the document that explains the build types of our own.
const buildTypes = "https://github.com/hallmark-oci/hallmark/blob/main/attest/provenance/buildtypes.md"
