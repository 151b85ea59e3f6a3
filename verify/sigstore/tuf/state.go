package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hallmark-oci/hallmark/internal/file"
)

// maxState bounds the file that keeps what was verified, in bytes.
const maxState = 64 << 20

// load reads and verifies what the file holds. Nil: there is none.
func (c *Client) load() (*good, error) {
	if c.o.File == "" {
		return nil, nil
	}
	text, _, err := file.Read(c.o.File, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var held texts
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&held); err != nil {
		return nil, fmt.Errorf("%s: %w", c.o.File, err)
	}
	verified, err := c.verify(held)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.o.File, err)
	}
	if err := c.o.Check(held.Content); err != nil {
		return nil, fmt.Errorf("%s: %w", c.o.File, err)
	}
	return verified, nil
}

// save replaces the file as a whole, so a reader sees metadata that belongs together.
func (c *Client) save(g *good) (err error) {
	if c.o.File == "" {
		return nil
	}
	text, err := json.Marshal(g.texts)
	if err != nil {
		return err
	}
	if len(text) > maxState {
		return fmt.Errorf("%s would have more than %d bytes", c.o.File, maxState)
	}
	f, err := os.CreateTemp(filepath.Dir(c.o.File), ".tuf-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.o.File)
}
