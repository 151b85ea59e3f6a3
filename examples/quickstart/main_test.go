package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestTheStoryGoesAsItShould(t *testing.T) {
	var out bytes.Buffer
	if err := run(context.Background(), &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for what, want := range map[string]int{"VERIFIED ": 3, "DENIED ": 4, "(no-signature)": 2, "(wrong-subject)": 1, "(untrusted-key)": 1} {
		if got := strings.Count(out.String(), what); got != want {
			t.Errorf("%q stands %d times in the story, want %d\n%s", what, got, want, &out)
		}
	}
}

func TestAStoryThatIsCutShortFails(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := run(ctx, &bytes.Buffer{}); err == nil {
		t.Error("no error")
	}
}
