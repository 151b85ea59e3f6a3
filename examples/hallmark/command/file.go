package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// errNotRegular is the error for a directory, device, pipe or socket. The library
// returns fs.ErrInvalid for these.
var errNotRegular = errors.New("not a regular file")

// errTooLarge is the error for a file, or stdin, above the limit.
var errTooLarge = errors.New("content exceeds its size limit")

// openFile opens a regular file. It refuses pipes and devices before opening them, since
// they could block or never end.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", path, errNotRegular)
	}
	f, err := os.Open(path)
	return f, info, err
}

// readFile reads a regular file of at most the given number of bytes.
func readFile(path string, most int64) ([]byte, fs.FileInfo, error) {
	f, info, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	text, err := readAll(f, most)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, info, nil
}

// readAll returns errTooLarge for a reader that holds more than the given bytes.
func readAll(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%w of %d bytes", errTooLarge, most)
	}
	return text, err
}

// createFile writes a new file whole, or not at all.
func createFile(path string, data []byte, mode fs.FileMode) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, fails if another process has taken the name.
	return os.Link(tmp.Name(), path)
}
