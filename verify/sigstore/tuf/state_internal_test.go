package tuf

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAttack_T19_StatesThatCannotBeReadAreNotKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	c := &Client{o: Options{File: file}}
	if err := c.save(&good{texts: texts{Content: make([]byte, maxState)}}); err == nil {
		t.Error("kept more than is read")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is there")
	}
}
