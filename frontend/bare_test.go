package frontend

import (
	"maps"
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/skeleton"
)

// A step is bare where what it makes on its way is what the head has there, and not
// where anything else was looked at.
func TestBare(t *testing.T) {
	const root755 = 0o755
	usr := map[string]skeleton.Entry{
		"/usr":       {Kind: skeleton.Dir, Mode: root755},
		"/usr/bin":   {Kind: skeleton.Dir, Mode: root755},
		"/usr/bin/x": {},
	}
	with := func(name string, e skeleton.Entry) map[string]skeleton.Entry {
		out := maps.Clone(usr)
		out[name] = e
		return out
	}
	copyTo := func(dest string, info llb.CopyInfo) *llb.FileAction {
		info.CreateDestPath = true
		return llb.Copy(llb.Local("context"), "/x", dest, &info)
	}
	plain := copyTo("/usr/bin/x", llb.CopyInfo{})
	nobody := &llb.ChownOpt{User: &llb.UserOpt{UID: 7}, Group: &llb.UserOpt{UID: 7}}
	for name, c := range map[string]struct {
		action *llb.FileAction
		saw    map[string]skeleton.Entry
		bare   bool
	}{
		"a copy":                            {plain, usr, true},
		"a copy into a directory":           {copyTo("/usr/bin/", llb.CopyInfo{}), usr, true},
		"a copy onto a directory, no slash": {copyTo("/usr/bin", llb.CopyInfo{}), usr, false},
		"a copy into what is not there":     {copyTo("/x", llb.CopyInfo{ChownOpt: nobody}), map[string]skeleton.Entry{"/x": {}}, true},
		"of a mode that directories have":   {copyTo("/usr/bin/x", llb.CopyInfo{Mode: &llb.ChmodOpt{Mode: 0o755}}), usr, true},
		"of another mode":                   {copyTo("/usr/bin/x", llb.CopyInfo{Mode: &llb.ChmodOpt{Mode: 0o700}}), usr, false},
		"of a symbolic mode":                {copyTo("/usr/bin/x", llb.CopyInfo{Mode: &llb.ChmodOpt{ModeStr: "u+x"}}), usr, true},
		"of another owner":                  {copyTo("/usr/bin/x", llb.CopyInfo{ChownOpt: nobody}), usr, false},
		"that unpacks":                      {copyTo("/usr/bin/", llb.CopyInfo{AttemptUnpack: true}), usr, false},
		"two copies to one place":           {copyTo("/usr/bin/", llb.CopyInfo{}).Copy(llb.Local("context"), "/y", "/usr/bin/", &llb.CopyInfo{CreateDestPath: true}), usr, true},
		"two copies to two places":          {plain.Copy(llb.Local("context"), "/y", "/usr/y", &llb.CopyInfo{CreateDestPath: true}), usr, false},
		"a directory":                       {llb.Mkdir("/usr/bin/x", 0o755, llb.WithParents(true)), usr, true},
		"a directory that is there":         {llb.Mkdir("/usr/bin", 0o755, llb.WithParents(true)), usr, false},
		"a directory of another mode":       {llb.Mkdir("/usr/bin/x", 0o700, llb.WithParents(true)), usr, false},
		"a directory of another owner":      {llb.Mkdir("/usr/bin/x", 0o755, llb.WithParents(true), llb.WithUIDGID(7, 7)), usr, false},
		"a directory without its parents":   {llb.Mkdir("/usr/bin/x", 0o755), usr, false},
		"a file is in the way":              {plain, with("/usr/bin/x", skeleton.Entry{Kind: skeleton.File}), false},
		"a link is in the way":              {plain, with("/usr", skeleton.Entry{Kind: skeleton.Symlink, Target: "srv"}), false},
		"a closed directory":                {plain, with("/usr", skeleton.Entry{Kind: skeleton.Dir, Mode: 0o700}), false},
		"a setgid directory":                {plain, with("/usr", skeleton.Entry{Kind: skeleton.Dir, Mode: 0o2755}), false},
		"somebody's directory":              {plain, with("/usr", skeleton.Entry{Kind: skeleton.Dir, Mode: root755, UID: 7}), false},
		"a directory elsewhere":             {plain, with("/opt", skeleton.Entry{Kind: skeleton.Dir, Mode: root755}), false},
		"a directory below":                 {copyTo("/usr/bin/", llb.CopyInfo{}), with("/usr/bin/x", skeleton.Entry{Kind: skeleton.Dir, Mode: root755}), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := planOf(t, c.action).steps[0]
			if s.saw.Paths = c.saw; s.isBare() != c.bare {
				t.Errorf("bare is %t, want %t: %v", !c.bare, c.bare, s.Actions())
			}
		})
	}
}

// planOf is the plan of a tail of file operations.
func planOf(t *testing.T, actions ...*llb.FileAction) *plan {
	t.Helper()
	st := llb.Image("base")
	for _, action := range actions {
		st = st.File(action)
	}
	def, err := marshal(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	g, err := definition.Parse(def)
	if err != nil {
		t.Fatal(err)
	}
	head, steps := g.Tail()
	if len(steps) != len(actions) {
		t.Fatalf("%d steps, want %d", len(steps), len(actions))
	}
	p := newPlan(nil, g, head, steps)
	p.linked = len(steps)
	return p
}

// A skeleton has what the steps of its group look at, and where these are bare there is
// none.
func TestSkeletons(t *testing.T) {
	places := []struct{ dest, parent string }{{"/a", ""}, {"/a/b", ""}, {"/s/x", "/s"}, {"/t", ""}, {"/s/x/y", ""}, {"/s2/x", "/s2"}}
	var actions []*llb.FileAction
	for _, at := range places {
		actions = append(actions, llb.Copy(llb.Local("context"), "/x", at.dest, &llb.CopyInfo{CreateDestPath: true}))
	}
	p := planOf(t, actions...)
	for i, at := range places {
		p.steps[i].touched, p.steps[i].saw = touched{trees: []string{at.dest}}, skeleton.NewFacts()
		if at.parent != "" {
			p.steps[i].saw.Paths[at.parent] = skeleton.Entry{Kind: skeleton.Dir, Mode: 0o700}
		}
	}
	def, err := p.definition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	linked, err := definition.Parse(def)
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	diffs := 0
	for _, dt := range def.Def {
		op := &pb.Op{}
		if err := op.UnmarshalVT(dt); err != nil {
			t.Fatal(err)
		}
		if op.GetDiff() != nil {
			diffs++
		}
		for _, a := range op.GetFile().GetActions() {
			if mk := a.GetMkdir(); mk != nil {
				made = append(made, mk.Path)
			}
		}
	}
	slices.Sort(made)
	if want := []string{"/s", "/s2"}; !slices.Equal(made, want) {
		t.Errorf("the skeletons have %q, want %q", made, want)
	}
	// Of those without a skeleton, only /a/b is upon another.
	if diffs != 4 {
		t.Errorf("%d differences, want 4", diffs)
	}
	if root := linked.Op(linked.Root()); len(root.GetMerge().GetInputs()) != 1+len(places) {
		t.Errorf("the image is %v, want the head and %d layers", root, len(places))
	}
}
