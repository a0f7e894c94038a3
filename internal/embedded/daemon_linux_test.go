//go:build !no_embedded

package embedded

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestLeavesWhenNobodyComes has a daemon stay while it is used, and while
// somebody is about to connect.
func TestLeavesWhenNobodyComes(t *testing.T) {
	o := order{Place: Place{Dir: t.TempDir()}}
	socket := filepath.Join(o.Place.Dir, "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{Listener: l, changed: make(chan int, 1)}
	coming := o.Place.starting()
	if err := coming.RLock(); err != nil {
		t.Fatal(err)
	}
	if o.closeUnused(c) {
		t.Error("left while somebody was about to connect")
	}
	client, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := coming.Unlock(); err != nil {
		t.Fatal(err)
	}
	if o.closeUnused(c) {
		t.Error("left while somebody was connected")
	}
	for range 2 { // Whoever serves it may close it twice.
		_ = conn.Close()
	}
	if c.open() != 0 {
		t.Errorf("%d connections are open, want none", c.open())
	}
	if !o.closeUnused(c) {
		t.Error("stayed though nobody came")
	}
	_ = client.Close()
	if _, err := net.Dial("unix", socket); err == nil {
		t.Error("somebody could connect afterwards")
	}
}

// TestEnded knows a process that has ended, whether or not anybody has noticed.
func TestEnded(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read line")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if ended(cmd.Process.Pid) {
		t.Error("a process that waits has ended")
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !ended(cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a process that has ended has not")
		}
	}
	_ = cmd.Wait() // It ends with an error, for there is nothing to read.
	if !ended(cmd.Process.Pid) {
		t.Error("a process that is gone has not ended")
	}
}
