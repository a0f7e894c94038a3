package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// conf makes a config of the JSON of its "config" object, with one layer for
// each letter of layers and, if given, a history written as by steps, "_" for a
// blank.
func conf(t *testing.T, config, layers, history string) *Config {
	t.Helper()
	diffs, err := json.Marshal(ids(layers))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":%s}}`, config, diffs))
	if err != nil {
		t.Fatal(err)
	}
	c.History = steps(history)
	for i := range c.History {
		c.History[i].CreatedBy = strings.ReplaceAll(c.History[i].CreatedBy, "_", " ")
	}
	return c
}

// lines writes what a merge lists, one line each.
func (r *Result) lines() []string {
	var out []string
	field := func(f, k string) string { return strings.TrimSuffix(f+"."+k, ".") }
	for _, c := range r.Changes {
		out = append(out, fmt.Sprintf("change %s %s -> %s", field(c.Field, c.Key), c.From, c.To))
	}
	for _, c := range r.Conflicts {
		out = append(out, fmt.Sprintf("conflict %s %s | %s | %s", field(c.Field, c.Key), c.Image, c.OldBase, c.NewBase))
	}
	for _, n := range r.Notes {
		if n.Field != "" {
			out = append(out, "note "+field(n.Field, n.Key))
		}
	}
	return out
}

type mergeCase struct {
	name             string
	image, old, base string // "config" objects; old "gone": not known
	imageHistory     string // the image has two layers, its old base one
	oldHistory       string
	want             string // the merged "config" object
	lists            []string
}

func (tc mergeCase) run(t *testing.T) {
	in := Input{Image: conf(t, tc.image, "ab", tc.imageHistory), NewBase: conf(t, tc.base, "x", ""), OldBaseLayers: 1}
	if tc.old != "gone" {
		in.OldBase = conf(t, tc.old, "a", tc.oldHistory)
	}
	before, err := in.Image.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r, err := MergeConfig(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := conf(t, tc.want, "ab", ""); !reflect.DeepEqual(r.Config.Config, want.Config) {
		t.Errorf("got %s\nwant %s", asJSON(r.Config.Config), asJSON(want.Config))
	}
	if got := r.lines(); !slices.Equal(got, tc.lists) {
		t.Errorf("lists:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tc.lists, "\n"))
	}
	if after, _ := in.Image.Marshal(); string(after) != string(before) {
		t.Errorf("the image was changed to %s", after)
	}
}

func asJSON(v any) string {
	dt, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(dt)
}

func TestMergeScalars(t *testing.T) {
	for _, tc := range []mergeCase{
		{name: "inherited", image: `{"User":"a"}`, old: `{"User":"a"}`, base: `{"User":"b"}`, want: `{"User":"b"}`,
			lists: []string{`change User "a" -> "b"`}},
		{name: "inherited and gone", image: `{"StopSignal":"INT"}`, old: `{"StopSignal":"INT"}`, base: `{}`, want: `{}`,
			lists: []string{`change StopSignal "INT" -> `}},
		{name: "new in the base", image: `{}`, old: `{}`, base: `{"WorkingDir":"/x"}`, want: `{"WorkingDir":"/x"}`,
			lists: []string{`change WorkingDir  -> "/x"`}},
		{name: "the image's", image: `{"User":"a"}`, old: `{}`, base: `{}`, want: `{"User":"a"}`},
		{name: "changed by the image alone", image: `{"User":"a"}`, old: `{"User":"b"}`, base: `{"User":"b"}`, want: `{"User":"a"}`},
		{name: "changed alike", image: `{"User":"a"}`, old: `{"User":"b"}`, base: `{"User":"a"}`, want: `{"User":"a"}`},
		{name: "both changed", image: `{"User":"a"}`, old: `{"User":"b"}`, base: `{"User":"c"}`, want: `{"User":"a"}`,
			lists: []string{`conflict User "a" | "b" | "c"`}},
		{name: "removed", image: `{}`, old: `{"StopSignal":"INT"}`, base: `{"StopSignal":"INT"}`, want: `{}`},
		{name: "removed and changed", image: `{}`, old: `{"StopSignal":"INT"}`, base: `{"StopSignal":"HUP"}`, want: `{}`,
			lists: []string{`conflict StopSignal  | "INT" | "HUP"`}},
		{name: "set by the image to the old base's value", image: `{"User":"a"}`, old: `{"User":"a"}`, base: `{"User":"b"}`, want: `{"User":"a"}`,
			oldHistory: "+fs -USER_a", imageHistory: "+fs -USER_a -USER_a +COPY",
			lists: []string{`note User`}},
		{name: "set by the old base", image: `{"User":"a"}`, old: `{"User":"a"}`, base: `{"User":"b"}`, want: `{"User":"b"}`,
			oldHistory: "+fs -USER_a", imageHistory: "+fs -USER_a +COPY",
			lists: []string{`change User "a" -> "b"`}},
		{name: "nothing is proved where the old base's history is not in the image's", image: `{"User":"a"}`, old: `{"User":"a"}`, base: `{"User":"b"}`, want: `{"User":"b"}`,
			oldHistory: "+FS -USER_a -X", imageHistory: "+fs -USER__a +COPY",
			lists: []string{`change User "a" -> "b"`}},
		{name: "a working directory as BuildKit inherits it", image: `{"WorkingDir":"/x"}`, old: `{"WorkingDir":"/x/"}`, base: `{"WorkingDir":"/y"}`, want: `{"WorkingDir":"/y"}`,
			lists: []string{`change WorkingDir "/x" -> "/y"`}},
		{name: "health check and shell as a whole", image: `{"Healthcheck":{"Test":["CMD","a"]},"Shell":["/bin/a"]}`,
			old: `{"Healthcheck":{"Test":["CMD","a"]},"Shell":["/bin/a"]}`, base: `{"Healthcheck":{"Test":["CMD","a"],"Retries":3},"Shell":["/bin/b","-c"]}`,
			want: `{"Healthcheck":{"Test":["CMD","a"],"Retries":3},"Shell":["/bin/b","-c"]}`,
			lists: []string{
				`change Healthcheck {"Test":["CMD","a"]} -> {"Test":["CMD","a"],"Retries":3}`,
				`change Shell ["/bin/a"] -> ["/bin/b","-c"]`}},
		{name: "ONBUILD is never inherited", image: `{"OnBuild":["RUN a"]}`, old: `{}`, base: `{"OnBuild":["RUN b"]}`, want: `{"OnBuild":["RUN a"]}`,
			lists: []string{"note OnBuild"}},
		{name: "ONBUILD that has run", image: `{}`, old: `{"OnBuild":["RUN b"]}`, base: `{"OnBuild":["RUN b"]}`, want: `{}`},
	} {
		t.Run(tc.name, tc.run)
	}
}

func TestMergeCommand(t *testing.T) {
	for _, tc := range []mergeCase{
		{name: "both inherited", image: `{"Entrypoint":["e"],"Cmd":["c"]}`, old: `{"Entrypoint":["e"],"Cmd":["c"]}`, base: `{"Entrypoint":["e2"],"Cmd":["c2"]}`,
			want: `{"Entrypoint":["e2"],"Cmd":["c2"]}`, lists: []string{`change Entrypoint ["e"] -> ["e2"]`, `change Cmd ["c"] -> ["c2"]`}},
		{name: "an own ENTRYPOINT has reset the base's CMD", image: `{"Entrypoint":["mine"]}`, old: `{"Cmd":["bash"]}`, base: `{"Cmd":["sh"]}`,
			want: `{"Entrypoint":["mine"]}`},
		{name: "and keeps out a CMD that the new base brings", image: `{"Entrypoint":["mine"]}`, old: `{}`, base: `{"Cmd":["sh"]}`,
			want: `{"Entrypoint":["mine"]}`},
		{name: "an own ENTRYPOINT makes the CMD the image's", image: `{"Entrypoint":["mine"],"Cmd":["bash"]}`, old: `{"Cmd":["bash"]}`, base: `{"Cmd":["sh"]}`,
			want: `{"Entrypoint":["mine"],"Cmd":["bash"]}`},
		{name: "own ENTRYPOINT with the old base's words", image: `{"Entrypoint":["e"]}`, old: `{"Entrypoint":["e"],"Cmd":["c"]}`, base: `{"Entrypoint":["e2"],"Cmd":["c2"]}`,
			oldHistory: "+fs", imageHistory: `+fs +COPY -ENTRYPOINT_["e"]`,
			want: `{"Entrypoint":["e"]}`, lists: []string{"note Entrypoint"}},
		{name: "an own CMD meets the new ENTRYPOINT", image: `{"Entrypoint":["e"],"Cmd":["mine"]}`, old: `{"Entrypoint":["e"]}`, base: `{"Entrypoint":["e2"],"Cmd":["c2"]}`,
			want: `{"Entrypoint":["e2"],"Cmd":["mine"]}`, lists: []string{`change Entrypoint ["e"] -> ["e2"]`, `conflict Cmd ["mine"] |  | ["c2"]`, "note Cmd"}},
		{name: "ArgsEscaped goes with an own CMD", image: `{"Cmd":["mine"],"ArgsEscaped":true}`, old: `{"Cmd":["c"],"ArgsEscaped":true}`, base: `{"Cmd":["c"]}`,
			want: `{"Cmd":["mine"],"ArgsEscaped":true}`},
		{name: "ArgsEscaped goes with an inherited CMD", image: `{"Cmd":["c"],"ArgsEscaped":true}`, old: `{"Cmd":["c"],"ArgsEscaped":true}`, base: `{"Cmd":["c"]}`,
			want: `{"Cmd":["c"]}`},
	} {
		t.Run(tc.name, tc.run)
	}
}

func TestMergeMaps(t *testing.T) {
	for _, tc := range []mergeCase{
		{name: "by key", image: `{"Labels":{"own":"1","inherited":"a","both":"mine","dropped":"x"}}`,
			old: `{"Labels":{"inherited":"a","both":"a","dropped":"x","removed":"r"}}`, base: `{"Labels":{"inherited":"b","both":"b","new":"n","removed":"r"}}`,
			want: `{"Labels":{"own":"1","inherited":"b","both":"mine","new":"n"}}`,
			lists: []string{`change Labels.dropped "x" -> `, `change Labels.inherited "a" -> "b"`, `change Labels.new  -> "n"`,
				`conflict Labels.both "mine" | "a" | "b"`}},
		{name: "an empty value is a value", image: `{"Labels":{"a":""}}`, old: `{"Labels":{"a":"1"}}`, base: `{"Labels":{"a":"2"}}`,
			want: `{"Labels":{"a":""}}`, lists: []string{`conflict Labels.a "" | "1" | "2"`}},
		{name: "ports and volumes", image: `{"ExposedPorts":{"80/tcp":{},"1/tcp":{}},"Volumes":{"/a":{},"/b":{}}}`,
			old: `{"ExposedPorts":{"80/tcp":{}},"Volumes":{"/a":{}}}`, base: `{"ExposedPorts":{"443/tcp":{}},"Volumes":{"/a":{}}}`,
			want:  `{"ExposedPorts":{"443/tcp":{},"1/tcp":{}},"Volumes":{"/a":{},"/b":{}}}`,
			lists: []string{`change ExposedPorts.443/tcp  -> {}`, `change ExposedPorts.80/tcp {} -> `}},
		{name: "exposed by the image as well", image: `{"ExposedPorts":{"80/tcp":{},"1/tcp":{}}}`, old: `{"ExposedPorts":{"80/tcp":{},"1/tcp":{}}}`, base: `{}`,
			oldHistory: "+fs -EXPOSE_[80/tcp_1/tcp]", imageHistory: "+fs -EXPOSE_[80/tcp_1/tcp] +COPY -EXPOSE_[80/tcp_8081/tcp]",
			want: `{"ExposedPorts":{"80/tcp":{}}}`, lists: []string{`change ExposedPorts.1/tcp {} -> `, `note ExposedPorts.80/tcp`}},
	} {
		t.Run(tc.name, tc.run)
	}
}

func TestMergeEnv(t *testing.T) {
	for _, tc := range []mergeCase{
		{name: "the new base's order, then the image's", image: `{"Env":["B=1","Z=own","A=mine","Y=own"]}`, old: `{"Env":["B=1","A=1"]}`, base: `{"Env":["N=new","A=1","B=2"]}`,
			want:  `{"Env":["N=new","A=mine","B=2","Z=own","Y=own"]}`,
			lists: []string{`change Env.N  -> "new"`, `change Env.B "1" -> "2"`}},
		{name: "removed stays removed, dropped is dropped", image: `{"Env":["A=1"]}`, old: `{"Env":["A=1","R=1"]}`, base: `{"Env":["R=1"]}`,
			want: `{}`, lists: []string{`change Env.A "1" -> `}},
		{name: "both changed", image: `{"Env":["A=1"]}`, old: `{"Env":["A=2"]}`, base: `{"Env":["A=3"]}`,
			want: `{"Env":["A=1"]}`, lists: []string{`conflict Env.A "1" | "2" | "3"`}},
		{name: "a key twice: the later value", image: `{"Env":["A=1","B=1","A=2"]}`, old: `{"Env":["A=1"]}`, base: `{"Env":["A=1"]}`,
			want: `{"Env":["A=2","B=1"]}`},
		{name: "no value, empty value, = in the value", image: `{"Env":["A","B=","C=x=y","=D=1"]}`, old: `{}`, base: `{}`,
			want: `{"Env":["A","B=","C=x=y","=D=1"]}`},
		{name: "set by the image to the old base's value", image: `{"Env":["A=1","B=1"]}`, old: `{"Env":["A=1","B=1"]}`, base: `{"Env":["A=2","B=2"]}`,
			oldHistory: "+fs", imageHistory: "+fs -ENV_X=0_A=1 -RUN_B=1 -ENV_B=10_AB=1 +COPY",
			want: `{"Env":["A=1","B=2"]}`, lists: []string{`change Env.B "1" -> "2"`, `note Env.A`}},
		{name: "PATH inherited", image: `{"Env":["PATH=/old"]}`, old: `{"Env":["PATH=/old"]}`, base: `{"Env":["PATH=/new"]}`,
			want: `{"Env":["PATH=/new"]}`, lists: []string{`change Env.PATH "/old" -> "/new"`}},
		{name: "PATH set by the image to the old base's", image: `{"Env":["PATH=/old"]}`, old: `{"Env":["PATH=/old"]}`, base: `{"Env":["PATH=/new"]}`,
			oldHistory: "+fs", imageHistory: "+fs +COPY -ENV_PATH=/old",
			want: `{"Env":["PATH=/old"]}`, lists: []string{`note Env.PATH`}},
		{name: "PATH extended on both sides", image: `{"Env":["PATH=/app:/o1:/o2:/end"]}`, old: `{"Env":["PATH=/o1:/o2"]}`, base: `{"Env":["X=1","PATH=/n1:/n2"]}`,
			want: `{"Env":["X=1","PATH=/app:/n1:/n2:/end"]}`, lists: []string{`change Env.X  -> "1"`, `change Env.PATH "/app:/o1:/o2:/end" -> "/app:/n1:/n2:/end"`}},
		{name: "PATH extended, base's the same", image: `{"Env":["PATH=/app:/o"]}`, old: `{"Env":["PATH=/o"]}`, base: `{"Env":["PATH=/o"]}`,
			want: `{"Env":["PATH=/app:/o"]}`},
		{name: "PATH not extended but replaced", image: `{"Env":["PATH=/app:/o1"]}`, old: `{"Env":["PATH=/o1:/o2"]}`, base: `{"Env":["PATH=/n"]}`,
			want: `{"Env":["PATH=/app:/o1"]}`, lists: []string{`conflict Env.PATH "/app:/o1" | "/o1:/o2" | "/n"`}},
		{name: "PATH that contains the old one within a name", image: `{"Env":["PATH=/app/o:/x"]}`, old: `{"Env":["PATH=/o"]}`, base: `{"Env":["PATH=/n"]}`,
			want: `{"Env":["PATH=/app/o:/x"]}`, lists: []string{`conflict Env.PATH "/app/o:/x" | "/o" | "/n"`}},
		{name: "PATH that BuildKit added on a base without", image: `{"Env":["PATH=/app:` + defaultPath + `"]}`, old: `{}`, base: `{"Env":["PATH=/n"]}`,
			want: `{"Env":["PATH=/app:/n"]}`, lists: []string{`change Env.PATH "/app:` + defaultPath + `" -> "/app:/n"`}},
		{name: "new base without PATH", image: `{"Env":["PATH=/o","A=1"]}`, old: `{"Env":["PATH=/o"]}`, base: `{"Env":["N=1"]}`,
			want: `{"Env":["N=1","PATH=` + defaultPath + `","A=1"]}`, lists: []string{`change Env.N  -> "1"`, `change Env.PATH "/o" -> "` + defaultPath + `"`}},
		{name: "no PATH anywhere", image: `{"Env":["A=1"]}`, old: `{}`, base: `{}`, want: `{"Env":["A=1"]}`},
	} {
		t.Run(tc.name, tc.run)
	}
}

func TestMergeWithoutOldBase(t *testing.T) {
	for _, tc := range []mergeCase{
		{name: "equal, own and new values", image: `{"User":"u","Env":["SAME=1","OWN=1","DIFF=1"],"Labels":{"l":"1"}}`, old: "gone",
			base: `{"User":"u","StopSignal":"INT","Env":["SAME=1","DIFF=2","NEW=1"]}`,
			want: `{"User":"u","StopSignal":"INT","Env":["SAME=1","DIFF=1","NEW=1","OWN=1"],"Labels":{"l":"1"}}`,
			lists: []string{`change Env.NEW  -> "1"`, `change StopSignal  -> "INT"`,
				`conflict Env.DIFF "1" |  | "2"`}},
		{name: "the history knows the base's values", image: `{"Env":["VERSION=1.1","MINE=1"],"User":"u","Labels":{"l":"old"}}`, old: "gone",
			base:         `{"Env":["VERSION=1.2","MINE=2"],"User":"v","Labels":{"l":"new"}}`,
			imageHistory: "-ENV_VERSION=1.1 -LABEL_l=old -USER_u +fs +COPY -ENV_MINE=1",
			want:         `{"Env":["VERSION=1.2","MINE=1"],"User":"v","Labels":{"l":"new"}}`,
			lists:        []string{`change Env.VERSION "1.1" -> "1.2"`, `change Labels.l "old" -> "new"`, `change User "u" -> "v"`}},
		{name: "an instruction that could be either side's proves nothing", image: `{"Cmd":["mine"]}`, old: "gone", base: `{"Cmd":["new"]}`,
			imageHistory: "-CMD_x +fs -CMD_mine +COPY",
			want:         `{"Cmd":["mine"]}`, lists: []string{`conflict Cmd ["mine"] |  | ["new"]`}},
		{name: "an inconsistent history proves nothing", image: `{"User":"u"}`, old: "gone", base: `{"User":"v"}`,
			imageHistory: "-USER_u +fs",
			want:         `{"User":"u"}`, lists: []string{`conflict User "u" |  | "v"`}},
		{name: "own ENTRYPOINT", image: `{"Entrypoint":["mine"]}`, old: "gone", base: `{"Entrypoint":["e"],"Cmd":["c"]}`,
			want: `{"Entrypoint":["mine"]}`, lists: []string{`conflict Entrypoint ["mine"] |  | ["e"]`}},
		{name: "PATH from the base's part of the history", image: `{"Env":["PATH=/app:/o1:/o2"]}`, old: "gone", base: `{"Env":["PATH=/n"]}`,
			imageHistory: "-ENV_PATH=/o1:/o2 +fs +COPY -ENV_PATH=/app:/o1:/o2",
			want:         `{"Env":["PATH=/app:/n"]}`, lists: []string{`change Env.PATH "/app:/o1:/o2" -> "/app:/n"`}},
	} {
		t.Run(tc.name, tc.run)
	}
}

func TestMergeWithoutOldBaseSaysSo(t *testing.T) {
	c := conf(t, `{}`, "a", "")
	r, err := MergeConfig(Input{Image: c, NewBase: c, OldBaseLayers: 1})
	if err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].Text, "old base's config is not known") {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestMergeTopLevel(t *testing.T) {
	parse := func(s string) *Config {
		c, err := ParseConfig([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	image := parse(`{"author":"a","created":"2020-01-01T00:00:00Z","architecture":"arm64","os":"linux","docker_version":"1","future":1,"parent":"p","container_config":{},
			"moby.buildkit.cache.v0":"c","config":{"Image":"i","Hostname":"h"},"rootfs":{"type":"layers"}}`)
	before, err := image.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r, err := MergeConfig(Input{
		Image:   image,
		OldBase: parse(`{"author":"a","architecture":"arm64","os":"linux","rootfs":{"type":"layers"}}`),
		NewBase: parse(`{"author":"b","created":"2021-01-01T00:00:00Z","architecture":"arm64","variant":"v8","os":"linux","os.features":["f"],"future":2,"other":1,"rootfs":{"type":"layers"}}`),
		Created: &created,
	})
	if err != nil {
		t.Fatal(err)
	}
	if after, err := image.Marshal(); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the image was changed to %s, %v", after, err)
	}
	got, err := r.Config.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"author":"b","created":"2026-01-02T03:04:05Z","architecture":"arm64","variant":"v8","os":"linux","os.features":["f"],"docker_version":"1","future":1,
		"config":{"Hostname":"h"},"rootfs":{"type":"layers","diff_ids":null}}`
	if !reflect.DeepEqual(decoded(t, got), decoded(t, []byte(want))) {
		t.Errorf("got %s\nwant %s", got, want)
	}
	lists := []string{`change author "a" -> "b"`, "note container_config", "note moby.buildkit.cache.v0", "note parent", "note config.Image"}
	if !slices.Equal(r.lines(), lists) {
		t.Errorf("lists %q, want %q", r.lines(), lists)
	}
}

func TestMergeErrors(t *testing.T) {
	ok := conf(t, `{}`, "a", "")
	arm, none := ok.clone(), ok.clone()
	arm.Platform = ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	none.Platform = ocispecs.Platform{}
	for _, tc := range []struct {
		name string
		in   Input
		want string
	}{
		{name: "no image", in: Input{NewBase: ok}, want: "no config"},
		{name: "no new base", in: Input{Image: ok}, want: "no config"},
		{name: "new base without platform", in: Input{Image: ok, NewBase: none}, want: "names no platform"},
		{name: "another architecture", in: Input{Image: ok, NewBase: arm}, want: "the image is for linux/amd64, the new base for linux/arm64"},
		{name: "more layers than there are", in: Input{Image: ok, NewBase: ok, OldBaseLayers: 2}, want: "old base with 2 layers below an image with 1"},
		{name: "fewer layers than none", in: Input{Image: ok, NewBase: ok, OldBaseLayers: -1}, want: "old base with -1 layers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Rebase(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	var e *PlatformError
	if _, err := Rebase(Input{Image: ok, NewBase: arm}); !errors.As(err, &e) {
		t.Errorf("error %v is no *PlatformError", err)
	}
}

func TestMergeOnWindows(t *testing.T) {
	windows := func(env ...string) *Config {
		c := conf(t, `{}`, "a", "")
		c.OS, c.Config.Env = "windows", env
		return c
	}
	r, err := MergeConfig(Input{Image: windows(`Path=C:\app;C:\old`, "a=1"), OldBase: windows(`PATH=C:\old`, "A=1"), NewBase: windows(`PATH=C:\new`, "A=2"), OldBaseLayers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Config.Config.Env, []string{`Path=C:\app;C:\new`, "A=2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r, err = MergeConfig(Input{Image: windows("A=1"), OldBase: windows(), NewBase: windows(), OldBaseLayers: 1}); err != nil || len(r.Config.Config.Env) != 1 {
		t.Errorf("got %+v, %v: Windows gets no default PATH", r, err)
	}
}

func TestRebaseStacksLayers(t *testing.T) {
	image, old, base := conf(t, `{}`, "abc", "+fs -X +RUN +COPY"), conf(t, `{}`, "ab", "+fs -X +RUN"), conf(t, `{}`, "xyz", "+new")
	r, err := Rebase(Input{Image: image, OldBase: old, NewBase: base, OldBaseLayers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Config.RootFS.DiffIDs, ids("xyzc"); !slices.Equal(got, want) {
		t.Errorf("DiffIDs %v, want %v", got, want)
	}
	if got, want := words(r.Config.History), "+new ? ? +COPY"; got != want {
		t.Errorf("history %q, want %q", got, want)
	}
	// A number of layers that the user forces wins over the old base's history.
	r, err = Rebase(Input{Image: image, OldBase: old, NewBase: base, OldBaseLayers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := words(r.Config.History), "+new ? ? -X +RUN +COPY"; got != want {
		t.Errorf("history %q, want %q", got, want)
	}
}
