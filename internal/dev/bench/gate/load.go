package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// accept is what clients say that they take.
const accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"

// hammer asks for one path over some connections as often as it can, and returns
// how many answers came in a second. It parses no more of an answer than it must:
// the server is what is measured.
func hammer(ctx context.Context, address, path string, connections int, d time.Duration) (float64, error) {
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\nAccept: " + accept + "\r\n\r\n")
	if _, err := repeat(ctx, address, request, 1, 200*time.Millisecond); err != nil { // warm
		return 0, err
	}
	n, err := repeat(ctx, address, request, connections, d)
	return float64(n) / d.Seconds(), err
}

func repeat(ctx context.Context, address string, request []byte, connections int, d time.Duration) (int64, error) {
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, connections)
	end := time.Now().Add(d)
	for range connections {
		wg.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				errs <- err
				return
			}
			defer func() { _ = conn.Close() }() // nothing more is wanted
			in := bufio.NewReaderSize(conn, 16<<10)
			for time.Now().Before(end) && ctx.Err() == nil {
				if _, err := conn.Write(request); err != nil {
					errs <- err
					return
				}
				if err := skipAnswer(in); err != nil {
					errs <- err
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return n.Load(), ctx.Err()
	}
}

// skipAnswer reads an answer with a length and forgets it.
func skipAnswer(in *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case first && !bytes.Contains(line, []byte(" 200 ")):
			return fmt.Errorf("the answer is %q", line)
		case len(line) <= 2:
			_, err := in.Discard(length)
			return err
		case len(line) > 15 && strings.EqualFold(string(line[:15]), "content-length:"):
			if length, err = strconv.Atoi(strings.TrimSpace(string(line[15:]))); err != nil {
				return err
			}
		}
	}
}

// pullLayers pulls an image's manifest, and then its layers, three at a time and
// hashed, as clients do, and returns megabytes in a second.
func pullLayers(ctx context.Context, address string, i *image) (float64, error) {
	began := time.Now()
	if _, err := fetch(ctx, "http://"+address+"/v2/team/app/manifests/"+i.tag, io.Discard); err != nil {
		return 0, err
	}
	errs, slots := make(chan error, len(i.layers)), make(chan struct{}, 3)
	for _, layer := range i.layers {
		slots <- struct{}{}
		go func() {
			sum := sha256.New()
			_, err := fetch(ctx, "http://"+address+"/v2/team/app/blobs/"+layer, sum)
			if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); err == nil && got != layer {
				err = fmt.Errorf("%s came as %s", layer, got)
			}
			<-slots
			errs <- err
		}()
	}
	for range i.layers {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	return float64(i.size) / 1e6 / time.Since(began).Seconds(), nil
}

// pullMany pulls an image as so many clients.
func pullMany(ctx context.Context, address string, i *image, clients int) error {
	errs := make(chan error, clients)
	for range clients {
		go func() {
			_, err := pullLayers(ctx, address, i)
			errs <- err
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// fetch copies a body.
func fetch(ctx context.Context, url string, to io.Writer) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, resp.Body, make([]byte, 256<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return n, err
}
