package sigstorego

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// difference is a kind of bundle that one of the two refuses and the other accepts.
type difference struct {
	// sentence is how the documentation of package verify/sigstore says it.
	sentence string
	// refused are texts. The error of the one that refuses holds at least one.
	refused []string
	// of are texts. What is wrong with the bundle holds at least one. Nil: any.
	of []string
}

// stricter are what ours refuses and sigstore-go accepts.
var stricter = []difference{
	{sentence: "names of JSON members as files of Protocol Buffers have them", refused: []string{"a tlog entry has an unknown member", "malformed sigstore bundle: verificationMaterial"}},
	{sentence: "numbers with a fraction or an exponent, and numbers in place of the name of a hash or key", refused: []string{"is not a number from 0", "messageDigest.algorithm is not a string", "keyDetails is not a string"}},
	{sentence: "a kindVersion that is incomplete, or is not that of the log entry", refused: []string{"kindVersion"}},
	{sentence: "a root hash or tree size that is not the checkpoint's, and for Rekor v2 a log index that is not the proof's", refused: []string{"of another tree than the inclusion proof", "beside an inclusion proof"}},
	{sentence: "the body of an entry of Rekor v2 that is not the one that was logged: sigstore-go computes it, and reads the given one no further", refused: []string{"the certificate or key of the log entry differs"}, of: []string{"canonicalizedBody differs"}},
	{sentence: "members of an entry of Rekor v1 that are unknown or written in another case", refused: []string{"has an unknown member"}, of: []string{"logged body"}},
	{sentence: "an envelope's hash in an entry of Rekor v1 that is missing or is not a digest", refused: []string{"is not a digest by sha256, sha384 or sha512", "hash is not an object"}, of: []string{"logged body"}},
	{sentence: "a checkpoint of Rekor v1 whose signature is under another name than its origin", refused: []string{"the checkpoint does not verify"}},
	{sentence: "an entry of one of the root's logs that does not verify, beside others that do", refused: []string{"the signed entry timestamp does not verify", "a tlog entry without inclusionProof"}, of: []string{"two logs"}},
	{sentence: "a log that was not trusted at the signing time, for Rekor v2", refused: []string{"the log is not trusted at"}},
	{sentence: "one of several verified times that is outside of the certificate's validity", refused: []string{"is not within the certificate's validity"}, of: []string{"and one outside"}},
	{sentence: "a timestamp that names another certificate than its signer's, or is malformed in what sigstore-go does not read", refused: []string{"is bound to another certificate", "malformed timestamp"}, of: []string{"timestamp: "}},
	{sentence: "a certificate without key usage for digital signatures, for any use, or of an authority", refused: []string{"the certificate is not for signing code", "the certificate is not a signer's"}},
	{sentence: "a subject of another type, such as an email that is the text of a URI, and more than one subject", refused: []string{"the subject is the", "exactly one subject alternative name"}},
	{sentence: "two issuers in one certificate, and Fulcio's extensions that are not strings in UTF-8 without control characters", refused: []string{"names two issuers", "the certificate's extension"}},
	{sentence: "a workflow that another repository called, unless the identity says sourceRepository", refused: []string{"was called by another repository"}},
	{sentence: "more than 16 signed certificate timestamps", refused: []string{"malformed: signed certificate timestamps"}},
	{sentence: "an empty certificate in a chain, and a timestamp that is there twice", refused: []string{"a certificate is empty", "there twice"}, of: []string{
		"certificates[1]", "has the first twice", "timestamp: twice",
	}},
	{sentence: "a statement without a known _type, or with its digest in upper case", refused: []string{"malformed in-toto statement: _type", "none of its subjects is the digest"}, of: []string{"statement "}},
	{sentence: "a trust root whose chains are out of order or hold a certificate twice, or that lacks a URL, the start of a validity or part of a log's ID", refused: []string{
		"is not issued by the next of its chain", "may not issue certificates", "validFor", "baseUrl", "is not a SHA-256",
	}, of: []string{"trust root: "}},
}

// laxer are what sigstore-go refuses and ours accepts. Nothing that ours rests on may be
// wrong with it.
var laxer = []difference{
	{sentence: "a keyid beside the signature of an envelope, which is a hint", refused: []string{"accepted signatures do not match threshold"}, of: []string{"keyid"}},
	{sentence: "base64 with line breaks", refused: []string{"invalid value for bytes field rawBytes"}, of: []string{"base64 with a line break"}},
	{sentence: "a log entry of type dsse 0.0.2, which Rekor v2 no longer makes", refused: []string{"dsse implementation for version '0.0.2' not found"}, of: []string{"an entry of Rekor v2 of type dsse"}},
	{sentence: "any keyDetails and payloadType in a log entry: nothing rests on them", refused: []string{"entry body is not a recognizable", "calculated root"}, of: []string{".keyDetails ", ".payloadType "}},
	{sentence: "a signature by Ed25519 that Rekor v1 has recorded with the SHA-256 of the artifact", refused: []string{`unsupported hash algorithm: "SHA-256"`}, of: []string{"a key of Ed25519"}},
	{sentence: "a checkpoint of Rekor v1 that others have signed, too", refused: []string{"signature on checkpoint did not verify"}, of: []string{
		"hashedrekord 0.0.1: checkpoint with a witness", "hashedrekord 0.0.1: checkpoint with a bad signature of the log behind",
	}},
	{sentence: "a timestamp in BER", refused: []string{"indefinite length"}, of: []string{"timestamp: in BER"}},
	{sentence: "a statement with unknown members, as in-toto demands", refused: []string{"invalid attestation: decoding json"}, of: []string{"statement with a member more"}},
	{sentence: "a message digest by another algorithm than that of the log entry: both must be the artifact's", refused: []string{"calculated root"}, of: []string{"message digest by SHA-512"}},
}

// explain finds the difference that a verdict is. Nil: none is known.
func (v verdict) explain(what string) *difference {
	refusal, known := v.ours, stricter
	if refusal == nil {
		refusal, known = v.theirs, laxer
	}
	holds := func(text string, parts []string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
	}
	for i, d := range known {
		if holds(refusal.Error(), d.refused) && (d.of == nil || holds(what, d.of)) {
			return &known[i]
		}
	}
	return nil
}

func TestMutantsAreJudgedAsBySigstoreGo(t *testing.T) {
	var all []trial
	for _, more := range []func(*testing.T) []trial{
		suiteTrials, generatedTrials, bodyTrials, certificateTrials, checkpointTrials, timeTrials, entryTrials, contentTrials, rootTrials,
	} {
		all = append(all, more(t)...)
	}
	seen, both := make(map[string]int), make(map[bool]int)
	for i, v := range judgeAll(t, all) {
		if all[i].isValid && (v.ours != nil || v.theirs != nil) {
			t.Errorf("%s: refused: ours: %v, sigstore-go: %v", all[i].what, v.ours, v.theirs)
		}
		if (v.ours == nil) == (v.theirs == nil) {
			both[v.ours == nil]++
			continue
		}
		if d := v.explain(all[i].what); d != nil {
			seen[d.sentence]++
		} else {
			t.Errorf("%s\n\tours: %v\n\tsigstore-go: %v", all[i].what, v.ours, v.theirs)
		}
	}
	t.Logf("%d bundles: both accept %d and refuse %d", len(all), both[true], both[false])
	for _, d := range slices.Concat(stricter, laxer) {
		t.Logf("%4d: %s", seen[d.sentence], d.sentence)
		if seen[d.sentence] == 0 {
			t.Errorf("nothing differs by: %s", d.sentence)
		}
	}
}

// The documentation says what differs, and nothing else.
func TestDocumentationSaysWhatDiffers(t *testing.T) {
	text := string(read(t, "../../../../verify/sigstore/sigstore.go"))
	_, section, ok := strings.Cut(text, "// # Differences from sigstore-go\n")
	if !ok {
		t.Fatal("there is no such section")
	}
	section, _, _ = strings.Cut(section, "\n// # ")
	var documented []string
	for line := range strings.Lines(section) {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "//"), "\n")
		item, begins := strings.CutPrefix(line, "   - ")
		rest, goesOn := strings.CutPrefix(line, "     ")
		switch {
		case begins:
			documented = append(documented, item)
		case goesOn && len(documented) > 0:
			documented[len(documented)-1] += " " + rest
		}
	}
	for i, item := range documented {
		documented[i] = strings.TrimRight(item, ";.")
	}
	var known []string
	for _, d := range slices.Concat(stricter, laxer) {
		known = append(known, d.sentence)
	}
	if !slices.Equal(documented, known) {
		t.Errorf("the documentation says\n%s\nand the differences are\n%s", strings.Join(documented, "\n"), strings.Join(known, "\n"))
	}
}

// judgeAll judges on two processors.
func judgeAll(t *testing.T, all []trial) []verdict {
	verdicts := make([]verdict, len(all))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(all); n = int(next.Add(1)) - 1 {
				verdicts[n] = all[n].judge(t)
			}
		})
	}
	wg.Wait()
	return verdicts
}
