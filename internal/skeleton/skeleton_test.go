package skeleton

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
)

// tree is a Head in memory.
type tree map[string]Entry

func (t tree) Lstat(_ context.Context, name string) (Entry, Evidence, error) {
	if parent := path.Dir(name); parent != "/" && t[parent].Kind != Dir {
		return Entry{}, 0, errors.New(name + ": the parent is no directory")
	}
	return t[name], Read, nil
}

func (t tree) List(_ context.Context, dir string) ([]string, Evidence, error) {
	var names []string
	for _, p := range sortedKeys(t) {
		if path.Dir(p) == dir {
			names = append(names, path.Base(p))
		}
	}
	return names, Read, nil
}

func (t tree) Line(_ context.Context, file, name string) (string, Evidence, error) {
	return FindLine([]byte("root:x:0:0::/:\napp:x:1000:50::/:\napp:x:2:2::/:\n"), name), Read, nil
}

func dir(mode uint32) Entry         { return Entry{Kind: Dir, Mode: mode} }
func link(target string) Entry      { return Entry{Kind: Symlink, Target: target} }
func file() Entry                   { return Entry{Kind: File, Size: 3, ModTime: 1700000000123456789} }
func ctx() context.Context          { return context.Background() }
func isUnfit(err error) bool        { return errors.As(err, new(*UnfitError)) }
func survey(head Head) *Survey      { return NewSurvey(head) }
func seen(s *Survey, p string) bool { _, ok := s.Facts().Paths[p]; return ok }

var debian = tree{
	"/usr": dir(0o755), "/usr/bin": dir(0o755), "/usr/bin/sh": file(), "/usr/lib": dir(0o755),
	"/bin": link("usr/bin"), "/lib": link("/usr/lib"),
	"/opt": dir(0o755), "/opt/a": link("b"), "/opt/b": link("../srv/c"), "/opt/gone": link("/no/where"),
	"/opt/loop": link("loop"), "/opt/up": link("../../../usr"), "/opt/climb": link("missing/../x"),
	"/srv": dir(0o2775), "/srv/c": dir(0o700), "/srv/c/f": file(),
	"/etc": dir(0o755), "/etc/passwd": file(), "/etc/group": file(),
}

func TestResolve(t *testing.T) {
	for name, want := range map[string]struct {
		path string
		kind Kind
	}{
		"/":              {"/", Dir},
		"/bin/sh":        {"/usr/bin/sh", File},
		"/bin/new":       {"/usr/bin/new", Absent},
		"/lib/":          {"/usr/lib", Dir},
		"/opt/a/f":       {"/srv/c/f", File},
		"/opt/gone/x/y":  {"/no/where/x/y", Absent},
		"/opt/up/bin":    {"/usr/bin", Dir},
		"/new/deep/path": {"/new/deep/path", Absent},
		"/usr/bin/sh/x":  {"/usr/bin/sh/x", Absent},
		"srv/./c":        {"/srv/c", Dir},
	} {
		got, e, err := survey(debian).Resolve(ctx(), name)
		if err != nil || got != want.path || e.Kind != want.kind {
			t.Errorf("%s: %s, kind %d, %v; want %s, kind %d", name, got, e.Kind, err, want.path, want.kind)
		}
	}
	for _, name := range []string{"/opt/loop", "/opt/climb"} {
		if _, _, err := survey(debian).Resolve(ctx(), name); !isUnfit(err) {
			t.Errorf("%s: %v, want that it does not fit", name, err)
		}
	}
}

// A skeleton has all that was looked at, and nothing else.
func TestFactsAreWhatWasLookedAt(t *testing.T) {
	s := survey(debian)
	if _, _, err := s.Resolve(ctx(), "/bin/new/x"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/bin", "/usr", "/usr/bin", "/usr/bin/new"} {
		if !seen(s, p) {
			t.Errorf("%s was looked at and is not there", p)
		}
	}
	if len(s.Facts().Paths) != 4 {
		t.Errorf("%d facts, want 4: %v", len(s.Facts().Paths), s.Facts().Paths)
	}
	if s.Evidence() != Read || survey(debian).Evidence() != Proved {
		t.Error("the evidence is not that of what was looked at")
	}
}

func TestXattrsDoNotFit(t *testing.T) {
	head := tree{"/a": {Kind: Dir, Mode: 0o755, Xattrs: true}}
	if _, _, err := survey(head).Resolve(ctx(), "/a/b"); !isUnfit(err) {
		t.Errorf("%v, want that it does not fit", err)
	}
	if _, err := survey(head).Complete(ctx(), "/", 10); !isUnfit(err) {
		t.Errorf("%v, want that it does not fit", err)
	}
}

func TestComplete(t *testing.T) {
	s := survey(debian)
	if done, err := s.Complete(ctx(), "/srv", 10); !done || err != nil {
		t.Fatalf("%v, %v", done, err)
	}
	if !seen(s, "/srv/c/f") || !s.Facts().Listed["/srv/c"] {
		t.Errorf("facts: %+v", s.Facts())
	}
	s = survey(debian)
	if done, err := s.Complete(ctx(), "/srv", 1); done || err != nil || len(s.Facts().Paths) > 0 {
		t.Errorf("beyond the limit: %v, %v, %v", done, err, s.Facts().Paths)
	}
}

func TestNames(t *testing.T) {
	s := survey(debian)
	for _, name := range []string{"app", "nobody"} {
		if err := s.Name(ctx(), Passwd, name); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(s.Facts().content("/etc/passwd")); got != "app:x:1000:50::/:\n" {
		t.Errorf("the skeleton's file has %q", got)
	}
	if err := survey(tree{}).Name(ctx(), Passwd, "app"); err != nil {
		t.Errorf("a base without users: %v", err)
	}
}

func TestStateIsTheFacts(t *testing.T) {
	s := survey(debian)
	for _, p := range []string{"/opt/a/x", "/bin/sh"} {
		if _, _, err := s.Resolve(ctx(), p); err != nil {
			t.Fatal(err)
		}
	}
	def, err := s.Facts().State(llb.WithCustomName("x")).Marshal(ctx())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, dt := range def.ToPB().Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			t.Fatal(err)
		}
		for _, a := range op.GetFile().GetActions() {
			switch a := a.Action.(type) {
			case *pb.FileAction_Mkdir:
				got[a.Mkdir.Path] = "dir"
			case *pb.FileAction_Symlink:
				got[a.Symlink.Newpath] = "-> " + a.Symlink.Oldpath
			case *pb.FileAction_Mkfile:
				got[a.Mkfile.Path] = "file"
			case *pb.FileAction_Copy:
				got[a.Copy.Dest] = "special"
			}
		}
	}
	want := map[string]string{
		"/d": "dir", "/opt": "dir", "/opt/a": "-> b", "/opt/b": "-> ../srv/c", "/srv": "special", "/srv/c": "special",
		"/bin": "-> usr/bin", "/usr": "dir", "/usr/bin": "dir", "/usr/bin/sh": "file",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	again, err := s.Facts().State(llb.WithCustomName("x")).Marshal(ctx())
	if err != nil || !reflect.DeepEqual(def.Def, again.Def) {
		t.Errorf("the same facts make another state: %v", err)
	}
}

func TestWrittenFacts(t *testing.T) {
	s := survey(debian)
	if err := s.Name(ctx(), Passwd, "app"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Resolve(ctx(), "/opt/a/new"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Complete(ctx(), "/srv", 10); err != nil {
		t.Fatal(err)
	}
	s.NoteTree("COPY a b")
	dt, err := json.Marshal(s.Facts())
	if err != nil {
		t.Fatal(err)
	}
	var got Facts
	if err := json.Unmarshal(dt, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, s.Facts()) {
		t.Errorf("got %+v\nwant %+v", got, s.Facts())
	}
}

func TestWrittenFactsThatAreRefused(t *testing.T) {
	for name, doc := range map[string]string{
		"relative path":        `{"paths":{"a":["-"]}}`,
		"dots":                 `{"paths":{"/a/../b":["-"]}}`,
		"the root":             `{"paths":{"/":["-"]}}`,
		"long path":            `{"paths":{"/` + strings.Repeat("a", maxPath) + `":["-"]}}`,
		"unknown kind":         `{"paths":{"/a":["x"]}}`,
		"no kind":              `{"paths":{"/a":[]}}`,
		"kind of another type": `{"paths":{"/a":[1]}}`,
		"mode too large":       `{"paths":{"/a":["d",10000,0,0]}}`,
		"mode not whole":       `{"paths":{"/a":["d",1.5,0,0]}}`,
		"negative owner":       `{"paths":{"/a":["d",493,-1,0]}}`,
		"link out":             `{"paths":{"/a":["l","../b"]}}`,
		"absolute link out":    `{"paths":{"/a":["l","/../b"]}}`,
		"empty link":           `{"paths":{"/a":["l",""]}}`,
		"file of no size":      `{"paths":{"/a":["f",-1,"1",0]}}`,
		"file of no time":      `{"paths":{"/a":["f",1,"x",0]}}`,
		"orphan":               `{"paths":{"/a/b":["-"]}}`,
		"below a file":         `{"paths":{"/a":["f",1,"1",0],"/a/b":["-"]}}`,
		"line of another":      `{"lines":{"/etc/passwd":{"app":"root:x:0:0::/:"}}}`,
		"two lines":            `{"lines":{"/etc/passwd":{"app":"app:x:1:1\nroot:x:0:0"}}}`,
		"list of nothing":      `{"listed":["/a"]}`,
		"no object":            `[]`,
	} {
		var f Facts
		if err := json.Unmarshal([]byte(doc), &f); err == nil {
			t.Errorf("%s: %s was taken", name, doc)
		}
	}
}

func TestKnown(t *testing.T) {
	k := NewKnown()
	k.Proved.Paths["/a"] = file()
	k.Repeated.Paths["/bin"] = dir(0o755)
	k.Inherited.Paths["/srv"] = dir(0o755)
	k.Inherited.Paths["/lib"] = link("usr/lib")
	k.Inherited.Paths["/a"] = dir(0o755)
	k.Inherited.Listed["/srv"] = true
	k.Inherited.Paths["/srv/x"] = file()
	for name, want := range map[string]Evidence{"/a": Proved, "/bin": Inherited, "/srv": Inherited} {
		if _, got, err := k.Lstat(ctx(), name); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	if e, _, _ := k.Lstat(ctx(), "/a"); e.Kind != File {
		t.Error("what was inherited stands over what is proved")
	}
	for _, name := range []string{"/lib", "/other"} {
		if _, _, err := k.Lstat(ctx(), name); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v, want that it is not known", name, err)
		}
	}
	if names, _, err := k.List(ctx(), "/srv"); err != nil || !reflect.DeepEqual(names, []string{"x"}) {
		t.Errorf("%v, %v", names, err)
	}
	if _, _, err := k.List(ctx(), "/a"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v, want that it is not known", err)
	}
}

func TestMoves(t *testing.T) {
	for name, want := range map[string]bool{
		"/bin": true, "/bin/sh": true, "/lib64/x": true, "/usr/lib": true, "/usr/libexec/x": true, "/usr/sbin/x": true,
		"/var/run/x": true, "/etc/ssl/certs": true,
		"/usr": false, "/usr/bin/x": false, "/usr/local/lib": false, "/binary": false, "/etc/ssl2": false, "/var/lib": false,
	} {
		if got := Moves(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestDiffers(t *testing.T) {
	one := func(p string, e Entry) Facts { f := NewFacts(); f.Paths[p] = e; return f }
	for name, tc := range map[string]struct {
		a, b Facts
		want string
	}{
		"same":          {one("/a", dir(0o755)), one("/a", dir(0o755)), ""},
		"mode":          {one("/a", dir(0o755)), one("/a", dir(0o700)), "/a"},
		"owner":         {one("/a", dir(0o755)), one("/a", Entry{Kind: Dir, Mode: 0o755, UID: 1}), "/a"},
		"kind":          {one("/a", dir(0o755)), one("/a", file()), "/a"},
		"gone":          {one("/a", dir(0o755)), one("/a", Entry{}), "/a"},
		"link":          {one("/a", link("x")), one("/a", link("y")), "/a"},
		"file's mode":   {one("/a", file()), one("/a", Entry{Kind: File, Mode: 0o600}), ""},
		"not known":     {one("/a", file()), one("/b", file()), ""},
		"another user":  {lines("app:x:1:1"), lines("app:x:2:1"), "/etc/passwd (app)"},
		"new directory": {listed("/a/x", dir(0o755)), listed("/a/y", dir(0o755)), "/a"},
		"new file":      {listed("/a/x", file()), listed("/a/y", file()), ""},
	} {
		if got := tc.a.Differs(tc.b); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func lines(line string) Facts {
	f := NewFacts()
	f.Lines["/etc/passwd"] = map[string]string{"app": line}
	return f
}

func listed(p string, e Entry) Facts {
	f := NewFacts()
	f.Paths[path.Dir(p)], f.Paths[p] = dir(0o755), e
	f.Listed[path.Dir(p)] = true
	return f
}

func FuzzFacts(f *testing.F) {
	f.Add([]byte(`{"paths":{"/a":["d",493,0,0],"/a/b":["l","c"]},"lines":{"/etc/passwd":{"a":"a:x"}},"listed":["/a"],"trees":["x"]}`))
	f.Fuzz(func(t *testing.T, dt []byte) {
		var got Facts
		if json.Unmarshal(dt, &got) != nil {
			return
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back Facts
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("what was taken is refused when it is written: %v", err)
		}
		if at := got.Differs(back); at != "" {
			t.Fatalf("%s has changed", at)
		}
	})
}
