package main

import (
	"io"
	"net"
	"sync"
)

const defaultConnections = 8192

// bound bounds the connections that are open at once. Zero: defaultConnections.
func bound(l net.Listener, most int) net.Listener {
	if most <= 0 {
		most = defaultConnections
	}
	return &bounded{Listener: l, places: make(chan struct{}, most)}
}

// bounded is a listener of so many connections at once as there are places. Further
// clients wait to be taken.
type bounded struct {
	net.Listener
	places chan struct{}
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	b.places <- struct{}{}
	conn, err := b.Listener.Accept()
	tcp, ok := conn.(*net.TCPConn)
	if err != nil || !ok {
		<-b.places
		return conn, err
	}
	return &placed{TCPConn: tcp, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

// placed is a connection that has a place until it is closed. It is one of TCP, to
// which the kernel sends files.
type placed struct {
	*net.TCPConn
	leave func()
}

var _ io.ReaderFrom = (*placed)(nil)

// Close implements net.Conn.
func (p *placed) Close() error {
	defer p.leave()
	return p.TCPConn.Close()
}
