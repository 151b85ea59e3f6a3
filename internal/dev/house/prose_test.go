package house_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// avoided are words that make readers begin a sentence again.
var avoided = regexp.MustCompile(`(?i)\b(so that|whoever|somebody|nobody|anew|all the same|of which|meanwhile|(there )?is no)\b`)

// longestSentence is how many words a sentence of a comment may have.
const longestSentence = 30

var sentenceEnd = regexp.MustCompile(`[.:;?!]["')]*\s`)

func TestCommentsAreReadInOneGo(t *testing.T) {
	var words, sentences []finding
	for _, s := range libraryFiles(t) {
		for _, group := range s.file.Comments {
			at := s.at(group)
			for _, paragraph := range strings.Split(group.Text(), "\n\n") {
				for _, word := range avoided.FindAllString(paragraph, -1) {
					if strings.HasPrefix(strings.ToLower(word), "there") {
						continue
					}
					words = append(words, finding{s.dir, fmt.Sprintf("%s: %q", at, word)})
				}
				if strings.Contains(paragraph, "\n\t") || strings.Contains(paragraph, "\n  ") || strings.HasPrefix(paragraph, "\t") {
					continue // a list or code
				}
				for _, sentence := range sentenceEnd.Split(paragraph, -1) {
					if n := len(strings.Fields(sentence)); n > longestSentence {
						sentences = append(sentences, finding{s.dir, fmt.Sprintf("%s: %d words: %.80s", at, n, strings.Join(strings.Fields(sentence), " "))})
					}
				}
			}
		}
	}
	onlyShrinks(t, "word to avoid", words, "say it more plainly")
	onlyShrinks(t, "sentence over 30 words", sentences, "divide it")
}
