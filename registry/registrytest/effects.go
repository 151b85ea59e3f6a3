package registrytest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte

	cut bool // Body is the beginning of what has no end
}

// Reply answers in place of the registry.
func Reply(a Answer) Effect {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { a.send(w) })
	}
}

// Status answers with a status, headers (names and values in turn) and an OCI
// error body in place of the registry: Status(429, "Retry-After", "1").
func Status(status int, headers ...string) Effect {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	code := strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
	return Reply(Answer{Status: status, Header: h, Body: errorBody(code, http.StatusText(status))})
}

// Hide answers that there is no such thing.
func Hide() Effect {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			switch t, _ := targetOf(req); t.info.Kind {
			case KindBlob:
				refuse(w, errBlobUnknown)
			case KindManifest:
				refuse(w, errManifestUnknown)
			case KindTags:
				refuse(w, errNameUnknown)
			default:
				refuse(w, errNoEndpoint)
			}
		})
	}
}

// Rewrite changes an answer of the registry. HEAD is answered with the headers
// that the changed answer to GET has. Content-Length follows the body unless
// change sets it. Of an answer without end, such as that of Endless, change gets
// the first 16 MiB, and no Content-Length is sent.
func Rewrite(change func(*Answer)) Effect {
	return onAnswer(func(w http.ResponseWriter, _ *http.Request, a *Answer) {
		length := a.Header.Get("Content-Length")
		change(a)
		if a.Header.Get("Content-Length") == length && !a.cut {
			a.Header.Set("Content-Length", strconv.Itoa(len(a.Body)))
		}
		a.send(w)
	})
}

// onAnswer hands the registry's answer to send, if it is 2xx.
func onAnswer(send func(w http.ResponseWriter, req *http.Request, a *Answer)) Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			inner := req
			if req.Method == http.MethodHead {
				inner = req.Clone(req.Context())
				inner.Method = http.MethodGet
			}
			got := capture{Answer{Header: make(http.Header)}}
			next.ServeHTTP(&got, inner)
			got.WriteHeader(http.StatusOK) // where nothing was written
			if got.a.Status/100 != 2 {
				got.a.send(w)
				return
			}
			send(w, req, &got.a)
		})
	}
}

// maxCapture bounds an answer that does not say how long it is.
const maxCapture = 16 << 20

// capture is a ResponseWriter that keeps the answer.
type capture struct{ a Answer }

var errCaptured = errors.New("more than an effect can change")

func (c *capture) Header() http.Header { return c.a.Header }

func (c *capture) WriteHeader(status int) {
	if c.a.Status == 0 {
		c.a.Status = status
	}
}

func (c *capture) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	if room := max(maxCapture-len(c.a.Body), 0); len(p) > room && c.a.Header.Get("Content-Length") == "" {
		c.a.cut = true
		c.a.Body = append(c.a.Body, p[:room]...)
		return room, errCaptured
	}
	c.a.Body = append(c.a.Body, p...)
	return len(p), nil
}

// start sends all but the body.
func (a *Answer) start(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.Header)
	w.WriteHeader(a.Status)
}

func (a *Answer) send(w http.ResponseWriter) {
	a.start(w)
	_, _ = w.Write(a.Body) // net/http cuts what exceeds Content-Length, and sends none to HEAD
}

// flush sends what was written so far.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// FlipByte changes one bit of the body.
func FlipByte() Effect {
	return Rewrite(func(a *Answer) {
		if len(a.Body) > 0 {
			a.Body[len(a.Body)/2] ^= 1
		}
	})
}

// ReplaceBody sends another body under the headers of the right one.
func ReplaceBody(body []byte) Effect {
	return Rewrite(func(a *Answer) { a.Body = body })
}

// SetHeader changes a header, such as Content-Type or Docker-Content-Digest.
func SetHeader(name, value string) Effect {
	return Rewrite(func(a *Answer) { a.Header.Set(name, value) })
}

// DropHeader removes a header.
func DropHeader(name string) Effect {
	return Rewrite(func(a *Answer) { a.Header.Del(name) })
}

// WrongDigestHeader sends a Docker-Content-Digest that is not the body's.
func WrongDigestHeader() Effect {
	return SetHeader("Docker-Content-Digest", digestOf([]byte("another manifest")))
}

// HugeHeader adds a header of that many bytes.
func HugeHeader(size int) Effect {
	return SetHeader("X-Huge", strings.Repeat("h", size))
}

// ContentLength announces another length than that of the body. Where it is
// larger, the connection closes early; where it is smaller, the body is cut.
func ContentLength(length int64) Effect {
	return onAnswer(func(w http.ResponseWriter, _ *http.Request, a *Answer) {
		a.Header.Set("Content-Length", strconv.FormatInt(length, 10))
		a.Body = a.Body[:min(int64(len(a.Body)), length)]
		a.send(w)
	})
}

// Truncate closes the connection after that many bytes of the body; the
// Content-Length is that of the whole.
func Truncate(after int) Effect {
	return onAnswer(func(w http.ResponseWriter, req *http.Request, a *Answer) {
		if len(a.Body) <= after || req.Method == http.MethodHead {
			a.send(w)
			return
		}
		a.Body = a.Body[:after]
		a.send(w)
		flush(w)
		panic(http.ErrAbortHandler)
	})
}

// HangUp closes the connection without an answer.
func HangUp() Effect {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	}
}

// Delay waits before it answers, or until the client gives up.
func Delay(d time.Duration) Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if pause(req.Context(), d) {
				next.ServeHTTP(w, req)
			}
		})
	}
}

// pause reports whether the context outlived the time.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Drip sends the body in parts of that many bytes with pauses between them. With a
// pause longer than the client's patience it stalls after the first part; with
// size 0, after the headers.
func Drip(size int, every time.Duration) Effect {
	return onAnswer(func(w http.ResponseWriter, req *http.Request, a *Answer) {
		a.start(w)
		for rest := a.Body; len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
			flush(w)
			if len(rest) > 0 && !pause(req.Context(), every) {
				return
			}
		}
	})
}

// blanks follow a body where it is to be too long: JSON stays valid with them.
var blanks = strings.Repeat(" ", 32<<10)

// Endless sends the body, and then blanks for as long as the client reads,
// without a Content-Length.
func Endless() Effect {
	return onAnswer(func(w http.ResponseWriter, req *http.Request, a *Answer) {
		a.Header.Del("Content-Length")
		a.send(w)
		for req.Method != http.MethodHead && req.Context().Err() == nil {
			if _, err := io.WriteString(w, blanks); err != nil {
				return
			}
		}
	})
}

// GzipBomb sends the body and that many blanks, compressed to about a thousandth,
// with Content-Encoding gzip, whether the client accepts it or not.
func GzipBomb(blank int64) Effect {
	return onAnswer(func(w http.ResponseWriter, req *http.Request, a *Answer) {
		a.Header.Set("Content-Encoding", "gzip")
		a.Header.Del("Content-Length")
		a.start(w)
		if req.Method == http.MethodHead {
			return
		}
		zip := gzip.NewWriter(w)
		_, err := io.Copy(zip, bytes.NewReader(a.Body))
		for left := blank; left > 0 && err == nil; left -= int64(len(blanks)) {
			_, err = io.WriteString(zip, blanks[:min(left, int64(len(blanks)))])
		}
		_ = zip.Close() // where it fails, the client has gone
	})
}

// Redirect answers 307 with a Location.
func Redirect(location string) Effect { return redirect(func(*url.URL) string { return location }) }

// RedirectBase redirects to the same path and query elsewhere, such as
// "http://127.0.0.1:5001".
func RedirectBase(base string) Effect {
	return redirect(func(u *url.URL) string { return base + u.RequestURI() })
}

// RedirectLoop redirects to the same path with an ever new query.
func RedirectLoop() Effect {
	var hops atomic.Int64
	return redirect(func(u *url.URL) string { return fmt.Sprintf("%s?hop=%d", u.EscapedPath(), hops.Add(1)) })
}

func redirect(location func(*url.URL) string) Effect {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Location", location(req.URL))
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
	}
}
