package bed

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// sample is an image with one of everything that Compare looks at.
func sample(t *testing.T, change func(*v1.ConfigFile), extra ...File) Image {
	t.Helper()
	files := []File{
		Dir("dir", 0o755),
		Text("dir/file", "content"),
		{Path: "dir/hard", Hardlink: "dir/file"},
		Link("link", "dir/file"),
		{Path: "noted", Content: "x", Xattrs: map[string]string{"user.a": "1"}},
	}
	image, err := NewImage(change, files, extra)
	if err != nil {
		t.Fatal(err)
	}
	out, err := readImage(image)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCompareFindsEveryKindOfDifference(t *testing.T) {
	later := oldTime.Add(time.Hour)
	cases := []struct {
		name   string
		change func(*v1.ConfigFile)
		extra  []File
		want   string
	}{
		{name: "nothing"},
		{name: "added path", extra: []File{Text("new", "")}, want: "/new: file"},
		{name: "missing path", extra: []File{Text(".wh.link", "")}, want: "/link: missing"},
		{name: "type", extra: []File{Text("link", "")}, want: "/link: file"},
		{name: "mode", extra: []File{Dir("dir", 0o700)}, want: "/dir: mode 0700"},
		{name: "sticky bit", extra: []File{Dir("dir", 0o1755)}, want: "/dir: mode 1755"},
		{name: "owner", extra: []File{Dir("dir", 0o755).OwnedBy(1, 0)}, want: "/dir: owner 1:0"},
		{name: "group", extra: []File{Dir("dir", 0o755).OwnedBy(0, 1)}, want: "/dir: owner 0:1"},
		{name: "size", extra: []File{Text("noted", "xx")}, want: "/noted: size 2"},
		{name: "content", extra: []File{Text("noted", "y")}, want: "/noted: content"},
		{name: "link target", extra: []File{Link("link", "elsewhere")}, want: "/link: link target elsewhere"},
		{name: "hard link broken", extra: []File{Text("dir/hard", "content")}, want: "/dir/hard: hard link group"},
		{name: "xattr", extra: []File{{Path: "noted", Content: "x", Xattrs: map[string]string{"user.a": "2"}}}, want: "/noted: xattrs"},
		{name: "no xattr", extra: []File{Text("noted", "x")}, want: "/noted: xattrs"},
		{name: "time of a file", extra: []File{{Path: "noted", Content: "x", ModTime: later, Xattrs: map[string]string{"user.a": "1"}}}, want: "/noted: time"},
		{name: "time of a symlink", extra: []File{{Path: "link", Symlink: "dir/file", ModTime: later}}, want: "/link: time"},
		{name: "time of a directory", extra: []File{{Path: "dir", Dir: true, ModTime: later}}},
		{name: "env", change: func(c *v1.ConfigFile) { c.Config.Env = []string{"A=1"} }, want: "config.config.Env"},
		{name: "cmd", change: func(c *v1.ConfigFile) { c.Config.Cmd = nil }, want: "config.config.Cmd"},
		{name: "entrypoint", change: func(c *v1.ConfigFile) { c.Config.Entrypoint = []string{"x"} }, want: "config.config.Entrypoint"},
		{name: "user", change: func(c *v1.ConfigFile) { c.Config.User = "x" }, want: "config.config.User"},
		{name: "workdir", change: func(c *v1.ConfigFile) { c.Config.WorkingDir = "/x" }, want: "config.config.WorkingDir"},
		{name: "label", change: func(c *v1.ConfigFile) { c.Config.Labels = map[string]string{"a": "b"} }, want: "config.config.Labels"},
		{name: "port", change: func(c *v1.ConfigFile) { c.Config.ExposedPorts = map[string]struct{}{"80/tcp": {}} }, want: "config.config.ExposedPorts"},
		{name: "volume", change: func(c *v1.ConfigFile) { c.Config.Volumes = map[string]struct{}{"/v": {}} }, want: "config.config.Volumes"},
		{name: "stop signal", change: func(c *v1.ConfigFile) { c.Config.StopSignal = "SIGINT" }, want: "config.config.StopSignal"},
		{name: "health check", change: func(c *v1.ConfigFile) { c.Config.Healthcheck = &v1.HealthConfig{Test: []string{"NONE"}} }, want: "config.config.Healthcheck"},
		{name: "shell", change: func(c *v1.ConfigFile) { c.Config.Shell = []string{"x"} }, want: "config.config.Shell"},
		{name: "onbuild", change: func(c *v1.ConfigFile) { c.Config.OnBuild = []string{"RUN x"} }, want: "config.config.OnBuild"},
		{name: "architecture", change: func(c *v1.ConfigFile) { c.Architecture = "s390x" }, want: "config.architecture"},
		{name: "variant", change: func(c *v1.ConfigFile) { c.Variant = "v8" }, want: "config.variant"},
		{name: "os", change: func(c *v1.ConfigFile) { c.OS = "plan9" }, want: "config.os"},
		{name: "time of the image", change: func(c *v1.ConfigFile) { c.Created = v1.Time{Time: later} }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			expectOnly(t, Compare(sample(t, nil), sample(t, c.change, c.extra...)), c.want)
		})
	}
}

// expectOnly wants one difference with the given beginning among those found,
// or none at all when it is empty.
func expectOnly(t *testing.T, diffs []string, want string) {
	t.Helper()
	if want == "" {
		if len(diffs) > 0 {
			t.Errorf("got differences %q, want none", diffs)
		}
		return
	}
	if !slices.ContainsFunc(diffs, func(diff string) bool { return strings.HasPrefix(diff, want) }) {
		t.Errorf("got differences %q, want one that begins with %q", diffs, want)
	}
}

func TestCompareHistory(t *testing.T) {
	edit := func(change func([]v1.History) []v1.History) Image {
		image := sample(t, nil)
		image.Config.History = change(image.Config.History)
		raw, err := json.Marshal(image.Config)
		if err != nil {
			t.Fatal(err)
		}
		image.RawConfig = raw
		return image
	}
	cases := []struct {
		name   string
		change func([]v1.History) []v1.History
		want   string
	}{
		{"created by", func(h []v1.History) []v1.History { h[0].CreatedBy = "x"; return h }, "config.history[0].created_by"},
		{"comment", func(h []v1.History) []v1.History { h[0].Comment = "x"; return h }, "config.history[0].comment"},
		{"author", func(h []v1.History) []v1.History { h[0].Author = "x"; return h }, "config.history[0].author"},
		{"empty layer", func(h []v1.History) []v1.History { h[0].EmptyLayer = true; return h }, "layers: 2 layers"},
		{"entry missing", func(h []v1.History) []v1.History { return h[:1] }, "config.history"},
		{"time", func(h []v1.History) []v1.History { h[0].Created = v1.Time{Time: time.Now()}; return h }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			expectOnly(t, Compare(sample(t, nil), edit(c.change)), c.want)
		})
	}
}

func TestCompareToleratesTimesFromTheClock(t *testing.T) {
	began := oldTime.Add(time.Minute)
	made := func(after time.Duration) Image {
		image := sample(t, nil, File{Path: "made", ModTime: began.Add(after)})
		image.ClockFrom = began
		return image
	}
	expectOnly(t, Compare(made(time.Second), made(time.Hour)), "")
	expectOnly(t, Compare(made(time.Second), made(-time.Second)), "/made: time")
}

func TestCompareAnnotations(t *testing.T) {
	cases := []struct {
		name          string
		stock, relink map[string]string
		want          string
	}{
		{"equal", map[string]string{"a": "b"}, map[string]string{"a": "b"}, ""},
		{"relink's own", nil, map[string]string{"com.github.docker-relink.x": "y", "org.opencontainers.image.base.name": "z"}, ""},
		{"missing", map[string]string{"a": "b"}, nil, "annotations"},
		{"added", nil, map[string]string{"a": "b"}, "annotations"},
		{"base that the user named", map[string]string{"org.opencontainers.image.base.name": "x"}, map[string]string{"org.opencontainers.image.base.name": "y"}, "annotations"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			stock, relink := sample(t, nil), sample(t, nil)
			stock.Manifest.Annotations, relink.Manifest.Annotations = c.stock, c.relink
			expectOnly(t, Compare(stock, relink), c.want)
		})
	}
}

func TestCompareLayers(t *testing.T) {
	stock := sample(t, nil, Text("new", "x"))
	expectOnly(t, CompareLayers(stock, sample(t, nil, Dir("dir", 0o755), Text("new", "y"))), "")
	expectOnly(t, CompareLayers(stock, sample(t, nil, Text("new", "x"), Text("noted", "x"))), "layer 1: 1 files that stock's has not, first /noted")
}
