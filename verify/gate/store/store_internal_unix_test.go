//go:build unix

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/file"
)

func TestAttack_P10_WhatCannotBeReadNowStaysInTheStore(t *testing.T) {
	dir := t.TempDir()
	content := []byte("content")
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	store, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(digest, content, Images); err != nil {
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
	_, _, opened := store.Get(t.Context(), digest, Evidence)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if opened {
		t.Fatal("the limit holds for no caller")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = Open(dir, Options{}); err != nil { // nothing was hashed by this one
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, opened := store.Get(gone, digest, Evidence); opened {
		t.Error("a caller who has gone waits for a hash")
	}
	if _, err := os.Stat(pathOf(store, strings.TrimPrefix(digest, "sha256:"))); err != nil {
		t.Errorf("what was stored is gone: %v", err)
	}
	f, size, opened := store.Get(t.Context(), digest, Evidence)
	if !opened || size != int64(len(content)) {
		t.Fatal("it is not found any more")
	}
	_ = f.Close()
}

func TestAttack_P10_APipeInPlaceOfTheLockIsRefused(t *testing.T) {
	dir := t.TempDir()
	store, err := Open(dir, Options{})
	if err == nil {
		err = store.Close()
	}
	path := filepath.Join(dir, lockName)
	if err := errors.Join(err, os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, file.ErrNotRegular) {
		t.Errorf("%v", err)
	}
}
