package registrytest

import (
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Serve serves a Registry, or any other handler, over HTTP on a free port of
// 127.0.0.1. It returns "127.0.0.1:PORT", and a function that ends it and all
// connections.
func Serve(h http.Handler) (host string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: time.Minute,
		// A library prints nothing; what goes wrong here, the client sees.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // it ends with stop
	}()
	stop = func() {
		_ = server.Close() // the listener and the connections are gone either way
		<-ended
	}
	return listener.Addr().String(), stop, nil
}
