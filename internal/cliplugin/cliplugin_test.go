package cliplugin

import "testing"

func TestOf(t *testing.T) {
	for file, want := range map[string]Plugin{
		"docker-relink":                     Relink,
		"/usr/libexec/docker/docker-relink": Relink,
		"relink":                            Relink,
		"/home/u/.docker/plugins/docker-diffbuild": DiffBuild,
		`C:\plugins\docker-diffbuild.exe`:          DiffBuild,
		"docker-diff-build":                        DiffBuild,
	} {
		if got := Of(file); got != want {
			t.Errorf("%s is %q, want %q", file, got.Name, want.Name)
		}
	}
}
