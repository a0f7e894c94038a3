package registry

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestMemo(t *testing.T) {
	var m memo[int]
	var reads atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if v, err := m.get("a", func() (int, error) { return int(reads.Add(1)), nil }); v != 1 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
		})
	}
	all.Wait()
	if reads.Load() != 1 {
		t.Errorf("%d reads", reads.Load())
	}
	if _, err := m.get("b", func() (int, error) { return 0, errors.New("not now") }); err == nil {
		t.Error("no error")
	}
	if v, err := m.get("b", func() (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Errorf("%d, %v after an error", v, err)
	}
}
