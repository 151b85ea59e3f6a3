package kinds

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// spdxTags are the tags of SPDX 2 documents (SPDX 2.3, "tag:value" in each section; and
// what earlier versions had).
var spdxTags = func() map[string]bool {
	tags := make(map[string]bool)
	for tag := range strings.FieldsSeq(`
		SPDXVersion DataLicense SPDXID DocumentName DocumentNamespace ExternalDocumentRef DocumentComment
		LicenseListVersion Creator Created CreatorComment
		PackageName PackageVersion PackageFileName PackageSupplier PackageOriginator PackageDownloadLocation
		FilesAnalyzed PackageVerificationCode PackageChecksum PackageHomePage PackageSourceInfo
		PackageLicenseConcluded PackageLicenseInfoFromFiles PackageLicenseDeclared PackageLicenseComments
		PackageCopyrightText PackageSummary PackageDescription PackageComment ExternalRef ExternalRefComment
		PackageAttributionText PrimaryPackagePurpose ReleaseDate BuiltDate ValidUntilDate
		FileName FileType FileChecksum LicenseConcluded LicenseInfoInFile LicenseComments FileCopyrightText
		FileComment FileNotice FileContributor FileAttributionText FileDependency
		ArtifactOfProjectName ArtifactOfProjectHomePage ArtifactOfProjectURI
		SnippetSPDXID SnippetFromFileSPDXID SnippetByteRange SnippetLineRange SnippetLicenseConcluded
		LicenseInfoInSnippet SnippetLicenseComments SnippetCopyrightText SnippetComment SnippetName
		SnippetAttributionText LicenseID ExtractedText LicenseName LicenseCrossReference LicenseComment
		Relationship RelationshipComment Annotator AnnotationDate AnnotationType AnnotationComment SPDXREF
		Reviewer ReviewDate ReviewComment`) {
		tags[tag] = true
	}
	return tags
}()

// Where a value of several lines begins and ends.
const textBegin, textEnd = "<text>", "</text>"

// ofSPDXText reads lines of tags and values. The first one says what it is; comments and
// empty lines may stand between, but a script's first line is not a comment.
func ofSPDXText(b *bufio.Reader) (Set, error) {
	said, inText := false, false
	for {
		line, err := b.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return 0, err
		}
		more := err == nil
		switch {
		case inText:
			inText = !bytes.Contains(line, []byte(textEnd))
			more = more || err == bufio.ErrBufferFull
		case err == bufio.ErrBufferFull, bytes.HasPrefix(line, []byte("#!")):
			return 0, nil
		default:
			tag, value, ok := spdxLine(line)
			if !ok || tag != "" && !said && !(tag == "SPDXVersion" && strings.HasPrefix(value, "SPDX-2.")) {
				return 0, nil
			}
			said = said || tag != ""
			inText = strings.HasPrefix(value, textBegin) && !strings.Contains(value, textEnd)
		}
		if more {
			continue
		}
		if !said || inText {
			return 0, nil
		}
		return SPDXText, nil
	}
}

// spdxLine reads a line; tag is "" for comments and empty lines.
func spdxLine(line []byte) (tag, value string, ok bool) {
	text := strings.TrimSpace(string(line))
	if text == "" || text[0] == '#' {
		return "", "", true
	}
	tag, value, ok = strings.Cut(text, ":")
	return tag, strings.TrimSpace(value), ok && spdxTags[tag]
}
