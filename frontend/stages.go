package frontend

import (
	"slices"
	"strconv"
	"strings"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/dockerfile"
)

// Stage is a stage of the Dockerfile in the plan of a build.
type Stage struct {
	// Name is the stage's name, or its number when it has none.
	Name string `json:"name"`
	// From is what it is built upon, as it is written.
	From string `json:"from"`
	// Lines are those of its first and its last instruction.
	Lines [2]int `json:"lines"`
	// Use is what the build needs it for.
	Use StageUse `json:"use"`
}

// StageUse is what a build needs a stage for.
type StageUse string

// A stage is the target, or the target needs it, or nothing does; or a build
// context of the same name stands for it.
const (
	StageTarget   StageUse = "target"
	StageNeeded   StageUse = "needed"
	StageUnneeded StageUse = "not needed"
	StageReplaced StageUse = "replaced by a build context"
)

// stagesOf are the stages of the Dockerfile that the graph was made of. A stage
// is needed when something in the graph comes from its lines, or when one that
// is needed is built upon it.
func stagesOf(g *definition.Graph, opts map[string]string) []Stage {
	var stages []Stage
	for i, s := range dockerfile.Stages(g.Dockerfile()) {
		stage := Stage{Name: s.Name, From: s.From, Lines: [2]int{s.First, s.Last}, Use: StageUnneeded}
		if stage.Name == "" {
			stage.Name = strconv.Itoa(i)
		}
		stages = append(stages, stage)
	}
	target := targetOf(stages, opts["target"])
	if target < 0 {
		return nil
	}
	lines := g.Lines()
	for i := range slices.Backward(stages) {
		s := &stages[i]
		switch {
		case i == target:
			s.Use = StageTarget
		case opts["context:"+s.Name] != "":
			s.Use = StageReplaced
		case slices.ContainsFunc(lines, s.has), builtUpon(stages[i:]):
			s.Use = StageNeeded
		}
	}
	return stages
}

func (s *Stage) has(line int) bool { return s.Lines[0] <= line && line <= s.Lines[1] }

// targetOf is the stage that --target names, by name or number, the last one
// for "", and -1 when there is none such.
func targetOf(stages []Stage, target string) int {
	if target == "" {
		return len(stages) - 1
	}
	if i := lastNamed(stages, target); i >= 0 {
		return i
	}
	if i, err := strconv.Atoi(target); err == nil && i >= 0 && i < len(stages) {
		return i
	}
	return -1
}

// builtUpon says whether one of the stages that are needed is built upon the
// first of them.
func builtUpon(stages []Stage) bool {
	for i, s := range stages {
		if s.Use != StageUnneeded && s.Use != StageReplaced && i > 0 && lastNamed(stages[:i], s.From) == 0 {
			return true
		}
	}
	return false
}

// lastNamed is the last of the stages with the name, -1 when there is none.
func lastNamed(stages []Stage, name string) int {
	for i := range slices.Backward(stages) {
		if strings.EqualFold(stages[i].Name, name) {
			return i
		}
	}
	return -1
}
