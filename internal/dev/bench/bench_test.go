package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheLongestChainIsWhatHadToWait(t *testing.T) {
	at := func(start, end int) span {
		zero := time.Unix(0, 0)
		return span{zero.Add(time.Duration(start) * time.Millisecond), zero.Add(time.Duration(end) * time.Millisecond)}
	}
	for name, test := range map[string]struct {
		all  []span
		want int
	}{
		"none":                   {nil, 0},
		"one":                    {[]span{at(0, 20)}, 1},
		"side by side":           {[]span{at(0, 20), at(1, 21), at(2, 22)}, 1},
		"one after another":      {[]span{at(0, 20), at(20, 40), at(40, 60)}, 3},
		"noted a little late":    {[]span{at(0, 22), at(20, 41)}, 2},
		"two and then one":       {[]span{at(0, 20), at(0, 20), at(21, 41)}, 2},
		"a long one beside two":  {[]span{at(0, 20), at(21, 41), at(0, 60)}, 2},
		"in the middle of a one": {[]span{at(0, 20), at(10, 30)}, 1},
	} {
		if got := longestChain(test.all); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestTheRecorderCountsAndDelays(t *testing.T) {
	rec := &recorder{next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })}
	server := httptest.NewServer(rec)
	defer server.Close()
	get := func() {
		resp, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	rec.latency.Store(int64(20 * time.Millisecond))
	began := time.Now()
	get()
	get()
	if requests, chain := rec.count(); requests != 2 || chain != 2 || time.Since(began) < 40*time.Millisecond {
		t.Errorf("%d requests, %d in sequence, %s", requests, chain, time.Since(began))
	}
	rec.forget()
	if requests, chain := rec.count(); requests != 0 || chain != 0 {
		t.Errorf("%d requests, %d in sequence after forget", requests, chain)
	}
}

func TestVerdictsFollowTheirGoals(t *testing.T) {
	with := func(more bool, ours, theirs float64) row {
		return row{More: more, Entries: []entry{{Who: "Hallmark", figure: figure{Median: ours}}, {Who: "peer", figure: figure{Median: theirs}}}}
	}
	for name, test := range map[string]struct {
		r    row
		g    goal
		want string
	}{
		"none":              {with(false, 5, 1), goal{}, ""},
		"at most":           {with(false, 5, 1), goal{atMost: 5}, "met"},
		"at most, nearly":   {with(false, 5.4, 1), goal{atMost: 5}, "nearly"},
		"at most, missed":   {with(false, 6, 1), goal{atMost: 5}, "MISSED"},
		"at least":          {with(true, 5, 1), goal{atLeast: 5}, "met"},
		"at least, missed":  {with(true, 4, 1), goal{atLeast: 5}, "MISSED"},
		"more, times":       {with(true, 30, 10), goal{times: 3, as: "peer"}, "met"},
		"more, missed":      {with(true, 20, 10), goal{times: 3, as: "peer"}, "MISSED"},
		"less, times":       {with(false, 10, 30), goal{times: 3, as: "peer"}, "met"},
		"less, missed":      {with(false, 20, 30), goal{times: 3, as: "peer"}, "MISSED"},
		"costs":             {with(false, 11, 10), goal{costs: 1.15, as: "peer"}, "met"},
		"costs, missed":     {with(false, 20, 10), goal{costs: 1.15, as: "peer"}, "MISSED"},
		"as who is missing": {with(false, 20, 10), goal{costs: 1.15, as: "no peer"}, ""},
	} {
		table := &table{out: io.Discard}
		table.add(test.r, test.g)
		if got := table.Rows[0].Verdict; got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if missed := table.missed == 1; missed != (test.want == "MISSED") {
			t.Errorf("%s: %d missed", name, table.missed)
		}
	}
}

func TestFiguresAreMediansWithTheirSpread(t *testing.T) {
	if got := figureOf([]float64{5, 1, 3}); got != (figure{3, 1, 5}) {
		t.Errorf("%+v", got)
	}
	if got := figureOf(nil); got != (figure{}) {
		t.Errorf("%+v", got)
	}
}

func TestTheTableIsWrittenInEveryForm(t *testing.T) {
	var out strings.Builder
	x := &table{Date: "2026-11-23", Command: "go run", out: &out, Curves: []plot{{Title: "a title", Curves: []curve{{Who: "Hallmark", Points: [][2]float64{{1, 10}, {1000, 100}}}}}}}
	x.add(row{Section: "s", Work: "w", Unit: "ms", Entries: []entry{{Who: "Hallmark", figure: figure{2, 1, 3}}, {Who: "peer", figure: figure{4, 4, 4}}}}, goal{atMost: 3})
	for name, form := range map[string]struct {
		to   func(*os.File) error
		want []string
	}{
		"json":     {x.json, []string{`"median": 2`, `"ratio": 2`, `"verdict": "met"`}},
		"svg":      {x.svg, []string{"<svg", "a title", "Hallmark", "</svg>"}},
		"markdown": {x.markdown, []string{"| w | ms | 2 (1 to 3) | peer 4 (2.0×) | at most 3: met |"}},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := write(path, form.to); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range form.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, text)
			}
		}
	}
	for _, want := range []string{"S\n", "w (ms)   [at most 3: met]", "2.00x"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, out.String())
		}
	}
}
