package definition

import (
	"context"
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
)

func graph(t *testing.T, st llb.State) *Graph {
	t.Helper()
	def, err := st.Marshal(context.Background(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Parse(def.ToPB())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// put builds the steps on another ground, as linking does.
func put(t *testing.T, g *Graph, on llb.State, steps ...Step) *Graph {
	t.Helper()
	ground := graph(t, on)
	b := NewBuilder(g)
	at := b.Include(ground, ground.Root())
	for _, s := range steps {
		var err error
		if at, err = b.Put(s, at); err != nil {
			t.Fatal(err)
		}
	}
	out, err := Parse(b.Finish(at))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	base  = llb.Image("base")
	other = llb.Scratch().File(llb.Mkdir("/etc", 0o755), llb.WithCustomName("ground"))
	stage = llb.Image("build").Run(llb.Shlex("make")).Root()
)

func TestTail(t *testing.T) {
	ran := base.Run(llb.Shlex("true")).Root()
	copied := ran.File(llb.Copy(stage, "/a", "/b"), llb.WithCustomName("[2/3] COPY a b"))
	dir := copied.File(llb.Mkdir("/w", 0o755))
	removed := dir.File(llb.Rm("/x"))
	linked := dir.File(llb.Symlink("a", "/x"))
	diff := llb.Diff(base, dir)
	for name, tc := range map[string]struct {
		state llb.State
		head  llb.State
		steps int
	}{
		"an image alone":             {base, base, 0},
		"a command at the end":       {ran, ran, 0},
		"copies after a command":     {dir, ran, 2},
		"copies after an image":      {base.File(llb.Copy(stage, "/a", "/b")), base, 1},
		"a copy --link":              {llb.Merge([]llb.State{dir, llb.Scratch().File(llb.Copy(stage, "/c", "/d"))}), ran, 3},
		"a removal is not a copy":    {removed, removed, 0},
		"a link is not a copy":       {linked, linked, 0},
		"copies on nothing":          {llb.Scratch().File(llb.Copy(stage, "/a", "/b")), llb.Scratch(), 1},
		"several actions of one":     {ran.File(llb.Copy(stage, "/a", "/b").Copy(stage, "/c", "/d")), ran, 1},
		"a diff is not of the tail":  {diff, diff, 0},
		"a copy from its own ground": {base.File(llb.Copy(base, "/a", "/b")), base, 1},
	} {
		t.Run(name, func(t *testing.T) {
			head, steps := graph(t, tc.state).Tail()
			if len(steps) != tc.steps {
				t.Errorf("%d steps, want %d", len(steps), tc.steps)
			}
			if want := graph(t, tc.head).Root(); head.GetDigest() != want.GetDigest() {
				t.Errorf("the head is %v, want %v", head, want)
			}
		})
	}
	_, steps := graph(t, dir).Tail()
	if steps[0].Name != "[2/3] COPY a b" {
		t.Errorf("the first step is called %q", steps[0].Name)
	}
}

// A step on another ground is what LLB makes when it is told so from the first.
func TestPutEqualsWrittenSo(t *testing.T) {
	owner := llb.WithUser("app:staff")
	for name, write := range map[string]func(on llb.State) llb.State{
		"copy":          func(on llb.State) llb.State { return on.File(llb.Copy(stage, "/a", "/b")) },
		"two copies":    func(on llb.State) llb.State { return on.File(llb.Copy(stage, "/a", "/b").Copy(base, "/c", "/d")) },
		"copy of base":  func(on llb.State) llb.State { return on.File(llb.Copy(llb.Image("other"), "/a", "/b")) },
		"directory":     func(on llb.State) llb.State { return on.File(llb.Mkdir("/w", 0o755, owner)) },
		"owner by name": func(on llb.State) llb.State { return on.File(llb.Copy(stage, "/a", "/b", owner)) },
		"owners": func(on llb.State) llb.State {
			return on.File(llb.Copy(stage, "/a", "/b", owner).Copy(stage, "/", "/", owner))
		},
		"copy --link": func(on llb.State) llb.State {
			return llb.Merge([]llb.State{on, llb.Scratch().File(llb.Copy(stage, "/a", "/b"))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := graph(t, write(base))
			_, steps := g.Tail()
			got, want := put(t, g, other, steps...), graph(t, write(other))
			if !slices.Equal(operation(got), operation(want)) {
				t.Errorf("got\n%v\nwant\n%v", operation(got), operation(want))
			}
		})
	}
}

// operation is the last operation, with what its inputs are.
func operation(g *Graph) []string {
	op := g.Op(g.Root())
	var out []string
	for _, in := range op.Inputs {
		out = append(out, in.Digest)
	}
	return append(out, op.GetFile().String(), op.GetMerge().String())
}

// The old ground is kept where something is copied from it, and only there.
func TestPutLeavesTheGround(t *testing.T) {
	for name, tc := range map[string]struct {
		state llb.State
		keeps bool
	}{
		"copy from elsewhere": {base.File(llb.Copy(stage, "/a", "/b", llb.WithUser("app"))), false},
		"copy from itself":    {base.File(llb.Copy(base, "/a", "/b")), true},
	} {
		for _, assumed := range []bool{false, true} {
			g := graph(t, tc.state)
			head, steps := g.Tail()
			if assumed {
				steps[0] = steps[0].AssumeFiles(func(int) bool { return true })
			}
			got := put(t, g, other, steps...)
			if got.Reaches(got.Root(), head) != tc.keeps {
				t.Errorf("%s (assumed %v): the old ground is reached: %v, want %v", name, assumed, !tc.keeps, tc.keeps)
			}
		}
	}
}

func TestAssumeFiles(t *testing.T) {
	g := graph(t, base.File(llb.Copy(stage, "/out/app", "/bin/").Copy(stage, "/out/dir", "/etc/")))
	_, steps := g.Tail()
	step := steps[0].AssumeFiles(func(i int) bool { return i == 0 })
	got := put(t, g, other, step)
	op := got.Op(got.Root())
	n := int64(len(op.Inputs))
	f := op.GetFile().Actions
	if len(f) != 5 {
		t.Fatalf("%d actions, want three for the assumption and two of the step", len(f))
	}
	if f[3].GetCopy().Src != "/app" || f[3].SecondaryInput != n+2 {
		t.Errorf("the copy is from %d:%s", f[3].SecondaryInput, f[3].GetCopy().Src)
	}
	if f[4].GetCopy().Src != "/out/dir" || f[4].Input != n+3 || f[4].Output != 0 {
		t.Errorf("the second copy is %v", f[4])
	}
	if f[1].GetMkfile().GetPath() != "/app" || f[1].Input != n {
		t.Errorf("the probe is %v", f[1])
	}
}

func TestCanAssumeFile(t *testing.T) {
	for src, want := range map[string]bool{
		"/out/app": true, "app": true,
		"/": false, "/out/": false, "/out/.": false, "/out/*": false, "/out/a?": false, "/out/[a]": false,
	} {
		if got := CanAssumeFile(&pb.FileActionCopy{Src: src}); got != want {
			t.Errorf("%q: %v, want %v", src, got, want)
		}
	}
	if CanAssumeFile(&pb.FileActionCopy{Src: "/a", ExcludePatterns: []string{"b"}}) {
		t.Error("a copy that excludes is no copy of a file")
	}
}

func TestReplace(t *testing.T) {
	scan := llb.Image("scanner").Run(llb.Shlex("scan"))
	scan.AddMount("/src", stage, llb.Readonly)
	with := graph(t, other)
	def, err := graph(t, scan.Root()).Replace(graph(t, stage).Root(), with)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(def)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Reaches(got.Root(), with.Root()) || got.Reaches(got.Root(), graph(t, stage).Root()) {
		t.Error("the scan is still of the old state")
	}
	same, err := graph(t, stage).Replace(graph(t, other).Root(), with)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := Parse(same); err != nil || g.Root().Digest != graph(t, stage).Root().Digest {
		t.Errorf("what does not have the old state was changed: %v", err)
	}
}

// Names and lines of the Dockerfile follow an operation to its new ground.
func TestPutKeepsNamesAndLines(t *testing.T) {
	file := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte("FROM base\nCOPY a b\n"))
	at := []*pb.Range{{Start: &pb.Position{Line: 2}, End: &pb.Position{Line: 2}}}
	g := graph(t, base.File(llb.Copy(stage, "/a", "/b"), llb.WithCustomName("COPY a b"), file.Location(at)))
	_, steps := g.Tail()
	got := put(t, g, other, steps...)
	if got.Name(got.Root()) != "COPY a b" || got.Line(got.Root()) != 2 {
		t.Errorf("the step is %q of line %d", got.Name(got.Root()), got.Line(got.Root()))
	}
	if string(got.Dockerfile()) != "FROM base\nCOPY a b\n" {
		t.Errorf("the Dockerfile is %q", got.Dockerfile())
	}
}

func FuzzParse(f *testing.F) {
	def, err := base.File(llb.Copy(stage, "/a", "/b")).Marshal(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	for _, dt := range def.Def {
		f.Add(dt, dt)
	}
	f.Fuzz(func(_ *testing.T, a, b []byte) {
		g, err := Parse(&pb.Definition{Def: [][]byte{a, b}})
		if err != nil {
			return
		}
		head, steps := g.Tail()
		_ = g.Below(head)
		for _, s := range steps {
			s.Names()
			_ = s.Extras()
		}
	})
}

// What a file operation changes is found by whatever it does.
func TestBelow(t *testing.T) {
	for name, tc := range map[string]struct{ state, below llb.State }{
		"removal":         {base.File(llb.Rm("/x").Mkdir("/y", 0o755).Symlink("a", "/b")), base},
		"copy":            {base.File(llb.Copy(stage, "/a", "/b").Rm("/x")), base},
		"command":         {stage, llb.Image("build")},
		"merge":           {llb.Merge([]llb.State{base, other}), base},
		"of nothing":      {other, llb.Scratch()},
		"copy to nothing": {llb.Scratch().File(llb.Copy(stage, "/a", "/b")), llb.Scratch()},
		"difference":      {llb.Diff(base, stage), llb.Scratch()},
	} {
		t.Run(name, func(t *testing.T) {
			g, want := graph(t, tc.state), graph(t, tc.below)
			if got := g.Below(g.Root()); got.GetDigest() != want.Root().GetDigest() {
				t.Errorf("it stands on %v, want %v", got, want.Root())
			}
		})
	}
}
