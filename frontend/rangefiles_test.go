package frontend

import (
	"context"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/docker-relink/relink/internal/errdefs"
)

// memoryRef is a file system by path; contents belong to regular files.
type memoryRef struct {
	gateway.Reference
	stats    map[string]*fstypes.Stat
	contents map[string]string
}

func (r memoryRef) ReadDir(_ context.Context, req gateway.ReadDirRequest) ([]*fstypes.Stat, error) {
	var out []*fstypes.Stat
	for name, st := range r.stats {
		if path.Dir(name) == req.Path {
			st = st.CloneVT()
			st.Path = path.Base(name)
			out = append(out, st)
		}
	}
	return out, nil
}

func (r memoryRef) ReadFile(_ context.Context, req gateway.ReadRequest) ([]byte, error) {
	text, ok := r.contents[req.Filename]
	if !ok {
		return nil, fs.ErrNotExist
	}
	at := min(req.Range.Offset, len(text))
	return []byte(text[at:min(at+req.Range.Length, len(text))]), nil
}

const wholeSecond = 1_000_000_000

func regular(size int, modTime int64) *fstypes.Stat {
	return &fstypes.Stat{Mode: 0o644, Size: int64(size), ModTime: modTime}
}

func mode(m os.FileMode) *fstypes.Stat { return &fstypes.Stat{Mode: uint32(m)} }

func TestCompareFiles(t *testing.T) {
	long := strings.Repeat("a", pieceSize)
	lower := memoryRef{stats: map[string]*fstypes.Stat{
		"/d": mode(os.ModeDir | 0o755), "/d/f": regular(1, wholeSecond+1), "/gone": regular(1, 0), "/gone-link": mode(os.ModeSymlink),
		"/read": regular(1, wholeSecond), "/other": regular(pieceSize+1, wholeSecond), "/e": mode(os.ModeDir | 0o755), "/e/x": regular(1, 1),
		"/t": mode(os.ModeSymlink), "/m": regular(0, 1), "/linked": {Mode: 0o644, Linkname: "m", ModTime: 1}, "/l": {Mode: uint32(os.ModeSymlink), Linkname: "a"},
	}, contents: map[string]string{"/read": "1", "/other": long + "1"}}
	upper := memoryRef{stats: map[string]*fstypes.Stat{
		"/d": mode(os.ModeDir | 0o755), "/d/f": regular(1, wholeSecond+1), "/new": mode(os.ModeDir | 0o755), "/new/f": regular(1, 1),
		"/read": regular(1, wholeSecond), "/other": regular(pieceSize+1, wholeSecond), "/e": mode(os.ModeDir | 0o700), "/e/x": regular(1, 1),
		"/t": regular(1, 1), "/m": regular(0, 1), "/linked": regular(0, 1), "/l": {Mode: uint32(os.ModeSymlink), Linkname: "b"},
	}, contents: map[string]string{"/read": "1", "/other": long + "2"}}
	diff, err := compareFiles(t.Context(), lower, upper, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := []removal{{path: "/d"}, {path: "/e/x"}, {path: "/linked"}, {path: "/m"}, {path: "/read"}}; !slices.Equal(diff.same, want) {
		t.Errorf("the same are %v, want %v", diff.same, want)
	}
	if want := []removal{{path: "/t", link: true}, {path: "/gone"}, {path: "/gone-link", link: true}}; !slices.Equal(diff.gone, want) {
		t.Errorf("gone are %v, want %v", diff.gone, want)
	}
}

// TestCompareUncopied wants an error for what the builder's copy makes
// something else of, wherever it is, but not where it is not copied.
func TestCompareUncopied(t *testing.T) {
	for _, tt := range []struct {
		mode          os.FileMode
		plain, refuse bool
	}{
		{os.ModeDevice, false, true},
		{os.ModeDevice | os.ModeCharDevice, false, false},
		{os.ModeDevice | os.ModeCharDevice, true, true},
		{os.ModeNamedPipe, false, false},
		{os.ModeNamedPipe, true, true},
	} {
		upper := memoryRef{stats: map[string]*fstypes.Stat{"/d": mode(os.ModeDir), "/d/x": mode(tt.mode)}}
		_, err := compareFiles(t.Context(), memoryRef{}, upper, tt.plain)
		if refused := errdefs.Is(err, errdefs.Unsupported); refused != tt.refuse {
			t.Errorf("%v on a builder of plain copies (%t): %v", tt.mode, tt.plain, err)
		}
		if diff, err := compareFiles(t.Context(), upper, upper, tt.plain); err != nil || diff.changed {
			t.Errorf("%v that stays: %v, %v", tt.mode, diff, err)
		}
	}
}
