package registry

import "sync"

// memo reads each thing once, however many ask for it at the same time. What
// could not be read is read again when it is asked for again.
type memo[T any] struct {
	mu    sync.Mutex
	calls map[string]*call[T]
}

type call[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (m *memo[T]) get(key string, read func() (T, error)) (T, error) {
	m.mu.Lock()
	c := m.calls[key]
	if c == nil {
		c = &call[T]{}
		if m.calls == nil {
			m.calls = map[string]*call[T]{}
		}
		m.calls[key] = c
	}
	m.mu.Unlock()
	c.once.Do(func() { c.value, c.err = read() })
	if c.err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.calls[key] == c {
			delete(m.calls, key)
		}
	}
	return c.value, c.err
}
