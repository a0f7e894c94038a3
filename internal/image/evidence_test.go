package image

import (
	"testing"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Every builder has its way of writing an instruction into the history.
func TestInstructions(t *testing.T) {
	for _, tc := range []struct {
		createdBy string
		user, env bool // it shows a USER, or an ENV of A=1
	}{
		{createdBy: "USER u", user: true},
		{createdBy: "/bin/sh -c #(nop)  USER u", user: true},
		{createdBy: "/bin/sh -c #(nop) USER u", user: true},
		{createdBy: "cmd /S /C #(nop)  USER u", user: true},
		{createdBy: "USER"},
		{createdBy: "USERS u"},
		{createdBy: "RUN /bin/sh -c USER u # buildkit"},
		{createdBy: "/bin/sh -c USER u"},
		{createdBy: `/bin/sh -c echo "#(nop) USER u"`},
		{createdBy: "ENV A=1", env: true},
		{createdBy: "/bin/sh -c #(nop)  ENV B=2 A=1 C=3", env: true},
		{createdBy: "ENV A=12"},
		{createdBy: "ENV AA=1"},
		{createdBy: "LABEL A=1"},
	} {
		in := instructionsOf([]ocispecs.History{{CreatedBy: tc.createdBy}})
		if in.used("USER") != tc.user || in.assigns("ENV", "A", "1") != tc.env {
			t.Errorf("%q: USER %v, ENV %v; want %v, %v", tc.createdBy, in.used("USER"), in.assigns("ENV", "A", "1"), tc.user, tc.env)
		}
	}
}
