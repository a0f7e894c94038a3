package dockerfile

import (
	"slices"
	"testing"
)

func TestStages(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Stage
	}{
		{"none", "ARG A\n", nil},
		{"no Dockerfile", "FROM\n", nil},
		{"names, platforms and variables", "# syntax=x\nARG BASE=debian\nFROM --platform=$BUILDPLATFORM ${BASE}:12 AS Build\nRUN <<EOT\ntrue\nEOT\n\nFROM build\nCOPY a \\\n  b\n# end\n", []Stage{
			{Name: "build", From: "${BASE}:12", First: 3, Last: 6},
			{From: "build", First: 8, Last: 10},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Stages([]byte(c.text)); !slices.Equal(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
