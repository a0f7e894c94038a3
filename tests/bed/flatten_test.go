package bed

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

func flattened(t *testing.T, layers ...[]File) (Tree, []string) {
	t.Helper()
	var parsed [][]layerEntry
	for _, files := range layers {
		data, err := Tar(files...)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := readLayer(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, entries)
	}
	tree, anomalies, err := flatten(parsed...)
	if err != nil {
		t.Fatal(err)
	}
	return tree, anomalies
}

func TestFlattenPaths(t *testing.T) {
	lower := []File{Dir("d", 0o755), Text("d/a", "a"), Text("d/b", "b"), Dir("d/s", 0o755), Text("d/s/c", "c"), Link("l", "d")}
	cases := []struct {
		name      string
		upper     []File
		want      []string
		anomalies int
	}{
		{"nothing", nil, []string{"/", "/d", "/d/a", "/d/b", "/d/s", "/d/s/c", "/l"}, 0},
		{"whiteout of a file", []File{Text("d/.wh.a", "")}, []string{"/", "/d", "/d/b", "/d/s", "/d/s/c", "/l"}, 0},
		{"whiteout of a directory", []File{Text(".wh.d", "")}, []string{"/", "/l"}, 0},
		{"whiteout and the same name again", []File{Text(".wh.d", ""), Dir("d", 0o700)}, []string{"/", "/d", "/l"}, 0},
		{"whiteout after the name it spares", []File{Dir("d", 0o700), Text("d/n", ""), Text(".wh.d", "")}, []string{"/", "/d", "/d/n", "/l"}, 0},
		{"opaque", []File{Dir("d", 0o755), Text("d/.wh..wh..opq", ""), Text("d/n", "")}, []string{"/", "/d", "/d/n", "/l"}, 0},
		{"opaque after what it spares", []File{Text("d/n", ""), Text("d/.wh..wh..opq", "")}, []string{"/", "/d", "/d/n", "/l"}, 0},
		{"file over directory", []File{Text("d", "")}, []string{"/", "/d", "/l"}, 0},
		{"directory over symlink", []File{Dir("l", 0o755), Text("l/x", "")}, []string{"/", "/d", "/d/a", "/d/b", "/d/s", "/d/s/c", "/l", "/l/x"}, 0},
		{"through a symlink", []File{Text("l/x", "")}, []string{"/", "/d", "/d/a", "/d/b", "/d/s", "/d/s/c", "/l", "/l/x"}, 1},
		{"parents that no layer has", []File{Text("p/q/r", "")}, []string{"/", "/d", "/d/a", "/d/b", "/d/s", "/d/s/c", "/l", "/p", "/p/q", "/p/q/r"}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tree, anomalies := flattened(t, lower, c.upper)
			if got := slices.Sorted(maps.Keys(tree)); !slices.Equal(got, c.want) {
				t.Errorf("paths %q, want %q", got, c.want)
			}
			if len(anomalies) != c.anomalies {
				t.Errorf("anomalies %q, want %d", anomalies, c.anomalies)
			}
		})
	}
}

func TestFlattenHardLinks(t *testing.T) {
	lower := []File{Text("a", "x"), {Path: "b", Hardlink: "a"}, Text("c", "x")}
	tree, _ := flattened(t, lower)
	if tree["/a"].HardlinkGroup != "/a" || tree["/b"].HardlinkGroup != "/a" || tree["/c"].HardlinkGroup != "" {
		t.Errorf("groups %q %q %q", tree["/a"].HardlinkGroup, tree["/b"].HardlinkGroup, tree["/c"].HardlinkGroup)
	}
	tree, _ = flattened(t, lower, []File{Text("b", "y")})
	if tree["/a"].HardlinkGroup != "" || tree["/a"].SHA256 == tree["/b"].SHA256 {
		t.Error("a replaced link still shares its file")
	}
	tree, _ = flattened(t, lower, []File{{Path: "d", Hardlink: "c"}})
	if tree["/d"].HardlinkGroup != "/c" {
		t.Error("a link to a file of the layer below is not one")
	}
}

func TestFlattenKeepsChildrenOfAnOverwrittenDirectory(t *testing.T) {
	tree, _ := flattened(t, []File{Dir("d", 0o755), Text("d/a", "")}, []File{Dir("d", 0o2700).OwnedBy(3, 4)})
	if got := tree["/d"]; got.Mode != 0o2700 || got.UID != 3 || got.GID != 4 {
		t.Errorf("the directory is %s", got)
	}
	if _, ok := tree["/d/a"]; !ok {
		t.Error("its file is gone")
	}
}
