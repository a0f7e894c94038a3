package delay

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const roundTrip = 60 * time.Millisecond

// before starts a proxy before an HTTP server, and gives a client that has the
// server behind it.
func before(t *testing.T, handler http.HandlerFunc) (*Proxy, func(body io.Reader) string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	p, err := Listen(strings.TrimPrefix(server.URL, "http://"), roundTrip)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return p, func(body io.Reader) string {
		resp, err := client.Post("http://"+p.Addr(), "", body)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

// TestRoundTrips holds the time and the count of requests after and beside one
// another.
func TestRoundTrips(t *testing.T) {
	p, post := before(t, echo)
	start := time.Now()
	want := func(what string, trips int) {
		t.Helper()
		took := time.Since(start)
		if took < time.Duration(trips)*roundTrip || took > time.Duration(trips+1)*roundTrip {
			t.Errorf("%s took %s, want about %s", what, took, time.Duration(trips)*roundTrip)
		}
		if got := p.RoundTrips(); got != trips {
			t.Errorf("%s: %d round trips, want %d", what, got, trips)
		}
		p.Reset()
		start = time.Now()
	}
	if got := post(strings.NewReader("hello")); got != "hello" {
		t.Errorf("the answer is %q", got)
	}
	want("a connection and a request", 2)
	post(nil)
	want("a request on the connection that there is", 1)
	for range 3 {
		post(nil)
	}
	want("three requests after one another", 3)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { post(nil) })
	}
	all.Wait()
	if got := p.Connections(); got != 4 {
		t.Errorf("%d more connections for five requests beside one another, want 4", got)
	}
	want("requests beside one another on new connections", 2)
}

// TestBandwidth sends what would take long if it had to wait for each piece.
func TestBandwidth(t *testing.T) {
	_, post := before(t, echo)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 2<<20)
	start := time.Now()
	if got := post(bytes.NewReader(sent)); got != string(sent) {
		t.Errorf("%d bytes came back, want the %d that were sent", len(got), len(sent))
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("%d bytes took %s", len(sent), took)
	}
}

// TestEnds holds an end of writing to arriving while the other direction goes on,
// and a server that is not there to ending the connection.
func TestEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Listen(listener.Addr().String(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		data, _ := io.ReadAll(conn) // comes back once the client has ended
		_, _ = conn.Write(append(data, " and all"...))
	}()
	ask := func() string {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("one"))
		endWriting(conn)
		data, _ := io.ReadAll(conn)
		return string(data)
	}
	if got := ask(); got != "one and all" {
		t.Errorf("the answer is %q", got)
	}
	listener.Close()
	if got := ask(); got != "" {
		t.Errorf("nobody answered %q", got)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
