package layers_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/layers"
)

// TestSquashState holds a squash to be one operation on the base: so it is one
// layer.
func TestSquashState(t *testing.T) {
	base := llb.Image("registry.test/base:2")
	st, err := layers.Squash{
		Base: base, Above: image(layers.Whole, ""), Except: []string{"same"},
		Gone:   []layers.Removal{{Path: "/gone"}, {Path: "/[a]", Pattern: true}},
		Linked: []layers.Links{{Dir: "/d", Names: []string{"a", "b"}, Fraction: time.Unix(1, 1)}}, Dirs: []string{"/e"},
		Nodes: []layers.Node{{Path: "/dev", Mode: fs.ModeDir | 0o755}, {Path: "/dev/b", Mode: fs.ModeDevice | fs.ModeSetuid | 0o600, Major: 7, Minor: 3}},
	}.State("it")
	if err != nil {
		t.Fatal(err)
	}
	def, err := st.Marshal(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			t.Fatal(err)
		}
		for _, a := range op.GetFile().GetActions() {
			switch {
			case a.GetRm() != nil:
				kinds = append(kinds, "rm "+a.GetRm().Path)
			case a.GetCopy() != nil:
				kinds = append(kinds, "copy "+a.GetCopy().Src)
			case a.GetMkfile() != nil:
				kinds = append(kinds, "file "+a.GetMkfile().Path)
				checkNodes(t, a.GetMkfile().Data)
			}
		}
	}
	slices.Sort(kinds)
	if want := []string{"copy /", "copy /d", "copy /e", "copy /nodes.tar", "file /nodes.tar", "rm /[a]", "rm /gone"}; !slices.Equal(kinds, want) {
		t.Errorf("actions %q, want %q", kinds, want)
	}
}

func checkNodes(t *testing.T, data []byte) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(data))
	if h, err := r.Next(); err != nil || h.Typeflag != tar.TypeDir || h.Name != "dev/" || h.Mode != 0o755 {
		t.Errorf("the directory is %+v, %v", h, err)
	}
	if h, err := r.Next(); err != nil || h.Typeflag != tar.TypeBlock || h.Devmajor != 7 || h.Devminor != 3 || h.Mode != 0o4600 {
		t.Errorf("the device is %+v, %v", h, err)
	}
}

// TestSquashAll holds an image as one layer to the difference from something that
// is not the empty file system: of that BuildKit takes the image's own layers.
func TestSquashAll(t *testing.T) {
	if got := operations(t, layers.All(image(layers.Whole, ""), "all")); !slices.Contains(got, "diff") {
		t.Errorf("operations %q", got)
	}
	if layers.All(image(layers.Whole, ""), "all").Output() == nil {
		t.Error("there is no state")
	}
}
