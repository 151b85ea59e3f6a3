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
	return &bounded{Listener: l, places: make(chan struct{}, most), each: max(1, most/4), closed: make(chan struct{}), by: make(map[string]int)}
}

// bounded is a listener of so many connections at once as there are places. Further
// clients wait to be taken. Of one address, or of one /64 of IPv6, a quarter is taken;
// more are closed at once: no client keeps out the others.
type bounded struct {
	net.Listener
	places chan struct{}
	each   int
	closed chan struct{}
	once   sync.Once

	mu sync.Mutex
	by map[string]int
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := b.Listener.Accept()
		tcp, ok := conn.(*net.TCPConn)
		if err != nil || !ok {
			<-b.places
			return conn, err
		}
		client := clientOf(tcp.RemoteAddr())
		if b.enter(client) {
			return &placed{TCPConn: tcp, leave: sync.OnceFunc(func() { b.exit(client); <-b.places })}, nil
		}
		_ = tcp.Close() // nothing was sent
	}
}

// Close implements net.Listener. Who waits in Accept for a place must not keep the
// server from its end.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

func (b *bounded) enter(client string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by[client] >= b.each {
		return false
	}
	b.by[client]++
	return true
}

func (b *bounded) exit(client string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by[client]--; b.by[client] == 0 {
		delete(b.by, client)
	}
}

// clientOf is an address, or the /64 of one of IPv6, which one client has in whole.
func clientOf(a net.Addr) string {
	at, ok := a.(*net.TCPAddr)
	if !ok {
		return ""
	}
	ip := at.AddrPort().Addr().Unmap().WithZone("")
	if network, err := ip.Prefix(64); err == nil && ip.Is6() {
		return network.String()
	}
	return ip.String()
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
