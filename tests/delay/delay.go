// Package delay puts a long way between a client and a server that are on one
// machine: a proxy for TCP that passes everything on later, and counts how
// often the client had to wait for an answer before it could go on.
package delay

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Proxy is a long way to a server. Each direction takes half of the round trip,
// whatever the amount: it delays and does not throttle. A new connection costs
// a round trip before anything can be sent on it, as TCP's does.
type Proxy struct {
	listener      net.Listener
	network, host string
	roundTrip     time.Duration
	pumps         sync.WaitGroup

	mu    sync.Mutex
	clock int // the longest chain of round trips that has come back
	start int // where the clock was at the last Reset
	conns map[net.Conn]bool
	total int
}

// Listen starts a proxy on the loopback interface before a server: "host:port",
// or "unix:///path" for one that listens on a socket.
func Listen(server string, roundTrip time.Duration) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for %s: %w", server, err)
	}
	p := &Proxy{listener: listener, network: "tcp", host: server, roundTrip: roundTrip, conns: map[net.Conn]bool{}}
	if path, ok := strings.CutPrefix(server, "unix://"); ok {
		p.network, p.host = "unix", path
	}
	p.pumps.Go(p.accept)
	return p, nil
}

// Addr is the "host:port" on which the server is far away.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends the proxy and all connections through it.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	for conn := range p.conns {
		_ = conn.Close() // The other end has done so first, as a rule.
	}
	p.conns = nil
	p.mu.Unlock()
	p.pumps.Wait()
	return err
}

// RoundTrips is the length of the longest chain of round trips since the last
// Reset: each was begun after the answer to the one before had arrived, on
// whatever connection, so they could not be made at the same time. The opening
// of a connection is one.
func (p *Proxy) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clock - p.start
}

// Connections is the number of connections that were opened since the last
// Reset.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// Reset begins a new account.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start, p.total = p.clock, 0
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // Closed; there is nothing else that ends a listener.
		}
		p.pumps.Go(func() { p.serve(client) })
	}
}

// serve carries one connection. The client's kernel takes what it sends at
// once; it is the proxy that waits for the handshake.
func (p *Proxy) serve(client net.Conn) {
	opened := time.Now()
	c := &connection{proxy: p}
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	c.sent = p.opening()
	server, err := net.Dial(p.network, p.host)
	if err != nil {
		time.Sleep(time.Until(opened.Add(p.roundTrip)))
		return // What the client sees is a connection that ends.
	}
	if !p.keep(server) {
		return
	}
	defer p.drop(server)
	var ways sync.WaitGroup
	ways.Go(func() {
		pump{from: client, to: server, open: opened.Add(p.roundTrip), delay: p.roundTrip / 2, read: c.leaves, written: c.arrives}.run()
	})
	ways.Go(func() {
		pump{from: server, to: client, open: opened.Add(p.roundTrip * 3 / 2), delay: p.roundTrip / 2, read: c.answers, written: c.returns}.run()
	})
	ways.Wait()
}

// keep remembers a connection for Close, or closes it when that was.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		_ = conn.Close() // Nothing was sent on it.
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) drop(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = conn.Close() // It has ended.
	delete(p.conns, conn)
}

// opening counts a new connection and gives the length of the chain that its
// handshake ends.
func (p *Proxy) opening() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total++
	return p.clock + 1
}

// connection keeps the account of one connection. What the client sends is as
// late in the chain as the latest answer that it can have seen.
type connection struct {
	proxy *Proxy
	sent  int // what left the client; the handshake at first
	there int // what arrived at the server
}

func (c *connection) leaves() int {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	c.sent = max(c.sent, c.proxy.clock)
	return c.sent
}

func (c *connection) arrives(chain int) {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	c.there = chain
}

func (c *connection) answers() int {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	return c.there + 1
}

func (c *connection) returns(chain int) {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	c.proxy.clock = max(c.proxy.clock, chain)
}

// pump is one direction of a connection.
type pump struct {
	from, to net.Conn
	open     time.Time // from when on something can be sent
	delay    time.Duration
	read     func() (chain int)
	written  func(chain int)
}

// chunk is what was read at once, nil data being the end.
type chunk struct {
	data  []byte
	due   time.Time
	chain int
}

// onTheWay is how many chunks can be on the way: enough for gigabytes a second.
const onTheWay = 1024

func (p pump) run() {
	way := make(chan chunk, onTheWay)
	go p.send(way)
	p.deliver(way)
}

// send reads until the end, or an error, which is an end as well.
func (p pump) send(way chan<- chunk) {
	defer close(way)
	for {
		data := make([]byte, 64<<10)
		n, err := p.from.Read(data)
		now := time.Now()
		if now.Before(p.open) {
			now = p.open
		}
		if n > 0 {
			way <- chunk{data[:n], now.Add(p.delay), p.read()}
		}
		if err != nil {
			way <- chunk{due: now.Add(p.delay)}
			return
		}
	}
}

func (p pump) deliver(way <-chan chunk) {
	broken := false
	for c := range way {
		if broken {
			continue // Nobody is there; the reader must come to its end.
		}
		time.Sleep(time.Until(c.due))
		if c.data == nil {
			endWriting(p.to)
			return
		}
		p.written(c.chain)
		if _, err := p.to.Write(c.data); err != nil {
			broken = true
			_ = p.from.Close() // So that the sender sees it.
		}
	}
}

// endWriting passes on that no more will come; the other direction goes on.
func endWriting(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // It may have been closed from the other side.
	}
}
