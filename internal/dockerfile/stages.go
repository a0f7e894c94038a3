package dockerfile

import (
	"bytes"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Stage is a stage of a Dockerfile as it is written.
type Stage struct {
	// Name is the stage's name in lower case, "" when it has none.
	Name string
	// From is what the stage is built upon, with its variables not expanded.
	From string
	// First and Last are the lines of its first and its last instruction.
	First, Last int
}

// Stages lists the stages of a Dockerfile, none for a text that is no
// Dockerfile.
func Stages(text []byte) []Stage {
	result, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	var stages []Stage
	for _, node := range result.AST.Children {
		instruction, err := instructions.ParseInstruction(node)
		if from, ok := instruction.(*instructions.Stage); ok && err == nil {
			stages = append(stages, Stage{Name: from.Name, From: from.BaseName, First: node.StartLine})
		}
		if n := len(stages); n > 0 {
			stages[n-1].Last = node.EndLine
		}
	}
	return stages
}
