package tuf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// errNotThere is the error for a file that the repository does not have.
var errNotThere = errors.New("not there")

const maxRedirects = 5

// fetch reads a file of the repository, of at most so many bytes.
func (c *Client) fetch(ctx context.Context, base *url.URL, name string, most int64) ([]byte, error) {
	at := base.JoinPath(name)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: c.o.Transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || !mayAsk(req.URL) || req.URL.Scheme != "https" && base.Scheme == "https" {
			return fmt.Errorf("redirect to %s on %.200q: want https, and at most %d", req.URL.Scheme, req.URL.Host, maxRedirects)
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		var asked *url.Error // shows the URL of a redirect, which may hold a secret
		if errors.As(err, &asked) {
			err = asked.Err
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, at, err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, at, errNotThere)
	default:
		return nil, fmt.Errorf("%w: %s: %s", ErrUnavailable, at, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, at, err)
	case int64(len(text)) > most:
		return nil, refused(at.String(), fmt.Errorf("more than %d bytes", most))
	}
	return text, nil
}
