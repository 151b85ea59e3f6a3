//go:build unix

package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/file"
)

// A process that has too many files open, or a client that goes while a file is
// hashed, says nothing about what is stored.
func TestAttack_P10_WhatCannotBeReadNowStaysInTheStore(t *testing.T) {
	dir := t.TempDir()
	content := []byte("content")
	sum := sha256.Sum256(content)
	digest := "sha256:" + hexOf(sum[:])
	store, err := OpenStore(dir, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.putBytes(digest, content, false); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	_, _, opened := store.open(t.Context(), digest, false)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if opened {
		t.Fatal("the limit holds for nobody")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = OpenStore(dir, StoreOptions{}); err != nil { // nothing was hashed by this one
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, opened := store.open(gone, digest, false); opened {
		t.Error("somebody who has gone waits for a hash")
	}
	if _, err := os.Stat(pathOf(store, strings.TrimPrefix(digest, "sha256:"))); err != nil {
		t.Errorf("what was stored is gone: %v", err)
	}
	f, size, opened := store.open(t.Context(), digest, false)
	if !opened || size != int64(len(content)) {
		t.Fatal("it is not found any more")
	}
	_ = f.Close()
}

// The name of a temporary file that was deleted is free for others, where the
// directory is everybody's.
func TestAttack_P10_APipeUnderATemporaryFilesNameHoldsUpNobody(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := os.Remove(file.Name()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file.Name(), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := make(chan view, 1)
	go func() { seen <- (&download{file: file}).view() }()
	select {
	case v := <-seen:
		defer v.close()
		if v.own != nil || v.shared != file {
			t.Error("the pipe is taken for the file")
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for who writes to the pipe")
	}
}

// A pipe in place of the lock holds nothing, and is not waited for.
func TestAttack_P10_APipeInPlaceOfTheLockIsRefused(t *testing.T) {
	dir := t.TempDir()
	store, err := OpenStore(dir, StoreOptions{})
	if err == nil {
		err = store.Close()
	}
	path := filepath.Join(dir, lockName)
	if err := errors.Join(err, os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(dir, StoreOptions{}); !errors.Is(err, file.ErrNotRegular) {
		t.Errorf("%v", err)
	}
}
