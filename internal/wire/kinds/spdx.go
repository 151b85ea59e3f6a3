package kinds

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// spdxTags are the tags of SPDX 2 documents, each between blanks (SPDX 2.3, "tag:value" in
// each section; and what earlier versions had).
const spdxTags = " " +
	"SPDXVersion DataLicense SPDXID DocumentName DocumentNamespace ExternalDocumentRef " +
	"DocumentComment LicenseListVersion Creator Created CreatorComment PackageName " +
	"PackageVersion PackageFileName PackageSupplier PackageOriginator " +
	"PackageDownloadLocation FilesAnalyzed PackageVerificationCode PackageChecksum " +
	"PackageHomePage PackageSourceInfo PackageLicenseConcluded PackageLicenseInfoFromFiles " +
	"PackageLicenseDeclared PackageLicenseComments PackageCopyrightText PackageSummary " +
	"PackageDescription PackageComment ExternalRef ExternalRefComment PackageAttributionText " +
	"PrimaryPackagePurpose ReleaseDate BuiltDate ValidUntilDate FileName FileType " +
	"FileChecksum LicenseConcluded LicenseInfoInFile LicenseComments FileCopyrightText " +
	"FileComment FileNotice FileContributor FileAttributionText FileDependency " +
	"ArtifactOfProjectName ArtifactOfProjectHomePage ArtifactOfProjectURI SnippetSPDXID " +
	"SnippetSPDXIdentifier SnippetFromFileSPDXID SnippetByteRange SnippetLineRange " +
	"SnippetLicenseConcluded LicenseInfoInSnippet SnippetLicenseComments " +
	"SnippetCopyrightText SnippetComment SnippetName SnippetAttributionText LicenseID " +
	"ExtractedText LicenseName LicenseCrossReference LicenseComment Relationship " +
	"RelationshipComment Annotator AnnotationDate AnnotationType AnnotationComment SPDXREF " +
	"Reviewer ReviewDate ReviewComment "

// Where a value of several lines begins and ends.
const textBegin, textEnd = "<text>", "</text>"

// maxLine bounds one line.
const maxLine = 1 << 20

// ofSPDXText reads lines of tags and values. The first one says what it is; comments and
// empty lines may stand between, but a script's first line is not a comment.
func ofSPDXText(b *bufio.Reader) (Set, error) {
	said, inText := false, false
	for {
		line, err := readLine(b)
		switch {
		case err == io.EOF && said && !inText:
			return SPDXText, nil
		case err == io.EOF, errors.Is(err, errNotText):
			return 0, nil
		case err != nil:
			return 0, err
		case inText:
			inText = !strings.Contains(line, textEnd)
			continue
		}
		tag, value, ok := spdxLine(line)
		if !ok || tag != "" && !said && !(tag == "SPDXVersion" && strings.HasPrefix(value, "SPDX-2.")) {
			return 0, nil
		}
		said = said || tag != ""
		inText = strings.HasPrefix(value, textBegin) && !strings.Contains(value, textEnd)
	}
}

// errNotText says that a line is longer than those of a text.
var errNotText = errors.New("not a text")

// readLine reads a line; io.EOF says that there is none.
func readLine(b *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == io.EOF && len(line) > 0, err == nil:
			return string(line), nil
		case err != bufio.ErrBufferFull:
			return "", err
		case len(line) > maxLine:
			return "", errNotText
		}
	}
}

// spdxLine reads a line; tag is "" for comments and empty lines.
func spdxLine(line string) (tag, value string, ok bool) {
	text := strings.TrimSpace(line)
	if text == "" || text[0] == '#' {
		return "", "", !strings.HasPrefix(line, "#!")
	}
	tag, value, ok = strings.Cut(text, ":")
	return tag, strings.TrimSpace(value), ok && isSPDXTag(tag)
}

func isSPDXTag(tag string) bool {
	return tag != "" && !strings.Contains(tag, " ") && strings.Contains(spdxTags, " "+tag+" ")
}
