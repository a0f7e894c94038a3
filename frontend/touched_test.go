package frontend

import "testing"

func TestNeeds(t *testing.T) {
	file := func(p string) touched { return touched{reads: append(parents(p), p), trees: []string{p}} }
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
		"makes the same parent alike":      {touched{trees: []string{"/n/a"}, made: []made{{"/n", "x"}}}, touched{trees: []string{"/n/b"}, made: []made{{"/n", "x"}}}, false},
		"makes the same parent otherwise":  {touched{trees: []string{"/n/a"}, made: []made{{"/n", "x"}}}, touched{trees: []string{"/n/b"}, made: []made{{"/n", "y"}}}, true},
		"writes over a parent of another":  {touched{trees: []string{"/n/a"}, made: []made{{"/n", "x"}}}, touched{trees: []string{"/n"}}, true},
		"makes parents in another's tree":  {touched{trees: []string{"/n"}}, touched{trees: []string{"/n/a/b"}, made: []made{{"/n/a", "x"}}}, true},
		"a directory that is there stays":  {touched{reads: []string{"/srv"}}, file("/srv/x"), false},
		"a directory that is made is used": {touched{reads: []string{"/srv"}, trees: []string{"/srv"}}, file("/srv/x"), true},
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
	groups := []int{1, 2, 1, 3, 1, 1}
	needs := make([][]int, len(p.steps))
	for i := range p.steps {
		needs[i] = p.needed(i, needs)
		p.group(i, needs[i])
		if len(needs[i]) != len(want[i]) {
			t.Errorf("step %d needs %v, want %v", i, needs[i], want[i])
		}
		if p.steps[i].Group != groups[i] {
			t.Errorf("step %d is of group %d, want %d", i, p.steps[i].Group, groups[i])
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
