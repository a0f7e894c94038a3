package commands

import (
	"strings"
	"testing"

	"github.com/docker-relink/relink/internal/errdefs"
)

func TestReadDiffArgs(t *testing.T) {
	for args, want := range map[string]diffSides{
		"":                                 {},
		".":                                {path: "."},
		"..":                               {path: ".."},
		"../app":                           {path: "../app"},
		"a..b":                             {lower: "a", upper: "b"},
		"a.. .":                            {lower: "a", path: "."},
		"..b dir":                          {upper: "b", path: "dir"},
		"a...":                             {lower: "a", upper: "."},
		"...b":                             {lower: ".", upper: "b"},
		"debian:12..debian:13.1":           {lower: "debian:12", upper: "debian:13.1"},
		"oci-layout://../x..oci-layout:y":  {lower: "oci-layout://../x", upper: "oci-layout:y"},
		"a..oci-layout://../../x:tag .":    {lower: "a", upper: "oci-layout://../../x:tag", path: "."},
		"https://example.com/x.git#main":   {path: "https://example.com/x.git#main"},
		"a.b.c..registry.io/d.e@sha256:ab": {lower: "a.b.c", upper: "registry.io/d.e@sha256:ab"},
	} {
		got, err := readDiffArgs(strings.Fields(args))
		if err != nil || got != want {
			t.Errorf("%q is %+v (%v), want %+v", args, got, err, want)
		}
	}
	for _, args := range []string{"a..b..c", "a....b", "a...b", "a .", "app:1 app:2"} {
		if got, err := readDiffArgs(strings.Fields(args)); !errdefs.Is(err, errdefs.Invalid) || errdefs.Hint(err) == "" {
			t.Errorf("%q is %+v (%v)", args, got, err)
		}
	}
}

func TestPagerCommand(t *testing.T) {
	for _, tt := range []struct{ relink, pager, want string }{
		{"", "more", "more"}, {"most -x", "more", "most -x"}, {"cat", "more", ""},
	} {
		env := map[string]string{"RELINK_PAGER": tt.relink, "PAGER": tt.pager}
		if got := pagerCommand(func(name string) string { return env[name] }); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
