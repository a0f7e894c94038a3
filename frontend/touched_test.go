package frontend

import "testing"

func TestNeeds(t *testing.T) {
	file := func(p string) touched { return touched{reads: append(parents(p), p), trees: []string{p}} }
	makes := func(t touched, how string, dirs ...string) touched {
		for _, dir := range dirs {
			t.made = append(t.made, made{dir, how})
		}
		return t
	}
	workdir := makes(touched{reads: []string{"/n/app"}, goal: "/n/app"}, "x", "/n/app", "/n")
	into := func(dir string) touched { return touched{reads: []string{dir}, trees: []string{dir + "/"}} }
	for name, tc := range map[string]struct {
		earlier, later touched
		want           bool
	}{
		"two files of one directory":       {file("/usr/bin/a"), file("/usr/bin/b"), false},
		"the same file":                    {file("/usr/bin/a"), file("/usr/bin/a"), true},
		"a file in a tree":                 {file("/app"), file("/app/conf"), true},
		"a tree over a file":               {file("/app/conf"), file("/app"), true},
		"names that begin alike":           {file("/app"), file("/application"), false},
		"a tree over the root":             {file("/"), file("/etc/x"), true},
		"looks where the other writes":     {file("/etc/passwd"), touched{reads: []string{"/etc/passwd"}, trees: []string{"/srv"}}, true},
		"looks beside":                     {file("/etc/hosts"), touched{reads: []string{"/etc/passwd"}, trees: []string{"/srv"}}, false},
		"makes the same parent alike":      {makes(file("/n/a"), "x", "/n"), makes(file("/n/b"), "x", "/n"), false},
		"makes the same parent otherwise":  {makes(file("/n/a"), "x", "/n"), makes(file("/n/b"), "y", "/n"), true},
		"writes over a parent of another":  {makes(file("/n/a"), "x", "/n"), file("/n"), true},
		"makes parents in another's tree":  {file("/n"), makes(file("/n/a/b"), "x", "/n/a"), true},
		"a directory that is there stays":  {touched{reads: []string{"/srv"}}, file("/srv/x"), false},
		"into a directory that is made":    {workdir, makes(into("/n/app"), "x", "/n/app", "/n"), false},
		"into one that is made otherwise":  {workdir, makes(into("/n/app"), "y", "/n/app", "/n"), true},
		"beside one that is made":          {workdir, makes(file("/n/x"), "x", "/n"), false},
		"below one that is made":           {workdir, makes(file("/n/app/x"), "x", "/n/app", "/n"), false},
		"to where a directory is made":     {workdir, makes(file("/n/app"), "x", "/n"), true},
		"looks below one that is made":     {workdir, touched{reads: []string{"/n/app/passwd"}, trees: []string{"/srv"}}, true},
		"a directory for the second time":  {workdir, workdir, true},
		"a directory that a copy has made": {makes(into("/n/app"), "x", "/n/app", "/n"), workdir, true},
		"a directory below where is copied": {
			makes(into("/n/app"), "x", "/n/app", "/n"), makes(touched{reads: []string{"/n/app/d"}, goal: "/n/app/d"}, "x", "/n/app/d", "/n/app", "/n"), true},
		"two copies into one directory": {makes(into("/n/app"), "x", "/n/app", "/n"), makes(into("/n/app"), "x", "/n/app", "/n"), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.later.needs(tc.earlier); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestNeeded(t *testing.T) {
	tree := func(p string) step { return step{touched: touched{trees: []string{p}}} }
	p := &plan{steps: []step{tree("/a"), tree("/b"), tree("/a/x"), tree("/c"), tree("/a/x/y"), tree("/")}}
	want := [][]int{nil, nil, {0}, nil, {0, 2}, {0, 1, 2, 3, 4}}
	needs := make([][]int, len(p.steps))
	for i := range p.steps {
		needs[i] = p.needed(i, needs)
		if len(needs[i]) != len(want[i]) {
			t.Errorf("step %d needs %v, want %v", i, needs[i], want[i])
		}
	}
	// Two that touch nothing in common are of one group when another needs both.
	for n, groups := range [][]int{2: {1, 2}, 5: {1, 2, 1, 3, 1}, 6: {1, 1, 1, 1, 1, 1}} {
		p.group(needs[:n])
		for i, want := range groups {
			if p.steps[i].Group != want {
				t.Errorf("of %d steps, step %d is of group %d, want %d", n, i, p.steps[i].Group, want)
			}
		}
	}
}

func TestMayInclude(t *testing.T) {
	for _, tc := range []struct {
		pattern, rel string
		want         bool
	}{
		{"a/b", "a", true}, {"a/b", "a/b/c", true}, {"a/b", "c", false}, {"a/*/c", "a/x", true}, {"a/*/c", "b", false},
		{"*", "x", true}, {"a*", "b", true}, {"/a/b", "a", true},
	} {
		if got := mayInclude([]string{tc.pattern}, tc.rel); got != tc.want {
			t.Errorf("%s in %s: %v, want %v", tc.rel, tc.pattern, got, tc.want)
		}
	}
	if !mayInclude(nil, "x") {
		t.Error("no patterns exclude nothing")
	}
}
