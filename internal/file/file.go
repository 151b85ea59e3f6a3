// Package file reads small files whose names come from users, and writes new
// ones completely or not at all.
package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hallmark-oci/hallmark/internal/limit"
)

// ErrNotRegular says that a path leads to a directory, device, pipe or socket. It is
// fs.ErrInvalid for errors.Is, by which programs know it.
var ErrNotRegular error = notRegular{}

type notRegular struct{}

func (notRegular) Error() string { return "not a regular file" }

func (notRegular) Is(target error) bool { return target == fs.ErrInvalid }

// Open opens a regular file for reading. Pipes and devices, which could block
// or never end, are refused before they are opened.
func Open(path string) (*os.File, fs.FileInfo, error) { return open(path, os.Stat, os.OpenFile) }

func open(path string, stat func(string) (fs.FileInfo, error), open func(string, int, fs.FileMode) (*os.File, error)) (*os.File, fs.FileInfo, error) {
	if info, err := stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", path, ErrNotRegular)
	}
	f, err := open(path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, nil, err
	}
	// The path may have been changed between the two calls.
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, ErrNotRegular)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// ReadIn is Read for a file in a directory or below. A link that leads out of the
// directory is an error.
func ReadIn(dir, name string, max int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // only read from
	f, _, err := open(name, root.Stat, root.OpenFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := limit.ReadAll(f, max)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// Read reads a regular file of at most max bytes; a larger one is
// limit.ErrExceeded.
func Read(path string, max int64) ([]byte, fs.FileInfo, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := limit.ReadAll(f, max)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, info, nil
}

// Create writes a file that must not exist yet, with the given mode. Readers
// see the whole file or none, and a failure leaves nothing behind.
func Create(path string, data []byte, mode fs.FileMode) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	if err := fill(tmp, data, mode); err != nil {
		return err
	}
	// A link, unlike a rename, fails where the name was taken since.
	return os.Link(tmp.Name(), path)
}

func fill(f *os.File, data []byte, mode fs.FileMode) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}
