package bed

import (
	"fmt"
	"path/filepath"
	"testing"
)

// Embedded is a builder that relink brings along, with its state in a folder of
// its own.
type Embedded struct {
	// Shared is the name by which stock buildx uses it.
	Shared string
	// Env is what makes relink use this one, as the builder "embedded".
	Env []string
}

// NewEmbedded starts a builder with no state, which is removed when the test
// ends.
func (b *Bed) NewEmbedded(t testing.TB) Embedded {
	t.Helper()
	b.mu.Lock()
	b.builders++
	e := Embedded{Shared: fmt.Sprintf("embedded%d", b.builders)}
	b.mu.Unlock()
	e.Env = []string{"RELINK_EMBEDDED=auto", "RELINK_EMBEDDED_DIR=" + filepath.Join(b.dir, e.Shared)}
	t.Cleanup(func() {
		if result := b.Docker(t, "", e.Env, "relink", "builder", "rm", "--force"); result.Code != 0 {
			t.Errorf("removing the builder %s: %s", e.Shared, result.Stderr)
		}
	})
	b.Docker(t, "", e.Env, "relink", "builder", "start", "--share", e.Shared).MustSucceed(t)
	return e
}
