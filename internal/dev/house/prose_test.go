package house_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
)

// markerWords make a reader begin a sentence again. CONTRIBUTING.md says what to write
// in their place.
var markerWords = []string{"so that", "whoever", "somebody", "nobody", "anew", "all the same", "of which", "meanwhile"}

const (
	// longestSentence is how many words a sentence may have.
	longestSentence = 30
	// mostLongSentences is how many longer sentences the tree may have.
	mostLongSentences = 10
	// mostMarkerWords is how many marker words 10,000 lines of prose may have.
	mostMarkerWords = 10
)

// prose is a text that people read: a comment, a string of a program, or a part of a
// document.
type prose struct {
	file string
	line int
	text string
	// sentences says that the text is written in sentences, not data.
	sentences bool
}

// allProse is the prose of the tree, test data aside.
func allProse(t *testing.T) []prose {
	t.Helper()
	var all []prose
	for _, s := range sources(t) {
		if s.path != "internal/dev/house/prose_test.go" {
			all = append(all, proseOfGo(s)...)
		}
	}
	for _, file := range trackedFiles(t) {
		if strings.Contains(file, "testdata/") || strings.HasSuffix(file, ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(topLevel(t), filepath.FromSlash(file)))
		if err != nil {
			continue // deleted and not yet committed
		}
		switch ext := path.Ext(file); {
		case ext == ".md":
			all = append(all, proseOfMarkdown(file, string(text))...)
		case ext == ".yaml", ext == ".yml", strings.HasPrefix(file, ".ci/"), ext == ".txt" && strings.HasPrefix(file, "internal/dev/"):
			all = append(all, proseOfScript(file, string(text))...)
		}
	}
	return all
}

func proseOfGo(s source) (all []prose) {
	at := func(p token.Pos) int { return s.fset.Position(p).Line }
	for _, group := range s.file.Comments {
		all = append(all, prose{s.path, at(group.Pos()), group.Text(), true})
	}
	skip := make(map[*ast.BasicLit]bool)
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.ImportSpec:
			skip[x.Path] = true
		case *ast.Field:
			skip[x.Tag] = true
		case *ast.BasicLit:
			text, err := strconv.Unquote(x.Value)
			if x.Kind == token.STRING && err == nil && !skip[x] && strings.Contains(text, " ") {
				data := strings.ContainsAny(text, "{<\x00\t")
				all = append(all, prose{s.path, at(x.Pos()), text, !s.isTest() && !data})
			}
		}
		return true
	})
	return all
}

// proseOfMarkdown leaves out code. A line of a table is as many texts as it has cells.
func proseOfMarkdown(file, text string) (all []prose) {
	code, start := false, 0
	var paragraph []string
	end := func(next int) {
		if len(paragraph) > 0 {
			all = append(all, prose{file, start, strings.Join(paragraph, "\n"), true})
		}
		paragraph, start = nil, next
	}
	for i, line := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence:
			code = !code
			end(i + 2)
		case code:
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
			end(i + 2)
		case strings.HasPrefix(line, "|"):
			end(i + 2)
			for cell := range strings.SplitSeq(line, "|") {
				all = append(all, prose{file, i + 1, cell, true})
			}
		case listItem.MatchString(line):
			end(i + 1)
			paragraph = append(paragraph, line)
		default:
			paragraph = append(paragraph, line)
		}
	}
	end(0)
	return all
}

var listItem = regexp.MustCompile(`^\s*([-*]|[0-9]+\.) `)

// proseOfScript are the comments of a file whose comments start with #.
func proseOfScript(file, text string) (all []prose) {
	var paragraph []string
	for i, line := range strings.Split(text+"\n", "\n") {
		comment, is := strings.CutPrefix(strings.TrimSpace(line), "#")
		if is && strings.TrimSpace(comment) != "" {
			paragraph = append(paragraph, strings.TrimPrefix(comment, " "))
			continue
		}
		if len(paragraph) > 0 {
			all = append(all, prose{file, i + 1 - len(paragraph), strings.Join(paragraph, "\n"), true})
		}
		paragraph = nil
	}
	return all
}

var sentenceEnd = regexp.MustCompile(`[.:;?!]["')*]*(\s|$)`)

// longSentences are the sentences of more than longestSentence words.
func (p prose) longSentences() (long []string) {
	if !p.sentences {
		return nil
	}
	for paragraph := range strings.SplitSeq(p.text, "\n\n") {
		var flowing []string
		for line := range strings.SplitSeq(paragraph, "\n") {
			switch {
			case strings.HasPrefix(line, "\t"), strings.HasPrefix(line, "  ") && !listItem.MatchString(line) && !strings.HasPrefix(line, "    "):
				flowing = append(flowing, ".") // code, or a table
			case listItem.MatchString(line):
				flowing = append(flowing, ". ", listItem.ReplaceAllString(line, ""))
			default:
				flowing = append(flowing, line)
			}
		}
		for _, sentence := range sentenceEnd.Split(strings.Join(flowing, "\n"), -1) {
			if len(strings.Fields(sentence)) > longestSentence {
				long = append(long, strings.Join(strings.Fields(sentence), " "))
			}
		}
	}
	return long
}

func TestProseIsReadOnce(t *testing.T) {
	race.Skip(t, "one goroutine reads all files")
	marker := regexp.MustCompile(`(?i)\b(` + strings.ReplaceAll(strings.Join(markerWords, "|"), " ", `\s+`) + `)\b`)
	var words, sentences []string
	lines := 0
	for _, p := range allProse(t) {
		lines += strings.Count(strings.TrimSuffix(p.text, "\n"), "\n") + 1
		for _, at := range marker.FindAllStringIndex(p.text, -1) {
			line := p.line + strings.Count(p.text[:at[0]], "\n")
			words = append(words, fmt.Sprintf("%s:%d: %q", p.file, line, p.text[at[0]:at[1]]))
		}
		for _, sentence := range p.longSentences() {
			sentences = append(sentences, fmt.Sprintf("%s:%d: %d words: %.90s", p.file, p.line, len(strings.Fields(sentence)), sentence))
		}
	}
	fmt.Printf("prose: %d marker words in %d lines of comments, strings and documents: %.1f in 10,000 (at most %d)\n",
		len(words), lines, float64(len(words))*10_000/float64(lines), mostMarkerWords)
	fmt.Printf("prose: %d sentences of more than %d words (at most %d)\n", len(sentences), longestSentence, mostLongSentences)
	for _, list := range [][]string{words, sentences} {
		slices.Sort(list)
	}
	t.Logf("marker words:\n%s\nlong sentences:\n%s", strings.Join(words, "\n"), strings.Join(sentences, "\n"))
	withinBudget(t, "prose", mostMarkerWords*lines/10_000, map[string]int{"marker words": len(words)}, "say it more plainly")
	withinBudget(t, "long sentences", mostLongSentences, map[string]int{"the tree": len(sentences)}, "divide them")
}
