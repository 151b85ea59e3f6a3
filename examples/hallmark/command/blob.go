package command

import "io"

// openBlob opens a regular file for reading it once, with progress.
func (a *app) openBlob(path, doing string) (io.Reader, func(), error) {
	f, info, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	shown := &shownReader{r: f, tell: func(done int64) {
		a.console.progress("%s: %s of %s", doing, size(done), size(info.Size()))
	}}
	return shown, func() { _ = f.Close() }, nil // only read from
}

type shownReader struct {
	r    io.Reader
	done int64
	tell func(done int64)
}

func (s *shownReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.done += int64(n)
	s.tell(s.done)
	return n, err
}
